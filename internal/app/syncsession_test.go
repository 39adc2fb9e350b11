package app

import (
	"testing"

	"github.com/tapeline/tapeline/internal/ingest"
	"github.com/tapeline/tapeline/internal/sim"
)

// TestSyncLogsInOnce: the workflows of a sync, for the reference, the bars and the factors, share one login,
// and a sync that has nothing to ask for makes none.
func TestSyncLogsInOnce(t *testing.T) {
	v := startVendor(t, sim.Config{Market: synthetic(t, 20)})
	s := newSyncer(t, v, "2021-01-01", "2022-03-31")
	logins := int64(0)
	for _, c := range []struct {
		to      string
		logins  int64
		factors bool
	}{
		{"2022-03-31", 1, true},
		{"2022-12-31", 1, true}, // only the bars tell who has to be asked for factors: a third workflow
		{"2022-12-31", 0, false},
	} {
		s.config.Sync.To = c.to
		report := s.want(ingest.StatusComplete)
		seen := v.Stats().Logins
		if seen-logins != c.logins || report.Traffic.Logins != c.logins || report.Traffic.Reconnects != 0 {
			t.Errorf("to %s: %d logins at the provider and %+v, want %d", c.to, seen-logins, report.Traffic, c.logins)
		}
		logins = seen
		if asked := v.take(); (asked[askFactors] > 0) != c.factors {
			t.Errorf("to %s: asked for factors %d times", c.to, asked[askFactors])
		}
	}
}
