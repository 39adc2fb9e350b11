package json

import (
	"bytes"
	"context"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/filesink"
	"github.com/tapeline/tapeline/internal/testenv"
	"github.com/tapeline/tapeline/internal/vfs"
)

func env(limits connector.Limits) connector.Env {
	return connector.Env{FS: vfs.OS{}, Budget: connector.NewBudget(limits)}
}

func file(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func plenty() connector.Limits { return connector.Limits{Rows: 16384, Bytes: 1 << 20} }

func newConfig(path string) SourceConfig {
	return SourceConfig{SourceConfig: filesink.SourceConfig{Path: path}, SampleRows: defaultSampleRows}
}

// outcome is what a source delivered.
type outcome struct {
	rows      []string // as JSON
	rejected  []connector.Rejected
	positions []connector.Position
	counts    []int // rows up to each position
	schema    *batch.Schema
	total     int
}

// read runs a source from a position to its end.
func read(t testing.TB, cfg SourceConfig, limits connector.Limits, at connector.Position) (outcome, error) {
	t.Helper()
	source, err := Connector().Source.New(env(limits), &cfg)
	if err != nil {
		return outcome{}, err
	}
	defer source.Close()
	if err := source.Open(t.Context(), connector.Partition{}, at); err != nil {
		return outcome{}, err
	}
	sink, err := newSink(env(limits), &SinkConfig{SinkConfig: filesink.SinkConfig{Path: "unused"}})
	if err != nil {
		t.Fatal(err)
	}
	decode, encode := source.(connector.Decoder).NewDecode(), sink.(connector.Encoder).NewEncode()
	var out outcome
	for {
		chunk, err := source.Read(t.Context())
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		if chunk, err = decode(chunk); err != nil {
			return out, err
		}
		out.schema = chunk.Batch.Schema()
		out.rejected = append(out.rejected, chunk.Rejected...)
		out.total += chunk.Batch.Rows()
		encoded, err := encode(chunk)
		if err != nil {
			return out, err
		}
		text := strings.TrimSuffix(string(encoded.Payload.(*payload).text), "\n")
		if text != "" {
			out.rows = append(out.rows, strings.Split(text, "\n")...)
		}
		out.positions = append(out.positions, chunk.Position)
		out.counts = append(out.counts, len(out.rows))
		chunk.Release()
	}
}

func mustRead(t testing.TB, cfg SourceConfig) outcome {
	t.Helper()
	out, err := read(t, cfg, plenty(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

const array = "[\n{\"a\":1,\"b\":\"x\"},\n {\"a\":2, \"b\":\"]},{\"} ,{\"a\":3}\n, {\"b\":\"y\",\"a\":4}\n]\n"

func TestFormatsAreRecognised(t *testing.T) {
	want := []string{
		`{"a":1,"b":"x"}`, `{"a":2,"b":"]},{"}`, `{"a":3,"b":null}`, `{"a":4,"b":"y"}`,
	}
	lines := strings.Join(want, "\n")
	for name, text := range map[string]string{
		"array": array, "lines": lines, "one line": strings.ReplaceAll(strings.TrimSpace(array), "\n", ""),
		"values":       "{\n \"a\":1,\"b\":\"x\"}\n" + strings.Join(want[1:], " "),
		"crlf and bom": "\ufeff" + strings.ReplaceAll(lines, "\n", "\r\n\r\n"),
		"enclosed":     `{"n":1,"data":{"items":` + array + `},"next":null}`,
	} {
		cfg := newConfig(file(t, "in.json", text))
		if name == "enclosed" {
			cfg.Records = "$.data.items"
		}
		for _, limits := range []connector.Limits{plenty(), {Rows: 1, Bytes: 1}, {Rows: 2, Bytes: 40}} {
			got, err := read(t, cfg, limits, nil)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if diff := cmp.Diff(want, got.rows); diff != "" {
				t.Errorf("%s with %v: %s", name, limits, diff)
			}
		}
	}
	out := mustRead(t, newConfig(file(t, "in.json", "[1,\"x\"]\n[2,\"y\"]\n")))
	if diff := cmp.Diff([]string{`{"value":[1,"x"]}`, `{"value":[2,"y"]}`}, out.rows); diff != "" {
		t.Error(diff)
	}
}

func TestResumeAtEveryPosition(t *testing.T) {
	for name, text := range map[string]string{
		"array": array, "lines": "{\"a\":1}\n\nbroken\n{\"a\":2}\n{\"a\":3}", "values": "{\"a\":\n1}{\"a\":2} {\"a\":3}",
	} {
		cfg := newConfig(file(t, "in.json", text))
		limits := connector.Limits{Rows: 1, Bytes: 8}
		whole, err := read(t, cfg, limits, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(whole.positions) < 3 {
			t.Fatalf("%s: %d chunks only", name, len(whole.positions))
		}
		for i, at := range whole.positions {
			rest, err := read(t, cfg, plenty(), at)
			if err != nil {
				t.Fatalf("%s after chunk %d: %v", name, i, err)
			}
			want := whole.rows[whole.counts[i]:]
			if len(want) != len(rest.rows) || len(want) > 0 && !cmp.Equal(want, rest.rows) {
				t.Errorf("%s after chunk %d: %s", name, i, cmp.Diff(want, rest.rows))
			}
		}
	}
}

func TestDamagedArraysFail(t *testing.T) {
	for text, want := range map[string]string{
		`[{"a":1},{"a":2}`:  "ends in the middle",
		`[{"a":1},{"a":2},`: "", `[`: "the text ends before", `[{"a":1}] [`: "text after the value",
		`[{"a":1} {"a":2}]`: "',' or ']' is expected", `[,{"a":1}]`: "a comma before the first element",
		`[{"a":1},,{"a":2}]`: "no JSON",
	} {
		cfg := newConfig(file(t, "in.json", text))
		cfg.Format = "array"
		for _, limits := range []connector.Limits{plenty(), {Rows: 1, Bytes: 1}} {
			_, err := read(t, cfg, limits, nil)
			var failed *connector.Error
			if !errors.As(err, &failed) || failed.Class != connector.Data || !strings.Contains(err.Error(), want) {
				t.Errorf("%s with %v: %v, want %s", text, limits, err, want)
			}
		}
	}
}

func TestDeclaredSchema(t *testing.T) {
	cfg := newConfig(file(t, "in.json", `{"price":"12.50","id":7,"note":"n"}`))
	cfg.Schema.Columns = []filesink.ColumnConfig{{Name: "id", Type: "int64"}, {Name: "price", Type: "decimal(9,4)"}}
	out := mustRead(t, cfg)
	if diff := cmp.Diff([]string{`{"id":7,"price":12.5000}`}, out.rows); diff != "" {
		t.Error(diff)
	}
	for want, spoil := range map[string]func(*SourceConfig){
		"schema.columns.id":         func(c *SourceConfig) { c.Schema.Columns[0].Type = "int65" },
		"twice":                     func(c *SourceConfig) { c.Schema.Columns[1].Name = "id" },
		"sample_rows":               func(c *SourceConfig) { c.SampleRows = 0 },
		"extra":                     func(c *SourceConfig) { c.Extra = "keep" },
		"records: needs":            func(c *SourceConfig) { c.Format, c.Records = "ndjson", "$.x" },
		"format: \"xml\" is none":   func(c *SourceConfig) { c.Format = "xml" },
		"no such file or directory": func(c *SourceConfig) { c.Path += ".gone" },
	} {
		broken := cfg
		broken.Schema.Columns = append([]filesink.ColumnConfig(nil), cfg.Schema.Columns...)
		spoil(&broken)
		if _, err := read(t, broken, plenty(), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q in it", err, want)
		}
	}
}

func TestStrictSchemaTouchesEveryMember(t *testing.T) {
	cfg := newConfig(file(t, "in.json", "{\"a\":1,\"b\":2}\n{\"a\":\"x\",\"b\":\"y\"}\n{\"a\":3,\"b\":4}\n"))
	cfg.Schema = filesink.SchemaConfig{Strict: true, Columns: []filesink.ColumnConfig{{Name: "a", Type: "int64"}, {Name: "b", Type: "int64"}}}
	out := mustRead(t, cfg)
	if diff := cmp.Diff([]string{`{"a":1,"b":2}`, `{"a":3,"b":4}`}, out.rows); diff != "" {
		t.Error(diff)
	}
	if len(out.rejected) != 1 || out.rejected[0].Place.Line != 2 ||
		out.rejected[0].Reason != `column a: "x" is not a value of type int64` {
		t.Errorf("rejected %v", out.rejected)
	}
}

func TestRejectedRecordsCarryTheirPlace(t *testing.T) {
	out := mustRead(t, newConfig(file(t, "in.ndjson", "{\"a\":1}\n{\"a\":\n{\"a\":2}\n")))
	if len(out.rejected) != 1 || len(out.rows) != 2 {
		t.Fatalf("%d rows, rejected %v", len(out.rows), out.rejected)
	}
	got := out.rejected[0]
	if !strings.HasSuffix(got.Place.String(), "in.ndjson:2") || got.Record != `{"a":` {
		t.Errorf("rejected %+v", got)
	}
}

// openSink returns an opened sink, recovered to epoch number with token.
func openSink(t *testing.T, cfg SinkConfig, number uint64, token []byte) connector.Transactional {
	t.Helper()
	sink, err := Connector().Sink.New(env(plenty()), &cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := sink.(connector.Transactional)
	if err := s.Open(t.Context(), connector.Task{Run: "r1", Node: "out", Count: 1}); err != nil {
		t.Fatal(err)
	}
	if err := s.Recover(t.Context(), connector.Epoch{Number: number}, token); err != nil {
		t.Fatal(err)
	}
	return s
}

func rows(values ...int64) connector.Chunk {
	schema := batch.NewSchema(batch.Field{Name: "a", Type: batch.Of(batch.Int64)})
	column := batch.FixedColumn(batch.Of(batch.Int64), values, nil)
	return connector.Chunk{Batch: batch.New(schema, []*batch.Column{column}, len(values))}
}

func write(t *testing.T, s connector.Sink, chunk connector.Chunk) {
	t.Helper()
	chunk, err := s.(connector.Encoder).NewEncode()(chunk)
	if err == nil {
		err = s.Write(t.Context(), chunk)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func checkpoint(t *testing.T, s connector.Transactional, epoch connector.Epoch) []byte {
	t.Helper()
	prepared, err := s.Prepare(t.Context(), epoch)
	if err == nil && prepared.Sync != nil {
		err = prepared.Sync(t.Context())
	}
	if err == nil {
		err = s.Commit(t.Context(), epoch, prepared.Token)
	}
	if err != nil {
		t.Fatal(err)
	}
	return prepared.Token
}

func TestSinkSurvivesACrashBetweenCheckpoints(t *testing.T) {
	for format, want := range map[string]string{
		"ndjson": "{\"a\":1}\n{\"a\":2}\n{\"a\":4}\n", "array": "[\n{\"a\":1},\n{\"a\":2},\n{\"a\":4}\n]\n",
	} {
		path := filepath.Join(t.TempDir(), "out.json")
		cfg := SinkConfig{SinkConfig: filesink.SinkConfig{Path: path}, Format: format}
		first := openSink(t, cfg, 0, nil)
		write(t, first, rows())
		write(t, first, rows(1, 2))
		token := checkpoint(t, first, connector.Epoch{Number: 1})
		write(t, first, rows(3))
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s: the file is visible before the run is complete", format)
		}
		second := openSink(t, cfg, 1, token)
		write(t, second, rows(4))
		checkpoint(t, second, connector.Epoch{Number: 2, Final: true})
		got, err := os.ReadFile(path)
		if err != nil || string(got) != want {
			t.Errorf("%s: %v, got %s want %s", format, err, got, want)
		}
	}
}

func TestEmptyArrayIsClosed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.json")
	cfg := SinkConfig{SinkConfig: filesink.SinkConfig{Path: path}, Format: "array"}
	checkpoint(t, openSink(t, cfg, 0, nil), connector.Epoch{Number: 1, Final: true})
	if got, err := os.ReadFile(path); err != nil || string(got) != "[]\n" {
		t.Errorf("%v, got %q", err, got)
	}
	cfg.Path = t.TempDir()
	sink, err := Connector().Sink.New(env(plenty()), &cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := sink.Open(t.Context(), connector.Task{Count: 1}); err == nil {
		t.Error("an array was opened in a folder")
	}
}

func TestRowsThatCannotBeWrittenAreNamed(t *testing.T) {
	schema := batch.NewSchema(batch.Field{Name: "s", Type: batch.Of(batch.String)})
	column := batch.TextColumn(batch.Of(batch.String), []int32{0, 1, 2, 3}, []byte("a\xffb"), nil)
	chunk := connector.Chunk{Batch: batch.New(schema, []*batch.Column{column}, 3)}
	path := filepath.Join(t.TempDir(), "out.json")
	s := openSink(t, SinkConfig{SinkConfig: filesink.SinkConfig{Path: path}}, 0, nil)
	var partial *connector.PartialError
	if err := s.Write(t.Context(), chunk); !errors.As(err, &partial) || partial.Rows[0].Row != 1 {
		t.Errorf("write: %v", err)
	}
	checkpoint(t, s, connector.Epoch{Number: 1, Final: true})
	if got, _ := os.ReadFile(path); string(got) != "{\"s\":\"a\"}\n{\"s\":\"b\"}\n" {
		t.Errorf("got %q", got)
	}
}

// TestParsingSuite reads each file of the JSON parsing test suite as one value.
func TestParsingSuite(t *testing.T) {
	archive := filepath.Join(testenv.Data(t, "json_testsuite"), "test_parsing_y_n.tar.xz")
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "tar", "-xJf", archive, "-C", dir).CombinedOutput(); err != nil {
		testenv.Skip(t, fmt.Sprintf("tar cannot unpack %s: %v %s", archive, err, out))
	}
	var files []string
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if strings.HasSuffix(path, ".json") {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) != 283 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, path := range files {
		cfg := newConfig(path)
		cfg.Format = "values"
		out, err := read(t, cfg, plenty(), nil)
		accepted := err == nil && out.total == 1 && len(out.rejected) == 0
		if want := strings.HasPrefix(filepath.Base(path), "y_"); accepted != want {
			t.Errorf("%s: accepted %t, want %t (%d rows, %d rejected, %v)",
				filepath.Base(path), accepted, want, out.total, len(out.rejected), err)
		}
	}
}

// TestRealFiles holds rows and contents against the standard library.
func TestRealFiles(t *testing.T) {
	dir := testenv.Data(t, "json_real")
	for name, test := range map[string]struct {
		records string
		rows    int
	}{
		"github_events.json.gz": {"", 30}, "twitter.json.gz": {"$.statuses", 100}, "movies.json.gz": {"", 3201},
		"football.json.gz": {"", 6508}, "amazon_cellphones.ndjson.gz": {"", 793},
	} {
		cfg := newConfig(filepath.Join(dir, name))
		cfg.Records = test.records
		out := mustRead(t, cfg)
		if len(out.rows) != test.rows || len(out.rejected) > 0 {
			t.Errorf("%s: %d rows, want %d, rejected %d", name, len(out.rows), test.rows, len(out.rejected))
			continue
		}
		want := records(t, cfg.Path, test.records)
		for i, row := range out.rows {
			got := decodeAny(t, []byte(row))[0]
			if value, ok := got.(map[string]any)["value"]; ok && len(got.(map[string]any)) == 1 {
				got = value
			}
			if diff := cmp.Diff(want[i], got, ignoreNulls()); diff != "" {
				t.Fatalf("%s record %d: %s", name, i, diff)
			}
		}
	}
}

// ignoreNulls drops members that are null: a column has them for every record.
func ignoreNulls() cmp.Option {
	return cmp.FilterPath(func(p cmp.Path) bool {
		index, ok := p.Last().(cmp.MapIndex)
		if !ok {
			return false
		}
		x, y := index.Values()
		null := func(ok bool, v func() any) bool { return !ok || v() == nil }
		return null(x.IsValid(), func() any { return x.Interface() }) &&
			null(y.IsValid(), func() any { return y.Interface() })
	}, cmp.Ignore())
}

func decodeAny(t *testing.T, text []byte) []any {
	t.Helper()
	decoder := stdjson.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var all []any
	for {
		var v any
		err := decoder.Decode(&v)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
}

func records(t *testing.T, path, pointer string) []any {
	t.Helper()
	packed, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	unpacked, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(unpacked)
	if err != nil {
		t.Fatal(err)
	}
	all := decodeAny(t, text)
	if pointer != "" {
		return all[0].(map[string]any)[strings.TrimPrefix(pointer, "$.")].([]any)
	}
	if list, ok := all[0].([]any); ok && len(all) == 1 {
		return list
	}
	return all
}

func TestReadEndsWithItsContext(t *testing.T) {
	cfg := newConfig(file(t, "in.json", array))
	source, err := Connector().Source.New(env(plenty()), &cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := source.Open(t.Context(), connector.Partition{}, nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := source.Read(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("read ended by %v", err)
	}
	if err := source.Close(); err != nil {
		t.Error(err)
	}
}
