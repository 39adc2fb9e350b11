package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/store/segment"
)

// walk is one read of a dataset: what is wanted, resolved.
type walk struct {
	view    *View
	dataset *dataset
	query   query
	out     *outward // nil: all columns, the store's own too
	after   Seq
	deletes bool   // keep deleted rows: their keys count
	nothing bool   // the symbols have no rows
	arena   *arena // nil: each read gets memory of its own
	held    *held  // nil: segments are opened for each read
}

// arena is memory that is used again for each piece of a long read.
type arena struct {
	blocks  []*segment.Block
	used    int
	vectors []segment.Vector // of what is handed out
	runs    []segment.Run    // of what is read
}

// block returns a block to read into.
func (a *arena) block() *segment.Block {
	if a == nil {
		return &segment.Block{}
	}
	if a.used == len(a.blocks) {
		a.blocks = append(a.blocks, &segment.Block{})
	}
	a.used++
	return a.blocks[a.used-1]
}

func (a *arena) merge(inputs [][]segment.Run) []segment.Run {
	if a == nil {
		return segment.Merge(nil, inputs)
	}
	a.runs = segment.Merge(a.runs[:0], inputs)
	return a.runs
}

func (v *View) newWalk(s *state, name string, r Range, columns []string) (*walk, error) {
	v.store.reads.Add(1)
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
func (w *walk) partition(ctx context.Context, s *state, p market.Date, in *bound) ([]segment.Run, error) {
	d, q := w.dataset, w.query
	if in != nil {
		q.bounded, q.least, q.most = true, in.least, in.most
	}
	if w.arena != nil {
		w.arena.used = 0
	}
	var infos []*segmentInfo
	deletes := false
	for _, info := range s.segments[d.id][p] {
		if info.hi > w.after && q.concerns(d, info) {
			infos = append(infos, info)
			deletes = deletes || info.deletes > 0
		}
	}
	apart := d.apart(infos)
	if apart != nil {
		infos = apart
	}
	columns := w.columns(apart == nil, deletes)
	inputs := make([][]segment.Run, 0, len(infos))
	for _, info := range infos {
		runs, err := w.read(ctx, info, &q, columns)
		if err != nil {
			return nil, err
		}
		if len(runs) > 0 {
			inputs = append(inputs, runs)
		}
	}
	var rows []segment.Run
	switch {
	case len(inputs) == 1:
		rows = inputs[0]
	case apart != nil:
		rows = slices.Concat(inputs...)
	default:
		rows = w.arena.merge(inputs)
	}
	return w.filter(rows, deletes), nil
}

// apart returns segments by instrument if no instrument is in two of them; else nil.
func (d *dataset) apart(infos []*segmentInfo) []*segmentInfo {
	if len(infos) > 1 && !d.fields[0].instrument {
		return nil
	}
	sorted := slices.SortedFunc(slices.Values(infos), func(a, b *segmentInfo) int {
		return int(a.firstID) - int(b.firstID)
	})
	for i := 1; i < len(sorted); i++ {
		if sorted[i].firstID <= sorted[i-1].lastID {
			return nil
		}
	}
	return sorted
}

// columns returns which columns have to be read.
func (w *walk) columns(merge, deletes bool) []int {
	d := w.dataset
	if w.out == nil {
		return d.columns(d.width())
	}
	wanted := make([]bool, d.width())
	for i := range d.keys {
		wanted[i] = merge
	}
	for _, i := range w.out.fields {
		wanted[i] = true
	}
	wanted[d.own(opOffset)] = deletes || w.deletes
	wanted[d.own(seqOffset)] = w.after != 0
	var out []int
	for i, yes := range wanted {
		if yes {
			out = append(out, i)
		}
	}
	return out
}

// read reads the wanted rows of one segment.
func (w *walk) read(ctx context.Context, info *segmentInfo, q *query, columns []int) ([]segment.Run, error) {
	r, done, err := w.open(ctx, info)
	if err != nil {
		return nil, err
	}
	defer done()
	runs, err := r.read(w.dataset, q, columns, w.arena.block())
	if err != nil {
		return nil, fmt.Errorf("read segment %s: %w", info.place(), err)
	}
	return runs, nil
}

// open opens a segment, or gives the one that is held.
func (w *walk) open(ctx context.Context, info *segmentInfo) (reader, func(), error) {
	c := w.view.store.cache
	if w.held == nil {
		return c.use(ctx, w.dataset, info)
	}
	if r, ok := w.held.readers[info.key()]; ok {
		return r, func() {}, nil
	}
	r, done, err := c.pass(ctx, w.dataset, info)
	if err != nil || len(w.held.done) >= c.maxFiles {
		return r, done, err
	}
	w.held.add(info, r, done)
	return r, func() {}, nil
}

// held are segments that a long read opened.
type held struct {
	readers map[cacheKey]reader
	done    []func()
}

func (h *held) add(info *segmentInfo, r reader, done func()) {
	if h.readers == nil {
		h.readers = map[cacheKey]reader{}
	}
	h.readers[info.key()] = r
	h.done = append(h.done, done)
}

func (h *held) close() {
	for _, done := range h.done {
		done()
	}
	h.readers, h.done = nil, nil
}

// filter leaves out deleted rows and those of commits before.
func (w *walk) filter(runs []segment.Run, deletes bool) []segment.Run {
	op, seq := w.dataset.own(opOffset), w.dataset.own(seqOffset)
	drop := deletes && !w.deletes
	if !drop && w.after == 0 {
		return runs
	}
	var out []segment.Run
	for _, r := range runs {
		v := r.Block.Vectors
		begin := r.From
		for row := r.From; row < r.To; row++ {
			if drop && v[op].Int32s[row] == opDelete || w.after != 0 && Seq(v[seq].Int64s[row]) <= w.after {
				out = appendRun(out, segment.Run{Block: r.Block, From: begin, To: row})
				begin = row + 1
			}
		}
		out = appendRun(out, segment.Run{Block: r.Block, From: begin, To: r.To})
	}
	return out
}

func appendRun(list []segment.Run, r segment.Run) []segment.Run {
	if r.Len() == 0 {
		return list
	}
	return append(list, r)
}

// finish turns rows into the batch asked for.
func (w *walk) finish(runs []segment.Run) (*batch.Batch, error) {
	var into []segment.Vector
	if w.arena != nil {
		if w.arena.vectors == nil {
			w.arena.vectors = make([]segment.Vector, len(w.out.fields))
		}
		into = w.arena.vectors
	}
	out, err := w.out.batch(runs, into)
	if err != nil || !w.deletes {
		return out, err
	}
	op := w.dataset.own(opOffset)
	operations := make([]batch.Operation, 0, out.Len())
	for _, r := range runs {
		for _, o := range r.Block.Vectors[op].Int32s[r.From:r.To] {
			if o == opDelete {
				operations = append(operations, batch.Delete)
			} else {
				operations = append(operations, batch.Upsert)
			}
		}
	}
	return out.WithOperations(operations), nil
}

// chunkRows is about how many rows of a large partition are merged at a time.
const chunkRows = 32 << 10

// chunks reads a partition in pieces of about chunkRows rows, cut at values of the first key column.
func (w *walk) chunks(ctx context.Context, p market.Date, yield func(*batch.Batch) bool) error {
	var bounds []*bound
	err := w.view.again(ctx, func(s *state) (err error) {
		bounds, err = w.bounds(ctx, s.segments[w.dataset.id][p], chunkRows)
		return err
	})
	if err != nil {
		return err
	}
	if w.held != nil {
		defer w.held.close()
	}
	for _, in := range bounds {
		var out *batch.Batch
		err := w.view.again(ctx, func(s *state) error {
			runs, err := w.partition(ctx, s, p, in)
			if err != nil || len(runs) == 0 {
				return err
			}
			out, err = w.finish(runs)
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

// bounds cuts the first key column so that between two cuts lie about rows rows of all segments; one
// nil bound where they are few or not searched by number.
func (w *walk) bounds(ctx context.Context, list []*segmentInfo, rows int) ([]*bound, error) {
	d := w.dataset
	var total int64
	for _, info := range list {
		total += info.rows
	}
	if !d.indexed() || total <= int64(rows)*3/2 {
		return []*bound{nil}, nil
	}
	type sample struct {
		value int64
		rows  int
	}
	var samples []sample
	step := max(1, rows/2/d.depth(list))
	for _, info := range list {
		r, done, err := w.open(ctx, info)
		if err != nil {
			return nil, err
		}
		err = r.samples(d, step, func(value int64, rows int) { samples = append(samples, sample{value, rows}) })
		done()
		if err != nil {
			return nil, fmt.Errorf("read segment %s: %w", info.place(), err)
		}
	}
	slices.SortFunc(samples, func(a, b sample) int { return cmp.Compare(a.value, b.value) })
	var out []*bound
	least, since := int64(minLong), 0
	for i, s := range samples {
		since += s.rows
		if since >= rows && i+1 < len(samples) && samples[i+1].value > s.value {
			out = append(out, &bound{least, s.value})
			least, since = s.value+1, 0
		}
	}
	return append(out, &bound{least, maxLong}), nil
}

// depth returns in how many segments at most one value of the first key column may be.
func (d *dataset) depth(list []*segmentInfo) int {
	if !d.fields[0].instrument {
		return len(list)
	}
	type edge struct {
		id   int64
		step int
	}
	edges := make([]edge, 0, 2*len(list))
	for _, info := range list {
		edges = append(edges, edge{int64(info.firstID), 1}, edge{int64(info.lastID) + 1, -1})
	}
	slices.SortFunc(edges, func(a, b edge) int {
		if c := cmp.Compare(a.id, b.id); c != 0 {
			return c
		}
		return a.step - b.step
	})
	deep, most := 0, 1
	for _, e := range edges {
		deep += e.step
		most = max(most, deep)
	}
	return most
}

const (
	minLong = -1 << 63
	maxLong = 1<<63 - 1
)
