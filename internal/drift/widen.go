package drift

import (
	"math"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/tapeline/tapeline/batch"
)

// Widens reports whether every value of one type is a value of the other.
func Widens(from, to batch.Type) bool {
	switch {
	case from.Equal(to), from.Kind == batch.Null:
		return true
	case to.Kind == batch.String:
		return from.Text() && from.Kind != batch.Binary
	case from.Kind == batch.Date && to.Kind == batch.Timestamp:
		return true
	case from.Kind == batch.Timestamp && to.Kind == batch.Timestamp:
		return from.Unit <= to.Unit && (from.Zone == "") == (to.Zone == "")
	case to.Kind == batch.Decimal && from.Kind == batch.Decimal:
		return to.Scale >= from.Scale && to.Precision-to.Scale >= from.Precision-from.Scale
	case to.Kind == batch.Decimal && from.Integer():
		return int(to.Precision-to.Scale) >= integerDigits(from)
	case to.Kind == batch.Float64:
		return from.Kind == batch.Float32 || from.Integer() && from.Width() <= 4
	case to.Kind == batch.Float32:
		return from.Integer() && from.Width() <= 2
	case from.Integer() && to.Integer():
		low, high := IntegerRange(from)
		toLow, toHigh := IntegerRange(to)
		return !low.Less(toLow) && !high.Greater(toHigh)
	}
	return false
}

func integerDigits(t batch.Type) int {
	digits := [...]int{1: 3, 2: 5, 4: 10, 8: 19}[t.Width()]
	if t.Kind == batch.Uint64 {
		digits++
	}
	return digits
}

// IntegerRange returns the least and the greatest value of an integer type.
func IntegerRange(t batch.Type) (low, high decimal128.Num) {
	bits := t.Width() * 8
	if t.Kind >= batch.Uint8 && t.Kind <= batch.Uint64 {
		return decimal128.Num{}, decimal128.FromU64(math.MaxUint64 >> (64 - bits))
	}
	most := int64(math.MaxInt64) >> (64 - bits)
	return decimal128.FromI64(-most - 1), decimal128.FromI64(most)
}
