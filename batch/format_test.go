package batch

import (
	"math"
	"math/big"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
)

// slowFloat is AppendFloat without the shortcut.
func slowFloat(v float64) string {
	format := byte('f')
	if abs := math.Abs(v); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.FormatFloat(v, format, -1, 64)
}

// slowDecimal writes digits and puts the point between them.
func slowDecimal(v decimal128.Num, scale int) string {
	unscaled := v.BigInt()
	digits := new(big.Int).Abs(unscaled).String()
	if len(digits) <= scale {
		digits = strings.Repeat("0", scale+1-len(digits)) + digits
	}
	if scale > 0 {
		digits = digits[:len(digits)-scale] + "." + digits[len(digits)-scale:]
	}
	if unscaled.Sign() < 0 {
		return "-" + digits
	}
	return digits
}

func TestNumbersAgreeWithTheirSlowTwins(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	check := func(v float64) {
		t.Helper()
		if got, want := string(AppendFloat(nil, v, 64)), slowFloat(v); got != want {
			t.Fatalf("seed %d: %v written as %s, want %s", seed, v, got, want)
		}
	}
	for _, v := range []float64{
		0, math.Copysign(0, -1), 1e-6, 1e-7, 1e9, 999999999.999999, 0.000001, -1.5, 1e21, 5e-324,
		1 << 53, math.Inf(1), math.NaN(),
	} {
		check(v)
		check(-v)
	}
	for range 200_000 {
		check(math.Trunc(random.Float64()*1e9) / math.Pow10(random.IntN(12)))
		check(math.Float64frombits(random.Uint64()))
		check(random.Float64() * 1000 * float64(random.IntN(100)))
		scale := random.IntN(39)
		d := decimal128.New(int64(random.Uint64())>>(1+random.IntN(63)), random.Uint64()>>random.IntN(64))
		if got, want := string(AppendDecimal(nil, d, scale)), slowDecimal(d, scale); got != want {
			t.Fatalf("seed %d: scale %d written as %s, want %s", seed, scale, got, want)
		}
	}
}
