package sim

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tapeline/tapeline/internal/testenv"
)

// TestCalendar compares with the sessions of an independent list.
func TestCalendar(t *testing.T) {
	file, err := os.Open(filepath.Join(testenv.Data(t, "trading_calendars"), "xshg.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, row := range rows[1:] {
		if row[0] >= "1991" {
			want = append(want, row[0][:10])
		}
	}
	from, to := DateOf(1991, time.January, 1), DateOf(2026, time.December, 31)
	var got []string
	for _, day := range ChineseCalendar(from, to).Open(from-10, to+10) {
		got = append(got, day.String())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestCalendarUnlisted(t *testing.T) {
	c := ChineseCalendar(DateOf(2030, time.January, 1), DateOf(2030, time.December, 31))
	for text, want := range map[string]bool{
		"2030-01-01": false, "2030-01-02": true, "2030-05-03": false, "2030-05-06": true, "2030-10-07": false,
		"2030-10-08": true, "2030-06-08": false, "2029-12-31": false, "2031-01-02": false,
	} {
		day, err := ParseDate(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.IsOpen(day); got != want {
			t.Errorf("%s: open %t, want %t", text, got, want)
		}
	}
}

// TestSyntheticIsSound holds every bar of a market to the rules that real ones obey.
func TestSyntheticIsSound(t *testing.T) {
	m := makeMarket(t, 11, 400)
	from, to := m.Calendar().From(), m.Calendar().To()
	seen := map[string]int{}
	for _, s := range m.Securities() {
		bars, actions := m.Bars(nil, s.Code, from, to), m.Actions(s.Code)
		if s.IPO >= from && len(bars) > 0 && bars[0].Date != s.IPO {
			t.Errorf("%s: first bar %s, listed %s", s.Code, bars[0].Date, s.IPO)
		}
		count := func(what string, is bool) {
			if is {
				seen[what]++
			}
		}
		count("delisted", s.Out != 0)
		count("listed", s.IPO > from)
		count("renamed", s.Renamed != "")
		days := m.Calendar().Open(max(from, s.IPO), to)
		if s.Out != 0 {
			days = m.Calendar().Open(max(from, s.IPO), s.Out-1)
		}
		if len(days) != len(bars) {
			t.Fatalf("%s: %d bars on %d days of its life", s.Code, len(bars), len(days))
		}
		for i, b := range bars {
			if b.Date != days[i] {
				t.Fatalf("%s: bar %d is of %s, want %s", s.Code, i, b.Date, days[i])
			}
			if why := unsound(s, b); why != "" {
				t.Fatalf("%s %s: %s: %+v", s.Code, b.Date, why, b)
			}
			state := m.State(s.Code, b.Date)
			if want := (State{Listed: true, Trading: b.Trading, ST: b.ST}); state != want {
				t.Fatalf("%s %s: state %+v, want %+v", s.Code, b.Date, state, want)
			}
			count("paused", !b.Trading)
			count("blank", !b.Trading && b.Empty&ColumnVolume != 0)
			count("ST", b.ST)
		}
		seen["ex"] += len(actions)
		checkActions(t, s.Code, bars, actions)
	}
	for _, what := range []string{"delisted", "listed", "renamed", "paused", "blank", "ST", "ex"} {
		if seen[what] == 0 {
			t.Errorf("nothing is %s: %v", what, seen)
		}
	}
}

// checkActions: preclose and close differ on ex-right days alone, and explain the factor.
func checkActions(t *testing.T, code string, bars []Bar, actions []Action) {
	t.Helper()
	ex := map[Date]Action{}
	for _, a := range actions {
		ex[a.Ex] = a
	}
	back := int64(factorOne)
	for i := 1; i < len(bars); i++ {
		b, before := bars[i], bars[i-1].Close
		a, isEx := ex[b.Date]
		if isEx != (b.Preclose != before) {
			t.Fatalf("%s %s: preclose %d after close %d, action %t", code, b.Date, b.Preclose, before, isEx)
		}
		if !isEx {
			continue
		}
		delete(ex, b.Date)
		back = (back*before + b.Preclose/2) / b.Preclose
		if a.Back != back {
			t.Fatalf("%s %s: factor %d, want %d", code, b.Date, a.Back, back)
		}
		value := (before*100 - a.Cash) * factorOne / (factorOne + a.Bonus + a.Transfer)
		if off := value/100 - b.Preclose; off > 51 || off < -51 {
			t.Errorf("%s %s: the dividend makes %d of %d, not %d", code, b.Date, value/100, before, b.Preclose)
		}
	}
	if len(ex) > 0 {
		t.Errorf("%s: actions on days without a bar: %v", code, ex)
	}
}

// unsound says what is wrong with a bar.
func unsound(s Security, b Bar) string {
	tick, band := int64(100), int64(200)
	if s.Kind == Stock && !strings.HasPrefix(s.Code, "sz.30") && !strings.HasPrefix(s.Code, "sh.688") {
		band = 100
		if b.ST {
			band = 50
		}
	}
	switch s.Kind {
	case ETF:
		tick = 10
	case Index:
		tick = 1
	}
	limit := b.Preclose*band/1000 + tick
	switch {
	case b.Low <= 0 || b.Low > b.Open || b.Low > b.Close || b.High < b.Open || b.High < b.Close:
		return "low and high"
	case b.High > b.Preclose+limit || b.Low < b.Preclose-limit:
		return "daily limit"
	case b.Open%tick != 0 || b.High%tick != 0 || b.Low%tick != 0 || b.Close%tick != 0 || b.Preclose%tick != 0:
		return "tick"
	case !b.Trading && (b.Volume != 0 || b.Amount != 0 || b.Low != b.Preclose || b.High != b.Preclose):
		return "suspended"
	case !b.Trading && b.Empty&ColumnTurn == 0:
		return "turn of a suspended day"
	case b.Trading && (b.Volume <= 0 || b.Amount <= 0 || b.Turn <= 0):
		return "no trade"
	case b.Change != divide((b.Close-b.Preclose)*1_000_000, b.Preclose)*100:
		return "change"
	case s.Kind == Stock && (b.PE == 0 || b.PB <= 0 || b.PS <= 0 || b.PCF == 0):
		return "ratios"
	}
	return ""
}

// TestBarsFromAnywhere: a range begun anywhere equals the same part of the whole, which a naive twin
// walks from the first day.
func TestBarsFromAnywhere(t *testing.T) {
	m := makeMarket(t, 12, 40).(*synthetic)
	from, to := m.calendar.From(), m.calendar.To()
	for _, s := range m.list {
		p := m.papers[s.Code]
		whole := m.Bars(nil, s.Code, from, to)
		w := p.walker(p.first, p.base)
		for i, b := range whole {
			if d := w.step(); d.close != b.Close || d.preclose != b.Preclose || d.paused == b.Trading {
				t.Fatalf("%s: bar %d is %+v, walked %+v", s.Code, i, b, d)
			}
		}
		for i := 0; i < len(whole); i += marksEvery { // over all pauses and events behind every mark
			if got := m.Bars(nil, s.Code, whole[i].Date, to); !slices.Equal(got, whole[i:]) {
				t.Fatalf("%s from %s: %d bars, or other ones than the %d of the whole", s.Code, whole[i].Date, len(got), len(whole)-i)
			}
		}
		for draw := range uint64(50) {
			start := from + Date(below(mix(draw, 1), int64(to-from)))
			end := start + Date(below(mix(draw, 2), 100))
			var want []Bar
			for _, b := range whole {
				if b.Date >= start && b.Date <= end {
					want = append(want, b)
				}
			}
			if got := m.Bars(nil, s.Code, start, end); !slices.Equal(got, want) {
				t.Fatalf("%s %s to %s: got %d bars, want %d", s.Code, start, end, len(got), len(want))
			}
		}
	}
	if got := m.Bars(nil, "sh.699999", from, to); got != nil {
		t.Errorf("unknown code: %v", got)
	}
	if got := m.Bars(nil, "sh.600000", to, from); got != nil {
		t.Errorf("range turned round: %v", got)
	}
	if m.Actions("sh.699999") != nil || m.State("sh.699999", from).Listed {
		t.Error("an unknown code has a history")
	}
}

// TestAdjusted: what the server says for adjustflag 1 and 2 is raw x factor, to the tenth decimal.
func TestAdjusted(t *testing.T) {
	m := makeMarket(t, 13, 60)
	s := serve(t, Config{Market: m})
	c := login(t, s)
	adjusted := 0
	for _, security := range m.Securities() {
		code := security.Code
		fields := "date,open,high,low,close,preclose,volume"
		raw := c.kdata(t, code, fields, "2019-01-01", "2023-12-31", "d", "3")
		back := c.kdata(t, code, fields, "2019-01-01", "2023-12-31", "d", "1")
		fore := c.kdata(t, code, fields, "2019-01-01", "2023-12-31", "d", "2")
		factors := c.query(t, "15", "f", code, "2019-01-01", "2023-12-31").rows
		if len(back) != len(raw) || len(fore) != len(raw) {
			t.Fatalf("%s: %d raw, %d back, %d fore", code, len(raw), len(back), len(fore))
		}
		one, latest := int64(factorOne), int64(factorOne)
		if len(factors) > 0 {
			latest = number(t, factors[len(factors)-1][3], 6)
			adjusted++
		}
		for i, row := range raw {
			backFactor, foreFactor := one, (one*factorOne+latest/2)/latest
			for _, f := range factors {
				if f[1] <= row[0] {
					foreFactor, backFactor = number(t, f[2], 6), number(t, f[3], 6)
				}
			}
			for k := 1; k <= 5; k++ {
				price := number(t, row[k], 4)
				if got, want := number(t, back[i][k], 10), price*backFactor; got != want || len(back[i][k]) < 12 {
					t.Fatalf("%s %s backward: got %s of %s", code, row[0], back[i][k], row[k])
				}
				if got, want := number(t, fore[i][k], 10), price*foreFactor; got != want {
					t.Fatalf("%s %s forward: got %s of %s x %d", code, row[0], fore[i][k], row[k], foreFactor)
				}
			}
			if back[i][6] != row[6] {
				t.Fatalf("%s %s: the volume is adjusted", code, row[0])
			}
		}
	}
	if adjusted < 30 {
		t.Errorf("only %d codes have factors", adjusted)
	}
}

func TestSyntheticRefuses(t *testing.T) {
	day := DateOf(2024, time.January, 1)
	for _, c := range []struct {
		symbols  int
		from, to Date
		want     string
	}{
		{0, day, day + 30, "want 1 to 9000"},
		{9001, day, day + 30, "want 1 to 9000"},
		{1, day + 1, day, "is after the last"},
		{1, day, day, "no trading day"},
	} {
		if _, err := Synthetic(1, c.symbols, c.from, c.to); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v", c, err)
		}
	}
	if m, err := Synthetic(1, maxSymbols, day, day+5); err != nil {
		t.Error(err)
	} else if codes := codesOf(m); len(codes) != len(slices.Compact(slices.Clone(codes))) {
		t.Error("two securities have one code")
	}
}

func codesOf(m Market) []string {
	var codes []string
	for _, s := range m.Securities() {
		codes = append(codes, s.Code)
	}
	return codes
}

// TestCodeChange: before the day only the old code is known, from it on only the new one, which has
// the whole history.
func TestCodeChange(t *testing.T) {
	m := makeMarket(t, 1, 30)
	var old Security
	for _, s := range m.Securities() {
		if s.Renamed != "" {
			old = s
		}
	}
	if old.Code == "" {
		t.Fatal("no code changes")
	}
	s := serve(t, Config{Market: m})
	c := login(t, s)
	for _, when := range []struct {
		now         Date
		known, gone string
	}{{old.Until - 1, old.Code, old.Renamed}, {old.Until, old.Renamed, old.Code}} {
		s.SetNow(when.now.Time().Add(20 * time.Hour))
		if got := c.query(t, "45", "b", when.known, "").rows; len(got) != 1 {
			t.Errorf("%s: %s is listed %d times", when.now, when.known, len(got))
		}
		if got := c.query(t, "45", "b", when.gone, "").rows; len(got) != 0 {
			t.Errorf("%s: %s is listed", when.now, when.gone)
		}
		if got := c.kdata(t, when.known, "date", "2019-01-01", "2023-12-31", "d", "3"); len(got) == 0 || got[0][0] > "2021" {
			t.Errorf("%s: %s has no history", when.now, when.known)
		}
		if got := c.kdata(t, when.gone, "date", "2019-01-01", "2023-12-31", "d", "3"); len(got) != 0 {
			t.Errorf("%s: %s has bars", when.now, when.gone)
		}
	}
}

// TestRestated: some bars and factors differ until the restatement, then all is the truth.
func TestRestated(t *testing.T) {
	truth := makeMarket(t, 14, 80)
	r := NewRestated(truth, 14)
	var bars, factors int
	for _, c := range r.Changes() {
		if c.Factor {
			factors++
		} else {
			bars++
		}
	}
	if bars < 3 || factors < 3 {
		t.Fatalf("%d bars and %d factors are restated", bars, factors)
	}
	dump := func(m Market) string {
		var all bytes.Buffer
		if err := WriteOracle(&all, m, m.Calendar().To()); err != nil {
			t.Fatal(err)
		}
		if err := WriteFactors(&all, m, m.Calendar().To()); err != nil {
			t.Fatal(err)
		}
		return all.String()
	}
	want, before := dump(truth), dump(r)
	differ := 0
	wantLines, beforeLines := strings.Split(want, "\n"), strings.Split(before, "\n")
	for i := range wantLines {
		if wantLines[i] != beforeLines[i] {
			differ++
		}
	}
	if differ < bars+factors || differ > bars+factors*12 {
		t.Errorf("%d lines differ for %d bars and %d factors", differ, bars, factors)
	}
	r.Restate()
	if dump(r) != want {
		t.Error("after the restatement the market is not the truth")
	}
}

// TestOracleIsReadBack: the truth of a synthetic market, loaded as CSV, is the same market again.
func TestOracleIsReadBack(t *testing.T) {
	m := makeMarket(t, 15, 25)
	to := DateOf(2022, time.June, 30)
	dir := t.TempDir()
	var first bytes.Buffer
	if err := WriteOracle(&first, m, to); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "all.csv"), first.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	loaded, err := LoadCSV(dir, "", "")
	if err != nil {
		t.Fatal(err)
	}
	var second, factors, wantFactors bytes.Buffer
	if err := WriteOracle(&second, loaded, to); err != nil {
		t.Fatal(err)
	}
	if first.String() != second.String() {
		t.Errorf("%d bytes became %d", first.Len(), second.Len())
	}
	for _, w := range []struct {
		out *bytes.Buffer
		m   Market
	}{{&wantFactors, m}, {&factors, loaded}} {
		if err := WriteFactors(w.out, w.m, to); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(wantFactors.String(), factors.String()); diff != "" {
		t.Error(diff)
	}
	for _, write := range []error{WriteOracle(failing{}, m, to), WriteFactors(failing{}, m, to)} {
		if write == nil || !strings.Contains(write.Error(), "write oracle") {
			t.Errorf("a full disk: got %v", write)
		}
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, fmt.Errorf("no space") }
