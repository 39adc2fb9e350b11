package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/store/segment"
)

// View is the store as of one commit. Safe for concurrent use.
type View struct {
	store *Store
	seq   Seq
	lease int64 // 0: none

	mu      sync.Mutex
	state   *state
	renewed time.Time // the lease
}

// Seq returns the commit the view shows.
func (v *View) Seq() Seq { return v.seq }

// Close releases what the view pins.
func (v *View) Close() error {
	v.store.mu.Lock()
	delete(v.store.views, v)
	v.store.mu.Unlock()
	if v.lease == 0 || v.store.closed.Load() {
		return nil
	}
	id := v.lease
	v.lease = 0
	return v.store.releaseLease(context.Background(), id)
}

func (v *View) plan() *state {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.state
}

// replan finds the segments of the view's commit anew, as another process's compaction may have
// collected those planned with.
func (v *View) replan(ctx context.Context) error {
	var fresh *state
	err := v.store.snapshot(ctx, func(tx *sql.Tx) error {
		var err error
		fresh, err = loadState(ctx, tx, v.seq)
		return err
	})
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.state = fresh
	return nil
}

// again runs a read, and once more by a new plan when a file of the plan is gone.
func (v *View) again(ctx context.Context, read func(s *state) error) error {
	if v.store.closed.Load() {
		return ErrClosed
	}
	if err := v.renew(ctx); err != nil {
		return err
	}
	err := read(v.plan())
	if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	first := err
	if err := v.replan(ctx); err != nil {
		return err
	}
	if err = read(v.plan()); errors.Is(err, fs.ErrNotExist) || errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("%w: a segment of commit %d is missing: %w (run verify)", ErrCorrupt, v.seq, first)
	}
	return err
}

// renew keeps the lease of a reader that is at work.
func (v *View) renew(ctx context.Context) error {
	v.mu.Lock()
	due := v.lease != 0 && time.Since(v.renewed) > leaseTime/3
	if due {
		v.renewed = time.Now()
	}
	v.mu.Unlock()
	if !due {
		return nil
	}
	return v.store.catalog.change(ctx, func(ctx context.Context, tx *sql.Conn) error {
		_, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO lease (id, seq, expires) VALUES (?, ?, ?)`,
			v.lease, int64(v.seq), time.Now().Add(leaseTime).UnixNano())
		return err
	})
}

// Point returns one symbol's rows over dates (0: without bound), in order of the key. columns nil: all.
func (v *View) Point(
	dataset, symbol string, from, to market.Date, columns []string,
) (*batch.Batch, error) {
	return v.collect(dataset, Range{Symbols: []string{symbol}, From: from, To: to}, columns)
}

// Cross returns all symbols' rows of one date.
func (v *View) Cross(dataset string, date market.Date, columns []string) (*batch.Batch, error) {
	return v.collect(dataset, Range{From: date, To: date, exact: true}, columns)
}

// collect reads a range as one batch.
func (v *View) collect(dataset string, r Range, columns []string) (out *batch.Batch, err error) {
	ctx := context.Background()
	err = v.again(ctx, func(s *state) error {
		w, err := v.newWalk(s, dataset, r, columns)
		if err != nil {
			return err
		}
		var all []segment.Run
		for _, partition := range w.partitions(s) {
			runs, err := w.partition(ctx, s, partition, nil)
			if err != nil {
				return err
			}
			all = append(all, runs...)
		}
		out, err = w.finish(all)
		return err
	})
	return out, err
}

// Scan returns rows in batches, partition by partition, each in order of the key. A batch is valid
// until the next one is asked for: who keeps rows calls Keep.
func (v *View) Scan(dataset string, r Range, columns []string) iter.Seq2[*batch.Batch, error] {
	return func(yield func(*batch.Batch, error) bool) {
		ctx := context.Background()
		w, err := v.newWalk(v.plan(), dataset, r, columns)
		if err != nil {
			yield(nil, err)
			return
		}
		w.arena, w.held = &arena{}, &held{}
		defer w.held.close()
		for _, partition := range w.partitions(v.plan()) {
			stopped := false
			err := w.chunks(ctx, partition, func(b *batch.Batch) bool {
				stopped = !yield(b, nil)
				return !stopped
			})
			if stopped {
				return
			}
			if err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

// Coverage returns for each symbol the dates that need no request; "" stands for the whole universe.
// It is that of the newest commit.
func (v *View) Coverage(dataset, freq, source string) (map[string]market.Intervals, error) {
	return v.coverage(coverKey{dataset, freq, source}, market.StateOK, market.StateEmpty)
}

// CoverageIn is Coverage of one state: ok, empty_confirmed, partial or failed.
func (v *View) CoverageIn(
	dataset, freq, source string, state market.State,
) (map[string]market.Intervals, error) {
	if state == "" || !slices.Contains(coverStates(), state) {
		return nil, fmt.Errorf("coverage of %s: state %q", dataset, state)
	}
	return v.coverage(coverKey{dataset, freq, source}, state)
}

func (v *View) coverage(key coverKey, states ...market.State) (map[string]market.Intervals, error) {
	out := map[string]market.Intervals{}
	for number, set := range v.store.covers.of(key, states...) {
		text := ""
		if number != universe {
			var err error
			if text, err = v.store.symbols.name(number); err != nil {
				return nil, err
			}
		}
		out[text] = set
	}
	return out, nil
}

// Symbols returns the codes of all instruments that have rows or coverage, sorted.
func (v *View) Symbols() []string {
	all := v.store.symbols.all()
	slices.Sort(all)
	return all
}

// Known refuses symbols that the store has never seen: a misspelt one would read as one without rows.
func (v *View) Known(symbols []string) error {
	var unknown []string
	for _, symbol := range symbols {
		if v.store.symbols.find(symbol, 0) == 0 {
			unknown = append(unknown, symbol)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	const most = 10
	more := ""
	if n := len(unknown) - most; n > 0 {
		unknown, more = unknown[:most], fmt.Sprintf(" and %d more", n)
	}
	return fmt.Errorf("symbols: %w in %s: %s%s (canonical ones are written 600000.XSHG)",
		ErrUnknown, v.store.dir, strings.Join(unknown, ", "), more)
}
