package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/fault"
	"github.com/tapeline/tapeline/internal/sqlkit"
)

// fixture is a database file of one test's own.
type fixture struct {
	testing.TB
	path string
	*sqlkit.Session
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a b?c%.db")
	s, err := connect(t.Context(), path, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return &fixture{TB: t, path: path, Session: s}
}

func (f *fixture) exec(sql string) {
	f.Helper()
	if _, err := f.Exec(f.Context(), sql); err != nil {
		f.Fatalf("%s: %v", sql, err)
	}
}

func (f *fixture) expect(sql string, want ...string) {
	f.Helper()
	rows, err := f.Query(f.Context(), sql)
	if err != nil {
		f.Fatal(err)
	}
	all, err := sqlkit.Collect(rows)
	if err != nil {
		f.Fatal(err)
	}
	var got []string
	for _, row := range all {
		fields := make([]string, len(row))
		for i, v := range row {
			fields[i] = fmt.Sprint(v)
		}
		got = append(got, strings.Join(fields, "|"))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		f.Errorf("%s: %s", sql, diff)
	}
}

func testEnv(rows int) connector.Env {
	return connector.Env{
		Log: slog.New(slog.DiscardHandler), Node: "node",
		Budget: connector.NewBudget(connector.Limits{Rows: rows, Bytes: 1 << 20}),
	}
}

func (f *fixture) open(config sourceConfig, rows int, at connector.Position) connector.Source {
	f.Helper()
	config.Path = f.path
	s, err := Connector().Source.New(testEnv(rows), &config)
	if err != nil {
		f.Fatal(err)
	}
	if err := s.Open(f.Context(), connector.Partition{}, at); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = s.Close() })
	return s
}

func (f *fixture) readAll(s connector.Source) ([]connector.Chunk, connector.Position) {
	f.Helper()
	var out []connector.Chunk
	for {
		chunk, err := s.Read(f.Context())
		if errors.Is(err, io.EOF) {
			return out, chunk.Position
		}
		if err != nil {
			f.Fatal(err)
		}
		out = append(out, chunk)
	}
}

func (f *fixture) openSink(config sqlkit.SinkConfig, task connector.Task) connector.Decider {
	f.Helper()
	config.Create = true
	made, err := Connector().Sink.New(testEnv(1), &sinkConfig{Connection{f.path}, config})
	if err != nil {
		f.Fatal(err)
	}
	task.Run, task.Node = "run", "node"
	if err := made.Open(f.Context(), task); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = made.Close() })
	return made.(connector.Decider)
}

func (f *fixture) write(s connector.Sink, b *batch.Batch) {
	f.Helper()
	if err := s.Write(f.Context(), connector.Chunk{Batch: b}); err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) commit(s connector.Decider, epoch uint64) {
	f.Helper()
	if err := s.Decide(f.Context(), connector.Epoch{Number: epoch}); err != nil {
		f.Fatal(err)
	}
}

func people(t testing.TB, from, to int, name string) *batch.Batch {
	t.Helper()
	b := batch.NewBuilder(batch.NewSchema(
		batch.Field{Name: "id", Type: batch.Of(batch.Int64)},
		batch.Field{Name: "name", Type: batch.Of(batch.String), Nullable: true},
	))
	for i := from; i < to; i++ {
		b.Column(0).Int(int64(i))
		b.Column(1).Text(name)
	}
	out, err := b.Batch()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// every returns three rows of every type a sink creates columns for: null, lowest, highest.
func every(t testing.TB) *batch.Batch {
	t.Helper()
	types := []string{
		"bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32",
		"float64", "decimal(15,2)", "decimal(38,10)", "string", "binary", "json", "date", "time",
		"timestamp(us)", "timestamp(us,UTC)",
	}
	low := []any{
		"false", "-128", "-32768", "-2147483648", "-9223372036854775808", "0", "0", "0", "0",
		-3.4028234663852886e38, -1.7976931348623157e308, "-9999999999999.99",
		"-7999999999999999999999999999.9999999999", "",
		[]byte{},
		"null", "0001-01-01", "00:00:00",
		"0001-01-01T00:00:00", "0001-01-01T00:00:00Z",
	}
	high := []any{
		"true", "127", "32767", "2147483647", "9223372036854775807", "255", "65535", "4294967295",
		"18446744073709551615", 3.4028234663852886e38, 1.7976931348623157e308, "9999999999999.99",
		"7999999999999999999999999999.9999999999", "a'b\"c\\d\n\u00e9\U0001F600",
		[]byte{0, 255, 39},
		`{"a":[1,2.50]}`, "9999-12-31", "23:59:59.999999", "9999-12-31T23:59:59.999999",
		"9999-12-31T23:59:59.999999Z",
	}
	fields := make([]batch.Field, len(types))
	for i, text := range types {
		typ, err := batch.ParseType(text)
		if err != nil {
			t.Fatal(err)
		}
		fields[i] = batch.Field{Name: fmt.Sprintf("c%d %s", i, typ.Kind), Type: typ, Nullable: true}
	}
	b := batch.NewBuilder(batch.NewSchema(fields...))
	for i := range types {
		for _, v := range []any{nil, low[i], high[i]} {
			if err := b.Column(i).Any(v); err != nil {
				t.Fatalf("%s: %v", types[i], err)
			}
		}
	}
	out, err := b.Batch()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestRoundTrip(t *testing.T) {
	f := newFixture(t)
	in := every(t)
	s := f.openSink(sqlkit.SinkConfig{Table: "every"}, connector.Task{})
	f.write(s, in)
	f.commit(s, 1)
	chunks, _ := f.readAll(f.open(sourceConfig{SourceConfig: sqlkit.SourceConfig{Table: "every"}}, 10, nil))
	if len(chunks) != 1 || len(chunks[0].Rejected) > 0 || chunks[0].Batch.Len() != 3 {
		t.Fatalf("read %+v", chunks)
	}
	out := chunks[0].Batch
	for i, c := range in.Columns() {
		for row := range 3 {
			var want, got string
			if !c.IsNull(row) {
				want = string(batch.AppendText(nil, c, row))
			}
			if o := out.Column(i); !o.IsNull(row) {
				got = string(batch.AppendText(nil, o, row))
			}
			if c.Type().Kind == batch.Float32 {
				want, got = fmt.Sprint(c.Value(row)), fmt.Sprint(out.Column(i).Value(row))
			}
			if want != got || c.IsNull(row) != out.Column(i).IsNull(row) {
				t.Errorf("column %s, row %d: wrote %q, read %q as %s", in.Schema().Field(i).Name, row,
					want, got, out.Column(i).Type())
			}
		}
	}
}

func TestResume(t *testing.T) {
	f := newFixture(t)
	for _, sql := range []string{
		"CREATE TABLE plain (id INTEGER, tens INT)",
		"WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 499) " +
			"INSERT INTO plain SELECT i, i / 10 FROM n",
		"CREATE TABLE keyed (id INT, name TEXT, PRIMARY KEY (name, id)) WITHOUT ROWID",
		"INSERT INTO keyed SELECT id, 'it''s ' || printf('%03d', tens) FROM plain",
		"CREATE VIEW seen AS SELECT * FROM plain",
	} {
		f.exec(sql)
	}
	for name, config := range map[string]sqlkit.SourceConfig{
		"rowid":   {Table: "plain"},
		"key":     {Table: "keyed"},
		"view":    {Table: "seen", Columns: []string{"id"}},
		"query":   {Query: "SELECT * FROM plain ORDER BY id"},
		"sorted":  {Table: "plain", Incremental: sqlkit.Incremental{Column: "tens"}},
		"counted": {Table: "seen", Incremental: sqlkit.Incremental{Column: "tens"}},
	} {
		t.Run(name, func(t *testing.T) {
			all, end := f.readAll(f.open(sourceConfig{SourceConfig: config}, 37, nil))
			got := ids(all)
			if len(got) != 500 || !slices.IsSorted(got) {
				t.Fatalf("read %v", got)
			}
			seen := 0
			for _, chunk := range all {
				seen += chunk.Batch.Len()
				rest, _ := f.readAll(f.open(sourceConfig{SourceConfig: config}, 100, chunk.Position))
				if !slices.Equal(ids(rest), got[seen:]) {
					t.Fatalf("after %s: read %v", chunk.Position, ids(rest))
				}
			}
			if rest, _ := f.readAll(f.open(sourceConfig{SourceConfig: config}, 10, end)); len(rest) > 0 {
				t.Errorf("after the end: read %v", ids(rest))
			}
		})
	}
}

func ids(chunks []connector.Chunk) []int64 {
	var out []int64
	for _, chunk := range chunks {
		for i := range chunk.Batch.Len() {
			out = append(out, chunk.Batch.Column(0).Int(chunk.Batch.Row(i)))
		}
	}
	return out
}

func TestIncremental(t *testing.T) {
	f := newFixture(t)
	f.exec("CREATE TABLE log (id INTEGER PRIMARY KEY, at DATETIME)")
	f.exec("INSERT INTO log VALUES (1, '2024-01-01 00:00:00'), (2, '2024-01-02 00:00:00'), (3, NULL)")
	config := sourceConfig{SourceConfig: sqlkit.SourceConfig{
		Table: "log", Incremental: sqlkit.Incremental{
			Column: "at", InitialValue: "2024-01-01T00:00:00Z",
		},
	}}
	first, end := f.readAll(f.open(config, 10, nil))
	f.exec("INSERT INTO log VALUES (9, '2024-01-02 00:00:00'), (8, '2024-01-03 00:00:00')")
	second, _ := f.readAll(f.open(config, 10, end))
	if diff := cmp.Diff([][]int64{{2}, {9, 8}}, [][]int64{ids(first), ids(second)}); diff != "" {
		t.Error(diff)
	}
}

func TestRejectedRows(t *testing.T) {
	f := newFixture(t)
	f.exec("CREATE TABLE odd (id INTEGER, d DATE, n INT)")
	f.exec("INSERT INTO odd VALUES (1, '2024-02-30', 1), (2, '2024-02-29 00:00:00', 2), (3, NULL, 'x')")
	chunks, _ := f.readAll(f.open(sourceConfig{SourceConfig: sqlkit.SourceConfig{Table: "odd"}}, 10, nil))
	if diff := cmp.Diff([]int64{2}, ids(chunks)); diff != "" {
		t.Error(diff)
	}
	if len(chunks[0].Rejected) != 2 || chunks[0].Rejected[0].Place.Record != 1 {
		t.Errorf("rejected %+v", chunks[0].Rejected)
	}
}

// TestEpochs: invariant: an epoch is committed once, by the newest owner of the task.
func TestEpochs(t *testing.T) {
	f := newFixture(t)
	const count = "SELECT count(*), max(name) FROM people"
	s := f.openSink(sqlkit.SinkConfig{Table: "people"}, connector.Task{Fence: 1})
	f.write(s, people(t, 0, 100, "a"))
	f.commit(s, 1)
	f.expect(count, "100|a")
	f.write(s, people(t, 100, 200, "a"))
	_ = s.Close() // a crash before the decision

	zombie := f.openSink(sqlkit.SinkConfig{Table: "people"}, connector.Task{Fence: 1})
	s = f.openSink(sqlkit.SinkConfig{Table: "people"}, connector.Task{Fence: 2})
	if n, err := s.Decided(t.Context()); n != 1 || err != nil {
		t.Fatalf("decided %d, %v", n, err)
	}
	if err := s.Recover(t.Context(), connector.Epoch{Number: 1}, []byte("1 1")); err != nil {
		t.Fatal(err)
	}
	f.expect(count, "100|a")
	f.write(zombie, people(t, 100, 200, "zombie"))
	err := zombie.Decide(t.Context(), connector.Epoch{Number: 2})
	if fault.ClassOf(err) != fault.Permanent || !errors.Is(err, connector.ErrEpochLost) {
		t.Errorf("zombie's commit: %v", err)
	}
	f.write(s, people(t, 100, 200, "b"))
	f.commit(s, 2)
	f.expect(count, "200|b")
	if err := s.Decide(t.Context(), connector.Epoch{Number: 2}); err == nil {
		t.Error("epoch 2 was committed twice")
	}
}

func TestUpsertDeleteReplace(t *testing.T) {
	f := newFixture(t)
	s := f.openSink(sqlkit.SinkConfig{Table: "people", Key: []string{"id"}}, connector.Task{})
	f.write(s, people(t, 0, 10, "a"))
	f.write(s, people(t, 5, 15, "b"))
	operations := []batch.Operation{batch.Delete, batch.Upsert, batch.Delete}
	f.write(s, people(t, 0, 3, "c").WithOperations(operations))
	twice, err := batchOf(people(t, 3, 4, "first"), people(t, 3, 4, "last"))
	if err != nil {
		t.Fatal(err)
	}
	f.write(s, twice)
	f.commit(s, 1)
	f.expect("SELECT name, count(*), min(id) FROM people GROUP BY 1 ORDER BY 1",
		"a|1|4", "b|10|5", "c|1|1", "last|1|3")
	_ = s.Close()

	s = f.openSink(sqlkit.SinkConfig{Table: "people", Mode: "replace"}, connector.Task{Index: 1})
	f.write(s, people(t, 0, 3, "new"))
	f.write(s, people(t, 3, 5, "new"))
	f.commit(s, 1)
	f.write(s, people(t, 5, 6, "new"))
	f.commit(s, 2)
	f.expect("SELECT name, count(*) FROM people GROUP BY 1", "new|6")
}

func batchOf(parts ...*batch.Batch) (*batch.Batch, error) {
	out, bad := batch.Concat(parts)
	if len(bad) > 0 {
		return nil, bad[0]
	}
	return out, nil
}

// TestSinksOnOneFile interleaves the epochs of two sinks, which would wait for each other's lock.
func TestSinksOnOneFile(t *testing.T) {
	f := newFixture(t)
	made := Connector()
	open := func(config sqlkit.SinkConfig, node string) connector.Decider {
		config.Create = true
		s, err := made.Sink.New(testEnv(1), &sinkConfig{Connection{f.path}, config})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Open(t.Context(), connector.Task{Run: "run", Node: node}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s.(connector.Decider)
	}
	plain := open(sqlkit.SinkConfig{Table: "plain", Mode: "replace"}, "a")
	keyed := open(sqlkit.SinkConfig{Table: "keyed", Key: []string{"id"}}, "b")
	f.exec("CREATE TABLE plain (id INTEGER, name TEXT)")
	f.exec("INSERT INTO plain VALUES (77, 'old')")
	for epoch := uint64(1); epoch <= 3; epoch++ {
		from := int(epoch) * 10
		f.write(plain, people(t, from, from+10, "p"))
		f.write(keyed, people(t, from, from+15, "k"))
		f.write(plain, people(t, from, from+10, "q"))
		operations := make([]batch.Operation, 2)
		operations[0] = batch.Delete
		f.write(keyed, people(t, from, from+2, "new").WithOperations(operations))
		f.commit(keyed, epoch)
		f.commit(plain, epoch)
	}
	f.write(plain, people(t, 0, 9, "lost"))
	_ = plain.Close()
	f.expect("SELECT name, count(*), min(id), max(id) FROM plain GROUP BY 1", "p|30|10|39", "q|30|10|39")
	f.expect("SELECT name, count(*), min(id), max(id) FROM keyed GROUP BY 1", "k|29|12|44", "new|3|11|31")
}

// TestStagedRowsAreRefusedBeforeTheDecision: sinks that share a file check constraints at Prepare.
func TestStagedRowsAreRefusedBeforeTheDecision(t *testing.T) {
	f := newFixture(t)
	f.exec("CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT)")
	made := Connector()
	open := func(node string) connector.Decider {
		config := sqlkit.SinkConfig{Table: "people", Create: true}
		s, err := made.Sink.New(testEnv(1), &sinkConfig{Connection{f.path}, config})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Open(t.Context(), connector.Task{Run: "run", Node: node}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s.(connector.Decider)
	}
	open("other")
	s := open("node")
	f.write(s, people(t, 0, 10, "a"))
	f.write(s, people(t, 9, 11, "again"))
	_, err := s.Prepare(t.Context(), connector.Epoch{Number: 1})
	if fault.ClassOf(err) != fault.Data || !errors.Is(err, connector.ErrEpochLost) ||
		!strings.Contains(err.Error(), "people.id") {
		t.Fatalf("prepare: %v", err)
	}
	f.expect("SELECT count(*) FROM people", "0")
	f.write(s, people(t, 0, 10, "b"))
	if _, err := s.Prepare(t.Context(), connector.Epoch{Number: 1}); err != nil {
		t.Fatal(err)
	}
	f.expect("SELECT count(*) FROM people", "0")
	f.commit(s, 1)
	f.expect("SELECT count(*), max(name) FROM people", "10|b")
}

func TestRefusedRows(t *testing.T) {
	f := newFixture(t)
	f.exec("CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT CHECK (name <> 'bad'))")
	s := f.openSink(sqlkit.SinkConfig{Table: "people"}, connector.Task{})
	f.write(s, people(t, 0, 10, "ok"))
	for _, b := range []*batch.Batch{people(t, 10, 20, "bad"), people(t, 9, 11, "ok")} {
		err := s.Write(t.Context(), connector.Chunk{Batch: b})
		if fault.ClassOf(err) != fault.Data || !strings.Contains(err.Error(), "people") {
			t.Errorf("refused: %v", err)
		}
	}
	f.write(s, people(t, 10, 20, "ok"))
	f.commit(s, 1)
	f.expect("SELECT count(*) FROM people", "20")

	wrong, err := batchOf(people(t, 0, 1, "x"))
	if err != nil {
		t.Fatal(err)
	}
	f.exec("CREATE TABLE other (id DATE, name TEXT)")
	s = f.openSink(sqlkit.SinkConfig{Table: "other"}, connector.Task{Index: 1})
	err = s.Write(t.Context(), connector.Chunk{Batch: wrong})
	want := `column "id" of table other: rows have int64, the table has DATE`
	if fault.ClassOf(err) != fault.Schema || !strings.Contains(err.Error(), want) {
		t.Errorf("conflict: %v", err)
	}
}

func TestEvolve(t *testing.T) {
	f := newFixture(t)
	s := f.openSink(sqlkit.SinkConfig{Table: "people"}, connector.Task{})
	in := people(t, 0, 1, "x")
	f.write(s, in)
	f.commit(s, 1)
	to := batch.NewSchema(append(slices.Clone(in.Schema().Fields()),
		batch.Field{Name: "more", Type: batch.Of(batch.Float64)})...)
	for range 2 {
		if err := s.(connector.SchemaEvolver).Evolve(t.Context(), in.Schema(), to); err != nil {
			t.Fatal(err)
		}
	}
	f.expect("SELECT id, name, more FROM people", "0|x|<nil>")
}

func TestLookup(t *testing.T) {
	f := newFixture(t)
	f.exec("CREATE TABLE city (id INTEGER PRIMARY KEY, name TEXT, founded DATE)")
	f.exec("INSERT INTO city VALUES (1, 'one', '2001-01-01'), (2, 'two', NULL), (3, 'three', NULL)")
	l, err := Connector().Lookup.New(testEnv(1), &lookupConfig{
		Connection{f.path}, sqlkit.LookupConfig{Table: "city", Key: []string{"id"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	found, row, err := l.Lookup(t.Context(), people(t, 0, 1200, "x").WithColumns(
		batch.NewSchema(batch.Field{Name: "k", Type: batch.Of(batch.Int64)}),
		people(t, 0, 1200, "x").Columns()[:1]))
	if err != nil {
		t.Fatal(err)
	}
	if row[0] != -1 || row[1199] != -1 || found.Len() != 3 {
		t.Fatalf("found %d, rows %v", found.Len(), row[:5])
	}
	if got := found.Column(1).Value(int(row[3])); got != "three" {
		t.Errorf("key 3: %v", got)
	}
}

func TestClosedWhileOpen(t *testing.T) {
	f := newFixture(t)
	query := "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
	s := f.open(sourceConfig{SourceConfig: sqlkit.SourceConfig{Query: query}}, 1<<30, nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := s.Read(ctx)
		done <- err
	}()
	cancel()
	if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("read: %v", err)
	}
}

func TestFromURL(t *testing.T) {
	for text, want := range map[string]map[string]any{
		"a/b.db?table=t":           {"path": "a/b.db", "table": "t"},
		"sqlite:b.db?key=a,b":      {"path": "b.db", "key": []string{"a", "b"}},
		"sqlite:///x/b.db?table=t": {"path": "/x/b.db", "table": "t"},
	} {
		got, err := fromURL(text)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", text, err, diff)
		}
	}
}

func TestMissingFile(t *testing.T) {
	s, err := Connector().Source.New(testEnv(1), &sourceConfig{
		Connection{filepath.Join(t.TempDir(), "none.db")}, sqlkit.SourceConfig{Table: "t"},
	})
	if err != nil {
		t.Fatal(err)
	}
	err = s.Open(t.Context(), connector.Partition{}, nil)
	if fault.ClassOf(err) != fault.Permanent || !strings.Contains(err.Error(), "none.db") {
		t.Errorf("missing file: %v", err)
	}
}

func BenchmarkSink(b *testing.B) {
	f := newFixture(b)
	s := f.openSink(sqlkit.SinkConfig{Table: "people"}, connector.Task{})
	in := people(b, 0, 10000, "some name")
	epoch := uint64(0)
	for b.Loop() {
		f.write(s, in)
		if epoch++; epoch%10 == 0 {
			f.commit(s, epoch)
		}
	}
	b.ReportMetric(1e4*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkSource(b *testing.B) {
	f := newFixture(b)
	s := f.openSink(sqlkit.SinkConfig{Table: "people"}, connector.Task{})
	f.write(s, people(b, 0, 100000, "some name"))
	f.commit(s, 1)
	for b.Loop() {
		f.readAll(f.open(sourceConfig{SourceConfig: sqlkit.SourceConfig{Table: "people"}}, 16384, nil))
	}
	b.ReportMetric(1e5*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
