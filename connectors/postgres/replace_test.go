package postgres

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/sqlkit"
	"github.com/tapeline/tapeline/internal/sqlkit/sqltest"
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

// TestReplaceAfterARefusedTruncate: the rollback takes back what was emptied before.
func TestReplaceAfterARefusedTruncate(t *testing.T) {
	f := newFixture(t)
	f.exec("CREATE TABLE x AS SELECT 77::int8 AS id, 'old' AS name; CREATE TABLE y AS TABLE x; " +
		"ALTER TABLE y ADD UNIQUE (id); CREATE TABLE child (id int8 REFERENCES y (id))")
	config := f.sinkConfig("{table}")
	config.Mode = sqlkit.Replace
	s := f.openSink(config, connector.Task{})
	f.writeTo(s, "x", sqltest.People(t, 0, 3, "lost"))
	chunk := connector.Chunk{Table: "y", Batch: sqltest.People(t, 0, 3, "y")}
	if err := s.Write(t.Context(), chunk); !errors.Is(err, connector.ErrEpochLost) {
		t.Fatalf("truncate of a referenced table: %v", err)
	}
	f.writeTo(s, "x", sqltest.People(t, 0, 3, "new"))
	f.checkpoint(s, 1)
	f.expect("SELECT name, count(*) FROM x GROUP BY 1", "new|3")
}

func TestEvolveReachesTablesNamedByRows(t *testing.T) {
	f := newFixture(t)
	config := f.sinkConfig("{table}")
	narrow := sqltest.People(t, 0, 2, "a")
	s := f.openSink(config, connector.Task{})
	f.writeTo(s, "x", narrow)
	f.writeTo(s, "y", narrow)
	token := f.checkpoint(s, 1)
	_ = s.Close()
	f.exec("ALTER TABLE x ALTER id TYPE int4")

	s = f.openSink(config, connector.Task{})
	f.restore(s, 1, token)
	unannounced := connector.Chunk{Table: "x", Batch: sqltest.Wider(sqltest.People(t, 2, 4, "b"))}
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
	f.writeTo(s, "x", sqltest.People(t, 0, 1, "a"))
	done := make(chan error, 1)
	go func() {
		encode := s.NewEncode()
		for i := range 20 {
			chunk := connector.Chunk{Table: fmt.Sprint("t", i), Batch: sqltest.People(t, 0, 1, "a")}
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
	f.writeTo(s, "x", sqltest.People(t, 0, 1, "a"))
	f.exec("SELECT pg_advisory_lock(x'74617065'::int8)") // what a table is created under
	pid := s.admin.conn.PID()
	done := make(chan error, 1)
	go func() {
		_, err := s.NewEncode()(connector.Chunk{Table: "new", Batch: sqltest.People(t, 0, 1, "a")})
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
	f.writeTo(s, "x", sqltest.People(t, 1, 2, "a"))
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
	in := connector.Chunk{Batch: sqltest.People(t, 0, 1, "a"), Release: func() { released = true }}
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
	if _, err := s.NewEncode()(connector.Chunk{Table: "taken", Batch: sqltest.People(t, 0, 1, "a")}); err == nil {
		t.Error("a table was created by the name of a type")
	}
	f.writeTo(s, "people", sqltest.People(t, 0, 1, "a"))
}
