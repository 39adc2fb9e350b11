package sqltest

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/fault"
	"github.com/tapeline/tapeline/internal/sqlkit"
)

// Database is an empty database of one test's own.
type Database struct {
	testing.TB
	Dialect   sqlkit.Dialect
	Connector connector.Connector
	// Config completes a sqlkit.SourceConfig, SinkConfig or LookupConfig to the connector's own.
	Config func(part any) any
	// Do runs one statement.
	Do func(sql string) error
	// Ask returns a query's rows; nil values are NULL.
	Ask func(sql string) ([][]any, error)
}

// On makes a driver's connection answer Do and Ask.
func (d *Database) On(s *sqlkit.Session) *Database {
	d.Do = func(sql string) error {
		_, err := s.Exec(d.Context(), sql)
		return err
	}
	d.Ask = func(sql string) ([][]any, error) {
		rows, err := s.Query(d.Context(), sql)
		if err != nil {
			return nil, err
		}
		return sqlkit.Collect(rows)
	}
	return d
}

// Exec runs statements, one after the other.
func (d *Database) Exec(statements ...string) {
	d.Helper()
	for _, sql := range statements {
		if err := d.Do(sql); err != nil {
			d.Fatalf("%s: %v", sql, err)
		}
	}
}

// Texts returns a query's rows, fields joined by |, NULL as ~.
func (d *Database) Texts(sql string) []string {
	d.Helper()
	rows, err := d.Ask(sql)
	if err != nil {
		d.Fatalf("%s: %v", sql, err)
	}
	out := make([]string, len(rows))
	for i, row := range rows {
		fields := make([]string, len(row))
		for k, v := range row {
			fields[k] = fmt.Sprint(v)
			if v == nil {
				fields[k] = "~"
			}
		}
		out[i] = strings.Join(fields, "|")
	}
	return out
}

// Expect compares a query's rows.
func (d *Database) Expect(sql string, want ...string) {
	d.Helper()
	got := d.Texts(sql)
	if len(want) == 0 && len(got) == 0 {
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		d.Errorf("%s: %s", sql, diff)
	}
}

// Env returns what a connector gets, with batches of at most the given rows.
func Env(rows int) connector.Env {
	return connector.Env{
		Log: slog.New(slog.DiscardHandler), Node: "node", Workflow: "flow",
		Budget: connector.NewBudget(connector.Limits{Rows: rows, Bytes: 1 << 20}),
	}
}

// Source returns an opened source; nil opens at the start.
func (d *Database) Source(
	config sqlkit.SourceConfig, env connector.Env, at connector.Position,
) connector.Source {
	d.Helper()
	s, err := d.Connector.Source.New(env, d.Config(config))
	if err != nil {
		d.Fatal(err)
	}
	d.Cleanup(func() { _ = s.Close() })
	if err := s.Open(d.Context(), connector.Partition{}, at); err != nil {
		d.Fatal(err)
	}
	return s
}

// Read opens a source, reads all of it and returns its chunks and the end's position.
func (d *Database) Read(
	config sqlkit.SourceConfig, rows int, at connector.Position,
) ([]connector.Chunk, connector.Position) {
	d.Helper()
	s := d.Source(config, Env(rows), at)
	defer func() { _ = s.Close() }()
	decode := func(c connector.Chunk) (connector.Chunk, error) { return c, nil }
	if decoder, ok := s.(connector.Decoder); ok {
		decode = decoder.NewDecode()
	}
	var out []connector.Chunk
	for {
		chunk, err := s.Read(d.Context())
		if errors.Is(err, io.EOF) {
			return out, chunk.Position
		}
		if err == nil {
			chunk, err = decode(chunk)
		}
		if err != nil {
			d.Fatal(err)
		}
		chunk.Batch = chunk.Batch.Keep()
		if chunk.Release != nil {
			chunk.Release()
		}
		out = append(out, chunk)
	}
}

// IDs returns the integers of the first column.
func IDs(chunks []connector.Chunk) (out []int64) {
	for _, chunk := range chunks {
		for i := range chunk.Batch.Len() {
			out = append(out, chunk.Batch.Column(0).Int(chunk.Batch.Row(i)))
		}
	}
	return out
}

// Sequence returns from..to-1.
func Sequence(from, to int64) (out []int64) {
	for ; from < to; from++ {
		out = append(out, from)
	}
	return out
}

// Writer is an opened deciding sink.
type Writer struct {
	connector.Decider
	d *Database
}

// TrySink makes and opens a sink of run "run", node "node" unless the task says otherwise.
func (d *Database) TrySink(config sqlkit.SinkConfig, task connector.Task) (*Writer, error) {
	d.Helper()
	s, err := d.Connector.Sink.New(Env(1), d.Config(config))
	if err != nil {
		return nil, err
	}
	d.Cleanup(func() { _ = s.Close() })
	if task.Run == "" {
		task.Run = "run"
	}
	if task.Node == "" {
		task.Node = "node"
	}
	task.Count = max(task.Count, 1)
	return &Writer{s.(connector.Decider), d}, s.Open(d.Context(), task)
}

// Sink returns an opened sink that creates missing tables.
func (d *Database) Sink(config sqlkit.SinkConfig, task connector.Task) *Writer {
	d.Helper()
	config.Create = true
	s, err := d.TrySink(config, task)
	if err != nil {
		d.Fatal(err)
	}
	return s
}

// Try writes a batch of a table as the engine does.
func (s *Writer) Try(table string, b *batch.Batch) error {
	s.d.Helper()
	chunk := connector.Chunk{Table: table, Batch: b}
	var refused error
	if encoder, ok := s.Decider.(connector.Encoder); ok {
		encoded, err := encoder.NewEncode()(chunk)
		if partial, ok := errors.AsType[*connector.PartialError](err); ok {
			refused, encoded.Batch = err, b.Without(partial.Rows)
		} else if err != nil {
			return err
		}
		chunk = encoded
	}
	err := s.Write(s.d.Context(), chunk)
	if chunk.Release != nil {
		chunk.Release()
	}
	if err == nil {
		err = refused
	}
	return err
}

// Put writes a batch.
func (s *Writer) Put(table string, b *batch.Batch) {
	s.d.Helper()
	if err := s.Try(table, b); err != nil {
		s.d.Fatal(err)
	}
}

// Checkpoint takes an epoch through all steps and returns its token.
func (s *Writer) Checkpoint(number uint64) []byte {
	s.d.Helper()
	epoch := connector.Epoch{Number: number}
	prepared, err := s.Prepare(s.d.Context(), epoch)
	if err == nil {
		err = s.Decide(s.d.Context(), epoch)
	}
	if err == nil {
		err = s.Commit(s.d.Context(), epoch, prepared.Token)
	}
	if err != nil {
		s.d.Fatal(err)
	}
	return prepared.Token
}

// Restore goes back to an epoch.
func (s *Writer) Restore(number uint64, token []byte) {
	s.d.Helper()
	if err := s.Recover(s.d.Context(), connector.Epoch{Number: number}, token); err != nil {
		s.d.Fatal(err)
	}
}

// ReadBack returns a table's rows as the connector's own source reads them; none when it is missing.
func (d *Database) ReadBack(table string) (out [][]any) {
	d.Helper()
	if _, err := d.Ask("SELECT 1 FROM " + d.Dialect.Quote(table)); err != nil {
		return nil
	}
	chunks, _ := d.Read(sqlkit.SourceConfig{Table: table}, 1000, nil)
	for _, chunk := range chunks {
		for row := range chunk.Batch.Rows() {
			var values []any
			for _, c := range chunk.Batch.Columns() {
				values = append(values, c.Value(row))
			}
			out = append(out, values)
		}
	}
	return out
}

// ExpectFault checks class and words of a failure.
func ExpectFault(t testing.TB, what string, err error, class fault.Class, words ...string) {
	t.Helper()
	if err == nil || fault.ClassOf(err) != class {
		t.Errorf("%s: class %s, want %s: %v", what, fault.ClassOf(err), class, err)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%s: %v does not say %q", what, err, word)
		}
	}
}

// People returns a batch of ids from..to-1 with one name.
func People(t testing.TB, from, to int, name string) *batch.Batch {
	t.Helper()
	b := batch.NewBuilder(batch.NewSchema(
		batch.Field{Name: "id", Type: batch.Of(batch.Int64)},
		batch.Field{Name: "name", Type: batch.Of(batch.String), Nullable: true},
	))
	for i := from; i < to; i++ {
		b.Column(0).Int(int64(i))
		b.Column(1).Text(name)
	}
	return built(t, b)
}

// Moments returns rows (id int64, at timestamp, with the zone when given, t time): one of whole
// seconds, one of 250 ms, one of 1 us and a null.
func Moments(t testing.TB, zone string) *batch.Batch {
	t.Helper()
	b := batch.NewBuilder(batch.NewSchema(
		batch.Field{Name: "id", Type: batch.Of(batch.Int64)},
		batch.Field{Name: "at", Type: batch.TimestampOf(batch.Microsecond, zone), Nullable: true},
		batch.Field{Name: "t", Type: batch.Of(batch.Time), Nullable: true}))
	for id, micros := range []int64{5_000_000, 5_250_000, 5_000_001} {
		b.Column(0).Int(int64(id))
		b.Column(1).Int(micros)
		b.Column(2).Int(micros)
	}
	b.Column(0).Int(3)
	b.Column(1).Null()
	b.Column(2).Null()
	return built(t, b)
}

func built(t testing.TB, b *batch.Builder) *batch.Batch {
	t.Helper()
	out, err := b.Batch()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Wider returns the batch with a column "more" that repeats the first.
func Wider(b *batch.Batch) *batch.Batch {
	field := batch.Field{Name: "more", Type: batch.Of(batch.Int64), Nullable: true}
	return b.WithColumns(
		batch.NewSchema(append(slices.Clone(b.Schema().Fields()), field)...),
		append(slices.Clone(b.Columns()), b.Column(0)))
}
