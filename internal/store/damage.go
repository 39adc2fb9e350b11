package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/tapeline/tapeline/internal/market"
)

// Extent is which rows a segment holds, as far as the catalog tells: none outside of it.
type Extent struct {
	Dataset string
	Dates   market.Interval // without bound where the dataset has no dates
	Symbols []string        // codes; nil: the dataset is not kept by symbol
	Rows    int64
	Deletes int64 // of the rows, those that say that a row is gone
	Retired bool  // replaced by a compaction and kept for earlier commits: no current row is in it

	id, checksum int64
}

func (s *Store) extent(d *dataset, info *segmentInfo) *Extent {
	e := &Extent{
		Dates: market.Interval{From: market.MinDate, To: market.MaxDate}, Rows: info.rows, Deletes: info.deletes,
		Retired: info.retired != 0, id: info.id, checksum: info.checksum,
	}
	if d == nil {
		return e
	}
	e.Dataset = d.Name
	if d.timeAt >= 0 {
		e.Dates = market.Interval{From: info.from, To: info.to}
	}
	if d.fields[0].instrument {
		e.Symbols = []string{}
		for id := info.firstID; id <= info.lastID; id++ {
			if text, err := s.symbols.name(id); err == nil {
				e.Symbols = append(e.Symbols, text)
			}
		}
	}
	return e
}

// Abandon gives damaged segments up: their rows are gone, and commits before now are no longer
// readable. What they covered has to be forgotten by a commit before, so that it is asked for again.
// Committed; the files are removed afterwards.
func (w *Writer) Abandon(ctx context.Context, damaged []*Extent) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.usable(); err != nil {
		return err
	}
	if len(damaged) == 0 {
		return nil
	}
	s, err := w.store.refresh(ctx)
	if err != nil {
		return err
	}
	var gone []*segmentInfo
	err = w.store.catalog.change(ctx, func(ctx context.Context, tx *sql.Conn) error {
		t := &transaction{ctx: ctx, tx: tx}
		floor := Seq(0) // increments from before a deletion that is lost would lack it
		for _, e := range damaged {
			t.note(each(ctx, tx, func(rows *sql.Rows) error {
				info, err := scanSegment(rows)
				gone = append(gone, info)
				if info.deletes > 0 {
					floor = max(floor, info.hi)
				}
				return err
			}, `SELECT `+segmentColumns+` FROM segment WHERE id = ? AND checksum = ?`, e.id, e.checksum))
		}
		t.one(fmt.Errorf("%w: another process has taken the writer lock", ErrFenced),
			`UPDATE meta SET changes = changes + 1, horizon = ?, floor = max(floor, ?) WHERE token = ?`,
			int64(s.seq), int64(floor), w.token)
		for _, info := range gone {
			t.exec(`DELETE FROM blob WHERE segment = ?`, info.id)
			t.exec(`DELETE FROM segment WHERE id = ?`, info.id)
		}
		return t.err
	})
	if err = w.settle(ctx, s, err); err != nil {
		return fmt.Errorf("give up damaged segments: %w", err)
	}
	for _, info := range gone {
		w.store.cache.forget(info)
		if info.file == "" {
			continue
		}
		name := filepath.Join(w.store.dir, filepath.FromSlash(info.file))
		if err := w.store.fs.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("give up damaged segments: %w", err) // the next writer sweeps it
		}
	}
	return w.store.reopen(ctx)
}

// reopen reads the catalog, whoever changed it.
func (s *Store) reopen(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reload(ctx)
}
