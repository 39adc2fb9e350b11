package avro

import (
	"testing"

	"github.com/tapeline/tapeline/connector/conntest"
)

func TestFilesConform(t *testing.T) {
	conntest.Files(t, conntest.FileCase{Connector: Connector(), Suffix: ".avro", FixedColumns: true})
}
