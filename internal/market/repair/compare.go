package repair

import (
	"fmt"
	"math"
	"slices"
)

// Difference is a cell in which two files differ.
type Difference struct {
	Line   int    `json:"line"` // of the first file
	Column string `json:"column"`
	Got    string `json:"got"`
	Want   string `json:"want"`
}

// The shares by which two numbers may differ and be the same: files are written with 6 to 17 digits, and
// adjusted prices follow from factors that vendors round.
const (
	Tolerance         = 5e-6
	AdjustedTolerance = 5e-5
)

// Compare returns the cells in which a file differs from what is expected of it, in the columns that both
// have, row by row of the same time.
func Compare(got, want *Table) ([]Difference, error) {
	if len(got.Series.Rows) != len(want.Series.Rows) {
		return nil, fmt.Errorf("%d rows, want %d", len(got.Series.Rows), len(want.Series.Rows))
	}
	var found []Difference
	for i := range got.Series.Rows {
		g, w := &got.Series.Rows[i], &want.Series.Rows[i]
		if !g.Time.Equal(w.Time) {
			return nil, fmt.Errorf("line %d: a row of %s, want %s", got.Line(i), g.Time, w.Time)
		}
		for c := range columns {
			if got.place[c] < 0 || want.place[c] < 0 || same(c, g.Values[c], w.Values[c]) {
				continue
			}
			found = append(found, Difference{
				Line: got.Line(i), Column: c.String(), Got: Format(c, g.Values[c]), Want: Format(c, w.Values[c]),
			})
		}
	}
	slices.SortFunc(found, func(a, b Difference) int { return a.Line - b.Line })
	return found, nil
}

func same(c Column, a, b int64) bool {
	if a == b {
		return true
	}
	if a == absent || b == absent {
		return false
	}
	const last = 1 // both are rounded to their last digit
	share := Tolerance
	if c == AdjClose {
		share = AdjustedTolerance
	}
	off := math.Abs(float64(a) - float64(b))
	return off <= last || off <= share*max(math.Abs(float64(a)), math.Abs(float64(b)))
}
