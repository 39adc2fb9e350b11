package excel

import (
	"testing"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector/conntest"
)

func TestFilesConform(t *testing.T) {
	// A cell does not say that it is base64, and nested values are read back as JSON.
	without := []batch.Kind{batch.Binary, batch.List, batch.Struct, batch.Map}
	conntest.Files(t, conntest.FileCase{Connector: Connector(), Suffix: ".xlsx", Without: without, FixedColumns: true})
}
