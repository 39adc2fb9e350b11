package expr

import (
	"bytes"
	"math"
	"math/big"
	"math/bits"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/tapeline/tapeline/batch"
)

// Reasons of failed rows.
const (
	reasonOverflow = "the result is out of range"
	reasonZero     = "division by zero"
)

func power10(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

// small reports whether a decimal fits 64 bits.
func small(d decimal128.Num) bool { return d.HighBits() == int64(d.LowBits())>>63 }

func fitBig(v *big.Int, precision int) (decimal128.Num, bool) {
	if v.BitLen() > 126 {
		return decimal128.Num{}, false
	}
	d := decimal128.FromBigInt(v)
	return d, d.FitsInPrecision(int32(precision))
}

// divideRounded divides rounding half away from zero.
func divideRounded(a, b *big.Int) *big.Int {
	rest := new(big.Int)
	q, rest := new(big.Int).QuoRem(a, b, rest)
	if rest.Abs(rest).Lsh(rest, 1).CmpAbs(b) >= 0 {
		if a.Sign()*b.Sign() < 0 {
			return q.Sub(q, big.NewInt(1))
		}
		return q.Add(q, big.NewInt(1))
	}
	return q
}

// pow10 are the powers of ten of int64.
var pow10 = [...]int64{
	1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17,
	1e18,
}

// rescale changes a decimal's scale, rounding half away from zero.
func rescale(d decimal128.Num, from, to, precision int) (decimal128.Num, bool) {
	if from == to {
		return d, d.FitsInPrecision(int32(precision))
	}
	if to > from && to-from <= 18 && small(d) {
		if product, ok := multiplySmall(int64(d.LowBits()), pow10[to-from]); ok {
			return product, product.FitsInPrecision(int32(precision))
		}
	}
	if to < from && from-to <= 18 && small(d) {
		v, factor := int64(d.LowBits()), pow10[from-to]
		q, rest := v/factor, v%factor
		switch {
		case rest >= factor-factor/2 && rest > 0:
			q++
		case -rest >= factor-factor/2 && rest < 0:
			q--
		}
		out := decimal128.FromI64(q)
		return out, out.FitsInPrecision(int32(precision))
	}
	v := d.BigInt()
	if to > from {
		v.Mul(v, power10(to-from))
	} else {
		v = divideRounded(v, power10(from-to))
	}
	return fitBig(v, precision)
}

// truncated returns the whole part.
func truncated(d decimal128.Num, scale int) decimal128.Num {
	if scale == 0 {
		return d
	}
	if small(d) && scale <= 18 {
		return decimal128.FromI64(int64(d.LowBits()) / pow10[scale])
	}
	v := d.BigInt()
	return decimal128.FromBigInt(v.Quo(v, power10(scale)))
}

// multiplySmall multiplies exactly.
func multiplySmall(a, b int64) (decimal128.Num, bool) {
	high, low := bits.Mul64(uint64(a), uint64(b))
	signed := int64(high)
	if a < 0 {
		signed -= b
	}
	if b < 0 {
		signed -= a
	}
	return decimal128.New(signed, low), true
}

// decimalToFloat rounds to the nearest float.
func decimalToFloat(d decimal128.Num, scale int) float64 {
	if small(d) && scale <= 18 {
		if v := int64(d.LowBits()); v > -1<<53 && v < 1<<53 {
			return float64(v) / float64(pow10[scale])
		}
	}
	f, _ := strconv.ParseFloat(string(batch.AppendDecimal(nil, d, scale)), 64)
	return f
}

// compareNumbers orders two numbers of any kinds exactly; ok is false when one is NaN.
func compareNumbers(x batch.Type, a value, y batch.Type, b value) (order int, ok bool) {
	switch {
	case x.Kind == batch.Float64 && y.Kind == batch.Float64:
		return compareFloats(a.float(), b.float())
	case x.Kind == batch.Float64:
		order, ok = compareFloat(y, b, a.float())
		return -order, ok
	case y.Kind == batch.Float64:
		return compareFloat(x, a, b.float())
	case x.Kind == batch.Decimal || y.Kind == batch.Decimal:
		return compareDecimals(asDecimal(x, a), scaleOf(x), asDecimal(y, b), scaleOf(y)), true
	case x.Kind == y.Kind && x.Kind == batch.Int64:
		return compareOrdered(a.int(), b.int()), true
	case x.Kind == y.Kind:
		return compareOrdered(a.uint(), b.uint()), true
	case x.Kind == batch.Uint64:
		if b.int() < 0 {
			return 1, true
		}
	case a.int() < 0:
		return -1, true
	}
	return compareOrdered(a.uint(), b.uint()), true
}

func compareOrdered[T int64 | uint64 | float64](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func compareFloats(a, b float64) (int, bool) {
	return compareOrdered(a, b), a == a && b == b
}

// compareFloat orders an integer or decimal and a float. Rounding to float keeps order, so only
// equal images need the exact comparison.
func compareFloat(typ batch.Type, v value, f float64) (order int, ok bool) {
	if math.IsNaN(f) {
		return 0, false
	}
	image, _ := castFloat(typ, v)
	if order := compareOrdered(image.float(), f); order != 0 {
		return order, true
	}
	if math.IsInf(f, 0) {
		return -1, true
	}
	exact := new(big.Rat).SetFrac(asDecimal(typ, v).BigInt(), power10(scaleOf(typ)))
	return exact.Cmp(new(big.Rat).SetFloat64(f)), true
}

func scaleOf(t batch.Type) int {
	if t.Kind == batch.Decimal {
		return int(t.Scale)
	}
	return 0
}

func asDecimal(t batch.Type, v value) decimal128.Num {
	switch t.Kind {
	case batch.Decimal:
		return v.decimal()
	case batch.Uint64:
		return decimal128.FromU64(v.uint())
	}
	return decimal128.FromI64(v.int())
}

// compareDecimals orders decimals of any scales.
func compareDecimals(a decimal128.Num, scaleA int, b decimal128.Num, scaleB int) int {
	if scaleA == scaleB {
		if a.HighBits() != b.HighBits() {
			return compareOrdered(a.HighBits(), b.HighBits())
		}
		return compareOrdered(a.LowBits(), b.LowBits())
	}
	if scaleA > scaleB {
		return -compareDecimals(b, scaleB, a, scaleA)
	}
	if small(a) && scaleB-scaleA <= 18 {
		product, _ := multiplySmall(int64(a.LowBits()), pow10[scaleB-scaleA])
		return compareDecimals(product, scaleB, b, scaleB)
	}
	v := a.BigInt()
	return v.Mul(v, power10(scaleB-scaleA)).Cmp(b.BigInt())
}

// compareValues orders two values of an opCompare.
func compareValues(x batch.Type, a value, y batch.Type, b value) (order int, ok bool) {
	switch {
	case x.Numeric():
		return compareNumbers(x, a, y, b)
	case x.Text():
		return bytes.Compare(a.text, b.text), true
	}
	return compareOrdered(a.int(), b.int()), true
}

// calculate computes an opArithmetic of two values that are not NULL.
func calculate(n *node, a, b value) (value, string) {
	switch n.typ.Kind {
	case batch.Int64:
		return calculateInt(n.arithmetic, a.int(), b.int())
	case batch.Uint64:
		return calculateUint(n.arithmetic, a.uint(), b.uint())
	case batch.Float64:
		if n.checkZero && b.float() == 0 {
			return nullValue(), reasonZero
		}
		return floatValue(calculateFloat(n.arithmetic, a.float(), b.float())), ""
	}
	return calculateDecimal(n, a.decimal(), b.decimal())
}

func calculateInt(op arithmetic, a, b int64) (value, string) {
	switch op {
	case add:
		sum := a + b
		if (a^sum)&(b^sum) < 0 {
			return nullValue(), reasonOverflow
		}
		return intValue(sum), ""
	case subtract:
		difference := a - b
		if (a^b)&(a^difference) < 0 {
			return nullValue(), reasonOverflow
		}
		return intValue(difference), ""
	case multiply:
		product, _ := multiplySmall(a, b)
		if !small(product) {
			return nullValue(), reasonOverflow
		}
		return intValue(int64(product.LowBits())), ""
	}
	switch b {
	case 0:
		return nullValue(), reasonZero
	case -1:
		return intValue(0), ""
	}
	return intValue(a % b), ""
}

func calculateUint(op arithmetic, a, b uint64) (value, string) {
	var out, carry uint64
	switch op {
	case add:
		out, carry = bits.Add64(a, b, 0)
	case subtract:
		out, carry = bits.Sub64(a, b, 0)
	case multiply:
		carry, out = bits.Mul64(a, b)
	default:
		if b == 0 {
			return nullValue(), reasonZero
		}
		out = a % b
	}
	if carry != 0 {
		return nullValue(), reasonOverflow
	}
	return uintValue(out), ""
}

func calculateFloat(op arithmetic, a, b float64) float64 {
	switch op {
	case add:
		return a + b
	case subtract:
		return a - b
	case multiply:
		return a * b
	case divide:
		return a / b
	}
	return math.Mod(a, b)
}

// calculateDecimal computes at the scales of the node's arguments and type.
func calculateDecimal(n *node, a, b decimal128.Num) (value, string) {
	scaleA, scaleB := scaleOf(n.args[0].typ), scaleOf(n.args[1].typ)
	scale, precision := int(n.typ.Scale), int(n.typ.Precision)
	if (n.arithmetic == divide || n.arithmetic == remainder) && b.Sign() == 0 {
		return nullValue(), reasonZero
	}
	if d, ok := decimalFast(n.arithmetic, a, b, [3]int{scaleA, scaleB, scale}); ok {
		if !d.FitsInPrecision(int32(precision)) {
			return nullValue(), reasonOverflow
		}
		return decimalValue(d), ""
	}
	x, y := a.BigInt(), b.BigInt()
	switch n.arithmetic {
	case multiply:
		x.Mul(x, y)
	case divide:
		// x/10^sa / (y/10^sb) * 10^s = x * 10^(s-sa+sb) / y
		if shift := scale - scaleA + scaleB; shift >= 0 {
			x.Mul(x, power10(shift))
		} else {
			y.Mul(y, power10(-shift))
		}
		x = divideRounded(x, y)
	default:
		x.Mul(x, power10(scale-scaleA))
		y.Mul(y, power10(scale-scaleB))
		switch n.arithmetic {
		case add:
			x.Add(x, y)
		case subtract:
			x.Sub(x, y)
		default:
			x.Rem(x, y)
		}
	}
	d, ok := fitBig(x, precision)
	if !ok {
		return nullValue(), reasonOverflow
	}
	return decimalValue(d), ""
}

// decimalFast computes sums and products of operands that fit 64 bits; scales are those of the
// two operands and of the result.
func decimalFast(op arithmetic, a, b decimal128.Num, scales [3]int) (decimal128.Num, bool) {
	if !small(a) || !small(b) {
		return decimal128.Num{}, false
	}
	x, y := int64(a.LowBits()), int64(b.LowBits())
	switch op {
	case multiply:
		return multiplySmall(x, y)
	case add, subtract:
		shiftA, shiftB := scales[2]-scales[0], scales[2]-scales[1]
		if shiftA > 18 || shiftB > 18 {
			return decimal128.Num{}, false
		}
		left, _ := multiplySmall(x, pow10[shiftA])
		right, _ := multiplySmall(y, pow10[shiftB])
		if op == subtract {
			return left.Sub(right), true
		}
		return left.Add(right), true
	}
	return decimal128.Num{}, false
}
