package market

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// days is the naive twin of Intervals: one entry a date.
type days map[Date]bool

func daysOf(list []Interval) days {
	set := days{}
	for _, v := range list {
		for d := v.From; d <= v.To; d++ {
			set[d] = true
		}
	}
	return set
}

// intervals returns the set as Intervals by walking the dates.
func (set days) intervals(from, to Date) Intervals {
	var s Intervals
	for d := from; d <= to; d++ {
		if !set[d] {
			continue
		}
		if n := len(s); n > 0 && s[n-1].To == d-1 {
			s[n-1].To = d
		} else {
			s = append(s, Interval{d, d})
		}
	}
	return s
}

func drawIntervals(t *rapid.T, label string) []Interval {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Interval {
		from := Date(rapid.IntRange(-30, 30).Draw(t, "from"))
		return Interval{from, from + Date(rapid.IntRange(-2, 12).Draw(t, "length"))}
	}), 0, 8).Draw(t, label)
}

func TestIntervalsAgainstDays(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawIntervals(t, "a"), drawIntervals(t, "b")
		x, y := daysOf(a), daysOf(b)
		s := IntervalsOf(a...)
		union, rest, both := days{}, days{}, days{}
		for d := Date(-60); d <= 60; d++ {
			union[d], rest[d], both[d] = x[d] || y[d], x[d] && !y[d], x[d] && y[d]
			if s.Contains(d) != x[d] {
				t.Fatalf("%s contains %s: %t", s, d, s.Contains(d))
			}
		}
		for name, c := range map[string]struct {
			got  Intervals
			want days
		}{
			"set": {s, x}, "add": {s.Add(b...), union}, "subtract": {s.Subtract(b...), rest},
			"intersect": {s.Intersect(b...), both},
		} {
			want := c.want.intervals(-60, 60)
			if diff := cmp.Diff(want, c.got); diff != "" {
				t.Fatalf("%s of %v and %v (-want +got):\n%s", name, a, b, diff)
			}
		}
		for _, v := range b {
			covers := true
			for d := v.From; d <= v.To; d++ {
				covers = covers && x[d]
			}
			if s.Covers(v) != covers {
				t.Fatalf("%s covers %s: %t", s, v, s.Covers(v))
			}
		}
		if s.Days() != len(x) {
			t.Fatalf("%s has %d days, want %d", s, s.Days(), len(x))
		}
		back, left, err := DecodeIntervals(append(s.Append(nil), 7))
		if err != nil || len(left) != 1 || !cmp.Equal(back, s) {
			t.Fatalf("%s read back as %s, %d bytes left, %v", s, back, len(left), err)
		}
	})
}

func FuzzIntervals(f *testing.F) {
	f.Add(IntervalsOf(Interval{1, 5}, Interval{-700, -3}).Append(nil))
	f.Add([]byte{0})
	f.Fuzz(func(t *testing.T, src []byte) {
		s, rest, err := DecodeIntervals(src)
		if err != nil {
			return
		}
		if !cmp.Equal(IntervalsOf(s...), s) {
			t.Fatalf("decoded %v, which is not sorted, disjoint and merged", s)
		}
		if got := append(s.Append(nil), rest...); string(got) != string(src) {
			t.Fatalf("%v is % x, decoded from % x", s, got, src)
		}
	})
}
