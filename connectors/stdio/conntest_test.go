package stdio

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/tapeline/tapeline/batch"
	codec "github.com/tapeline/tapeline/codec/json"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/connector/conntest"
)

// reading returns the connector with input instead of standard input.
func reading(input func() io.Reader) connector.Connector {
	c := Connector()
	made := *c.Source
	made.New = func(env connector.Env, cfg any) (connector.Source, error) {
		return newSource(env, cfg.(*SourceConfig), input())
	}
	c.Source = &made
	return c
}

func TestSourcesConform(t *testing.T) {
	records, rows := map[string]string{}, [][]any{}
	var lines, objects strings.Builder
	for i := range 3000 {
		text := fmt.Sprint("text ", i)
		rows = append(rows, []any{i, text})
		fmt.Fprintf(&objects, "{\"id\":%d,\"name\":%q}\n", i, text)
		fmt.Fprintf(&lines, "%d,%s\n", i, text)
	}
	records["ndjson"], records["csv"] = objects.String(), "id,name\n"+lines.String()
	for format, text := range records {
		t.Run(format, func(t *testing.T) {
			conntest.Source(t, conntest.SourceCase{
				Connector: reading(func() io.Reader { return strings.NewReader(text) }),
				Config:    func(testing.TB) any { return map[string]any{"format": format} },
				Want:      rows,
				Limits:    connector.Limits{Rows: 1000, Bytes: 4 << 10},
			})
		})
	}
}

func TestSinkConforms(t *testing.T) {
	var types []batch.Type
	for _, typ := range conntest.AllTypes() {
		if typ.Kind != batch.Binary && !typ.Nested() {
			types = append(types, typ)
		}
	}
	var output *bytes.Buffer
	c := Connector()
	made := *c.Sink
	made.New = func(_ connector.Env, cfg any) (connector.Sink, error) {
		return newSink(cfg.(*SinkConfig), output)
	}
	c.Sink = &made
	conntest.Sink(t, conntest.SinkCase{
		Connector: c,
		Types:     types,
		Target: func(testing.TB) conntest.Target {
			output = &bytes.Buffer{}
			written := output
			return conntest.Target{
				Config:   map[string]any{"format": "ndjson"},
				ReadBack: func(t testing.TB) [][]any { return readBack(t, written.String(), types) },
			}
		},
	})
}

// readBack reads what was written by the types it was written with.
func readBack(t testing.TB, text string, types []batch.Type) [][]any {
	t.Helper()
	reader, err := codec.NewReader(codec.Options{Schema: conntest.Schema(types...)})
	if err != nil {
		t.Fatal(err)
	}
	result, err := reader.NewDecoder().Decode(codec.Block{Data: []byte(text), Last: true})
	if err != nil || len(result.Rejected) > 0 {
		t.Fatalf("%v, rejected %v", err, result.Rejected)
	}
	dense, bad := result.Batch.Dense()
	if len(bad) > 0 {
		t.Fatal(bad)
	}
	var rows [][]any
	for row := range dense.Rows() {
		var values []any
		for _, c := range dense.Columns() {
			values = append(values, c.Value(row))
		}
		rows = append(rows, values)
	}
	return rows
}
