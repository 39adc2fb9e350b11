package parquet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/go-cmp/cmp"
	pq "github.com/parquet-go/parquet-go"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/testenv"
	"github.com/tapeline/tapeline/internal/vfs"
	"github.com/tapeline/tapeline/internal/vfs/simfs"
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

func rowsOf(batches ...*batch.Batch) []string {
	var rows []string
	for _, b := range batches {
		for row := range b.Len() {
			rows = append(rows, string(batch.AppendRow(nil, b, row)))
		}
	}
	return rows
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
		if diff := cmp.Diff(rowsOf(want...), got.rows); diff != "" {
			t.Fatalf("%s: %s", compression, diff)
		}
		if got.schema.String() != everything().String() {
			t.Errorf("got schema %s\nwant %s", got.schema, everything())
		}
		if len(got.counts) != 4 { // 1200 rows in groups of 333
			t.Errorf("%d chunks: %v", len(got.counts), got.counts)
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
	if diff := cmp.Diff(rowsOf(want...), got.rows); err != nil || diff != "" {
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
	if err != nil || len(whole.rows) != 800 || len(whole.positions) < 16 {
		t.Fatal(len(whole.rows), len(whole.positions), err)
	}
	for i, position := range whole.positions {
		rest, err := read(t, small, cfg, connector.Partition{}, position)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(whole.rows[whole.counts[i]:], rest.rows, emptyIsNil()); diff != "" {
			t.Fatalf("position %d: %s", i, diff)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "1.parquet"), []byte("PAR1 other"), 0o644); err != nil {
		t.Fatal(err)
	}
	var e *connector.Error
	_, err = read(t, small, cfg, connector.Partition{}, whole.positions[len(whole.positions)-2])
	if !errors.As(err, &e) || e.Code != "file_changed" {
		t.Errorf("changed file: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "1.parquet")); err != nil {
		t.Fatal(err)
	}
	_, err = read(t, small, cfg, connector.Partition{}, whole.positions[len(whole.positions)-2])
	if !errors.As(err, &e) || e.Code != "file_vanished" {
		t.Errorf("vanished file: %v", err)
	}
}

func emptyIsNil() cmp.Option {
	return cmp.FilterValues(func(a, b []string) bool { return len(a) == 0 && len(b) == 0 }, cmp.Ignore())
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
			rows = append(rows, got.rows...)
			for i, position := range got.positions {
				rest, err := read(t, env, cfg, part, position)
				if err != nil || len(rest.rows) != len(got.rows)-got.counts[i] {
					t.Fatalf("%d parts, part %s from %d: %d rows (%v)", limit, part.ID, got.counts[i], len(rest.rows), err)
				}
			}
		}
		if diff := cmp.Diff(whole.rows, rows); diff != "" {
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
	if err != nil || len(out.rows) != 6 || !strings.Contains(out.rows[5], `"b":null`) {
		t.Fatalf("%v %v", out.rows, err)
	}
	write("3.parquet", a, b, batch.Field{Name: "c", Type: batch.Of(batch.Bool)})
	for path, code := range map[string]string{"/*.parquet": "parquet_other_columns", "/[14].parquet": "parquet_other_type"} {
		write("4.parquet", batch.Field{Name: "a", Type: batch.Of(batch.String)})
		_, err := read(t, newEnv(vfs.OS{}, plenty()), SourceConfig{Path: dir + path}, connector.Partition{}, nil)
		var e *connector.Error
		if !errors.As(err, &e) || e.Class != connector.Schema || e.Code != code {
			t.Errorf("%s: got %v, want %s", path, err, code)
		}
	}
	_, err = read(t, newEnv(vfs.OS{}, plenty()), SourceConfig{Path: dir + "/1.parquet", Columns: []string{"x"}}, connector.Partition{}, nil)
	if err == nil || !strings.Contains(err.Error(), `no column "x"; it has a, b`) {
		t.Errorf("unknown column: %v", err)
	}
}

func openSink(t testing.TB, env connector.Env, cfg SinkConfig, epoch uint64, token []byte) connector.Transactional {
	t.Helper()
	s, err := Connector().Sink.New(env, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	tx := s.(connector.Transactional)
	err = errors.Join(tx.Open(t.Context(), connector.Task{Run: "r", Count: 1}),
		tx.Recover(t.Context(), connector.Epoch{Number: epoch}, token))
	if err != nil {
		t.Fatal(err)
	}
	return tx
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

// crashJob writes four epochs of rows and commits each.
func crashJob(system vfs.FS, path string, done *uint64, token *[]byte) error {
	cfg := SinkConfig{Path: path, RowGroupRows: 40, Compression: "snappy"}
	s, err := Connector().Sink.New(connector.Env{FS: system}, &cfg)
	if err != nil {
		return err
	}
	tx, ctx := s.(connector.Transactional), context.Background()
	if err := tx.Open(ctx, connector.Task{Run: "r", Count: 1}); err != nil {
		return err
	}
	if err := tx.Recover(ctx, connector.Epoch{Number: *done}, *token); err != nil {
		return err
	}
	const epochs = 4
	for number := *done + 1; number <= epochs; number++ {
		if err := tx.Write(ctx, connector.Chunk{Batch: epochRows(number)}); err != nil {
			return err
		}
		epoch := connector.Epoch{Number: number, Final: number == epochs}
		prepared, err := tx.Prepare(ctx, epoch)
		if err != nil {
			return err
		}
		if err := prepared.Sync(ctx); err != nil {
			return err
		}
		*done, *token = number, prepared.Token
		if err := tx.Commit(ctx, epoch, prepared.Token); err != nil {
			return err
		}
	}
	return tx.Close()
}

func epochRows(number uint64) *batch.Batch {
	return randomBatch(number, batch.NewSchema(
		batch.Field{Name: "a", Type: batch.Of(batch.Int64)},
		batch.Field{Name: "l", Type: batch.ListOf(batch.Of(batch.String)), Nullable: true}), 100)
}

// TestSinkCrashes crashes at every change of the disk, recovers and goes on: the result is the
// undisturbed one, and a visible file is always whole.
func TestSinkCrashes(t *testing.T) {
	t.Parallel()
	want := rowsOf(epochRows(1), epochRows(2), epochRows(3), epochRows(4))
	for _, path := range []string{"out/a.parquet", "out/"} {
		var done uint64
		var token []byte
		whole := newSystem(t)
		start := whole.Operations()
		if err := crashJob(whole, path, &done, &token); err != nil {
			t.Fatal(err)
		}
		for stop := start; stop < whole.Operations(); stop++ {
			system := newSystem(t)
			system.StopAt(stop)
			done, token = 0, nil
			if err := crashJob(system, path, &done, &token); !errors.Is(err, simfs.ErrStopped) {
				t.Fatalf("%s stopped at %d: %v", path, stop, err)
			}
			clone := system.CrashClone(rand.New(rand.NewPCG(uint64(stop), 7)))
			if visible := visibleRows(t, clone); len(visible)%100 != 0 || path == "out/a.parquet" && len(visible) > 0 && len(visible) < 400 {
				t.Fatalf("%s stopped at %d: %d rows are visible", path, stop, len(visible))
			}
			if err := crashJob(clone, path, &done, &token); err != nil {
				t.Fatalf("%s stopped at %d, epoch %d: %v", path, stop, done, err)
			}
			if diff := cmp.Diff(want, visibleRows(t, clone)); diff != "" {
				t.Fatalf("%s stopped at %d: %s", path, stop, diff)
			}
		}
	}
}

func newSystem(t *testing.T) *simfs.FS {
	t.Helper()
	system := simfs.New()
	if err := errors.Join(system.MkdirAll("out"), system.SyncDir("out")); err != nil {
		t.Fatal(err)
	}
	return system
}

func visibleRows(t *testing.T, system vfs.FS) []string {
	t.Helper()
	out, err := read(t, newEnv(system, plenty()), SourceConfig{Path: "out/*.parquet"}, connector.Partition{}, nil)
	if err != nil && !strings.Contains(err.Error(), "no file matches") {
		t.Fatal(err)
	}
	return out.rows
}

// TestDiskFull fails writes now and then: a repeated write doubles and loses nothing.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	system := newSystem(t)
	s := openSink(t, newEnv(system, plenty()), SinkConfig{Path: "out/a.parquet", RowGroupRows: 50, Compression: "none"}, 0, nil)
	var want []string
	failed, n := 0, 0
	system.Inject(func(op simfs.Op, _ string) error {
		if n++; op == simfs.OpWrite && n%3 == 0 {
			return syscall.ENOSPC
		}
		return nil
	})
	for i := range 60 {
		b := randomBatch(uint64(i), everything(), 300)
		want = append(want, rowsOf(b)...)
		err := s.Write(t.Context(), connector.Chunk{Batch: b})
		for err != nil {
			var e *connector.Error
			if failed++; !errors.As(err, &e) || e.Class != connector.Transient || failed > 1000 {
				t.Fatal(err)
			}
			err = s.Write(t.Context(), connector.Chunk{Batch: b})
		}
	}
	system.Inject(nil)
	commit(t, s, connector.Epoch{Number: 1, Final: true})
	if diff := cmp.Diff(want, visibleRows(t, system)); diff != "" || failed == 0 {
		t.Errorf("%d failures: %s", failed, diff)
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
