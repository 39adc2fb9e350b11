package expr

import (
	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/tapeline/tapeline/batch"
)

type number interface {
	int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64 | float32 | float64
}

// widenColumn converts between numbers where no row can fail; nil for other types.
func (e *Eval) widenColumn(n *node, c *batch.Column, rows []int32) *batch.Column {
	switch from := c.Type().Kind; n.typ.Kind {
	case batch.Int64:
		switch from {
		case batch.Int8:
			return convert[int8, int64](e, n, c, rows)
		case batch.Int16:
			return convert[int16, int64](e, n, c, rows)
		case batch.Int32:
			return convert[int32, int64](e, n, c, rows)
		}
	case batch.Uint64:
		switch from {
		case batch.Uint8:
			return convert[uint8, uint64](e, n, c, rows)
		case batch.Uint16:
			return convert[uint16, uint64](e, n, c, rows)
		case batch.Uint32:
			return convert[uint32, uint64](e, n, c, rows)
		}
	case batch.Float64:
		switch from {
		case batch.Int32:
			return convert[int32, float64](e, n, c, rows)
		case batch.Int64:
			return convert[int64, float64](e, n, c, rows)
		case batch.Uint64:
			return convert[uint64, float64](e, n, c, rows)
		case batch.Float32:
			return convert[float32, float64](e, n, c, rows)
		}
	case batch.Decimal:
		if from == batch.Int64 && n.typ.Scale == 0 && n.typ.Precision >= 19 {
			return integersAsDecimals(n.typ, c, rows)
		}
	}
	return nil
}

func convert[From, To number](e *Eval, n *node, c *batch.Column, rows []int32) *batch.Column {
	column := batch.FixedColumn(n.typ, e.fixed(n), c.Validity())
	values, out := numbers[From](c), numbers[To](column)
	if rows == nil {
		out = out[:len(values)]
		for i, v := range values {
			out[i] = To(v)
		}
		return column
	}
	for _, row := range rows {
		out[row] = To(values[row])
	}
	return column
}

func integersAsDecimals(typ batch.Type, c *batch.Column, rows []int32) *batch.Column {
	values := batch.Values[int64](c)
	out := make([]decimal128.Num, len(values))
	if rows == nil {
		for i, v := range values {
			out[i] = decimal128.New(v>>63, uint64(v))
		}
	}
	for _, row := range rows {
		out[row] = decimal128.New(values[row]>>63, uint64(values[row]))
	}
	return batch.FixedColumn(typ, out, c.Validity())
}

// numbers is batch.Values for a type parameter.
func numbers[T number](c *batch.Column) []T {
	var out any
	switch any(*new(T)).(type) {
	case int8:
		out = batch.Values[int8](c)
	case int16:
		out = batch.Values[int16](c)
	case int32:
		out = batch.Values[int32](c)
	case int64:
		out = batch.Values[int64](c)
	case uint8:
		out = batch.Values[uint8](c)
	case uint16:
		out = batch.Values[uint16](c)
	case uint32:
		out = batch.Values[uint32](c)
	case uint64:
		out = batch.Values[uint64](c)
	case float32:
		out = batch.Values[float32](c)
	default:
		out = batch.Values[float64](c)
	}
	return out.([]T)
}
