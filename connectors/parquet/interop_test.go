package parquet

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/filetest"
	"github.com/tapeline/tapeline/internal/testenv"
	"github.com/tapeline/tapeline/internal/vfs"
)

func newEnv(fsys vfs.FS, limits connector.Limits) connector.Env {
	return filetest.Limited(fsys, limits)
}

func plenty() connector.Limits { return connector.Limits{Rows: 16384, Bytes: 16 << 20} }

func read(
	t testing.TB, env connector.Env, cfg SourceConfig, part connector.Partition, at connector.Position,
) (filetest.Outcome, error) {
	t.Helper()
	return filetest.Read(t, env, Connector(), &cfg, part, at)
}

func readFile(t testing.TB, path string) (filetest.Outcome, error) {
	t.Helper()
	return read(t, newEnv(vfs.OS{}, plenty()), SourceConfig{Path: path}, connector.Partition{}, nil)
}

// oracle reads a file by arrow-go's own assembly.
func oracle(t *testing.T, path string) (rows []string, err error) {
	t.Helper()
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	pages, err := file.OpenParquetFile(path, false)
	if err != nil {
		return nil, err
	}
	defer pages.Close()
	r, err := pqarrow.NewFileReader(pages, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		return nil, err
	}
	table, err := r.ReadTable(t.Context())
	if err != nil {
		return nil, err
	}
	records := array.NewTableReader(table, 1<<20)
	for records.Next() {
		b, err := batch.FromArrow(records.RecordBatch())
		if err != nil {
			return nil, err
		}
		for row := range b.Len() {
			rows = append(rows, string(batch.AppendRow(nil, b, row)))
		}
	}
	return rows, records.Err()
}

// unreadable lists files of the interoperability set that are refused, by what the error says.
func unreadable() map[string]string {
	return map[string]string{
		// 4 KB that claim a page of 1 GiB: more than a batch's text may take.
		"large_string_map.brotli.parquet": "raise max_page_bytes or write it with smaller pages",
	}
}

func TestInteroperability(t *testing.T) {
	dir := filepath.Join(testenv.Data(t, "parquet_interop"), "data")
	var files []string
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if strings.Contains(path, ".parquet") && !strings.HasSuffix(path, ".json") {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) == 0 {
		t.Fatal(len(files), err)
	}
	readable, total := 0, 0
	for _, path := range files {
		name := filepath.Base(path)
		got, err := readFile(t, path)
		if err != nil {
			t.Logf("%-55s refused: %v", name, err)
			if strings.HasSuffix(name, ".encrypted") && strings.Contains(err.Error(), "encrypted") {
				continue
			}
			if reason, ok := unreadable()[name]; !ok || !strings.Contains(err.Error(), reason) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		readable++
		total += len(got.Rows)
		want, err := oracle(t, path)
		if err != nil {
			t.Logf("%-55s %6d rows; the oracle refuses it: %v", name, len(got.Rows), err)
			continue
		}
		t.Logf("%-55s %6d rows: %s", name, len(got.Rows), got.Schema)
		for i := range max(len(want), len(got.Rows)) {
			if i >= len(got.Rows) || i >= len(want) || got.Rows[i] != want[i] {
				t.Errorf("%s row %d: %d rows, want %d\ngot  %s\nwant %s", name, i, len(got.Rows), len(want), at(got.Rows, i), at(want, i))
				break
			}
		}
	}
	t.Logf("%d of %d files read, %d rows", readable, len(files), total)
}

func at(rows []string, i int) string {
	if i < len(rows) {
		return rows[i]
	}
	return "nothing"
}
