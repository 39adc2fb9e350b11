package app

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/internal/ingest"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/sim"
)

// TestSyncFactorsOfBefore: the factor of a store's first day is that of an event which may be years old. A
// store that begins in the middle of a history adjusts as one that has all of it.
func TestSyncFactorsOfBefore(t *testing.T) {
	m := synthetic(t, 12)
	vendors := map[string]func(from string) *syncer{
		"baostock": func(from string) *syncer {
			return newSyncer(t, startVendor(t, sim.Config{Market: m}), from, "2022-12-30")
		},
		"tushare": func(from string) *syncer {
			return startTushare(t, m, sim.WebConfig{}).syncer(t, from, "2022-12-30", ingest.RouteFewest)
		},
	}
	for name, syncer := range vendors {
		t.Run(name, func(t *testing.T) {
			whole, late := syncer("2021-01-04"), syncer("2022-09-01")
			whole.want(ingest.StatusComplete)
			late.want(ingest.StatusComplete)
			bars := string(late.export(market.Bar1D))
			var want []string
			before := 0
			for line := range strings.Lines(string(whole.export(market.AdjFactor))) {
				symbol, event, _ := strings.Cut(line, ",")
				if !strings.Contains(bars, symbol+",") {
					continue // it was delisted before the late store begins
				}
				want = append(want, line)
				if event < "2022-09-01" {
					before++
				}
			}
			if before < 5 {
				t.Fatalf("only %d events lie before the late store begins", before)
			}
			got := slices.Collect(strings.Lines(string(late.export(market.AdjFactor))))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("factors of a store from September 2022 on (-those of one with the whole history +got):\n%s", diff)
			}
		})
	}
}
