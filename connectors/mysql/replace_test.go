package mysql

import (
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

func TestReplaceEmptiesEachTableOnce(t *testing.T) {
	f := newFixture(t)
	f.exec("CREATE TABLE x (id bigint, name text)")
	f.exec("INSERT INTO x VALUES (77, 'old')")
	f.exec("CREATE TABLE y AS SELECT * FROM x")
	config := sqlkit.SinkConfig{Table: "{table}", Mode: sqlkit.Replace}
	s := f.openSink(config, connector.Task{})
	f.restore(s, 0, nil)
	f.writeTo(s, "a.x", people(t, 0, 3, "a"))
	f.writeTo(s, "b.x", people(t, 3, 6, "b"))
	token := f.checkpoint(s, 1)
	_ = s.Close()

	s = f.openSink(config, connector.Task{}) // after a crash x is not emptied again, and y once
	f.restore(s, 1, token)
	f.writeTo(s, "a.x", people(t, 6, 7, "c"))
	f.writeTo(s, "y", people(t, 0, 3, "y"))
	f.checkpoint(s, 2)
	f.writeTo(s, "y", people(t, 3, 5, "y"))
	f.checkpoint(s, 3)
	f.expect("SELECT name, count(*) FROM x GROUP BY 1 ORDER BY 1", "a|3", "b|3", "c|1")
	f.expect("SELECT name, count(*) FROM y GROUP BY 1", "y|5")
}

func TestEvolveReachesTablesNamedByRows(t *testing.T) {
	f := newFixture(t)
	config := sqlkit.SinkConfig{Table: "{table}"}
	narrow := people(t, 0, 2, "a")
	field := batch.Field{Name: "more", Type: batch.Of(batch.Int64), Nullable: true}
	wide := narrow.WithColumns(
		batch.NewSchema(append(slices.Clone(narrow.Schema().Fields()), field)...),
		append(slices.Clone(narrow.Columns()), narrow.Column(0)))
	s := f.openSink(config, connector.Task{})
	f.writeTo(s, "x", narrow)
	token := f.checkpoint(s, 1)
	_ = s.Close()

	s = f.openSink(config, connector.Task{})
	f.restore(s, 1, token)
	err := s.(connector.SchemaEvolver).Evolve(t.Context(), narrow.Schema(), wide.Schema())
	if err != nil {
		t.Fatal(err)
	}
	f.writeTo(s, "other", narrow) // opens the data transaction
	f.writeTo(s, "x", wide)
	f.checkpoint(s, 2)
	f.expect("SELECT id, more FROM x ORDER BY 2, 1", "0|<nil>", "1|<nil>", "0|0", "1|1")
}
