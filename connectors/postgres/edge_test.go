package postgres

import (
	"context"
	"errors"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/fault"
)

// rowsOf returns a batch with the columns id, from 0, and v.
func rowsOf(t *testing.T, typ batch.Type, values ...any) *batch.Batch {
	t.Helper()
	builder := batch.NewBuilder(batch.NewSchema(
		batch.Field{Name: "id", Type: batch.Of(batch.Int64)}, batch.Field{Name: "v", Type: typ, Nullable: true}))
	for i, v := range values {
		builder.Column(0).Int(int64(i))
		if err := builder.Column(1).Any(v); err != nil {
			t.Fatal(err)
		}
	}
	b, err := builder.Batch()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Text is UTF-8 on both sides, whatever a database or a connection string says.
func TestEncodingOfTheDatabase(t *testing.T) {
	f := newFixture(t)
	name := "tapeline_latin1"
	f.exec("DROP DATABASE IF EXISTS " + name)
	f.exec("CREATE DATABASE " + name + " ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
	t.Cleanup(func() { _ = f.run(context.Background(), "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	dsn, err := url.Parse(f.connection.ConnectionString)
	if err != nil {
		t.Fatal(err)
	}
	dsn.Path = "/" + name
	f.connection = Connection{ConnectionString: dsn.String()}
	s := f.openSink(f.sinkConfig("words"), connector.Task{})
	f.write(s, rowsOf(t, batch.Of(batch.String), "né"))
	f.commit(s, 1)
	chunks, _ := f.readAll(f.open(f.sourceConfig("words"), 100, nil))
	if got := string(chunks[0].Batch.Column(1).Bytes(0)); got != "né" {
		t.Errorf("read back %q", got)
	}
	other, err := connect(t.Context(), f.connection, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer other.close()
	stored, err := other.rows(t.Context(), "SELECT encode(convert_to(v, 'LATIN1'), 'hex') FROM words")
	if err != nil || string(stored[0][0]) != "6ee9" {
		t.Errorf("stored %s (%v), want 6ee9", stored, err)
	}
}

// The elements of a list are looked at as a column's values are.
func TestListsOfUUIDs(t *testing.T) {
	f := newFixture(t)
	f.exec("CREATE TABLE u (id int8, v uuid[])")
	s := f.openSink(f.sinkConfig("u"), connector.Task{})
	good := "00112233-4455-6677-8899-aabbccddeeff"
	b := rowsOf(t, batch.ListOf(batch.Of(batch.String)),
		[]any{good, nil}, []any{}, []any{good, "no uuid"}, []any{"00112233445566778899aabbccddeeff00"}, nil, []any{good})
	_, err := s.NewEncode()(connector.Chunk{Batch: b.Select([]int32{0, 1, 2, 4, 5})})
	var partial *connector.PartialError
	if !errors.As(err, &partial) || len(partial.Rows) != 1 || partial.Rows[0].Row != 2 || partial.Rows[0].Column != "v" {
		t.Errorf("row 2 is no list of uuids, refused: %v", err)
	}
	if err := s.Write(t.Context(), connector.Chunk{Batch: b}); !errors.As(err, &partial) || len(partial.Rows) != 2 {
		t.Errorf("rows 2 and 3 are refused: %v", err)
	}
	f.commit(s, 1)
	want := []string{"0|{" + good + ",NULL}", "1|{}", "4|~", "5|{" + good + "}"}
	if diff := cmp.Diff(want, f.texts("SELECT * FROM u ORDER BY id")); diff != "" {
		t.Error(diff)
	}
}

// By non_finite: null what has no value becomes NULL, and nothing beside it.
func TestNonFiniteBecomesNull(t *testing.T) {
	f := newFixture(t)
	f.exec(`CREATE TABLE n (id int8 NOT NULL, v numeric(9,2) NOT NULL, a numeric[], d date NOT NULL);
		INSERT INTO n VALUES (1, 'NaN', '{1,NaN,2}', 'infinity')`)
	config := f.sourceConfig("n")
	config.NonFinite = "null"
	chunks, _ := f.readAll(f.open(config, 100, nil))
	got := string(batch.AppendRow(nil, chunks[0].Batch, 0))
	want := `{"id":1,"v":null,"a":[1.0000000000,null,2.0000000000],"d":null}`
	if got != want || len(chunks[0].Rejected) > 0 {
		t.Errorf("got %s, want %s; rejected %v", got, want, chunks[0].Rejected)
	}
	for i, nullable := range []bool{false, true, true, true} {
		if field := chunks[0].Batch.Schema().Field(i); field.Nullable != nullable {
			t.Errorf("%s: nullable %t", field.Name, field.Nullable)
		}
	}
	look, err := newLookup(connector.Env{}, &lookupConfig{
		Connection: f.connection, Table: "n", Key: []string{"id"}, Columns: []string{"v"}, Numeric: "decimal(38,10)",
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := look.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer look.Close()
	keys := rowsOf(t, batch.Of(batch.Int64), nil, nil)
	keys = keys.WithColumns(batch.NewSchema(keys.Schema().Field(0)), keys.Columns()[:1])
	if _, _, err := look.Lookup(t.Context(), keys); fault.ClassOf(err) != fault.Data {
		t.Errorf("a NaN looked up is of class %s: %v", fault.ClassOf(err), err)
	}
}
