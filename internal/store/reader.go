package store

import (
	"fmt"
	"slices"
	"sort"

	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/store/segment"
)

// reader is an open segment, decoded in memory or read page by page. Safe for concurrent use.
type reader interface {
	rows() int
	// find returns the rows whose first key column, an integer, lies between two values.
	find(least, most int64) (span, error)
	// read returns the wanted rows in order of the key with the given columns: of the decoded segment,
	// which must not be altered, or of into.
	read(d *dataset, q *query, columns []int, into *segment.Block) ([]segment.Run, error)
	// samples cuts the segment in parts of about step rows and gives the greatest value of the first
	// key column, an integer, in each.
	samples(d *dataset, step int, visit func(value int64, rows int)) error
}

// number returns an integer of either width.
func number(v *segment.Vector, row int) int64 {
	if len(v.Int32s) > 0 {
		return int64(v.Int32s[row])
	}
	return v.Int64s[row]
}

// ascending returns which rows of a span, in which a column ascends, lie between two values.
func ascending(v *segment.Vector, s span, least, most int64) span {
	from := s.from + sort.Search(s.to-s.from, func(i int) bool { return number(v, s.from+i) >= least })
	to := from + sort.Search(s.to-from, func(i int) bool { return number(v, from+i) > most })
	return span{from, to}
}

// query is which rows a read wants of a partition.
type query struct {
	ids      []int32 // ascending: values of the first key column; nil: all
	least    int64   // bounds of the first key column, both included; used when bounded
	most     int64
	bounded  bool
	from, to market.Date // used when dated
	dated    bool
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
		in, err := r.find(q.least, q.most)
		return []span{in}, err
	}
	var out []span
	for _, id := range q.ids {
		if q.bounded && (int64(id) < q.least || int64(id) > q.most) {
			continue
		}
		in, err := r.find(int64(id), int64(id))
		switch {
		case err != nil:
			return nil, err
		case in.from == in.to:
		case len(out) > 0 && out[len(out)-1].to == in.from:
			out[len(out)-1].to = in.to
		default:
			out = append(out, in)
		}
	}
	return out, nil
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
