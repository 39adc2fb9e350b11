package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// foldCoverage is after how many commits the coverage of a key is written as a whole.
const foldCoverage = 64

// record makes the commit count: one transaction. Committed.
// invariant: rows, coverage, journal, sequence and epoch are one transaction
func (w *Writer) record(ctx context.Context, s *state, d draft, p *plannedCommit) error {
	symbols, names := w.store.symbols.pending(), w.store.names.pending()
	err := w.store.catalog.change(ctx, func(ctx context.Context, tx *sql.Conn) error {
		t := &transaction{ctx: ctx, tx: tx}
		if d.epoch != nil {
			t.note(advance(ctx, tx, d.epoch))
		}
		t.one(fmt.Errorf("%w: another process has taken the writer lock", ErrFenced),
			`UPDATE meta SET seq = ?, changes = changes + 1 WHERE token = ? AND seq = ?`,
			int64(p.seq), w.token, int64(s.seq))
		for _, id := range slices.Sorted(maps.Keys(symbols)) {
			t.exec(`INSERT INTO instrument (id, symbol) VALUES (?, ?)`, id, symbols[id])
		}
		for _, id := range slices.Sorted(maps.Keys(names)) {
			t.exec(`INSERT INTO name (id, text) VALUES (?, ?)`, id, names[id])
		}
		for _, ds := range p.datasets {
			text, err := ds.definition()
			t.note(err)
			t.exec(`INSERT INTO dataset (id, name, definition) VALUES (?, ?, ?)`, ds.id, ds.Name, text)
		}
		for _, n := range p.segments {
			t.segment(n)
		}
		for key, groups := range p.covers {
			t.cover(w.store.covers, key, p.seq, groups)
		}
		epoch := uint64(0)
		if d.epoch != nil {
			epoch = d.epoch.Number
		}
		t.exec(`INSERT INTO journal (seq, time, run, epoch) VALUES (?, ?, ?, ?)`,
			int64(p.seq), p.now.UnixNano(), d.run, int64(epoch))
		for _, c := range p.counts {
			t.exec(`INSERT INTO change (seq, dataset, new, changed, deleted) VALUES (?, ?, ?, ?, ?)`,
				int64(p.seq), c.Dataset, c.New, c.Changed, c.Deleted)
		}
		return t.err
	})
	if err = w.settle(ctx, s, err); err != nil {
		if w.broken == nil {
			w.discard(p.segments)
		}
		return fmt.Errorf("commit %d: %w", p.seq, err)
	}
	w.store.symbols.stored(symbols)
	w.store.names.stored(names)
	return nil
}

// settle finds out whether a transaction whose end failed is committed after all. nil: it is. Files of
// one with an outcome that is not known stay for the next sweep.
func (w *Writer) settle(ctx context.Context, before *state, cause error) error {
	if cause == nil {
		return nil
	}
	var token, changes int64
	err := w.store.catalog.db.QueryRowContext(context.WithoutCancel(ctx), `SELECT token, changes FROM meta`).
		Scan(&token, &changes)
	switch {
	case err != nil:
		w.broken = errors.Join(cause, explain(err))
		return fmt.Errorf("the outcome is not known: %w", w.broken)
	case token == w.token && changes == before.changes+1:
		return nil
	}
	return cause
}

// transaction keeps the first error of several statements.
type transaction struct {
	ctx context.Context //nolint:containedctx // it lives as long as the transaction
	tx  *sql.Conn
	err error
}

func (t *transaction) note(err error) {
	if t.err == nil {
		t.err = err
	}
}

func (t *transaction) exec(query string, args ...any) int64 {
	if t.err != nil {
		return 0
	}
	r, err := t.tx.ExecContext(t.ctx, query, args...)
	if err != nil {
		t.err = err
		return 0
	}
	id, err := r.LastInsertId()
	t.note(err)
	return id
}

// one is exec that must touch one row.
func (t *transaction) one(otherwise error, query string, args ...any) {
	if t.err != nil {
		return
	}
	r, err := t.tx.ExecContext(t.ctx, query, args...)
	if err != nil {
		t.err = err
		return
	}
	if n, err := r.RowsAffected(); err != nil || n != 1 {
		t.err = errors.Join(err, otherwise)
	}
}

// segment names a segment and gives it its number.
func (t *transaction) segment(n *newSegment) {
	i := n.info
	i.id = t.exec(`INSERT INTO segment (dataset, partition, lo, hi, rows, deletes, first_id, last_id,
		from_date, to_date, bytes, checksum, file) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		i.dataset, i.partition, int64(i.lo), int64(i.hi), i.rows, i.deletes, i.firstID, i.lastID,
		i.from, i.to, i.bytes, i.checksum, i.file)
	if i.file == "" {
		t.exec(`INSERT INTO blob (segment, bytes) VALUES (?, ?)`, i.id, n.raw)
	}
}

// cover writes what a commit learned; after many commits all of it is written anew as one.
func (t *transaction) cover(c *coverage, key coverKey, seq Seq, groups []knowledge) {
	if t.err != nil {
		return
	}
	var count int
	t.note(t.tx.QueryRowContext(t.ctx, `SELECT count(*) FROM coverage
		WHERE dataset = ? AND freq = ? AND source = ?`, key.dataset, key.freq, key.source).Scan(&count))
	if count >= foldCoverage {
		t.exec(`DELETE FROM coverage WHERE dataset = ? AND freq = ? AND source = ?`,
			key.dataset, key.freq, key.source)
		t.exec(`INSERT INTO coverage (dataset, freq, source, seq, bytes) VALUES (?, ?, ?, ?, ?)`,
			key.dataset, key.freq, key.source, int64(seq)-1, sealedCoverage(c.all(key)))
	}
	t.exec(`INSERT INTO coverage (dataset, freq, source, seq, bytes) VALUES (?, ?, ?, ?, ?)`,
		key.dataset, key.freq, key.source, int64(seq), sealedCoverage(groups))
}

// claim makes the caller the owner of a task's epochs, unless a later owner is known, and returns the
// newest committed epoch. Synced.
func (s *Store) claim(ctx context.Context, e Epoch) (committed uint64, err error) {
	err = s.catalog.change(ctx, func(ctx context.Context, tx *sql.Conn) error {
		t := &transaction{ctx: ctx, tx: tx}
		t.exec(`INSERT OR IGNORE INTO epoch (run, node, task, epoch, fence, seen) VALUES (?, ?, ?, 0, ?, 0)`,
			e.Run, e.Node, e.Task, int64(e.Fence))
		t.one(fenced(e), `UPDATE epoch SET fence = ?, seen = ? WHERE run = ? AND node = ? AND task = ? AND fence <= ?`,
			int64(e.Fence), time.Now().UnixNano(), e.Run, e.Node, e.Task, int64(e.Fence))
		if t.err != nil {
			return t.err
		}
		var number int64
		err := tx.QueryRowContext(ctx, `SELECT epoch FROM epoch WHERE run = ? AND node = ? AND task = ?`,
			e.Run, e.Node, e.Task).Scan(&number)
		committed = uint64(number)
		return err
	})
	return committed, err
}

// decided returns the newest committed epoch of a task, 0 for none.
func (s *Store) decided(ctx context.Context, e Epoch) (uint64, error) {
	var number int64
	err := s.catalog.db.QueryRowContext(ctx, `SELECT epoch FROM epoch WHERE run = ? AND node = ? AND task = ?`,
		e.Run, e.Node, e.Task).Scan(&number)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return uint64(number), explain(err)
}

// advance is the compare-and-set on the epoch before and the fence.
// invariant: an epoch is committed once, by the newest owner of its task
func advance(ctx context.Context, tx *sql.Conn, e *Epoch) error {
	t := &transaction{ctx: ctx, tx: tx}
	t.one(fenced(*e), `UPDATE epoch SET epoch = ?, seen = ? WHERE run = ? AND node = ? AND task = ? AND epoch = ?
		AND fence = ?`, int64(e.Number), time.Now().UnixNano(), e.Run, e.Node, e.Task, int64(e.Before), int64(e.Fence))
	return t.err
}

func fenced(e Epoch) error {
	return fmt.Errorf("%w: node %s of run %s (this process lost its lease, or the epoch is committed "+
		"already)", ErrFenced, e.Node, e.Run)
}
