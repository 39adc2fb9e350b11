package provider

import (
	"errors"
	"strings"
	"testing"

	"github.com/tapeline/tapeline/internal/market"
)

var againLayout = Layout{
	Dataset: market.Bar1D,
	Fields: []Field{
		{Name: "date", Column: "date", Form: DateForm},
		{Name: "open", Column: "open", Form: Decimal},
		{Name: "high", Column: "high", Form: Decimal},
		{Name: "low", Column: "low", Form: Decimal},
		{Name: "close", Column: "close", Form: Decimal},
	},
	Constants: []Constant{{Column: "trade_status", Text: "true"}},
}

// addDays adds a record for each day; x behind it makes it a bad one.
func addDays(t *testing.T, r *Rows, days string) {
	t.Helper()
	for day := range strings.FieldsSeq(days) {
		date, bad := strings.CutSuffix(day, "x")
		price := []byte("1")
		if bad {
			price = []byte("x")
		}
		if err := r.Add(&againLayout, [][]byte{[]byte(date), price, price, price, price}, []byte(day)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAgain: what one answer lacks is asked for a second time; what that one lacks too, though it has the days
// around it, has no row.
// invariant: a day is taken for one without a row only when two answers lack it
func TestAgain(t *testing.T) {
	t.Parallel()
	refusal, broken := error(&RefusalError{Rule: "no_data", Err: errors.New("none")}), errors.New("broken")
	const all = "2024-01-02 2024-01-03 2024-01-04 2024-01-05 2024-01-08" // every open day
	for _, c := range []struct {
		name, first, second string
		fails               error  // the second answer
		last                string // final day; "": long after
		asked, empty        string // for a second time; said to have no row
		records, bad        int
	}{
		{name: "nothing lacks", first: all, records: 5},
		{
			name: "lost by the first", first: "2024-01-02 2024-01-04 2024-01-05 2024-01-08", second: all,
			asked: "2024-01-02..2024-01-04", records: 5,
		},
		{
			name: "lacks twice", first: "2024-01-02 2024-01-05 2024-01-08", second: "2024-01-02 2024-01-05",
			asked: "2024-01-02..2024-01-05", empty: "2024-01-03..2024-01-04", records: 3,
		},
		{
			name: "half of it came the second time", first: "2024-01-02 2024-01-05 2024-01-08", second: "2024-01-02 2024-01-04 2024-01-05",
			asked: "2024-01-02..2024-01-05", empty: "2024-01-03", records: 4,
		},
		{
			name: "two gaps, of which the second answer spans one", first: "2024-01-02 2024-01-04 2024-01-08", second: "2024-01-02 2024-01-04",
			asked: "2024-01-02..2024-01-08", empty: "2024-01-03", records: 3,
		},
		{name: "the second is short", first: "2024-01-02 2024-01-05", second: "2024-01-02", asked: "2024-01-02..2024-01-05", records: 2},
		{name: "the second is refused", first: "2024-01-02 2024-01-05", fails: refusal, asked: "2024-01-02..2024-01-05", records: 2},
		{name: "the second fails", first: "2024-01-02 2024-01-05", fails: broken, asked: "2024-01-02..2024-01-05", records: 2},
		{
			name: "before the first row", first: "2024-01-05 2024-01-08", second: "2024-01-05",
			asked: "2024-01-02..2024-01-05", empty: "2024-01-02..2024-01-04", records: 2,
		},
		{
			name: "a bad record", first: "2024-01-02 2024-01-03x 2024-01-05 2024-01-08", second: "2024-01-02 2024-01-03x 2024-01-05",
			asked: "2024-01-03..2024-01-05", empty: "2024-01-04", records: 4, bad: 1,
		},
		{
			name: "a bad one the second time", first: "2024-01-02 2024-01-05 2024-01-08", second: "2024-01-02 2024-01-03x 2024-01-05",
			asked: "2024-01-02..2024-01-05", empty: "2024-01-04", records: 4, bad: 1,
		},
		{name: "behind the last row", first: "2024-01-02 2024-01-03", records: 2},
		{name: "new days", first: "2024-01-02 2024-01-05", last: "2024-01-12", records: 2},
		{name: "nothing at all"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			vendor := fake(nil)
			r := &Rows{Unit: unit("600000.XSHG", "2024-01-01", "2024-01-08"), vendor: &vendor, last: at("2024-03-01")}
			if c.last != "" {
				r.last = at(c.last)
			}
			addDays(t, r, c.first)
			asked := ""
			err := r.Again(func(dates market.Interval) error {
				asked = dates.String()
				addDays(t, r, c.second)
				return c.fails
			})
			if (err != nil) != errors.Is(c.fails, broken) {
				t.Errorf("%v", err)
			}
			var empty []string
			for _, none := range r.empty {
				empty = append(empty, none.Interval().String())
			}
			if got := strings.Join(empty, " "); asked != c.asked || got != c.empty || int(r.records) != c.records || len(r.bad) != c.bad {
				t.Errorf("asked for %q, %q has none, %d records, %d bad; want %q, %q, %d, %d",
					asked, got, r.records, len(r.bad), c.asked, c.empty, c.records, c.bad)
			}
		})
	}
}
