package ingest

import (
	"strconv"
	"strings"
	"testing"
)

// trendReport is a report of a sync of 1,000 records in so many seconds.
func trendReport(n int, seconds float64) Report {
	r := Report{Run: strconv.Itoa(n), Provider: "fake", Symbols: 10, Status: StatusComplete}
	r.TotalRecords, r.TotalDuration, r.OverallThroughput = 1000, seconds, 1000/seconds
	r.Phases = []Phase{
		{Name: "fetch", Records: 1000, Duration: seconds / 2, Share: 0.5}, {Name: "plan", Duration: seconds / 2, Share: 0.5},
	}
	return r
}

func TestTrend(t *testing.T) {
	other := trendReport(9, 1)
	other.Provider = "other"
	larger := trendReport(8, 100)
	larger.TotalRecords = 100_000
	history := []Report{other, trendReport(1, 9), larger, trendReport(2, 10), trendReport(3, 11), trendReport(4, 10)}
	for _, c := range []struct {
		name     string
		seconds  float64
		warnings int // the sync, and its two phases
	}{{"faster", 5, 0}, {"a tenth slower", 10 / 0.9, 0}, {"more than a tenth slower", 11.2, 3}, {"half as fast", 20, 3}} {
		got := newTrend(append([]Report{trendReport(0, c.seconds)}, history...))
		if len(got.Warnings) != c.warnings || len(got.Compared) != 5 || len(got.Figures) != 3 {
			t.Errorf("%s: %+v; want %d warnings and the five of the same work", c.name, got, c.warnings)
			continue
		}
		if sync := got.Figures[0]; sync.Usual != 100 || sync.Earlier != 4 {
			t.Errorf("%s: %+v, want the median of four syncs, 100 records/s", c.name, sync)
		}
		if c.seconds == 20 && !strings.Contains(got.Text(), "warning: sync is 50 % slower than usual: 50 records/s, the median of 4 earlier is 100") {
			t.Errorf("the text does not warn:\n%s", got.Text())
		}
	}
	for _, few := range [][]Report{nil, {trendReport(0, 1)}, {trendReport(0, 1), other}} {
		if got := newTrend(few); len(got.Figures) != 0 || !strings.Contains(got.Text(), "no earlier sync") {
			t.Errorf("with nothing to compare with: %+v", got)
		}
	}
}
