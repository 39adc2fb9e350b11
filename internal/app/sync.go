package app

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"github.com/tapeline/tapeline/internal/flow/plan"
	"github.com/tapeline/tapeline/internal/flow/run"
	"github.com/tapeline/tapeline/internal/ingest"
	"github.com/tapeline/tapeline/internal/obs"
	"github.com/tapeline/tapeline/internal/store"
)

// syncGCPercent is how far the heap of a sync grows beyond what is alive. The rows of a full market are
// garbage as soon as they are written, and half of the usual growth is enough to keep up with a provider.
const syncGCPercent = 50

// boundMemory keeps what passes over all rows of a store within the limit of the settings.
func boundMemory(c ingest.Config) {
	debug.SetMemoryLimit(int64(c.Sync.MemoryLimitGB * 1e9))
	debug.SetGCPercent(syncGCPercent)
}

// Sync brings the store of the settings up to date. follow shows how each of its workflows goes on.
func (e *Engine) Sync(
	ctx context.Context, c ingest.Config, log *slog.Logger,
	follow func(w *run.Workflow, progress func() ingest.Progress) (interrupted bool),
) (report *ingest.Report, err error) {
	boundMemory(c)
	s := &ingest.Sync{Config: c, Now: e.now(), Follow: follow, Start: e.startFresh, Log: log}
	if s.Provider, err = makeProvider(c, nil, e.Now); err != nil {
		return nil, &ingest.RequestError{Reasons: []string{err.Error()}}
	}
	if err := s.Check(); err != nil {
		return nil, err // a request that is impossible makes no store
	}
	if s.Store, err = openStoreIn(c.Sync.Store, log, true, c.Performance.BatchWriter.TransactionMode); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Store.Close()) }()
	if s.Provider, err = makeProvider(c, s.Store, e.Now); err != nil {
		return nil, err
	}
	if s.Provider.Close != nil {
		defer func() { err = errors.Join(err, s.Provider.Close()) }()
	}
	if c.Sync.AutoTune {
		measured, err := ingest.ReadMeasured(ctx, s.Store, s.Provider.Name)
		if err != nil {
			return nil, err
		}
		s.Tuned = ingest.Recommend(obs.ReadMachine(), measured, c).Apply(&s.Config)
	}
	s.Cache = e.caches.of(s.Store, s.Config.Performance.Cache, log)
	return s.Run(ctx)
}

// caches are those of the stores that this process syncs. The zero value has none. Safe for concurrent
// use.
type caches struct {
	mu    sync.Mutex
	byDir map[string]cacheOf
}

type cacheOf struct {
	cache   *ingest.Cache
	catalog os.FileInfo // another file in the same place is another store
}

// of returns the cache of a store; nil where the settings want none.
func (c *caches) of(s *store.Store, settings ingest.CacheConfig, log *slog.Logger) *ingest.Cache {
	info, err := os.Stat(filepath.Join(s.Dir(), store.CatalogName))
	if err != nil || !settings.Enable {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	known, ok := c.byDir[s.Dir()]
	if ok && os.SameFile(known.catalog, info) {
		return known.cache
	}
	if c.byDir == nil {
		c.byDir = map[string]cacheOf{}
	}
	known = cacheOf{ingest.NewCache(settings, log), info}
	c.byDir[s.Dir()] = known
	return known.cache
}

// startFresh runs a workflow from its beginning: a sync plans anew from what the store holds.
func (e *Engine) startFresh(ctx context.Context, w *plan.Workflow) (*run.Workflow, error) {
	return e.StartPlan(ctx, w, run.Options{Fresh: true})
}

// PreviewSync says what Sync would do; it writes nothing.
func PreviewSync(ctx context.Context, c ingest.Config, log *slog.Logger) (p *ingest.Preview, err error) {
	s := &ingest.Sync{Config: c, Now: time.Now()}
	if s.Provider, err = makeProvider(c, nil, nil); err != nil {
		return nil, &ingest.RequestError{Reasons: []string{err.Error()}}
	}
	switch s.Store, err = openStore(c.Sync.Store, log, false); {
	case errors.Is(err, fs.ErrNotExist):
		s.Store = nil
	case err != nil:
		return nil, err
	default:
		defer func() { err = errors.Join(err, s.Store.Close()) }()
	}
	return s.Preview(ctx, c.Sync.Store)
}

// Gaps lists what is missing of all that a store was asked to keep.
func Gaps(ctx context.Context, dir string, log *slog.Logger) (g *ingest.Gaps, err error) {
	s, err := openStore(dir, log, false)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return ingest.FindGaps(ctx, s, Provider)
}

// StoreStatus says what a store holds.
func StoreStatus(ctx context.Context, dir string, runs int, log *slog.Logger) (status *ingest.StoreStatus, err error) {
	s, err := openStore(dir, log, false)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return ingest.ReadStatus(ctx, s, runs)
}

// SyncTrend compares the newest sync of a store with earlier ones.
func SyncTrend(ctx context.Context, dir string, log *slog.Logger) (trend *ingest.Trend, err error) {
	s, err := openStore(dir, log, false)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return ingest.ReadTrend(ctx, s)
}

// Tune recommends settings, by what earlier syncs of a store measured; dir "" knows of none.
func Tune(ctx context.Context, c ingest.Config, dir string, log *slog.Logger) (t *ingest.Tuning, err error) {
	var measured *ingest.Measured
	if dir != "" {
		s, err := openStore(dir, log, false)
		if err != nil {
			return nil, err
		}
		measured, err = ingest.ReadMeasured(ctx, s, c.Sync.Provider)
		if err = errors.Join(err, s.Close()); err != nil {
			return nil, err
		}
	}
	return ingest.Recommend(obs.ReadMachine(), measured, c), nil
}

// openStore opens a market store. Only who wants to write makes one that is not there.
func openStore(dir string, log *slog.Logger, create bool) (*store.Store, error) {
	return openStoreIn(dir, log, create, "")
}

// openStoreIn is openStore with a mode of the catalog's transactions.
func openStoreIn(dir string, log *slog.Logger, create bool, mode string) (*store.Store, error) {
	if dir == "" {
		return nil, errors.New("no store is named; give --store DIR")
	}
	whole, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	// Every row is read once here, or written: what is decoded is hardly needed again.
	const memoryBytes = 32 << 20
	return store.Open(whole, store.Config{Log: log, MemoryBytes: memoryBytes, Existing: !create, TransactionMode: mode})
}
