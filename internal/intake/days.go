package intake

import (
	"math/bits"
	"slices"

	"github.com/tapeline/tapeline/internal/market"
)

// daySet is a set of dates; a century takes 5 KB.
type daySet struct {
	first int32 // word of the first date
	words []uint64
}

// add adds a date and reports whether it was new.
func (s *daySet) add(d market.Date) bool {
	const size = 64
	word := int32(d) >> 6
	if len(s.words) == 0 {
		s.first = word
	}
	if before := int(s.first - word); before > 0 {
		s.words = append(make([]uint64, before, before+len(s.words)), s.words...)
		s.first = word
	}
	if at := int(word - s.first); at >= len(s.words) {
		s.words = append(s.words, make([]uint64, at+1-len(s.words))...)
	}
	at, bit := word-s.first, uint64(1)<<(uint32(d)%size)
	fresh := s.words[at]&bit == 0
	s.words[at] |= bit
	return fresh
}

// dates returns the dates, ascending.
func (s *daySet) dates() []market.Date {
	var list []market.Date
	for i, word := range s.words {
		for ; word != 0; word &= word - 1 {
			list = append(list, market.Date((s.first+int32(i))<<6+int32(bits.TrailingZeros64(word))))
		}
	}
	return list
}

// sessions are the open days of a market as far as they are known; nil: not at all.
type sessions []market.Date

func sessionsOf(mic market.MIC) sessions {
	c, err := market.CalendarOf(mic)
	if err != nil {
		return nil
	}
	open, err := c.Open(c.Covers().From, c.Covers().To)
	if err != nil {
		return nil
	}
	return open
}

// runs returns the dates as intervals: two dates share one when no session lies between them.
func (s sessions) runs(dates []market.Date) market.Intervals {
	var out market.Intervals
	next := 0 // first session after the last date
	for _, d := range dates {
		last := len(out) - 1
		joined := last >= 0 && out[last].To == d-1
		if last >= 0 && !joined && len(s) > 0 && out[last].To >= s[0] && d <= s[len(s)-1] {
			for next < len(s) && s[next] <= out[last].To {
				next++
			}
			joined = next < len(s) && s[next] >= d
		}
		if joined {
			out[last].To = d
		} else {
			out = append(out, market.Interval{From: d, To: d})
		}
	}
	return out
}

// subtract takes dates out of intervals.
func subtract(v market.Intervals, dates []market.Date) market.Intervals {
	for _, d := range slices.Compact(slices.Sorted(slices.Values(dates))) {
		v = v.Subtract(market.Interval{From: d, To: d})
	}
	return v
}
