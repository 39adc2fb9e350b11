package store

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/store/segment"
)

// lastRows are the newest rows of symbols that were asked for, dropped when a commit touches them.
type lastRows struct {
	mu   sync.RWMutex
	rows map[lastKey]lastRow
}

type lastKey struct {
	dataset string
	id      int32
}

type lastRow struct {
	seq Seq // of the store when it was found
	row *batch.Batch
}

func newLastRows() *lastRows { return &lastRows{rows: map[lastKey]lastRow{}} }

func (l *lastRows) get(k lastKey, at Seq) *batch.Batch {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if r, ok := l.rows[k]; ok && r.seq <= at {
		return r.row
	}
	return nil
}

func (l *lastRows) put(k lastKey, r lastRow) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rows[k] = r
}

func (l *lastRows) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.rows)
}

// drop forgets the rows of the instruments of a block.
func (l *lastRows) drop(d *dataset, b *segment.Block) {
	if !d.fields[0].instrument {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	last := int32(0)
	for _, id := range b.Vectors[0].Int32s {
		if id != last {
			delete(l.rows, lastKey{d.Name, id})
			last = id
		}
	}
}

// Latest returns a symbol's newest row (0 or 1 rows) with all columns.
func (v *View) Latest(dataset, symbol string) (*batch.Batch, error) {
	s := v.plan()
	id := v.store.symbols.find(symbol, 0)
	key := lastKey{dataset, id}
	newest := v.lease == 0
	if newest {
		if row := v.store.last.get(key, v.seq); row != nil {
			return row, nil
		}
	}
	var out *batch.Batch
	ctx := context.Background()
	err := v.again(ctx, func(s *state) error {
		w, err := v.newWalk(s, dataset, Range{Symbols: []string{symbol}}, nil)
		if err != nil {
			return err
		}
		if w.dataset.timeAt != 1 {
			return fmt.Errorf("dataset %s has no latest row: its key is not (symbol, time)", dataset)
		}
		partitions := w.partitions(s)
		for _, partition := range slices.Backward(partitions) {
			runs, err := w.partition(ctx, s, partition, nil)
			if err != nil {
				return err
			}
			if n := len(runs); n > 0 {
				last := runs[n-1]
				last.From = last.To - 1
				out, err = w.finish([]segment.Run{last})
				return err
			}
		}
		out, err = w.finish(nil)
		return err
	})
	if err == nil && newest && id != 0 {
		v.store.remember(key, lastRow{s.seq, out}, s)
	}
	return out, err
}

// remember keeps a row unless a commit came meanwhile.
func (s *Store) remember(k lastKey, r lastRow, found *state) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.seq == found.seq {
		s.last.put(k, r)
	}
}
