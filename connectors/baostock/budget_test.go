package baostock

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/provider"
)

// TestPace lets two clients, one after the other, ask as fast as they can, of a service that takes 30 ms
// to answer: no second at the service holds more requests than allowed, logins included.
// invariant: no request is sent before the budget has it
func TestPace(t *testing.T) {
	for _, perSecond := range []float64{4, 2.5, 0.5} {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			var arrivals []time.Time
			f := &fake{t: t, rows: names}
			f.answer = func(n int, _ fakeRequest) []byte {
				mu.Lock()
				arrivals = append(arrivals, time.Now())
				mu.Unlock()
				if n%3 == 0 {
					<-time.After(30 * time.Millisecond)
				}
				return nil
			}
			for range 2 {
				client := f.client(func(cfg *Config) { cfg.RequestsPerSecond = perSecond })
				for range 10 {
					if _, err := client.Constituents(t.Context(), HS300Stocks, 1); err != nil {
						t.Fatal(err)
					}
				}
				if err := client.Close(); err != nil {
					t.Fatal(err)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			n := max(1, int(perSecond))
			window := time.Duration(float64(n) / perSecond * float64(time.Second))
			for i := n; i < len(arrivals); i++ {
				if d := arrivals[i].Sub(arrivals[i-n]); d < window {
					t.Errorf("%g a second: requests %d to %d within %s", perSecond, i-n+1, i+1, d)
				}
			}
			if took, most := arrivals[len(arrivals)-1].Sub(arrivals[0]), 24/perSecond; took.Seconds() > most+1 {
				t.Errorf("%g a second: 24 requests took %s", perSecond, took)
			}
		})
	}
}

// TestDayIsSpent restarts a client on the same store: both together send what the day allows.
// invariant: no request is sent before the budget has it
func TestDayIsSpent(t *testing.T) {
	budgets := provider.NewMemoryBudget()
	const limit = 50
	sent := 0
	var failure error
	for range 3 {
		f := &fake{t: t, rows: names}
		client := f.client(func(cfg *Config) { cfg.Budgets, cfg.RequestsPerDay = budgets, limit })
		for range 20 {
			if _, failure = client.Constituents(t.Context(), HS300Stocks, 1); failure != nil {
				break
			}
		}
		if err := client.Close(); err != nil {
			t.Fatal(err)
		}
		sent += len(f.asked())
	}
	if sent != limit {
		t.Errorf("%d requests were sent, the day has %d", sent, limit)
	}
	e, ok := errors.AsType[*connector.Error](failure)
	if !ok || e.Code != "baostock_budget_spent" || e.Class.Retryable() {
		t.Errorf("error %v", failure)
	}
	day := market.DateOf(2024, 7, 1)
	if used, _, _ := budgets.Take(t.Context(), Name, day, 0, 0); used != limit {
		t.Errorf("%d are noted, want %d", used, limit)
	}
}

// TestBlacklisted sends nothing after answer 10001011, also after a restart, until the exchange's next
// day has begun.
func TestBlacklisted(t *testing.T) {
	budgets := provider.NewMemoryBudget()
	now := time.Date(2024, 7, 1, 22, 30, 0, 0, exchangeZone)
	for restart := range 2 {
		f := &fake{t: t, answer: func(_ int, r fakeRequest) []byte {
			return plainFrame(4, join("10001011", "黑名单用户，请与管理员联系"))
		}}
		client := f.client(func(cfg *Config) {
			cfg.Budgets = budgets
			cfg.Now = func() time.Time { return now }
		})
		for range 3 {
			err := client.Login(t.Context())
			if !hasCode(err, "blacklisted") {
				t.Errorf("error %v", err)
			}
		}
		if got, want := len(f.asked()), 1-restart; got != want {
			t.Errorf("%d requests, want %d", got, want)
		}
	}
	until, err := budgets.Banned(t.Context(), Name)
	midnight := time.Date(2024, 7, 2, 0, 0, 0, 0, exchangeZone)
	if err != nil || until.Before(midnight) || until.After(midnight.Add(20*time.Minute)) {
		t.Errorf("banned until %s, %v", until, err)
	}
	now = until
	f := &fake{t: t}
	client := f.client(func(cfg *Config) {
		cfg.Budgets = budgets
		cfg.Now = func() time.Time { return now }
	})
	if err := client.Login(t.Context()); err != nil {
		t.Errorf("after the ban: %v", err)
	}
}

// TestBlacklistedQuery is banned in the middle of a session.
func TestBlacklistedQuery(t *testing.T) {
	f := &fake{t: t, answer: func(n int, _ fakeRequest) []byte {
		if n > 1 {
			return plainFrame(4, join("10001011", "x"))
		}
		return nil
	}}
	client := f.client()
	if _, err := client.TradeDates(t.Context(), 1, 2); !hasCode(err, "blacklisted") {
		t.Errorf("error %v", err)
	}
}

// brokenBudget fails at what it is told to.
type brokenBudget struct {
	provider.BudgetStore

	take, ban, banned error
}

func (b brokenBudget) Take(
	ctx context.Context, provider string, day market.Date, n, limit int64,
) (int64, bool, error) {
	if b.take != nil {
		return 0, false, b.take
	}
	return b.BudgetStore.Take(ctx, provider, day, n, limit)
}

func (b brokenBudget) Ban(ctx context.Context, provider string, until time.Time) error {
	return errors.Join(b.ban, b.BudgetStore.Ban(ctx, provider, until))
}

func (b brokenBudget) Banned(ctx context.Context, provider string) (time.Time, error) {
	until, err := b.BudgetStore.Banned(ctx, provider)
	return until, errors.Join(b.banned, err)
}

// TestBudgetStoreFails: without the store nothing is sent.
func TestBudgetStoreFails(t *testing.T) {
	broken := errors.New("disk is full")
	for _, b := range []brokenBudget{{take: broken}, {banned: broken}, {ban: broken}} {
		b.BudgetStore = provider.NewMemoryBudget()
		f := &fake{t: t, answer: func(int, fakeRequest) []byte {
			return plainFrame(4, join("10001011", "x"))
		}}
		client := f.client(func(cfg *Config) { cfg.Budgets = b })
		if err := client.Login(t.Context()); !errors.Is(err, broken) {
			t.Errorf("error %v", err)
		}
		if got := len(f.asked()); got > 0 && b.ban == nil {
			t.Errorf("%d requests", got)
		}
	}
}

// TestPaceOfAMarket reads a day of a whole market at the usual four requests a second, by the clock of a
// synctest, from a service that bans who has more than one session or asks more than four times within any
// second: nobody is banned, and it takes as long as the budget says.
// invariant: no request is sent before the budget has it
func TestPaceOfAMarket(t *testing.T) {
	symbols := 100
	if os.Getenv("TAPELINE_SOAK") == "1" {
		symbols = 5500
	}
	synctest.Test(t, func(t *testing.T) {
		const limit = 4
		var mu sync.Mutex
		var recent [limit]time.Time
		bans := 0
		f := &fake{t: t, rows: bars(1)}
		f.answer = func(n int, r fakeRequest) []byte {
			<-time.After(time.Duration(n%7) * 40 * time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			earlier := recent[n%limit]
			if recent[n%limit] = time.Now(); time.Since(earlier) < time.Second || r.conn > 1 {
				bans++
			}
			return nil
		}
		cfg := f.config()
		cfg.RequestsPerSecond, cfg.RequestsPerDay = limit, 40_000
		for i := range symbols {
			cfg.Units = append(cfg.Units, unit("bar_1d", fmt.Sprintf("%06d.XSHG", 600000+i), "2000-01-01", "2000-01-01"))
		}
		begun := time.Now()
		got, _ := told(t, cfg, nil, 100)
		f.wait.Wait()
		if bans > 0 || len(got) != 2*symbols {
			t.Errorf("%d bans, %d rows, want none and %d", bans, len(got), 2*symbols)
		}
		if took, most := time.Since(begun), time.Duration(symbols)*time.Second/2; took > most {
			t.Errorf("%d symbols took %s, want %s at most", symbols, took, most)
		}
	})
}
