package parquet

import (
	"testing"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector/conntest"
)

func TestFilesConform(t *testing.T) {
	without := []batch.Kind{batch.Duration} // Parquet has none
	conntest.Files(t, conntest.FileCase{Connector: Connector(), Suffix: ".parquet", Without: without, FixedColumns: true})
}
