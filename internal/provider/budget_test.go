package provider

import (
	"context"
	"testing"
	"time"

	"github.com/tapeline/tapeline/internal/market"
)

// counting counts how often a budget is asked to take.
type counting struct {
	BudgetStore

	takes int
}

func (c *counting) Take(ctx context.Context, provider string, day market.Date, n, limit int64) (int64, bool, error) {
	c.takes++
	return c.BudgetStore.Take(ctx, provider, day, n, limit)
}

// TestBudgetIsTakenInGrowingParts: many requests cost few durable writes, a few spend little that a crash
// would lose, and what is spent in the end is what was sent, up to the limit of the day.
func TestBudgetIsTakenInGrowingParts(t *testing.T) {
	t.Parallel()
	const limit = 10_000
	store := &counting{BudgetStore: NewMemoryBudget()}
	now := time.Date(2024, 1, 2, 12, 0, 0, 0, time.UTC)
	var b Budget
	b.Configure(Limits{Name: "p", PerDay: limit, Zone: time.UTC, Store: store, Now: func() time.Time { return now }})
	used := func() int64 {
		n, _, err := store.BudgetStore.Take(t.Context(), "p", market.From(now), 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	sent := int64(0)
	for ; sent < 5_000; sent++ {
		if _, err := b.Take(t.Context()); err != nil {
			t.Fatal(err)
		}
		if most := sent + 1 + max(reserveFirst, min(sent+reserveFirst, reserveMost)); used() > most {
			t.Fatalf("%d are spent after %d requests", used(), sent+1)
		}
	}
	if store.takes > 25 {
		t.Errorf("%d requests were taken in %d parts, want at most 25", sent, store.takes)
	}
	for ; ; sent++ {
		if _, err := b.Take(t.Context()); err != nil {
			break
		}
	}
	if err := b.GiveBack(t.Context()); err != nil || sent != limit || used() != limit {
		t.Errorf("%d requests were sent and %d are spent of %d, %v", sent, used(), limit, err)
	}
}
