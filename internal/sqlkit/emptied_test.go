package sqlkit

import (
	"strconv"
	"strings"
	"testing"

	"github.com/tapeline/tapeline/internal/fault"
)

func TestEmptied(t *testing.T) {
	a, b, c := Name{"s", "a"}, Name{"", "b \"\n\xff"}, Name{"", "C"}
	e := NewEmptied(SQLite)
	e.Add(a)
	e.Commit()
	e.Add(b)
	token, err := e.Token(7, c)
	if err != nil {
		t.Fatal(err)
	}
	e.Rollback()
	if !e.Has(a) || e.Has(b) || e.Has(c) {
		t.Errorf("after the rollback: %v", e.committed)
	}
	restored := NewEmptied(SQLite)
	if err := restored.Restore(token); err != nil {
		t.Fatal(err)
	}
	if !restored.Has(a) || !restored.Has(b) || !restored.Has(Name{"", "c"}) || restored.Has(Name{}) {
		t.Errorf("%s restored %v", token, restored.committed)
	}
	if err := restored.Restore(nil); err != nil || restored.Has(a) {
		t.Errorf("the run's start: %v, %v", restored.committed, err)
	}
	if p := NewEmptied(Postgres); p.Restore(token) != nil || p.Has(Name{"", "C"}) {
		t.Error("PostgreSQL compares names without case")
	}
	for _, bad := range []string{"", "1", "2 7", "1 7\n", "1 7\n\"a\""} {
		if err := restored.Restore([]byte(bad)); err == nil {
			t.Errorf("token %q was accepted", bad)
		}
	}
}

func TestEmptiedTokenHasALimit(t *testing.T) {
	e := NewEmptied(MySQL)
	for i := range 1000 {
		e.Add(Name{"", strings.Repeat("x", 70) + strconv.Itoa(i)})
	}
	if _, err := e.Token(1); fault.ClassOf(err) != fault.Permanent {
		t.Errorf("a token of over 64 KiB: %v", err)
	}
}

// FuzzRestore: a token that is read gives the same tables when written and read again.
func FuzzRestore(f *testing.F) {
	f.Add([]byte("1 7"))
	f.Add([]byte("1 7\n\"s\" \"a\"\n\"\" \"b \\\"\\n\""))
	f.Fuzz(func(t *testing.T, token []byte) {
		e := NewEmptied(Postgres)
		if e.Restore(token) != nil {
			return
		}
		again, err := e.Token(7)
		if err != nil {
			return
		}
		restored := NewEmptied(Postgres)
		if err := restored.Restore(again); err != nil {
			t.Fatal(err)
		}
		third, err := restored.Token(7)
		if err != nil || string(third) != string(again) {
			t.Errorf("%q became %q, %v", again, third, err)
		}
	})
}
