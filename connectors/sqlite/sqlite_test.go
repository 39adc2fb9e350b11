package sqlite

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/fault"
	"github.com/tapeline/tapeline/internal/sqlkit"
	"github.com/tapeline/tapeline/internal/sqlkit/sqltest"
)

func TestRejectedRows(t *testing.T) {
	f := newFixture(t)
	f.Exec("CREATE TABLE odd (id INTEGER, d DATE, n INT)",
		"INSERT INTO odd VALUES (1, '2024-02-30', 1), (2, '2024-02-29 00:00:00', 2), (3, NULL, 'x')")
	chunks, _ := f.Read(sqlkit.SourceConfig{Table: "odd"}, 10, nil)
	if diff := cmp.Diff([]int64{2}, sqltest.IDs(chunks)); diff != "" {
		t.Error(diff)
	}
	if len(chunks[0].Rejected) != 2 || chunks[0].Rejected[0].Place.Record != 1 {
		t.Errorf("rejected %+v", chunks[0].Rejected)
	}
}

// TestOddValues: a value is read as its column's type, or its row is refused.
func TestOddValues(t *testing.T) {
	f := newFixture(t)
	f.Exec("CREATE TABLE odd (id INTEGER, b BOOLEAN, x DOUBLE PRECISION, at DATETIME, n NUMERIC)",
		"INSERT INTO odd VALUES (1, 1, 0.1, '2024-01-01 00:00:00', 9007199254740992), (2, 2, NULL, NULL, NULL), "+
			"(3, NULL, NULL, 1704067200, NULL), (4, NULL, NULL, NULL, 9007199254740993), (5, 'yes', 1e300, NULL, 1.5)")
	chunks, _ := f.Read(sqlkit.SourceConfig{Table: "odd"}, 10, nil)
	if diff := cmp.Diff([]int64{1, 5}, sqltest.IDs(chunks)); diff != "" {
		t.Error(diff)
	}
	want := "id int64, b bool, x float64, at timestamp(us), n float64"
	if got := chunks[0].Batch.Schema().String(); got != want {
		t.Errorf("schema %s, want %s", got, want)
	}
}

// TestColumnsDeclaredString: STRING is a number to SQLite, where it can be one.
func TestColumnsDeclaredString(t *testing.T) {
	f := newFixture(t)
	f.Exec("CREATE TABLE people (id INTEGER, name STRING)")
	s := f.Sink(sqlkit.SinkConfig{Table: "people"}, connector.Task{})
	for i, name := range []string{"007", "1e3", " 5", "1.50", "9223372036854775808", "7", "-1.5", "abc", "", "inf"} {
		var partial *connector.PartialError
		err := s.Try("", sqltest.People(t, i, i+1, name))
		if refused := i < 5; refused != errors.As(err, &partial) || !refused && err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	s.Checkpoint(1)
	f.Expect("SELECT id, CAST(name AS TEXT) FROM people ORDER BY id", "5|7", "6|-1.5", "7|abc", "8|", "9|inf")
}

// TestIncrementalSpellings: a column's texts are compared as they are stored, whatever form of time
// the file's other programs write.
func TestIncrementalSpellings(t *testing.T) {
	for layout, declared := range map[string]string{
		"2024-01-0%d 12:00:00": "DATETIME", "2024-01-0%dT12:00:00": "DATETIME",
		"2024-01-0%dT12:00:00.500": "TIMESTAMP", "2024-01-0%dT12:00:00Z": "TIMESTAMPTZ",
	} {
		f := newFixture(t)
		f.Exec("CREATE TABLE log (id INTEGER PRIMARY KEY, at " + declared + ")")
		insert := func(id, day int) {
			f.Exec(fmt.Sprintf("INSERT INTO log VALUES (%d, '%s')", id, fmt.Sprintf(layout, day)))
		}
		for id := 1; id <= 3; id++ {
			insert(id, id)
		}
		config := sqlkit.SourceConfig{Table: "log", Incremental: sqlkit.Incremental{
			Column: "at", InitialValue: "2024-01-02T01:00:00Z",
		}}
		first, end := f.Read(config, 1, nil)
		insert(5, 5)
		insert(4, 4)
		second, _ := f.Read(config, 1, end)
		got := [][]int64{sqltest.IDs(first), sqltest.IDs(second)}
		if diff := cmp.Diff([][]int64{{2, 3}, {4, 5}}, got); diff != "" {
			t.Errorf("%s: %s", layout, diff)
		}
	}
	f := newFixture(t)
	f.Exec("CREATE TABLE log (id INTEGER PRIMARY KEY, at INTEGER)", "INSERT INTO log VALUES (1, 1704067200)")
	s, err := Connector().Source.New(sqltest.Env(1), f.Config(sqlkit.SourceConfig{
		Table:       "log",
		Incremental: sqlkit.Incremental{Column: "at", InitialValue: "2024-01-02T01:00:00Z"},
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	err = s.Open(t.Context(), connector.Partition{}, nil)
	if err == nil || !strings.Contains(err.Error(), "column at holds numbers") {
		t.Errorf("a time beside numbers: %v", err)
	}
}

// together makes sinks of one Connector value, which know of each other.
func (f *fixture) together() func(config sqlkit.SinkConfig, node string) *sqltest.Writer {
	d := *f.Database
	d.Connector = Connector()
	return func(config sqlkit.SinkConfig, node string) *sqltest.Writer {
		return d.Sink(config, connector.Task{Node: node})
	}
}

// TestSinksOnOneFile interleaves the epochs of two sinks, which would wait for each other's lock.
func TestSinksOnOneFile(t *testing.T) {
	f := newFixture(t)
	open := f.together()
	plain := open(sqlkit.SinkConfig{Table: "plain", Mode: sqlkit.Replace}, "a")
	keyed := open(sqlkit.SinkConfig{Table: "keyed", Key: []string{"id"}}, "b")
	f.Exec("CREATE TABLE plain (id INTEGER, name TEXT)", "INSERT INTO plain VALUES (77, 'old')")
	for epoch := uint64(1); epoch <= 3; epoch++ {
		from := int(epoch) * 10
		plain.Put("", sqltest.People(t, from, from+10, "p"))
		keyed.Put("", sqltest.People(t, from, from+15, "k"))
		plain.Put("", sqltest.People(t, from, from+10, "q"))
		operations := make([]batch.Operation, 2)
		operations[0] = batch.Delete
		keyed.Put("", sqltest.People(t, from, from+2, "new").WithOperations(operations))
		keyed.Checkpoint(epoch)
		plain.Checkpoint(epoch)
	}
	plain.Put("", sqltest.People(t, 0, 9, "lost"))
	_ = plain.Close()
	f.Expect("SELECT name, count(*), min(id), max(id) FROM plain GROUP BY 1", "p|30|10|39", "q|30|10|39")
	f.Expect("SELECT name, count(*), min(id), max(id) FROM keyed GROUP BY 1", "k|29|12|44", "new|3|11|31")
}

// TestStagedRowsAreRefusedBeforeTheDecision: sinks that share a file refuse rows at Write, and what
// only all rows of an epoch together violate at Prepare.
func TestStagedRowsAreRefusedBeforeTheDecision(t *testing.T) {
	f := newFixture(t)
	f.Exec("CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT)")
	open := f.together()
	open(sqlkit.SinkConfig{Table: "people"}, "other")
	s := open(sqlkit.SinkConfig{Table: "people"}, "node")
	f.Exec("INSERT INTO people VALUES (100, 'there')")
	if err := s.Try("", sqltest.People(t, 95, 105, "a")); fault.ClassOf(err) != fault.Data {
		t.Errorf("a row that is there: %v", err)
	}
	f.Exec("DELETE FROM people")
	s.Put("", sqltest.People(t, 0, 10, "a"))
	s.Put("", sqltest.People(t, 9, 11, "again"))
	_, err := s.Prepare(t.Context(), connector.Epoch{Number: 1})
	if fault.ClassOf(err) != fault.Data || !errors.Is(err, connector.ErrEpochLost) ||
		!strings.Contains(err.Error(), "people.id") {
		t.Fatalf("prepare: %v", err)
	}
	f.Expect("SELECT count(*) FROM people", "0")
	s.Put("", sqltest.People(t, 0, 10, "b"))
	if _, err := s.Prepare(t.Context(), connector.Epoch{Number: 1}); err != nil {
		t.Fatal(err)
	}
	f.Expect("SELECT count(*) FROM people", "0")
	s.Checkpoint(1)
	f.Expect("SELECT count(*), max(name) FROM people", "10|b")
}

// TestReplaceBesideAnotherSink empties each table once, also after a crash.
func TestReplaceBesideAnotherSink(t *testing.T) {
	f := newFixture(t)
	f.Exec("CREATE TABLE x (id INTEGER, name TEXT)", "INSERT INTO x VALUES (77, 'old')",
		"CREATE TABLE y AS SELECT * FROM x")
	open := f.together()
	config := sqlkit.SinkConfig{Table: "{table}", Mode: sqlkit.Replace}
	open(config, "other")
	s := open(config, "node")
	s.Restore(0, nil)
	s.Put("x", sqltest.People(t, 0, 3, "x"))
	s.Put("X", sqltest.People(t, 3, 6, "x"))
	token := s.Checkpoint(1)
	_ = s.Close()

	s = open(config, "node")
	s.Restore(1, token)
	s.Put("x", sqltest.People(t, 6, 9, "x"))
	s.Put("y", sqltest.People(t, 0, 3, "y"))
	s.Checkpoint(2)
	s.Put("y", sqltest.People(t, 3, 5, "y"))
	s.Checkpoint(3)
	f.Expect("SELECT name, count(*) FROM x GROUP BY 1", "x|9")
	f.Expect("SELECT name, count(*) FROM y GROUP BY 1", "y|5")
}

func TestReplaceIgnoresCaseOfNames(t *testing.T) {
	f := newFixture(t)
	s := f.Sink(sqlkit.SinkConfig{Table: "{table}", Mode: sqlkit.Replace}, connector.Task{})
	s.Put("People", sqltest.People(t, 0, 3, "a"))
	s.Put("people", sqltest.People(t, 3, 6, "b"))
	s.Checkpoint(1)
	f.Expect("SELECT count(*) FROM people", "6")
}

func TestClosedWhileOpen(t *testing.T) {
	f := newFixture(t)
	query := "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
	s := f.Source(sqlkit.SourceConfig{Query: query}, sqltest.Env(1<<30), nil)
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
	s, err := Connector().Source.New(sqltest.Env(1), &sourceConfig{
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
