package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/fault"
	"github.com/tapeline/tapeline/internal/sqlkit/sqltest"
)

const countPeople = "SELECT count(*), min(id), max(id), min(name), max(name) FROM people"

func (f *fixture) expect(sql string, want ...string) {
	f.Helper()
	if diff := cmp.Diff(want, f.texts(sql)); diff != "" {
		f.Errorf("%s: %s", sql, diff)
	}
}

func TestBackendKilledMidEpoch(t *testing.T) {
	f := newFixture(t)
	s := f.openSink(f.sinkConfig("people"), connector.Task{})
	f.write(s, sqltest.People(t, 0, 10, "a"))
	f.exec(fmt.Sprintf("SELECT pg_terminate_backend(%d)", s.data.conn.PID()))
	chunk := connector.Chunk{Batch: sqltest.People(t, 10, 20, "a")}
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
	f.write(s, sqltest.People(t, 0, 10, "a"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Write(ctx, connector.Chunk{Batch: sqltest.People(t, 0, 10, "a")}); err == nil {
		t.Error("a cancelled write succeeded")
	}
}

func TestRefusedRows(t *testing.T) {
	f := newFixture(t)
	f.exec("CREATE TABLE people (id int8 PRIMARY KEY, name varchar(3) CHECK (name <> 'bad'))")
	s := f.openSink(f.sinkConfig("people"), connector.Task{})
	f.write(s, sqltest.People(t, 0, 10, "ok"))
	for name, reason := range map[string]string{"bad": "people_name_check", "long name": "too long"} {
		err := s.Write(t.Context(), connector.Chunk{Batch: sqltest.People(t, 10, 20, name)})
		if fault.ClassOf(err) != fault.Data || !strings.Contains(err.Error(), reason) ||
			!strings.Contains(err.Error(), "people") {
			t.Errorf("%s: %v", name, err)
		}
	}
	err := s.Write(t.Context(), connector.Chunk{Batch: sqltest.People(t, 5, 15, "ok")})
	if fault.ClassOf(err) != fault.Data || !strings.Contains(err.Error(), "(id)=(5)") {
		t.Errorf("duplicate key: %v", err)
	}
	err = s.Write(t.Context(), connector.Chunk{Batch: sqltest.People(t, 10, 12, "a\x00b")})
	var partial *connector.PartialError
	if !errors.As(err, &partial) || len(partial.Rows) != 2 || partial.Rows[1].Row != 1 {
		t.Errorf("zero byte: %v", err)
	}
	f.write(s, sqltest.People(t, 10, 20, "ok"))
	f.commit(s, 1)
	f.expect(countPeople, "20|0|19|ok|ok")
}

// A column that keeps fewer digits of a second refuses rows rather than have the server round them.
func TestFractionsAreNotRounded(t *testing.T) {
	f := newFixture(t)
	epoch := uint64(0)
	for ddl, want := range map[string]int{
		"at timestamp(0), t time": 2, "at timestamp, t time(0)": 2, "at timestamp(2), t time(3)": 1,
		"at timestamp(6), t time(6)": 0, "at timestamp, t time": 0,
	} {
		epoch++
		f.exec("DROP TABLE IF EXISTS moments; CREATE TABLE moments (id int8, " + ddl + ")")
		s := f.openSink(f.sinkConfig("moments"), connector.Task{})
		var partial *connector.PartialError
		if err := s.Write(t.Context(), connector.Chunk{Batch: sqltest.Moments(t, "")}); want == 0 && err != nil ||
			want > 0 && (!errors.As(err, &partial) || len(partial.Rows) != want ||
				!strings.Contains(err.Error(), "fraction")) {
			t.Errorf("%s: want %d rows refused: %v", ddl, want, err)
		}
		f.commit(s, epoch)
		f.expect("SELECT count(*) FROM moments", strconv.Itoa(4-want))
	}
	f.exec("DROP TABLE moments; CREATE TABLE moments (id int8, at timestamptz(0), t time)")
	s := f.openSink(f.sinkConfig("moments"), connector.Task{})
	if err := s.Write(t.Context(), connector.Chunk{Batch: sqltest.Moments(t, "UTC")}); err == nil ||
		!strings.Contains(err.Error(), "timestamp(0) with time zone would round") {
		t.Errorf("instants: %v", err)
	}
}

// TestDeferredConstraintsHoldBeforeTheDecision: a COMMIT that failed would come too late.
func TestDeferredConstraintsHoldBeforeTheDecision(t *testing.T) {
	f := newFixture(t)
	f.exec("CREATE TABLE people (id int8, name text, UNIQUE (id) DEFERRABLE INITIALLY DEFERRED)")
	s := f.openSink(f.sinkConfig("people"), connector.Task{})
	f.write(s, sqltest.People(t, 0, 10, "a"))
	f.write(s, sqltest.People(t, 9, 11, "again"))
	_, err := s.Prepare(t.Context(), connector.Epoch{Number: 1})
	if fault.ClassOf(err) != fault.Data || !errors.Is(err, connector.ErrEpochLost) ||
		!strings.Contains(err.Error(), "(id)=(9)") {
		t.Errorf("prepare: %v", err)
	}
	f.write(s, sqltest.People(t, 0, 10, "b"))
	f.commit(s, 1)
	f.expect(countPeople, "10|0|9|b|b")
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
		err := s.Write(t.Context(), connector.Chunk{Batch: sqltest.People(t, 0, 3, "x")})
		if fault.ClassOf(err) != fault.Schema || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", ddl, err)
		}
	}
	f.exec("DROP TABLE people; CREATE TABLE people (id int2, name json)")
	s := f.openSink(f.sinkConfig("people"), connector.Task{})
	err := s.Write(t.Context(), connector.Chunk{Batch: sqltest.People(t, 32766, 32769, "{}")})
	var partial *connector.PartialError
	if !errors.As(err, &partial) || len(partial.Rows) != 1 || partial.Rows[0].Row != 2 {
		t.Errorf("narrower integer: %v", err)
	}
	f.commit(s, 1)
	f.expect("SELECT id, name FROM people ORDER BY 1", "32766|{}", "32767|{}")
	missing := f.sinkConfig("nowhere")
	missing.Create = false
	s = f.openSink(missing, connector.Task{})
	err = s.Write(t.Context(), connector.Chunk{Batch: sqltest.People(t, 0, 3, "x")})
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
