package batch

import (
	"fmt"
	"time"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
)

// DecimalValue is one exact decimal: Unscaled / 10^Scale.
type DecimalValue struct {
	Unscaled decimal128.Num
	Scale    int
}

// String returns the number with exactly Scale fractional digits.
func (d DecimalValue) String() string { return string(AppendDecimal(nil, d.Unscaled, d.Scale)) }

// Int returns a signed integer row (Int8..Int64, Date, Time, Timestamp, Duration) as int64.
func (c *Column) Int(row int) int64 {
	switch c.typ.Kind {
	case Int8:
		return int64(Values[int8](c)[row])
	case Int16:
		return int64(Values[int16](c)[row])
	case Int32, Date:
		return int64(Values[int32](c)[row])
	}
	return Values[int64](c)[row]
}

// Uint returns an unsigned integer row (Uint8..Uint64) as uint64.
func (c *Column) Uint(row int) uint64 {
	switch c.typ.Kind {
	case Uint8:
		return uint64(Values[uint8](c)[row])
	case Uint16:
		return uint64(Values[uint16](c)[row])
	case Uint32:
		return uint64(Values[uint32](c)[row])
	}
	return Values[uint64](c)[row]
}

// Float returns a Float32 or Float64 row as float64.
func (c *Column) Float(row int) float64 {
	if c.typ.Kind == Float32 {
		return float64(Values[float32](c)[row])
	}
	return Values[float64](c)[row]
}

// Value returns a dense column's row boxed, for interpreters, tests and slow paths: nil, bool,
// int64, uint64, float64, DecimalValue, string (also JSON), []byte, time.Time (Date and Timestamp,
// in UTC or the type's zone), time.Duration (Time since midnight, Duration), []any, map[string]any.
func (c *Column) Value(row int) any {
	if c.IsNull(row) {
		return nil
	}
	switch c.typ.Kind {
	case Bool:
		return c.Bits().Get(row)
	case Int8, Int16, Int32, Int64:
		return c.Int(row)
	case Uint8, Uint16, Uint32, Uint64:
		return c.Uint(row)
	case Float32, Float64:
		return c.Float(row)
	case Decimal:
		return DecimalValue{Values[decimal128.Num](c)[row], int(c.typ.Scale)}
	case String, JSON:
		return string(c.Bytes(row))
	case Binary:
		return append([]byte{}, c.Bytes(row)...)
	case Date:
		return time.Unix(c.Int(row)*86400, 0).UTC()
	case Time, Duration:
		return time.Duration(c.Int(row) * (int64(1e9) / c.typ.Unit.PerSecond()))
	case Timestamp:
		return c.timeAt(row)
	case List:
		list := make([]any, 0, c.offsets[row+1]-c.offsets[row])
		for i := c.offsets[row]; i < c.offsets[row+1]; i++ {
			list = append(list, c.children[0].Value(int(i)))
		}
		return list
	case Struct:
		members := make(map[string]any, len(c.children))
		for i, f := range c.typ.Fields {
			members[f.Name] = c.children[i].Value(row)
		}
		return members
	case Map:
		entries := map[string]any{}
		for i := c.offsets[row]; i < c.offsets[row+1]; i++ {
			entries[fmt.Sprint(c.children[0].Value(int(i)))] = c.children[1].Value(int(i))
		}
		return entries
	case Foreign:
		return c.foreign.ValueStr(row)
	}
	return nil
}

func (c *Column) timeAt(row int) time.Time {
	v, per := c.Int(row), c.typ.Unit.PerSecond()
	seconds, rest := v/per, v%per
	return time.Unix(seconds, rest*(int64(1e9)/per)).In(c.typ.Location())
}
