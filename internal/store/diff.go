package store

import (
	"context"
	"slices"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/store/segment"
)

// edits are what one commit wants of one dataset, in the store's own form.
type edits struct {
	dataset *dataset
	puts    []segment.Run  // sorted; fields only
	deletes *segment.Block // sorted; key columns only
	replace []span32
	unknown []int // fields of which the source of the puts knows nothing
}

// span32 is a range in which rows that are not put are deleted; id 0: of all instruments.
type span32 struct {
	id int32
	in market.Interval
}

// outcome is what is left to write of one dataset in one partition.
type outcome struct {
	dataset   *dataset
	partition market.Date
	rows      *segment.Block // of the dataset's whole width
	counts    DatasetChange
	restated  []restatement
}

// restatement is one value of a stored row that a later commit changed.
type restatement struct {
	dataset, key, column string
	old, new             []byte // nil: NULL
}

// stored reads what the partition holds of the rows that the edits may touch, deleted ones left out.
func (w *Writer) stored(
	ctx context.Context, s *state, e *edits, p market.Date, puts *segment.Block,
) (*segment.Block, error) {
	d := e.dataset
	if len(s.segments[d.id][p]) == 0 {
		return nil, nil
	}
	q := query{dated: d.timeAt >= 0}
	q.from, q.to = market.MaxDate, market.MinDate
	ids, all := map[int32]bool{}, !d.fields[0].instrument
	note := func(b *segment.Block) {
		if b == nil {
			return
		}
		for row := range b.Len() {
			date := d.dateAt(b, row)
			q.from, q.to = min(q.from, date), max(q.to, date)
		}
		if !d.fields[0].instrument {
			return
		}
		for row, id := range b.Vectors[0].Int32s {
			if row == 0 || id != b.Vectors[0].Int32s[row-1] {
				ids[id] = true
			}
		}
	}
	note(puts)
	note(e.deletes)
	for _, r := range e.replace {
		q.from, q.to = min(q.from, r.in.From), max(q.to, r.in.To)
		ids[r.id] = true
		all = all || r.id == 0
	}
	const manyIDs = 1000
	if !all {
		q.ids = make([]int32, 0, len(ids))
		for id := range ids {
			q.ids = append(q.ids, id)
		}
		slices.Sort(q.ids)
		if n := len(q.ids); n > manyIDs {
			q.bounded, q.least, q.most = true, int64(q.ids[0]), int64(q.ids[n-1])
			q.ids = nil
		}
	}
	walk := &walk{view: &View{store: w.store}, dataset: d, query: q}
	runs, err := walk.partition(ctx, s, p, nil)
	if err != nil || len(runs) == 0 {
		return nil, err
	}
	return d.gathered(d.width(), runs)
}

// diff compares the edits with what is stored: equal rows go, the rest is written.
func (w *Writer) diff(
	ctx context.Context, s *state, e *edits, p market.Date, puts *segment.Block, own ownValues,
) (*outcome, error) {
	d := e.dataset
	stored, err := w.stored(ctx, s, e, p, puts)
	if err != nil {
		return nil, err
	}
	if stored == nil {
		stored = d.block(d.width())
	}
	if puts == nil {
		puts = d.block(len(d.fields))
	}
	if puts, err = e.known(puts, stored); err != nil {
		return nil, err
	}
	o := &outcome{dataset: d, partition: p, counts: DatasetChange{Dataset: d.Name}}
	var kept, gone []int32 // rows of puts, of stored
	i, j := 0, 0
	for i < puts.Len() || j < stored.Len() {
		c := 0
		switch {
		case i == puts.Len():
			c = 1
		case j == stored.Len():
			c = -1
		default:
			c = segment.CompareKeys(puts, i, stored, j)
		}
		switch {
		case c < 0:
			kept = append(kept, int32(i))
			o.counts.New++
			i++
		case c > 0:
			if e.removes(d, stored, j) {
				gone = append(gone, int32(j))
				o.counts.Deleted++
			}
			j++
		default:
			if d.differ(puts, i, stored, j) {
				kept = append(kept, int32(i))
				o.counts.Changed++
				o.restate(w.store.symbols, puts, i, stored, j)
			}
			i++
			j++
		}
	}
	if len(kept)+len(gone) == 0 {
		return nil, nil
	}
	fields, err := d.gathered(len(d.fields), puts.RunsOf(kept))
	if err != nil {
		return nil, err
	}
	if o.rows, err = d.whole(fields, opPut, own); err != nil || len(gone) == 0 {
		return o, err
	}
	graves, err := d.tombstones(stored, gone, own)
	if err != nil {
		return nil, err
	}
	o.rows, err = d.gathered(d.width(), segment.Merge(nil, [][]segment.Run{{graves.Whole()}, {o.rows.Whole()}}))
	return o, err
}

// known returns the rows to put with what is stored in the fields of which their source knows nothing.
// invariant: a source replaces no value of a column of which it knows nothing
func (e *edits) known(puts, stored *segment.Block) (*segment.Block, error) {
	if len(e.unknown) == 0 || puts.Len() == 0 || stored.Len() == 0 {
		return puts, nil
	}
	runs := make([]segment.Run, 0, puts.Len())
	j := 0
	for i := range puts.Len() {
		for j < stored.Len() && segment.CompareKeys(stored, j, puts, i) < 0 {
			j++
		}
		if j < stored.Len() && segment.CompareKeys(stored, j, puts, i) == 0 {
			runs = append(runs, segment.Run{Block: stored, From: j, To: j + 1})
		} else {
			runs = append(runs, segment.Run{Block: puts, From: i, To: i + 1})
		}
	}
	out := e.dataset.block(len(e.dataset.fields))
	copy(out.Vectors, puts.Vectors)
	for _, k := range e.unknown {
		var into segment.Vector
		out.Vectors[k] = *segment.Gather(&into, k, runs)
	}
	return out, out.SetLen(puts.Len())
}

// removes reports whether a stored row that is not put is to go.
func (e *edits) removes(d *dataset, stored *segment.Block, row int) bool {
	for _, r := range e.replace {
		if (r.id == 0 || r.id == stored.Vectors[0].Int32s[row]) && r.in.Contains(d.dateAt(stored, row)) {
			return true
		}
	}
	if e.deletes == nil {
		return false
	}
	low, high := 0, e.deletes.Len()
	for low < high {
		middle := (low + high) / 2
		switch c := segment.CompareKeys(e.deletes, middle, stored, row); {
		case c == 0:
			return true
		case c < 0:
			low = middle + 1
		default:
			high = middle
		}
	}
	return false
}

// differ reports whether a row has other values than the stored one of its key, and counts. A bar that is
// final stays: it is a clock set back that calls the same day unfinished.
// invariant: a row that is not final never replaces one that is
func (d *dataset) differ(a *segment.Block, i int, b *segment.Block, j int) bool {
	if d.isFinal(b, j) && !d.isFinal(a, i) {
		return false
	}
	for k := d.keys; k < len(d.fields); k++ {
		if !a.Equal(k, i, b, j) {
			return true
		}
	}
	return false
}

// isFinal reports whether a row says that it does not change any more.
func (d *dataset) isFinal(b *segment.Block, row int) bool {
	return d.finalAt >= 0 && b.Vectors[d.finalAt].Bits.Get(row)
}

// ownValues are the store's own columns of rows of one commit.
type ownValues struct {
	source, run int32
	seq         Seq
}

// whole adds the store's own columns to rows that have the fields only.
func (d *dataset) whole(b *segment.Block, op int32, own ownValues) (*segment.Block, error) {
	constant := func(value int32) segment.Vector {
		return segment.Vector{Int32s: slices.Repeat([]int32{value}, b.Len())}
	}
	return d.extended(b, d.width(), constant(op), constant(own.source), constant(own.run),
		segment.Vector{Int64s: slices.Repeat([]int64{int64(own.seq)}, b.Len())})
}

// tombstones returns rows that delete the given ones.
func (d *dataset) tombstones(stored *segment.Block, rows []int32, own ownValues) (*segment.Block, error) {
	keys := d.block(d.keys)
	keys.AppendRuns(stored.RunsOf(rows))
	b := d.block(len(d.fields))
	copy(b.Vectors, keys.Vectors[:d.keys])
	b.AppendZeros(d.columns(len(d.fields))[d.keys:], len(rows))
	if err := b.SetLen(len(rows)); err != nil {
		return nil, err
	}
	return d.whole(b, opDelete, own)
}

// restate records what changes in a row, unless the stored one was not final.
func (o *outcome) restate(s *symbols, puts *segment.Block, i int, stored *segment.Block, j int) {
	d := o.dataset
	if d.finalAt >= 0 && !d.isFinal(stored, j) {
		return
	}
	key := []byte(nil)
	for k := range d.keys {
		if k > 0 {
			key = append(key, ' ')
		}
		key = append(key, d.textOf(s, k, stored, j)...)
	}
	for k := d.keys; k < len(d.fields); k++ {
		if stored.Equal(k, j, puts, i) {
			continue
		}
		o.restated = append(o.restated, restatement{
			dataset: d.Name, key: string(key), column: d.fields[k].Name,
			old: d.textOf(s, k, stored, j), new: d.textOf(s, k, puts, i),
		})
	}
}

// textOf returns a cell as text, nil for NULL.
func (d *dataset) textOf(s *symbols, k int, b *segment.Block, row int) []byte {
	if b.Vectors[k].Null(row) {
		return nil
	}
	if d.fields[k].instrument {
		name, err := s.name(b.Vectors[k].Int32s[row])
		if err != nil {
			name = err.Error()
		}
		return []byte(name)
	}
	var cell segment.Vector
	v := segment.Gather(&cell, k, []segment.Run{{Block: b, From: row, To: row + 1}})
	return batch.AppendText([]byte{}, columnOf(d.fields[k], v, 1, &cell), 0)
}
