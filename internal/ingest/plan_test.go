package ingest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tapeline/tapeline/internal/market"
	"pgregory.net/rapid"
)

// offered is a provider that serves all datasets of the tests by symbol.
func offered(shapes market.Shape) market.Provider {
	p := market.Provider{Name: "vendor"}
	for _, dataset := range []string{market.Bar1D, market.Valuation1D, market.AdjFactor} {
		p.Offers = append(p.Offers, market.Offer{
			Dataset: dataset, Markets: []market.MIC{market.XSHG}, Shapes: shapes, PageCap: 10_000,
		})
	}
	return p
}

func day(t testing.TB, text string) market.Date {
	t.Helper()
	d, err := market.ParseDate(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func instrument(code int) market.Instrument {
	return market.Instrument{
		Symbol: market.Symbol{Code: fmt.Sprintf("%06d", 600000+code), MIC: market.XSHG}, Class: market.Stock,
	}
}

// week makes the weekdays of an interval open.
func week(v market.Interval) Sessions {
	var s Sessions
	for d := v.From; d <= v.To; d++ {
		if day := d.Weekday(); day != 0 && day != 6 {
			s = append(s, d)
		}
	}
	return s
}

// drawIntervals draws a set of dates between 1 and 60.
func drawIntervals(t *rapid.T, name string) market.Intervals {
	dates := rapid.SliceOfN(rapid.IntRange(1, 60), 0, 60).Draw(t, name)
	var list []market.Date
	for _, d := range dates {
		list = append(list, market.Date(d))
	}
	return market.DatesOf(list...)
}

// drawScope draws a small market of 60 days with any holdings.
func drawScope(t *rapid.T) Scope {
	var open Sessions
	for d := market.Date(1); d <= 60; d++ {
		if rapid.Bool().Draw(t, fmt.Sprintf("open %d", d)) {
			open = append(open, d)
		}
	}
	s := Scope{
		Provider: offered(market.BySymbol), Sessions: map[market.MIC]Sessions{market.XSHG: open},
		Datasets: []string{market.Bar1D, market.AdjFactor}, Freq: "1d",
		BatchSize: rapid.IntRange(1, 4).Draw(t, "batch"), JoinSessions: rapid.IntRange(0, 4).Draw(t, "join"),
		Held: map[string]Held{market.Bar1D: {}, market.AdjFactor: {}},
	}
	s.Span.From = market.Date(rapid.IntRange(1, 60).Draw(t, "from"))
	s.Span.To = market.Date(rapid.IntRange(int(s.Span.From), 60).Draw(t, "to"))
	s.Final = market.Date(rapid.IntRange(1, 70).Draw(t, "final"))
	for i := range rapid.IntRange(0, 6).Draw(t, "instruments") {
		one := instrument(i)
		one.IPO = market.Date(rapid.IntRange(0, 60).Draw(t, "ipo"))
		one.Out = market.Date(rapid.IntRange(0, 60).Draw(t, "out"))
		s.Instruments = append(s.Instruments, one)
		for dataset := range s.Held {
			if held := drawIntervals(t, dataset); held != nil {
				s.Held[dataset][one.Symbol.String()] = held
			}
		}
	}
	return s
}

// naive says day by day whether a bar has to be fetched.
func (s Scope) naive(one market.Instrument, d market.Date) bool {
	listed := (one.IPO == 0 || d >= one.IPO) && (one.Out == 0 || d < one.Out)
	held := s.Held[market.Bar1D][one.Symbol.String()].Contains(d)
	return slices.Contains(s.Sessions[market.XSHG], d) && listed && s.Span.Contains(d) && !held
}

// apply holds what the units fetched.
func (s Scope) apply(units []Unit) {
	for _, u := range units {
		s.Held[u.Dataset][u.Symbol] = s.Held[u.Dataset][u.Symbol].Add(u.Interval())
	}
}

func TestPlanAgainstDays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawScope(t)
		units := s.Plan().Units()
		for _, one := range s.Instruments {
			asked := map[market.Date]int{}
			for _, u := range units {
				if u.Dataset != market.Bar1D || u.Symbol != one.Symbol.String() {
					continue
				}
				open := s.Sessions[market.XSHG].In(u.Interval())
				if len(open) != u.Sessions || open[0] != u.From || open[len(open)-1] != u.To {
					t.Fatalf("%s has %d sessions %v, says %d", u, len(open), open, u.Sessions)
				}
				again := 0
				for _, d := range open {
					asked[d]++
					if again++; s.naive(one, d) || d == one.Out {
						again = 0
					}
					if again > s.JoinSessions {
						t.Fatalf("%s asks again for more than %d held sessions, at %s", u, s.JoinSessions, d)
					}
				}
			}
			for d := market.Date(0); d <= 70; d++ {
				if asked[d] > 1 || s.naive(one, d) && asked[d] == 0 {
					t.Fatalf("%s %s is asked %d times, needed %t", one.Symbol, d, asked[d], s.naive(one, d))
				}
				if s.JoinSessions == 0 && asked[d] > 0 && !s.naive(one, d) && d != one.Out {
					t.Fatalf("%s %s is asked for again", one.Symbol, d)
				}
			}
		}
	})
}

func TestNothingIsMissingAfterAPlan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawScope(t)
		s.apply(s.Plan().Units())
		for _, u := range s.Plan().Units() {
			t.Fatalf("after the plan %s is planned again", u)
		}
	})
}

func TestWorkUnits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawScope(t)
		plan := s.Plan()
		before := ""
		for i, w := range plan.Work {
			if len(w.Symbols) == 0 || len(w.Symbols) > s.BatchSize || i < len(plan.Work)-1 && len(w.Symbols) < s.BatchSize {
				t.Fatalf("work unit %d of %d has %d symbols, want %d", i, len(plan.Work), len(w.Symbols), s.BatchSize)
			}
			for _, symbol := range w.Symbols {
				if symbol <= before {
					t.Fatalf("%s comes after %s", symbol, before)
				}
				before = symbol
			}
			for _, u := range w.Units {
				if !slices.Contains(w.Symbols, u.Symbol) || u.Source != "vendor" {
					t.Fatalf("work unit of %v has %+v", w.Symbols, u)
				}
			}
		}
	})
}

// TestOrderOfTheList asks for instruments in any order: they are chosen, and planned, as they are listed.
func TestOrderOfTheList(t *testing.T) {
	span := market.Interval{From: day(t, "2024-01-01"), To: day(t, "2024-01-31")}
	var listed []market.Instrument
	for _, code := range []int{7, 3, 9, 1} {
		listed = append(listed, instrument(code))
	}
	request := Request{Datasets: []string{market.Bar1D}, Span: span}
	for _, asked := range [][]int{nil, {1, 3, 7, 9}, {9, 1}} {
		want := []string{"600007.XSHG", "600003.XSHG", "600009.XSHG", "600001.XSHG"}
		if request.Symbols = nil; asked != nil {
			for _, code := range asked {
				request.Symbols = append(request.Symbols, instrument(code).Symbol)
			}
			want = slices.DeleteFunc(want, func(name string) bool {
				return !slices.ContainsFunc(request.Symbols, func(s market.Symbol) bool { return s.String() == name })
			})
		}
		chosen, err := request.choose(listed, nil, offered(market.BySymbol))
		if err != nil {
			t.Fatal(err)
		}
		s := Scope{
			Provider: offered(market.BySymbol), Sessions: map[market.MIC]Sessions{market.XSHG: week(span)},
			Span: span, Final: span.To, Datasets: request.Datasets, Freq: "1d", BatchSize: 3,
			Instruments: chosen, Held: map[string]Held{market.Bar1D: {}},
		}
		var got []string
		for _, u := range s.Plan().Units() {
			got = append(got, u.Symbol)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("asked for %v (-want +got):\n%s", asked, diff)
		}
	}
}

// holes is a market of 100 symbols over two years whose history is complete but for three middle
// sessions of every tenth symbol, and two new days.
func holes(t *testing.T) (Scope, market.Interval, market.Interval) {
	t.Helper()
	span := market.Interval{From: day(t, "2023-01-02"), To: day(t, "2024-12-31")}
	hole := market.Interval{From: day(t, "2023-12-14"), To: day(t, "2023-12-18")} // Thursday to Monday
	fresh := market.Interval{From: day(t, "2024-12-30"), To: span.To}
	s := Scope{
		Provider: offered(market.BySymbol), Sessions: map[market.MIC]Sessions{market.XSHG: week(span)}, Span: span,
		Final: span.To, Datasets: []string{market.Bar1D}, Freq: "1d", BatchSize: 50, JoinSessions: 3,
		Held: map[string]Held{market.Bar1D: {}},
	}
	for i := range 100 {
		one := instrument(i)
		s.Instruments = append(s.Instruments, one)
		held := market.IntervalsOf(market.Interval{From: span.From, To: fresh.From - 1})
		if i%10 == 0 {
			held = held.Subtract(hole)
		}
		s.Held[market.Bar1D][one.Symbol.String()] = held
	}
	return s, hole, fresh
}

func TestHolesAreFilledExactly(t *testing.T) {
	s, hole, fresh := holes(t)
	want := map[string]market.Intervals{}
	for i, one := range s.Instruments {
		want[one.Symbol.String()] = market.Intervals{fresh}
		if i%10 == 0 {
			want[one.Symbol.String()] = market.Intervals{hole, fresh}
		}
	}
	got := map[string]market.Intervals{}
	for _, u := range s.Plan().Units() {
		got[u.Symbol] = append(got[u.Symbol], u.Interval())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the plan differs from the holes (-want +got):\n%s", diff)
	}
}

func TestShapes(t *testing.T) {
	s, _, _ := holes(t)
	s.Provider, s.Universe = offered(market.BySymbol|market.ByDate), true
	units := s.Plan().Units()
	if len(units) != 5 { // three days of the hole and two new ones, against 110 by symbol
		t.Fatalf("%d requests, want one for each of 5 dates", len(units))
	}
	for i, u := range units {
		if u.Symbol != "" || u.From != u.To || i > 0 && u.From <= units[i-1].From {
			t.Errorf("unit %d is %s, want one day of the universe after the one before", i, u)
		}
	}
	if units[0].Sessions != 10 || units[4].Sessions != 100 {
		t.Errorf("the first fills %d rows, the last %d; want 10 and 100", units[0].Sessions, units[4].Sessions)
	}
	s.apply(units)
	if again := s.Plan().Units(); len(again) > 0 {
		t.Errorf("dates that were fetched for the universe are planned again: %v", again)
	}
	s.Held = map[string]Held{} // a long history is cheaper by symbol
	if units := s.Plan().Units(); len(units) != 100 || units[0].Symbol == "" {
		t.Errorf("an empty store takes %d requests, the first %s; want 100 by symbol", len(units), units[0])
	}
}

func TestEstimate(t *testing.T) {
	provider := offered(market.BySymbol)
	provider.Budget.RequestsPerSecond = 4
	p := Plan{Work: []Work{{Units: []Unit{
		{Unit: market.Unit{Dataset: market.Bar1D}, Sessions: 9_999},
		{Unit: market.Unit{Dataset: market.Bar1D}, Sessions: 10_000},
		{Unit: market.Unit{Dataset: market.AdjFactor}},
	}}}}
	got := p.Estimate(provider)
	if got.Requests != 4 || got.Sessions != 19_999 || got.Time.Seconds() != 1 {
		t.Errorf("got %+v; want 4 requests (a full page asks for the next), 19,999 rows, 1 s at 4 a second", got)
	}
}

func TestJoin(t *testing.T) {
	sessions := week(market.Interval{From: day(t, "2024-01-01"), To: day(t, "2024-01-31")})
	at := func(texts ...string) market.Intervals {
		var list market.Intervals
		for _, text := range texts {
			list = append(list, market.Interval{From: day(t, text), To: day(t, text)})
		}
		return list
	}
	for _, test := range []struct {
		gaps market.Intervals
		join int
		want string
	}{
		{at("2024-01-05", "2024-01-08"), 0, "2024-01-05..2024-01-08"}, // Friday and Monday
		{at("2024-01-05", "2024-01-09"), 0, "2024-01-05,2024-01-09"},
		{at("2024-01-05", "2024-01-09"), 1, "2024-01-05..2024-01-09"},
		{at("2024-01-02", "2024-01-08"), 3, "2024-01-02..2024-01-08"},
		{at("2024-01-02", "2024-01-09"), 3, "2024-01-02,2024-01-09"},
		{nil, 3, "empty"},
	} {
		if got := sessions.Join(test.gaps, test.join).String(); got != test.want {
			t.Errorf("join %d of %s: got %s, want %s", test.join, test.gaps, got, test.want)
		}
	}
}
