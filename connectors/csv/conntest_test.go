package csv

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/connector/conntest"
	"github.com/tapeline/tapeline/internal/filesink"
)

func TestSourcesConform(t *testing.T) {
	rejected := 0
	for i := range 300 {
		if i%7 == 2 {
			rejected++
		}
	}
	for name, strict := range map[string]bool{"lazy": false, "strict": true} {
		t.Run(name, func(t *testing.T) {
			conntest.Source(t, conntest.SourceCase{
				Connector: Connector(),
				Config: func(t testing.TB) any {
					path := t.TempDir() + "/in.csv"
					cfg := at(writeFile(t, path, bytes.TrimSuffix(messy(300), []byte("\n"))))
					cfg.SkipRows = 1
					cfg.Schema = filesink.SchemaConfig{Strict: strict, Columns: []filesink.ColumnConfig{{Name: "id", Type: "int64"}}}
					return &cfg
				},
				Rejected: rejected,
			})
		})
	}
}

func TestSourceAllocatesNothingPerRow(t *testing.T) {
	conntest.Source(t, conntest.SourceCase{
		Connector: Connector(),
		Config: func(t testing.TB) any {
			text := "id,name,price\n" + strings.Repeat("17,\"some, name\",1.50\n18,other,\n", 20_000)
			cfg := at(writeFile(t, t.TempDir()+"/in.csv", []byte(text)))
			return &cfg
		},
		Limits:            connector.Limits{Rows: 2000, Bytes: 1 << 20},
		AllocationsPerRow: 0.05,
	})
}

func TestSinksConform(t *testing.T) {
	var types []batch.Type
	for _, typ := range conntest.AllTypes() {
		// Text does not say that it is base64, and nested values are read back as JSON.
		if typ.Kind != batch.Binary && !typ.Nested() {
			types = append(types, typ)
		}
	}
	for name, file := range map[string]string{"file": "out.csv", "gzip": "out.csv.gz", "folder": "out/"} {
		t.Run(name, func(t *testing.T) {
			files := Connector()
			if name != "folder" { // a single file takes one writer
				one := *files.Sink
				one.Capabilities.Parallel = false
				files.Sink = &one
			}
			conntest.Sink(t, conntest.SinkCase{
				Connector: files,
				Types:     types, FixedColumns: !strings.HasSuffix(file, "/"),
				Target: func(t testing.TB) conntest.Target {
					cfg := SinkConfig{Header: true}
					cfg.Path = t.TempDir() + "/" + file
					return conntest.Target{
						Config:   &cfg,
						ReadBack: func(t testing.TB) [][]any { return readBack(t, cfg.Path) },
					}
				},
			})
		})
	}
}

// readBack returns the visible rows as text, NULL as nil.
func readBack(t testing.TB, path string) [][]any {
	t.Helper()
	if strings.HasSuffix(path, "/") {
		path += "part-*"
	}
	if files, err := filepath.Glob(path); err != nil || len(files) == 0 {
		return nil
	}
	got, err := read(at(path), connector.Limits{Rows: 1000, Bytes: 1 << 20}, nil)
	if err != nil || len(got.rejected) > 0 {
		t.Fatalf("read back: %v, rejected %v", err, got.rejected)
	}
	rows := make([][]any, len(got.rows))
	for i, row := range got.rows {
		for _, cell := range row {
			if cell == null {
				rows[i] = append(rows[i], nil)
				continue
			}
			rows[i] = append(rows[i], cell)
		}
	}
	return rows
}

func TestLaterFilesConform(t *testing.T) {
	conntest.LaterFiles(t, conntest.FileCase{Connector: Connector(), Suffix: ".csv"})
}
