package market

import (
	"errors"
	"math"
	"strconv"
)

// Why a text is no fixed-point number of a scale.
var (
	ErrNumber = errors.New("not a decimal number")
	ErrScale  = errors.New("more digits behind the point than the scale holds")
	ErrRange  = errors.New("more digits than 64 bits hold")
)

// maxScale is the largest scale an int64 has room for.
const maxScale = 18

// ParseFixed reads a decimal number exactly as an integer of 10^-scale, scale 0..18: an optional minus,
// digits, and optionally a point with digits, as "12.3400". Zeros behind the scale are no loss;
// other digits there are ErrScale. Exponents, blanks and a bare point are ErrNumber.
func ParseFixed[T string | []byte](text T, scale int) (int64, error) {
	sign, i := int64(1), 0
	if len(text) > 0 && text[0] == '-' {
		sign, i = -1, 1
	}
	var v int64
	var failed error // what is no number at all is told first
	digits, fraction, point := 0, 0, false
	for ; i < len(text); i++ {
		c := text[i]
		if c == '.' && !point && digits > 0 && i+1 < len(text) {
			point = true
			continue
		}
		if c < '0' || c > '9' {
			return 0, ErrNumber
		}
		digits++
		switch {
		case point && fraction == scale:
			if c != '0' && failed == nil {
				failed = ErrScale
			}
			continue
		case point:
			fraction++
		}
		if v > (math.MaxInt64-int64(c-'0'))/10 {
			failed, v = ErrRange, 0
		}
		v = v*10 + int64(c-'0')
	}
	if digits == 0 {
		return 0, ErrNumber
	}
	if n := scale - fraction; v > math.MaxInt64/powersOf10[n] {
		failed = ErrRange
	} else {
		v *= powersOf10[n]
	}
	if failed != nil {
		return 0, failed
	}
	return sign * v, nil
}

// powersOf10 is never altered.
var powersOf10 = func() (list [maxScale + 1]int64) {
	list[0] = 1
	for i := range maxScale {
		list[i+1] = 10 * list[i]
	}
	return list
}()

// AppendFixed appends v / 10^scale with exactly scale digits behind the point.
func AppendFixed(dst []byte, v int64, scale int) []byte {
	u := uint64(v)
	if v < 0 {
		dst, u = append(dst, '-'), -u
	}
	if scale == 0 {
		return strconv.AppendUint(dst, u, 10)
	}
	one := uint64(powersOf10[scale])
	dst = append(strconv.AppendUint(dst, u/one, 10), '.')
	at := len(dst)
	for range scale {
		dst = append(dst, '0')
	}
	for i, rest := at+scale-1, u%one; rest > 0; i-- {
		dst[i] += byte(rest % 10)
		rest /= 10
	}
	return dst
}

// FormatFixed returns v / 10^scale with exactly scale digits behind the point.
func FormatFixed(v int64, scale int) string { return string(AppendFixed(nil, v, scale)) }
