package sim

import (
	"errors"
	"io"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/text/encoding/simplifiedchinese"
)

func rules(t testing.TB, script string) []Rule {
	t.Helper()
	r, err := ParseFaults(script)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestParseFaults(t *testing.T) {
	got := rules(t, `
# a script
at 7: reset
every 100 on 95: stall 1.5s   # half a minute
from 5 on 33,35: pagecap 100
with 0.25: error 10005001
`)
	var text []string
	for _, r := range got {
		text = append(text, r.String())
	}
	want := []string{"at 7: reset", "every 100 on 95: stall 1.5s", "from 5 on 33,35: pagecap 100", "with 0.25: error 10005001"}
	if !slices.Equal(text, want) {
		t.Errorf("got %q", text)
	}
	if got[1].span != 1500*time.Millisecond || got[2].size != 100 || !slices.Equal(got[2].kinds, []string{"33", "35"}) ||
		got[3].chance != 0.25 || got[3].code != "10005001" || got[0].number != 7 {
		t.Errorf("got %+v", got)
	}
	for line, want := range map[string]string{
		"at 7 reset":               "no colon",
		"7: reset":                 "want `at N`",
		"at 0: reset":              "want 1 or more",
		"at x: reset":              "want 1 or more",
		"with 2: reset":            "want 0 to 1",
		"with NaN: reset":          "want 0 to 1",
		"sometimes 2: reset":       "want at, every",
		"at 1 on k: reset":         "want two digits",
		"at 1:":                    "no action",
		"at 1: explode":            "unknown action",
		"at 1: reset now":          "takes 0 arguments",
		"at 1: stall":              "takes 1 arguments",
		"at 1: stall long":         "want a duration",
		"at 1: pagecap 0":          "want 1 row",
		"at 1: error 5":            "want eight digits",
		"at 1: reset\nat 2: x":     "line 2",
		"at 1 in 95: reset":        "want `at N`",
		"at 1 on 95,x: reset":      "want two digits",
		"every 3 on 95: error abc": "want eight digits",
	} {
		if _, err := ParseFaults(line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want ... %s", line, err, want)
		}
	}
}

// TestScriptCounts: which requests a rule strikes follows from their order and the seed alone.
func TestScriptCounts(t *testing.T) {
	strikes := func(rule string, seed uint64) (hit []int) {
		s := newScript(rules(t, rule), seed)
		for n := 1; n <= 1000; n++ {
			kind := "95"
			if n%2 == 0 {
				kind = "33"
			}
			if len(s.next(kind)) > 0 {
				hit = append(hit, n)
			}
		}
		return hit
	}
	if got := strikes("at 3: crc", 1); !slices.Equal(got, []int{3}) {
		t.Errorf("at 3: %v", got)
	}
	if got := strikes("every 250: crc", 1); !slices.Equal(got, []int{250, 500, 750, 1000}) {
		t.Errorf("every 250: %v", got)
	}
	if got := strikes("at 3 on 33: crc", 1); !slices.Equal(got, []int{6}) {
		t.Errorf("at 3 on 33: %v", got)
	}
	if got := strikes("from 499 on 95: crc", 1); !slices.Equal(got, []int{997, 999}) {
		t.Errorf("from 499 on 95: %v", got)
	}
	if got := strikes("at 1 on 57: crc", 1); got != nil {
		t.Errorf("on another type: %v", got)
	}
	first := strikes("with 0.1: crc", 1)
	if len(first) < 60 || len(first) > 140 || !slices.Equal(first, strikes("with 0.1: crc", 1)) ||
		slices.Equal(first, strikes("with 0.1: crc", 2)) {
		t.Errorf("with 0.1: %d strikes", len(first))
	}
	if got := strikes("with 0: crc", 1); got != nil {
		t.Errorf("with 0: %v", got)
	}
	if got := strikes("with 1: crc", 1); len(got) != 1000 {
		t.Errorf("with 1: %d", len(got))
	}
}

// TestRowFaults: each fault of rows does what it says, in a frame that is otherwise whole.
func TestRowFaults(t *testing.T) {
	s := serve(t, Config{Market: makeMarket(t, 1, 3)})
	c := login(t, s)
	ask := func() []string {
		var days []string
		for _, row := range c.query(t, "33", "query_trade_dates", "2020-01-01", "2020-01-06").rows {
			days = append(days, row[0][9:])
		}
		return days
	}
	for fault, want := range map[string]string{
		"duplicate": "1 2 3 4 4 5 6", "missing": "1 2 3 5 6", "unsorted": "1 2 4 3 5 6", "short": "1 2 3",
		"pagecap 2": "1 2", "crc": "1 2 3 4 5 6",
	} {
		s.SetFaults(rules(t, "every 1: "+fault))
		if got := strings.Join(ask(), " "); got != want {
			t.Errorf("%s: got %s, want %s", fault, got, want)
		}
		name, _, _ := strings.Cut(fault, " ")
		if s.Stats().Faults[name] != 1 {
			t.Errorf("%s is counted %d times", name, s.Stats().Faults[name])
		}
	}
	s.SetFaults(rules(t, "every 1: duplicate"))
	if got := c.query(t, "33", "x", "2020-01-01", "2020-01-01").rows; len(got) != 1 || s.Stats().Faults["duplicate"] != 1 {
		t.Errorf("one row is left alone: got %v, %v", got, s.Stats().Faults)
	}
	s.SetFaults(nil)
	if got := strings.Join(ask(), " "); got != "1 2 3 4 5 6" {
		t.Errorf("without rules: %s", got)
	}
}

// TestGBK: names come in GBK, answers without any stay as they are.
func TestGBK(t *testing.T) {
	s := serve(t, Config{Market: makeMarket(t, 1, 3)})
	c := login(t, s)
	list := func() string { return c.query(t, "45", "query_stock_basic", "", "").body[6] }
	want := list()
	s.SetFaults(rules(t, "every 1: gbk"))
	got := list()
	text, err := simplifiedchinese.GBK.NewDecoder().String(got)
	if err != nil || utf8.ValidString(got) || text != want {
		t.Errorf("got %q, as GBK %q, %v; want %q", got, text, err, want)
	}
	c.query(t, "33", "query_trade_dates", "2020-01-01", "2020-01-06")
	if got := s.Stats().Faults["gbk"]; got != 1 {
		t.Errorf("gbk is counted %d times, want 1", got)
	}
}

func TestFrameFaults(t *testing.T) {
	m := NewRestated(makeMarket(t, 1, 30), 1)
	s := serve(t, Config{Market: m})
	kdata := func(c *naive) (answer, error) {
		return c.tryQuery("95", "k", "sh.600000", "date,close", "2020-01-01", "2021-01-01", "d", "3")
	}
	c := login(t, s)
	if a, err := kdata(c); err != nil || !a.sumOK {
		t.Errorf("without rules: sum %t, %v", a.sumOK, err)
	}
	s.SetFaults(rules(t, "at 1: crc\nat 2: truncate\nat 3: error 10005001\nat 4: restate"))
	if a, err := kdata(c); err != nil || a.sumOK {
		t.Errorf("crc: sum %t, %v", a.sumOK, err)
	}
	if _, err := kdata(c); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("truncate: got %v, want an early end of the stream", err)
	}
	if a, err := kdata(c); !errors.Is(err, errRefused) || a.body[0] != "10005001" {
		t.Errorf("error: got %v", err)
	}
	if _, err := kdata(c); err != nil || !m.done.Load() {
		t.Errorf("restate: %v, done %t", err, m.done.Load())
	}
	s.SetFaults(rules(t, "at 2: reset"))
	c = login(t, s)
	if _, err := kdata(c); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("reset: got %v", err)
	}
	s.SetFaults(rules(t, "at 2: drop"))
	c = login(t, s)
	if _, err := kdata(c); !errors.Is(err, io.EOF) {
		t.Errorf("drop: got %v", err)
	}
	s.SetFaults(rules(t, "at 2: stall 60ms"))
	c = login(t, s)
	begun := time.Now()
	if a, err := kdata(c); err != nil || !a.sumOK || time.Since(begun) < 60*time.Millisecond {
		t.Errorf("stall: %v after %s", err, time.Since(begun))
	}
	want := map[string]int64{"crc": 1, "truncate": 1, "error": 1, "restate": 1, "reset": 1, "drop": 1, "stall": 1}
	for name, n := range want {
		if got := s.Stats().Faults[name]; got != n {
			t.Errorf("%s is counted %d times, want %d", name, got, n)
		}
	}
	// A market with one version has nothing to restate.
	plain := serve(t, Config{Market: makeMarket(t, 1, 3), Faults: rules(t, "at 1: restate")})
	login(t, plain)
}
