package sqlite

import (
	"errors"
	"slices"
	"testing"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/sqlkit"
)

func (f *fixture) writeTo(s connector.Sink, table string, b *batch.Batch) {
	f.Helper()
	if err := s.Write(f.Context(), connector.Chunk{Table: table, Batch: b}); err != nil {
		f.Fatal(err)
	}
}

// checkpoint ends an epoch as the engine does and returns its token.
func (f *fixture) checkpoint(s connector.Decider, epoch uint64) []byte {
	f.Helper()
	prepared, err := s.Prepare(f.Context(), connector.Epoch{Number: epoch})
	if err != nil {
		f.Fatal(err)
	}
	f.commit(s, epoch)
	return prepared.Token
}

func (f *fixture) restore(s connector.Decider, epoch uint64, token []byte) {
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
	f.exec("CREATE TABLE people (id INTEGER, name TEXT, more INTEGER)")
	f.exec("INSERT INTO people VALUES (77, 'old', 7)")
	s := f.openSink(sqlkit.SinkConfig{Table: "people", Mode: sqlkit.Replace}, connector.Task{})
	f.writeTo(s, "x", people(t, 0, 3, "x"))
	f.writeTo(s, "y", people(t, 3, 6, "y"))
	f.writeTo(s, "y", wider(people(t, 6, 9, "z")))
	f.checkpoint(s, 1)
	f.writeTo(s, "later", people(t, 9, 12, "l"))
	f.checkpoint(s, 2)
	f.expect("SELECT name, count(*) FROM people GROUP BY 1 ORDER BY 1", "l|3", "x|3", "y|3", "z|3")
}

func TestReplaceIgnoresCaseOfNames(t *testing.T) {
	f := newFixture(t)
	s := f.openSink(sqlkit.SinkConfig{Table: "{table}", Mode: sqlkit.Replace}, connector.Task{})
	f.writeTo(s, "People", people(t, 0, 3, "a"))
	f.writeTo(s, "people", people(t, 3, 6, "b"))
	f.checkpoint(s, 1)
	f.expect("SELECT count(*) FROM people", "6")
}

func TestReplaceEmptiesLateTables(t *testing.T) {
	for name, several := range map[string]bool{"alone": false, "beside another sink": true} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.exec("CREATE TABLE x (id INTEGER, name TEXT)")
			f.exec("INSERT INTO x VALUES (77, 'old')")
			f.exec("CREATE TABLE y AS SELECT * FROM x")
			made := Connector()
			config := sqlkit.SinkConfig{Table: "{table}", Mode: sqlkit.Replace}
			open := func(node string) connector.Decider {
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
			if several {
				open("other")
			}
			s := open("node")
			f.restore(s, 0, nil)
			f.writeTo(s, "x", people(t, 0, 3, "x"))
			token := f.checkpoint(s, 1)
			_ = s.Close()

			s = open("node") // after a crash x is not emptied again, and y once
			f.restore(s, 1, token)
			f.writeTo(s, "x", people(t, 3, 6, "x"))
			f.writeTo(s, "y", people(t, 0, 3, "y"))
			f.checkpoint(s, 2)
			f.writeTo(s, "y", people(t, 3, 5, "y"))
			f.checkpoint(s, 3)
			f.expect("SELECT name, count(*) FROM x GROUP BY 1", "x|6")
			f.expect("SELECT name, count(*) FROM y GROUP BY 1", "y|5")
		})
	}
}

func TestReplaceAfterALostEpoch(t *testing.T) {
	f := newFixture(t)
	f.exec("CREATE TABLE people (id INTEGER, name TEXT)")
	f.exec("INSERT INTO people VALUES (77, 'old')")
	s := f.openSink(sqlkit.SinkConfig{Table: "people", Mode: sqlkit.Replace}, connector.Task{})
	f.writeTo(s, "", people(t, 0, 3, "lost"))
	if err := s.Decide(t.Context(), connector.Epoch{}); !errors.Is(err, connector.ErrEpochLost) {
		t.Fatalf("commit of an epoch that was committed: %v", err)
	}
	f.expect("SELECT name FROM people", "old")
	f.writeTo(s, "", people(t, 0, 3, "new"))
	f.checkpoint(s, 1)
	f.expect("SELECT name, count(*) FROM people GROUP BY 1", "new|3")
}

func TestEvolveReachesTablesNamedByRows(t *testing.T) {
	f := newFixture(t)
	config := sqlkit.SinkConfig{Table: "{table}"}
	narrow := people(t, 0, 2, "a")
	s := f.openSink(config, connector.Task{})
	f.writeTo(s, "x", narrow)
	f.writeTo(s, "y", narrow)
	token := f.checkpoint(s, 1)
	_ = s.Close()

	s = f.openSink(config, connector.Task{})
	f.restore(s, 1, token)
	unannounced := connector.Chunk{Table: "x", Batch: wider(people(t, 2, 4, "b"))}
	if err := s.Write(t.Context(), unannounced); err == nil {
		t.Error("a column that no Evolve announced was added")
	}
	err := s.(connector.SchemaEvolver).Evolve(t.Context(), narrow.Schema(), unannounced.Batch.Schema())
	if err != nil {
		t.Fatal(err)
	}
	f.writeTo(s, "x", unannounced.Batch)
	f.writeTo(s, "y", narrow)
	f.checkpoint(s, 2)
	f.expect("SELECT id, more FROM x ORDER BY 1", "0|<nil>", "1|<nil>", "2|2", "3|3")
	f.expect("SELECT name FROM pragma_table_info('y')", "id", "name")
}
