package parquet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/google/go-cmp/cmp"
	pq "github.com/parquet-go/parquet-go"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/filetest"
	"github.com/tapeline/tapeline/internal/testenv"
	"github.com/tapeline/tapeline/internal/vfs"
)

// everything returns a schema of all kinds that Parquet can hold, three levels deep.
func everything() *batch.Schema {
	var fields []batch.Field
	add := func(typ batch.Type) {
		fields = append(fields, batch.Field{Name: fmt.Sprintf("c%d_%s", len(fields), typ.Kind), Type: typ, Nullable: true})
	}
	for _, kind := range []batch.Kind{
		batch.Bool, batch.Int8, batch.Int16, batch.Int32, batch.Int64, batch.Uint8, batch.Uint16, batch.Uint32,
		batch.Uint64, batch.Float32, batch.Float64, batch.String, batch.Binary, batch.JSON, batch.Date, batch.Time,
	} {
		add(batch.Of(kind))
	}
	for _, unit := range []batch.Unit{batch.Millisecond, batch.Microsecond, batch.Nanosecond} {
		add(batch.TimestampOf(unit, "UTC"))
		add(batch.TimestampOf(unit, ""))
	}
	add(batch.TimestampOf(batch.Microsecond, "Asia/Shanghai"))
	add(batch.DecimalOf(9, 2))
	add(batch.DecimalOf(18, 4))
	add(batch.DecimalOf(38, 10))
	inner := batch.StructOf(
		batch.Field{Name: "a", Type: batch.Of(batch.Int64), Nullable: true},
		batch.Field{Name: "b", Type: batch.ListOf(batch.Of(batch.String)), Nullable: true})
	add(batch.ListOf(batch.Of(batch.Int32)))
	add(batch.ListOf(batch.ListOf(batch.Of(batch.String))))
	add(inner)
	add(batch.ListOf(inner))
	add(batch.MapOf(batch.Of(batch.String), batch.ListOf(batch.Of(batch.Float64))))
	fields = append(fields, batch.Field{Name: "required", Type: batch.Of(batch.Int64)})
	return batch.NewSchema(fields...)
}

// random appends a value of the appender's type.
func random(r *rand.Rand, a *batch.Appender, nullable bool) {
	typ := a.Type()
	if nullable && r.IntN(5) == 0 {
		a.Null()
		return
	}
	switch typ.Kind {
	case batch.Bool:
		a.Bool(r.IntN(2) == 0)
	case batch.Int8:
		a.Int(int64(int8(r.Uint32())))
	case batch.Uint8:
		a.Uint(uint64(uint8(r.Uint32())))
	case batch.Int16:
		a.Int(int64(int16(r.Uint32())))
	case batch.Uint16:
		a.Uint(uint64(uint16(r.Uint32())))
	case batch.Int32, batch.Date:
		a.Int(int64(int32(r.Uint32()) / 64))
	case batch.Uint32:
		a.Uint(uint64(r.Uint32()))
	case batch.Uint64:
		a.Uint(r.Uint64())
	case batch.Float32, batch.Float64:
		a.Float(float64(r.IntN(1000)) / 8)
	case batch.Time:
		a.Int(r.Int64N(86400e6))
	case batch.Decimal:
		a.Decimal(decimal128.FromI64(r.Int64N(2e8) - 1e8))
	case batch.String, batch.Binary:
		a.Text(strings.Repeat(string(rune('a'+r.IntN(26))), r.IntN(12)))
	case batch.JSON:
		a.Text(fmt.Sprintf(`{"v":%d}`, r.IntN(9)))
	case batch.List, batch.Map:
		for range r.IntN(4) {
			random(r, a.Element(0), typ.Kind == batch.List)
			if typ.Kind == batch.Map {
				random(r, a.Element(1), true)
			}
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

// TestRoundTrip writes every kind and reads it back with equal schema and values, in each codec.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for i, compression := range []string{"", "zstd", "snappy", "gzip", "none"} {
		path := filepath.Join(t.TempDir(), "a.parquet")
		want := []*batch.Batch{randomBatch(uint64(i), everything(), 700), randomBatch(9, everything(), 500)}
		dictionary := []string{"auto", "always", "never"}[i%3]
		cfg := SinkConfig{Path: path, RowGroupRows: 333, Compression: compression, Dictionary: dictionary}
		writeAll(t, newEnv(vfs.OS{}, plenty()), cfg, want)
		got, err := readFile(t, path)
		if err != nil {
			t.Fatal(compression, err)
		}
		if diff := cmp.Diff(filetest.Lines(want...), got.Rows); diff != "" {
			t.Fatalf("%s: %s", compression, diff)
		}
		if got.Schema.String() != everything().String() {
			t.Errorf("got schema %s\nwant %s", got.Schema, everything())
		}
		if len(got.Counts) != 4 { // 1200 rows in groups of 333
			t.Errorf("%d chunks: %v", len(got.Counts), got.Counts)
		}
	}
}

// TestBackgroundKeepsOrder encodes row groups beside the writes.
func TestBackgroundKeepsOrder(t *testing.T) {
	t.Parallel()
	var group sync.WaitGroup
	env := newEnv(vfs.OS{}, plenty())
	env.Go = background(&group)
	path := filepath.Join(t.TempDir(), "a.parquet")
	want := orders(5000, 130)
	writeAll(t, env, SinkConfig{Path: path, RowGroupRows: 200}, want)
	group.Wait()
	got, err := readFile(t, path)
	if diff := cmp.Diff(filetest.Lines(want...), got.Rows); err != nil || diff != "" {
		t.Fatal(err, diff)
	}
}

// TestOtherReader reads what the sink wrote by a library that shares no code with it.
func TestOtherReader(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.parquet")
	writeAll(t, newEnv(vfs.OS{}, plenty()), SinkConfig{Path: path, RowGroupRows: 1000}, orders(2500, 700))
	type order struct {
		ID     int64   `parquet:"id"`
		Status *string `parquet:"status,optional"`
		Score  float64 `parquet:"score,optional"`
	}
	rows, err := pq.ReadFile[order](path)
	if err != nil || len(rows) != 2500 {
		t.Fatal(len(rows), err)
	}
	want := orders(2500, 2500)[0]
	for i, row := range rows {
		if row.ID != int64(i) || *row.Status != want.Column(2).Value(i) || row.Score != want.Column(6).Float(i) {
			t.Fatalf("row %d: %+v", i, row)
		}
	}
}

// TestResume continues at every position and delivers exactly the rest.
func TestResume(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i := range 2 {
		cfg := SinkConfig{Path: filepath.Join(dir, fmt.Sprintf("%d.parquet", i)), RowGroupRows: 150}
		writeAll(t, newEnv(vfs.OS{}, plenty()), cfg, []*batch.Batch{randomBatch(uint64(i), everything(), 400)})
	}
	small := newEnv(vfs.OS{}, connector.Limits{Rows: 64, Bytes: 1 << 20})
	cfg := SourceConfig{Path: filepath.Join(dir, "*.parquet")}
	whole, err := read(t, small, cfg, connector.Partition{}, nil)
	if err != nil || len(whole.Rows) != 800 || len(whole.Positions) < 16 {
		t.Fatal(len(whole.Rows), len(whole.Positions), err)
	}
	for i, position := range whole.Positions {
		rest, err := read(t, small, cfg, connector.Partition{}, position)
		if err != nil {
			t.Fatal(err)
		}
		if diff := filetest.Diff(whole.Rows[whole.Counts[i]:], rest.Rows); diff != "" {
			t.Fatalf("position %d: %s", i, diff)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "1.parquet"), []byte("PAR1 other"), 0o644); err != nil {
		t.Fatal(err)
	}
	var e *connector.Error
	_, err = read(t, small, cfg, connector.Partition{}, whole.Positions[len(whole.Positions)-2])
	if !errors.As(err, &e) || e.Code != "file_changed" {
		t.Errorf("changed file: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "1.parquet")); err != nil {
		t.Fatal(err)
	}
	_, err = read(t, small, cfg, connector.Partition{}, whole.Positions[len(whole.Positions)-2])
	if !errors.As(err, &e) || e.Code != "file_vanished" {
		t.Errorf("vanished file: %v", err)
	}
}

// TestPartitions reads parts that together are the whole, each resumable.
func TestPartitions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i := range 3 {
		cfg := SinkConfig{Path: filepath.Join(dir, fmt.Sprintf("%d.parquet", i)), RowGroupRows: 100}
		writeAll(t, newEnv(vfs.OS{}, plenty()), cfg, []*batch.Batch{randomBatch(uint64(i), everything(), 330)})
	}
	env := newEnv(vfs.OS{}, plenty())
	cfg := SourceConfig{Path: filepath.Join(dir, "*.parquet"), Columns: []string{"required", "c3_int32"}}
	whole, err := read(t, env, cfg, connector.Partition{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for limit := 1; limit <= 14; limit++ {
		s, err := Connector().Source.New(env, &cfg)
		if err != nil {
			t.Fatal(err)
		}
		parts, err := s.(connector.Partitioner).Partitions(t.Context(), limit)
		if err != nil || len(parts) > limit || limit <= 12 && len(parts) < min(limit, 6) {
			t.Fatal(limit, len(parts), err)
		}
		var rows []string
		for _, part := range parts {
			got, err := read(t, env, cfg, part, nil)
			if err != nil {
				t.Fatal(err)
			}
			rows = append(rows, got.Rows...)
			for i, position := range got.Positions {
				rest, err := read(t, env, cfg, part, position)
				if err != nil || len(rest.Rows) != len(got.Rows)-got.Counts[i] {
					t.Fatalf("%d parts, part %s from %d: %d rows (%v)", limit, part.ID, got.Counts[i], len(rest.Rows), err)
				}
			}
		}
		if diff := cmp.Diff(whole.Rows, rows); diff != "" {
			t.Fatalf("%d parts: %s", limit, diff)
		}
	}
}

func TestColumnsOfSeveralFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name string, fields ...batch.Field) {
		cfg := SinkConfig{Path: filepath.Join(dir, name), RowGroupRows: 100}
		writeAll(t, newEnv(vfs.OS{}, plenty()), cfg, []*batch.Batch{randomBatch(1, batch.NewSchema(fields...), 3)})
	}
	a, b := batch.Field{Name: "a", Type: batch.Of(batch.Int64)}, batch.Field{Name: "b", Type: batch.Of(batch.String), Nullable: true}
	write("1.parquet", a, b)
	write("2.parquet", a)
	out, err := read(t, newEnv(vfs.OS{}, plenty()), SourceConfig{Path: dir + "/*.parquet"}, connector.Partition{}, nil)
	if err != nil || len(out.Rows) != 6 || !strings.Contains(out.Rows[5], `"b":null`) {
		t.Fatalf("%v %v", out.Rows, err)
	}
	_, err = read(t, newEnv(vfs.OS{}, plenty()), SourceConfig{Path: dir + "/1.parquet", Columns: []string{"x"}}, connector.Partition{}, nil)
	if err == nil || !strings.Contains(err.Error(), `no column "x"; it has a, b`) {
		t.Errorf("unknown column: %v", err)
	}
}

func openSink(
	t testing.TB, env connector.Env, cfg SinkConfig, epoch uint64, token []byte,
) connector.Transactional {
	t.Helper()
	return filetest.Open(t, env, Connector(), &cfg, epoch, token)
}

// TestChangedColumns: one file refuses them, a folder begins a new part.
func TestChangedColumns(t *testing.T) {
	t.Parallel()
	one := randomBatch(1, batch.NewSchema(batch.Field{Name: "a", Type: batch.Of(batch.Int64)}), 5)
	two := randomBatch(1, batch.NewSchema(batch.Field{Name: "a", Type: batch.Of(batch.String)}), 5)
	for _, path := range []string{"/a.parquet", "/"} {
		dir := t.TempDir()
		s := openSink(t, newEnv(vfs.OS{}, plenty()), SinkConfig{Path: dir + path, RowGroupRows: 100}, 0, nil)
		if err := s.Write(t.Context(), connector.Chunk{Batch: one}); err != nil {
			t.Fatal(err)
		}
		var e *connector.Error
		if err := s.Write(t.Context(), connector.Chunk{Batch: two}); !errors.As(err, &e) || e.Class != connector.Schema {
			t.Errorf("%s: other columns in one epoch: %v", path, err)
		}
		commit(t, s, connector.Epoch{Number: 1})
		if err := s.(connector.SchemaEvolver).Evolve(t.Context(), one.Schema(), one.Schema()); err != nil {
			t.Errorf("%s: the same schema again: %v", path, err)
		}
		err := s.(connector.SchemaEvolver).Evolve(t.Context(), one.Schema(), two.Schema())
		if folder := path == "/"; folder != (err == nil) {
			t.Fatalf("%s: evolve: %v", path, err)
		}
		if err != nil {
			continue
		}
		if err := s.Write(t.Context(), connector.Chunk{Batch: two}); err != nil {
			t.Fatal(err)
		}
		commit(t, s, connector.Epoch{Number: 2, Final: true})
		files, err := filepath.Glob(dir + "/*.parquet")
		if err != nil || len(files) != 2 {
			t.Errorf("parts %v (%v)", files, err)
		}
	}
}

// A later file of a glob may lack a column that the first one requires.
func TestNullsOfRequiredColumnsAreRefused(t *testing.T) {
	t.Parallel()
	schema := batch.NewSchema(batch.Field{Name: "a", Type: batch.Of(batch.Int64)})
	valid := batch.NewBitmap(3)
	valid.Set(1)
	values := batch.FixedColumn(batch.Of(batch.Int64), []int64{1, 2, 3}, valid)
	path := t.TempDir() + "/a.parquet"
	s := openSink(t, newEnv(vfs.OS{}, plenty()), SinkConfig{Path: path, RowGroupRows: 100}, 0, nil)
	err := s.Write(t.Context(), connector.Chunk{Batch: batch.New(schema, []*batch.Column{values}, 3)})
	var partial *connector.PartialError
	if !errors.As(err, &partial) || len(partial.Rows) != 2 || partial.Rows[1].Row != 2 {
		t.Fatalf("rows 0 and 2 are NULL, refused: %v", err)
	}
	commit(t, s, connector.Epoch{Number: 1, Final: true})
	out, err := read(t, newEnv(vfs.OS{}, plenty()), SourceConfig{Path: path}, connector.Partition{}, nil)
	if diff := cmp.Diff([]string{`{"a":2}`}, out.Rows); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
}

// Spark writes 9999-12-31 for "for ever"; as nanoseconds it would be a day of 1816.
func TestInt96BeyondNanoseconds(t *testing.T) {
	t.Parallel()
	int96 := func(day uint32, nanos uint64) (v parquet.Int96) {
		binary.LittleEndian.PutUint64(v[:8], nanos)
		binary.LittleEndian.PutUint32(v[8:], day)
		return v
	}
	for _, c := range []struct {
		v  parquet.Int96
		ok bool
	}{
		{int96(2440588, 1), true},
		{int96(2440588+106750, 86399_999999999), true},
		{int96(2440588-106750, 0), true},
		{int96(5373484, 0), false}, // 9999-12-31
		{int96(1721426, 0), false}, // 0001-01-01
		{int96(2440588, 1<<63), false},
	} {
		if err := checkInt96([]parquet.Int96{c.v}); (err == nil) != c.ok {
			t.Errorf("%x: %v", c.v, err)
		}
	}
}

func TestTypesParquetLacksAreRefused(t *testing.T) {
	t.Parallel()
	member := arrow.Field{Name: "i", Type: arrow.PrimitiveTypes.Int64}
	schema := arrow.NewSchema([]arrow.Field{{Name: "u", Type: arrow.DenseUnionOf([]arrow.Field{member}, []arrow.UnionTypeCode{0})}}, nil)
	builder := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	b, err := batch.FromArrow(builder.NewRecordBatch())
	if err != nil {
		t.Fatal(err)
	}
	s := openSink(t, newEnv(vfs.OS{}, plenty()), SinkConfig{Path: t.TempDir() + "/a.parquet", RowGroupRows: 100}, 0, nil)
	var e *connector.Error
	if err := s.Write(t.Context(), connector.Chunk{Batch: b}); !errors.As(err, &e) || e.Class != connector.Schema {
		t.Errorf("union: %v", err)
	}
}

func story(cfg SinkConfig, epochs uint64) filetest.Job {
	cfg.RowGroupRows = 40
	j := filetest.Job{
		Connector: Connector(), Sink: &cfg, Source: &SourceConfig{Path: "out/*.parquet"},
		Whole: !strings.HasSuffix(cfg.Path, "/"),
	}
	for number := range epochs {
		j.Epochs = append(j.Epochs, epochRows(number))
	}
	return j
}

func epochRows(number uint64) *batch.Batch {
	return randomBatch(number, batch.NewSchema(
		batch.Field{Name: "a", Type: batch.Of(batch.Int64)},
		batch.Field{Name: "l", Type: batch.ListOf(batch.Of(batch.String)), Nullable: true}), 100)
}

func TestSinkCrashes(t *testing.T) {
	t.Parallel()
	for _, cfg := range []SinkConfig{
		{Path: "out/a.parquet"}, {Path: "out/"}, {Path: "out/", MinPartBytes: 1}, {Path: "out/", MinPartBytes: 12000},
	} {
		story(cfg, 4).Crashes(t)
	}
	story(SinkConfig{Path: "out/"}, 5).Wider().Crashes(t)
}

func TestDiskFull(t *testing.T) {
	t.Parallel()
	j := story(SinkConfig{Path: "out/a.parquet", Compression: "none"}, 0)
	for seed := range uint64(30) {
		j.Epochs = append(j.Epochs, randomBatch(seed, epochRows(1).Schema(), 5000))
	}
	j.Sink.(*SinkConfig).RowGroupRows = 4000
	j.DiskFull(t)
}

// TestNoRows: the columns are kept; without any there is no Parquet file, and no success.
func TestNoRows(t *testing.T) {
	t.Parallel()
	want := epochRows(1).Schema().String()
	for _, path := range []string{"out/a.parquet", "out/"} {
		if schema, err := story(SinkConfig{Path: path}, 1).NoRows(t, true); err != nil || schema.String() != want {
			t.Errorf("%s: columns (%s), want (%s): %v", path, schema, want, err)
		}
	}
	var e *connector.Error
	_, err := story(SinkConfig{Path: "out/a.parquet"}, 1).NoRows(t, false)
	if !errors.As(err, &e) || e.Code != "parquet_no_columns" || e.Hint == "" {
		t.Errorf("columns not known: %v", err)
	}
}

// TestLargePage: a page above the bound is refused by the setting that bounds it.
func TestLargePage(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.parquet")
	cfg := SinkConfig{Path: path, RowGroupRows: 1000, Dictionary: "never"}
	writeAll(t, newEnv(vfs.OS{}, plenty()), cfg, []*batch.Batch{epochRows(1)})
	_, err := read(t, newEnv(vfs.OS{}, plenty()), SourceConfig{Path: path, MaxPageBytes: 100}, connector.Partition{}, nil)
	var e *connector.Error
	if !errors.As(err, &e) || e.Code != "parquet_large_page" || e.Path != "max_page_bytes" || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
	if _, err := Connector().Source.New(newEnv(vfs.OS{}, plenty()), &SourceConfig{Path: path, MaxPageBytes: 1 << 30}); err == nil {
		t.Error("a page of more than a batch's text may take is allowed")
	}
}

// TestManyRowGroups: a run of more checkpoints than a row group's number can count ends well.
func TestManyRowGroups(t *testing.T) {
	t.Parallel()
	form, err := newForm(epochRows(1).Schema(), &SinkConfig{RowGroupRows: 100})
	if err != nil {
		t.Fatal(err)
	}
	var s splicer
	for first := range 2 {
		g := &rowGroup{form: form, records: []arrow.RecordBatch{batch.ToArrow(epochRows(1))}, rows: 100}
		out, err := g.encode()
		if err != nil {
			t.Fatal(err)
		}
		if err := s.add(out.footer, out.end-int64(len(magic))); err != nil {
			t.Fatal(err)
		}
		for first == 0 && len(s.footer.RowGroups) <= math.MaxInt16 {
			s.footer.RowGroups = append(s.footer.RowGroups, s.footer.RowGroups[0])
		}
	}
	groups := s.footer.RowGroups
	if last := groups[len(groups)-1]; last.Ordinal != nil || *groups[0].Ordinal != 0 {
		t.Errorf("row group %d has the number %d", len(groups)-1, *last.Ordinal)
	}
}

// TestFlights brings real rows from Arrow to Parquet and back.
func TestFlights(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join(testenv.Data(t, "flights"), "flights-200k.arrow"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := ipc.NewFileReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	var batches []*batch.Batch
	want := map[string]float64{}
	for i := range r.NumRecords() {
		record, err := r.RecordBatchAt(i)
		if err != nil {
			t.Fatal(err)
		}
		b, err := batch.FromArrow(record)
		if err != nil {
			t.Fatal(err)
		}
		addSums(want, b)
		batches = append(batches, b)
	}
	path := filepath.Join(t.TempDir(), "f.parquet")
	writeAll(t, newEnv(vfs.OS{}, plenty()), SinkConfig{Path: path, RowGroupRows: 30000}, batches)
	s, err := Connector().Source.New(newEnv(vfs.OS{}, plenty()), &SourceConfig{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Open(t.Context(), connector.Partition{}, nil); err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for {
		chunk, err := s.Read(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		addSums(got, chunk.Batch)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(want, got); diff != "" || got["rows"] < 200_000 {
		t.Errorf("%v: %s", got, diff)
	}
	t.Logf("%v", got)
}

func addSums(sums map[string]float64, b *batch.Batch) {
	sums["rows"] += float64(b.Len())
	for i, f := range b.Schema().Fields() {
		for row := range b.Len() {
			switch v := b.Column(i).Value(row).(type) {
			case int64:
				sums[f.Name] += float64(v)
			case float64:
				sums[f.Name] += v
			}
		}
	}
}
