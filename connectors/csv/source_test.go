package csv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"golang.org/x/text/encoding/simplifiedchinese"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/filesink"
	"github.com/tapeline/tapeline/internal/vfs"
)

// outcome is all that a source delivered.
type outcome struct {
	names    []string
	rows     [][]string // NULL is "\x00"
	places   []string
	rejected []string
	chunks   []chunkEnd
}

// chunkEnd is the position after a chunk and how many rows came up to it.
type chunkEnd struct {
	position connector.Position
	rows     int
	rejected int
}

const null = "\x00"

// read drains a source from a position, decoding in between as a worker does.
func read(cfg SourceConfig, limits connector.Limits, position connector.Position) (out outcome, err error) {
	env := connector.Env{FS: vfs.OS{}, Budget: connector.NewBudget(limits)}
	made, err := newSource(env, &cfg)
	if err != nil {
		return out, err
	}
	ctx := context.Background()
	if err := made.Open(ctx, connector.Partition{}, position); err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, made.Close()) }()
	decode := made.(connector.Decoder).NewDecode()
	for {
		chunk, err := made.Read(ctx)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		if chunk, err = decode(chunk); err != nil {
			return out, err
		}
		out.take(chunk)
		chunk.Release()
	}
}

func (o *outcome) take(chunk connector.Chunk) {
	b := chunk.Batch
	o.names = b.Schema().Names()
	for i := range b.Len() {
		row := b.Row(i)
		cells := make([]string, len(o.names))
		for k, c := range b.Columns() {
			cells[k] = cellText(c, row)
		}
		o.rows = append(o.rows, cells)
		o.places = append(o.places, b.Origin().At(row).String())
	}
	for _, r := range chunk.Rejected {
		o.rejected = append(o.rejected, filepath.Base(r.Place.String())+": "+r.Reason)
	}
	o.chunks = append(o.chunks, chunkEnd{chunk.Position, len(o.rows), len(o.rejected)})
}

func cellText(c *batch.Column, row int) string {
	if !c.Lazy() {
		if c.IsNull(row) {
			return null
		}
		return string(batch.AppendText(nil, c, row))
	}
	spans, cell := c.Spans()
	text, isNull, _ := spans.Text(row, cell, nil)
	if isNull {
		return null
	}
	return string(text)
}

func writeFile(t testing.TB, path string, data []byte) string {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func at(path string) SourceConfig {
	var cfg SourceConfig
	cfg.Path = path
	return cfg
}

func usual() connector.Limits { return connector.Limits{Rows: 16384, Bytes: 1 << 20} }

func TestSourceInfersAndDeclares(t *testing.T) {
	t.Parallel()
	path := writeFile(t, t.TempDir()+"/a.csv", []byte("id,code,price,ok,day,at,zoned,note\n"+
		"1,007,1.50,true,2024-01-02,2024-01-02 03:04:05,2024-01-02T03:04:05Z,x\n"+
		"2,010,,false,2024-02-29,2024-01-02 03:04:05.123456789,2024-01-02T03:04:05.5+08:00,\"\"\n"))
	cfg := at(path)
	cfg.Schema.Columns = []filesink.ColumnConfig{{Name: "id", Type: "int32"}}
	s, err := newSource(connector.Env{FS: vfs.OS{}}, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	schema, err := s.(connector.Discoverer).Discover(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	want := "id int32, code string, price float64, ok bool, day date, at timestamp(ns), " +
		"zoned timestamp(us,UTC), note string"
	if got := schema.String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	cfg.Schema.Columns = []filesink.ColumnConfig{{Name: "nope", Type: "int64"}}
	_, err = read(cfg, usual(), nil)
	var e *connector.Error
	if !errors.As(err, &e) || e.Class != connector.Schema || e.Path != "schema.columns.nope" {
		t.Errorf("missing declared column: got %v", err)
	}
}

// Records that ragged makes rows of count when types are inferred.
func TestSourceInfersFromRaggedRecords(t *testing.T) {
	t.Parallel()
	path := writeFile(t, t.TempDir()+"/a.csv", []byte("id,size,note\n1,100,x\n2,0.05\n3,200,y,more\n"))
	for ragged, want := range map[string]string{
		"reject": "id int64, size int64, note string", "pad": "id int64, size float64, note string",
	} {
		cfg := at(path)
		cfg.Ragged = ragged
		s, err := newSource(connector.Env{FS: vfs.OS{}}, &cfg)
		if err != nil {
			t.Fatal(err)
		}
		schema, err := s.(connector.Discoverer).Discover(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if got := schema.String(); got != want {
			t.Errorf("%s: got %s, want %s", ragged, got, want)
		}
	}
}

func TestSourceStrict(t *testing.T) {
	t.Parallel()
	path := writeFile(t, t.TempDir()+"/a.csv", []byte("id,price\n1,2\nx,3\n4,y\n5,6\n"))
	cfg := at(path)
	cfg.Schema = filesink.SchemaConfig{Strict: true, Columns: []filesink.ColumnConfig{{Name: "id", Type: "int64"}, {Name: "price", Type: "decimal(9,2)"}}}
	got, err := read(cfg, usual(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]string{{"1", "2.00"}, {"5", "6.00"}}, got.rows); diff != "" {
		t.Error(diff)
	}
	want := []string{
		`a.csv:3: column id: "x" is not a value of type int64`,
		`a.csv:4: column price: "y" is not a value of type decimal(9,2)`,
	}
	if diff := cmp.Diff(want, got.rejected); diff != "" {
		t.Error(diff)
	}
}

func TestSourceFilesOfOtherColumnOrder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeFile(t, dir+"/1.csv", []byte("a,b,c\n1,2,3\n"))
	writeFile(t, dir+"/2.csv", []byte("c,a\n6,4\n"))
	writeFile(t, dir+"/3.csv", nil)
	got, err := read(at(dir+"/*.csv"), usual(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]string{{"1", "2", "3"}, {"4", null, "6"}}, got.rows); diff != "" {
		t.Error(diff)
	}
}

// TestTypesOfLaterFiles: a column's type grows where the later file's holds all of its values, and
// stays where it does not.
func TestTypesOfLaterFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeFile(t, dir+"/1.csv", []byte("id,at\n1,2024-01-01\n"))
	writeFile(t, dir+"/2.csv", []byte("at,id,new\n2024-01-02T10:00:00,x,1.5\n"))
	cfg := at(dir + "/*.csv")
	s, err := newSource(connector.Env{FS: vfs.OS{}, Budget: connector.NewBudget(usual())}, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Open(t.Context(), connector.Partition{}, nil); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	decode := s.(connector.Decoder).NewDecode()
	for _, want := range []string{"id int64, at date", "id int64, at timestamp(us), new float64"} {
		chunk, err := s.Read(t.Context())
		if err == nil {
			chunk, err = decode(chunk)
		}
		if err != nil || chunk.Batch.Schema().String() != want {
			t.Fatalf("(%v), want (%s): %v", chunk.Batch, want, err)
		}
	}
}

func TestSourceEncodings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	gbk, err := simplifiedchinese.GBK.NewEncoder().String("名称,价\n平安银行,12.5\n")
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := io.WriteString(w, gbk); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"plain.csv": []byte(gbk), "packed.csv.gz": packed.Bytes(),
		"bom.csv": []byte("\xef\xbb\xbf名称,价\r\n平安银行,12.5\r\n"),
	} {
		cfg := at(writeFile(t, dir+"/"+name, data))
		cfg.Encoding = "gbk"
		got, err := read(cfg, usual(), nil)
		if err != nil {
			t.Fatal(err)
		}
		want := [][]string{{"名称", "价"}, {"平安银行", "12.5"}}
		if diff := cmp.Diff(want, append([][]string{got.names}, got.rows...)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestSourceDialectAuto(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, c := range map[string]struct {
		text  string
		names string
		rows  int
	}{
		"semicolon": {"a;b;c\n1,5;2;\"x;y\"\n3,5;4;z\n", "a b c", 2},
		"tab":       {"id\tname\n1\tx y\n2\tz, w\n", "id name", 2},
		"headless":  {"1,2.5,x\n2,3.5,y\n3,4.5,x\n", "column_1 column_2 column_3", 3},
		"preamble":  {"Report of today\n\nid,qty\n1,2\n3,4\n5,6\n", "id qty", 3},
		"return":    {"a|b\r1|2\r3|4\r", "a b", 2},
		"one":       {"name\nx\ny\n", "name", 2},
		"index":     {",open,close\n2024-01-02,1,2\n2024-01-03,3,4\n", "column_1 open close", 2},
		"repeated":  {"a,b,a\n1,2,3\n4,5,6\n", "a b a_2", 2},
		"gaps":      {",b,c\nx,y,z\n,b,z\n", "column_1 column_2 column_3", 3},
		"wide":      {"id,qty,note\n1,2\n3,4\n5,6\n", "id qty note", 0},
	} {
		cfg := at(writeFile(t, dir+"/"+name, []byte(c.text)))
		cfg.Dialect = "auto"
		got, err := read(cfg, usual(), nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if names := strings.Join(got.names, " "); names != c.names || len(got.rows) != c.rows {
			t.Errorf("%s: got %s and %d rows, want %s and %d", name, names, len(got.rows), c.names, c.rows)
		}
	}
}

// messy has everything that moves lines and positions.
func messy(records int) []byte {
	var b bytes.Buffer
	b.WriteString("# made for a test\nid,text\n")
	for i := range records {
		switch i % 7 {
		case 1:
			fmt.Fprintf(&b, "%d,\"two\nlines, and \"\"more\"\"\"\n", i)
		case 2:
			fmt.Fprintf(&b, "\n%d,x,ragged\n", i)
		case 3:
			fmt.Fprintf(&b, "%d,5\" pipe\r\n", i)
		case 4:
			fmt.Fprintf(&b, "%d,\"never closed\n", i)
		default:
			fmt.Fprintf(&b, "%d,%s\n", i, strings.Repeat("z", i%50))
		}
	}
	return b.Bytes()
}

// TestSourceResumesEverywhere reads in chunks of many sizes and continues at every position.
func TestSourceResumesEverywhere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeFile(t, dir+"/1.csv", messy(150))
	writeFile(t, dir+"/2.csv", bytes.TrimSuffix(messy(40), []byte("\n")))
	cfg := at(dir + "/*.csv")
	cfg.SkipRows = 1
	whole, err := read(cfg, usual(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(whole.rows) < 100 || len(whole.rejected) < 20 {
		t.Fatalf("%d rows, %d rejected: too few to test with", len(whole.rows), len(whole.rejected))
	}
	for _, limits := range []connector.Limits{{Rows: 1, Bytes: 1}, {Rows: 3, Bytes: 1 << 20}, {Rows: 1000, Bytes: 200}} {
		parts, err := read(cfg, limits, nil)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(whole.rows, parts.rows); diff != "" {
			t.Fatalf("%+v: %s", limits, diff)
		}
		if diff := cmp.Diff(whole.places, parts.places); diff != "" {
			t.Fatalf("%+v: %s", limits, diff)
		}
		if diff := cmp.Diff(whole.rejected, parts.rejected); diff != "" {
			t.Fatalf("%+v: %s", limits, diff)
		}
		for _, end := range parts.chunks {
			rest, err := read(cfg, usual(), end.position)
			if err != nil {
				t.Fatal(err)
			}
			want, got := strings.Join(whole.places[end.rows:], " "), strings.Join(rest.places, " ")
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%+v resumed after row %d: %s", limits, end.rows, diff)
			}
			if got, want := len(rest.rejected), len(whole.rejected)-end.rejected; got != want {
				t.Fatalf("%+v resumed after row %d: %d rejected, want %d", limits, end.rows, got, want)
			}
		}
	}
}

func TestSourceConfigProblems(t *testing.T) {
	t.Parallel()
	cfg := SourceConfig{
		Delimiter: "\n", Quote: "ab", Ragged: "maybe", Dialect: "x", SkipRows: -1, SampleRows: -1,
		Schema: filesink.SchemaConfig{Columns: []filesink.ColumnConfig{{Name: "a", Type: "intt"}}},
	}
	cfg.Encoding, cfg.Compression = "klingon", "rar"
	_, err := newSource(connector.Env{}, &cfg)
	if err == nil {
		t.Fatal("no error")
	}
	for _, key := range []string{
		"path", "delimiter", "quote", "ragged", "dialect", "skip_rows", "sample_rows",
		"schema.columns.a", "encoding", "compression",
	} {
		if !strings.Contains(err.Error(), key+":") {
			t.Errorf("%s is not named in %v", key, err)
		}
	}
}
