package conntest

import (
	"slices"
	"testing"
)

func TestSourcePasses(t *testing.T) { Source(t, memoryCase("")) }

func TestSourcePassesEndless(t *testing.T) {
	c := memoryCase("")
	c.Connector.Source.Capabilities.Bounded = false
	c.Endless = true
	c.Config = func(testing.TB) any { return &memoryConfig{To: 1 << 40} }
	c.Rejected = 1
	found := failing(t, []check{c.checks()[1], c.checks()[6]})
	if len(found) > 0 {
		t.Error(found)
	}
}

// Each broken promise is caught by the check made for it, and every check catches one.
func TestSourceCatches(t *testing.T) {
	tests := []struct{ fault, check, words string }{
		{"no doc", "describe", "must all be given"},
		{"states what it is not", "describe", "ParallelReads is false"},
		{"discovers another schema", "describe", "discovered (other"},
		{"hides operations", "describe", "row operations"},
		{"loses a row", "read all", "[0]=\"1\""},
		{"rejects without place", "read all", "place"},
		{"rejects at length", "read all", "64 KiB"},
		{"ignores the budget", "budget", "the budget allows 7"},
		{"decoders share scratch", "decode in parallel", "rows of 4 workers"},
		{"recycles too early", "recycling", "before its Release"},
		{"gives no position", "positions", "has no position"},
		{"reuses the position", "positions", "changed from"},
		{"moves the position", "read all", "decode changed the position"},
		{"resumes one row late", "resume", "resumed at position"},
		{"reads the end again", "resume", "resumed at"},
		{"takes any version", "foreign position", "not refused"},
		{"Ack skips rows", "ack", "between acknowledgements"},
		{"partitions overlap", "partitions", "want 100 rows"},
		{"partitions share a name", "partitions", "there twice"},
		{"filters too much", "filter", "which is true for it"},
		{"filters nothing", "filter", "leaves no row out"},
		{"forgets the filter's answer", "filter", "answers 0 of 1 predicates"},
		{"loses a row behind a filter", "filter", "resumed behind"},
		{"ignores its context", "cancelled", "does not return"},
		{"Close overwrites", "close early", "not released"},
		{"ignores cancel", "cancel while blocked", "does not return"},
		{"Read outlives Close", "close while blocked", "does not return"},
		{"Ack waits for Read", "ack while blocked", "does not return"},
		{"allocates per row", "allocations", "allocations a row"},
		{"leaks a goroutine", "close early", "left behind"},
	}
	var caught []string
	for _, test := range tests {
		caught = append(caught, test.check)
		t.Run(test.fault, func(t *testing.T) {
			c := memoryCase(test.fault)
			checks := slices.DeleteFunc(c.checks(), func(c check) bool { return c.name != test.check })
			catches(t, checks, test.check, test.words)
		})
	}
	for _, name := range names(memoryCase("").checks()) {
		if !slices.Contains(caught, name) {
			t.Errorf("no fault shows that check %q can fail", name)
		}
	}
}
