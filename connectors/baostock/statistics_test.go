package baostock

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapeline/tapeline/internal/market"
)

// TestUtilisation: what the budget makes a session wait counts for nothing, before the login neither, and
// what comes after the last answer is no time of the session.
func TestUtilisation(t *testing.T) {
	const answer = 100 * time.Millisecond
	for name, c := range map[string]struct {
		perSecond float64
		asks      int
		pause     time.Duration // between two requests, in which nobody asks
		want      float64
	}{
		"login alone, paced":  {4, 0, 0, 1},
		"few requests, paced": {4, 3, 0, 1},
		"many, paced":         {4, 40, 0, 1},
		"not paced":           {0, 3, 0, 1},
		"half of the time":    {0, 4, 125 * time.Millisecond, 0.5},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{t: t, rows: bars(1), answer: func(int, fakeRequest) []byte {
					<-time.After(answer)
					return nil
				}}
				client := f.client(func(cfg *Config) { cfg.RequestsPerSecond = c.perSecond })
				if err := client.Login(t.Context()); err != nil {
					t.Fatal(err)
				}
				for range c.asks {
					<-time.After(c.pause)
					r := KDataRequest{Symbol: market.Symbol{Code: "600000", MIC: market.XSHG}, From: 10957, To: 10957}
					if _, err := client.KData(t.Context(), r); err != nil {
						t.Fatal(err)
					}
				}
				<-time.After(time.Hour)
				if stats := client.Statistics(); stats.Utilisation() != c.want {
					t.Errorf("utilisation %g of %+v, want %g", stats.Utilisation(), stats, c.want)
				}
			})
		})
	}
}
