package market

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// bar returns cells of a quiet day that closes at last.
func bar(date, preclose, last string) cells {
	return cells{"date": date, "open": last, "high": last, "low": last, "close": last, "preclose": preclose, "pct_chg": "NULL"}
}

// verifyRows returns "row rule" of each finding.
func verifyRows(t *testing.T, about func(Symbol) Reference, rows ...cells) []string {
	t.Helper()
	v, err := NewVerifier(Bar1D, about)
	if err != nil {
		t.Fatal(err)
	}
	b := rowsOf(t, realSchema, goodBar, rows...)
	var got []string
	// One batch and a batch a row give the same.
	for _, e := range v.Batch(b) {
		got = append(got, fmt.Sprint(e.Row, " ", e.Rule))
	}
	if v, err = NewVerifier(Bar1D, about); err != nil {
		t.Fatal(err)
	}
	var single []string
	for i := range rows {
		for _, e := range v.Batch(b.Slice(i, i+1)) {
			single = append(single, fmt.Sprint(e.Row, " ", e.Rule))
		}
	}
	if !slices.Equal(got, single) {
		t.Errorf("one batch finds %v, a batch a row %v", got, single)
	}
	return got
}

func TestVerify(t *testing.T) {
	t.Parallel()
	calendar, err := CalendarOf(XSHG)
	if err != nil {
		t.Fatal(err)
	}
	day := func(text string) Date {
		d, err := ParseDate(text)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	factors, err := NewFactors([]FactorEvent{{day("2024-01-04"), 1_250_000}})
	if err != nil {
		t.Fatal(err)
	}
	old := &Instrument{IPO: day("1999-11-10"), Out: day("2024-01-08")}
	about := func(Symbol) Reference { return Reference{calendar, old, &factors} }
	for _, c := range []struct {
		name  string
		about func(Symbol) Reference
		rows  []cells
		want  []string
	}{
		{"good, with a split of 5 for 4", about, one(
			bar("2024-01-02", "10.00", "10.00"), bar("2024-01-03", "10.00", "10.50"),
			bar("2024-01-04", "8.40", "8.50"), bar("2024-01-05", "8.50", "8.50")), nil},
		{"twice and back", about, one(bar("2024-01-03", "10.00", "10.00"), bar("2024-01-03", "10.00", "10.00"),
			bar("2024-01-02", "10.00", "10.00")), []string{"1 duplicate_key", "2 unsorted"}},
		{
			"a Saturday and a holiday", about, one(bar("2024-01-01", "10.00", "10.00"), bar("2024-01-06", "8.00", "8.00")),
			[]string{"0 not_a_session", "1 not_a_session"},
		},
		{
			"beyond the calendar", func(Symbol) Reference { return Reference{Calendar: calendar} },
			one(bar("2099-01-05", "10.00", "10.00"), bar("2099-01-06", "9.00", "9.00")),
			[]string{"0 not_a_session", "1 not_a_session"},
		},
		{"after the listing", about, one(bar("2024-01-09", "10.00", "10.00")), []string{"0 outside_life"}},
		{
			"preclose without an event", about, one(bar("2024-01-02", "10.00", "10.00"), bar("2024-01-03", "9.90", "9.90")),
			[]string{"1 preclose_chain"},
		},
		{"a hole hides the chain", about, one(bar("2024-01-02", "10.00", "10.00"), bar("2024-01-05", "9.90", "9.90")), nil},
		{
			"an event the prices deny", about, one(bar("2024-01-03", "10.00", "10.50"), bar("2024-01-04", "10.50", "10.50")),
			[]string{"1 factor_product"},
		},
		{
			"beyond the limit", about, one(bar("2024-01-02", "10.00", "11.02"), bar("2024-01-03", "11.02", "11.02")),
			[]string{"0 limit_band"},
		},
		{
			"an ST share beyond 5 %", about, one(cells{"date": "2024-01-02", "open": "10", "high": "10.52", "low": "10", "close": "10", "is_st": "true"}),
			[]string{"0 limit_band"},
		},
		{"below the limit", about, one(bar("2024-01-02", "10.00", "8.98")), []string{"0 limit_band"}},
		{"preclose unknown", about, one(bar("2024-01-02", "NULL", "18.98")), nil},
		{"nothing known", nil, one(bar("2024-01-02", "10.00", "10.00"), bar("2024-01-06", "20.00", "40.00")), nil},
		{"no symbol", nil, one(cells{"symbol": "600000"}, cells{"symbol": "600000"}), []string{"0 symbol", "1 symbol"}},
		{"two symbols, day by day", about, one(
			cells{"symbol": "600000.XSHG"}, cells{"symbol": "600004.XSHG"},
			cells{"symbol": "600000.XSHG", "date": "2024-01-03", "preclose": "10.20"},
			cells{"symbol": "600004.XSHG", "date": "2024-01-03", "preclose": "10.10"}), []string{"3 preclose_chain"}},
	} {
		if diff := cmp.Diff(c.want, verifyRows(t, c.about, c.rows...)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// TestVerifyYoung: the first five sessions of a listing have no limit; when its date is not known,
// the first five rows.
func TestVerifyYoung(t *testing.T) {
	t.Parallel()
	calendar, err := CalendarOf(XSHG)
	if err != nil {
		t.Fatal(err)
	}
	open, err := calendar.Open(DateOf(2024, 1, 2), DateOf(2024, 1, 10))
	if err != nil {
		t.Fatal(err)
	}
	rows := make([]cells, len(open))
	for i, d := range open {
		rows[i] = bar(d.String(), "10.00", "20.00")
	}
	want := []string{"5 limit_band", "6 limit_band"}
	for name, about := range map[string]func(Symbol) Reference{
		"listing known": func(Symbol) Reference { return Reference{Calendar: calendar, Instrument: &Instrument{IPO: open[0]}} },
		"date unknown":  func(Symbol) Reference { return Reference{Calendar: calendar, Instrument: &Instrument{}} },
		"unknown":       nil,
	} {
		if diff := cmp.Diff(want, verifyRows(t, about, rows...)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestVerifyFirstSessions: how many sessions of a listing are without limit depends on board and date.
func TestVerifyFirstSessions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		symbol, ipo string
		free        int
	}{
		{"600001.XSHG", "2019-03-04", 1},
		{"601001.XSHG", "2023-04-07", 1},
		{"601001.XSHG", "2023-04-10", 5},
		{"001001.XSHE", "2023-04-10", 5},
		{"300001.XSHE", "2020-08-21", 1},
		{"300999.XSHE", "2020-08-24", 5},
		{"688001.XSHG", "2019-07-22", 5},
		{"430001.BJSE", "2023-04-10", 1},
	} {
		symbol, err := ParseSymbol(c.symbol)
		if err != nil {
			t.Fatal(err)
		}
		calendar, err := CalendarOf(symbol.MIC)
		if err != nil {
			t.Fatal(err)
		}
		ipo, err := ParseDate(c.ipo)
		if err != nil {
			t.Fatal(err)
		}
		open, err := calendar.Open(ipo, ipo+20)
		if err != nil {
			t.Fatal(err)
		}
		var rows []cells
		for _, d := range open[:8] {
			row := bar(d.String(), "10.00", "20.00")
			row["symbol"] = c.symbol
			rows = append(rows, row)
		}
		var want []string
		for row := c.free; row < len(rows); row++ {
			want = append(want, fmt.Sprint(row, " limit_band"))
		}
		about := func(Symbol) Reference { return Reference{Calendar: calendar, Instrument: &Instrument{IPO: ipo}} }
		if diff := cmp.Diff(want, verifyRows(t, about, rows...)); diff != "" {
			t.Errorf("%s of %s (-want +got):\n%s", c.symbol, c.ipo, diff)
		}
	}
}

func TestVerifyKeys(t *testing.T) {
	t.Parallel()
	d, _ := DatasetByName(AdjFactor)
	base := cells{"symbol": "600000.XSHG", "ex_date": "2024-01-02", "back_factor": "1.5"}
	v, err := NewVerifier(AdjFactor, nil)
	if err != nil {
		t.Fatal(err)
	}
	first := v.Batch(rowsOf(t, d.Schema, base, cells{}, cells{"ex_date": "2024-01-03"}))
	second := v.Batch(rowsOf(t, d.Schema, base, cells{"ex_date": "2024-01-03"}, cells{"symbol": "600004.XSHG"}))
	if len(first) != 0 || len(second) != 1 || second[0].Row != 0 || second[0].Rule != RuleDuplicate {
		t.Error(first, second)
	}
	v, err = NewVerifier(Valuation1D, nil)
	if err != nil {
		t.Fatal(err)
	}
	d, _ = DatasetByName(Valuation1D)
	base = cells{"symbol": "600000.XSHG", "date": "2024-01-02"}
	if found := v.Batch(rowsOf(t, d.Schema, base, cells{}, cells{})); len(found) != 1 || found[0].Rule != RuleDuplicate {
		t.Error(found)
	}
}

func TestLimitPercent(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		symbol, date string
		st           bool
		want         int64
	}{
		{"600000.XSHG", "2024-01-02", false, 10},
		{"600000.XSHG", "2024-01-02", true, 5},
		{"600000.XSHG", "1996-12-13", false, 0},
		{"600000.XSHG", "1996-12-16", false, 10},
		{"688981.XSHG", "2024-01-02", true, 20},
		{"300750.XSHE", "2020-08-21", false, 10},
		{"300750.XSHE", "2020-08-21", true, 10},
		{"300750.XSHE", "2020-08-24", true, 20},
		{"301001.XSHE", "2025-01-02", true, 20},
		{"300750.XSHE", "2020-08-24", false, 20},
		{"430047.BJSE", "2024-01-02", false, 30},
		{"000001.XSHG", "2024-01-02", false, 0},
		{"000001.XSHE", "2024-01-02", false, 10},
		{"510300.XSHG", "2024-01-02", false, 0},
		{"AAPL.USA", "2024-01-02", false, 0},
		{"000004.XSHE", "2020-08-24", true, 5},
		{"002001.XSHE", "2025-06-30", true, 5},
		{"002001.XSHE", "2025-07-01", true, 10},
		{"900901.XSHG", "2024-01-02", true, 5},
		{"200011.XSHE", "2024-01-02", false, 10},
		{"689009.XSHG", "2020-10-29", false, 20},
		{"920002.BJSE", "2024-05-30", true, 30},
		{"600000.XSHG", "2026-01-05", true, 10},
	} {
		s, err := ParseSymbol(c.symbol)
		if err != nil {
			t.Fatal(err)
		}
		d, err := ParseDate(c.date)
		if err != nil {
			t.Fatal(err)
		}
		if got := LimitPercent(s, d, c.st); got != c.want {
			t.Errorf("%s on %s, ST %t: %d %%, want %d", s, d, c.st, got, c.want)
		}
	}
}
