package parquet

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/filetest"
	"github.com/tapeline/tapeline/internal/vfs"
)

// FuzzRead: whatever a file holds, its source ends with rows or an error. Each seed has few columns:
// a file of all types takes a thousand times longer to read than its bytes to change.
func FuzzRead(f *testing.F) {
	const columns = 3
	fields := everything().Fields()
	path := filepath.Join(f.TempDir(), "a.parquet")
	for from := 0; from < len(fields); from += columns {
		cfg := SinkConfig{Path: path, RowGroupRows: 2, Compression: "none", Dictionary: "never"}
		if from%2 == 0 {
			cfg.Compression, cfg.Dictionary = "snappy", "always"
		}
		schema := batch.NewSchema(fields[from:min(from+columns, len(fields))]...)
		writeAll(f, newEnv(vfs.OS{}, plenty()), cfg, []*batch.Batch{randomBatch(uint64(from), schema, 3)})
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		filetest.Fuzz(t, Connector(), &SourceConfig{Path: "a.parquet"}, "a.parquet", data)
	})
}
