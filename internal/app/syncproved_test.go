package app

import (
	"testing"

	"github.com/tapeline/tapeline/internal/ingest"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/sim"
)

// TestSyncTakesOverProof: a sync of a store to which nothing was committed takes over what the one before
// proved; a row that is lost later, or another request, is looked at anew.
// invariant: a proof is taken over only at the very commit it was made at
func TestSyncTakesOverProof(t *testing.T) {
	v := startVendor(t, sim.Config{Market: synthetic(t, 12)})
	s := newSyncer(t, v, "2021-01-01", "2022-12-30")
	first := s.want(ingest.StatusComplete)
	for range 2 {
		again := s.want(ingest.StatusComplete)
		if again.ProvedBy != first.Run || again.Symbols != first.Symbols || again.Datasets[0].Stored != first.Datasets[0].Stored {
			t.Errorf("%+v, want the proof of %s", again, first.Run)
		}
	}
	s.config.Sync.To = "2022-11-30"
	if other := s.want(ingest.StatusComplete); other.ProvedBy != "" {
		t.Errorf("a shorter request was proved by %s", other.ProvedBy)
	}
	s.config.Sync.To = "2022-12-30"
	s.lose(market.Interval{From: market.DateOf(2022, 3, 10), To: market.DateOf(2022, 3, 14)}, false)
	v.take()
	if mended := s.want(ingest.StatusComplete); mended.ProvedBy != "" || v.take()[askBars] == 0 {
		t.Errorf("lost rows were proved by %s", mended.ProvedBy)
	}
}
