package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/sqlkit"
)

func (f *fixture) writeTo(s *sink, table string, b *batch.Batch) {
	f.Helper()
	chunk, err := s.NewEncode()(connector.Chunk{Table: table, Batch: b})
	if err != nil {
		f.Fatal(err)
	}
	if err := s.Write(f.Context(), chunk); err != nil {
		f.Fatal(err)
	}
	chunk.Release()
}

// checkpoint ends an epoch as the engine does and returns its token.
func (f *fixture) checkpoint(s *sink, epoch uint64) []byte {
	f.Helper()
	prepared, err := s.Prepare(f.Context(), connector.Epoch{Number: epoch})
	if err != nil {
		f.Fatal(err)
	}
	if err := s.Decide(f.Context(), connector.Epoch{Number: epoch}); err != nil {
		f.Fatal(err)
	}
	return prepared.Token
}

func (f *fixture) restore(s *sink, epoch uint64, token []byte) {
	f.Helper()
	if err := s.Recover(f.Context(), connector.Epoch{Number: epoch}, token); err != nil {
		f.Fatal(err)
	}
}

// wider returns the batch with a column "more".
func wider(b *batch.Batch) *batch.Batch {
	field := batch.Field{Name: "more", Type: batch.Of(batch.Int64), Nullable: true}
	return b.WithColumns(
		batch.NewSchema(append(slices.Clone(b.Schema().Fields()), field)...),
		append(slices.Clone(b.Columns()), b.Column(0)))
}

func TestReplaceEmptiesASharedTableOnce(t *testing.T) {
	f := newFixture(t)
	f.exec("CREATE TABLE people AS SELECT 77::int8 AS id, 'old' AS name, 7::int8 AS more")
	config := f.sinkConfig("people")
	config.Mode = sqlkit.Replace
	s := f.openSink(config, connector.Task{})
	f.writeTo(s, "x", people(t, 0, 3, "x"))
	f.writeTo(s, "y", people(t, 3, 6, "y"))
	f.writeTo(s, "y", wider(people(t, 6, 9, "z")))
	f.checkpoint(s, 1)
	f.writeTo(s, "later", people(t, 9, 12, "l"))
	f.checkpoint(s, 2)
	f.expect("SELECT name, count(*) FROM people GROUP BY 1 ORDER BY 1", "l|3", "x|3", "y|3", "z|3")
}

func TestReplaceEmptiesLateTables(t *testing.T) {
	f := newFixture(t)
	f.exec("CREATE TABLE x AS SELECT 77::int8 AS id, 'old' AS name; CREATE TABLE y AS TABLE x")
	config := f.sinkConfig("{table}")
	config.Mode = sqlkit.Replace
	s := f.openSink(config, connector.Task{})
	f.restore(s, 0, nil)
	f.writeTo(s, "x", people(t, 0, 3, "x"))
	token := f.checkpoint(s, 1)
	_ = s.Close()

	s = f.openSink(config, connector.Task{}) // after a crash x is not emptied again, and y once
	f.restore(s, 1, token)
	f.writeTo(s, "x", people(t, 3, 6, "x"))
	f.writeTo(s, "y", people(t, 0, 3, "y"))
	f.checkpoint(s, 2)
	f.writeTo(s, "y", people(t, 3, 5, "y"))
	f.checkpoint(s, 3)
	f.expect("SELECT name, count(*) FROM x GROUP BY 1", "x|6")
	f.expect("SELECT name, count(*) FROM y GROUP BY 1", "y|5")
}

// TestReplaceAfterARefusedTruncate: the rollback takes back what was emptied before.
func TestReplaceAfterARefusedTruncate(t *testing.T) {
	f := newFixture(t)
	f.exec("CREATE TABLE x AS SELECT 77::int8 AS id, 'old' AS name; CREATE TABLE y AS TABLE x; " +
		"ALTER TABLE y ADD UNIQUE (id); CREATE TABLE child (id int8 REFERENCES y (id))")
	config := f.sinkConfig("{table}")
	config.Mode = sqlkit.Replace
	s := f.openSink(config, connector.Task{})
	f.writeTo(s, "x", people(t, 0, 3, "lost"))
	chunk := connector.Chunk{Table: "y", Batch: people(t, 0, 3, "y")}
	if err := s.Write(t.Context(), chunk); !errors.Is(err, connector.ErrEpochLost) {
		t.Fatalf("truncate of a referenced table: %v", err)
	}
	f.writeTo(s, "x", people(t, 0, 3, "new"))
	f.checkpoint(s, 1)
	f.expect("SELECT name, count(*) FROM x GROUP BY 1", "new|3")
}

func TestEvolveReachesTablesNamedByRows(t *testing.T) {
	f := newFixture(t)
	config := f.sinkConfig("{table}")
	narrow := people(t, 0, 2, "a")
	s := f.openSink(config, connector.Task{})
	f.writeTo(s, "x", narrow)
	f.writeTo(s, "y", narrow)
	token := f.checkpoint(s, 1)
	_ = s.Close()
	f.exec("ALTER TABLE x ALTER id TYPE int4")

	s = f.openSink(config, connector.Task{})
	f.restore(s, 1, token)
	unannounced := connector.Chunk{Table: "x", Batch: wider(people(t, 2, 4, "b"))}
	if _, err := s.NewEncode()(unannounced); err == nil {
		t.Error("a column that no Evolve announced was added")
	}
	if err := s.Evolve(t.Context(), narrow.Schema(), unannounced.Batch.Schema()); err != nil {
		t.Fatal(err)
	}
	f.writeTo(s, "x", unannounced.Batch)
	f.writeTo(s, "y", narrow)
	f.checkpoint(s, 2)
	f.expect("SELECT id, more, pg_typeof(id) FROM x ORDER BY 1",
		"0|~|bigint", "1|~|bigint", "2|2|bigint", "3|3|bigint")
	f.expect("SELECT DISTINCT (SELECT count(*) FROM pg_attribute "+
		"WHERE attrelid = 'y'::regclass AND attnum > 0) FROM y", "2")
}

// TestDropBesideEncode: a worker meets new tables while the writer loses its connection.
func TestDropBesideEncode(t *testing.T) {
	f := newFixture(t)
	s := f.openSink(f.sinkConfig("{table}"), connector.Task{})
	f.writeTo(s, "x", people(t, 0, 1, "a"))
	done := make(chan error, 1)
	go func() {
		encode := s.NewEncode()
		for i := range 20 {
			chunk := connector.Chunk{Table: fmt.Sprint("t", i), Batch: people(t, 0, 1, "a")}
			if _, err := encode(chunk); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for {
		s.drop()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			return
		default:
		}
	}
}

// TestEncodeWaitsAlone: a worker that waits for the server holds up no other, and Close ends it.
func TestEncodeWaitsAlone(t *testing.T) {
	f := newFixture(t)
	s := f.openSink(f.sinkConfig("{table}"), connector.Task{})
	f.writeTo(s, "x", people(t, 0, 1, "a"))
	f.exec("SELECT pg_advisory_lock(x'74617065'::int8)") // what a table is created under
	pid := s.admin.conn.PID()
	done := make(chan error, 1)
	go func() {
		_, err := s.NewEncode()(connector.Chunk{Table: "new", Batch: people(t, 0, 1, "a")})
		done <- err
	}()
	waiting := fmt.Sprintf("SELECT count(*) FROM pg_locks WHERE pid = %d AND NOT granted", pid)
	for f.texts(waiting)[0] != "1" {
		select {
		case err := <-done:
			t.Fatalf("encode did not wait: %v", err)
		default:
		}
	}
	f.writeTo(s, "x", people(t, 1, 2, "a"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("encode after close: %v", err)
	}
}

// TestEncodeReleasesItsOwn: the engine keeps the incoming chunk's Release itself.
func TestEncodeReleasesItsOwn(t *testing.T) {
	f := newFixture(t)
	s := f.openSink(f.sinkConfig("people"), connector.Task{})
	released := false
	in := connector.Chunk{Batch: people(t, 0, 1, "a"), Release: func() { released = true }}
	for _, in := range []connector.Chunk{in, {Release: in.Release}} {
		out, err := s.NewEncode()(in)
		if err != nil {
			t.Fatal(err)
		}
		if out.Release != nil {
			out.Release()
		}
		if released {
			t.Error("the encoder called the incoming chunk's Release")
		}
	}
}

// TestFailedCreateLeavesTheConnection: the next table can be created.
func TestFailedCreateLeavesTheConnection(t *testing.T) {
	f := newFixture(t)
	s := f.openSink(f.sinkConfig("{table}"), connector.Task{})
	f.exec("CREATE TYPE taken AS ENUM ('a')")
	if _, err := s.NewEncode()(connector.Chunk{Table: "taken", Batch: people(t, 0, 1, "a")}); err == nil {
		t.Error("a table was created by the name of a type")
	}
	f.writeTo(s, "people", people(t, 0, 1, "a"))
}
