package ingest

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tapeline/tapeline/internal/market"
)

func newTestCache(t *testing.T, settings CacheConfig) (*Cache, *time.Time, *strings.Builder) {
	t.Helper()
	var log strings.Builder
	c := NewCache(settings, slog.New(slog.NewTextHandler(&log, nil)))
	now := time.Date(2024, 4, 10, 12, 0, 0, 0, time.UTC)
	c.now = func() time.Time { return now }
	return c, &now, &log
}

// naiveCache is the cache as a list that is looked through.
type naiveCache struct {
	room    int64
	entries []naiveEntry // the last used last
}

type naiveEntry struct {
	key     cacheKey
	value   any
	bytes   int64
	expires time.Time
}

func (n *naiveCache) find(key cacheKey, now time.Time) (any, bool) {
	i := slices.IndexFunc(n.entries, func(e naiveEntry) bool { return e.key == key })
	if i < 0 {
		return nil, false
	}
	e := n.entries[i]
	n.entries = slices.Delete(n.entries, i, i+1)
	if !now.Before(e.expires) {
		return nil, false
	}
	n.entries = append(n.entries, e)
	return e.value, true
}

func (n *naiveCache) put(e naiveEntry) {
	n.entries = slices.DeleteFunc(n.entries, func(o naiveEntry) bool { return o.key == e.key })
	if e.bytes > n.room {
		return
	}
	n.entries = append(n.entries, e)
	for n.size() > n.room {
		n.entries = n.entries[1:]
	}
}

func (n *naiveCache) size() (sum int64) {
	for _, e := range n.entries {
		sum += e.bytes
	}
	return sum
}

// TestCacheMatchesAList drives the cache and its naive twin by the same steps.
func TestCacheMatchesAList(t *testing.T) {
	const seed, steps = 11, 20_000
	random := rand.New(rand.NewPCG(seed, seed))
	settings := Defaults().Performance.Cache
	settings.MaxSizeMB = 1
	c, now, _ := newTestCache(t, settings)
	twin := &naiveCache{room: 1 << 20}
	lives := map[cacheKind]time.Duration{
		cachedCalendar: 7 * 24 * time.Hour, cachedInstrument: 24 * time.Hour, cachedDays: time.Minute,
	}
	for step := range steps {
		*now = now.Add(time.Duration(random.IntN(3000)) * time.Millisecond)
		kind := cacheKind(random.IntN(3))
		key := cacheKey{kind, "", strconv.Itoa(random.IntN(60))}
		switch random.IntN(40) {
		case 0:
			c.changed(market.Bar1D, map[string]bool{key.symbol: true})
			gone := cacheKey{cachedDays, market.Bar1D, key.symbol}
			twin.entries = slices.DeleteFunc(twin.entries, func(e naiveEntry) bool { return e.key == gone })
			continue
		case 1:
			c.changed(market.Listing, nil)
			twin.entries = slices.DeleteFunc(twin.entries, func(e naiveEntry) bool { return e.key.kind == cachedInstrument })
			continue
		}
		if kind == cachedDays {
			key.dataset = market.Bar1D
		}
		if random.IntN(2) == 0 {
			bytes := int64(random.IntN(60_000))
			c.put(key, step, bytes)
			twin.put(naiveEntry{key, step, bytes + 200, now.Add(lives[kind])})
		} else {
			got, ok := c.get(key)
			want, found := twin.find(key, *now)
			if ok != found || ok && got != want {
				t.Fatalf("seed %d, step %d: %v gives %v %t, want %v %t", seed, step, key, got, ok, want, found)
			}
		}
		if c.bytes != twin.size() || c.bytes > 1<<20 || len(c.entries) != len(twin.entries) {
			t.Fatalf("seed %d, step %d: %d bytes in %d entries, want %d in %d", seed, step, c.bytes, len(c.entries),
				twin.size(), len(twin.entries))
		}
	}
	if s := c.statistics(); s.Hits == 0 || s.Misses == 0 || s.Evictions == 0 || s.Dropped == 0 {
		t.Errorf("statistics %+v, want some of each", s)
	}
}

// TestCacheFails: what goes wrong is a miss, is told, and the entries are made anew; a cache that fails
// again and again is bypassed until the next sync.
func TestCacheFails(t *testing.T) {
	c, _, log := newTestCache(t, Defaults().Performance.Cache)
	key := cacheKey{cachedDays, market.Bar1D, "600001.XSHG"}
	c.put(key, 1, 10)
	c.fault = func(string) error { return errors.New("no memory") }
	if _, ok := c.get(key); ok {
		t.Error("a failed lookup found something")
	}
	c.fault = nil
	if _, ok := c.get(key); ok || !strings.Contains(log.String(), "no memory") {
		t.Errorf("after a failure the entries are still there, or nobody was told: %s", log.String())
	}
	c.put(key, 2, 10)
	if got, ok := c.get(key); !ok || got != 2 {
		t.Errorf("got %v %t, want the entry made anew", got, ok)
	}
	c.fault = func(string) error { panic("lost") }
	c.get(key)
	c.get(key)
	c.fault = nil
	c.put(key, 3, 10)
	if _, ok := c.get(key); ok {
		t.Error("a cache that failed three times is still used")
	}
	c.begin(Defaults().Performance.Cache)
	c.put(key, 4, 10)
	if got, _ := c.get(key); got != 4 {
		t.Errorf("the next sync gets %v, want 4", got)
	}
}

func TestCacheIsSqueezed(t *testing.T) {
	settings := Defaults().Performance.Cache
	settings.MaxSizeMB = 1
	c, _, _ := newTestCache(t, settings)
	for i := range 100 {
		c.put(cacheKey{cachedDays, market.Bar1D, strconv.Itoa(i)}, i, 10_000)
	}
	c.squeeze(0.25)
	if s := c.statistics(); s.Bytes > 1<<18 || s.Bytes < 1<<17 {
		t.Errorf("%d bytes after the room shrank to 256 KiB", s.Bytes)
	}
	if got, ok := c.get(cacheKey{cachedDays, market.Bar1D, "99"}); !ok || got != 99 {
		t.Error("the last used entry was given up")
	}
	c.squeeze(1)
	if c.room != 1<<20 {
		t.Errorf("restored to %d bytes", c.room)
	}
}

// BenchmarkCachedLookup is a lookup among the instruments of a market.
func BenchmarkCachedLookup(b *testing.B) {
	c := NewCache(Defaults().Performance.Cache, slog.New(slog.DiscardHandler))
	symbols := make([]string, 5500)
	for i := range symbols {
		symbols[i] = fmt.Sprintf("%06d.XSHG", i)
		c.put(cacheKey{cachedDays, market.Bar1D, symbols[i]}, &heldDays{}, 100)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, ok := c.get(cacheKey{cachedDays, market.Bar1D, symbols[i%len(symbols)]}); !ok {
			b.Fatal("not there")
		}
		i++
	}
}
