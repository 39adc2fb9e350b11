package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/vfs"
)

// Store is an open store. Several processes may have it open. Safe for concurrent use.
type Store struct {
	dir     string
	cfg     Config
	fs      vfs.FS
	catalog *catalog
	cache   *cache
	symbols *symbols
	names   *names
	covers  *coverage
	last    *lastRows
	closed  atomic.Bool
	reads   atomic.Int64

	mu      sync.Mutex
	state   *state
	version int64   // of the catalog file when state was read
	writer  *Writer // that holds the lock; nil: none of this process
	views   map[*View]bool
}

// Open opens the store in a folder, making both when missing unless cfg.Existing. It reads until Lock.
func Open(dir string, cfg Config) (*Store, error) {
	const usualMemory, usualHandles, usualHorizon, usualShare = 128 << 20, 256, 30 * 24 * time.Hour, 0.2
	if cfg.FS == nil {
		cfg.FS = vfs.OS{}
	}
	if cfg.MemoryBytes == 0 {
		cfg.MemoryBytes = usualMemory
	}
	if cfg.Handles == 0 {
		cfg.Handles = usualHandles
	}
	if cfg.Horizon == 0 {
		cfg.Horizon = usualHorizon
	}
	if cfg.HorizonShare == 0 {
		cfg.HorizonShare = usualShare
	}
	if cfg.fileRows == 0 {
		cfg.fileRows = blobRows
	}
	if cfg.wholeRows == 0 {
		cfg.wholeRows = wholeRows
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Existing {
		if _, err := os.Stat(filepath.Join(dir, CatalogName)); err != nil {
			return nil, fmt.Errorf("%w: %s holds no %s (name the folder of a store, or make one by a sync): %w",
				ErrAbsent, dir, CatalogName, err)
		}
	}
	if err := foreign(dir); err != nil {
		return nil, err
	}
	ctx := context.Background()
	c, err := openCatalog(ctx, dir, cfg.Driver)
	if err != nil {
		return nil, err
	}
	c.fault = cfg.fault
	if cfg.TransactionMode != "" {
		c.mode = cfg.TransactionMode
	}
	s := &Store{
		dir: dir, cfg: cfg, fs: cfg.FS, catalog: c, symbols: newSymbols(), names: newNames(),
		covers: newCoverage(), last: newLastRows(), views: map[*View]bool{}, state: newState(),
	}
	s.cache = newCache(dir, c, cfg)
	s.state.changes = -1 // so that refresh reads
	if _, err := s.refresh(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open store %s: %w", dir, err), c.close())
	}
	return s, nil
}

// foreign refuses a folder that holds something else: nothing is written among files of others.
func foreign(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open store %s: %w", dir, err)
	}
	other := ""
	for _, entry := range entries {
		switch name := entry.Name(); {
		case name == CatalogName:
			return nil
		case other == "" && !strings.HasPrefix(name, CatalogName):
			other = name
		}
	}
	if other == "" {
		return nil
	}
	return fmt.Errorf("%w: %s holds %s and no %s; name a folder that is empty or not there yet, or that of a store",
		ErrForeign, dir, other, CatalogName)
}

// Close frees files and memory; it does not release a Writer's lock.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	s.cache.clear()
	return s.catalog.close()
}

// Queries returns how often this process asked the catalog: queries, and transactions as one each.
func (s *Store) Queries() int64 { return s.catalog.db.queries.Load() }

// Reads returns how often this process read rows: points, dates and scans, each as one.
func (s *Store) Reads() int64 { return s.reads.Load() }

// Dir returns the folder.
func (s *Store) Dir() string { return s.dir }

// refresh returns the newest state, reading the catalog when another process changed it. While this
// process holds the writer lock nobody else does: the writer publishes what it commits, and nothing is
// asked. A writer that was fenced off reads as of its last commit, and its commits are refused.
func (s *Store) refresh(ctx context.Context) (*state, error) {
	if s.closed.Load() {
		return nil, ErrClosed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writer != nil {
		return s.state, nil
	}
	version, err := s.catalog.version(ctx)
	if err != nil {
		return nil, err
	}
	if version == s.version {
		return s.state, nil
	}
	if err := s.reload(ctx); err != nil {
		return nil, err
	}
	s.version = version
	return s.state, nil
}

// reload reads the catalog unless nothing that readers plan from has changed. Needs mu.
func (s *Store) reload(ctx context.Context) error {
	return s.snapshot(ctx, func(tx *sql.Tx) error {
		var changes int64
		if err := tx.QueryRowContext(ctx, `SELECT changes FROM meta`).Scan(&changes); err != nil {
			return explain(err)
		}
		if changes == s.state.changes {
			return nil
		}
		fresh, err := loadState(ctx, tx, 0)
		if err != nil {
			return err
		}
		instruments, texts, err := loadSymbols(ctx, tx)
		if err != nil {
			return err
		}
		covers, err := loadCoverage(ctx, tx, len(instruments.texts))
		if err != nil {
			return err
		}
		s.symbols.replace(instruments)
		s.names.replace(texts)
		s.covers.replace(covers)
		s.last.clear()
		s.state = fresh
		return nil
	})
}

// snapshot runs f on one consistent state of the catalog.
func (s *Store) snapshot(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := s.catalog.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return explain(err)
	}
	return errors.Join(f(tx), tx.Rollback())
}

// publish makes the outcome of the writer's own transaction the newest state.
func (s *Store) publish(fresh *state, then func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = fresh
	then()
}

// dataset returns a dataset the state names, or one the vocabulary does.
func (s *Store) dataset(in *state, name string) (*dataset, error) {
	if d := in.datasets[name]; d != nil {
		return d, nil
	}
	m, ok := market.DatasetByName(name)
	if !ok {
		for _, own := range ownDatasets() {
			if own.Name == name {
				m, ok = own, true
			}
		}
	}
	if !ok {
		return nil, fmt.Errorf("%w: %s", ErrDataset, name)
	}
	return newDataset(m)
}

// View returns the store as of a commit; 0 is the newest. Close releases it.
func (s *Store) View(ctx context.Context, asOf Seq) (*View, error) {
	now, err := s.refresh(ctx)
	if err != nil {
		return nil, err
	}
	v := &View{store: s, state: now, seq: now.seq}
	if asOf != 0 && asOf != now.seq {
		v.seq = asOf
		if err := v.hold(ctx); err != nil {
			return nil, err
		}
		if err := v.replan(ctx); err != nil {
			return nil, errors.Join(err, v.Close())
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.views[v] = true
	return v, nil
}

// leaseTime is how long an earlier commit stays readable without a sign of life of its reader.
const leaseTime = 15 * time.Minute

// hold takes a lease for the view. Synced.
func (v *View) hold(ctx context.Context) (err error) {
	v.renewed = time.Now()
	v.lease, err = v.store.lease(ctx, v.seq)
	return err
}

// lease keeps what an earlier commit needs from being collected. Synced.
func (s *Store) lease(ctx context.Context, seq Seq) (id int64, err error) {
	err = s.catalog.change(ctx, func(ctx context.Context, tx *sql.Conn) error {
		now := time.Now()
		if _, err := tx.ExecContext(ctx, `DELETE FROM lease WHERE expires < ?`, now.UnixNano()); err != nil {
			return err
		}
		r, err := tx.ExecContext(ctx, `INSERT INTO lease (seq, expires) VALUES (?, ?)`,
			int64(seq), now.Add(leaseTime).UnixNano())
		if err == nil {
			id, err = r.LastInsertId()
		}
		return err
	})
	return id, err
}

func (s *Store) releaseLease(ctx context.Context, id int64) error {
	return s.catalog.change(ctx, func(ctx context.Context, tx *sql.Conn) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM lease WHERE id = ?`, id)
		return err
	})
}
