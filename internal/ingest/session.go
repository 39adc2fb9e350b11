package ingest

import (
	"slices"

	"github.com/tapeline/tapeline/internal/market"
)

// Sessions are the open days of one market, ascending, as the provider or the built-in calendar
// states them.
type Sessions []market.Date

// In returns the open days of an interval.
func (s Sessions) In(v market.Interval) Sessions {
	if v.Empty() {
		return nil
	}
	from, _ := slices.BinarySearch(s, v.From)
	to, found := slices.BinarySearch(s, v.To)
	if found {
		to++
	}
	return s[from:to]
}

// Around returns the open days nearest to an interval without any: the last before and the first
// after it, 0 for none.
func (s Sessions) Around(v market.Interval) (before, after market.Date) {
	at, _ := slices.BinarySearch(s, v.From)
	if at > 0 {
		before = s[at-1]
	}
	if at < len(s) {
		after = s[at]
	}
	return before, after
}

// after returns the first open day after a date, 0 for none.
func (s Sessions) after(d market.Date) market.Date {
	if i, _ := slices.BinarySearch(s, d+1); i < len(s) {
		return s[i]
	}
	return 0
}

// Missing returns the open days of an interval that are not held, as intervals from the first to the
// last day of each run of neighbouring sessions.
func (s Sessions) Missing(v market.Interval, held market.Intervals) market.Intervals {
	if held.Covers(v) {
		return nil
	}
	return s.runs(v, func(d market.Date) bool { return !held.Contains(d) })
}

// runs returns the runs of neighbouring sessions for which want holds.
func (s Sessions) runs(v market.Interval, want func(market.Date) bool) market.Intervals {
	var list market.Intervals
	open := false
	for _, day := range s.In(v) {
		switch {
		case !want(day):
			open = false
		case open:
			list[len(list)-1].To = day
		default:
			list, open = append(list, market.Interval{From: day, To: day}), true
		}
	}
	return list
}

// Join merges gaps between which at most join sessions are held already: one request is cheaper than
// two.
func (s Sessions) Join(gaps market.Intervals, join int) market.Intervals {
	var out market.Intervals
	for _, gap := range gaps {
		last := len(out) - 1
		if last >= 0 && len(s.In(market.Interval{From: out[last].To + 1, To: gap.From - 1})) <= join {
			out[last].To = gap.To
			continue
		}
		out = append(out, gap)
	}
	return out
}
