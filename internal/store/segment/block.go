package segment

import (
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/tapeline/tapeline/batch"
)

// Vector is the values of one column. Which slice is in use follows from the column's type. A
// NULL read from a segment has the value zero (an empty text); one that is written may have any.
type Vector struct {
	Int32s  []int32          // Int32, Date (days)
	Int64s  []int64          // Int64, Timestamp (units), Decimal of up to 18 digits (unscaled)
	Floats  []float64        // Float64
	Wide    []decimal128.Num // Decimal of more digits (unscaled)
	Bits    batch.Bitmap     // Bool
	Offsets []int32          // String: rows+1 offsets into Bytes; empty while there are no rows
	Bytes   []byte           // String
	Valid   batch.Bitmap     // bits of rows that are not NULL; empty: none is
}

// Null reports whether a row is NULL.
func (v *Vector) Null(row int) bool { return len(v.Valid) > 0 && !v.Valid.Get(row) }

// Text returns a row of a String column, without copying.
func (v *Vector) Text(row int) []byte { return v.Bytes[v.Offsets[row]:v.Offsets[row+1]] }

// Block is rows of a schema's columns in typed slices that are reused: Reset keeps their memory.
// A block that was read with some columns only has no values in the others.
type Block struct {
	// Vectors holds one vector for each of the schema's columns. Who fills them by hand ends with
	// SetLen.
	Vectors []Vector

	schema *Schema
	has    []bool // nil: all
	rows   int
}

// NewBlock returns an empty block of all columns.
func NewBlock(schema *Schema) *Block {
	b := &Block{}
	b.Reset(schema, nil)
	return b
}

// Reset empties the block and makes it one of the given columns of a schema; nil means all.
func (b *Block) Reset(schema *Schema, columns []int) {
	b.schema, b.rows = schema, 0
	b.Vectors = slices.Grow(b.Vectors[:0], len(schema.columns))[:len(schema.columns)]
	for i := range b.Vectors {
		b.Vectors[i].reset()
	}
	if columns == nil {
		b.has = nil
		return
	}
	b.has = slices.Grow(b.has[:0], len(schema.columns))[:len(schema.columns)]
	clear(b.has)
	for _, i := range columns {
		b.has[i] = true
	}
	if !slices.Contains(b.has, false) {
		b.has = nil
	}
}

// clear empties the block and keeps its columns.
func (b *Block) clear() {
	b.rows = 0
	for i := range b.Vectors {
		b.Vectors[i].reset()
	}
}

// grow makes room for n more rows.
func (b *Block) grow(n int) {
	const padding = 8 // what a decoder may write behind
	for i := range b.Vectors {
		if !b.Has(i) {
			continue
		}
		v := &b.Vectors[i]
		switch b.schema.kinds[i] {
		case kindInt32:
			v.Int32s = slices.Grow(v.Int32s, n+padding)
		case kindInt64:
			v.Int64s = slices.Grow(v.Int64s, n+padding)
		case kindFloat:
			v.Floats = slices.Grow(v.Floats, n)
		case kindWide:
			v.Wide = slices.Grow(v.Wide, n)
		case kindBool:
			v.Bits = slices.Grow(v.Bits, bitmapBytes(n)+1)
		case kindText:
			v.Offsets = slices.Grow(v.Offsets, n+1)
		}
	}
}

func (v *Vector) reset() {
	*v = Vector{
		v.Int32s[:0], v.Int64s[:0], v.Floats[:0], v.Wide[:0], v.Bits[:0], v.Offsets[:0], v.Bytes[:0],
		v.Valid[:0],
	}
}

// Schema returns the schema.
func (b *Block) Schema() *Schema { return b.schema }

// Len returns the number of rows.
func (b *Block) Len() int { return b.rows }

// Has reports whether the block holds values of a column.
func (b *Block) Has(column int) bool { return b.has == nil || b.has[column] }

// SetLen states how many rows the vectors hold after they were filled by hand; a vector of another
// length or NULLs in a required column are errors.
func (b *Block) SetLen(rows int) error {
	for i, c := range b.schema.columns {
		if !b.Has(i) {
			continue
		}
		if err := b.Vectors[i].check(c, b.schema.kinds[i], rows); err != nil {
			return fmt.Errorf("block of %s: column %q: %w", b.schema.dataset, c.Name, err)
		}
	}
	b.rows = rows
	return nil
}

// AppendRange appends rows from..to-1 of a block of an equal schema and the same columns.
func (b *Block) AppendRange(source *Block, from, to int) {
	for i := range b.Vectors {
		if b.Has(i) {
			b.Vectors[i].appendRange(b.schema.kinds[i], b.rows, &source.Vectors[i], from, to)
		}
	}
	b.rows += to - from
}

// MemoryBytes returns the size of the values.
func (b *Block) MemoryBytes() int64 {
	var n int
	for i := range b.Vectors {
		v := &b.Vectors[i]
		n += 4*cap(v.Int32s) + 8*cap(v.Int64s) + 8*cap(v.Floats) + 16*cap(v.Wide) + cap(v.Bits) +
			4*cap(v.Offsets) + cap(v.Bytes) + cap(v.Valid)
	}
	return int64(n)
}

// CompareKeys orders row i of a against row j of b, blocks of the same schema that hold its key.
func CompareKeys(a *Block, i int, b *Block, j int) int {
	for k := range a.schema.key {
		x, y := &a.Vectors[k], &b.Vectors[k]
		if order := compareAt(a.schema.kinds[k], x, i, y, j); order != 0 {
			return order
		}
	}
	return 0
}
