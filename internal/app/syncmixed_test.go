package app

import (
	"bytes"
	"slices"
	"testing"

	"github.com/tapeline/tapeline/internal/ingest"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/sim"
)

// TestSyncOfASecondProvider: one that knows less of the same market takes nothing away of what the first one
// knows: dates and class of instruments, sums, ratios and closes before of bars. What it does know is compared.
func TestSyncOfASecondProvider(t *testing.T) {
	m := chineseMarket(t, 6)
	v := startVendor(t, sim.Config{Market: m})
	s := newSyncer(t, v, "2023-01-01", "2024-06-28")
	s.want(ingest.StatusComplete)
	columns := []string{"symbol", "date", "open", "close", "preclose", "amount", "turn", "is_st"}
	listing, bars := sorted(s.export(market.Listing)), s.rows(market.Bar1D, columns...)
	volumes := s.rows(market.Bar1D, "symbol", "date", "volume")

	w, err := sim.StartTencent(t.Context(), "127.0.0.1:0", m, sim.WebConfig{})
	w = started(t, w, err)
	other := syncerOf(t, "tencent", w.Address(), "2023-01-01", "2024-06-28")
	other.config.Sync.Store = s.config.Sync.Store
	for _, one := range m.Securities() {
		if one.Kind == sim.Stock && one.Out == 0 && one.Renamed == "" {
			other.config.Sync.Symbols = append(other.config.Sync.Symbols, ours(t, one.Code))
		}
	}
	report := other.want(ingest.StatusComplete)
	if report.Rows.Received == 0 || report.Rows.Changed == 0 {
		t.Errorf("the second provider says nothing of its own:\n%s", report.Text())
	}
	if got := sorted(s.export(market.Listing)); !bytes.Equal(got, listing) {
		t.Errorf("instruments are\n%s\nwere\n%s", got, listing)
	}
	same(t, s.rows(market.Bar1D, columns...), bars)
	if slices.Equal(s.rows(market.Bar1D, "symbol", "date", "volume"), volumes) {
		t.Error("whole lots of the second provider have changed no volume")
	}
}
