package market

import (
	"fmt"
	"testing"
)

func TestQuarterEnds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ from, to, want string }{
		{"2023-12-31", "2024-12-31", "[2023-12-31 2024-03-31 2024-06-30 2024-09-30 2024-12-31]"},
		{"2024-01-01", "2024-03-30", "[]"},
		{"2024-03-31", "2024-03-31", "[2024-03-31]"},
		{"2024-04-01", "2024-03-31", "[]"},
	} {
		from, err := ParseDate(c.from)
		if err != nil {
			t.Fatal(err)
		}
		to, err := ParseDate(c.to)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(QuarterEnds(Interval{from, to})); got != c.want {
			t.Errorf("%s..%s: %s, want %s", c.from, c.to, got, c.want)
		}
	}
}

// TestStatementDue: the law's days, all of them before the statements count as settled.
func TestStatementDue(t *testing.T) {
	t.Parallel()
	for end, want := range map[Date]Date{
		DateOf(2023, 12, 31): DateOf(2024, 4, 30), DateOf(2024, 3, 31): DateOf(2024, 4, 30),
		DateOf(2024, 6, 30): DateOf(2024, 8, 31), DateOf(2024, 9, 30): DateOf(2024, 10, 31),
	} {
		got := StatementDue(end)
		if got != want || got > end+SettleQuarter {
			t.Errorf("the quarter to %s is due on %s, want %s", end, got, want)
		}
	}
}
