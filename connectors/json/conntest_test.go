package json

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tapeline/tapeline/batch"
	codec "github.com/tapeline/tapeline/codec/json"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/connector/conntest"
	"github.com/tapeline/tapeline/internal/filesink"
)

func TestSourcesConform(t *testing.T) {
	var lines, elements []string
	for i := range 300 {
		record := fmt.Sprintf(`{"id":%d,"name":"n\u00e9%d","tags":["a",%d],"at":{"x":%d.5}}`, i, i, i, i)
		lines, elements = append(lines, record), append(elements, "\n "+record)
		if i%50 == 7 {
			lines, elements = append(lines, `{"id":}`, ""), append(elements, `{"id":}`)
		}
	}
	for name, text := range map[string]string{
		"lines": strings.Join(lines, "\n"), "array": "[" + strings.Join(elements, ",") + "\n]\n",
		"values": strings.ReplaceAll(strings.Join(elements, "\n"), `,"name"`, ",\n\"name\""),
	} {
		t.Run(name, func(t *testing.T) {
			conntest.Source(t, conntest.SourceCase{
				Connector: Connector(),
				Config: func(t testing.TB) any {
					cfg := newConfig(file(t, "in.json", text))
					return &cfg
				},
				Rejected: 6,
			})
		})
	}
}

// readBack returns the rows of a file that a sink published.
func readBack(t testing.TB, path string, layout codec.Layout, schema *batch.Schema) [][]any {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if layout == codec.Elements {
		start, ok, err := codec.ArrayStart(text, "")
		if !ok || err != nil {
			t.Fatalf("%s is no array: %v", path, err)
		}
		text = text[start:]
	}
	reader, err := codec.NewReader(codec.Options{Schema: schema, Layout: layout})
	if err != nil {
		t.Fatal(err)
	}
	result, err := reader.NewDecoder().Decode(codec.Block{Data: text, Last: true})
	if err != nil || len(result.Rejected) > 0 {
		t.Fatalf("%v, rejected %v", err, result.Rejected)
	}
	dense, bad := result.Batch.Dense()
	if len(bad) > 0 {
		t.Fatal(bad)
	}
	var out [][]any
	for row := range dense.Rows() {
		var values []any
		for _, c := range dense.Columns() {
			values = append(values, c.Value(row))
		}
		out = append(out, values)
	}
	return out
}

func TestSinksConform(t *testing.T) {
	var types []batch.Type
	for _, typ := range conntest.AllTypes() {
		if typ.Kind != batch.Binary { // written in base64, and no type says so when it is read
			types = append(types, typ)
		}
	}
	files := Connector() // a single file takes one writer
	one := *files.Sink
	one.Capabilities.Parallel = false
	files.Sink = &one
	for name, test := range map[string]struct {
		connector connector.Connector
		format    string
		layout    codec.Layout
		path      string
	}{
		"ndjson": {files, "ndjson", codec.Lines, "out.json"},
		"array":  {files, "array", codec.Elements, "out.json"},
		"folder": {Connector(), "ndjson", codec.Lines, "out/"},
	} {
		t.Run(name, func(t *testing.T) {
			conntest.Sink(t, conntest.SinkCase{
				Connector: test.connector,
				Types:     types,
				Target: func(t testing.TB) conntest.Target {
					path := t.TempDir() + "/" + test.path
					return conntest.Target{
						Config: &SinkConfig{
							SinkConfig: filesink.SinkConfig{Path: path}, Format: test.format,
						},
						ReadBack: func(t testing.TB) [][]any {
							var rows [][]any
							for _, file := range published(t, path) {
								rows = append(rows, readBack(t, file, test.layout, conntest.Schema(types...))...)
							}
							return rows
						},
					}
				},
			})
		})
	}
}

// published lists the files of a path or folder that are visible.
func published(t testing.TB, path string) []string {
	t.Helper()
	if strings.HasSuffix(path, "/") {
		path += "part-*"
	}
	files, err := filepath.Glob(path)
	if err != nil {
		t.Fatal(err)
	}
	return files
}
