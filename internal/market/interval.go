package market

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
)

// Interval is a range of dates, both ends included; it is empty when From is after To.
type Interval struct{ From, To Date }

// Empty reports whether no date lies in the interval.
func (v Interval) Empty() bool { return v.From > v.To }

// Days returns the number of dates.
func (v Interval) Days() int { return max(0, int(v.To)-int(v.From)+1) }

// Contains reports whether the date lies in the interval.
func (v Interval) Contains(d Date) bool { return v.From <= d && d <= v.To }

// Intersect returns the dates in both, which may be empty.
func (v Interval) Intersect(o Interval) Interval {
	return Interval{max(v.From, o.From), min(v.To, o.To)}
}

// String returns "2024-01-02..2024-01-31", or one date when both ends are equal.
func (v Interval) String() string {
	switch {
	case v.Empty():
		return "empty"
	case v.From == v.To:
		return v.From.String()
	}
	return v.From.String() + ".." + v.To.String()
}

// Intervals is a set of dates: sorted, disjoint, neighbours merged, none empty. nil is the empty set.
// The methods return new sets and leave theirs as it is; equal sets are equal slices.
type Intervals []Interval

// IntervalsOf returns the set of the dates in any of the given intervals, in any order.
func IntervalsOf(list ...Interval) Intervals {
	set := make(Intervals, 0, len(list))
	for _, v := range list {
		if !v.Empty() {
			set = append(set, v)
		}
	}
	slices.SortFunc(set, func(a, b Interval) int { return int(a.From) - int(b.From) })
	merged := set[:0]
	for _, v := range set {
		if last := len(merged) - 1; last >= 0 && int(v.From) <= int(merged[last].To)+1 {
			merged[last].To = max(merged[last].To, v.To)
			continue
		}
		merged = append(merged, v)
	}
	if len(merged) == 0 {
		return nil
	}
	return merged
}

// DatesOf returns the set of the given dates.
func DatesOf(dates ...Date) Intervals {
	list := make([]Interval, len(dates))
	for i, d := range dates {
		list[i] = Interval{d, d}
	}
	return IntervalsOf(list...)
}

// Add returns the union with the given intervals; s.Add(other...) is the union of two sets.
func (s Intervals) Add(list ...Interval) Intervals {
	return IntervalsOf(append(slices.Clone(s), list...)...)
}

// Subtract returns the dates in none of the given intervals.
func (s Intervals) Subtract(list ...Interval) Intervals {
	var rest Intervals
	cuts, i := IntervalsOf(list...), 0
	for _, v := range s {
		for i < len(cuts) && cuts[i].To < v.From {
			i++
		}
		for j := i; j < len(cuts) && cuts[j].From <= v.To; j++ {
			if v.From < cuts[j].From {
				rest = append(rest, Interval{v.From, cuts[j].From - 1})
			}
			v.From = cuts[j].To + 1
		}
		if !v.Empty() {
			rest = append(rest, v)
		}
	}
	return rest
}

// Intersect returns the dates that lie in one of the given intervals too.
func (s Intervals) Intersect(list ...Interval) Intervals {
	var both Intervals
	with, i := IntervalsOf(list...), 0
	for _, v := range s {
		for i < len(with) && with[i].To < v.From {
			i++
		}
		for j := i; j < len(with) && with[j].From <= v.To; j++ {
			both = append(both, v.Intersect(with[j]))
		}
	}
	return both
}

// Contains reports whether the date is in the set.
func (s Intervals) Contains(d Date) bool {
	i := sort.Search(len(s), func(i int) bool { return s[i].To >= d })
	return i < len(s) && s[i].From <= d
}

// Covers reports whether every date of the interval is in the set.
func (s Intervals) Covers(v Interval) bool {
	if v.Empty() {
		return true
	}
	i := sort.Search(len(s), func(i int) bool { return s[i].To >= v.From })
	return i < len(s) && s[i].From <= v.From && v.To <= s[i].To
}

// Days returns the number of dates.
func (s Intervals) Days() int {
	days := 0
	for _, v := range s {
		days += v.Days()
	}
	return days
}

// Span returns the interval from the first date to the last; of the empty set, an empty interval.
func (s Intervals) Span() Interval {
	if len(s) == 0 {
		return Interval{From: 1, To: 0}
	}
	return Interval{s[0].From, s[len(s)-1].To}
}

// String returns the intervals separated by commas, or "empty".
func (s Intervals) String() string {
	if len(s) == 0 {
		return "empty"
	}
	parts := make([]string, len(s))
	for i, v := range s {
		parts[i] = v.String()
	}
	return strings.Join(parts, ",")
}

// ErrCorruptIntervals is the class of DecodeIntervals' errors.
var ErrCorruptIntervals = errors.New("corrupt interval set")

// Append appends the set in binary: the number of intervals, then for each the distance from the end
// of the one before (the first: from 1970-01-01, signed) and its length, as varints. A distance
// counts from the earliest start that a separate interval can have, so equal sets have equal bytes
// and no bytes describe a set that is not sorted, disjoint and merged.
func (s Intervals) Append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	for i, v := range s {
		if i == 0 {
			dst = binary.AppendVarint(dst, int64(v.From))
		} else {
			dst = binary.AppendUvarint(dst, uint64(int64(v.From)-int64(s[i-1].To)-2))
		}
		dst = binary.AppendUvarint(dst, uint64(int64(v.To)-int64(v.From)))
	}
	return dst
}

// DecodeIntervals reads a set that Append wrote and returns the bytes behind it.
func DecodeIntervals(src []byte) (s Intervals, rest []byte, err error) {
	r := varints{src: src}
	count := r.unsigned()
	if count > uint64(len(r.src)) { // each interval takes two bytes or more
		return nil, nil, fmt.Errorf("%w: %d intervals in %d bytes", ErrCorruptIntervals, count, len(src))
	}
	var at int64
	for i := range count {
		if i == 0 {
			at = r.signed()
		} else {
			at += r.bounded() + 2
		}
		v := Interval{From: Date(at)}
		if at < int64(MinDate) || at > int64(MaxDate) {
			r.failed = true
		}
		at += r.bounded()
		if r.failed || at > int64(MaxDate) {
			return nil, nil, fmt.Errorf("%w: interval %d of %d is cut short or outside %s..%s",
				ErrCorruptIntervals, i+1, count, MinDate, MaxDate)
		}
		v.To = Date(at)
		s = append(s, v)
	}
	if r.failed {
		return nil, nil, fmt.Errorf("%w: no count", ErrCorruptIntervals)
	}
	return s, r.src, nil
}

// varints reads varints of the shortest form; failed stays true once one was not.
type varints struct {
	src    []byte
	failed bool
}

func (r *varints) unsigned() uint64 {
	v, n := binary.Uvarint(r.src)
	if n <= 0 || n > 1 && r.src[n-1] == 0 {
		r.failed = true
		return 0
	}
	r.src = r.src[n:]
	return v
}

// bounded reads a distance, which is never longer than all of time.
func (r *varints) bounded() int64 {
	v := r.unsigned()
	if v > uint64(MaxDate-MinDate) {
		r.failed = true
		return 0
	}
	return int64(v)
}

func (r *varints) signed() int64 {
	v := r.unsigned()
	return int64(v>>1) ^ -int64(v&1)
}
