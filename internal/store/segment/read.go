package segment

import (
	"fmt"

	"github.com/parquet-go/parquet-go/format"
)

// Read makes dst the rows of a range with the given columns (nil: all).
func (r *Reader) Read(dst *Block, columns []int, rows Range) error {
	if err := r.checkColumns(columns); err != nil {
		return err
	}
	dst.Reset(r.schema, columns)
	return r.Append(dst, rows)
}

// Append appends the rows of a range to a block made by Reset or Read with the segment's schema. On an
// error the block is empty.
func (r *Reader) Append(dst *Block, rows Range) error {
	if rows.From < 0 || rows.From > rows.To || rows.To > r.info.Rows {
		return fmt.Errorf("read segment %s: rows %d..%d of %d", r.name, rows.From, rows.To-1, r.info.Rows)
	}
	dst.grow(int(rows.Len()))
	d := decoders.Get().(*decoder)
	defer decoders.Put(d)
	for rows.From < rows.To {
		group := int(rows.From / r.groupRows)
		first := int64(group) * r.groupRows
		from, to := int(rows.From-first), int(min(rows.To-first, r.groupRows))
		for k := range r.schema.columns {
			if !dst.Has(k) {
				continue
			}
			if err := r.readColumn(d, &dst.Vectors[k], part{group, k, from, to}, dst.rows); err != nil {
				dst.clear()
				return err
			}
		}
		dst.rows += to - from
		rows.From += int64(to - from)
	}
	return nil
}

func (r *Reader) checkColumns(columns []int) error {
	for _, k := range columns {
		if k < 0 || k >= len(r.schema.columns) {
			return fmt.Errorf("read segment %s: column %d of %d", r.name, k, len(r.schema.columns))
		}
	}
	return nil
}

// part is rows from..to-1 of a column of a row group.
type part struct{ group, leaf, from, to int }

// readColumn appends the rows of a part to the at rows of v.
func (r *Reader) readColumn(d *decoder, v *Vector, p part, at int) error {
	return r.pages(d, p, func(data []byte, first, rows int) error {
		from, to := max(p.from-first, 0), min(p.to-first, rows)
		l := &r.leaves[p.leaf]
		if rows > PageRows {
			return d.same(r.codec, l, v, at, data, sameRows{rows, to - from})
		}
		if from == 0 && to == rows {
			if err := d.page(r.codec, l, v, at, data, rows); err != nil {
				return err
			}
		} else {
			d.vector.reset()
			if err := d.page(r.codec, l, &d.vector, 0, data, rows); err != nil {
				return err
			}
			v.appendRange(l.kind, at, &d.vector, from, to)
		}
		at += to - from
		return nil
	})
}

// pages gives the pages that hold a part, as stored, with their first row within the row group.
func (r *Reader) pages(d *decoder, p part, visit func(data []byte, first, rows int) error) error {
	index, err := r.pageIndexOf(p.group)
	if err != nil {
		return err
	}
	g := &r.groups[p.group]
	offsets, pageRows := index.offsets[p.leaf], PageRows
	if len(offsets) == 2 {
		pageRows = GroupRows
	}
	first, last := p.from/pageRows, (p.to-1)/pageRows
	fail := func(first, rows int, err error) error {
		row := int64(p.group)*r.groupRows + int64(first)
		return r.damaged(fmt.Sprintf("column %q, rows %d..%d", r.leaves[p.leaf].name, row,
			row+int64(rows)-1), err)
	}
	if d.coding = g.chunks[p.leaf].coding; d.coding == format.RLEDictionary {
		keep := p.to-p.from < g.rows/2
		if err := guard(func() error { return d.load(r, g, p.leaf, keep) }); err != nil {
			return fail(0, g.rows, err)
		}
	}
	if err := d.fetch(r, offsets[first], offsets[last+1]); err != nil {
		return fail(p.from, p.to-p.from, err)
	}
	for i := first; i <= last; i++ {
		data := d.bytes[offsets[i]-offsets[first] : offsets[i+1]-offsets[first]]
		rows := min(pageRows, g.rows-i*pageRows)
		if err := guard(func() error { return visit(data, i*pageRows, rows) }); err != nil {
			return fail(i*pageRows, rows, err)
		}
	}
	return nil
}

// guard turns a panic of a decoder on damaged bytes into an error.
func guard(decode func() error) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("its values cannot be decoded (%v)", cause)
		}
	}()
	return decode()
}
