package baostock

import (
	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/tapeline/tapeline/batch"
)

// column is the memory of one column of a batch, written by row number: a row that turns out to be
// bad is written over by the next.
type column struct {
	field    batch.Field
	bound    bool // something writes it; otherwise it is NULL
	nulls    bool
	valid    batch.Bitmap // set where no NULL was written
	bits     batch.Bitmap
	shorts   []int32
	longs    []int64
	decimals []decimal128.Num
	offsets  []int32
	text     []byte
}

// reset makes room for rows.
func (c *column) reset(field batch.Field, rows int) {
	c.field, c.bound, c.nulls = field, false, false
	size := (rows + 7) / 8
	if field.Nullable {
		c.valid = room(c.valid, size)
		for i := range c.valid {
			c.valid[i] = 0xff
		}
	}
	switch field.Type.Kind {
	case batch.Bool:
		c.bits = room(c.bits, size)
		clear(c.bits)
	case batch.Date:
		c.shorts = room(c.shorts, rows)
	case batch.Decimal:
		c.decimals = room(c.decimals, rows)
	case batch.String:
		c.offsets = room(c.offsets, rows+1)
		c.offsets[0], c.text = 0, c.text[:0]
	default:
		c.longs = room(c.longs, rows)
	}
}

func room[S ~[]E, E any](s S, n int) S {
	if cap(s) < n {
		return make(S, n)
	}
	return s[:n]
}

// null writes a NULL.
func (c *column) null(row int) {
	c.nulls = true
	c.valid.Clear(row)
	switch c.field.Type.Kind {
	case batch.Bool:
		c.bits.Clear(row)
	case batch.Date:
		c.shorts[row] = 0
	case batch.Decimal:
		c.decimals[row] = decimal128.Num{}
	case batch.String:
		c.setText(row, nil)
	default:
		c.longs[row] = 0
	}
}

// unset takes back what was written of a row that is bad.
func (c *column) unset(row int) {
	if c.nulls {
		c.valid.Set(row)
	}
}

func (c *column) setBool(row int, v bool) {
	if v {
		c.bits.Set(row)
	} else {
		c.bits.Clear(row)
	}
}

func (c *column) setText(row int, text []byte) {
	c.text = append(c.text[:c.offsets[row]], text...)
	c.offsets[row+1] = int32(len(c.text))
}

// column returns the first rows as a column that refers to the memory.
func (c *column) column(rows int) *batch.Column {
	if !c.bound {
		return batch.NullColumn(c.field.Type, rows)
	}
	size := (rows + 7) / 8
	var valid batch.Bitmap
	if c.nulls {
		valid = c.valid[:size]
		if rest := rows % 8; rest != 0 {
			valid[size-1] &= 1<<rest - 1
		}
	}
	switch typ := c.field.Type; typ.Kind {
	case batch.Bool:
		return batch.BoolColumn(c.bits[:size], rows, valid)
	case batch.Date:
		return batch.FixedColumn(typ, c.shorts[:rows], valid)
	case batch.Decimal:
		return batch.FixedColumn(typ, c.decimals[:rows], valid)
	case batch.String:
		return batch.TextColumn(typ, c.offsets[:rows+1], c.text, valid)
	default:
		return batch.FixedColumn(typ, c.longs[:rows], valid)
	}
}
