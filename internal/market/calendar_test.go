package market

import (
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

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
		if compared < len(golden) && (mic == XSHG || mic == XNYS) {
			t.Errorf("%s: only %d of %d sessions lie in %s", mic, compared, len(golden), c.Covers())
		}
		t.Logf("%s: %d of %d sessions compared", mic, compared, len(golden))
	}
}

func calendarOf(t testing.TB, mic MIC) *Calendar {
	t.Helper()
	c, err := CalendarOf(mic)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func dateOf(t testing.TB, text string) Date {
	t.Helper()
	d, err := ParseDate(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestCalendarAgainstWalk holds counting, listing and stepping against a walk from day to day.
func TestCalendarAgainstWalk(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		mic := rapid.SampledFrom([]MIC{XSHG, XSHE, BJSE, XNYS, XNAS, Binance}).Draw(t, "mic")
		c, err := CalendarOf(mic)
		if err != nil {
			t.Fatal(err)
		}
		within := c.Covers().Intersect(Interval{DateOf(1990, 1, 1), DateOf(2026, 12, 1)})
		from := Date(rapid.IntRange(int(within.From), int(within.To)).Draw(t, "from"))
		to := min(within.To, from+Date(rapid.IntRange(-2, 400).Draw(t, "length")))
		var want []Date
		for d := from; d <= to; d++ {
			if open, err := c.IsOpen(d); err != nil {
				t.Fatal(err)
			} else if open {
				want = append(want, d)
			}
		}
		got, err := c.Open(from, to)
		n, err2 := c.Count(from, to)
		if err != nil || err2 != nil || !slices.Equal(got, want) || n != len(want) {
			t.Fatalf("%s %s..%s: %v and %d, %v, %v; want %v", mic, from, to, got, n, err, err2, want)
		}
		for i := 1; i < len(want); i++ {
			next, err := c.Next(want[i-1])
			previous, err2 := c.Previous(want[i])
			if err != nil || err2 != nil || next != want[i] || previous != want[i-1] {
				t.Fatalf("%s: after %s %s, before %s %s; %v, %v", mic, want[i-1], next, want[i], previous, err, err2)
			}
		}
	})
}

// TestCalendarBounds: what a calendar does not know is an error, never a closed day.
func TestCalendarBounds(t *testing.T) {
	t.Parallel()
	c := calendarOf(t, XSHG)
	late := c.Covers().To + 1
	for name, ask := range map[string]func() error{
		"is open":  func() error { _, err := c.IsOpen(late); return err },
		"sessions": func() error { _, err := c.Sessions(c.Covers().From - 1); return err },
		"open":     func() error { _, err := c.Open(late-5, late); return err },
		"count":    func() error { _, err := c.Count(late-5, late); return err },
		"next":     func() error { _, err := c.Next(late - 1); return err },
		"previous": func() error { _, err := c.Previous(c.Covers().From); return err },
		"market":   func() error { _, err := CalendarOf("XXXX"); return err },
	} {
		if err := ask(); !errors.Is(err, ErrNotCovered) || !strings.Contains(err.Error(), "XSHG") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if dates, err := c.Open(late, late-5); err != nil || len(dates) != 0 {
		t.Errorf("an empty range: %v, %v", dates, err)
	}
	if b := calendarOf(t, BJSE); b.Covers().From != dateOf(t, "2021-11-15") || b.MIC() != BJSE || b.Zone().String() != "Asia/Shanghai" {
		t.Error(b.Covers(), b.MIC(), b.Zone())
	}
	// 24x7: a weekend night is a session of one UTC day.
	always := calendarOf(t, Kraken)
	sessions, err := always.Sessions(dateOf(t, "2024-06-01"))
	day := time.Date(2024, 6, 1, 0, 0, 0, 0, time.UTC)
	if want := []Session{{day, day.AddDate(0, 0, 1)}}; err != nil || !cmp.Equal(sessions, want) {
		t.Error(sessions, err)
	}
}

// TestShanghaiInSummerTime: China kept summer time until 1991, and the exchange its clock.
func TestShanghaiInSummerTime(t *testing.T) {
	t.Parallel()
	c := calendarOf(t, XSHE)
	for text, utc := range map[string]string{"1991-04-12": "01:30", "1991-04-15": "00:30", "1991-09-16": "01:30"} {
		sessions, err := c.Sessions(dateOf(t, text))
		if err != nil || len(sessions) != 2 || sessions[0].Open.Format("15:04") != utc ||
			sessions[0].Open.In(c.Zone()).Format("15:04") != "09:30" {
			t.Errorf("%s: %v, %v; want to open at %s UTC", text, sessions, err, utc)
		}
	}
}

// easter returns Easter Sunday (Gauss, Butcher).
func easter(year int) Date {
	a, b, c := year%19, year/100, year%100
	h := (19*a + b - b/4 - (b-(b+8)/25+1)/3 + 15) % 30
	l := (32 + 2*(b%4) + 2*(c/4) - h - c%4) % 7
	m := (a + 11*h + 22*l) / 451
	n := h + l - 7*m + 114
	return DateOf(year, time.Month(n/31), n%31+1)
}

// weekday returns the n-th day of a kind in a month, or with -1 the last.
func weekday(year int, month time.Month, day time.Weekday, n int) Date {
	if n < 0 {
		d := DateOf(year, month+1, 1) - 1
		return d - Date((7+d.Weekday()-day)%7)
	}
	d := DateOf(year, month, 1)
	return d + Date((7+day-d.Weekday())%7) + Date(7*(n-1))
}

// observed moves a holiday from the weekend, as New York does.
func observed(d Date) Date {
	switch d.Weekday() {
	case time.Saturday:
		return d - 1
	case time.Sunday:
		return d + 1
	}
	return d
}

// newYorkRules are the closures of a year by the exchange's rule 7.2, as a second statement of them.
func newYorkRules(year int) []Date {
	closed := []Date{
		weekday(year, 2, time.Monday, 3), easter(year) - 2, weekday(year, 5, time.Monday, -1),
		observed(DateOf(year, 7, 4)), weekday(year, 9, time.Monday, 1), weekday(year, 11, time.Thursday, 4),
		observed(DateOf(year, 12, 25)),
	}
	if d := DateOf(year, 1, 1); d.Weekday() != time.Saturday {
		closed = append(closed, observed(d))
	}
	if year >= 1998 {
		closed = append(closed, weekday(year, 1, time.Monday, 3))
	}
	if year >= 2022 {
		closed = append(closed, observed(DateOf(year, 6, 19)))
	}
	for _, special := range [][3]int{
		{1994, 4, 27},
		{2001, 9, 11},
		{2001, 9, 12},
		{2001, 9, 13},
		{2001, 9, 14},
		{2004, 6, 11},
		{2007, 1, 2},
		{2012, 10, 29},
		{2012, 10, 30},
		{2018, 12, 5},
		{2025, 1, 9},
	} {
		if special[0] == year {
			closed = append(closed, DateOf(year, time.Month(special[1]), special[2]))
		}
	}
	slices.Sort(closed)
	return closed
}

// TestClosuresByRule: every closure of the tables is a rule's, and the other way round.
func TestClosuresByRule(t *testing.T) {
	t.Parallel()
	for mic, rules := range map[MIC]func(int) []Date{XNYS: newYorkRules, XLON: londonRules} {
		c := calendarOf(t, mic)
		for year := c.Covers().From.Year(); year <= c.Covers().To.Year(); year++ {
			var got []Date
			for d := DateOf(year, 1, 1); d <= DateOf(year, 12, 31); d++ {
				if w := d.Weekday(); w != time.Saturday && w != time.Sunday && !c.isOpen(d) {
					got = append(got, d)
				}
			}
			if want := rules(year); !slices.Equal(got, want) {
				t.Errorf("%s %d: closed on %v, by rule %v", mic, year, got, want)
			}
		}
	}
}

// londonRules are the closures of a year in London, as a second statement of them.
func londonRules(year int) []Date {
	// A holiday on a weekend moves to the next weekday that is none.
	taken := map[Date]bool{}
	move := func(d Date) Date {
		for taken[d] || d.Weekday() == time.Saturday || d.Weekday() == time.Sunday {
			d++
		}
		taken[d] = true
		return d
	}
	may, spring := weekday(year, 5, time.Monday, 1), weekday(year, 5, time.Monday, -1)
	extra := []Date{}
	switch year {
	case 1995, 2020: // anniversaries of 8 May 1945
		may = DateOf(year, 5, 8)
	case 1999:
		extra = append(extra, DateOf(year, 12, 31))
	case 2002:
		spring, extra = DateOf(year, 6, 4), append(extra, DateOf(year, 6, 3))
	case 2011:
		extra = append(extra, DateOf(year, 4, 29))
	case 2012:
		spring, extra = DateOf(year, 6, 4), append(extra, DateOf(year, 6, 5))
	case 2022:
		spring, extra = DateOf(year, 6, 2), append(extra, DateOf(year, 6, 3), DateOf(year, 9, 19))
	case 2023:
		extra = append(extra, DateOf(year, 5, 8))
	}
	closed := append(extra, move(DateOf(year, 1, 1)), easter(year)-2, easter(year)+1, may, spring,
		weekday(year, 8, time.Monday, -1))
	// Boxing Day keeps a weekday; Christmas Day moves behind it.
	if d := DateOf(year, 12, 26); d.Weekday() == time.Monday {
		closed = append(closed, d, d+1)
	} else {
		closed = append(closed, move(DateOf(year, 12, 25)), move(d))
	}
	slices.Sort(closed)
	return closed
}

// TestTokyoAndHongKong spot-checks notices of the exchanges: days that rules of thumb get wrong.
func TestTokyoAndHongKong(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mic  MIC
		date string
		want string // sessions in the exchange's clock; "" is closed
	}{
		{XTKS, "2019-04-30", ""},
		{XTKS, "2019-05-02", ""},
		{XTKS, "2019-12-23", "09:00-11:30 12:30-15:00"},
		{XTKS, "2020-02-24", ""},
		{XTKS, "2020-07-20", "09:00-11:30 12:30-15:00"},
		{XTKS, "2020-07-23", ""},
		{XTKS, "2020-10-01", ""},
		{XTKS, "2021-08-09", ""},
		{XTKS, "2015-09-22", ""},
		{XTKS, "2026-09-22", ""},
		{XTKS, "2024-11-04", ""},
		{XTKS, "2024-11-01", "09:00-11:30 12:30-15:00"},
		{XTKS, "2024-11-05", "09:00-11:30 12:30-15:30"},
		{XTKS, "2025-12-30", "09:00-11:30 12:30-15:30"},
		{XTKS, "2025-12-31", ""},
		{XTKS, "2026-01-02", ""},
		{XTKS, "2026-01-05", "09:00-11:30 12:30-15:30"},
		{XHKG, "2025-01-28", "09:30-12:00"},
		{XHKG, "2025-01-31", ""},
		{XHKG, "2025-02-03", "09:30-12:00 13:00-16:00"},
		{XHKG, "2025-10-07", ""},
		{XHKG, "2026-04-07", ""},
		{XHKG, "2026-04-08", "09:30-12:00 13:00-16:00"},
		{XHKG, "2026-12-28", "09:30-12:00 13:00-16:00"},
	} {
		calendar := calendarOf(t, c.mic)
		sessions, err := calendar.Sessions(dateOf(t, c.date))
		if err != nil {
			t.Fatal(err)
		}
		var parts []string
		for _, s := range sessions {
			parts = append(parts, s.Open.In(calendar.Zone()).Format("15:04")+"-"+s.Close.In(calendar.Zone()).Format("15:04"))
		}
		if got := strings.Join(parts, " "); got != c.want {
			t.Errorf("%s %s: %q, want %q", c.mic, c.date, got, c.want)
		}
	}
}

// TestNewYorkAgainstMarketHours compares with the second source there is: a table of market hours.
func TestNewYorkAgainstMarketHours(t *testing.T) {
	t.Parallel()
	file, err := os.Open(filepath.Join(testenv.Data(t, "market_metadata_lean"), "market-hours-database.json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	var table struct {
		Entries map[string]struct {
			Holidays    []string
			EarlyCloses map[string]string
		}
	}
	if err := json.NewDecoder(unzipped).Decode(&table); err != nil {
		t.Fatal(err)
	}
	entry := table.Entries["Equity-usa-[*]"]
	c := calendarOf(t, XNYS)
	american := func(text string) Date {
		at, err := time.Parse("1/2/2006", text)
		if err != nil {
			t.Fatal(err)
		}
		return From(at)
	}
	holidays := map[Date]bool{}
	for _, text := range entry.Holidays {
		holidays[american(text)] = true
	}
	first, last := DateOf(1998, 1, 1), DateOf(2027, 12, 31)
	for d := first; d <= last; d++ {
		if w := d.Weekday(); w != time.Saturday && w != time.Sunday && holidays[d] == c.isOpen(d) {
			t.Errorf("%s: open %t, the table says %t", d, c.isOpen(d), !holidays[d])
		}
	}
	for text, close := range entry.EarlyCloses {
		d := american(text)
		if d < first || d > last || d.Weekday() == time.Sunday { // it has Christmas Eve of 2017
			continue
		}
		sessions, err := c.Sessions(d)
		if err != nil || len(sessions) != 1 || sessions[0].Close.In(c.Zone()).Format("15:04:05") != close {
			t.Errorf("%s: %v, %v; the table says it closes at %s", d, sessions, err, close)
		}
	}
	t.Log(len(holidays), "holidays,", len(entry.EarlyCloses), "early closes")
}

// TestOverlay: a provider's days extend the calendar; what contradicts it is told and not taken.
func TestOverlay(t *testing.T) {
	t.Parallel()
	c := calendarOf(t, XSHG)
	end := c.Covers().To
	days := []Day{
		{end + 2, true},
		{end + 1, false},
		{end + 4, true},                 // a hole at end+3
		{dateOf(t, "2024-01-02"), true}, // agrees
		{dateOf(t, "2024-01-03"), false},
		{dateOf(t, "2024-01-01"), true},
		{dateOf(t, "2024-01-03"), false}, // again
	}
	wider, found, err := c.Overlay(days)
	if err != nil {
		t.Fatal(err)
	}
	want := []Disagreement{{Day{dateOf(t, "2024-01-01"), true}, XSHG}, {Day{dateOf(t, "2024-01-03"), false}, XSHG}}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := found[0].String(); got != "XSHG 2024-01-01: the provider says open, the built-in calendar closed" {
		t.Error(got)
	}
	if got := wider.Covers(); got != (Interval{c.Covers().From, end + 2}) || c.Covers().To != end {
		t.Errorf("covers %s, and the first %s", got, c.Covers())
	}
	for d, want := range map[Date]bool{end + 1: false, end + 2: true, dateOf(t, "2024-01-03"): true, dateOf(t, "2024-01-01"): false} {
		if open, err := wider.IsOpen(d); err != nil || open != want {
			t.Errorf("%s: %t, %v", d, open, err)
		}
	}
	for d := c.Covers().From; d <= end; d++ {
		if wider.isOpen(d) != c.isOpen(d) {
			t.Fatal(d)
		}
	}
	if sessions, err := wider.Sessions(end + 2); err != nil || len(sessions) != 2 {
		t.Error(sessions, err)
	}
	if earlier, _, err := calendarOf(t, BJSE).Overlay([]Day{{dateOf(t, "2021-11-14"), false}}); err != nil || earlier.Covers().From != dateOf(t, "2021-11-14") {
		t.Error(err)
	} else if sessions, err := earlier.Sessions(dateOf(t, "2021-11-15")); err != nil || len(sessions) != 2 {
		t.Error(sessions, err)
	}
	if same, found, err := c.Overlay(nil); same != c || found != nil || err != nil {
		t.Error(found, err)
	}
	if _, _, err := c.Overlay([]Day{{end + 1, true}, {end + 1, false}}); err == nil || !strings.Contains(err.Error(), "both as open and as closed") {
		t.Error(err)
	}
	always := calendarOf(t, Binance)
	if _, found, err := always.Overlay([]Day{{5, false}}); err != nil || len(found) != 1 {
		t.Error(found, err)
	}
}

func TestDaysOf(t *testing.T) {
	t.Parallel()
	d, _ := DatasetByName(CalendarDay)
	rows := rowsOf(t, d.Schema, cells{"mic": "XSHG", "is_open": "true"},
		cells{"date": "2024-01-02"}, cells{"date": "2024-01-03", "mic": "XNYS"}, cells{"date": "2024-01-06", "is_open": "false"})
	got, err := DaysOf(rows, XSHG)
	if want := []Day{{dateOf(t, "2024-01-02"), true}, {dateOf(t, "2024-01-06"), false}}; err != nil || !slices.Equal(got, want) {
		t.Error(got, err)
	}
	if _, err := DaysOf(rowsOf(t, UnitSchema(), nil), XSHG); err == nil || !strings.Contains(err.Error(), "want mic, date, is_open") {
		t.Error(err)
	}
}

// TestCalendarText: mistakes in the text are found, with their line.
func TestCalendarText(t *testing.T) {
	t.Parallel()
	const head = "calendar XSHG Asia/Shanghai 2020-01-01 2020-12-31\nhours 2020-01-01 09:30-15:00\n"
	for text, want := range map[string]string{
		"closed 2020 0101": "line 1: \"closed\" before the first calendar",
		"calendar XSHG Nowhere/City 2020-01-01 2020-12-31":                      "zone of XSHG",
		"calendar XSHG UTC 2020-01-01 x":                                        "date \"x\"",
		"calendar XSHG UTC 2020-12-31 2020-01-01":                               "want an ascending range",
		"calendar XSHG UTC 2020-01-01 2020-12-31":                               "XSHG has no hours",
		"calendar XSHG UTC x 2020-01-01":                                        "date \"x\"",
		head + "calendar XSHG UTC 2020-01-01 2020-12-31":                        "line 3: a second calendar of XSHG",
		head + "always XSHG":                                                    "a second calendar",
		head + "also XSHG 2020-01-01":                                           "a second calendar",
		head + "also XSHE x":                                                    "date \"x\"",
		head + "also XSHE 2019-01-01":                                           "outside",
		head + "closed 2020 0104":                                               "2020-01-04 changes nothing",
		head + "extra 2020 0103":                                                "2020-01-03 changes nothing",
		head + "closed 2020 0110-0102":                                          "is empty or outside",
		head + "closed 2021 0101":                                               "is empty or outside",
		head + "closed 2020 0140":                                               "date \"20200140\"",
		head + "hours 2020-01-01 09:30-15:00":                                   "the others ascend",
		head + "hours x 09:30-15:00":                                            "date \"x\"",
		head + "hours 2020-02-01 9-15":                                          "hours \"9-15\"",
		head + "hours 2020-02-01 09:30":                                         "hours \"09:30\"",
		head + "hours 2020-02-01 15:00-09:30":                                   "do not ascend",
		head + "hours 2020-02-01 09:30-11:30 11:00-15:00":                       "do not ascend",
		head + "special 09:30-13:00 2020-01-04 2020-01-06":                      "2020-01-04, which is no session",
		head + "special 09:30-13:00 2020-01-06 2020-01-06":                      "twice",
		head + "special 2020-01-06 2020-01-07 2020-01-08":                       "without hours or dates",
		head + "special 09:30-13:00 9:x-1 2020-01-08":                           "hours \"9:x-1\"",
		head + "special 09:30-13:00 10x 2020-01-08":                             "date \"10x\"",
		head + "shut 2020 0101":                                                 "\"shut\" with 2 arguments is not known",
		"calendar XSHG UTC 2020-01-01 2020-12-31\nhours 2020-02-01 09:30-15:00": "the first start where the calendar does",
		"calendar XSHG UTC 2020-01-01 2020-12-31\nalso XSHE 2020-01-01":         "before the hours",
	} {
		if _, err := parseCalendars(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	all, err := parseCalendars(head + "# words\n\nextra 2020 0104\nhours 2020-07-01 <17:00-17:00\nspecial 10:00-11:00 2020-01-06\n")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"2020-01-04": "2020-01-04T01:30:00Z 2020-01-04T07:00:00Z", "2020-01-06": "2020-01-06T02:00:00Z 2020-01-06T03:00:00Z",
		"2020-07-01": "2020-06-30T09:00:00Z 2020-07-01T09:00:00Z",
	} {
		sessions, err := all[XSHG].Sessions(dateOf(t, text))
		if err != nil || len(sessions) != 1 {
			t.Fatal(sessions, err)
		}
		if got := sessions[0].Open.Format(time.RFC3339) + " " + sessions[0].Close.Format(time.RFC3339); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func FuzzCalendarText(f *testing.F) {
	f.Add(calendarsText[:3000])
	f.Add("calendar X UTC 2020-01-01 2020-01-31\nhours 2020-01-01 <23:00-22:00\nclosed 2020 0102-0110\n")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := parseCalendars(text)
		if err != nil {
			return
		}
		for mic, c := range all {
			d := c.Covers().To
			if _, err := c.Sessions(d); err != nil {
				t.Fatalf("%s %s: %v", mic, d, err)
			}
		}
	})
}
