package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/store"
)

// A statement is published some time between the end of its quarter and the day the law sets, or later.
// Until a quarter is settled, nobody knows whether one that is not there will come: it is asked for again
// now and then, and what came whole never again.

const (
	// earlyAsks is the frequency under which coverage tells on which days the statements of quarters that
	// are not settled were asked for.
	earlyAsks = "early"
	// earlyPause is how many days pass before a statement that is not due yet is asked for again.
	earlyPause = 7
	// yearDays is a year and more: far enough back for the statements that a quarter's are compared with.
	yearDays = 380
)

// quarterEnds returns the last days of quarters in an interval: the sessions of statements.
func quarterEnds(v market.Interval) Sessions { return market.QuarterEnds(v) }

// early returns the ends of quarters that are not settled and whose statements may have come since they were
// asked for: all that are not held, when one of them is due.
func (s Scope) early(one market.Instrument) market.Intervals {
	symbol := one.Symbol.String()
	life := s.life(market.Fundamental, one)
	final := s.final(one.Symbol.MIC)
	life.From, life.To = max(life.From, s.known(market.Fundamental, one.Symbol.MIC)+1), min(life.To, final-1)
	open := quarterEnds(life)
	young := open.Missing(life, s.Held[market.Fundamental].of(symbol))
	last := s.asked[symbol].Intersect(market.Interval{From: market.MinDate, To: final}).Span().To
	for _, v := range young {
		for _, end := range open.In(v) {
			if askAgain(end, last, final) {
				return young
			}
		}
	}
	return nil
}

// askAgain reports whether the statement of a quarter, asked for last on a day, is asked for again: each week
// until it is due, then at once, and then whenever twice the time has passed.
func askAgain(end, last, today market.Date) bool {
	due := market.StatementDue(end)
	switch {
	case last <= end:
		return true
	case last <= due && today > due:
		return true
	case today <= due:
		return today >= last+earlyPause
	}
	return today-end >= 2*(last-end)
}

// quarters returns the requests for the statements of one instrument: those that have to be there, and those
// that may have come. Quarters in between that are held are not asked for.
func (s Scope) quarters(one market.Instrument, gaps market.Intervals) market.Intervals {
	ends := gaps.Add(s.early(one)...)
	return quarterEnds(ends.Span()).runs(ends.Span(), ends.Contains)
}

// readAsked reads when statements were asked for that were not settled.
func (s *Scope) readAsked(view *store.View) (err error) {
	if s.asked, err = view.CoverageIn(market.Fundamental, earlyAsks, s.Provider.Name, market.StateOK); err != nil {
		return fmt.Errorf("read when %s was asked for: %w", market.Fundamental, err)
	}
	return nil
}

// noteEarly remembers that statements were asked for before their quarter was settled; those that came whole
// are held from now on.
func (j *job) noteEarly(ctx context.Context) error {
	asked := map[string]market.Intervals{}
	for _, u := range j.planned {
		settled := j.scope.known(market.Fundamental, micOf(u.Symbol))
		answer, ok := j.answer(u.Unit)
		if u.Dataset != market.Fundamental || u.To <= settled || !ok || answer.State == market.StateFailed {
			continue
		}
		asked[u.Symbol] = asked[u.Symbol].Add(market.Interval{From: max(u.From, settled+1), To: u.To})
	}
	if len(asked) == 0 {
		return nil
	}
	whole, err := j.wholeQuarters(ctx, asked)
	if err != nil {
		return err
	}
	var covers []store.Cover
	cover := store.Cover{Dataset: market.Fundamental, Source: j.Provider.Name, State: market.StateOK}
	for symbol, days := range asked {
		cover.Symbol, cover.Freq = symbol, earlyAsks
		today := j.scope.final(micOf(symbol))
		cover.Interval = market.Interval{From: today, To: today}
		covers = append(covers, cover)
		cover.Freq = j.scope.freq(market.Fundamental)
		for _, end := range quarterEnds(days.Span()) {
			if days.Contains(end) && whole[statement{symbol, end}] {
				cover.Interval = market.Interval{From: end, To: end}
				covers = append(covers, cover)
			}
		}
	}
	if err := j.cover(ctx, covers); err != nil {
		return fmt.Errorf("commit when statements were asked for: %w", err)
	}
	return nil
}

// micOf returns the exchange of a symbol that a unit names.
func micOf(symbol string) market.MIC {
	s, _ := market.ParseSymbol(symbol) // units have canonical ones
	return s.MIC
}

type statement struct {
	symbol string
	end    market.Date
}

// wholeQuarters finds the statements that have as many items as the longest of the instrument in the year
// before, or, where there is none, of any instrument.
func (j *job) wholeQuarters(ctx context.Context, asked map[string]market.Intervals) (_ map[statement]bool, err error) {
	view, err := j.Store.View(ctx, 0)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, view.Close()) }()
	items := map[statement]map[string]bool{} // one that is published again has its items twice
	r := store.Range{Symbols: j.scope.named(), From: j.request.settled() - market.SettleQuarter - yearDays, To: market.MaxDate}
	for rows, err := range view.Scan(market.Fundamental, r, []string{"symbol", "stat_date", "item"}) {
		if err != nil {
			return nil, fmt.Errorf("read %s of the store: %w", market.Fundamental, err)
		}
		column := func(name string) *batch.Column { return rows.Column(rows.Schema().Index(name)) }
		symbols, dates, names := column("symbol"), column("stat_date"), column("item")
		for i := range rows.Len() {
			row := rows.Row(i)
			of := statement{string(symbols.Bytes(row)), market.Date(dates.Int(row))}
			if items[of] == nil {
				items[of] = map[string]bool{}
			}
			items[of][string(names.Bytes(row))] = true
		}
	}
	longest, quarters, most := map[string]int{}, map[string]int{}, 0
	for of, names := range items {
		longest[of.symbol] = max(longest[of.symbol], len(names))
		quarters[of.symbol]++
		most = max(most, len(names))
	}
	whole := map[statement]bool{}
	for of, names := range items {
		want := longest[of.symbol]
		if quarters[of.symbol] == 1 {
			want = most
		}
		whole[of] = len(names) == want && asked[of.symbol].Contains(of.end)
	}
	return whole, nil
}

// mayCome reports whether a quarter that a run was asked for was not settled then: what proved to be there
// proves nothing of what came since.
func (r *Report) mayCome() bool {
	if !slices.Contains(r.Asked.Datasets, market.Fundamental) {
		return false
	}
	span, err := r.Asked.span()
	final, wrong := market.ParseDate(r.Final)
	return errors.Join(err, wrong) != nil || final-market.SettleQuarter < span.To
}
