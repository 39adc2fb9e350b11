package conntest

import (
	"slices"
	"testing"
)

func TestSinkPasses(t *testing.T) {
	for _, form := range []string{"staging", "encoding", "deciding", "plain"} {
		t.Run(form, func(t *testing.T) { Sink(t, tableCase(form, "")) })
	}
}

// Each broken promise is caught by the check made for it, and every check catches one.
func TestSinkCatches(t *testing.T) {
	tests := []struct{ form, fault, check, words string }{
		{"staging", "states what it is not", "describe", "capability Decides"},
		{"staging", "loses a row", "write", "want 100 rows"},
		{"deciding", "loses a row", "write", "want 100 rows"},
		{"staging", "invents a row", "no rows", "too much"},
		{"staging", "ignores the selection", "selection and lazy columns", "selected"},
		{"encoding", "ignores the selection", "selection and lazy columns", "selected"},
		{"staging", "retains the batch", "memory", "overwritten after Write"},
		{"staging", "alters the batch", "memory", "were altered"},
		{"encoding", "encoders share scratch", "encode in parallel", "rows of 4 encoders"},
		{"encoding", "merges in place", "merge payloads", "joined rows"},
		{"staging", "takes half when cancelled", "cancelled", "cancelled Write"},
		{"staging", "hangs when cancelled", "cancelled", "does not return"},
		{"staging", "publishes at Close", "close early", "too much"},
		{"plain", "leaks a goroutine", "close early", "left behind"},
		{"staging", "shows at once", "invisible before commit", "before Prepare"},
		{"staging", "shows at Prepare", "invisible before commit", "after Prepare"},
		{"staging", "recovers without publishing", "crash at every step", "crash after"},
		{"staging", "recovers without discarding", "crash at every step", "crash after"},
		{"staging", "shows at Prepare", "crash at every step", "crash after"},
		{"deciding", "forgets the epoch", "crash at every step", "Decided is 0"},
		{"staging", "publishes again", "repeated commit", "repeated"},
		{"staging", "reuses the token", "tokens", "changed later"},
		{"staging", "makes large tokens", "tokens", "64 KiB"},
		{"deciding", "decides twice", "decide", "decided already"},
		{"deciding", "has no fence", "zombie", "fenced by a later one"},
		{"deciding", "appends under a key", "upsert", "under a key"},
		{"deciding", "ignores deletes", "upsert", "under a key"},
		{"staging", "forgets its key", "upsert", "want id"},
		{"encoding", "drops silently", "refused rows", "want a PartialError"},
		{"staging", "drops silently", "refused rows", "want a PartialError"},
		{"staging", "counts refused rows", "refused rows", "physical rows"},
		{"staging", "evolves once", "schema evolution", "evolve"},
		{"plain", "one writer only", "parallel writers", "rows of two writers"},
		{"staging", "allocates per row", "allocations", "allocations a row"},
	}
	caught := map[string]bool{}
	for _, test := range tests {
		caught[test.check] = true
		t.Run(test.form+" "+test.fault, func(t *testing.T) {
			c := tableCase(test.form, test.fault)
			checks := slices.DeleteFunc(c.checks(), func(c check) bool { return c.name != test.check })
			catches(t, checks, test.check, test.words)
		})
	}
	for _, form := range []string{"staging", "encoding", "deciding", "plain"} {
		for _, name := range names(tableCase(form, "").checks()) {
			if !caught[name] {
				t.Errorf("no fault shows that check %q can fail", name)
			}
		}
	}
}

// What the suite writes is what its other forms say.
func TestRowsForms(t *testing.T) {
	b := Rows(Schema(AllTypes()...), 0, 40, 1)
	want, err := cells(b)
	if err != nil {
		t.Fatal(err)
	}
	got, err := cells(lazy(b))
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "lazy rows", got, want, true)
	var boxed [][]any
	for row := range b.Rows() {
		var values []any
		for _, c := range b.Columns() {
			values = append(values, c.Value(row))
		}
		boxed = append(boxed, values)
	}
	compare(t, "boxed rows", boxedCells(boxed, b.Schema()), want, true)
	before := digest(b)
	poison(b)
	if digest(b) == before {
		t.Error("poison does not change the digest")
	}
	for i, c := range b.Columns() {
		same := 0
		for row := range b.Rows() {
			if cell(c, row) == want[row][i] {
				same++
			}
		}
		if same > b.Rows()*3/5 {
			t.Errorf("poison leaves %d of %d values of %s", same, b.Rows(), b.Schema().Field(i).Type)
		}
	}
}
