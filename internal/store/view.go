package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/market"
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
		var whole *block
		for _, partition := range w.partitions(s) {
			b, err := w.partition(ctx, s, partition, nil)
			switch {
			case err != nil:
				return err
			case b == nil || b.rows == 0:
			case whole == nil:
				whole = b
			default:
				grown := whole.empty(whole.rows + b.rows)
				grown.appendRows(whole, 0, whole.rows)
				grown.appendRows(b, 0, b.rows)
				whole = grown
			}
		}
		out, err = w.finish(whole)
		return err
	})
	return out, err
}

// Scan returns rows in batches, partition by partition, each in order of the key.
func (v *View) Scan(dataset string, r Range, columns []string) iter.Seq2[*batch.Batch, error] {
	return func(yield func(*batch.Batch, error) bool) {
		ctx := context.Background()
		w, err := v.newWalk(v.plan(), dataset, r, columns)
		if err != nil {
			yield(nil, err)
			return
		}
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

// walk is one read of a dataset: what is wanted, resolved.
type walk struct {
	view    *View
	dataset *dataset
	query   query
	out     *outward
	picked  []int // where the wanted fields are among the query's columns
	after   Seq
	deletes bool // keep deleted rows: their keys count
	nothing bool // the symbols have no rows
}

func (v *View) newWalk(s *state, name string, r Range, columns []string) (*walk, error) {
	d, err := v.store.dataset(s, name)
	if err != nil {
		return nil, err
	}
	w := &walk{view: v, dataset: d, after: r.After}
	if w.out, err = newOutward(d, v.store.symbols, columns); err != nil {
		return nil, err
	}
	q := &w.query
	q.dated = d.timeAt >= 0 && (r.exact || r.From != 0 || r.To != 0)
	if q.from, q.to = r.From, r.To; r.To == 0 && !r.exact {
		q.to = market.MaxDate
	}
	if r.From == 0 && !r.exact {
		q.from = market.MinDate
	}
	if r.Symbols != nil {
		if !d.fields[0].instrument {
			return nil, fmt.Errorf("dataset %s is not kept by symbol: read it without symbols", name)
		}
		q.ids = []int32{}
		for _, text := range r.Symbols {
			if id := v.store.symbols.find(text, r.To); id != 0 {
				q.ids = append(q.ids, id)
			}
		}
		slices.Sort(q.ids)
		q.ids = slices.Compact(q.ids)
		w.nothing = len(q.ids) == 0
	}
	wanted := map[int]bool{d.own(opOffset): true}
	for i := range d.order.keys {
		wanted[i] = true
	}
	for _, i := range w.out.fields {
		wanted[i] = true
	}
	if r.After != 0 {
		wanted[d.own(seqOffset)] = true
	}
	for i := range d.width() {
		if wanted[i] {
			q.columns = append(q.columns, i)
		}
	}
	for _, i := range w.out.fields {
		w.picked = append(w.picked, slices.Index(q.columns, i))
	}
	return w, nil
}

// partitions returns the partitions that may hold wanted rows.
func (w *walk) partitions(s *state) []market.Date {
	if w.nothing {
		return nil
	}
	all := s.partitions(w.dataset)
	if !w.query.dated {
		return all
	}
	return slices.DeleteFunc(all, func(p market.Date) bool {
		in := w.dataset.partitionOf(p)
		return in.To != in.From && w.query.from > in.To || in.To != in.From && w.query.to < in.From
	})
}

// bound is a range of the first key column.
type bound struct{ least, most int64 }

// partition reads the wanted rows of one partition, merged; within a bound when given.
func (w *walk) partition(ctx context.Context, s *state, p market.Date, in *bound) (*block, error) {
	d, q := w.dataset, w.query
	if in != nil {
		q.bounded, q.least, q.most = true, in.least, in.most
	}
	var inputs []piece
	deletes := false
	for _, info := range s.segments[d.id][p] {
		if info.hi <= w.after || !q.concerns(d, info) {
			continue
		}
		use := w.view.store.cache.use
		if in != nil {
			use = w.view.store.cache.pass // one piece of a long read
		}
		r, done, err := use(ctx, d, info)
		if err != nil {
			return nil, err
		}
		b, err := q.take(d, r)
		done()
		if err != nil {
			return nil, fmt.Errorf("read segment %s: %w", info.place(), err)
		}
		if b != nil && b.rows > 0 {
			inputs = append(inputs, piece{b, 0, b.rows})
			deletes = deletes || info.deletes > 0
		}
	}
	if len(inputs) == 0 {
		return nil, nil
	}
	return w.filter(mergeAll(d.order, inputs), deletes), nil
}

// filter leaves out deleted rows and those of commits before.
func (w *walk) filter(b *block, deletes bool) *block {
	d := w.dataset
	op := b.columns[slices.Index(w.query.columns, d.own(opOffset))]
	drop := deletes && !w.deletes
	if !drop && w.after == 0 {
		return b
	}
	var seq *column
	if w.after != 0 {
		seq = b.columns[slices.Index(w.query.columns, d.own(seqOffset))]
	}
	rows := make([]int32, 0, b.rows)
	for row := range b.rows {
		if drop && op.ints[row] == opDelete || seq != nil && Seq(seq.longs[row]) <= w.after {
			continue
		}
		rows = append(rows, int32(row))
	}
	if len(rows) == b.rows {
		return b
	}
	return b.gather(rows)
}

// finish turns a merged block into the batch asked for; nil is one without rows.
func (w *walk) finish(b *block) (*batch.Batch, error) {
	if b == nil {
		empty, err := batch.NewBuilder(w.out.schema).Batch()
		return empty, err
	}
	columns := make([]*column, len(w.picked))
	for i, at := range w.picked {
		columns[i] = b.columns[at]
	}
	out, err := w.out.batch(columns, b.rows)
	if err != nil || !w.deletes {
		return out, err
	}
	op := b.columns[slices.Index(w.query.columns, w.dataset.own(opOffset))]
	operations := make([]batch.Operation, b.rows)
	for row := range operations {
		if operations[row] = batch.Upsert; op.ints[row] == opDelete {
			operations[row] = batch.Delete
		}
	}
	return out.WithOperations(operations), nil
}

// chunkRows is about how many rows of a large partition are merged at a time.
const chunkRows = 128 << 10

// chunks reads a partition in pieces of about chunkRows rows, cut at values of the first key column.
func (w *walk) chunks(ctx context.Context, p market.Date, yield func(*batch.Batch) bool) error {
	var bounds []*bound
	err := w.view.again(ctx, func(s *state) (err error) {
		bounds, err = w.bounds(ctx, s, p)
		return err
	})
	if err != nil {
		return err
	}
	for _, in := range bounds {
		var out *batch.Batch
		err := w.view.again(ctx, func(s *state) error {
			b, err := w.partition(ctx, s, p, in)
			if err != nil || b == nil || b.rows == 0 {
				return err
			}
			out, err = w.finish(b)
			return err
		})
		if err != nil {
			return err
		}
		if out != nil && !yield(out) {
			return nil
		}
	}
	return nil
}

// bounds cuts the first key column where the largest segment has gone on by chunkRows.
func (w *walk) bounds(ctx context.Context, s *state, p market.Date) ([]*bound, error) {
	d := w.dataset
	return cuts(ctx, w.view.store.cache, d, s.segments[d.id][p], chunkRows)
}

// cuts returns bounds of the first key column between which about rows rows of all segments lie; one
// nil bound where they are few or not searched by number.
func cuts(
	ctx context.Context, c *cache, d *dataset, list []*segmentInfo, rows int,
) ([]*bound, error) {
	var total int64
	var largest *segmentInfo
	for _, info := range list {
		total += info.rows
		if largest == nil || info.rows > largest.rows {
			largest = info
		}
	}
	if !d.indexed() || total <= int64(rows)*3/2 {
		return []*bound{nil}, nil
	}
	r, done, err := c.pass(ctx, d, largest)
	if err != nil {
		return nil, err
	}
	defer done()
	pieces := int((total + int64(rows) - 1) / int64(rows))
	step := max(1, r.rows()/pieces)
	first, err := r.columns([]int{0}, 0, r.rows())
	if err != nil {
		return nil, err
	}
	var out []*bound
	least := int64(minLong)
	for at := step; at < r.rows(); at += step {
		if cut := first[0].number(at); cut > least {
			out = append(out, &bound{least, cut - 1})
			least = cut
		}
	}
	return append(out, &bound{least, maxLong}), nil
}

const (
	minLong = -1 << 63
	maxLong = 1<<63 - 1
)

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
