package segment

import (
	"fmt"
	"slices"
	"sort"
)

// Find returns the rows whose key lies between from and to, both included. Of each, as many leading
// columns are compared as it has values; an empty one is without bound.
func (r *Reader) Find(from, to Key) (Range, error) {
	if len(from) > r.schema.key || len(to) > r.schema.key {
		return Range{}, fmt.Errorf("find in segment %s: keys of %d and %d values, of %d", r.name,
			len(from), len(to), r.schema.key)
	}
	f := finder{r, decoders.Get().(*decoder)}
	defer decoders.Put(f.decoder)
	f.decoder.resetKeys(r.schema.key)
	first, err := f.bound(from, false)
	if err != nil {
		return Range{}, err
	}
	last, err := f.bound(to, true)
	if err != nil {
		return Range{}, err
	}
	return Range{first, max(first, last)}, nil
}

// finder searches keys.
type finder struct {
	r       *Reader
	decoder *decoder
}

// keyPage is a decoded page, whose first row is the given one.
type keyPage struct {
	first, rows int64
	vector      Vector
}

// resetKeys forgets the pages of key columns.
func (d *decoder) resetKeys(columns int) {
	if len(d.keys) < columns {
		d.keys = make([]keyPage, columns)
	}
	for i := range d.keys {
		d.keys[i].rows = 0
	}
}

// bound returns the first row whose key is not less than the given one, or, above, greater.
func (f *finder) bound(key Key, above bool) (int64, error) {
	from, to := int64(0), f.r.info.Rows
	if len(key) == 0 && !above {
		return from, nil
	}
	// Each column narrows the rows to those equal to the key so far, in which the next one ascends.
	for k, value := range key {
		if last := k == len(key)-1; last {
			return f.search(k, from, to, value, above)
		}
		least, err := f.search(k, from, to, value, false)
		if err != nil {
			return 0, err
		}
		if to, err = f.search(k, least, to, value, true); err != nil {
			return 0, err
		}
		if from = least; from == to {
			return from, nil
		}
	}
	return to, nil
}

// search returns the first of rows from..to-1, in which column k ascends, whose value is not less
// than the given one, or, above, greater; to when there is none.
func (f *finder) search(k int, from, to int64, value Value, above bool) (int64, error) {
	if from == to {
		return to, nil
	}
	first, last := from/PageRows, (to-1)/PageRows
	var failed error
	// The page in which the row is: the first whose last row is behind the bound.
	page := first + int64(sort.Search(int(last-first), func(i int) bool {
		at := first + int64(i)
		if failed != nil {
			return true
		}
		behind, err := f.endsBehind(k, at, at*PageRows >= from, value, above)
		failed = err
		return behind
	}))
	if failed != nil {
		return 0, failed
	}
	p, err := f.page(k, page)
	if err != nil {
		return 0, err
	}
	low, high := max(from-p.first, 0), min(to-p.first, p.rows)
	found := sort.Search(int(high-low), func(i int) bool {
		return isBehind(compareValue(f.r.schema.kinds[k], &p.vector, int(low)+i, value), above)
	})
	return p.first + low + int64(found), nil
}

func isBehind(order int, above bool) bool { return order > 0 || order == 0 && !above }

// endsBehind reports whether the last row of a page is behind the bound. The page's greatest value
// is its last row's only if the column ascends in all of it.
func (f *finder) endsBehind(k int, page int64, whole bool, value Value, above bool) (bool, error) {
	groupPages := f.r.groupRows / PageRows
	index, err := f.r.pageIndexOf(int(page / groupPages))
	if err != nil {
		return false, err
	}
	if bounds := index.bounds[k]; bounds != nil && whole {
		most := bounds[page%groupPages].Max
		return most > value.Int || most == value.Int && !above, nil
	}
	p, err := f.page(k, page)
	if err != nil {
		return false, err
	}
	order := compareValue(f.r.schema.kinds[k], &p.vector, int(p.rows)-1, value)
	return isBehind(order, above), nil
}

// page returns a page of a key column, decoded.
func (f *finder) page(k int, page int64) (*keyPage, error) {
	p := &f.decoder.keys[k]
	first := page * PageRows
	if p.rows > 0 && p.first == first {
		return p, nil
	}
	group := int(first / f.r.groupRows)
	from := int(first % f.r.groupRows)
	to := min(from+PageRows, f.r.groups[group].rows)
	p.vector.reset()
	p.rows = 0
	err := f.r.readColumn(f.decoder, &p.vector, part{group, k, from, to}, 0)
	if err != nil {
		return nil, err
	}
	p.first, p.rows = first, int64(to-from)
	return p, nil
}

// Select makes dst the given columns (nil: all) of the rows in which an Int32, Int64, Date,
// Timestamp or Decimal column of 64 bits lies between least and most, both included.
func (r *Reader) Select(dst *Block, columns []int, by int, least, most int64) error {
	if err := r.checkColumns(columns); err != nil {
		return err
	}
	dst.Reset(r.schema, columns)
	return r.AppendSelected(dst, Range{0, r.info.Rows}, by, least, most)
}

// AppendSelected is Select among the rows of a range, appended to a block made by Reset or Read with
// the segment's schema. On an error the block is empty.
func (r *Reader) AppendSelected(dst *Block, among Range, by int, least, most int64) error {
	if err := r.checkColumns([]int{by}); err != nil {
		return err
	}
	if !r.leaves[by].bounded() {
		return fmt.Errorf("select from segment %s: column %q is no integer", r.name, r.leaves[by].name)
	}
	s := selector{r: r, decoder: decoders.Get().(*decoder), by: by, least: least, most: most}
	defer decoders.Put(s.decoder)
	for group := range r.groups {
		first := int64(group) * r.groupRows
		from := max(among.From-first, 0)
		to := min(among.To-first, int64(r.groups[group].rows))
		if from >= to {
			continue
		}
		if err := s.group(dst, group, int(from), int(to)); err != nil {
			dst.clear()
			return err
		}
	}
	return nil
}

// selector is one call of Select.
type selector struct {
	r           *Reader
	decoder     *decoder
	by          int
	least, most int64
}

// group appends those of rows least..most-1 of one row group.
func (s *selector) group(dst *Block, group, least, most int) error {
	from, to, err := s.span(group)
	if from, to = max(from, least), min(to, most); err != nil || from >= to {
		return err
	}
	s.decoder.selected.reset()
	if err := s.r.readColumn(s.decoder, &s.decoder.selected, part{group, s.by, from, to}, 0); err != nil {
		return err
	}
	rows := s.match(from)
	if len(rows) == 0 {
		return nil
	}
	for k := range dst.Vectors {
		if !dst.Has(k) {
			continue
		}
		if err := s.gather(&dst.Vectors[k], dst.rows, part{group, k, from, to}, rows); err != nil {
			return err
		}
	}
	dst.rows += len(rows)
	return nil
}

// span returns the rows of the pages that may hold rows looked for.
func (s *selector) span(group int) (from, to int, err error) {
	index, err := s.r.pageIndexOf(group)
	if err != nil {
		return 0, 0, err
	}
	if index.bounds[s.by] == nil {
		return 0, s.r.groups[group].rows, nil
	}
	first, last := -1, -1
	for i, b := range index.bounds[s.by] {
		if b.Known && b.Max >= s.least && b.Min <= s.most {
			last = i
			if first < 0 {
				first = i
			}
		}
	}
	if first < 0 {
		return 0, 0, nil
	}
	return first * PageRows, min((last+1)*PageRows, s.r.groups[group].rows), nil
}

// match returns which rows of decoder.selected, whose first is the given one, are looked for.
func (s *selector) match(first int) []int32 {
	d, v := s.decoder, &s.decoder.selected
	d.rows = d.rows[:0]
	if s.r.leaves[s.by].kind == kindInt32 {
		d.rows = matching(d.rows, v.Int32s, first, s.least, s.most)
	} else {
		d.rows = matching(d.rows, v.Int64s, first, s.least, s.most)
	}
	if len(v.Valid) == 0 {
		return d.rows
	}
	return slices.DeleteFunc(d.rows, func(row int32) bool { return v.Null(int(row) - first) })
}

func matching[T int32 | int64](rows []int32, values []T, first int, least, most int64) []int32 {
	for i, value := range values {
		if int64(value) >= least && int64(value) <= most {
			rows = append(rows, int32(first+i))
		}
	}
	return rows
}

// gather appends the given rows of a part, ascending rows of the row group, to the at rows of v.
func (s *selector) gather(v *Vector, at int, p part, rows []int32) error {
	d, r := s.decoder, s.r
	l := &r.leaves[p.leaf]
	p.from, p.to = int(rows[0]), int(rows[len(rows)-1])+1
	return r.pages(d, p, func(data []byte, first, count int) error {
		if count > PageRows {
			return d.same(r.codec, l, v, at, data, sameRows{count, len(rows)})
		}
		n := 0
		for n < len(rows) && int(rows[n]) < first+count {
			n++
		}
		if n == 0 {
			return nil
		}
		d.vector.reset()
		if err := d.page(r.codec, l, &d.vector, 0, data, count); err != nil {
			return err
		}
		v.appendRows(l.kind, at, &d.vector, rows[:n], first)
		at, rows = at+n, rows[n:]
		return nil
	})
}
