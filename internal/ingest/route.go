package ingest

import (
	"cmp"
	"maps"
	"slices"

	"github.com/tapeline/tapeline/internal/market"
)

// Route says how a provider is asked that can be asked in more than one shape.
type Route string

// The routes.
const (
	RouteFewest   Route = "fewest" // whatever takes the fewest requests; the zero value too
	RouteBySymbol Route = "symbol"
	RouteByDate   Route = "date"
)

// wholeDays returns the days of a dataset that are asked for all instruments at once, so that what is left
// by symbol takes the fewest requests. A history of few instruments is asked by symbol, the newest day of
// all of them by date, and both in one plan where that is what a store lacks.
func (s Scope) wholeDays(dataset string, offer market.Offer) market.Intervals {
	if !s.takesDays(dataset, offer) {
		return nil
	}
	missing := s.missingDays(dataset)
	if len(missing) == 0 {
		return nil
	}
	bySymbol := offer.Shapes.Has(market.BySymbol)
	if !bySymbol || s.Route == RouteByDate {
		return daysWith(missing, 1)
	}
	if s.Route == RouteBySymbol {
		return nil
	}
	most := slices.Max(slices.Collect(maps.Values(missing)))
	best, fewest := market.Intervals(nil), s.requestsBySymbol(dataset, offer, nil)
	for _, least := range slices.Compact([]int{1, most/2 + 1, most}) {
		days := daysWith(missing, least)
		requests := s.requestsBySymbol(dataset, offer, days)
		for _, count := range missing {
			if count >= least {
				requests += s.requestsOfDay(offer, count)
			}
		}
		if requests < fewest {
			best, fewest = days, requests
		}
	}
	return best
}

// takesDays reports whether days of a dataset can be asked as a whole. An answer holds all instruments of
// the provider: who named a few does not get the others.
func (s Scope) takesDays(dataset string, offer market.Offer) bool {
	if !offer.Shapes.Has(market.ByDate) || !bySession(dataset) && dataset != market.AdjFactor && !s.dated(dataset) {
		return false
	}
	return s.Universe || offer.SymbolsPerRequest > 0 || !offer.Shapes.Has(market.BySymbol)
}

// daysWith returns the days that so many instruments or more lack.
func daysWith(missing map[market.Date]int, least int) market.Intervals {
	var days []market.Date
	for day, count := range missing {
		if count >= least {
			days = append(days, day)
		}
	}
	return market.DatesOf(days...)
}

// requestsBySymbol counts the requests by symbol that are left when days are asked as a whole.
func (s Scope) requestsBySymbol(dataset string, offer market.Offer, days market.Intervals) int {
	s = s.without(dataset, days)
	requests := 0
	for _, instrument := range s.Instruments {
		for _, u := range s.symbolUnits(dataset, instrument) {
			requests += pages(u.Sessions, offer.PageCap)
		}
	}
	return requests
}

// requestsOfDay counts the requests for one day that count instruments lack.
func (s Scope) requestsOfDay(offer market.Offer, count int) int {
	if offer.SymbolsPerRequest > 0 {
		return pages(count, offer.SymbolsPerRequest)
	}
	return pages(len(s.Instruments), offer.PageCap)
}

// pages returns how many pieces of at most size make n, 1 at least; size 0 is without limit.
func pages(n, size int) int {
	if size <= 0 {
		return 1
	}
	return max(1, (n+size-1)/size)
}

// without is the scope in which days of a dataset are no gaps: they are asked as a whole.
func (s Scope) without(dataset string, days market.Intervals) Scope {
	whole := maps.Clone(s.whole)
	if whole == nil {
		whole = map[string]market.Intervals{}
	}
	whole[dataset] = days
	s.whole = whole
	return s
}

// missingDays counts, for each day on which some instrument has a gap, the instruments that do.
func (s Scope) missingDays(dataset string) map[market.Date]int {
	days := map[market.Date]int{}
	for _, instrument := range s.Instruments {
		for _, gap := range s.Gaps(dataset, instrument) {
			for _, day := range s.Sessions[instrument.Symbol.MIC].In(gap) {
				days[day]++
			}
		}
	}
	return days
}

// dateWork returns the requests for whole days, oldest first. Where a request names its instruments, there
// is a unit for each, those of a request behind each other.
func (s Scope) dateWork(dataset string, offer market.Offer, days market.Intervals) []Work {
	missing := s.missingDays(dataset)
	var work []Work
	for _, day := range slices.Sorted(maps.Keys(missing)) {
		if !days.Contains(day) {
			continue
		}
		v := market.Interval{From: day, To: day}
		if offer.SymbolsPerRequest <= 0 {
			sessions := missing[day]
			if s.dated(dataset) {
				sessions = 0 // rows are events
			}
			work = append(work, Work{Units: []Unit{{
				Unit: s.unit(dataset, "", v), Gaps: market.Intervals{v}, Sessions: sessions,
			}}})
			continue
		}
		w := Work{}
		for _, one := range s.Instruments {
			if gaps := s.Gaps(dataset, one); !gaps.Contains(day) {
				continue
			}
			w.Symbols = append(w.Symbols, one.Symbol.String())
			w.Units = append(w.Units, Unit{
				Unit: s.unit(dataset, one.Symbol.String(), v), Gaps: market.Intervals{v}, Sessions: 1,
			})
		}
		slices.SortFunc(w.Units, func(a, b Unit) int { return cmp.Compare(a.Symbol, b.Symbol) })
		work = append(work, w)
	}
	return work
}
