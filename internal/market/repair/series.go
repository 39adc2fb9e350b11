package repair

import (
	"math"
	"math/big"
	"slices"
	"time"

	"github.com/tapeline/tapeline/internal/market"
)

// Scale is how many digits stand behind the point of all numbers here.
const Scale = 10

// one is 1 at Scale.
const one = 10_000_000_000

// Column names a number of a row.
type Column uint8

// The columns.
const (
	Open Column = iota
	High
	Low
	Close
	AdjClose
	Volume
	Dividend
	Split
	Gain
	columns
)

var columnNames = [columns]string{
	"open", "high", "low", "close", "adj_close", "volume", "dividend", "split", "capital_gain",
}

// String returns the column's name.
func (c Column) String() string { return columnNames[c] }

// scaleOf is how many digits of a column stand behind the point: volume is counted.
func scaleOf(c Column) int {
	if c == Volume {
		return 0
	}
	return Scale
}

// absent is a number that is not there.
const absent = math.MinInt64

// Row is one bar with what happened before it opened.
type Row struct {
	Time   time.Time
	Values [columns]int64 // at Scale, volume in whole shares
}

func (r *Row) has(c Column) bool { return r.Values[c] != absent }

// valid reports whether the row has all prices.
func (r *Row) valid() bool {
	for c := Open; c <= Close; c++ {
		if !r.has(c) || r.Values[c] <= 0 {
			return false
		}
	}
	return true
}

func (r *Row) number(c Column) float64 {
	if !r.has(c) {
		return 0
	}
	if c == Volume {
		return float64(r.Values[c])
	}
	return float64(r.Values[c]) / one
}

// adjustment is the row's adjusted price over its price, 1 where it has none.
func (r *Row) adjustment() float64 {
	if !r.has(AdjClose) || r.Values[AdjClose] <= 0 || r.Values[Close] <= 0 {
		return 1
	}
	return float64(r.Values[AdjClose]) / float64(r.Values[Close])
}

// The rules.
const (
	RuleUnit          = "unit_100"            // prices are 100 times too large or small
	RuleSplit         = "split_adjustment"    // a split that the file states is applied once too seldom or too often
	RuleCell          = "cell_unit_100"       // one price of a row is 100 times too large or small
	RuleGains         = "gains_counted_twice" // capital gains stand in the dividend too
	RuleDividendUnit  = "dividend_unit_100"   // a dividend is 100 times too large or small
	RuleDividendSplit = "dividend_split"      // a dividend lacks the split of its day
	RuleDividendTwice = "dividend_twice"      // a dividend is stated twice within days
	RuleDividendDay   = "dividend_day"        // a dividend is stated a session early
	RuleAdjustment    = "adjustment"          // adjusted prices before a dividend do not follow from it
)

// Rules says what each rule finds and what it does about it.
func Rules() [][2]string {
	return [][2]string{
		{RuleUnit, "the level of prices changes 60- to 165-fold between sessions: older rows are divided or multiplied by 100"},
		{RuleSplit, "the level changes by about a stated split where none is due: the rows off the level are divided or multiplied by it, their volume the other way"},
		{RuleCell, "one price is 40 to 250 times off the closes around it: divided or multiplied by 100"},
		{RuleGains, "on two of three such days the price fell by the dividend, not by dividend and gain: the gain is taken out of the dividend"},
		{RuleDividendUnit, "a dividend above 3.5 % moved the price by its hundredth, or all small ones by their hundredfold: divided or multiplied by 100"},
		{RuleDividendSplit, "the adjusted prices follow from the dividend over the split of its day: divided by it"},
		{RuleDividendTwice, "two dividends within 17 days differ by less than 8 %: the later one is 0, unless the price fell far more on it"},
		{RuleDividendDay, "the price fell by the dividend on the next session and not on its own: moved there"},
		{RuleAdjustment, "adjusted over price before a dividend is not 1 - dividend / close before: all adjusted prices before are rescaled"},
	}
}

// Change is one cell that was repaired.
type Change struct {
	Row      int // of the series
	Column   Column
	Old, New int64
	Rule     string
}

// Series is an instrument's rows by time, oldest first.
type Series struct {
	Rows []Row

	original []Row
	rules    map[cell]string
}

type cell struct {
	row    int
	column Column
}

// spacing is how far apart rows usually are.
type spacing uint8

const (
	intraday spacing = iota
	daily
	longer
)

func (s *Series) spacing() spacing {
	if len(s.Rows) < 2 {
		return daily
	}
	gaps := make([]time.Duration, 0, len(s.Rows)-1)
	for i := 1; i < len(s.Rows); i++ {
		gaps = append(gaps, s.Rows[i].Time.Sub(s.Rows[i-1].Time))
	}
	slices.Sort(gaps)
	switch usual := gaps[len(gaps)/2]; {
	case usual < 20*time.Hour:
		return intraday
	case usual < 5*24*time.Hour:
		return daily
	}
	return longer
}

// Repair undoes the faults it finds and returns the cells it changed, by row.
func (s *Series) Repair() []Change {
	s.original, s.rules = slices.Clone(s.Rows), map[cell]string{}
	s.levels()
	s.cells()
	if s.spacing() == daily { // a dividend shows in daily prices only
		s.gains()
		s.dividends()
	}
	var changes []Change
	for i := range s.Rows {
		for c := range columns {
			if before, now := s.original[i].Values[c], s.Rows[i].Values[c]; before != now {
				changes = append(changes, Change{Row: i, Column: c, Old: before, New: now, Rule: s.rules[cell{i, c}]})
			}
		}
	}
	return changes
}

// set changes a cell for a reason; the first reason stands.
func (s *Series) set(row int, c Column, value int64, rule string) {
	if s.Rows[row].Values[c] == value {
		return
	}
	s.Rows[row].Values[c] = value
	if _, ok := s.rules[cell{row, c}]; !ok {
		s.rules[cell{row, c}] = rule
	}
}

// validRows are the numbers of the rows that have all prices.
func (s *Series) validRows() []int {
	var list []int
	for i := range s.Rows {
		if s.Rows[i].valid() {
			list = append(list, i)
		}
	}
	return list
}

// scaled returns v × by, rounded half up, and v itself where the result would not fit.
func scaled(v int64, by *big.Rat) int64 {
	if v == absent {
		return v
	}
	n := new(big.Int).Mul(big.NewInt(v), by.Num())
	n.Add(n.Lsh(n, 1), by.Denom()) // (2n + d) / 2d
	n.Div(n, new(big.Int).Lsh(by.Denom(), 1))
	if !n.IsInt64() || n.Int64() == absent {
		return v
	}
	return n.Int64()
}

// ratio is a / b.
func ratio(a, b int64) *big.Rat { return big.NewRat(a, b) }

// Format returns a number of a column without needless zeros.
func Format(c Column, v int64) string {
	if v == absent {
		return ""
	}
	text := market.FormatFixed(v, scaleOf(c))
	if scaleOf(c) == 0 {
		return text
	}
	end := len(text)
	for text[end-1] == '0' {
		end--
	}
	if text[end-1] == '.' {
		end--
	}
	return text[:end]
}

// median of a list, which it sorts.
func median(list []float64) float64 {
	slices.Sort(list)
	n := len(list)
	if n%2 == 1 {
		return list[n/2]
	}
	return (list[n/2-1] + list[n/2]) / 2
}

// deviation is the standard deviation of a list without its outliers: 1.4826 times the median distance
// from the median.
func deviation(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	middle := median(slices.Clone(list))
	distances := make([]float64, len(list))
	for i, v := range list {
		distances[i] = math.Abs(v - middle)
	}
	return 1.4826 * median(distances)
}
