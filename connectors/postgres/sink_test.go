package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/fault"
)

const countPeople = "SELECT count(*), min(id), max(id), min(name), max(name) FROM people"

func (f *fixture) expect(sql string, want ...string) {
	f.Helper()
	if diff := cmp.Diff(want, f.texts(sql)); diff != "" {
		f.Errorf("%s: %s", sql, diff)
	}
}

func TestEpochs(t *testing.T) {
	f := newFixture(t)
	s := f.openSink(f.sinkConfig("people"), connector.Task{})
	f.write(s, people(t, 0, 10, "a"))
	f.write(s, people(t, 10, 20, "a"))
	f.expect(countPeople, "0|~|~|~|~")
	f.commit(s, 1)
	f.expect(countPeople, "20|0|19|a|a")
	f.commit(s, 2) // an epoch without rows
	f.write(s, people(t, 20, 30, "a"))
	_ = s.Close() // a crash before the decision

	s = f.openSink(f.sinkConfig("people"), connector.Task{})
	if n, err := s.Decided(t.Context()); n != 2 || err != nil {
		t.Fatalf("decided %d, %v", n, err)
	}
	if err := s.Recover(t.Context(), connector.Epoch{Number: 2}, []byte("1 2")); err != nil {
		t.Fatal(err)
	}
	f.expect(countPeople, "20|0|19|a|a")
	f.write(s, people(t, 20, 30, "b"))
	f.commit(s, 3)
	f.expect(countPeople, "30|0|29|a|b")
	if err := s.Decide(t.Context(), connector.Epoch{Number: 3}); err == nil {
		t.Error("epoch 3 was committed twice")
	}
	for _, number := range []uint64{2, 4} {
		token := fmt.Appendf(nil, "1 %d", number)
		if err := s.Recover(t.Context(), connector.Epoch{Number: number}, token); err == nil {
			t.Errorf("recover to epoch %d accepted a past that the database does not share", number)
		}
	}
}

func TestZombieIsFenced(t *testing.T) {
	f := newFixture(t)
	zombie := f.openSink(f.sinkConfig("people"), connector.Task{Fence: 1})
	f.write(zombie, people(t, 0, 10, "zombie"))
	owner := f.openSink(f.sinkConfig("people"), connector.Task{Fence: 2})
	f.write(owner, people(t, 0, 10, "owner"))
	err := zombie.Decide(t.Context(), connector.Epoch{Number: 1})
	if fault.ClassOf(err) != fault.Permanent || !errors.Is(err, connector.ErrEpochLost) {
		t.Errorf("zombie's commit: %v", err)
	}
	f.commit(owner, 1)
	f.expect(countPeople, "10|0|9|owner|owner")
	if _, err := f.tryOpenSink(f.sinkConfig("people"), connector.Task{Fence: 1}); err == nil {
		t.Error("a lower fence was accepted")
	}
}

func TestBackendKilledMidEpoch(t *testing.T) {
	f := newFixture(t)
	s := f.openSink(f.sinkConfig("people"), connector.Task{})
	f.write(s, people(t, 0, 10, "a"))
	f.exec(fmt.Sprintf("SELECT pg_terminate_backend(%d)", s.data.conn.PID()))
	chunk := connector.Chunk{Batch: people(t, 10, 20, "a")}
	err := s.Write(t.Context(), chunk)
	if !errors.Is(err, connector.ErrEpochLost) || fault.ClassOf(err) != fault.Transient {
		t.Fatalf("write after the kill: %v", err)
	}
	if n, err := s.Decided(t.Context()); n != 0 || err != nil {
		t.Errorf("decided %d, %v", n, err)
	}
	// Without rows at stake the sink connects anew by itself, after one error at most.
	f.commit(s, 1)
	f.exec(fmt.Sprintf("SELECT pg_terminate_backend(%d)", s.data.conn.PID()))
	err = s.Write(t.Context(), chunk)
	if errors.Is(err, connector.ErrEpochLost) || fault.ClassOf(err) != fault.Transient {
		t.Fatalf("write on a dead idle connection: %v", err)
	}
	if err := s.Write(t.Context(), chunk); err != nil {
		t.Fatal(err)
	}
	f.commit(s, 2)
	f.expect(countPeople, "10|10|19|a|a")
}

func TestCancelledWriteLosesTheEpoch(t *testing.T) {
	f := newFixture(t)
	s := f.openSink(f.sinkConfig("people"), connector.Task{})
	f.write(s, people(t, 0, 10, "a"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Write(ctx, connector.Chunk{Batch: people(t, 0, 10, "a")}); err == nil {
		t.Error("a cancelled write succeeded")
	}
}

func TestRefusedRows(t *testing.T) {
	f := newFixture(t)
	f.exec("CREATE TABLE people (id int8 PRIMARY KEY, name varchar(3) CHECK (name <> 'bad'))")
	s := f.openSink(f.sinkConfig("people"), connector.Task{})
	f.write(s, people(t, 0, 10, "ok"))
	for name, reason := range map[string]string{"bad": "people_name_check", "long name": "too long"} {
		err := s.Write(t.Context(), connector.Chunk{Batch: people(t, 10, 20, name)})
		if fault.ClassOf(err) != fault.Data || !strings.Contains(err.Error(), reason) ||
			!strings.Contains(err.Error(), "people") {
			t.Errorf("%s: %v", name, err)
		}
	}
	err := s.Write(t.Context(), connector.Chunk{Batch: people(t, 5, 15, "ok")})
	if fault.ClassOf(err) != fault.Data || !strings.Contains(err.Error(), "(id)=(5)") {
		t.Errorf("duplicate key: %v", err)
	}
	err = s.Write(t.Context(), connector.Chunk{Batch: people(t, 10, 12, "a\x00b")})
	var partial *connector.PartialError
	if !errors.As(err, &partial) || len(partial.Rows) != 2 || partial.Rows[1].Row != 1 {
		t.Errorf("zero byte: %v", err)
	}
	f.write(s, people(t, 10, 20, "ok"))
	f.commit(s, 1)
	f.expect(countPeople, "20|0|19|ok|ok")
}

// TestDeferredConstraintsHoldBeforeTheDecision: a COMMIT that failed would come too late.
func TestDeferredConstraintsHoldBeforeTheDecision(t *testing.T) {
	f := newFixture(t)
	f.exec("CREATE TABLE people (id int8, name text, UNIQUE (id) DEFERRABLE INITIALLY DEFERRED)")
	s := f.openSink(f.sinkConfig("people"), connector.Task{})
	f.write(s, people(t, 0, 10, "a"))
	f.write(s, people(t, 9, 11, "again"))
	_, err := s.Prepare(t.Context(), connector.Epoch{Number: 1})
	if fault.ClassOf(err) != fault.Data || !errors.Is(err, connector.ErrEpochLost) ||
		!strings.Contains(err.Error(), "(id)=(9)") {
		t.Errorf("prepare: %v", err)
	}
	f.write(s, people(t, 0, 10, "b"))
	f.commit(s, 1)
	f.expect(countPeople, "10|0|9|b|b")
}

func TestUpsertAndDelete(t *testing.T) {
	f := newFixture(t)
	s := f.openSink(f.sinkConfig("people", "id"), connector.Task{})
	f.write(s, people(t, 0, 10, "a"))
	f.write(s, people(t, 5, 15, "b"))
	f.commit(s, 1)
	f.expect("SELECT name, count(*), min(id) FROM people GROUP BY 1 ORDER BY 1", "a|5|0", "b|10|5")

	// Within a batch the last operation of a key counts.
	b := batch.NewBuilder(people(t, 0, 0, "").Schema())
	var operations []batch.Operation
	add := func(id int64, name string, operation batch.Operation) {
		b.Column(0).Int(id)
		b.Column(1).Text(name)
		operations = append(operations, operation)
	}
	add(0, "x", batch.Delete)
	add(1, "x", batch.Delete)
	add(1, "again", batch.Insert)
	add(2, "gone", batch.Upsert)
	add(2, "", batch.Delete)
	add(3, "first", batch.Upsert)
	add(3, "second", batch.Upsert)
	add(99, "", batch.Delete)
	out, err := b.Batch()
	if err != nil {
		t.Fatal(err)
	}
	f.write(s, out.WithOperations(operations))
	f.commit(s, 2)
	f.expect("SELECT id, name FROM people WHERE id < 5 ORDER BY 1", "1|again", "3|second", "4|a")

	plain := f.openSink(f.sinkConfig("plain"), connector.Task{Node: "plain"})
	err = plain.Write(t.Context(), connector.Chunk{Batch: out.WithOperations(operations)})
	if fault.ClassOf(err) != fault.Schema || !strings.Contains(err.Error(), "set key") {
		t.Errorf("deletes without key: %v", err)
	}
}

func TestReplaceEmptiesOnce(t *testing.T) {
	f := newFixture(t)
	f.exec("CREATE TABLE people AS SELECT i::int8 AS id, 'old' AS name FROM generate_series(1, 9) i")
	config := f.sinkConfig("people")
	config.Mode = "replace"
	s := f.openSink(config, connector.Task{})
	f.write(s, people(t, 0, 5, "new"))
	_ = s.Close()
	f.expect(countPeople, "9|1|9|old|old")
	s = f.openSink(config, connector.Task{})
	f.write(s, people(t, 0, 5, "new"))
	f.write(s, people(t, 5, 7, "new"))
	f.commit(s, 1)
	f.write(s, people(t, 7, 9, "new"))
	token := f.checkpoint(s, 2)
	s = f.openSink(config, connector.Task{})
	f.restore(s, 2, token)
	f.write(s, people(t, 9, 10, "new"))
	f.commit(s, 3)
	f.expect(countPeople, "10|0|9|new|new")
}

func TestManyTables(t *testing.T) {
	f := newFixture(t)
	s := f.openSink(f.sinkConfig("copy_{table}"), connector.Task{})
	for _, table := range []string{"a", "other.b"} {
		chunk := connector.Chunk{Table: table, Batch: people(t, 0, 3, table)}
		if err := s.Write(t.Context(), chunk); err != nil {
			t.Fatal(err)
		}
	}
	f.commit(s, 1)
	f.expect("SELECT name FROM copy_a UNION SELECT name FROM copy_b ORDER BY 1", "a", "other.b")
}

func TestTypeConflicts(t *testing.T) {
	f := newFixture(t)
	for ddl, want := range map[string]string{
		"id int8, name int4": `column "name" of table people: rows have string, the table has integer`,
		"id int8":            `has no column "name"`,
		"id date, name text": `column "id" of table people: rows have int64, the table has date`,
	} {
		f.exec("DROP TABLE IF EXISTS people; CREATE TABLE people (" + ddl + ")")
		s := f.openSink(f.sinkConfig("people"), connector.Task{})
		err := s.Write(t.Context(), connector.Chunk{Batch: people(t, 0, 3, "x")})
		if fault.ClassOf(err) != fault.Schema || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", ddl, err)
		}
	}
	f.exec("DROP TABLE people; CREATE TABLE people (id int2, name json)")
	s := f.openSink(f.sinkConfig("people"), connector.Task{})
	err := s.Write(t.Context(), connector.Chunk{Batch: people(t, 32766, 32769, "{}")})
	var partial *connector.PartialError
	if !errors.As(err, &partial) || len(partial.Rows) != 1 || partial.Rows[0].Row != 2 {
		t.Errorf("narrower integer: %v", err)
	}
	f.commit(s, 1)
	f.expect("SELECT id, name FROM people ORDER BY 1", "32766|{}", "32767|{}")
	missing := f.sinkConfig("nowhere")
	missing.Create = false
	s = f.openSink(missing, connector.Task{})
	err = s.Write(t.Context(), connector.Chunk{Batch: people(t, 0, 3, "x")})
	if fault.ClassOf(err) != fault.Schema || !strings.Contains(err.Error(), "CREATE TABLE") {
		t.Errorf("missing table: %v", err)
	}
}

func TestEvolve(t *testing.T) {
	f := newFixture(t)
	f.exec("CREATE TABLE people (id int4, amount numeric(5,2), name text); INSERT INTO people VALUES (1, 1.5, 'a')")
	from := batch.NewSchema(batch.Field{Name: "id", Type: batch.Of(batch.Int32)})
	to := batch.NewSchema(
		batch.Field{Name: "id", Type: batch.Of(batch.Int64)},
		batch.Field{Name: "amount", Type: batch.DecimalOf(12, 4)},
		batch.Field{Name: "name", Type: batch.Of(batch.String)},
		batch.Field{Name: "at", Type: batch.TimestampOf(batch.Microsecond, "UTC")},
	)
	s := f.openSink(f.sinkConfig("people"), connector.Task{})
	for range 2 {
		if err := s.Evolve(t.Context(), from, to); err != nil {
			t.Fatal(err)
		}
	}
	f.expect(`SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
		WHERE attrelid = 'people'::regclass AND attnum > 0 ORDER BY attnum`,
		"id|bigint", "amount|numeric(12,4)", "name|text", "at|timestamp with time zone")
	bad := batch.NewSchema(batch.Field{Name: "at", Type: batch.Of(batch.Bool)})
	if err := s.Evolve(t.Context(), to, bad); fault.ClassOf(err) != fault.Schema {
		t.Errorf("evolve to an unlike type: %v", err)
	}
}

func TestLookup(t *testing.T) {
	f := newFixture(t)
	f.exec(`CREATE TABLE city (id int4 PRIMARY KEY, name text, size numeric(9,1));
		INSERT INTO city VALUES (1, 'one', 1.5), (2, 'two', NULL), (3, E'th"ree\\', 3)`)
	l, err := newLookup(testEnv(1), &lookupConfig{
		Connection: f.connection, Table: "city", Numeric: "string", Columns: []string{"name", "size"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	for name, values := range map[string][]any{
		"id": {int64(3), int64(7), int64(1), nil}, "name": {`th"ree\`, "x", "one", ""},
	} {
		typ := batch.Of(batch.Int64)
		if name == "name" {
			typ = batch.Of(batch.String)
		}
		b := batch.NewBuilder(batch.NewSchema(batch.Field{Name: name, Type: typ, Nullable: true}))
		for _, v := range values {
			if err := b.Column(0).Any(v); err != nil {
				t.Fatal(err)
			}
		}
		keys, err := b.Batch()
		if err != nil {
			t.Fatal(err)
		}
		found, row, err := l.Lookup(t.Context(), keys)
		if err != nil {
			t.Fatal(err)
		}
		if row[1] != -1 || row[3] != -1 || row[0] < 0 || row[2] < 0 {
			t.Fatalf("by %s: %v", name, row)
		}
		got := []any{found.Column(0).Value(int(row[0])), found.Column(0).Value(int(row[2]))}
		if diff := cmp.Diff([]any{`th"ree\`, "one"}, got); diff != "" {
			t.Errorf("by %s: %s", name, diff)
		}
	}
}
