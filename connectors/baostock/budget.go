package baostock

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/market"
)

// BudgetStore keeps what was asked of a provider, so that a restart does not ask for more than it
// bears. The day is the provider's own. Implementations are safe for concurrent use.
type BudgetStore interface {
	// Take adds n to the requests of the day if they stay within limit (0: no limit), and returns
	// what is used then. It is durable before it returns ("synced"). n may be negative: what was
	// taken and not sent.
	Take(ctx context.Context, provider string, day market.Date, n, limit int64) (
		used int64, ok bool, err error)
	// Ban notes that nothing may be sent before until.
	Ban(ctx context.Context, provider string, until time.Time) error
	// Banned returns the end of the last ban noted, the zero time for none.
	Banned(ctx context.Context, provider string) (time.Time, error)
}

// NewMemoryBudget returns a BudgetStore that forgets with the process.
func NewMemoryBudget() BudgetStore {
	return &memoryBudget{used: map[spending]int64{}, until: map[string]time.Time{}}
}

type spending struct {
	provider string
	day      market.Date
}

type memoryBudget struct {
	mu    sync.Mutex
	used  map[spending]int64
	until map[string]time.Time
}

func (m *memoryBudget) Take(
	_ context.Context, provider string, day market.Date, n, limit int64,
) (int64, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := spending{provider, day}
	if limit > 0 && n > 0 && m.used[key]+n > limit {
		return m.used[key], false, nil
	}
	m.used[key] += n
	return m.used[key], true, nil
}

func (m *memoryBudget) Ban(_ context.Context, provider string, until time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.until[provider] = until
	return nil
}

func (m *memoryBudget) Banned(_ context.Context, provider string) (time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.until[provider], nil
}

// reserveRequests are taken from the BudgetStore at once, so that a fast service does not wait for a
// durable write per request; what is left is given back at the end.
const reserveRequests = 32

// budget lets requests pass: not too many a second, not too many a day, none while banned. It is used
// by the holder of the session's lock alone.
type budget struct {
	cfg      *Config
	answered []time.Time // when the last requests of a window were over, a ring
	next     int
	window   time.Duration
	day      market.Date
	reserved int64
	until    time.Time // of the ban
	read     bool      // until was read from the store
}

// configure takes up the configuration's limits.
func (b *budget) configure() {
	n, window := 0, time.Duration(0)
	if perSecond := b.cfg.RequestsPerSecond; perSecond > 0 {
		n = max(1, int(perSecond))
		window = time.Duration(float64(n) / perSecond * float64(time.Second))
	}
	if n != len(b.answered) || window != b.window {
		b.answered, b.next, b.window = make([]time.Time, n), 0, window
		// Another process may have asked until just now.
		for i := range b.answered {
			b.answered[i] = time.Now()
		}
	}
}

// take waits until one request may be sent and counts it.
// invariant: no request is sent before the budget has it
func (b *budget) take(ctx context.Context) (paced time.Duration, err error) {
	if err := b.allowed(ctx); err != nil {
		return 0, err
	}
	if err := b.takeOfDay(ctx); err != nil {
		return 0, err
	}
	if len(b.answered) == 0 {
		return 0, nil
	}
	before := time.Now()
	// The n-th request before this one was over a window ago, so that no window at the service has
	// more than n, however long either was on its way.
	wait := b.answered[b.next].Add(b.window).Sub(before)
	if wait <= 0 {
		return 0, nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return time.Since(before), nil
	case <-ctx.Done():
		return time.Since(before), ctx.Err()
	}
}

// over notes that a request was answered, or failed.
func (b *budget) over() {
	if len(b.answered) > 0 {
		b.answered[b.next] = time.Now()
		b.next = (b.next + 1) % len(b.answered)
	}
}

// allowed returns the error of a ban that holds.
func (b *budget) allowed(ctx context.Context) error {
	if !b.read {
		until, err := b.cfg.Budgets.Banned(ctx, Name)
		if err != nil {
			return fmt.Errorf("read the ban of %s: %w", Name, err)
		}
		b.until, b.read = until, true
	}
	if b.cfg.Now().Before(b.until) {
		return banned(b.until)
	}
	return nil
}

func (b *budget) takeOfDay(ctx context.Context) error {
	today := market.From(b.cfg.Now().In(exchangeZone))
	if today != b.day {
		b.day, b.reserved = today, 0
	}
	for n := int64(reserveRequests); b.reserved == 0; n = 1 {
		used, ok, err := b.cfg.Budgets.Take(ctx, Name, today, n, b.cfg.RequestsPerDay)
		switch {
		case err != nil:
			return fmt.Errorf("take from the budget of %s: %w", Name, err)
		case ok:
			b.reserved = n
		case n == 1:
			return &connector.Error{
				Op: "ask " + Name, Class: connector.Permanent, Code: "baostock_budget_spent",
				Err: fmt.Errorf("%d of %d requests of %s are spent", used, b.cfg.RequestsPerDay, today),
				Hint: fmt.Sprintf("go on after %s, or raise requests_per_day",
					b.midnight().Format(time.RFC3339)),
			}
		}
	}
	b.reserved--
	return nil
}

// giveBack returns what was reserved and not sent.
func (b *budget) giveBack(ctx context.Context) error {
	if b.reserved == 0 {
		return nil
	}
	_, _, err := b.cfg.Budgets.Take(ctx, Name, b.day, -b.reserved, 0)
	b.reserved = 0
	return err
}

// midnight returns the beginning of the exchange's next day.
func (b *budget) midnight() time.Time {
	return (market.From(b.cfg.Now().In(exchangeZone)) + 1).At(exchangeZone, 0)
}

// banJitter spreads the return of clients that were banned together.
const banJitter = 15 * time.Minute

// ban closes the budget until the service's next day.
func (b *budget) ban(ctx context.Context) error {
	b.until = b.midnight().Add(time.Minute + rand.N(banJitter)) //nolint:gosec // spreads load
	b.read = true
	if err := b.cfg.Budgets.Ban(ctx, Name, b.until); err != nil {
		return fmt.Errorf("keep the ban of %s: %w", Name, err)
	}
	return nil
}

func banned(until time.Time) *connector.Error {
	return &connector.Error{
		Op: "ask " + Name, Class: connector.Permanent, Code: "baostock_blacklisted",
		Err: fmt.Errorf("this address is blacklisted (10001011); nothing is asked before %s",
			until.Format(time.RFC3339)),
		Hint: "use one process per address, and lower requests_per_second and requests_per_day",
	}
}
