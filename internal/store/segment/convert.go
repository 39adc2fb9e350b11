package segment

import (
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/tapeline/tapeline/batch"
)

// AppendBatch appends the rows of a dense batch without selection. Columns go by name and must have
// the block's types; a nullable column the batch lacks is NULL, others of the batch are ignored.
func (b *Block) AppendBatch(in *batch.Batch) error {
	if in.Selection() != nil {
		return fmt.Errorf("block of %s: the batch has a selection: make it dense first", b.schema.dataset)
	}
	columns := make([]*batch.Column, len(b.schema.columns))
	for i, c := range b.schema.columns {
		if !b.Has(i) {
			continue
		}
		at := in.Schema().Index(c.Name)
		if at < 0 {
			if !c.Nullable {
				return fmt.Errorf("block of %s: the batch lacks the required column %q",
					b.schema.dataset, c.Name)
			}
			columns[i] = batch.NullColumn(c.Type, in.Rows())
			continue
		}
		columns[i] = in.Column(at)
		if err := checkColumn(c, columns[i]); err != nil {
			return fmt.Errorf("block of %s: column %q: %w", b.schema.dataset, c.Name, err)
		}
	}
	for i, c := range columns {
		if c != nil {
			b.Vectors[i].appendColumn(b.schema.kinds[i], b.rows, c)
		}
	}
	b.rows += in.Rows()
	return nil
}

// AppendColumn appends a dense column to the vector of a column whose values lie as the batch's do; a
// decimal of the block must hold its values. Who appends columns ends with SetLen.
func (b *Block) AppendColumn(i int, c *batch.Column) {
	b.Vectors[i].appendColumn(b.schema.kinds[i], b.rows, c)
}

func checkColumn(c Column, in *batch.Column) error {
	switch {
	case in.Lazy():
		return fmt.Errorf("is still text: make the batch dense first")
	case !in.Type().Equal(c.Type):
		return fmt.Errorf("the batch has %s for %s", in.Type(), c.Type)
	}
	if valid := in.Validity(); valid != nil && !c.Nullable {
		if nulls := in.Len() - valid.Count(in.Len()); nulls > 0 {
			return fmt.Errorf("has %d NULLs but is required", nulls)
		}
	}
	if c.Type.Kind == batch.Decimal && c.Type.Precision <= narrowDigits {
		for row, v := range batch.Values[decimal128.Num](in) {
			if !v.FitsInPrecision(int32(c.Type.Precision)) && !in.IsNull(row) {
				return fmt.Errorf("row %d: %s has more than %d digits", row,
					v.ToString(int32(c.Type.Scale)), c.Type.Precision)
			}
		}
	}
	return nil
}

func (v *Vector) appendColumn(k kind, at int, c *batch.Column) {
	rows := c.Len()
	source := Vector{Valid: c.Validity()}
	switch k {
	case kindBool:
		source.Bits = c.Bits()
	case kindInt32:
		source.Int32s = batch.Values[int32](c)
	case kindInt64:
		if c.Type().Kind != batch.Decimal {
			source.Int64s = batch.Values[int64](c)
			break
		}
		source.Int64s = make([]int64, rows)
		for i, d := range batch.Values[decimal128.Num](c) {
			source.Int64s[i] = int64(d.LowBits())
		}
	case kindFloat:
		source.Floats = batch.Values[float64](c)
	case kindWide:
		source.Wide = batch.Values[decimal128.Num](c)
	case kindText:
		source.Offsets, source.Bytes = c.Text()
	}
	v.appendRange(k, at, &source, 0, rows)
}

// Batch returns the block's columns as a batch, in the schema's order. It shares memory with the
// block: it is valid until the block changes.
func (b *Block) Batch() *batch.Batch {
	var fields []batch.Field
	var columns []*batch.Column
	for i, c := range b.schema.columns {
		if b.Has(i) {
			fields = append(fields, batch.Field{Name: c.Name, Type: c.Type, Nullable: c.Nullable})
			columns = append(columns, b.Column(i))
		}
	}
	return batch.New(batch.NewSchema(fields...), columns, b.rows)
}

// Column returns one column as a batch's, sharing memory with the block where the layouts agree:
// valid until the block changes.
func (b *Block) Column(i int) *batch.Column {
	v, typ := &b.Vectors[i], b.schema.columns[i].Type
	var valid batch.Bitmap
	if len(v.Valid) > 0 {
		valid = v.Valid
	}
	switch b.schema.kinds[i] {
	case kindBool:
		return batch.BoolColumn(v.Bits, b.rows, valid)
	case kindInt32:
		return batch.FixedColumn(typ, v.Int32s[:b.rows:b.rows], valid)
	case kindFloat:
		return batch.FixedColumn(typ, v.Floats[:b.rows:b.rows], valid)
	case kindWide:
		return batch.FixedColumn(typ, v.Wide[:b.rows:b.rows], valid)
	case kindText:
		if len(v.Offsets) == 0 {
			return batch.TextColumn(typ, []int32{0}, nil, valid)
		}
		return batch.TextColumn(typ, slices.Clip(v.Offsets), v.Bytes, valid)
	case kindInt64:
	}
	if typ.Kind != batch.Decimal {
		return batch.FixedColumn(typ, v.Int64s[:b.rows:b.rows], valid)
	}
	wide := make([]decimal128.Num, b.rows)
	for row, unscaled := range v.Int64s {
		wide[row] = decimal128.FromI64(unscaled)
	}
	return batch.FixedColumn(typ, wide, valid)
}
