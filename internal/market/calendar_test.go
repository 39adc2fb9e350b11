package market

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/internal/testenv"
)

// goldenSession is one line of the data set trading_calendars.
type goldenSession struct {
	date     Date
	sessions []Session
}

func readGolden(t *testing.T, path string) []goldenSession {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	records, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	instant := func(text string) time.Time {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	days := make([]goldenSession, 0, len(records))
	for _, r := range records[1:] {
		day := goldenSession{date: From(instant(r[0]))}
		if r[3] == "" {
			day.sessions = []Session{{instant(r[1]), instant(r[2])}}
		} else {
			day.sessions = []Session{{instant(r[1]), instant(r[3])}, {instant(r[4]), instant(r[2])}}
		}
		days = append(days, day)
	}
	return days
}

// TestCalendarsAgainstGolden compares every session, its open, break and close with the data set; a
// file of another exchange is compared too as soon as there is a calendar of its name.
func TestCalendarsAgainstGolden(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob(filepath.Join(testenv.Data(t, "trading_calendars"), "*.csv"))
	if err != nil || len(paths) < 2 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		mic := MIC(strings.ToUpper(strings.TrimSuffix(filepath.Base(path), ".csv")))
		c, err := CalendarOf(mic)
		if err != nil {
			t.Logf("%s: %v", path, err)
			continue
		}
		golden := readGolden(t, path)
		first, last := golden[0].date, golden[len(golden)-1].date
		first, last = max(first, c.Covers().From), min(last, c.Covers().To)
		wrong, compared, at := 0, 0, 0
		for d := first; d <= last; d++ {
			for at < len(golden) && golden[at].date < d {
				at++
			}
			var want []Session
			if at < len(golden) && golden[at].date == d {
				want = golden[at].sessions
				compared++
			}
			got, err := c.Sessions(d)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" && wrong < 20 {
				wrong++
				t.Errorf("%s %s %s (-want +got):\n%s", mic, d, d.Weekday(), diff)
			}
		}
		if compared < 5000 {
			t.Errorf("%s: only %d of %d sessions lie in %s", mic, compared, len(golden), c.Covers())
		}
		t.Logf("%s: %d of %d sessions compared", mic, compared, len(golden))
	}
}
