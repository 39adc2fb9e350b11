package store

import (
	"fmt"
	"slices"
	"sort"

	"github.com/tapeline/tapeline/internal/market"
)

// reader is an open segment, decoded in memory or read page by page. Safe for concurrent use.
type reader interface {
	rows() int
	// columns returns rows from..to-1 of the given block columns. They may share the segment's memory.
	columns(at []int, from, to int) ([]*column, error)
	// find returns the rows whose first key column, an integer, lies between two values.
	find(least, most int64) (from, to int, err error)
}

// memory is a decoded segment.
type memory struct{ block *block }

var _ reader = memory{}

func (m memory) rows() int { return m.block.rows }

func (m memory) columns(at []int, from, to int) ([]*column, error) {
	out := make([]*column, len(at))
	for i, c := range at {
		out[i] = m.block.columns[c].slice(from, to)
	}
	return out, nil
}

func (m memory) find(least, most int64) (from, to int, err error) {
	c := m.block.columns[0]
	from = sort.Search(m.block.rows, func(i int) bool { return c.number(i) >= least })
	to = from + sort.Search(m.block.rows-from, func(i int) bool { return c.number(from+i) > most })
	return from, to, nil
}

// query is what a read wants of a partition.
type query struct {
	columns  []int   // of the block, ascending; the keys are always among them
	ids      []int32 // ascending: values of the first key column; nil: all
	least    int64   // bounds of the first key column, both included; used when bounded
	most     int64
	bounded  bool
	from, to market.Date // used when dated
	dated    bool
}

// everything wants all columns and rows.
func (d *dataset) everything() query {
	q := query{columns: make([]int, d.width())}
	for i := range q.columns {
		q.columns[i] = i
	}
	return q
}

// indexed reports whether the first key column is an integer by which segments are searched.
func (d *dataset) indexed() bool {
	return d.fields[0].kind == kindInt32 || d.fields[0].kind == kindInt64
}

// concerns reports by the catalog alone whether a segment may hold wanted rows.
func (q *query) concerns(d *dataset, info *segmentInfo) bool {
	if q.dated && d.timeAt >= 0 && (info.to < q.from || info.from > q.to) {
		return false
	}
	if !d.fields[0].instrument {
		return true
	}
	if q.bounded && (int64(info.lastID) < q.least || int64(info.firstID) > q.most) {
		return false
	}
	if q.ids == nil {
		return true
	}
	at, _ := slices.BinarySearch(q.ids, info.firstID)
	return at < len(q.ids) && q.ids[at] <= info.lastID
}

// span is a run of rows.
type span struct{ from, to int }

// spans returns the runs of rows that may be wanted, by the first key column.
func (q *query) spans(d *dataset, r reader) ([]span, error) {
	whole := []span{{0, r.rows()}}
	if !d.indexed() {
		return whole, nil
	}
	if q.ids == nil {
		if !q.bounded {
			return whole, nil
		}
		from, to, err := r.find(q.least, q.most)
		return []span{{from, to}}, err
	}
	var out []span
	for _, id := range q.ids {
		if q.bounded && (int64(id) < q.least || int64(id) > q.most) {
			continue
		}
		from, to, err := r.find(int64(id), int64(id))
		switch {
		case err != nil:
			return nil, err
		case from == to:
		case len(out) > 0 && out[len(out)-1].to == from:
			out[len(out)-1].to = to
		default:
			out = append(out, span{from, to})
		}
	}
	return out, nil
}

// take reads the wanted rows of one segment: those of the query's columns, in order of the key.
func (q *query) take(d *dataset, r reader) (*block, error) {
	var parts []*block
	spans, err := q.spans(d, r)
	if err != nil {
		return nil, err
	}
	for _, s := range spans {
		if s.from >= s.to {
			continue
		}
		rows := []int32(nil)
		if q.dated && d.timeAt >= 0 {
			narrowed, chosen, err := q.narrow(d, r, s)
			if err != nil {
				return nil, err
			}
			if s, rows = narrowed, chosen; s.from >= s.to || rows != nil && len(rows) == 0 {
				continue
			}
		}
		columns, err := r.columns(q.columns, s.from, s.to)
		if err != nil {
			return nil, err
		}
		part := &block{rows: s.to - s.from, columns: columns}
		if rows != nil {
			part = part.gather(rows)
		}
		parts = append(parts, part)
	}
	switch len(parts) {
	case 0:
		return nil, nil
	case 1:
		return parts[0], nil
	}
	rows := 0
	for _, p := range parts {
		rows += p.rows
	}
	out := parts[0].empty(rows)
	for _, p := range parts {
		out.appendRows(p, 0, p.rows)
	}
	return out, nil
}

// narrow cuts a run of rows to the wanted dates: to its part where dates ascend in it, else to a
// list of rows.
func (q *query) narrow(d *dataset, r reader, s span) (span, []int32, error) {
	columns, err := r.columns([]int{d.timeAt}, s.from, s.to)
	if err != nil {
		return s, nil, err
	}
	c, n := columns[0], s.to-s.from
	least, most := d.bounds(q.from, q.to)
	wanted := func(row int) bool { v := c.number(row); return v >= least && v <= most }
	ascending := d.timeAt == 0 || d.timeAt == 1 && len(q.ids) == 1
	if ascending {
		from := sort.Search(n, func(i int) bool { return c.number(i) >= least })
		to := from + sort.Search(n-from, func(i int) bool { return c.number(from+i) > most })
		return span{s.from + from, s.from + to}, nil, nil
	}
	rows := make([]int32, 0, n/8)
	for row := range n {
		if wanted(row) {
			rows = append(rows, int32(row))
		}
	}
	if len(rows) == n {
		return s, nil, nil
	}
	return s, rows, nil
}

// bounds returns the values of the time column that lie on dates.
func (d *dataset) bounds(from, to market.Date) (least, most int64) {
	if d.microAt {
		return int64(from) * microsPerDay, (int64(to)+1)*microsPerDay - 1
	}
	return int64(from), int64(to)
}

// check compares an opened segment with what the catalog says of it.
func (info *segmentInfo) check(rows int) error {
	if int64(rows) != info.rows {
		return fmt.Errorf("%w: %s holds %d rows, the catalog says %d", ErrCorrupt, info.place(), rows, info.rows)
	}
	return nil
}

// place names a segment in messages.
func (info *segmentInfo) place() string {
	if info.file == "" {
		return fmt.Sprintf("blob %d of %s", info.id, CatalogName)
	}
	return info.file
}
