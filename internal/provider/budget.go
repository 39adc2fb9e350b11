package provider

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

// So many requests are taken from the BudgetStore at once, so that a fast service does not wait for a
// durable write per request: few at first, twice as many each time. What is left is given back at the
// end; a process that is killed has spent it.
const (
	reserveFirst = 32
	reserveMost  = 256
)

// Limits is what a Budget keeps to.
type Limits struct {
	Name      string         // of the provider
	PerSecond float64        // most requests in any second; 0: no limit
	PerDay    int64          // most requests in a day of the provider; 0: no limit
	Zone      *time.Location // whose midnight begins the provider's day
	Store     BudgetStore
	Now       func() time.Time // the clock of days and bans
	// Banned makes the error of a request while a ban holds; nil: a general one.
	Banned func(until time.Time) error
}

// Budget lets requests pass: not too many a second, not too many a day, none while banned. It is
// used by one goroutine at a time.
type Budget struct {
	limits   Limits
	answered []time.Time // when the last requests of a window were over, a ring
	next     int
	window   time.Duration
	day      market.Date
	reserved int64
	reserve  int64     // to take next
	until    time.Time // of the ban
	read     bool      // until was read from the store
}

// Configure takes up limits; what was sent stays known.
func (b *Budget) Configure(limits Limits) {
	b.limits = limits
	n, window := 0, time.Duration(0)
	if perSecond := limits.PerSecond; perSecond > 0 {
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

// Take waits until one request may be sent, counts it, and returns how long it waited.
// invariant: no request is sent before the budget has it
func (b *Budget) Take(ctx context.Context) (paced time.Duration, err error) {
	if err := b.Allowed(ctx); err != nil {
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

// Over notes that a request was answered, or failed.
func (b *Budget) Over() {
	if len(b.answered) > 0 {
		b.answered[b.next] = time.Now()
		b.next = (b.next + 1) % len(b.answered)
	}
}

// Allowed returns the error of a ban that holds.
func (b *Budget) Allowed(ctx context.Context) error {
	if !b.read {
		until, err := b.limits.Store.Banned(ctx, b.limits.Name)
		if err != nil {
			return fmt.Errorf("read the ban of %s: %w", b.limits.Name, err)
		}
		b.until, b.read = until, true
	}
	if b.limits.Now().Before(b.until) {
		return b.banned()
	}
	return nil
}

func (b *Budget) banned() error {
	if b.limits.Banned != nil {
		return b.limits.Banned(b.until)
	}
	return &connector.Error{
		Op: "ask " + b.limits.Name, Class: connector.Permanent, Code: b.limits.Name + "_banned",
		Err: fmt.Errorf("it refuses this address or account; nothing is asked before %s",
			b.until.Format(time.RFC3339)),
		Hint: "lower requests_per_second and requests_per_day",
	}
}

func (b *Budget) takeOfDay(ctx context.Context) error {
	today := market.From(b.limits.Now().In(b.limits.Zone))
	if today != b.day {
		b.day, b.reserved = today, 0
	}
	b.reserve = max(b.reserve, reserveFirst)
	for n := b.reserve; b.reserved == 0; n = 1 {
		used, ok, err := b.limits.Store.Take(ctx, b.limits.Name, today, n, b.limits.PerDay)
		switch {
		case err != nil:
			return fmt.Errorf("take from the budget of %s: %w", b.limits.Name, err)
		case ok:
			b.reserved, b.reserve = n, min(2*n, reserveMost)
		case n == 1:
			return &connector.Error{
				Op: "ask " + b.limits.Name, Class: connector.Permanent,
				Code: b.limits.Name + "_budget_spent",
				Err:  fmt.Errorf("%d of %d requests of %s are spent", used, b.limits.PerDay, today),
				Hint: fmt.Sprintf("go on after %s, or raise requests_per_day",
					b.Midnight().Format(time.RFC3339)),
			}
		}
	}
	b.reserved--
	return nil
}

// GiveBack returns what was reserved and not sent.
func (b *Budget) GiveBack(ctx context.Context) error {
	if b.reserved == 0 {
		return nil
	}
	_, _, err := b.limits.Store.Take(ctx, b.limits.Name, b.day, -b.reserved, 0)
	b.reserved = 0
	return err
}

// Midnight returns the beginning of the provider's next day.
func (b *Budget) Midnight() time.Time {
	return (market.From(b.limits.Now().In(b.limits.Zone)) + 1).At(b.limits.Zone, 0)
}

// banJitter spreads the return of clients that were banned together.
const banJitter = 15 * time.Minute

// BanToday closes the budget until the provider's next day, and returns the error of the ban.
func (b *Budget) BanToday(ctx context.Context) error {
	return b.Ban(ctx, b.Midnight().Add(time.Minute+rand.N(banJitter))) //nolint:gosec // spreads load
}

// Ban closes the budget until a time, durably, and returns the error of the ban.
func (b *Budget) Ban(ctx context.Context, until time.Time) error {
	b.until, b.read = until, true
	if err := b.limits.Store.Ban(ctx, b.limits.Name, until); err != nil {
		return fmt.Errorf("keep the ban of %s: %w", b.limits.Name, err)
	}
	return b.banned()
}
