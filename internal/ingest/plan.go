package ingest

import (
	"cmp"
	"slices"
	"time"

	"github.com/tapeline/tapeline/internal/market"
)

// Scope is all that a plan depends on.
type Scope struct {
	Provider    market.Provider
	Instruments []market.Instrument // those asked for
	Sessions    map[market.MIC]Sessions
	Span        market.Interval
	Datasets    []string
	Freq        string
	// Final is the last day whose rows are final. Later ones are held only when a clock that was right
	// said so: a clock set back must not replace them by what is not final.
	Final  market.Date
	clocks clocks
	// Held is what needs no request, by dataset.
	Held map[string]Held
	// BatchSize is the number of symbols of a work unit.
	BatchSize int
	// JoinSessions is how many held sessions may be fetched again to fill two gaps by one request.
	JoinSessions int
	// Universe: all instruments of the provider are asked for, or the members of an index.
	Universe bool
	Route    Route

	whole map[string]market.Intervals // by dataset: days that are asked for all instruments at once
	asked Held                        // days on which statements of unsettled quarters were asked for
}

// Held is which dates of a dataset need no request: by canonical symbol, and "" for the universe.
type Held map[string]market.Intervals

// of returns what is held of a symbol, whichever way it was fetched.
func (h Held) of(symbol string) market.Intervals {
	if whole := h[""]; len(whole) > 0 && symbol != "" {
		return h[symbol].Add(whole...)
	}
	return h[symbol]
}

// Unit is one request of a plan.
type Unit struct {
	market.Unit

	Gaps     market.Intervals // what it is for
	Sessions int              // open days of its dates over its symbols; 0 where rows are no sessions
}

// Plan is what a sync asks for, in this order.
type Plan struct {
	Work []Work
}

// Work is a group of symbols of which everything is fetched before the next group begins.
type Work struct {
	Symbols []string
	Units   []Unit
}

// Units returns all units in order.
func (p Plan) Units() []Unit {
	var units []Unit
	for _, w := range p.Work {
		units = append(units, w.Units...)
	}
	return units
}

// Requests returns the units as the provider's source takes them.
func (p Plan) Requests() []market.Unit {
	var units []market.Unit
	for _, u := range p.Units() {
		units = append(units, u.Unit)
	}
	return units
}

// Plan returns the requests that fill all gaps. Each dataset is asked in the shape that takes the
// fewest requests. Instruments follow each other as the store numbers them: what one commit writes then
// lies apart from what the others wrote, and needs no comparison with it.
func (s Scope) Plan() Plan {
	var p Plan
	var bySymbol []string
	for _, dataset := range s.Datasets {
		offer, ok := s.Provider.Offer(dataset)
		if !ok {
			continue
		}
		if days := s.wholeDays(dataset, offer); len(days) > 0 {
			p.Work = append(p.Work, s.dateWork(dataset, offer, days)...)
			s = s.without(dataset, days)
		}
		if offer.Shapes.Has(market.BySymbol) {
			bySymbol = append(bySymbol, dataset)
		}
	}
	var w Work
	for _, instrument := range s.Instruments {
		var units []Unit
		for _, dataset := range bySymbol {
			units = append(units, s.symbolUnits(dataset, instrument)...)
		}
		// Datasets of the same dates come after each other: a provider may answer them at once.
		slices.SortStableFunc(units, func(a, b Unit) int {
			return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
		})
		if len(units) == 0 {
			continue
		}
		w.Symbols, w.Units = append(w.Symbols, instrument.Symbol.String()), append(w.Units, units...)
		if len(w.Symbols) >= max(1, s.BatchSize) {
			p.Work, w = append(p.Work, w), Work{}
		}
	}
	if len(w.Units) > 0 {
		p.Work = append(p.Work, w)
	}
	return p
}

// Gaps returns what is missing of a dataset and an instrument: the days the market was open while it
// was listed, or, where rows are events, all days of its listing, less those that are held.
func (s Scope) Gaps(dataset string, instrument market.Instrument) market.Intervals {
	life := s.life(dataset, instrument)
	if life.Empty() {
		return nil
	}
	held := s.Held[dataset].of(instrument.Symbol.String())
	if !bySession(dataset) {
		life.To = min(life.To, s.known(dataset, instrument.Symbol.MIC)) // an event is known when its day is over
		if life.Empty() {
			return nil
		}
		held = held.Add(s.whole[dataset]...)
		if dataset == market.Fundamental {
			return quarterEnds(life).Missing(life, held) // on other days nothing ends
		}
		if offer, _ := s.Provider.Offer(dataset); offer.Shapes.Has(market.ByDate) {
			open := s.Sessions[instrument.Symbol.MIC].Missing(s.Span.Intersect(life), held) // on other days nothing happens
			before := market.Interval{From: life.From, To: min(life.To, s.Span.From-1)}
			if before.Empty() || !offer.Shapes.Has(market.BySymbol) {
				return open
			}
			return market.Intervals{before}.Subtract(held...).Add(open...)
		}
		return market.Intervals{life}.Subtract(held...)
	}
	return s.Sessions[instrument.Symbol.MIC].Missing(life, held.Add(s.whole[dataset]...))
}

// life is the part of the span in which the provider must have rows of an instrument.
func (s Scope) life(dataset string, instrument market.Instrument) market.Interval {
	offer, ok := s.Provider.Offer(dataset)
	if !ok || !offer.ServesOne(instrument) {
		return market.Interval{From: 1, To: 0}
	}
	life := instrument.Life()
	if instrument.Out != 0 {
		life.To-- // on the day itself some trade and most do not: it is asked for, and not expected
	}
	life = s.Span.Intersect(life)
	if dataset == market.AdjFactor && !life.Empty() {
		life.From = min(life.From, since(instrument))
	}
	if offer.HistoryStart != 0 {
		life.From = max(life.From, offer.HistoryStart)
	}
	return life
}

// since is the day from which an instrument's factors are kept: a factor counts until the next event, so that
// the one of the first day asked for may be years old.
func since(one market.Instrument) market.Date {
	if one.IPO != 0 {
		return one.IPO
	}
	calendar, err := market.CalendarOf(one.Symbol.MIC)
	if err != nil {
		return market.MaxDate // it is of no market with one, and has no sessions either
	}
	return calendar.Covers().From
}

// final is the last day whose rows are final at an exchange.
func (s Scope) final(mic market.MIC) market.Date {
	return s.clocks.final(mic, s.Final)
}

// known returns the last day of which all events at an exchange are known.
func (s Scope) known(dataset string, mic market.MIC) market.Date {
	if dataset == market.Fundamental {
		return s.final(mic) - market.SettleQuarter
	}
	return s.final(mic)
}

// dated reports whether a dataset of events can be asked for a date only.
func (s Scope) dated(dataset string) bool {
	offer, ok := s.Provider.Offer(dataset)
	return ok && offer.Shapes.Has(market.ByDate) && !offer.Shapes.Has(market.BySymbol)
}

// bySession reports whether a dataset has one row for each symbol and open day.
func bySession(dataset string) bool {
	return market.Daily(dataset)
}

// symbolUnits returns the requests for the gaps of one instrument.
func (s Scope) symbolUnits(dataset string, instrument market.Instrument) []Unit {
	gaps := s.Gaps(dataset, instrument)
	sessions, final := s.Sessions[instrument.Symbol.MIC], s.final(instrument.Symbol.MIC)
	var ranges market.Intervals
	switch {
	case dataset == market.Fundamental:
		ranges = s.quarters(instrument, gaps)
	case len(gaps) == 0:
	case bySession(dataset):
		ranges = sessions.Join(gaps, s.JoinSessions)
	default:
		ranges = market.Intervals{gaps.Span()}
		if dataset == market.AdjFactor && ranges[0].To < s.Span.From {
			// Where the service's history begins later, an answer for days before would be without a factor.
			ranges[0].To = min(s.Span.To, s.known(dataset, instrument.Symbol.MIC))
		}
	}
	units := make([]Unit, 0, len(ranges))
	for _, v := range ranges {
		// The day itself is no gap, so that what is not final on it would stay so.
		if next := sessions.after(v.To); bySession(dataset) && next != 0 && next == instrument.Out && next <= min(s.Span.To, final) {
			v.To = next
		}
		u := Unit{Unit: s.unit(dataset, instrument.Symbol.String(), v), Gaps: gaps.Intersect(v)}
		if bySession(dataset) {
			u.Sessions = len(sessions.In(v))
		}
		units = append(units, u)
	}
	return units
}

func (s Scope) unit(dataset, symbol string, v market.Interval) market.Unit {
	return market.Unit{
		Dataset: dataset, Symbol: symbol, Freq: s.freq(dataset), Source: s.Provider.Name, From: v.From, To: v.To,
	}
}

// freq returns the frequency of a dataset's rows, "" where they have none.
func (s Scope) freq(dataset string) string {
	if bySession(dataset) {
		return s.Freq
	}
	return ""
}

// Estimate is what a plan will take, as far as the provider tells.
type Estimate struct {
	Requests int           `json:"requests"` // pages counted
	Sessions int           `json:"sessions"` // rows to expect
	Time     time.Duration `json:"-"`        // by the provider's usual time and its budget
}

// Estimate foretells what the plan will take.
func (p Plan) Estimate(provider market.Provider) Estimate {
	var e Estimate
	var last Unit
	var before market.Offer
	for _, u := range p.Units() {
		offer, _ := provider.Offer(u.Dataset)
		// Bars and valuations of the same dates come in one answer, and events with them.
		same := u.Symbol == last.Symbol && (offer.WithBars || before.WithBars ||
			u.Interval() == last.Interval() && bySession(u.Dataset) && bySession(last.Dataset))
		last, before = u, offer
		if same && u.Symbol != "" {
			e.Sessions += u.Sessions
			continue
		}
		requests := 1
		if offer.PageCap > 0 {
			requests += u.Sessions / offer.PageCap // a full page does not say that it is the last
		}
		e.Requests += requests
		e.Sessions += u.Sessions
		e.Time += time.Duration(requests) * offer.Cost
	}
	if rate := provider.Budget.RequestsPerSecond; rate > 0 {
		e.Time = max(e.Time, time.Duration(float64(e.Requests)/rate*float64(time.Second)))
	}
	return e
}
