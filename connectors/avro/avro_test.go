package avro

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/google/go-cmp/cmp"
	"github.com/hamba/avro/v2/ocf"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/connectors/parquet"
	"github.com/tapeline/tapeline/internal/filetest"
	"github.com/tapeline/tapeline/internal/testenv"
	"github.com/tapeline/tapeline/internal/vfs"
)

func newEnv(fsys vfs.FS, limits connector.Limits) connector.Env {
	return filetest.Limited(fsys, limits)
}

func plenty() connector.Limits { return connector.Limits{Rows: 16384, Bytes: 16 << 20} }

func read(t testing.TB, env connector.Env, cfg SourceConfig, at connector.Position) (filetest.Outcome, error) {
	t.Helper()
	return filetest.Read(t, env, Connector(), &cfg, connector.Partition{}, at)
}

func openSink(
	t testing.TB, env connector.Env, cfg SinkConfig, epoch uint64, token []byte,
) connector.Transactional {
	t.Helper()
	return filetest.Open(t, env, Connector(), &cfg, epoch, token)
}

func writeAll(t testing.TB, env connector.Env, cfg SinkConfig, batches ...*batch.Batch) {
	t.Helper()
	filetest.Write(t, env, Connector(), &cfg, batches...)
}

// TestRealFiles reads the interoperability files and counts rows with another library.
func TestRealFiles(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(testenv.Data(t, "avro"), "*.avro"))
	if err != nil || len(files) == 0 {
		t.Fatal(len(files), err)
	}
	for _, path := range files {
		got, err := read(t, newEnv(vfs.OS{}, plenty()), SourceConfig{Path: path}, nil)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		want, err := countRows(path)
		if err != nil {
			t.Logf("%s: the other library: %v", filepath.Base(path), err)
		} else if len(got.Rows) != want {
			t.Errorf("%s: %d rows, want %d", path, len(got.Rows), want)
		}
		t.Logf("%-32s %3d rows: %s\n%s", filepath.Base(path), len(got.Rows), got.Schema, strings.Join(got.Rows[:min(2, len(got.Rows))], "\n"))
	}
}

// TestSameAsParquet compares files that were made of Parquet files of the same name.
func TestSameAsParquet(t *testing.T) {
	t.Parallel()
	avro, other := testenv.Data(t, "avro"), filepath.Join(testenv.Data(t, "parquet_interop"), "data")
	for name, twin := range map[string]string{
		"alltypes_plain.bzip2.avro": "alltypes_plain.parquet", "alltypes_plain.snappy.avro": "alltypes_plain.parquet",
		"fixed_length_decimal.avro": "fixed_length_decimal.parquet", "int32_decimal.avro": "int32_decimal.parquet",
		"dict-page-offset-zero.avro": "dict-page-offset-zero.parquet", "repeated_no_annotation.avro": "repeated_no_annotation.parquet",
	} {
		got, err := read(t, newEnv(vfs.OS{}, plenty()), SourceConfig{Path: filepath.Join(avro, name)}, nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		s, err := parquet.Connector().Source.New(newEnv(vfs.OS{}, plenty()), &parquet.SourceConfig{Path: filepath.Join(other, twin)})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Open(t.Context(), connector.Partition{}, nil); err != nil {
			t.Fatal(err)
		}
		chunk, err := s.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := filetest.Lines(chunk.Batch)
		for i := range want {
			want[i] = strings.ReplaceAll(want[i], "00.000000000Z", "00.000000Z")
		}
		if diff := cmp.Diff(want, got.Rows); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func countRows(path string) (int, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	d, err := ocf.NewDecoder(f)
	if err != nil {
		return 0, err
	}
	n := 0
	for d.HasNext() {
		var v any
		if err := d.Decode(&v); err != nil {
			return n, err
		}
		n++
	}
	return n, d.Error()
}

// everything returns a schema of all kinds that Avro can hold.
func everything() *batch.Schema {
	var fields []batch.Field
	add := func(typ batch.Type) {
		fields = append(fields, batch.Field{Name: fmt.Sprintf("c%d_%s", len(fields), typ.Kind), Type: typ, Nullable: true})
	}
	for _, kind := range []batch.Kind{batch.Bool, batch.Int32, batch.Int64, batch.Float32, batch.Float64, batch.String, batch.Binary, batch.Date, batch.Time} {
		add(batch.Of(kind))
	}
	for _, unit := range []batch.Unit{batch.Millisecond, batch.Microsecond, batch.Nanosecond} {
		add(batch.TimestampOf(unit, "UTC"))
		add(batch.TimestampOf(unit, ""))
	}
	add(batch.DecimalOf(9, 2))
	add(batch.DecimalOf(38, 10))
	inner := batch.StructOf(
		batch.Field{Name: "a", Type: batch.Of(batch.Int64), Nullable: true},
		batch.Field{Name: "b", Type: batch.ListOf(batch.Of(batch.String)), Nullable: true})
	add(batch.ListOf(batch.ListOf(batch.Of(batch.Int32))))
	add(inner)
	add(batch.ListOf(inner))
	add(batch.MapOf(batch.Of(batch.String), batch.Of(batch.Float64)))
	fields = append(fields, batch.Field{Name: "required", Type: batch.Of(batch.Int64)},
		batch.Field{Name: "straße 1", Type: batch.Of(batch.Int64)})
	return batch.NewSchema(fields...)
}

func random(r *rand.Rand, a *batch.Appender, nullable bool) {
	typ := a.Type()
	if nullable && r.IntN(5) == 0 {
		a.Null()
		return
	}
	switch typ.Kind {
	case batch.Bool:
		a.Bool(r.IntN(2) == 0)
	case batch.Int32, batch.Date:
		a.Int(int64(int32(r.Uint32()) / 64))
	case batch.Float32, batch.Float64:
		a.Float(float64(r.IntN(1000)) / 8)
	case batch.Time:
		a.Int(r.Int64N(86400e6))
	case batch.Decimal:
		a.Decimal(decimal128.FromI64(r.Int64N(2e8) - 1e8))
	case batch.String, batch.Binary:
		a.Text(strings.Repeat(string(rune('a'+r.IntN(26))), r.IntN(12)))
	case batch.List, batch.Map:
		for i := range r.IntN(4) {
			if typ.Kind == batch.Map {
				a.Element(0).Text(strconv.Itoa(i))
				random(r, a.Element(1), true)
				continue
			}
			random(r, a.Element(0), true)
		}
		a.List()
	case batch.Struct:
		for i := range typ.Fields {
			random(r, a.Element(i), true)
		}
		a.Struct()
	default:
		a.Int(r.Int64N(4e15) - 2e15)
	}
}

func randomBatch(seed uint64, schema *batch.Schema, rows int) *batch.Batch {
	r := rand.New(rand.NewPCG(seed, 1))
	b := batch.NewBuilder(schema)
	for range rows {
		for i, f := range schema.Fields() {
			random(r, b.Column(i), f.Nullable)
		}
	}
	out, err := b.Batch()
	if err != nil {
		panic("random batch: " + err.Error())
	}
	return out
}

// TestRoundTrip writes every kind in each codec; another library counts the same rows.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for i, compression := range []string{"", "snappy", "deflate", "zstd", "none"} {
		path := filepath.Join(t.TempDir(), "a.avro")
		a, b := randomBatch(uint64(i), everything(), 300), randomBatch(9, everything(), 200)
		writeAll(t, newEnv(vfs.OS{}, plenty()), SinkConfig{Path: path, Compression: compression}, a, b)
		got, err := read(t, newEnv(vfs.OS{}, plenty()), SourceConfig{Path: path}, nil)
		if diff := cmp.Diff(filetest.Lines(a, b), got.Rows); err != nil || diff != "" {
			t.Fatalf("%s: %v %s", compression, err, diff)
		}
		if got.Schema.String() != everything().String() {
			t.Errorf("got schema %s\nwant %s", got.Schema, everything())
		}
		if n, err := countRows(path); err != nil || n != 500 {
			t.Errorf("%s: the other library counts %d rows: %v", compression, n, err)
		}
	}
}

// TestWidened writes kinds that Avro holds as others.
func TestWidened(t *testing.T) {
	t.Parallel()
	b := batch.NewBuilder(batch.NewSchema(
		batch.Field{Name: "u8", Type: batch.Of(batch.Uint8)}, batch.Field{Name: "u32", Type: batch.Of(batch.Uint32)},
		batch.Field{Name: "u64", Type: batch.Of(batch.Uint64)}, batch.Field{Name: "i8", Type: batch.Of(batch.Int8)},
		batch.Field{Name: "json", Type: batch.Of(batch.JSON)},
		batch.Field{Name: "s", Type: batch.TimestampOf(batch.Second, "UTC")},
		batch.Field{Name: "m", Type: batch.MapOf(batch.Of(batch.Int64), batch.Of(batch.Bool))}))
	b.Column(0).Uint(255)
	b.Column(1).Uint(4294967295)
	b.Column(2).Uint(18446744073709551615)
	b.Column(3).Int(-128)
	b.Column(4).Text(`{"a":1}`)
	b.Column(5).Int(1)
	b.Column(6).Element(0).Int(7)
	b.Column(6).Element(1).Bool(true)
	b.Column(6).List()
	in, err := b.Batch()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "a.avro")
	writeAll(t, newEnv(vfs.OS{}, plenty()), SinkConfig{Path: path}, in)
	got, err := read(t, newEnv(vfs.OS{}, plenty()), SourceConfig{Path: path}, nil)
	want := `{"u8":255,"u32":4294967295,"u64":18446744073709551615,"i8":-128,"json":"{\"a\":1}",` +
		`"s":"1970-01-01T00:00:01Z","m":[{"key":7,"value":true}]}`
	if err != nil || len(got.Rows) != 1 || strings.ReplaceAll(got.Rows[0], "01.000Z", "01Z") != want {
		t.Errorf("%v\ngot  %v\nwant %s", err, got.Rows, want)
	}
	nanos := batch.NewSchema(batch.Field{Name: "t", Type: batch.Type{Kind: batch.Time, Unit: batch.Nanosecond}})
	s := openSink(t, newEnv(vfs.OS{}, plenty()), SinkConfig{Path: path}, 0, nil)
	var e *connector.Error
	if err := s.Write(t.Context(), connector.Chunk{Batch: randomBatch(1, nanos, 1)}); !errors.As(err, &e) || e.Class != connector.Schema {
		t.Errorf("time of nanoseconds: %v", err)
	}
}

// TestUnions reads unions of several types and recursive records as JSON.
func TestUnions(t *testing.T) {
	t.Parallel()
	schema := `{"type":"record","name":"r","fields":[
		{"name":"u","type":["null","long","string",{"type":"array","items":"double"}]},
		{"name":"tree","type":{"type":"record","name":"node","fields":[
			{"name":"v","type":"int"},{"name":"next","type":["null","node"]}]}},
		{"name":"e","type":{"type":"enum","name":"color","symbols":["red","green"]}}]}`
	path := filepath.Join(t.TempDir(), "a.avro")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w, err := ocf.NewEncoder(schema, f)
	if err != nil {
		t.Fatal(err)
	}
	tree := map[string]any{"v": 1, "next": map[string]any{"node": map[string]any{"v": 2, "next": nil}}}
	for _, u := range []any{nil, int64(5), "x", map[string]any{"array": []any{1.5}}} {
		if err := w.Encode(map[string]any{"u": u, "tree": tree, "e": "green"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	got, err := read(t, newEnv(vfs.OS{}, plenty()), SourceConfig{Path: path}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, u := range []string{"null", "5", `"x"`, "[1.5]"} {
		want = append(want, `{"u":`+u+`,"tree":{"v":1,"next":{"next":null,"v":2}},"e":"green"}`)
	}
	if diff := cmp.Diff(want, got.Rows); diff != "" {
		t.Errorf("%s: %s", got.Schema, diff)
	}
}

// TestResume continues at every position, also within blocks.
func TestResume(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i := range 2 {
		path := filepath.Join(dir, fmt.Sprintf("%d.avro", i))
		writeAll(t, newEnv(vfs.OS{}, plenty()), SinkConfig{Path: path}, randomBatch(uint64(i), everything(), 100), randomBatch(5, everything(), 40))
	}
	small := newEnv(vfs.OS{}, connector.Limits{Rows: 30, Bytes: 1 << 20})
	cfg := SourceConfig{Path: dir + "/*.avro"}
	whole, err := read(t, small, cfg, nil)
	if err != nil || len(whole.Rows) != 280 || len(whole.Positions) < 12 {
		t.Fatal(len(whole.Rows), len(whole.Positions), err)
	}
	for i, position := range whole.Positions {
		rest, err := read(t, small, cfg, position)
		if diff := filetest.Diff(whole.Rows[whole.Counts[i]:], rest.Rows); err != nil || diff != "" {
			t.Fatalf("position %d: %v %s", i, err, diff)
		}
	}
}

func job(cfg SinkConfig, rows, epochs int) filetest.Job {
	j := filetest.Job{
		Connector: Connector(), Sink: &cfg, Source: &SourceConfig{Path: "out/*.avro"},
		Whole: !strings.HasSuffix(cfg.Path, "/"),
	}
	for seed := range uint64(epochs) {
		j.Epochs = append(j.Epochs, randomBatch(seed, everything(), rows))
	}
	return j
}

func TestSinkCrashes(t *testing.T) {
	t.Parallel()
	for _, cfg := range []SinkConfig{{Path: "out/a.avro"}, {Path: "out/"}, {Path: "out/", MinPartBytes: 5000}} {
		job(cfg, 50, 4).Crashes(t)
	}
	job(SinkConfig{Path: "out/"}, 50, 5).Wider().Crashes(t)
}

func TestDiskFull(t *testing.T) {
	t.Parallel()
	job(SinkConfig{Path: "out/a.avro", Compression: "none"}, 1000, 30).DiskFull(t)
}

func TestNoRows(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"out/a.avro", "out/"} {
		if schema, err := job(SinkConfig{Path: path}, 5, 1).NoRows(t, true); err != nil || !schema.Equal(everything()) {
			t.Errorf("%s: columns (%s), want (%s): %v", path, schema, everything(), err)
		}
	}
	if schema, err := job(SinkConfig{Path: "out/a.avro"}, 5, 1).NoRows(t, false); err != nil || schema.Len() != 0 {
		t.Errorf("columns not known: (%s), %v", schema, err)
	}
}

// FuzzRead: whatever a file holds, its source ends with rows or an error. Seeds have few columns.
func FuzzRead(f *testing.F) {
	const columns = 4
	fields := everything().Fields()
	codecs := []string{"none", "snappy", "deflate", "zstd"}
	path := filepath.Join(f.TempDir(), "a.avro")
	for from := 0; from < len(fields); from += columns {
		cfg := SinkConfig{Path: path, Compression: codecs[from/columns%len(codecs)]}
		schema := batch.NewSchema(fields[from:min(from+columns, len(fields))]...)
		writeAll(f, newEnv(vfs.OS{}, plenty()), cfg, randomBatch(1, schema, 2))
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		filetest.Fuzz(t, Connector(), &SourceConfig{Path: "a.avro"}, "a.avro", data)
	})
}
