package repair

import (
	"math"
	"math/big"
)

const (
	// leastSplit is the smallest split that stands out from prices.
	leastSplit = 1.25
	// splitLag is how many rows after a split its prices may still be the old ones.
	splitLag = 5
	// noise is how many deviations of usual moves a jump of level must exceed.
	noise = 5
	// mostLevels is how often a factor may have been applied wrongly.
	mostLevels = 2
)

// levels finds rows whose prices are off the level of the newest ones by a factor, and brings them
// back: by the splits that the series states, newest last, and by 100.
func (s *Series) levels() {
	for i := range s.Rows {
		split := s.Rows[i].Values[Split]
		if i == 0 || split <= 0 || split == one {
			continue
		}
		factor := ratio(split, one)
		if float64(split) < one {
			factor.Inv(factor)
		}
		if f, _ := factor.Float64(); f >= leastSplit {
			s.level(factor, i+splitLag, RuleSplit)
		}
	}
	s.level(big.NewRat(100, 1), len(s.Rows), RuleUnit)
}

// level brings back the rows that are off by powers of a factor; jumps count up to a row.
func (s *Series) level(factor *big.Rat, last int, rule string) {
	rows := s.validRows()
	moves := s.moves(rows)
	f, _ := factor.Float64()
	jump := math.Log(f)
	if len(rows) < 2 || jump < noise*deviation(moves) {
		return
	}
	reach := jump / 3 // how far from the factor a jump may be: prices move too
	if rule == RuleUnit {
		reach = 0.5
	}
	levels := make([]int, len(rows)) // by which power of the factor the row is too large
	for i := len(rows) - 1; i > 0; i-- {
		levels[i-1] = levels[i]
		switch move := moves[i-1]; {
		case rows[i] > last:
		case math.Abs(move-jump) <= reach:
			levels[i-1]--
		case math.Abs(move+jump) <= reach:
			levels[i-1]++
		}
		if levels[i-1] > mostLevels || levels[i-1] < -mostLevels {
			return // these are moves of the price, not of its level
		}
	}
	right := levels[s.baseline(rows)]
	for from := 0; from < len(rows); {
		to, traded := from, false
		for ; to < len(rows) && levels[to] == levels[from]; to++ {
			traded = traded || s.Rows[rows[to]].number(Volume) > 0
		}
		// A unit is proved by trades. Without any, the price is a quote that nobody has taken.
		if n := levels[from] - right; n != 0 && (traded || rule != RuleUnit) {
			for _, row := range rows[from:to] {
				s.rescale(row, factor, n, rule)
			}
		}
		from = to
	}
}

// baseline is the newest row that was traded beside one that was too: a vendor's faults settle in rows
// of a suspension.
func (s *Series) baseline(rows []int) int {
	traded := func(i int) bool { return s.Rows[rows[i]].number(Volume) > 0 }
	for i := len(rows) - 1; i > 0; i-- {
		if traded(i) && traded(i-1) {
			return i
		}
	}
	return len(rows) - 1
}

// rescale divides a row's prices by a power of a factor; after a split, volume goes the other way.
func (s *Series) rescale(row int, factor *big.Rat, power int, rule string) {
	by := big.NewRat(1, 1)
	for range max(power, -power) {
		by.Mul(by, factor)
	}
	inverse := new(big.Rat).Inv(by)
	if power > 0 {
		by, inverse = inverse, by
	}
	for c := Open; c <= AdjClose; c++ {
		s.set(row, c, scaled(s.Rows[row].Values[c], by), rule)
	}
	if rule == RuleSplit && s.Rows[row].has(Volume) {
		s.set(row, Volume, scaled(s.Rows[row].Values[Volume], inverse), rule)
	}
}

// moves returns by how much adjusted prices move from each of the rows to the next, as logarithms. The
// median of the four prices is taken; in longer bars high and low wander, and open and close are.
func (s *Series) moves(rows []int) []float64 {
	if len(rows) == 0 {
		return nil
	}
	columns := []Column{Open, High, Low, Close}
	if s.spacing() == longer {
		columns = []Column{Open, Close}
	}
	moves := make([]float64, len(rows)-1)
	parts := make([]float64, 0, len(columns))
	for i := range moves {
		before, after := &s.Rows[rows[i]], &s.Rows[rows[i+1]]
		parts = parts[:0]
		for _, c := range columns {
			parts = append(parts, math.Log(after.number(c)*after.adjustment()/(before.number(c)*before.adjustment())))
		}
		moves[i] = median(parts)
	}
	return moves
}

// cells finds single prices that are off by 100.
func (s *Series) cells() {
	const around = 3 // rows on each side
	rows := s.validRows()
	if len(rows) < 2*around {
		return
	}
	hundred, hundredth := big.NewRat(100, 1), big.NewRat(1, 100)
	middle := make([]float64, len(rows))
	for i, row := range rows {
		var parts []float64
		for c := Open; c <= Close; c++ {
			parts = append(parts, s.Rows[row].number(c))
		}
		middle[i] = median(parts)
	}
	for i, row := range rows {
		if s.Rows[row].number(Volume) == 0 {
			continue // as in level
		}
		from := max(0, min(i-around, len(rows)-2*around-1))
		window := append([]float64(nil), middle[from:min(len(rows), from+2*around+1)]...)
		usual := median(window)
		fix := func(c Column, value, usual float64) {
			switch off := math.Abs(math.Log(value / usual)); {
			case off < math.Log(40) || off > math.Log(250):
			case value > usual:
				s.set(row, c, scaled(s.Rows[row].Values[c], hundredth), RuleCell)
			default:
				s.set(row, c, scaled(s.Rows[row].Values[c], hundred), RuleCell)
			}
		}
		for c := Open; c <= Close; c++ {
			fix(c, s.Rows[row].number(c), usual)
		}
		s.adjustedCell(rows, i, fix)
	}
}

// adjustedCell compares a row's adjusted price with what the rows beside it make of its close.
func (s *Series) adjustedCell(rows []int, i int, fix func(c Column, value, usual float64)) {
	row := &s.Rows[rows[i]]
	if !row.has(AdjClose) || row.Values[AdjClose] <= 0 || i == 0 || i == len(rows)-1 {
		return
	}
	before, after := s.Rows[rows[i-1]].adjustment(), s.Rows[rows[i+1]].adjustment()
	if math.Abs(math.Log(before/after)) < 1 {
		fix(AdjClose, row.number(AdjClose), row.number(Close)*after)
	}
}
