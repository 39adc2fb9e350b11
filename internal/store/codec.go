package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/store/segment"
)

// layoutVersion is the version of how the columns of a dataset lie in a segment.
const layoutVersion = 1

// segmentSchema returns the columns of a dataset's segments: those of a block, in its order. A foreign
// reader finds the codes of instruments in columns of the fields' own names.
func segmentSchema(d *dataset) (*segment.Schema, error) {
	columns := make([]segment.Column, 0, d.width())
	for _, f := range d.fields {
		c := segment.Column{Name: f.Name, Type: segmentType(f), Nullable: f.Nullable}
		if f.instrument {
			c.Name, c.Symbol = f.Name+"_id", f.Name
		}
		columns = append(columns, c)
	}
	for i, name := range []string{"_op", "_source", "_run", "_seq"} {
		typ := batch.Of(batch.Int32)
		if i == seqOffset {
			typ = batch.Of(batch.Int64)
		}
		columns = append(columns, segment.Column{Name: name, Type: typ})
	}
	return segment.NewSchema(d.Name, layoutVersion, d.order.keys, columns...)
}

// segmentType returns the type under which a field is kept in a segment.
func segmentType(f field) batch.Type {
	switch f.kind {
	case kindText:
		return batch.Of(batch.String)
	case kindInt32:
		if f.Type.Kind != batch.Date {
			return batch.Of(batch.Int32)
		}
	case kindInt64:
		switch k := f.Type.Kind; {
		case k == batch.Decimal, k == batch.Float64:
		case k == batch.Timestamp && f.Type.Unit != batch.Second && (f.Type.Zone == "" || f.Type.Zone == "UTC"):
		default:
			return batch.Of(batch.Int64)
		}
	case kindBool:
	}
	return f.Type
}

// encodeSegment returns the bytes of a segment.
func encodeSegment(d *dataset, b *block, compacted bool, s *symbols) ([]byte, error) {
	out := segment.NewBlock(d.layout)
	for i, c := range b.columns {
		v := &out.Vectors[i]
		switch {
		case d.floating(i):
			v.Floats = make([]float64, b.rows)
			for row, bits := range c.longs {
				v.Floats[row] = math.Float64frombits(uint64(bits))
			}
		case c.kind == kindBool:
			v.Bits = batch.NewBitmap(b.rows)
			for row, set := range c.bools {
				if set {
					v.Bits.Set(row)
				}
			}
		default:
			v.Int32s, v.Int64s, v.Offsets, v.Bytes = c.ints, c.longs, c.offsets, c.bytes
		}
		v.Valid = bitmapOf(c.valid)
	}
	if err := out.SetLen(b.rows); err != nil {
		return nil, err
	}
	options := segment.Options{Symbol: s.name}
	if compacted {
		options.Compression = segment.Zstd
	}
	raw, _, err := segment.Encode(nil, out, options)
	return raw, err
}

// floating reports whether a column's 64 bits are a float's.
func (d *dataset) floating(i int) bool {
	return i < len(d.fields) && d.fields[i].Type.Kind == batch.Float64
}

// paged is a segment that is read page by page.
type paged struct {
	dataset *dataset
	reader  *segment.Reader
}

// scratch holds blocks that pages are decoded into, for all segments.
var scratch = sync.Pool{New: func() any { return &segment.Block{} }}

var _ reader = (*paged)(nil)

// openSegment opens a segment.
func openSegment(d *dataset, name string, file io.ReaderAt, size int64) (*paged, error) {
	r, err := segment.Open(name, file, size, d.layout)
	if err != nil {
		return nil, damaged(err)
	}
	return &paged{dataset: d, reader: r}, nil
}

// decodeSegment reads a segment as a whole.
func decodeSegment(d *dataset, name string, raw []byte) (*block, error) {
	p, err := openSegment(d, name, bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		return nil, err
	}
	columns, err := p.columns(d.everything().columns, 0, p.rows())
	return &block{rows: p.rows(), columns: columns}, err
}

func damaged(err error) error {
	if errors.Is(err, segment.ErrCorrupt) {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return err
}

func (p *paged) rows() int { return int(p.reader.Info().Rows) }

func (p *paged) find(least, most int64) (from, to int, err error) {
	var low, high segment.Key
	if least != minLong {
		low = segment.Key{{Int: least}}
	}
	if most != maxLong {
		high = segment.Key{{Int: most}}
	}
	rows, err := p.reader.Find(low, high)
	return int(rows.From), int(rows.To), damaged(err)
}

func (p *paged) columns(at []int, from, to int) ([]*column, error) {
	b := scratch.Get().(*segment.Block)
	defer scratch.Put(b)
	if err := p.reader.Read(b, at, segment.Range{From: int64(from), To: int64(to)}); err != nil {
		return nil, damaged(err)
	}
	out := make([]*column, len(at))
	for i, n := range at {
		out[i] = p.dataset.column(n, &b.Vectors[n], to-from)
	}
	return out, nil
}

// column copies a vector, which is scratch, into a column.
func (d *dataset) column(i int, v *segment.Vector, rows int) *column {
	k, nullable := kindInt32, false
	switch {
	case i < len(d.fields):
		k, nullable = d.fields[i].kind, d.fields[i].Nullable
	case i == d.own(seqOffset):
		k = kindInt64
	}
	c := newColumn(k, nullable, rows)
	switch {
	case d.floating(i):
		for _, f := range v.Floats {
			c.longs = append(c.longs, int64(math.Float64bits(f)))
		}
	case k == kindBool:
		for row := range rows {
			c.bools = append(c.bools, v.Bits.Get(row))
		}
	case k == kindText:
		if rows > 0 {
			first := v.Offsets[0]
			c.bytes = append(c.bytes, v.Bytes[first:v.Offsets[rows]]...)
			for _, end := range v.Offsets[1 : rows+1] {
				c.offsets = append(c.offsets, end-first)
			}
		}
	default:
		c.ints, c.longs = append(c.ints, v.Int32s...), append(c.longs, v.Int64s...)
	}
	if nullable {
		for row := range rows {
			c.valid = append(c.valid, !v.Null(row))
		}
	}
	return c
}
