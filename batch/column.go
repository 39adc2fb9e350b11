package batch

import (
	"fmt"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// Column is one immutable column: dense typed values, or raw text cells of a source (Lazy).
// Reading it from several goroutines is safe.
type Column struct {
	typ      Type
	rows     int
	valid    Bitmap    // nil: no nulls
	fixed    []byte    // fixed-width values; for Bool a bitmap
	offsets  []int32   // Text, List, Map: rows+1 entries
	bytes    []byte    // Text values
	children []*Column // List: element; Struct: members; Map: key, value

	spans   *Spans // lazy: the cells
	cell    int    // which cell of each record of spans or source
	source  *Spans // typed from these cells
	foreign arrow.Array
}

// Type returns the column's type: for a lazy column the declared type its text will be read as.
func (c *Column) Type() Type { return c.typ }

// Len returns the number of physical rows.
func (c *Column) Len() int { return c.rows }

// Lazy reports whether the values are still raw text; only Spans, Cell and Column.Typed apply.
func (c *Column) Lazy() bool { return c.spans != nil }

// Spans returns the raw cells of a lazy column and which cell of each record is its own.
func (c *Column) Spans() (spans *Spans, cell int) { return c.spans, c.cell }

// Source returns the raw cells of a lazy column or of the lazy column this one was typed from, so
// that a sink can write the source's own text; nil when there are none. The cells hold for the
// rows that were typed without error.
func (c *Column) Source() (spans *Spans, cell int) {
	if c.spans != nil {
		return c.spans, c.cell
	}
	return c.source, c.cell
}

// MemoryBytes returns the size of a dense column's own values; the cells of a lazy column are the
// source's.
func (c *Column) MemoryBytes() int {
	n := len(c.valid) + len(c.fixed) + len(c.bytes) + 4*len(c.offsets)
	for _, child := range c.children {
		n += child.MemoryBytes()
	}
	return n
}

// Validity returns the bitmap of non-null rows, nil when no row is null.
func (c *Column) Validity() Bitmap { return c.valid }

// IsNull reports whether a dense column's row is null.
func (c *Column) IsNull(row int) bool {
	if c.typ.Kind == Null {
		return true
	}
	return c.valid != nil && !c.valid.Get(row)
}

// Fixed is the set of Go types of fixed-width values.
type Fixed interface {
	int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64 | float32 | float64 |
		decimal128.Num
}

// Values returns the fixed-width values of a dense column without copying: int32 for Date, int64
// for Time, Timestamp and Duration, decimal128.Num for Decimal. It panics when T's width is not
// the type's. The caller must not alter the slice.
func Values[T Fixed](c *Column) []T {
	var zero T
	if int(unsafe.Sizeof(zero)) != c.typ.Width() || c.spans != nil {
		panic(fmt.Sprintf("batch: values of %s (lazy %t) read as %T", c.typ, c.Lazy(), zero))
	}
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(c.fixed))), c.rows)
}

// Bits returns the values of a dense Bool column as a bitmap.
func (c *Column) Bits() Bitmap {
	if c.typ.Kind != Bool || c.spans != nil {
		panic("batch: bits of " + c.typ.String())
	}
	return c.fixed
}

// Text returns offsets (rows+1) and bytes of a dense String, Binary or JSON column.
func (c *Column) Text() (offsets []int32, bytes []byte) {
	if !c.typ.Text() || c.spans != nil {
		panic("batch: text of " + c.typ.String())
	}
	return c.offsets, c.bytes
}

// Bytes returns the bytes of one row of a dense Text column; null rows give an empty slice.
func (c *Column) Bytes(row int) []byte { return c.bytes[c.offsets[row]:c.offsets[row+1]] }

// Offsets returns the rows+1 offsets of a List or Map column into its children.
func (c *Column) Offsets() []int32 { return c.offsets }

// Children returns List: element; Struct: members; Map: key and value. Not to be altered.
func (c *Column) Children() []*Column { return c.children }

// FixedColumn returns a dense column over values, which it owns from now on. valid nil means no
// nulls. The type's width must be T's.
func FixedColumn[T Fixed](typ Type, values []T, valid Bitmap) *Column {
	var zero T
	if int(unsafe.Sizeof(zero)) != typ.Width() {
		panic(fmt.Sprintf("batch: %T values for %s", zero, typ))
	}
	raw := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(values))),
		len(values)*int(unsafe.Sizeof(zero)))
	return &Column{typ: typ, rows: len(values), valid: valid, fixed: raw}
}

// BoolColumn returns a dense Bool column of rows bits, which it owns from now on.
func BoolColumn(bits Bitmap, rows int, valid Bitmap) *Column {
	return &Column{typ: Of(Bool), rows: rows, valid: valid, fixed: bits}
}

// TextColumn returns a dense String, Binary or JSON column; offsets has rows+1 entries.
func TextColumn(typ Type, offsets []int32, bytes []byte, valid Bitmap) *Column {
	if !typ.Text() || len(offsets) == 0 {
		panic("batch: text column of " + typ.String())
	}
	return &Column{typ: typ, rows: len(offsets) - 1, valid: valid, offsets: offsets, bytes: bytes}
}

// NullColumn returns a column of rows nulls of any type.
func NullColumn(typ Type, rows int) *Column {
	c := &Column{typ: typ, rows: rows, valid: NewBitmap(rows)}
	switch {
	case typ.Text():
		c.offsets = make([]int32, rows+1)
	case typ.Kind == List || typ.Kind == Map:
		c.offsets = make([]int32, rows+1)
		for _, f := range typ.Fields {
			c.children = append(c.children, NullColumn(f.Type, 0))
		}
	case typ.Kind == Struct:
		for _, f := range typ.Fields {
			c.children = append(c.children, NullColumn(f.Type, rows))
		}
	case typ.Kind == Bool:
		c.fixed = NewBitmap(rows)
	case typ.Kind == Foreign:
		// MakeArrayOfNull leaves buffers of unions out.
		nulls := array.NewBuilder(memory.DefaultAllocator, typ.arrow)
		nulls.AppendNulls(rows)
		c.foreign = nulls.NewArray()
	default:
		c.fixed = make([]byte, rows*typ.Width())
	}
	return c
}

// ListColumn returns a dense List (one child) or Map (key and value children) column.
func ListColumn(typ Type, offsets []int32, children []*Column, valid Bitmap) *Column {
	return &Column{typ: typ, rows: len(offsets) - 1, valid: valid, offsets: offsets, children: children}
}

// StructColumn returns a dense Struct column of rows rows over its members.
func StructColumn(typ Type, rows int, children []*Column, valid Bitmap) *Column {
	return &Column{typ: typ, rows: rows, valid: valid, children: children}
}

// LazyColumn returns a column of raw text: cell number cell of each record in spans, to be read
// as typ where an operation needs values.
func LazyColumn(typ Type, spans *Spans, cell int) *Column {
	return &Column{typ: typ, rows: spans.Rows(), spans: spans, cell: cell}
}

// As returns the column under another type of equal layout (String and JSON and Binary; Timestamp
// of another zone). It panics when layouts differ.
func (c *Column) As(typ Type) *Column {
	same := typ.Text() && c.typ.Text() || typ.Width() == c.typ.Width() && typ.Width() > 0
	if !same && c.spans == nil {
		panic(fmt.Sprintf("batch: %s as %s", c.typ, typ))
	}
	d := *c
	d.typ, d.source = typ, nil
	return &d
}
