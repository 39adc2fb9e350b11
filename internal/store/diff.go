package store

import (
	"context"
	"slices"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/market"
)

// edits are what one commit wants of one dataset, in the store's own form.
type edits struct {
	dataset *dataset
	puts    *block // sorted; fields only
	deletes *block // sorted; key columns only
	replace []span32
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
	rows      *block // of the dataset's whole width
	counts    DatasetChange
	restated  []restatement
}

// restatement is one value of a stored row that a later commit changed.
type restatement struct {
	dataset, key, column string
	old, new             []byte // nil: NULL
}

// stored reads what the partition holds of the rows that the edits may touch, deleted ones left out.
func (w *Writer) stored(ctx context.Context, s *state, e *edits, p market.Date, puts *block) (*block, error) {
	d := e.dataset
	if len(s.segments[d.id][p]) == 0 {
		return nil, nil
	}
	q := d.everything()
	q.dated = d.timeAt >= 0
	q.from, q.to = market.MaxDate, market.MinDate
	ids, all := map[int32]bool{}, !d.fields[0].instrument
	note := func(b *block) {
		if b == nil {
			return
		}
		for row := range b.rows {
			date := d.dateAt(b, row)
			q.from, q.to = min(q.from, date), max(q.to, date)
			if d.fields[0].instrument {
				ids[b.columns[0].ints[row]] = true
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
	return walk.partition(ctx, s, p, nil)
}

// diff compares the edits with what is stored: equal rows go, the rest is written.
func (w *Writer) diff(
	ctx context.Context, s *state, e *edits, p market.Date, puts *block, own ownValues,
) (*outcome, error) {
	d := e.dataset
	stored, err := w.stored(ctx, s, e, p, puts)
	if err != nil {
		return nil, err
	}
	if stored == nil {
		stored = d.empty(0)
	}
	if puts == nil {
		puts = d.fieldsOnly(0)
	}
	o := &outcome{dataset: d, partition: p, counts: DatasetChange{Dataset: d.Name}}
	var kept, gone []int32 // rows of puts, of stored
	i, j := 0, 0
	for i < puts.rows || j < stored.rows {
		c := 0
		switch {
		case i == puts.rows:
			c = 1
		case j == stored.rows:
			c = -1
		default:
			c = d.order.compare(puts, i, stored, j)
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
	o.rows = d.whole(puts.pick(kept), own)
	if len(gone) > 0 {
		o.rows = mergeAll(d.order, []piece{
			{d.tombstones(stored, gone, own), 0, len(gone)}, {o.rows, 0, len(kept)},
		})
	}
	return o, nil
}

// removes reports whether a stored row that is not put is to go.
func (e *edits) removes(d *dataset, stored *block, row int) bool {
	for _, r := range e.replace {
		if (r.id == 0 || r.id == stored.columns[0].ints[row]) && r.in.Contains(d.dateAt(stored, row)) {
			return true
		}
	}
	if e.deletes == nil {
		return false
	}
	low, high := 0, e.deletes.rows
	for low < high {
		middle := (low + high) / 2
		switch c := d.order.compare(e.deletes, middle, stored, row); {
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

// differ reports whether two rows of one key hold different values.
func (d *dataset) differ(a *block, i int, b *block, j int) bool {
	for k := d.order.keys; k < len(d.fields); k++ {
		if !a.columns[k].equal(i, b.columns[k], j) {
			return true
		}
	}
	return false
}

// ownValues are the store's own columns of rows of one commit.
type ownValues struct {
	source, run int32
	seq         Seq
}

func (d *dataset) fieldsOnly(rows int) *block {
	b := d.empty(rows)
	b.columns = b.columns[:len(d.fields)]
	return b
}

// whole adds the store's own columns to rows that have the fields only.
func (d *dataset) whole(b *block, own ownValues) *block {
	seq := newColumn(kindInt64, false, b.rows)
	for range b.rows {
		seq.longs = append(seq.longs, int64(own.seq))
	}
	return &block{rows: b.rows, columns: append(slices.Clip(b.columns[:len(d.fields)]),
		constant(opPut, b.rows), constant(own.source, b.rows), constant(own.run, b.rows), seq)}
}

// tombstones returns rows that delete the given ones.
func (d *dataset) tombstones(stored *block, rows []int32, own ownValues) *block {
	b := d.fieldsOnly(len(rows))
	for i := range d.fields {
		if i < d.order.keys {
			b.columns[i] = stored.columns[i].gather(rows)
			continue
		}
		for range rows {
			b.columns[i].appendZero()
		}
	}
	b.rows = len(rows)
	out := d.whole(b, own)
	out.columns[d.own(opOffset)] = constant(opDelete, len(rows))
	return out
}

// restate records what changes in a row, unless the stored one was not final.
func (o *outcome) restate(s *symbols, puts *block, i int, stored *block, j int) {
	d := o.dataset
	for k, f := range d.fields {
		if f.Name == "final" && f.kind == kindBool && !stored.columns[k].bools[j] {
			return
		}
	}
	key := []byte(nil)
	for k := range d.order.keys {
		if k > 0 {
			key = append(key, ' ')
		}
		key = append(key, d.textOf(s, k, stored, j)...)
	}
	for k := d.order.keys; k < len(d.fields); k++ {
		if stored.columns[k].equal(j, puts.columns[k], i) {
			continue
		}
		o.restated = append(o.restated, restatement{
			dataset: d.Name, key: string(key), column: d.fields[k].Name,
			old: d.textOf(s, k, stored, j), new: d.textOf(s, k, puts, i),
		})
	}
}

// textOf returns a cell as text, nil for NULL.
func (d *dataset) textOf(s *symbols, k int, b *block, row int) []byte {
	c := b.columns[k]
	if c.null(row) {
		return nil
	}
	if d.fields[k].instrument {
		name, err := s.name(c.ints[row])
		if err != nil {
			name = err.Error()
		}
		return []byte(name)
	}
	return batch.AppendText([]byte{}, columnOf(d.fields[k].Type, c.slice(row, row+1), 1), 0)
}
