package expr

import (
	"math/bits"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
)

// intLoop computes a op b without failing rows; false means that some row overflowed, and that
// the rows must be looked at one by one.
func intLoop(op arithmetic, a, b, out []int64, rows []int32) bool {
	if rows != nil {
		return intLoopOf(op, a, b, out, rows)
	}
	b, out = b[:len(a)], out[:len(a)]
	var bad int64
	switch op {
	case add:
		for i, x := range a {
			y := b[i]
			sum := x + y
			bad |= (x ^ sum) & (y ^ sum)
			out[i] = sum
		}
	case subtract:
		for i, x := range a {
			y := b[i]
			difference := x - y
			bad |= (x ^ y) & (x ^ difference)
			out[i] = difference
		}
	default:
		for i, x := range a {
			var overflow int64
			out[i], overflow = multiplyInt(x, b[i])
			bad |= overflow
		}
	}
	return bad >= 0
}

func intLoopOf(op arithmetic, a, b, out []int64, rows []int32) bool {
	var bad int64
	switch op {
	case add:
		for _, row := range rows {
			x, y := a[row], b[row]
			sum := x + y
			bad |= (x ^ sum) & (y ^ sum)
			out[row] = sum
		}
	case subtract:
		for _, row := range rows {
			x, y := a[row], b[row]
			difference := x - y
			bad |= (x ^ y) & (x ^ difference)
			out[row] = difference
		}
	default:
		for _, row := range rows {
			var overflow int64
			out[row], overflow = multiplyInt(a[row], b[row])
			bad |= overflow
		}
	}
	return bad >= 0
}

// multiplyInt returns the product and a negative number if it overflowed.
func multiplyInt(x, y int64) (product, overflow int64) {
	high, low := bits.Mul64(uint64(x), uint64(y))
	signed := int64(high) - x>>63&y - y>>63&x
	if product = int64(low); signed != product>>63 {
		return 0, -1
	}
	return product, 0
}

// uintLoop is intLoop for unsigned integers.
func uintLoop(op arithmetic, a, b, out []uint64, rows []int32) bool {
	var bad uint64
	each := func(i int) {
		var carry uint64
		switch op {
		case add:
			out[i], carry = bits.Add64(a[i], b[i], 0)
		case subtract:
			out[i], carry = bits.Sub64(a[i], b[i], 0)
		default:
			carry, out[i] = bits.Mul64(a[i], b[i])
		}
		bad |= carry
	}
	if rows == nil {
		for i := range a {
			each(i)
		}
	}
	for _, row := range rows {
		each(int(row))
	}
	return bad == 0
}

func floatLoop(op arithmetic, a, b, out []float64, rows []int32) {
	if rows != nil {
		for _, row := range rows {
			out[row] = calculateFloat(op, a[row], b[row])
		}
		return
	}
	b, out = b[:len(a)], out[:len(a)]
	switch op {
	case add:
		for i, x := range a {
			out[i] = x + b[i]
		}
	case subtract:
		for i, x := range a {
			out[i] = x - b[i]
		}
	case multiply:
		for i, x := range a {
			out[i] = x * b[i]
		}
	case divide:
		for i, x := range a {
			out[i] = x / b[i]
		}
	default:
		for i, x := range a {
			out[i] = calculateFloat(remainder, x, b[i])
		}
	}
}

// decimalLoop computes sums, differences and products of decimals that fit 64 bits; false means
// that the rows must be looked at one by one.
func decimalLoop(n *node, operands [2][]decimal128.Num, out []decimal128.Num, rows []int32) bool {
	scaleA, scaleB, scale := scaleOf(n.args[0].typ), scaleOf(n.args[1].typ), int(n.typ.Scale)
	factorA, factorB := int64(1), int64(1)
	switch {
	case n.arithmetic > multiply || n.arithmetic != multiply && max(scale-scaleA, scale-scaleB) > 18:
		return false
	case n.arithmetic != multiply:
		factorA, factorB = pow10[scale-scaleA], pow10[scale-scaleB]
	}
	a, b := operands[0], operands[1]
	count := len(a)
	if rows != nil {
		count = len(rows)
	}
	for i := range count {
		row := i
		if rows != nil {
			row = int(rows[i])
		}
		x, y := int64(a[row].LowBits()), int64(b[row].LowBits())
		if a[row].HighBits() != x>>63 || b[row].HighBits() != y>>63 {
			return false
		}
		if n.arithmetic == multiply {
			high, low := multiplyWide(x, y)
			out[row] = decimal128.New(high, low)
			continue
		}
		highA, lowA := multiplyWide(x, factorA)
		highB, lowB := multiplyWide(y, factorB)
		var carry uint64
		if n.arithmetic == add {
			lowA, carry = bits.Add64(lowA, lowB, 0)
			highA += highB + int64(carry)
		} else {
			lowA, carry = bits.Sub64(lowA, lowB, 0)
			highA -= highB + int64(carry)
		}
		out[row] = decimal128.New(highA, lowA)
	}
	return true
}

// multiplyWide returns the 128-bit product.
func multiplyWide(x, y int64) (high int64, low uint64) {
	h, low := bits.Mul64(uint64(x), uint64(y))
	return int64(h) - x>>63&y - y>>63&x, low
}
