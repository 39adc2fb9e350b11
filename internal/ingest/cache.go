package ingest

import (
	"container/list"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Cache remembers what the plans and proofs of one store are made from: calendars, instruments, and the
// days of which an instrument has rows. It serves all syncs of a process into that store. An entry
// counts until its time is over, a commit changes what it was made from, or the room is needed for one
// that was used later. What goes wrong in it is a lookup that found nothing. A nil Cache holds nothing.
// Safe for concurrent use.
// invariant: a cache never changes what a sync finds
type Cache struct {
	settings CacheConfig
	log      *slog.Logger
	now      func() time.Time
	fault    func(operation string) error // in tests: what fails

	mu       sync.Mutex
	entries  map[cacheKey]*list.Element
	recent   *list.List // of *cacheEntry, the last used first
	bytes    int64
	room     int64 // bytes that may be used
	seq      int64 // commit of the store up to which the entries are known to hold
	loading  bool  // lookups fill the cache ahead of their use
	failures int   // since the sync began
	stats    CacheStatistics
}

// CacheStatistics is what a cache did in a sync.
type CacheStatistics struct {
	Hits      int64 `json:"hits"`
	Misses    int64 `json:"misses"`
	Preloaded int64 `json:"preloaded"`
	Evictions int64 `json:"evictions"` // for want of room
	Dropped   int64 `json:"dropped"`   // because of a commit
	Failures  int64 `json:"failures"`
	Bytes     int64 `json:"bytes"` // held now
	Entries   int   `json:"entries"`
}

// Ratio returns the share of lookups that found something, 0 to 1.
func (s CacheStatistics) Ratio() float64 {
	if s.Hits+s.Misses == 0 {
		return 0
	}
	return float64(s.Hits) / float64(s.Hits+s.Misses)
}

// cacheKind is a group of entries with a time to live of its own.
type cacheKind uint8

const (
	cachedCalendar   cacheKind = iota // of a market
	cachedInstrument                  // by symbol; "" is the list of all symbols
	cachedDays                        // by dataset and symbol
)

type cacheKey struct {
	kind            cacheKind
	dataset, symbol string
}

type cacheEntry struct {
	key     cacheKey
	value   any
	bytes   int64
	expires time.Time
}

// NewCache returns an empty cache; nil where the settings want none.
func NewCache(settings CacheConfig, log *slog.Logger) *Cache {
	if !settings.Enable {
		return nil
	}
	c := &Cache{settings: settings, log: log, now: time.Now}
	c.room = c.most()
	c.clear()
	return c
}

func (c *Cache) most() int64 { return int64(c.settings.MaxSizeMB) << 20 }

// clear forgets all entries. Needs mu, or no other user.
func (c *Cache) clear() {
	c.entries, c.recent, c.bytes = map[cacheKey]*list.Element{}, list.New(), 0
}

// mostFailures is how often a cache may fail in a sync and begin anew; then it is bypassed until the
// next one.
const mostFailures = 3

// guard runs f unless the cache is bypassed. Where f fails, all entries are forgotten, so that they are
// made anew as they are asked for.
func (c *Cache) guard(operation string, f func() error) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failures >= mostFailures {
		return
	}
	defer func() {
		if cause := recover(); cause != nil {
			c.failed(operation, fmt.Errorf("panic: %v", cause))
		}
	}()
	if c.fault != nil {
		if err := c.fault(operation); err != nil {
			c.failed(operation, err)
			return
		}
	}
	if err := f(); err != nil {
		c.failed(operation, err)
	}
}

func (c *Cache) failed(operation string, err error) {
	c.failures++
	c.stats.Failures++
	c.clear()
	c.log.Warn("the cache failed and begins anew; the store is asked instead", "operation", operation, "error", err,
		"bypassed", c.failures >= mostFailures)
}

// begin starts the statistics of a sync, with settings that may have changed. A bypassed cache is used
// again.
func (c *Cache) begin(settings CacheConfig) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settings, c.room = settings, int64(settings.MaxSizeMB)<<20
	c.failures, c.stats = 0, CacheStatistics{}
	c.evict()
}

// statistics returns what was done since the sync began; nil where there is no cache.
func (c *Cache) statistics() *CacheStatistics {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Bytes, s.Entries = c.bytes, len(c.entries)
	return &s
}

// get looks an entry up.
func (c *Cache) get(key cacheKey) (any, bool) { return c.getIf(key, nil) }

// getIf looks an entry up that is of use; nil: each is.
func (c *Cache) getIf(key cacheKey, useful func(any) bool) (value any, ok bool) {
	c.guard("get", func() error {
		value, ok = c.find(key)
		ok = ok && (useful == nil || useful(value))
		switch {
		case c.loading:
		case ok:
			c.stats.Hits++
		default:
			c.stats.Misses++
		}
		return nil
	})
	return value, ok
}

// preload runs f, which asks for what will be needed soon: its lookups are no misses.
func (c *Cache) preload(f func() error) error {
	if c == nil {
		return nil
	}
	load := func(on bool) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.loading = on
	}
	load(true)
	defer load(false)
	return f()
}

// find returns an entry that still counts. Needs mu.
func (c *Cache) find(key cacheKey) (any, bool) {
	at, ok := c.entries[key]
	if !ok {
		return nil, false
	}
	entry := at.Value.(*cacheEntry)
	if !c.now().Before(entry.expires) {
		c.remove(at)
		return nil, false
	}
	c.recent.MoveToFront(at)
	return entry.value, true
}

// put keeps a value, of about so many bytes.
func (c *Cache) put(key cacheKey, value any, bytes int64) {
	c.guard("put", func() error {
		if at, ok := c.entries[key]; ok {
			c.remove(at)
		}
		const bookkeeping = 200 // bytes of an entry beside its value
		entry := &cacheEntry{key, value, bytes + bookkeeping, c.now().Add(c.life(key.kind))}
		if entry.bytes > c.room {
			return nil
		}
		if c.loading {
			c.stats.Preloaded++
		}
		c.entries[key] = c.recent.PushFront(entry)
		c.bytes += entry.bytes
		c.evict()
		return nil
	})
}

func (c *Cache) life(kind cacheKind) time.Duration {
	seconds := c.settings.LastDataDateTTL
	switch kind {
	case cachedCalendar:
		seconds = c.settings.TradingCalendarTTL
	case cachedInstrument:
		seconds = c.settings.StockMetadataTTL
	case cachedDays:
	}
	return time.Duration(seconds) * time.Second
}

// evict makes room. Needs mu.
func (c *Cache) evict() {
	for c.bytes > c.room && c.recent.Len() > 0 {
		c.remove(c.recent.Back())
		c.stats.Evictions++
	}
}

// remove needs mu.
func (c *Cache) remove(at *list.Element) {
	entry := at.Value.(*cacheEntry)
	c.recent.Remove(at)
	delete(c.entries, entry.key)
	c.bytes -= entry.bytes
}

// changed forgets what was made from rows of a dataset that a commit of this process changed: those of
// the symbols, or all where these are nil.
func (c *Cache) changed(dataset string, symbols map[string]bool) {
	c.guard("commit", func() error {
		kind, whole := kindOf(dataset)
		if whole || symbols == nil {
			c.drop(func(key cacheKey) bool { return whole && key.kind == kind || key.dataset == dataset })
			return nil
		}
		for symbol := range symbols {
			if at, ok := c.entries[cacheKey{cachedDays, dataset, symbol}]; ok {
				c.remove(at)
				c.stats.Dropped++
			}
		}
		return nil
	})
}

// drop removes entries because of a commit. Needs mu.
func (c *Cache) drop(which func(cacheKey) bool) {
	for key, at := range c.entries {
		if which(key) {
			c.remove(at)
			c.stats.Dropped++
		}
	}
}

// squeeze gives memory back: the room shrinks to a share of the setting, 0 to 1; 1 restores it.
func (c *Cache) squeeze(share float64) {
	c.guard("squeeze", func() error {
		c.room = int64(share * float64(c.most()))
		c.evict()
		return nil
	})
}
