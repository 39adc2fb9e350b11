package store

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"sync"

	"github.com/tapeline/tapeline/internal/market"
)

// coverKey names one coverage: what one source said of one dataset at one frequency.
type coverKey struct{ dataset, freq, source string }

// universe stands among the numbers of instruments for all of them at once.
const universe = 0

// knowledge is an interval about which a set of instruments learned the same.
type knowledge struct {
	state       market.State // "" forgets
	interval    market.Interval
	instruments []int32 // ascending; universe among them
}

// coverStates are the states by their number in the encoding; 0 forgets.
func coverStates() []market.State {
	return []market.State{"", market.StateOK, market.StateEmpty, market.StatePartial, market.StateFailed}
}

var errCoverage = errors.New("corrupt coverage")

// appendCoverage appends groups of knowledge: for each the state, the interval, and its instruments
// as runs of following numbers. A day of 5,500 instruments takes some ten bytes.
func appendCoverage(dst []byte, groups []knowledge) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(groups)))
	for _, g := range groups {
		dst = append(dst, byte(slices.Index(coverStates(), g.state)))
		dst = binary.AppendVarint(dst, int64(g.interval.From))
		dst = binary.AppendUvarint(dst, uint64(int64(g.interval.To)-int64(g.interval.From)))
		var runs [][2]uint64 // distance from the end of the run before, length
		next := int64(0)
		for _, n := range g.instruments {
			if len(runs) > 0 && int64(n) == next {
				runs[len(runs)-1][1]++
			} else {
				runs = append(runs, [2]uint64{uint64(int64(n) - next), 1})
			}
			next = int64(n) + 1
		}
		dst = binary.AppendUvarint(dst, uint64(len(runs)))
		for _, run := range runs {
			dst = binary.AppendUvarint(dst, run[0])
			dst = binary.AppendUvarint(dst, run[1])
		}
	}
	return dst
}

// coverageTable is that of the checksum behind a coverage: the database has none of its own.
var coverageTable = crc32.MakeTable(crc32.Castagnoli)

// sealedCoverage returns the bytes of groups as the catalog keeps them.
func sealedCoverage(groups []knowledge) []byte {
	raw := appendCoverage(nil, groups)
	return binary.LittleEndian.AppendUint32(raw, crc32.Checksum(raw, coverageTable))
}

// openCoverage reads what sealedCoverage wrote.
func openCoverage(raw []byte, most int) ([]knowledge, error) {
	end := len(raw) - crc32.Size
	if end < 0 || binary.LittleEndian.Uint32(raw[end:]) != crc32.Checksum(raw[:end], coverageTable) {
		return nil, fmt.Errorf("%w: its checksum is another (restore %s from a backup or a snapshot)",
			errCoverage, CatalogName)
	}
	return decodeCoverage(raw[:end], most)
}

// decodeCoverage reads what appendCoverage wrote. most is the largest number of an instrument.
func decodeCoverage(src []byte, most int) ([]knowledge, error) {
	r := reading{src: src}
	count := r.unsigned(uint64(len(src)))
	groups := make([]knowledge, 0, min(count, 1<<12))
	for range count {
		var g knowledge
		state := r.octet()
		if int(state) >= len(coverStates()) {
			return nil, fmt.Errorf("%w: state %d", errCoverage, state)
		}
		g.state = coverStates()[state]
		from := r.signed()
		length := r.unsigned(uint64(market.MaxDate - market.MinDate))
		if from < int64(market.MinDate) || from+int64(length) > int64(market.MaxDate) {
			return nil, fmt.Errorf("%w: interval from day %d", errCoverage, from)
		}
		g.interval = market.Interval{From: market.Date(from), To: market.Date(from + int64(length))}
		next := int64(0)
		for range r.unsigned(uint64(len(r.src))) {
			next += int64(r.unsigned(uint64(most)))
			run := int64(r.unsigned(uint64(most) + 1))
			if next+run > int64(most)+1 || r.failed {
				return nil, fmt.Errorf("%w: instruments", errCoverage)
			}
			for range run {
				g.instruments = append(g.instruments, int32(next))
				next++
			}
		}
		groups = append(groups, g)
	}
	if r.failed || len(r.src) > 0 {
		return nil, fmt.Errorf("%w: it is cut short, or has bytes behind its end", errCoverage)
	}
	return groups, nil
}

// reading takes varints off a slice; failed stays true once one could not be.
type reading struct {
	src    []byte
	failed bool
}

func (r *reading) unsigned(most uint64) uint64 {
	v, n := binary.Uvarint(r.src)
	if n <= 0 || v > most {
		r.failed = true
		return 0
	}
	r.src = r.src[n:]
	return v
}

func (r *reading) signed() int64 {
	v, n := binary.Varint(r.src)
	if n <= 0 {
		r.failed = true
		return 0
	}
	r.src = r.src[n:]
	return v
}

func (r *reading) octet() byte {
	if len(r.src) == 0 {
		r.failed = true
		return 0
	}
	v := r.src[0]
	r.src = r.src[1:]
	return v
}

// coverage is all that is known, by key and instrument.
type coverage struct {
	mu    sync.RWMutex
	byKey map[coverKey]map[int32]*covered
}

// covered are the intervals of one instrument by state; no date is in two of them.
type covered struct{ sets [5]market.Intervals }

func newCoverage() *coverage { return &coverage{byKey: map[coverKey]map[int32]*covered{}} }

// add applies groups in order.
func (c *coverage) add(key coverKey, groups []knowledge) {
	c.mu.Lock()
	defer c.mu.Unlock()
	byInstrument := c.byKey[key]
	if byInstrument == nil {
		byInstrument = map[int32]*covered{}
		c.byKey[key] = byInstrument
	}
	for _, g := range groups {
		state := slices.Index(coverStates(), g.state)
		for _, n := range g.instruments {
			entry := byInstrument[n]
			if entry == nil {
				entry = &covered{}
				byInstrument[n] = entry
			}
			entry.set(state, g.interval)
		}
	}
}

// set records a state of an interval. A unit that failed takes nothing away from what was known.
func (e *covered) set(state int, v market.Interval) {
	const empty = 2
	if state > empty {
		fresh := market.IntervalsOf(v).Subtract(e.sets[1]...).Subtract(e.sets[empty]...)
		for other := empty + 1; other < len(e.sets); other++ {
			e.sets[other] = e.sets[other].Subtract(fresh...)
		}
		e.sets[state] = e.sets[state].Add(fresh...)
		return
	}
	for other := 1; other < len(e.sets); other++ {
		e.sets[other] = e.sets[other].Subtract(v)
	}
	if state > 0 {
		e.sets[state] = e.sets[state].Add(v)
	}
}

// of returns the intervals in any of the states, by number of the instrument.
func (c *coverage) of(key coverKey, states ...market.State) map[int32]market.Intervals {
	c.mu.RLock()
	defer c.mu.RUnlock()
	out := map[int32]market.Intervals{}
	for n, entry := range c.byKey[key] {
		var set market.Intervals
		for _, s := range states {
			if add := entry.sets[slices.Index(coverStates(), s)]; set == nil {
				set = add
			} else {
				set = set.Add(add...)
			}
		}
		if len(set) > 0 {
			out[n] = set
		}
	}
	return out
}

// all returns everything known under a key, so that it takes the place of the steps that led there.
func (c *coverage) all(key coverKey) []knowledge {
	c.mu.RLock()
	defer c.mu.RUnlock()
	type same struct {
		state    int
		interval market.Interval
	}
	byWhat := map[same][]int32{}
	for n, entry := range c.byKey[key] {
		for state, set := range entry.sets {
			for _, v := range set {
				byWhat[same{state, v}] = append(byWhat[same{state, v}], n)
			}
		}
	}
	groups := make([]knowledge, 0, len(byWhat))
	for what, instruments := range byWhat {
		slices.Sort(instruments)
		groups = append(groups, knowledge{coverStates()[what.state], what.interval, instruments})
	}
	slices.SortFunc(groups, func(a, b knowledge) int {
		return cmp.Or(cmp.Compare(a.interval.From, b.interval.From),
			cmp.Compare(a.interval.To, b.interval.To), cmp.Compare(a.state, b.state))
	})
	return groups
}

func (c *coverage) replace(o *coverage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byKey = o.byKey
}

// gather joins the covers of one commit that say the same.
func gather(
	covers []Cover, number func(symbol string, date market.Date) (int32, error),
) (map[coverKey][]knowledge, error) {
	out := map[coverKey][]knowledge{}
	for _, c := range covers {
		if c.Empty() {
			return nil, fmt.Errorf("coverage of %s %s: %s is after %s", c.Dataset, c.Symbol, c.From, c.To)
		}
		if c.From < market.MinDate || c.To > market.MaxDate {
			return nil, fmt.Errorf("coverage of %s %s: %s lies outside the calendar", c.Dataset, c.Symbol, c.Interval)
		}
		if !slices.Contains(coverStates(), c.State) {
			return nil, fmt.Errorf("coverage of %s %s: state %q", c.Dataset, c.Symbol, c.State)
		}
		n := int32(universe)
		if c.Symbol != "" {
			var err error
			if n, err = number(c.Symbol, c.To); err != nil {
				return nil, fmt.Errorf("coverage of %s: %w", c.Dataset, err)
			}
		}
		key := coverKey{c.Dataset, c.Freq, c.Source}
		groups := out[key]
		// Order matters only between different things said of one instrument: the last group takes
		// on more instruments, earlier ones stay as they are.
		if last := len(groups) - 1; last >= 0 && groups[last].state == c.State &&
			groups[last].interval == c.Interval {
			groups[last].instruments = append(groups[last].instruments, n)
			continue
		}
		out[key] = append(groups, knowledge{c.State, c.Interval, []int32{n}})
	}
	for _, groups := range out {
		for i := range groups {
			slices.Sort(groups[i].instruments)
			groups[i].instruments = slices.Compact(groups[i].instruments)
		}
	}
	return out, nil
}

// news returns the groups that say more than is known.
func (c *coverage) news(groups map[coverKey][]knowledge) map[coverKey][]knowledge {
	c.mu.RLock()
	defer c.mu.RUnlock()
	out := map[coverKey][]knowledge{}
	for key, list := range groups {
		if !slices.ContainsFunc(list, func(g knowledge) bool { return c.tells(key, g) }) {
			continue
		}
		out[key] = list
	}
	return out
}

// tells reports whether a group changes anything. Needs mu.
func (c *coverage) tells(key coverKey, g knowledge) bool {
	state := slices.Index(coverStates(), g.state)
	for _, n := range g.instruments {
		entry := c.byKey[key][n]
		if entry == nil {
			if state > 0 {
				return true
			}
			continue
		}
		if state > 0 && entry.sets[state].Covers(g.interval) {
			continue
		}
		fresh := *entry
		fresh.set(state, g.interval)
		for i := range fresh.sets {
			if !slices.Equal(fresh.sets[i], entry.sets[i]) {
				return true
			}
		}
	}
	return false
}
