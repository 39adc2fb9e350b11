package batch

import (
	"fmt"
	"math"
	"time"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
)

// Builder appends rows to typed columns. It is the way connectors without a columnar source make
// batches: fetch a column's appender once, append values in the hot loop, then call Batch.
//
//	b := batch.NewBuilder(schema)
//	ids, names := b.Column(0), b.Column(1)
//	ids.Int(7); names.Text("ada")
//	out, err := b.Batch()
type Builder struct {
	schema  *Schema
	columns []*Appender
}

// NewBuilder returns an empty builder for the schema.
func NewBuilder(schema *Schema) *Builder {
	b := &Builder{schema: schema, columns: make([]*Appender, schema.Len())}
	for i, f := range schema.fields {
		b.columns[i] = NewAppender(f.Type)
	}
	return b
}

// Column returns the appender of column i.
func (b *Builder) Column(i int) *Appender { return b.columns[i] }

// Len returns the rows of the longest column.
func (b *Builder) Len() int {
	n := 0
	for _, c := range b.columns {
		n = max(n, c.rows)
	}
	return n
}

// Batch returns what was appended and empties the builder. Columns of unequal length are an error.
func (b *Builder) Batch() (*Batch, error) {
	rows := b.Len()
	columns := make([]*Column, len(b.columns))
	for i, c := range b.columns {
		if c.rows != rows {
			return nil, fmt.Errorf("column %q has %d rows, others %d",
				b.schema.fields[i].Name, c.rows, rows)
		}
		columns[i] = c.Column()
	}
	return New(b.schema, columns, rows), nil
}

// Appender appends values to one column of a fixed type. The method must suit the type's kind;
// Any converts.
type Appender struct {
	typ      Type
	rows     int
	valid    Bitmap
	nulls    bool
	ints     []int64
	decimals []decimal128.Num
	bits     Bitmap
	offsets  []int32
	bytes    []byte
	children []*Appender
}

// NewAppender returns an empty appender. Foreign types cannot be appended to and panic.
func NewAppender(typ Type) *Appender {
	if typ.Kind == Foreign {
		panic("batch: append to " + typ.String())
	}
	a := &Appender{typ: typ}
	for _, f := range typ.Fields {
		a.children = append(a.children, NewAppender(f.Type))
	}
	a.reset()
	return a
}

func (a *Appender) reset() {
	*a = Appender{typ: a.typ, children: a.children}
	if a.typ.Text() || a.typ.Kind == List || a.typ.Kind == Map {
		a.offsets = append(a.offsets, 0)
	}
}

// Type returns the column's type.
func (a *Appender) Type() Type { return a.typ }

// Len returns the rows appended.
func (a *Appender) Len() int { return a.rows }

func (a *Appender) mark(valid bool) {
	if a.rows&7 == 0 {
		a.valid = append(a.valid, 0)
	}
	if valid {
		a.valid.Set(a.rows)
	} else {
		a.nulls = true
	}
	a.rows++
}

// Null appends a null.
func (a *Appender) Null() {
	switch {
	case a.typ.Kind == Bool:
		a.growBits()
	case a.typ.Text() || a.typ.Kind == List || a.typ.Kind == Map:
		a.offsets = append(a.offsets, a.offsets[len(a.offsets)-1])
	case a.typ.Kind == Struct:
		for _, child := range a.children {
			child.Null()
		}
	case a.typ.Kind == Decimal:
		a.decimals = append(a.decimals, decimal128.Num{})
	case a.typ.Kind != Null:
		a.ints = append(a.ints, 0)
	}
	a.mark(false)
}

func (a *Appender) growBits() {
	if a.rows&7 == 0 {
		a.bits = append(a.bits, 0)
	}
}

// Bool appends to a Bool column.
func (a *Appender) Bool(v bool) {
	a.growBits()
	if v {
		a.bits.Set(a.rows)
	}
	a.mark(true)
}

// Int appends to an integer, Date, Time, Timestamp or Duration column; the value must fit.
func (a *Appender) Int(v int64) {
	a.ints = append(a.ints, v)
	a.mark(true)
}

// Uint appends to an unsigned integer column; the value must fit.
func (a *Appender) Uint(v uint64) { a.Int(int64(v)) }

// Float appends to a Float64 or Float32 column.
func (a *Appender) Float(v float64) {
	if a.typ.Kind == Float32 {
		a.Int(int64(math.Float32bits(float32(v))))
		return
	}
	a.Int(int64(math.Float64bits(v)))
}

// Decimal appends an unscaled value at the type's scale.
func (a *Appender) Decimal(v decimal128.Num) {
	a.decimals = append(a.decimals, v)
	a.mark(true)
}

// Text appends to a String or JSON column.
func (a *Appender) Text(v string) {
	a.bytes = append(a.bytes, v...)
	a.offsets = append(a.offsets, int32(len(a.bytes)))
	a.mark(true)
}

// Bytes appends a copy of v to a Binary, String or JSON column.
func (a *Appender) Bytes(v []byte) {
	a.bytes = append(a.bytes, v...)
	a.offsets = append(a.offsets, int32(len(a.bytes)))
	a.mark(true)
}

// Element returns child i: a list's element, a struct's member, a map's key (0) or value (1).
// Append to it, then call List or Struct to end the row.
func (a *Appender) Element(i int) *Appender { return a.children[i] }

// List ends a List or Map row: all child values appended since the last row belong to it.
func (a *Appender) List() {
	a.offsets = append(a.offsets, int32(a.children[0].rows))
	a.mark(true)
}

// Struct ends a Struct row after one value was appended to every member.
func (a *Appender) Struct() { a.mark(true) }

// Time appends to a Timestamp or Date column, truncating to its unit.
func (a *Appender) Time(t time.Time) {
	if a.typ.Kind == Date {
		year, month, day := t.Date()
		a.Int(civil(year, int(month), day))
		return
	}
	per := a.typ.Unit.PerSecond()
	a.Int(t.Unix()*per + int64(t.Nanosecond())/(int64(1e9)/per))
}

// Column returns what was appended and empties the appender.
func (a *Appender) Column() *Column {
	c := &Column{typ: a.typ, rows: a.rows}
	if a.nulls {
		c.valid = a.valid
	}
	switch {
	case a.typ.Kind == Null:
	case a.typ.Kind == Bool:
		c.fixed = a.bits
	case a.typ.Text():
		c.offsets, c.bytes = a.offsets, a.bytes
	case a.typ.Nested():
		c.offsets = a.offsets
		for _, child := range a.children {
			c.children = append(c.children, child.Column())
		}
	case a.typ.Kind == Decimal:
		c.fixed = FixedColumn(a.typ, a.decimals, nil).fixed
	default:
		c.fixed = narrowed(a.typ, a.ints)
	}
	a.reset()
	return c
}

// narrowed stores the low bytes of each value, which on a little-endian machine are its value.
func narrowed(typ Type, values []int64) []byte {
	wide := FixedColumn(Of(Int64), values, nil).fixed
	width := typ.Width()
	if width == 8 {
		return wide
	}
	out := make([]byte, len(values)*width)
	for i := range values {
		copy(out[i*width:(i+1)*width], wide[i*8:])
	}
	return out
}
