package ingest

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/internal/market"
)

// routed is a scope of stocks of Shanghai over the sessions of January 2024.
func routed(t *testing.T, stocks int, offer market.Offer) Scope {
	t.Helper()
	calendar, err := market.CalendarOf(market.XSHG)
	if err != nil {
		t.Fatal(err)
	}
	span := market.Interval{From: market.DateOf(2024, 1, 1), To: market.DateOf(2024, 1, 31)}
	open, err := calendar.Open(span.From, span.To)
	if err != nil {
		t.Fatal(err)
	}
	offer.Dataset, offer.Markets = market.Bar1D, []market.MIC{market.XSHG}
	s := Scope{
		Provider: market.Provider{Name: "both", Offers: []market.Offer{offer}}, Span: span, Final: span.To,
		Sessions: map[market.MIC]Sessions{market.XSHG: open}, Datasets: []string{market.Bar1D}, Freq: "1d",
		Held: map[string]Held{market.Bar1D: {}}, BatchSize: 50, Universe: true,
	}
	for i := range stocks {
		s.Instruments = append(s.Instruments, market.Instrument{
			Symbol: market.Symbol{Code: strconv.Itoa(600000 + i), MIC: market.XSHG}, Class: market.Stock, IPO: 1,
		})
	}
	return s
}

// holds says what the first stocks hold.
func (s Scope) holds(stocks int, v market.Interval) {
	for _, one := range s.Instruments[:stocks] {
		s.Held[market.Bar1D][one.Symbol.String()] = s.Held[market.Bar1D][one.Symbol.String()].Add(v)
	}
}

// asked spells the units of a plan.
func asked(p Plan) string {
	var list []string
	for _, u := range p.Units() {
		symbol := u.Symbol
		if symbol == "" {
			symbol = "all"
		}
		list = append(list, fmt.Sprintf("%s %s", strings.TrimSuffix(symbol, ".XSHG"), u.Interval()))
	}
	return strings.Join(list, ", ")
}

// TestRoute: days are asked as a whole where that takes fewer requests, and only as far as it does.
func TestRoute(t *testing.T) {
	t.Parallel()
	both := market.Offer{Shapes: market.BySymbol | market.ByDate, PageCap: 5000}
	january := func(from, to int) market.Interval {
		return market.Interval{From: market.DateOf(2024, 1, from), To: market.DateOf(2024, 1, to)}
	}
	for name, c := range map[string]struct {
		stocks int
		offer  market.Offer
		change func(s *Scope)
		want   string
	}{
		"backfill of few":           {3, both, func(*Scope) {}, "600000 2024-01-02..2024-01-31, 600001 2024-01-02..2024-01-31, 600002 2024-01-02..2024-01-31"},
		"the newest day of many":    {30, both, func(s *Scope) { s.holds(30, january(1, 30)) }, "all 2024-01-31"},
		"a day more than there are": {2, both, func(s *Scope) { s.holds(2, january(1, 29)) }, "600000 2024-01-30..2024-01-31, 600001 2024-01-30..2024-01-31"},
		"the newest day, and a new listing's history": {30, both, func(s *Scope) {
			s.holds(29, january(1, 30))
		}, "all 2024-01-31, 600029 2024-01-02..2024-01-30"},
		"the newest day, and a hole of one": {30, both, func(s *Scope) {
			s.holds(30, january(1, 30))
			hole := s.Held[market.Bar1D]["600007.XSHG"].Subtract(january(10, 11))
			s.Held[market.Bar1D]["600007.XSHG"] = hole
		}, "all 2024-01-31, 600007 2024-01-10..2024-01-11"},
		"named symbols": {
			30, both, func(s *Scope) { s.Universe = false; s.Instruments = s.Instruments[:2]; s.holds(2, january(1, 30)) },
			"600000 2024-01-31, 600001 2024-01-31",
		},
		"always by symbol": {
			3, both, func(s *Scope) { s.Route = RouteBySymbol; s.holds(3, january(1, 30)) },
			"600000 2024-01-31, 600001 2024-01-31, 600002 2024-01-31",
		},
		"always by date":  {2, both, func(s *Scope) { s.Route = RouteByDate; s.holds(2, january(1, 29)) }, "all 2024-01-30, all 2024-01-31"},
		"nothing else":    {1, market.Offer{Shapes: market.ByDate}, func(s *Scope) { s.holds(1, january(1, 30)) }, "all 2024-01-31"},
		"nothing missing": {3, both, func(s *Scope) { s.holds(3, january(1, 31)) }, ""},
		"pages count": {
			3,
			market.Offer{Shapes: market.BySymbol | market.ByDate, PageCap: 1},
			func(s *Scope) { s.holds(3, january(1, 30)) },
			"600000 2024-01-31, 600001 2024-01-31, 600002 2024-01-31",
		},
		"several symbols a request": {3, market.Offer{Shapes: market.BySymbol | market.ByDate, SymbolsPerRequest: 60}, func(s *Scope) {
			s.holds(2, january(1, 30))
			s.holds(3, january(1, 29))
		}, "600002 2024-01-30, 600000 2024-01-31, 600001 2024-01-31, 600002 2024-01-31"},
	} {
		s := routed(t, c.stocks, c.offer)
		c.change(&s)
		if diff := cmp.Diff(c.want, asked(s.Plan())); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
