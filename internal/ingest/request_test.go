package ingest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/internal/market"
)

// vendor is a provider that serves bars of the Shanghai exchange and lists all it serves.
func vendor() market.Provider {
	p := offered(market.BySymbol)
	p.Scheme = market.BaoStock
	p.Offers = append(p.Offers, market.Offer{Dataset: market.Listing, Markets: []market.MIC{market.XSHG}, Shapes: market.Whole})
	return p
}

// TestImpossibleRequests: whatever cannot be asked for is refused before anything is, with what would do.
func TestImpossibleRequests(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var many strings.Builder
	for i := range 12 {
		fmt.Fprintf(&many, "x%d\n", i)
	}
	unlisted := vendor()
	unlisted.Offers = unlisted.Offers[:3]
	now := time.Date(2024, 7, 1, 20, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		change   func(c *SyncConfig)
		provider market.Provider
		want     string // "": it is possible
	}{
		"usual":          {func(*SyncConfig) {}, vendor(), ""},
		"misspelt":       {func(c *SyncConfig) { c.Datasets = []string{"bar_1dd"} }, vendor(), "did you mean bar_1d?"},
		"unknown":        {func(c *SyncConfig) { c.Datasets = []string{"weather"} }, vendor(), `"weather" is not served by vendor (bar_1d, `},
		"other vendor":   {func(c *SyncConfig) { c.Symbols = []string{"600000.SS"} }, vendor(), "write sh.600000 or 600000.XSHG"},
		"bare digits":    {func(c *SyncConfig) { c.Symbols = []string{"600000"} }, vendor(), "symbols: "},
		"no list":        {func(*SyncConfig) {}, unlisted, "has no list of all it serves"},
		"no universe":    {func(c *SyncConfig) { c.Universe = "hs301" }, vendor(), "neither a file nor one of all, hs300, sz50, zz500"},
		"folder":         {func(c *SyncConfig) { c.Universe = dir }, vendor(), "universe: "},
		"empty file":     {func(c *SyncConfig) { c.Universe = file("empty", "# none\n\n") }, vendor(), "names no symbol"},
		"file":           {func(c *SyncConfig) { c.Universe = file("good", "sh.600000 \n# two\n600001.XSHG\n") }, vendor(), ""},
		"wrong file":     {func(c *SyncConfig) { c.Universe = file("many", many.String()) }, vendor(), "and 2 more"},
		"first day":      {func(c *SyncConfig) { c.From = "1.1.2024" }, vendor(), "from: "},
		"last day":       {func(c *SyncConfig) { c.To = "2024-02-30" }, vendor(), "to: "},
		"backwards":      {func(c *SyncConfig) { c.To = "2001-01-01" }, vendor(), "is after to 2001-01-01"},
		"tomorrow":       {func(c *SyncConfig) { c.From, c.To = "2024-07-03", "2024-07-04" }, vendor(), "is after today"},
		"before time":    {func(c *SyncConfig) { c.From = "1900-01-01" }, vendor(), "before the calendar of XSHG begins"},
		"no market":      {func(*SyncConfig) {}, market.Provider{Name: "nowhere"}, "states no market"},
		"not of today":   {func(c *SyncConfig) { c.Universe, c.From = "hs300", "2024-06-03" }, vendor(), ""},
		"each only once": {func(c *SyncConfig) { c.Symbols = []string{"sh.600000", "600000.XSHG"} }, vendor(), ""},
	} {
		config := Defaults().Sync
		c.change(&config)
		r, err := request(config, c.provider, now)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if want := map[string]int{"file": 2, "each only once": 1}[name]; len(r.Symbols) != want && err == nil {
			t.Errorf("%s: %v", name, r.Symbols)
		}
	}
}

// TestChosen holds what is chosen against what was asked for: an instrument once, however many of its codes
// are named, and none that has nothing to give.
func TestChosen(t *testing.T) {
	renamed, gone, index := instrument(1), instrument(2), instrument(3)
	old := market.Symbol{Code: "600099", MIC: market.XSHG}
	renamed.Aliases = []market.Alias{{Symbol: old, From: 0, To: day(t, "2020-01-01")}}
	gone.Out = day(t, "2010-01-01")
	index.IPO, index.Out = day(t, "2030-01-01"), day(t, "2031-01-01")
	listed := []market.Instrument{renamed, gone, index}
	r := Request{
		Datasets: []string{market.Bar1D}, Span: market.Interval{From: day(t, "2024-01-01"), To: day(t, "2024-01-31")},
	}
	choose := func(provider market.Provider, symbols ...market.Symbol) (names []string, err error) {
		r.Symbols = symbols
		chosen, err := r.choose(listed, nil, provider)
		for _, one := range chosen {
			names = append(names, one.Symbol.String())
		}
		return names, err
	}
	got, err := choose(vendor(), renamed.Symbol, old)
	if diff := cmp.Diff([]string{"600001.XSHG"}, got); err != nil || diff != "" {
		t.Errorf("both codes of one instrument: %v %s", err, diff)
	}
	var strange []market.Symbol
	for i := range 12 {
		strange = append(strange, instrument(100+i).Symbol)
	}
	for want, symbols := range map[string][]market.Symbol{
		"600002.XSHG is listed until 2010-01-01": {gone.Symbol}, "is listed 2030-01-01": {index.Symbol},
		"is not among the 3 instruments": {strange[0]}, "and 2 more symbols": strange,
	} {
		if _, err := choose(vendor(), symbols...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	got, err = choose(offered(market.BySymbol), strange[0])
	if diff := cmp.Diff([]string{"600100.XSHG"}, got); err != nil || diff != "" {
		t.Errorf("a provider without a list: %v %s", err, diff)
	}
}

// TestClosedSpan: a span without an open day is refused with the nearest ones.
func TestClosedSpan(t *testing.T) {
	closed := market.Interval{From: day(t, "2024-06-29"), To: day(t, "2024-06-30")} // a weekend
	for want, around := range map[string]market.Interval{
		"the nearest are 2024-06-28 and 2024-07-01": {From: closed.From - 9, To: closed.To + 9},
		"the last before is 2024-06-28":             {From: closed.From - 9, To: closed.To},
		"holds no trading day of XSHG":              closed,
	} {
		err := checkSessions(closed, map[market.MIC]Sessions{market.XSHG: nil}, map[market.MIC]Sessions{market.XSHG: week(around)})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestClocks: which days are final is the matter of each exchange's own clock.
// invariant: a day is final by the clock of its own exchange
func TestClocks(t *testing.T) {
	world := vendor()
	for i := range world.Offers {
		world.Offers[i].Markets = []market.MIC{market.XNYS, market.XLON, market.XHKG, market.XSHG}
		world.Offers[i].PublishAt = 20 * time.Hour
	}
	for _, c := range []struct{ now, newYork, london, shanghai string }{
		{"2024-12-03T13:00:00Z", "2024-12-02", "2024-12-02", "2024-12-03"}, // 08:00, 13:00, 21:00
		{"2024-12-03T20:30:00Z", "2024-12-02", "2024-12-03", "2024-12-03"}, // 15:30, 20:30, 04:30
		{"2024-12-04T00:30:00Z", "2024-12-02", "2024-12-03", "2024-12-03"}, // 19:30, 00:30, 08:30
		{"2024-12-04T01:00:00Z", "2024-12-03", "2024-12-03", "2024-12-03"}, // 20:00, 01:00, 09:00
		{"2024-07-03T19:30:00Z", "2024-07-02", "2024-07-03", "2024-07-03"}, // summer: 15:30, 20:30, 03:30
		{"2024-07-04T00:00:00Z", "2024-07-03", "2024-07-03", "2024-07-03"}, // summer: 20:00, 01:00, 08:00
	} {
		now, err := time.Parse(time.RFC3339, c.now)
		if err != nil {
			t.Fatal(err)
		}
		config := Defaults().Sync
		config.From = "2024-06-03"
		r, err := request(config, world, now)
		if err != nil {
			t.Fatal(err)
		}
		for mic, want := range map[market.MIC]string{
			market.XNYS: c.newYork, market.XLON: c.london, market.XHKG: c.shanghai, market.XSHG: c.shanghai,
		} {
			if got := r.clocks.final(mic, 0); got != day(t, want) || r.within(mic).To != got {
				t.Errorf("%s: the last final day of %s is %s, the span there %s; want %s", c.now, mic, got, r.within(mic), want)
			}
		}
		if r.settled() != min(day(t, c.newYork), day(t, c.london)) || r.Span.To != day(t, c.shanghai) {
			t.Errorf("%s: settled is %s, the span %s", c.now, r.settled(), r.Span)
		}
		// Named symbols of one exchange take its clock alone.
		config.Symbols = []string{"IBM.XNYS"}
		if r, err = request(config, world, now); err != nil || r.Final != day(t, c.newYork) || r.Span.To != r.Final {
			t.Errorf("%s: of New York alone: %v, %s is final", c.now, err, r.Final)
		}
	}
}
