package ingest

import "testing"

// TestErrorsComeBeforeWarnings: however many warnings there are, an error behind them is kept.
func TestErrorsComeBeforeWarnings(t *testing.T) {
	c := &check{out: &Verification{Counts: map[string]int{}}}
	for range MaxFindings {
		c.add(Finding{Rule: "likely", Severity: Doubtful})
	}
	c.add(Finding{Rule: "wrong"})
	c.add(Finding{Rule: "likely", Severity: Doubtful})
	kept := map[string]int{}
	for _, f := range c.out.Findings {
		kept[f.Rule]++
	}
	if kept["wrong"] != 1 || kept["likely"] != MaxFindings-1 || c.out.Errors != 1 || c.out.Warnings != MaxFindings+1 {
		t.Errorf("kept %v of %d errors and %d warnings", kept, c.out.Errors, c.out.Warnings)
	}
}
