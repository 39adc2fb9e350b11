package arrow

import (
	"testing"

	"github.com/tapeline/tapeline/connector/conntest"
)

func TestFilesConform(t *testing.T) {
	conntest.Files(t, conntest.FileCase{Connector: Connector(), Suffix: ".arrow", FixedColumns: true})
}
