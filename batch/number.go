package batch

import (
	"math"
	"math/big"
	"strconv"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
)

// ParseInt reads an optionally signed decimal integer of int64 range; nothing else may follow.
func ParseInt(text []byte) (int64, bool) {
	digits := text
	negative := false
	if len(digits) > 0 && (digits[0] == '-' || digits[0] == '+') {
		negative = digits[0] == '-'
		digits = digits[1:]
	}
	if len(digits) == 0 || len(digits) > 18 {
		v, err := strconv.ParseInt(view(text), 10, 64)
		return v, err == nil
	}
	var v int64
	for _, ch := range digits {
		d := ch - '0'
		if d > 9 {
			return 0, false
		}
		v = v*10 + int64(d)
	}
	if negative {
		v = -v
	}
	return v, true
}

// ParseUint reads an unsigned decimal integer of uint64 range.
func ParseUint(text []byte) (uint64, bool) {
	v, err := strconv.ParseUint(view(text), 10, 64)
	return v, err == nil
}

// Powers of ten that a float64 holds exactly.
var pow10 = [...]float64{
	1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
	1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

// ParseFloat reads a decimal floating-point number, also with exponent, NaN and Inf, correctly
// rounded. Hexadecimal and underscores are refused.
func ParseFloat(text []byte) (float64, bool) {
	i, n := 0, len(text)
	negative := false
	if n > 0 && (text[0] == '-' || text[0] == '+') {
		negative = text[0] == '-'
		i++
	}
	var mantissa uint64
	digits, fraction, point := 0, 0, false
	for ; i < n; i++ {
		ch := text[i]
		if d := ch - '0'; d <= 9 {
			mantissa = mantissa*10 + uint64(d)
			digits++
			if point {
				fraction++
			}
			continue
		}
		if ch != '.' || point {
			return parseFloatSlow(text)
		}
		point = true
	}
	// Up to 2^53 and 10^22 both operands are exact, so one division rounds correctly (Clinger).
	if digits == 0 || digits > 18 || mantissa > 1<<53 || fraction > 22 {
		return parseFloatSlow(text)
	}
	v := float64(mantissa) / pow10[fraction]
	if negative {
		v = -v
	}
	return v, true
}

func parseFloatSlow(text []byte) (float64, bool) {
	for _, ch := range text {
		if ch == '_' || ch == 'x' || ch == 'X' || ch == 'p' || ch == 'P' {
			return 0, false
		}
	}
	v, err := strconv.ParseFloat(view(text), 64)
	return v, err == nil
}

// ParseFloat32 is ParseFloat rounded once to the nearest float32; what lies beyond its range is
// refused.
func ParseFloat32(text []byte) (float32, bool) {
	v, ok := ParseFloat(text)
	if !ok || math.IsInf(v, 0) {
		return float32(v), ok
	}
	// The text is a number, and rounding v would round twice.
	single, err := strconv.ParseFloat(view(text), 32)
	return float32(single), err == nil
}

// ParseBool reads true/false, t/f, yes/no, y/n, 1/0 in any case.
func ParseBool(text []byte) (value, ok bool) {
	if len(text) > 5 {
		return false, false
	}
	var lower [5]byte
	for i, ch := range text {
		if ch >= 'A' && ch <= 'Z' {
			ch += 'a' - 'A'
		}
		lower[i] = ch
	}
	switch string(lower[:len(text)]) {
	case "true", "t", "yes", "y", "1":
		return true, true
	case "false", "f", "no", "n", "0":
		return false, true
	}
	return false, false
}

// ParseDecimal reads a decimal number exactly at the given scale (0..38). It is refused when it
// has more fractional digits than scale (trailing zeros aside) or more than precision digits.
func ParseDecimal(text []byte, precision, scale int32) (decimal128.Num, bool) {
	i, n := 0, len(text)
	negative := false
	if n > 0 && (text[0] == '-' || text[0] == '+') {
		negative = text[0] == '-'
		i++
	}
	var mantissa int64
	digits, fraction, point := 0, int32(0), false
	for ; i < n; i++ {
		ch := text[i]
		if d := ch - '0'; d <= 9 {
			if point && fraction == scale {
				if d != 0 {
					return parseDecimalSlow(text, precision, scale) // an exponent may move it up
				}
				continue
			}
			mantissa = mantissa*10 + int64(d)
			digits++
			if point {
				fraction++
			}
			continue
		}
		if ch != '.' || point {
			return parseDecimalSlow(text, precision, scale)
		}
		point = true
	}
	if digits == 0 {
		return parseDecimalSlow(text, precision, scale)
	}
	for ; fraction < scale && digits <= 18; fraction++ {
		mantissa *= 10
		digits++
	}
	if digits > 18 {
		return parseDecimalSlow(text, precision, scale)
	}
	if negative {
		mantissa = -mantissa
	}
	v := decimal128.FromI64(mantissa)
	return v, v.FitsInPrecision(precision)
}

// parseDecimalSlow handles exponents and more than 18 digits.
func parseDecimalSlow(text []byte, precision, scale int32) (decimal128.Num, bool) {
	mantissa, exponent, ok := splitDecimal(text)
	if !ok {
		return decimal128.Num{}, false
	}
	shift := exponent + int(scale)
	if shift > 80 || shift < -400 {
		return decimal128.Num{}, mantissa.Sign() == 0
	}
	power := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(shift, -shift))), nil)
	if shift >= 0 {
		mantissa.Mul(mantissa, power)
	} else {
		rest := new(big.Int)
		mantissa.QuoRem(mantissa, power, rest)
		if rest.Sign() != 0 {
			return decimal128.Num{}, false
		}
	}
	if mantissa.BitLen() > 127 {
		return decimal128.Num{}, false
	}
	v := decimal128.FromBigInt(mantissa)
	return v, v.FitsInPrecision(precision)
}

// splitDecimal reads [sign]digits[.digits][e[sign]digits] as mantissa x 10^exponent.
func splitDecimal(text []byte) (mantissa *big.Int, exponent int, ok bool) {
	digits := make([]byte, 0, len(text))
	point, seen := false, false
	for i, ch := range text {
		switch {
		case i == 0 && (ch == '-' || ch == '+'):
			digits = append(digits, ch)
		case ch >= '0' && ch <= '9':
			digits = append(digits, ch)
			seen = true
			if point {
				exponent--
			}
		case ch == '.' && !point:
			point = true
		case (ch == 'e' || ch == 'E') && seen:
			e, err := strconv.Atoi(string(text[i+1:]))
			if err != nil || e > math.MaxInt16 || e < math.MinInt16 {
				return nil, 0, false
			}
			mantissa, ok = new(big.Int).SetString(string(digits), 10)
			return mantissa, exponent + e, ok
		default:
			return nil, 0, false
		}
	}
	if !seen {
		return nil, 0, false
	}
	mantissa, ok = new(big.Int).SetString(string(digits), 10)
	return mantissa, exponent, ok
}

// view returns text as a string without copying; it must not outlive the call it is passed to.
func view(text []byte) string { return unsafe.String(unsafe.SliceData(text), len(text)) }
