package app

import (
	"bytes"
	"strings"
	"testing"

	"github.com/tapeline/tapeline/internal/ingest"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/sim"
)

// TestSyncSilentCap: a page cap that shrinks in the middle of a run, from 10,000 to 100 rows, fails the run,
// which asks for no more, keeps what came, and goes on when the cap is lifted.
func TestSyncSilentCap(t *testing.T) {
	m := synthetic(t, 40)
	rules, err := sim.ParseFaults("from 11 on 95: pagecap 100")
	if err != nil {
		t.Fatal(err)
	}
	v := startVendor(t, sim.Config{Market: m, Faults: rules})
	s := newSyncer(t, v, "2021-01-01", "2022-12-31")
	report := s.want(ingest.StatusShort)
	if asked := v.take(); asked[askBars] < 13 || asked[askBars] > 18 {
		t.Errorf("asked for bars %d times, want 10 whole answers, three that are cut and the few under way", asked[askBars])
	}
	const why = "the provider's answers end after 100 rows"
	if len(report.Warnings) == 0 || !strings.Contains(report.Warnings[0], why) || report.Symbols < 49 {
		t.Errorf("warnings %v, %d symbols", report.Warnings, report.Symbols)
	}
	if len(report.Missing) < 35 {
		t.Errorf("%d are missing, want all but ten symbols", len(report.Missing))
	}
	for _, one := range report.Missing {
		if !strings.Contains(one.Why, why) {
			t.Fatalf("missing %s, want the cap named", one)
		}
	}
	if again := s.want(ingest.StatusShort); again.Symbols != report.Symbols || v.take()[askBars] > 8 {
		t.Errorf("the second sync has %d symbols, want %d and few requests", again.Symbols, report.Symbols)
	}
	v.SetFaults(nil)
	s.want(ingest.StatusComplete)
	whole := newSyncer(t, v, "2021-01-01", "2022-12-31")
	whole.want(ingest.StatusComplete)
	if !bytes.Equal(s.export(market.Bar1D), whole.export(market.Bar1D)) {
		t.Error("the bars differ from those of a single sync")
	}
}
