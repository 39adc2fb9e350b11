package postgres

import (
	"encoding/binary"
	"fmt"
	"math/big"
	"math/bits"

	"github.com/tapeline/tapeline/internal/sqlkit"
)

// A numeric is digits of base 10000, most significant first: count, weight of the first digit,
// sign, decimal digits shown, digits; each 2 bytes.
const (
	numericHeader   = 8
	numericBase     = 10000
	numericPositive = 0x0000
	numericNegative = 0x4000
	numericNaN      = 0xC000
	numericInfinity = 0xD000
	numericMinusInf = 0xF000
)

// readNumeric returns the unscaled value at the scale, exactly.
func readNumeric(field []byte, precision, scale int) (sqlkit.Decimal, error) {
	var zero sqlkit.Decimal
	if len(field) < numericHeader {
		return zero, errMalformed
	}
	count := int(binary.BigEndian.Uint16(field))
	weight := int(int16(binary.BigEndian.Uint16(field[2:])))
	sign := binary.BigEndian.Uint16(field[4:])
	digits := field[numericHeader:]
	if sign == numericNaN || sign == numericInfinity || sign == numericMinusInf {
		return zero, errNotFinite
	}
	if len(digits) != 2*count || sign != numericPositive && sign != numericNegative {
		return zero, errMalformed
	}
	if count == 0 {
		return zero, nil
	}
	// value = mantissa * 10^exponent; wanted: value * 10^scale.
	shift := 4*(weight-count+1) + scale
	const fastDigits = 4 // 16 decimal digits
	if count <= fastDigits && shift >= -4 && shift < 19 {
		return shortNumeric(digits, count, sign == numericNegative, shift, precision)
	}
	return longNumeric(digits, count, sign == numericNegative, shift, precision)
}

func shortNumeric(
	digits []byte, count int, negative bool, shift, precision int,
) (sqlkit.Decimal, error) {
	var v uint64
	for i := range count {
		v = v*numericBase + uint64(binary.BigEndian.Uint16(digits[2*i:]))
	}
	for ; shift < 0; shift++ {
		if v%10 != 0 {
			return sqlkit.Decimal{}, tooFine(precision)
		}
		v /= 10
	}
	power := uint64(1)
	for ; shift > 0; shift-- {
		power *= 10
	}
	high, low := bits.Mul64(v, power)
	out := sqlkit.NewDecimal(int64(high), low)
	if !out.FitsInPrecision(int32(precision)) {
		return sqlkit.Decimal{}, errRange
	}
	if negative {
		out = out.Negate()
	}
	return out, nil
}

func longNumeric(
	digits []byte, count int, negative bool, shift, precision int,
) (sqlkit.Decimal, error) {
	const mostShift = 200 // beyond, no value of 38 digits is left
	mantissa, digit := new(big.Int), new(big.Int)
	base := big.NewInt(numericBase)
	if count > mostShift {
		return sqlkit.Decimal{}, errRange
	}
	for i := range count {
		mantissa.Mul(mantissa, base)
		digit.SetUint64(uint64(binary.BigEndian.Uint16(digits[2*i:])))
		mantissa.Add(mantissa, digit)
	}
	switch {
	case mantissa.Sign() == 0:
		return sqlkit.Decimal{}, nil
	case shift > mostShift:
		return sqlkit.Decimal{}, errRange
	case shift < -5*mostShift:
		return sqlkit.Decimal{}, tooFine(precision)
	}
	power := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(shift, -shift))), nil)
	if shift >= 0 {
		mantissa.Mul(mantissa, power)
	} else {
		mantissa.QuoRem(mantissa, power, digit)
		if digit.Sign() != 0 {
			return sqlkit.Decimal{}, tooFine(precision)
		}
	}
	if mantissa.BitLen() > 127 {
		return sqlkit.Decimal{}, errRange
	}
	low := new(big.Int).And(mantissa, new(big.Int).SetUint64(1<<64-1)).Uint64()
	high := new(big.Int).Rsh(mantissa, 64).Uint64()
	out := sqlkit.NewDecimal(int64(high), low)
	if !out.FitsInPrecision(int32(precision)) {
		return sqlkit.Decimal{}, errRange
	}
	if negative {
		out = out.Negate()
	}
	return out, nil
}

func tooFine(precision int) error {
	return fmt.Errorf("%w: more fractional digits than the decimal of %d digits keeps; "+
		"set numeric to a finer decimal or to string", errRange, precision)
}

// appendNumeric appends the length and the value of an unscaled decimal.
func appendNumeric(dst []byte, v sqlkit.Decimal, scale int) []byte {
	sign := uint16(numericPositive)
	if v.Sign() < 0 {
		sign = numericNegative
		v = v.Negate()
	}
	high, low := uint64(v.HighBits()), v.LowBits()
	// Groups of four digits counted from the decimal point, least significant first.
	var groups [12]uint16
	n := 0
	if rest := scale % 4; rest != 0 {
		cut := [...]uint64{1, 10, 100, 1000, 10000}
		var r uint64
		high, low, r = divide(high, low, cut[rest])
		groups[0] = uint16(r * cut[4-rest])
		n = 1
	}
	for high != 0 || low != 0 {
		var r uint64
		high, low, r = divide(high, low, numericBase)
		groups[n] = uint16(r)
		n++
	}
	fraction := (scale + 3) / 4
	weight := n - 1 - fraction
	first := 0
	for first < n && groups[first] == 0 {
		first++
	}
	for n > first && groups[n-1] == 0 {
		n--
		weight--
	}
	count := n - first
	if count == 0 {
		weight, sign = 0, numericPositive
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(numericHeader+2*count))
	dst = binary.BigEndian.AppendUint16(dst, uint16(count))
	dst = binary.BigEndian.AppendUint16(dst, uint16(int16(weight)))
	dst = binary.BigEndian.AppendUint16(dst, sign)
	dst = binary.BigEndian.AppendUint16(dst, uint16(scale))
	for i := n - 1; i >= first; i-- {
		dst = binary.BigEndian.AppendUint16(dst, groups[i])
	}
	return dst
}

// divide returns quotient and remainder of a 128-bit number.
func divide(high, low, by uint64) (quotientHigh, quotientLow, remainder uint64) {
	if high == 0 {
		return 0, low / by, low % by
	}
	quotientHigh = high / by
	quotientLow, remainder = bits.Div64(high%by, low, by)
	return quotientHigh, quotientLow, remainder
}
