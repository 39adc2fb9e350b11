package app

import (
	"bytes"
	"strings"
	"testing"

	"github.com/tapeline/tapeline/internal/ingest"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/sim"
)

// TestSyncSmallBudget: whatever a day's budget is, each run commits what it asked for, nothing is asked
// twice, and the last run ends complete.
func TestSyncSmallBudget(t *testing.T) {
	m := synthetic(t, 12)
	v := startVendor(t, sim.Config{Market: m})
	s := newSyncer(t, v, "2021-01-01", "2022-12-31")
	s.config.Sync.CommitInterval = 60_000 // the failure alone commits
	whole := newSyncer(t, v, "2021-01-01", "2022-12-31")
	whole.want(ingest.StatusComplete)
	asked, budget := v.take(), int64(0)
	wanted, got := asked[askBars]+asked[askFactors], 0
	for runs := 0; ; runs++ {
		budget += 7
		s.config.Sync.RequestsPerDay = &budget
		report, err := s.run()
		asked = v.take()
		got += asked[askBars] + asked[askFactors]
		if err == nil {
			if report.Status != ingest.StatusComplete || runs < 3 || got != wanted {
				t.Errorf("%s after %d runs with %d requests for data, want complete with %d", report.Status, runs, got, wanted)
			}
			break
		}
		if report == nil || report.Status != ingest.StatusFailed || !strings.Contains(err.Error(), "are spent") {
			t.Fatalf("%v\n%s", err, text(report))
		}
		if runs > 20 {
			t.Fatal("no end in 20 runs")
		}
	}
	if !bytes.Equal(s.export(market.Bar1D), whole.export(market.Bar1D)) {
		t.Error("the store differs from one of a single sync")
	}
}
