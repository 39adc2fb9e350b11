package lines

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/connector/conntest"
	"github.com/tapeline/tapeline/internal/filesink"
)

func TestSourceConforms(t *testing.T) {
	var text strings.Builder
	for i := range 300 {
		fmt.Fprintf(&text, "%03d line %d\n", i, i*i)
		if i%100 == 7 {
			text.WriteString("x\n")
		}
	}
	conntest.Source(t, conntest.SourceCase{
		Connector: Connector(),
		Config: func(t testing.TB) any {
			path := filepath.Join(t.TempDir(), "in.log")
			if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
				t.Fatal(err)
			}
			return &SourceConfig{
				SourceConfig: filesink.SourceConfig{Path: path}, NumberColumn: "n",
				Prefix: &PrefixConfig{Width: 3, Name: "id", Type: "int64"},
			}
		},
		Rejected: 3,
	})
}

func TestSinkConforms(t *testing.T) {
	types := []batch.Type{
		batch.Of(batch.Bool), batch.DecimalOf(18, 4), batch.TimestampOf(batch.Microsecond, "UTC"),
	}
	files := Connector() // a single file takes one writer
	one := *files.Sink
	one.Capabilities.Parallel = false
	files.Sink = &one
	for path, c := range map[string]connector.Connector{"out.txt": files, "out/": Connector()} {
		t.Run(path, func(t *testing.T) {
			conntest.Sink(t, conntest.SinkCase{
				Connector: c,
				Types:     types,
				Target: func(t testing.TB) conntest.Target {
					path := t.TempDir() + "/" + path
					schema := conntest.Schema(types...)
					return conntest.Target{
						Config: &SinkConfig{
							SinkConfig: filesink.SinkConfig{Path: path},
							Template:   "{" + strings.Join(schema.Names(), "}|{") + "}",
						},
						ReadBack: func(t testing.TB) [][]any {
							if strings.HasSuffix(path, "/") {
								path += "part-*"
							}
							parts, err := filepath.Glob(path)
							if err != nil {
								t.Fatal(err)
							}
							var rows [][]any
							for _, part := range parts {
								rows = append(rows, readBack(t, part)...)
							}
							return rows
						},
					}
				},
			})
		})
	}
}

// readBack returns the cells between bars as text; empty ones were null.
func readBack(t testing.TB, path string) [][]any {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]any
	for line := range strings.Lines(string(text)) {
		var row []any
		for cell := range strings.SplitSeq(strings.TrimSuffix(line, "\n"), "|") {
			if cell == "" {
				row = append(row, nil)
			} else {
				row = append(row, cell)
			}
		}
		rows = append(rows, row)
	}
	return rows
}
