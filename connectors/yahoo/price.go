package yahoo

import (
	"math"
	"math/big"
	"strconv"

	"github.com/tapeline/tapeline/batch"
)

// ratio is the number of new shares for old ones of one or more splits.
type ratio struct{ new, old *big.Int }

// unsplit is the ratio of no split.
var unsplit = ratio{big.NewInt(1), big.NewInt(1)}

// ratioOf reads a ratio of two numbers, such as 3 and 2, or 1.5 and 1.
func ratioOf(numerator, denominator []byte) (ratio, bool) {
	const digits, decimals = 18, 6
	a, ok := batch.ParseDecimal(numerator, digits, decimals)
	b, ok2 := batch.ParseDecimal(denominator, digits, decimals)
	if !ok || !ok2 || a.Sign() <= 0 || b.Sign() <= 0 {
		return unsplit, false
	}
	return ratio{a.BigInt(), b.BigInt()}.shortened(), true
}

func (r ratio) times(o ratio) ratio {
	return ratio{new(big.Int).Mul(r.new, o.new), new(big.Int).Mul(r.old, o.old)}.shortened()
}

func (r ratio) shortened() ratio {
	common := new(big.Int).GCD(nil, nil, r.new, r.old)
	return ratio{new(big.Int).Quo(r.new, common), new(big.Int).Quo(r.old, common)}
}

func (r ratio) float() float64 {
	v, _ := new(big.Rat).SetFrac(r.new, r.old).Float64()
	return v
}

// price returns a price of a day behind which r was split, as it was before: the number with the fewest
// decimals that the service, dividing it in single precision or to six decimals, would write as it did. Text
// that is no number stays.
func (r ratio) price(text []byte, most int) []byte {
	value, err := strconv.ParseFloat(string(text), 64)
	if err != nil || math.IsInf(value, 0) || math.IsNaN(value) {
		return text
	}
	by := r.float()
	near := tolerance(value)
	for decimals := 0; ; decimals++ {
		out := strconv.AppendFloat(nil, value*by, 'f', decimals, 64)
		if decimals == most {
			return out
		}
		if v, _ := strconv.ParseFloat(string(out), 64); math.Abs(v/by-value) <= near {
			return out
		}
	}
}

// tolerance is how far the service's number may be from the one it stands for: half of the last bit of single
// precision, and half of a millionth where it has no more than six decimals.
func tolerance(value float64) float64 {
	const bits, millionth = 24, 1e-6
	_, exponent := math.Frexp(value)
	near := math.Ldexp(1, exponent-bits-1)
	if short := math.Round(value/millionth) * millionth; float32(short) == float32(value) {
		near += millionth / 2
	}
	return near * (1 + 1e-9) // what double precision adds
}

// shares returns a volume as it was before r was split. Text that is no number stays.
func (r ratio) shares(text []byte) []byte {
	v, ok := batch.ParseDecimal(text, 18, 0)
	if !ok {
		return text
	}
	before := new(big.Rat).SetFrac(new(big.Int).Mul(v.BigInt(), r.old), r.new)
	if before.Sign() < 0 {
		return text
	}
	return []byte(rounded(before).String())
}
