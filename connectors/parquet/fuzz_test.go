package parquet

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/vfs"
	"github.com/tapeline/tapeline/internal/vfs/simfs"
)

// FuzzRead: whatever a file holds, its source ends with rows or an error.
func FuzzRead(f *testing.F) {
	small := batch.NewSchema(everything().Fields()[:20]...)
	for i, cfg := range []SinkConfig{{Compression: "none"}, {Compression: "snappy", Dictionary: "always"}} {
		cfg.Path, cfg.RowGroupRows = filepath.Join(f.TempDir(), "a.parquet"), 7
		writeAll(f, newEnv(vfs.OS{}, plenty()), cfg, []*batch.Batch{randomBatch(uint64(i), small, 10)})
		data, err := os.ReadFile(cfg.Path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	nested := batch.NewSchema(everything().Fields()[len(everything().Fields())-6:]...)
	path := filepath.Join(f.TempDir(), "b.parquet")
	writeAll(f, newEnv(vfs.OS{}, plenty()), SinkConfig{Path: path, RowGroupRows: 7}, []*batch.Batch{randomBatch(3, nested, 10)})
	data, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		system := simfs.New()
		file, err := system.Create("a.parquet")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.Write(data); err != nil {
			t.Fatal(err)
		}
		if _, err := read(t, newEnv(system, plenty()), SourceConfig{Path: "a.parquet"}, connector.Partition{}, nil); err != nil {
			if _, ok := errors.AsType[*connector.Error](err); !ok {
				t.Errorf("unclassified: %v", err)
			}
		}
	})
}
