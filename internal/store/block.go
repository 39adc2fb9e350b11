package store

import (
	"bytes"
	"cmp"
	"slices"
)

// kind is how a column's values lie in memory and in a segment.
type kind uint8

const (
	kindInt64 kind = iota + 1 // integers, decimals up to 18 digits, instants
	kindInt32                 // dates, small integers, instruments
	kindBool
	kindText
)

// column is one column of a block. The slot of a NULL holds the zero value, so that equal columns
// have equal slices.
type column struct {
	kind    kind
	longs   []int64
	ints    []int32
	bools   []bool
	offsets []int32 // kindText: rows+1
	bytes   []byte
	valid   []bool // nil when the column has no NULLs by its schema
}

// block is rows in columns, sorted by key where it says so.
type block struct {
	rows    int
	columns []*column
}

func newColumn(k kind, nullable bool, rows int) *column {
	c := &column{kind: k}
	switch k {
	case kindInt64:
		c.longs = make([]int64, 0, rows)
	case kindInt32:
		c.ints = make([]int32, 0, rows)
	case kindBool:
		c.bools = make([]bool, 0, rows)
	case kindText:
		c.offsets = append(make([]int32, 0, rows+1), 0)
	}
	if nullable {
		c.valid = make([]bool, 0, rows)
	}
	return c
}

// constant returns a column of one int32 value.
func constant(value int32, rows int) *column {
	c := newColumn(kindInt32, false, rows)
	for range rows {
		c.ints = append(c.ints, value)
	}
	return c
}

func (c *column) null(row int) bool { return c.valid != nil && !c.valid[row] }

func (c *column) text(row int) []byte { return c.bytes[c.offsets[row]:c.offsets[row+1]] }

// number returns an integer row of either width.
func (c *column) number(row int) int64 {
	if c.kind == kindInt32 {
		return int64(c.ints[row])
	}
	return c.longs[row]
}

// appendRows appends rows from..to-1 of a column of the same kind.
func (c *column) appendRows(src *column, from, to int) {
	switch c.kind {
	case kindInt64:
		c.longs = append(c.longs, src.longs[from:to]...)
	case kindInt32:
		c.ints = append(c.ints, src.ints[from:to]...)
	case kindBool:
		c.bools = append(c.bools, src.bools[from:to]...)
	case kindText:
		first, shift := src.offsets[from], int32(len(c.bytes))
		c.bytes = append(c.bytes, src.bytes[first:src.offsets[to]]...)
		for _, end := range src.offsets[from+1 : to+1] {
			c.offsets = append(c.offsets, end-first+shift)
		}
	}
	if c.valid != nil {
		c.valid = append(c.valid, src.valid[from:to]...)
	}
}

// appendZero appends a NULL, or the zero value where the column has none.
func (c *column) appendZero() {
	switch c.kind {
	case kindInt64:
		c.longs = append(c.longs, 0)
	case kindInt32:
		c.ints = append(c.ints, 0)
	case kindBool:
		c.bools = append(c.bools, false)
	case kindText:
		c.offsets = append(c.offsets, int32(len(c.bytes)))
	}
	if c.valid != nil {
		c.valid = append(c.valid, false)
	}
}

// slice returns rows from..to-1 sharing the memory.
func (c *column) slice(from, to int) *column {
	s := &column{kind: c.kind}
	switch c.kind {
	case kindInt64:
		s.longs = c.longs[from:to:to]
	case kindInt32:
		s.ints = c.ints[from:to:to]
	case kindBool:
		s.bools = c.bools[from:to:to]
	case kindText:
		first := c.offsets[from]
		s.bytes = c.bytes[first:c.offsets[to]]
		s.offsets = c.offsets[from : to+1 : to+1]
		if first != 0 {
			s.offsets = slices.Clone(s.offsets)
			for i := range s.offsets {
				s.offsets[i] -= first
			}
		}
	}
	if c.valid != nil {
		s.valid = c.valid[from:to:to]
	}
	return s
}

// gather returns the given rows in memory of their own.
func (c *column) gather(rows []int32) *column {
	g := newColumn(c.kind, c.valid != nil, len(rows))
	switch c.kind {
	case kindInt64:
		for _, r := range rows {
			g.longs = append(g.longs, c.longs[r])
		}
	case kindInt32:
		for _, r := range rows {
			g.ints = append(g.ints, c.ints[r])
		}
	case kindBool:
		for _, r := range rows {
			g.bools = append(g.bools, c.bools[r])
		}
	case kindText:
		for _, r := range rows {
			g.bytes = append(g.bytes, c.text(int(r))...)
			g.offsets = append(g.offsets, int32(len(g.bytes)))
		}
	}
	if c.valid != nil {
		for _, r := range rows {
			g.valid = append(g.valid, c.valid[r])
		}
	}
	return g
}

// equal reports whether two rows of columns of one kind hold the same.
func (c *column) equal(row int, o *column, other int) bool {
	if c.null(row) || o.null(other) {
		return c.null(row) && o.null(other)
	}
	return c.compare(row, o, other) == 0
}

// compare orders two rows that are not NULL.
func (c *column) compare(row int, o *column, other int) int {
	switch c.kind {
	case kindInt64:
		return cmp.Compare(c.longs[row], o.longs[other])
	case kindInt32:
		return cmp.Compare(c.ints[row], o.ints[other])
	case kindBool:
		switch {
		case c.bools[row] == o.bools[other]:
			return 0
		case o.bools[other]:
			return -1
		}
		return 1
	}
	return bytes.Compare(c.text(row), o.text(other))
}

func (c *column) sizeBytes() int64 {
	return int64(8*len(c.longs) + 4*len(c.ints) + len(c.bools) + 4*len(c.offsets) + len(c.bytes) +
		len(c.valid))
}

func (b *block) slice(from, to int) *block {
	if from == 0 && to == b.rows {
		return b
	}
	s := &block{rows: to - from, columns: make([]*column, len(b.columns))}
	for i, c := range b.columns {
		s.columns[i] = c.slice(from, to)
	}
	return s
}

func (b *block) gather(rows []int32) *block {
	g := &block{rows: len(rows), columns: make([]*column, len(b.columns))}
	for i, c := range b.columns {
		g.columns[i] = c.gather(rows)
	}
	return g
}

// runs returns the rows of the given runs; they share the block's memory where they are one.
func (b *block) runs(list []span) *block {
	if len(list) == 1 {
		return b.slice(list[0].from, list[0].to)
	}
	rows := 0
	for _, s := range list {
		rows += s.to - s.from
	}
	out := b.empty(rows)
	for _, s := range list {
		out.appendRows(b, s.from, s.to)
	}
	return out
}

// pick is gather of ascending rows; all of them are the block itself.
func (b *block) pick(rows []int32) *block {
	if len(rows) == b.rows {
		return b
	}
	return b.gather(rows)
}

// empty returns a block without rows and with columns of the same kinds.
func (b *block) empty(rows int) *block {
	e := &block{columns: make([]*column, len(b.columns))}
	for i, c := range b.columns {
		e.columns[i] = newColumn(c.kind, c.valid != nil, rows)
	}
	return e
}

func (b *block) appendRows(src *block, from, to int) {
	for i, c := range b.columns {
		c.appendRows(src.columns[i], from, to)
	}
	b.rows += to - from
}

func (b *block) sizeBytes() int64 {
	size := int64(64 * len(b.columns))
	for _, c := range b.columns {
		size += c.sizeBytes()
	}
	return size
}

// order compares rows by the first columns of their blocks: keys come first in every block.
type order struct{ keys int }

// compare orders row i of a against row j of b.
func (o order) compare(a *block, i int, b *block, j int) int {
	for k := range o.keys {
		if c := a.columns[k].compare(i, b.columns[k], j); c != 0 {
			return c
		}
	}
	return 0
}

// sorted reports whether the keys of the block strictly ascend.
func (o order) sorted(b *block) bool {
	for row := 1; row < b.rows; row++ {
		if o.compare(b, row-1, b, row) >= 0 {
			return false
		}
	}
	return true
}

// sort returns the rows in order of the key, of equal keys only the last.
func (o order) sort(b *block) *block {
	if o.sorted(b) {
		return b
	}
	rows := make([]int32, b.rows)
	for i := range rows {
		rows[i] = int32(i)
	}
	slices.SortStableFunc(rows, func(x, y int32) int { return o.compare(b, int(x), b, int(y)) })
	kept := rows[:0]
	for i, row := range rows {
		if i+1 < len(rows) && o.compare(b, int(row), b, int(rows[i+1])) == 0 {
			continue
		}
		kept = append(kept, row)
	}
	return b.gather(kept)
}
