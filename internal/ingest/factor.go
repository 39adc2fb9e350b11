package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/store"
)

// follows reports whether a dataset's news show in the bars: a price that does not go on from the close of
// the day before is an ex-date. While there is none, nobody has to be asked for factors.
func (s Scope) follows(dataset string) bool {
	offer, _ := s.Provider.Offer(dataset)
	return (dataset == market.AdjFactor || dataset == market.CorpAction) && !offer.WithBars &&
		slices.Contains(s.Datasets, market.Bar1D)
}

// withoutFollowers is the scope in which datasets that follow the bars have no gaps where something of
// them is held: these are looked at when the bars are there.
func (s Scope) withoutFollowers() Scope {
	held := map[string]Held{}
	for dataset, h := range s.Held {
		held[dataset] = h
		if !s.follows(dataset) {
			continue
		}
		known := Held{}
		for symbol, dates := range h {
			if len(dates) > 0 {
				known[symbol] = market.Intervals{{From: market.MinDate, To: market.MaxDate}}
			}
		}
		held[dataset] = known
	}
	s.Held = held
	return s
}

// exDates finds, among bars in order of date for each symbol, the days on which a symbol's price does
// not go on from the close before.
type exDates struct {
	found map[string]market.Intervals
	first map[string]market.Date // first bar seen of a symbol
	last  map[string]lastBar     // the last bar seen
	// before is the bar before an ex-date, by symbol and ex-date.
	before map[string]map[market.Date]market.Date
	// wide are symbols that have to be asked for all days: their event may lie before the ex-date.
	wide map[string]bool
}

// lastBar is what the next bar of a symbol is compared with.
type lastBar struct {
	day   market.Date
	close decimal128.Num
	null  bool // it has no close
}

func newExDates() *exDates {
	return &exDates{
		found: map[string]market.Intervals{}, first: map[string]market.Date{}, last: map[string]lastBar{},
		before: map[string]map[market.Date]market.Date{}, wide: map[string]bool{},
	}
}

func (e *exDates) add(b *batch.Batch) {
	column := func(name string) *batch.Column { return b.Column(b.Schema().Index(name)) }
	symbols, dates := column("symbol"), batch.Values[int32](column("date"))
	closing, preceding := column("close"), column("preclose")
	closes, precloses := batch.Values[decimal128.Num](closing), batch.Values[decimal128.Num](preceding)
	for from := 0; from < b.Len(); {
		symbol := string(symbols.Bytes(b.Row(from)))
		last, known := e.last[symbol]
		if !known {
			e.first[symbol] = market.Date(dates[b.Row(from)])
		}
		to := from
		for ; to < b.Len() && string(symbols.Bytes(b.Row(to))) == symbol; to++ {
			row := b.Row(to)
			day := market.Date(dates[row])
			if known && !preceding.IsNull(row) && (last.null || precloses[row] != last.close) {
				e.found[symbol] = appendDay(e.found[symbol], day)
				if e.before[symbol] == nil {
					e.before[symbol] = map[market.Date]market.Date{}
				}
				e.before[symbol][day] = last.day
			}
			last, known = lastBar{day, closes[row], closing.IsNull(row)}, true
		}
		e.last[symbol], from = last, to
	}
}

// settle says of the gaps of a dataset that follows the bars which symbols have to be asked, and what
// is covered without asking. missing are the gaps that bars have themselves.
func (e *exDates) settle(s Scope, dataset string, missing func(market.Instrument) market.Intervals) (ask map[string]bool, covered []store.Cover) {
	ask = map[string]bool{}
	for _, one := range s.Instruments {
		symbol := one.Symbol.String()
		gaps := s.Gaps(dataset, one)
		if len(gaps) == 0 || len(s.Held[dataset].of(symbol)) == 0 {
			continue
		}
		// A bar that is missing may be one of an ex-date, and the first bar has none before it. Of days before
		// the span nobody has looked for bars.
		unsure := len(missing(one).Intersect(gaps...)) > 0 || gaps[0].From < s.Span.From
		if first, ok := e.first[symbol]; ok && gaps.Contains(first) && one.Life().From < first {
			unsure = true
		}
		found := e.found[symbol].Intersect(gaps...)
		if unsure || len(found) > 0 {
			ask[symbol] = true
			e.wide[symbol] = unsure || e.apart(s.Sessions[one.Symbol.MIC], symbol, found)
			continue
		}
		for _, gap := range gaps {
			covered = append(covered, store.Cover{
				Dataset: dataset, Source: s.Provider.Name, Symbol: symbol, Interval: gap, State: market.StateOK,
			})
		}
	}
	return ask, covered
}

// apart reports whether there are sessions without a bar before one of the ex-dates.
func (e *exDates) apart(open Sessions, symbol string, found market.Intervals) bool {
	for _, v := range found {
		for day := v.From; day <= v.To; day++ {
			if before, ok := e.before[symbol][day]; ok && len(open.In(market.Interval{From: before + 1, To: day - 1})) > 0 {
				return true
			}
		}
	}
	return false
}

// lookBack is how many days before a gap the bar before it is looked for.
const lookBack = 31

// fetchFactors brings datasets that follow the bars up to date: only symbols with an ex-date are asked, and
// for factors of all of their history, since an event changes the forward factors of all days before it.
func (j *job) fetchFactors(ctx context.Context) error {
	for _, dataset := range j.scope.Datasets {
		if !j.scope.follows(dataset) {
			continue
		}
		gaps := market.Interval{From: market.MaxDate, To: market.MinDate}
		for _, one := range j.scope.Instruments {
			if open := j.scope.withHeldOnly(dataset, one); len(open) > 0 {
				gaps.From, gaps.To = min(gaps.From, open.Span().From), max(gaps.To, open.Span().To)
			}
		}
		if gaps.Empty() {
			continue
		}
		ask, wide, covered, err := j.findEvents(ctx, dataset, gaps)
		if err != nil {
			return err
		}
		if len(covered) > 0 {
			changes := store.Changes{Run: j.report.Run, Source: j.Provider.Name, Coverage: covered}
			if _, err := j.writer.Commit(ctx, changes); err != nil {
				return fmt.Errorf("commit the coverage of %s: %w", dataset, err)
			}
		}
		exact := j.scope.exactly(dataset, ask, j.before[dataset])
		again := j.scope.added(dataset, ask, wide).Plan()
		again.Work = append(again.Work, j.scope.again(dataset, ask).Plan().Work...)
		again.Work = append(again.Work, exact...)
		if err := j.fetch(ctx, again); err != nil {
			return err
		}
	}
	return nil
}

// withHeldOnly returns the gaps of an instrument of which something is held.
func (s Scope) withHeldOnly(dataset string, one market.Instrument) market.Intervals {
	if len(s.Held[dataset].of(one.Symbol.String())) == 0 {
		return nil
	}
	return s.Gaps(dataset, one)
}

// findEvents reads the bars of the gaps.
func (j *job) findEvents(ctx context.Context, dataset string, gaps market.Interval) (
	ask, wide map[string]bool, covered []store.Cover, err error,
) {
	view, err := j.Store.View(ctx, 0)
	if err != nil {
		return nil, nil, nil, err
	}
	defer func() { err = errors.Join(err, view.Close()) }()
	bars := j.scope
	bars.Datasets, bars.Held = []string{market.Bar1D}, map[string]Held{}
	if _, err := bars.readHeld(view, j.Cache); err != nil {
		return nil, nil, nil, err
	}
	events := newExDates()
	r := store.Range{Symbols: j.scope.named(), From: gaps.From - lookBack, To: gaps.To}
	for rows, err := range view.Scan(market.Bar1D, r, []string{"symbol", "date", "close", "preclose"}) {
		if err != nil {
			return nil, nil, nil, fmt.Errorf("read %s of the store: %w", market.Bar1D, err)
		}
		events.add(rows)
	}
	ask, covered = events.settle(j.scope, dataset, func(one market.Instrument) market.Intervals {
		return bars.Gaps(market.Bar1D, one)
	})
	return ask, events.wide, covered, nil
}

// fetchExDates asks for the factor of each ex-date that the bars show and that has none: of the day alone,
// since answers of many rows are where one is left out.
func (j *job) fetchExDates(ctx context.Context) error {
	j.monitor.enter("prove")
	proof, err := j.compare(ctx)
	if err != nil {
		return err
	}
	j.compared = proof
	asked := map[market.Unit]bool{}
	for _, u := range j.planned {
		asked[u.Unit] = true
	}
	var work []Work
	for _, one := range j.scope.Instruments {
		symbol := one.Symbol.String()
		none := proof.states[market.AdjFactor][market.StateEmpty][symbol]
		w := Work{Symbols: []string{symbol}}
		for _, v := range proof.unfactored[symbol].Subtract(none...) {
			for _, day := range j.scope.Sessions[one.Symbol.MIC].In(v) {
				alone := market.Interval{From: day, To: day}
				if u := j.scope.unit(market.AdjFactor, symbol, alone); !asked[u] {
					w.Units = append(w.Units, Unit{Unit: u, Gaps: market.Intervals{alone}})
				}
			}
		}
		if len(w.Units) > 0 {
			work = append(work, w)
		}
	}
	j.monitor.enter("factors")
	return j.fetch(ctx, Plan{Work: work})
}

// exactly takes out of ask the symbols that only lack days of which an answer was short before, and asks
// for each of these days alone: what an answer of many rows left out twice may still be there.
func (s Scope) exactly(dataset string, ask map[string]bool, short Held) []Work {
	var work []Work
	for _, one := range s.Instruments {
		symbol := one.Symbol.String()
		gaps := s.Gaps(dataset, one)
		if !ask[symbol] || len(gaps.Subtract(short[symbol]...)) > 0 {
			continue
		}
		delete(ask, symbol)
		w := Work{Symbols: []string{symbol}}
		for _, gap := range gaps {
			for _, day := range s.Sessions[one.Symbol.MIC].In(gap) {
				alone := market.Interval{From: day, To: day}
				w.Units = append(w.Units, Unit{Unit: s.unit(dataset, symbol, alone), Gaps: market.Intervals{alone}})
			}
		}
		work = append(work, w)
	}
	return work
}

// added takes out of ask the symbols of which only the missing days have to be asked for, as nothing of the
// days before changes, and returns the scope that asks for these.
func (s Scope) added(dataset string, ask, wide map[string]bool) Scope {
	offer, _ := s.Provider.Offer(dataset)
	var asked []market.Instrument
	for _, one := range s.Instruments {
		if symbol := one.Symbol.String(); offer.Appends && ask[symbol] && !wide[symbol] {
			asked = append(asked, one)
			delete(ask, symbol)
		}
	}
	s.Instruments, s.Datasets = asked, []string{dataset}
	return s
}

// again is the scope that asks some symbols for what they lack of a dataset; of factors for all, as far back
// as they are held.
func (s Scope) again(dataset string, ask map[string]bool) Scope {
	var asked []market.Instrument
	for _, one := range s.Instruments {
		if symbol := one.Symbol.String(); ask[symbol] {
			asked = append(asked, one)
			if dataset == market.AdjFactor {
				s.Span.From = min(s.Span.From, s.Held[dataset].of(symbol).Span().From)
			}
		}
	}
	s.Instruments, s.Datasets = asked, []string{dataset}
	if dataset == market.AdjFactor {
		s.Held = map[string]Held{}
	}
	return s
}

// readExDates finds the ex-dates that bars show, where factors follow the bars; nil: they do not.
func (s Scope) readExDates(view *store.View) (*exDates, error) {
	if !s.follows(market.AdjFactor) || !slices.Contains(s.Datasets, market.AdjFactor) {
		return nil, nil
	}
	events := newExDates()
	r := store.Range{Symbols: s.named(), From: s.Span.From, To: s.Span.To}
	for rows, err := range view.Scan(market.Bar1D, r, []string{"symbol", "date", "close", "preclose"}) {
		if err != nil {
			return nil, fmt.Errorf("read %s of the store: %w", market.Bar1D, err)
		}
		events.add(rows)
	}
	return events, nil
}

// readUnfactored finds the ex-dates that bars show and that have no factor; events nil: factors do not
// follow the bars. A bar behind one that is missing shows nothing.
func (p *proof) readUnfactored(view *store.View, events *exDates) error {
	p.unfactored = map[string]market.Intervals{}
	if events == nil {
		return nil
	}
	r := store.Range{Symbols: p.scope.named(), From: p.scope.Span.From, To: p.scope.Span.To}
	known := map[string]market.Intervals{}
	for rows, err := range view.Scan(market.AdjFactor, r, []string{"symbol", "ex_date"}) {
		if err != nil {
			return fmt.Errorf("read %s of the store: %w", market.AdjFactor, err)
		}
		symbols, dates := rows.Column(rows.Schema().Index("symbol")), rows.Column(rows.Schema().Index("ex_date"))
		for i := range rows.Len() {
			symbol := string(symbols.Bytes(rows.Row(i)))
			known[symbol] = appendDay(known[symbol], market.Date(dates.Int(rows.Row(i))))
		}
	}
	for _, one := range p.scope.Instruments {
		life := p.scope.life(market.AdjFactor, one)
		if life.Empty() {
			continue
		}
		symbol, open := one.Symbol.String(), p.scope.Sessions[one.Symbol.MIC]
		present := p.inventories[market.Bar1D].present[symbol]
		for _, v := range events.found[symbol].Intersect(life).Subtract(known[symbol]...) {
			for _, day := range open.In(v) {
				if before, _ := open.Around(market.Interval{From: day, To: day}); present.Contains(before) {
					p.unfactored[symbol] = appendDay(p.unfactored[symbol], day)
				}
			}
		}
	}
	return nil
}
