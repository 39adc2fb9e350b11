package app

import (
	"bytes"
	"os"
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

// TestSyncIncrementWithinLimits adds a day to a market while the provider blacklists whoever has more than one
// session, or asks more often in any second than our budget allows: no ban, and the store holds the oracle.
// The limit is faster than the real 4 a second, and so is the budget. TAPELINE_SOAK=1 takes 5,500 symbols.
func TestSyncIncrementWithinLimits(t *testing.T) {
	symbols, perSecond := 20, 20
	if os.Getenv("TAPELINE_SOAK") == "1" {
		symbols, perSecond = 5500, 400
	}
	m, err := sim.Synthetic(7, symbols, sim.DateOf(2022, 12, 1), sim.DateOf(2022, 12, 31))
	if err != nil {
		t.Fatal(err)
	}
	s := newSyncer(t, startVendor(t, sim.Config{Market: m}), "2022-12-01", "2022-12-29")
	s.want(ingest.StatusComplete)
	strict := startVendor(t, sim.Config{Market: m, MaxSessions: 1, SessionsBan: true, RequestsPerSecond: perSecond})
	rate := float64(perSecond)
	s.config.Sync.Endpoint, s.config.Sync.To, s.config.Sync.RequestsPerSecond = strict.Address(), "2022-12-30", &rate
	s.want(ingest.StatusComplete)
	stats, asked := strict.Stats(), strict.take()
	if stats.Banned != 0 || len(stats.Errors) != 0 {
		t.Errorf("%d bans, errors %v", stats.Banned, stats.Errors)
	}
	if asked[askBars] < symbols*9/10 {
		t.Errorf("%d requests for bars of %d symbols: the limits were not tried", asked[askBars], symbols)
	}
	t.Logf("%d symbols: requests %v", symbols, asked)
	whole := newSyncer(t, startVendor(t, sim.Config{Market: m}), "2022-12-01", "2022-12-30")
	whole.want(ingest.StatusComplete)
	if !bytes.Equal(s.export(market.Bar1D), whole.export(market.Bar1D)) {
		t.Error("the store differs from one of a single sync")
	}
}
