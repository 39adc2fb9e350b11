package market

import (
	"errors"
	"math"
	"math/big"
	"regexp"
	"testing"

	"pgregory.net/rapid"
)

func TestParseFixed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text  string
		scale int
		want  int64
		err   error
	}{
		{"12.34", 4, 123400, nil},
		{"12.3400000000", 4, 123400, nil},
		{"-0.5", 1, -5, nil},
		{"0", 0, 0, nil},
		{"-0", 2, 0, nil},
		{"6.2070789300", 10, 62070789300, nil},
		{"007", 0, 7, nil},
		{"1.0", 0, 1, nil},
		{"9223372036854775807", 0, math.MaxInt64, nil},
		{"-9223372036854775807", 0, -math.MaxInt64, nil},
		{"922337203685477.5807", 4, math.MaxInt64, nil},
		{"12.34005", 4, 0, ErrScale},
		{"0.1", 0, 0, ErrScale},
		{"9223372036854775808", 0, 0, ErrRange},
		{"922337203685477.5808", 4, 0, ErrRange},
		{"922337203685478", 4, 0, ErrRange},
		{"", 4, 0, ErrNumber},
		{"-", 4, 0, ErrNumber},
		{".5", 4, 0, ErrNumber},
		{"5.", 4, 0, ErrNumber},
		{"+5", 4, 0, ErrNumber},
		{"1e3", 4, 0, ErrNumber},
		{" 1", 4, 0, ErrNumber},
		{"1,000", 4, 0, ErrNumber},
		{"1.2.3", 4, 0, ErrNumber},
		{"NaN", 4, 0, ErrNumber},
		{"0.288或0.32", 6, 0, ErrNumber},
		{"0.123x", 2, 0, ErrNumber},
	} {
		got, err := ParseFixed(c.text, c.scale)
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%q at scale %d is %d, %v; want %d, %v", c.text, c.scale, got, err, c.want, c.err)
		}
		if bytes, err2 := ParseFixed([]byte(c.text), c.scale); bytes != got || !errors.Is(err2, c.err) {
			t.Errorf("%q as bytes is %d, %v", c.text, bytes, err2)
		}
	}
}

func TestFormatFixed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		v     int64
		scale int
		want  string
	}{
		{123400, 4, "12.3400"},
		{-5, 1, "-0.5"},
		{0, 4, "0.0000"},
		{7, 0, "7"},
		{-7, 0, "-7"},
		{math.MinInt64, 4, "-922337203685477.5808"},
		{1, 18, "0.000000000000000001"},
	} {
		if got := FormatFixed(c.v, c.scale); got != c.want {
			t.Errorf("%d at scale %d is %q, want %q", c.v, c.scale, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		v, scale := rapid.Int64Min(-math.MaxInt64).Draw(t, "v"), rapid.IntRange(0, maxScale).Draw(t, "scale")
		if back, err := ParseFixed(FormatFixed(v, scale), scale); err != nil || back != v {
			t.Fatalf("%d at scale %d is %s, which is %d, %v", v, scale, FormatFixed(v, scale), back, err)
		}
	})
}

var fixedSyntax = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`)

// FuzzParseFixed holds the parser against big rationals.
func FuzzParseFixed(f *testing.F) {
	for _, text := range []string{"12.34", "-0.00001", "9223372036854775808", "1e5", ".", "00.100"} {
		f.Add(text, 4)
	}
	f.Fuzz(func(t *testing.T, text string, scale int) {
		if scale < 0 || scale > maxScale || len(text) > 200 {
			return
		}
		got, err := ParseFixed(text, scale)
		if !fixedSyntax.MatchString(text) {
			if !errors.Is(err, ErrNumber) {
				t.Fatalf("%q is %d, %v", text, got, err)
			}
			return
		}
		exact, _ := new(big.Rat).SetString(text)
		exact.Mul(exact, new(big.Rat).SetInt64(powersOf10[scale]))
		fits := exact.IsInt() && exact.Num().IsInt64() && exact.Num().Int64() != math.MinInt64
		if fits != (err == nil) || fits && exact.Num().Int64() != got {
			t.Fatalf("%q at scale %d is %d, %v; exactly %s", text, scale, got, err, exact)
		}
	})
}
