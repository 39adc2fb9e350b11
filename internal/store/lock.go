package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"github.com/tapeline/tapeline/internal/vfs"
)

// lockName is the file whose lock, held by the operating system, dies with its process.
const lockName = "writer.lock"

// Writer holds the writer lock. Safe for concurrent use: commits follow each other.
type Writer struct {
	store *Store
	token int64 // in names of files and in every transaction: a later holder's is larger
	file  *vfs.Lock

	mu     sync.Mutex
	closed bool
	broken error // an outcome that is not known
	number int   // of the last file made
}

// Lock takes the writer lock, sweeps what a crash left, and returns the writer. *LockedError: another
// has it.
func (s *Store) Lock(ctx context.Context, holder string) (*Writer, error) {
	if s.closed.Load() {
		return nil, ErrClosed
	}
	file, err := vfs.TakeLock(filepath.Join(s.dir, lockName), holder)
	if err != nil {
		if held, ok := errors.AsType[*vfs.HeldError](err); ok {
			err = &LockedError{s.dir, held.Holder, held.PID, held.Host, held.Since}
		}
		return nil, fmt.Errorf("lock store: %w", err)
	}
	w := &Writer{store: s, file: file}
	if err := w.begin(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("lock store %s: %w", s.dir, err), file.Release())
	}
	return w, nil
}

// begin fences earlier holders, reads what they committed last, and sweeps.
func (w *Writer) begin(ctx context.Context) error {
	s := w.store
	var changes int64
	err := s.catalog.change(ctx, func(ctx context.Context, tx *sql.Conn) error {
		return tx.QueryRowContext(ctx, `UPDATE meta SET token = token + 1 RETURNING token, changes`).
			Scan(&w.token, &changes)
	})
	if err == nil {
		err = s.lead(ctx, w, changes)
	}
	if err == nil {
		err = w.sweep(ctx)
	}
	if err != nil {
		s.resign(w)
	}
	return err
}

// lead makes a writer the one that publishes the newest state, which so far has so many changes.
func (s *Store) lead(ctx context.Context, w *Writer, changes int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if changes != s.state.changes {
		if err := s.reload(ctx); err != nil {
			return err
		}
	}
	s.writer = w
	return nil
}

// resign makes others the ones that may change the catalog.
func (s *Store) resign(w *Writer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writer == w {
		s.writer = nil
	}
}

// Unlock releases the lock.
func (w *Writer) Unlock() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil
	}
	w.closed = true
	w.store.resign(w)
	return w.file.Release()
}

// segmentName matches the files the store makes: commits, token of the lock, number.
var segmentName = regexp.MustCompile(`^\d{10}-\d{10}-\d+-\d+\.parquet$`)

// sweep removes the files that no row of the catalog names: a crash came between them and their
// commit. No reader can have planned with one.
// invariant: only files that the catalog never named are swept
func (w *Writer) sweep(ctx context.Context) error {
	s := w.store
	named := map[string]bool{}
	err := each(ctx, s.catalog.db, func(rows *sql.Rows) error {
		var name string
		err := rows.Scan(&name)
		named[name] = true
		return err
	}, `SELECT file FROM segment WHERE file <> ''`)
	if err != nil {
		return err
	}
	swept := 0
	for _, dataset := range s.folders(s.dir) {
		for _, partition := range s.folders(filepath.Join(s.dir, dataset)) {
			folder := filepath.Join(s.dir, dataset, partition)
			entries, err := s.fs.List(folder)
			if err != nil {
				return fmt.Errorf("sweep: %w", err)
			}
			before := swept
			for _, e := range entries {
				name := strings.Join([]string{dataset, partition, e.Name()}, "/")
				if e.IsDir() || named[name] || !segmentName.MatchString(e.Name()) {
					continue
				}
				if err := s.fs.Remove(filepath.Join(folder, e.Name())); err != nil &&
					!errors.Is(err, fs.ErrNotExist) {
					return fmt.Errorf("sweep: %w", err)
				}
				swept++
			}
			if swept > before {
				if err := s.fs.SyncDir(folder); err != nil {
					return fmt.Errorf("sweep: %w", err)
				}
			}
		}
	}
	if swept > 0 {
		s.cfg.Log.Info("recovered the store", "swept_files", swept)
	}
	return nil
}

// folders returns the names of the folders within one; none when it is missing.
func (s *Store) folders(name string) []string {
	entries, err := s.fs.List(name)
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range entries {
		if e.IsDir() {
			out = append(out, e.Name())
		}
	}
	return out
}
