package sqlite

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/fault"
	"github.com/tapeline/tapeline/internal/sqlkit"
	"github.com/tapeline/tapeline/internal/sqlkit/sqltest"
)

// TestDiskFull: the epoch is lost with its transaction, and what was committed stays.
func TestDiskFull(t *testing.T) {
	f := newFixture(t)
	s := f.Sink(sqlkit.SinkConfig{Table: "people"}, connector.Task{})
	s.Put("", sqltest.People(t, 0, 10, "a"))
	s.Checkpoint(1)
	s.Put("", sqltest.People(t, 10, 20, "a"))
	data := s.Decider.(*sqlkit.Sink).Session()
	pages, _, err := data.Int(t.Context(), "PRAGMA page_count")
	if err != nil || pages == 0 {
		t.Fatal(err)
	}
	if _, _, err := data.Int(t.Context(), "PRAGMA max_page_count = 1"); err != nil {
		t.Fatal(err) // becomes what the file has
	}
	err = s.Try("", sqltest.People(t, 20, 20000, strings.Repeat("x", 100)))
	if fault.ClassOf(err) != fault.Permanent || !strings.Contains(err.Error(), "disk is full") {
		t.Fatalf("full: class %s: %v", fault.ClassOf(err), err)
	}
	lost := errors.Is(err, connector.ErrEpochLost)
	s.Checkpoint(2)
	want := "20|a"
	if lost {
		want = "10|a"
	}
	f.Expect("SELECT count(*), max(name) FROM people", want)
}

// TestNoDatabase: another kind of file is refused by name, and left alone.
func TestNoDatabase(t *testing.T) {
	f := newFixture(t)
	path := f.path + ".txt"
	text := []byte(strings.Repeat("this is no database\n", 100))
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, write := range []bool{false, true} {
		s, err := connect(t.Context(), path, write)
		if err == nil {
			_, err = describe(t.Context(), s, sqlkit.Name{Table: "t"})
			_ = s.Close()
		}
		if fault.ClassOf(err) != fault.Permanent || !strings.Contains(err.Error(), "no SQLite database") {
			t.Errorf("write %t: class %s: %v", write, fault.ClassOf(err), err)
		}
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != string(text) {
		t.Errorf("the file was changed: %v", err)
	}
}
