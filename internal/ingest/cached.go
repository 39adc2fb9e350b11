package ingest

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/store"
)

// kindOf returns which entries are made from all rows of a dataset.
func kindOf(dataset string) (cacheKind, bool) {
	switch dataset {
	case market.CalendarDay:
		return cachedCalendar, true
	case market.Listing:
		return cachedInstrument, true
	}
	return 0, false
}

// follow brings the entries up to the newest commit: what others committed since the last sync is
// forgotten. From then on only this sync commits, as it holds the writer's lock.
func (c *Cache) follow(ctx context.Context, s *store.Store) (err error) {
	if c == nil {
		return nil
	}
	view, err := s.View(ctx, 0)
	if err != nil {
		return err
	}
	to := int64(view.Seq())
	if err := view.Close(); err != nil {
		return err
	}
	c.mu.Lock()
	before := c.seq
	c.mu.Unlock()
	if to == before {
		return nil
	}
	var entries []store.Entry
	if before > 0 && before < to {
		if entries, err = s.Journal(ctx, store.Seq(before), 0); err != nil {
			return fmt.Errorf("read the journal: %w", err)
		}
	}
	c.guard("follow", func() error {
		c.seq = to
		if len(entries) == 0 || int64(entries[0].Seq) != before+1 {
			c.drop(func(cacheKey) bool { return true }) // another store, or more than the journal tells
			return nil
		}
		for _, entry := range entries {
			for _, change := range entry.Changed {
				kind, whole := kindOf(change.Dataset)
				c.drop(func(key cacheKey) bool {
					return whole && key.kind == kind || key.dataset == change.Dataset
				})
			}
		}
		return nil
	})
	return nil
}

// reached notes the newest commit at the end of a sync. What its sinks committed they told by touched;
// its other commits change coverage, which is not cached.
func (c *Cache) reached(seq store.Seq) {
	c.guard("reach", func() error {
		c.seq = int64(seq)
		return nil
	})
}

// forget drops all entries.
func (c *Cache) forget() {
	c.guard("forget", func() error {
		c.drop(func(cacheKey) bool { return true })
		return nil
	})
}

// preloadKnown fills the cache with calendars and instruments.
func (j *job) preloadKnown(view *store.View) error {
	return j.Cache.preload(func() error {
		r := j.request
		r.Index = market.Symbol{} // its members may not be there yet
		_, err := readKnown(view, r, j.Cache)
		return err
	})
}

// preloadDays fills the cache with the days of which the instruments of a scope have rows.
func (j *job) preloadDays(scope *Scope, view *store.View) error {
	return j.Cache.preload(func() error {
		for _, dataset := range scope.Datasets {
			if !bySession(dataset) {
				continue
			}
			if _, err := scope.inventory(view, dataset, j.Cache); err != nil {
				return err
			}
		}
		return nil
	})
}

// cachedDay is a calendar as the provider's days make it.
type cachedDay struct {
	calendar *market.Calendar
	disagree []market.Disagreement
}

// readCalendars reads the calendars of markets.
func (k *known) readCalendars(view *store.View, markets []market.MIC, c *Cache) error {
	var days []*batch.Batch
	for _, mic := range markets {
		key := cacheKey{cachedCalendar, "", string(mic)}
		if value, ok := c.get(key); ok {
			entry := value.(*cachedDay)
			k.calendars[mic], k.disagree = entry.calendar, append(k.disagree, entry.disagree...)
			continue
		}
		if days == nil && view != nil {
			var err error
			if days, err = readAll(view, market.CalendarDay, store.Range{}); err != nil {
				return err
			}
		}
		before := len(k.disagree)
		if err := k.calendar(mic, days); err != nil {
			return err
		}
		const size = 64 << 10 // of a calendar over some thirty years
		c.put(key, &cachedDay{k.calendars[mic], slices.Clone(k.disagree[before:])}, size)
	}
	return nil
}

// readInstruments reads the list of instruments.
func (k *known) readInstruments(view *store.View, c *Cache) error {
	if value, ok := c.get(cacheKey{kind: cachedInstrument}); ok {
		symbols := value.([]string)
		for _, symbol := range symbols {
			one, ok := c.get(cacheKey{cachedInstrument, "", symbol})
			if !ok {
				k.instruments = nil
				break
			}
			k.instruments = append(k.instruments, one.(market.Instrument))
		}
		if len(k.instruments) == len(symbols) {
			return nil
		}
		k.instruments = nil
	}
	if err := k.list(view); err != nil {
		return err
	}
	symbols := make([]string, len(k.instruments))
	size := int64(0)
	for i, one := range k.instruments {
		symbols[i] = one.Symbol.String()
		const fixed = 200
		c.put(cacheKey{cachedInstrument, "", symbols[i]}, one, fixed+int64(len(one.Name)))
		size += int64(len(symbols[i])) + 16
	}
	c.put(cacheKey{kind: cachedInstrument}, symbols, size)
	return nil
}

// heldDays are the days within a span on which an instrument has rows.
type heldDays struct {
	span                 market.Interval
	present, provisional market.Intervals
}

// inventory returns which days of a span have rows, for the instruments of a scope.
func (s *Scope) inventory(view *store.View, dataset string, c *Cache) (inventory, error) {
	if c == nil {
		return takeInventory(view, dataset, s.Span, s.named())
	}
	inv := inventory{present: map[string]market.Intervals{}, provisional: map[string]market.Intervals{}}
	var missing []market.Instrument
	for _, one := range s.Instruments {
		symbol := one.Symbol.String()
		value, ok := c.getIf(cacheKey{cachedDays, dataset, symbol}, func(value any) bool {
			days := value.(*heldDays)
			return days.span.From <= s.Span.From && s.Span.To <= days.span.To
		})
		if !ok {
			missing = append(missing, one)
			continue
		}
		days := value.(*heldDays)
		if present := days.present.Intersect(s.Span); len(present) > 0 {
			inv.present[symbol] = present
		}
		if provisional := days.provisional.Intersect(s.Span); len(provisional) > 0 {
			inv.provisional[symbol] = provisional
		}
	}
	if len(missing) == 0 {
		return inv, nil
	}
	lacking := *s
	lacking.Instruments = missing
	read, err := takeInventory(view, dataset, s.Span, lacking.named())
	if err != nil {
		return inv, err
	}
	for _, one := range missing {
		symbol := one.Symbol.String()
		days := &heldDays{s.Span, read.present[symbol], read.provisional[symbol]}
		if len(days.present) > 0 {
			inv.present[symbol] = days.present
		}
		if len(days.provisional) > 0 {
			inv.provisional[symbol] = days.provisional
		}
		const fixed, interval = 100, 8
		c.put(cacheKey{cachedDays, dataset, symbol}, days, fixed+interval*int64(len(days.present)+len(days.provisional)))
	}
	return inv, nil
}

// touched collects whose rows an epoch brings, and tells the cache when they are committed.
type touched struct {
	cache   *Cache
	symbols map[string]map[string]bool // by dataset; nil: of all symbols
}

// rows notes the symbols of rows.
func (t *touched) rows(dataset string, b *batch.Batch) {
	if t.cache == nil {
		return
	}
	if t.symbols == nil {
		t.symbols = map[string]map[string]bool{}
	}
	at := b.Schema().Index("symbol")
	known, again := t.symbols[dataset]
	switch {
	case again && known == nil:
		return
	case at < 0 || b.Column(at).Lazy():
		t.symbols[dataset] = nil
		return
	case known == nil:
		known = map[string]bool{}
		t.symbols[dataset] = known
	}
	column := b.Column(at)
	var last []byte
	for i := range b.Len() {
		if symbol := column.Bytes(b.Row(i)); i == 0 || !bytes.Equal(symbol, last) {
			known[string(symbol)] = true
			last = symbol
		}
	}
}

// committed tells the cache.
func (t *touched) committed() {
	for dataset, symbols := range t.symbols {
		t.cache.changed(dataset, symbols)
	}
	t.symbols = nil
}
