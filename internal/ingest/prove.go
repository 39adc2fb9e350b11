package ingest

import (
	"context"
	"errors"
	"strings"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/lifecycle"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/store"
)

// prove compares what should be there with what is, reads what the run did from the store's journal,
// and notes what the provider has none of.
func (j *job) prove(ctx context.Context) error {
	j.monitor.enter("prove")
	proof, err := j.compare(ctx)
	if err != nil {
		return err
	}
	proof.failure = j.failure
	// After a failure the newest answers were not committed, so a row that is not there proves nothing.
	// invariant: answers that may not have been committed confirm nothing
	if j.failure == nil {
		if err := j.confirm(ctx, proof); err != nil {
			return err
		}
	}
	if err := j.count(ctx, proof); err != nil {
		return err
	}
	j.report.Datasets, j.report.Missing, j.report.ConfirmedEmpty = proof.datasets(), proof.missing, proof.none
	j.report.Missing = append(j.report.Missing, j.unlisted...)
	for _, d := range j.report.Datasets {
		j.monitor.add(int64(d.Stored))
	}
	return nil
}

// compare reads the store, unless nothing was written since that was done last.
func (j *job) compare(ctx context.Context) (p *proof, err error) {
	if j.compared != nil {
		return j.compared, nil
	}
	view, err := j.Store.View(ctx, 0)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, view.Close()) }()
	j.report.After = int64(view.Seq())
	return newProof(ctx, view, j.scope, store.Seq(j.report.Before), j.Cache)
}

// proof is what is and what should be within a scope.
type proof struct {
	scope       Scope
	inventories map[string]inventory
	states      map[string]map[market.State]Held // by dataset: what kept it from being complete
	refused     map[refusedKey]string            // rule, of rows refused since the run began
	unfactored  map[string]market.Intervals      // by symbol: ex-dates that bars show without a factor
	quarantined int64
	failure     error // why not everything was fetched

	missing []Missing
	none    []Missing
}

type refusedKey struct {
	dataset, symbol string
	date            market.Date
}

// newProof reads the store; before is the commit the run began behind.
func newProof(ctx context.Context, view *store.View, scope Scope, before store.Seq, cache *Cache) (*proof, error) {
	p := &proof{
		scope: scope, refused: map[refusedKey]string{}, states: map[string]map[market.State]Held{},
		missing: []Missing{},
	}
	p.scope.Held = map[string]Held{}
	var events *exDates
	reading := lifecycle.NewGroup(ctx)
	reading.Go("held rows", func(context.Context) (err error) {
		p.inventories, err = p.scope.readHeld(view, cache)
		return err
	})
	reading.Go("ex-dates", func(context.Context) (err error) {
		events, err = scope.readExDates(view)
		return err
	})
	err := reading.Wait()
	if err != nil {
		return nil, err
	}
	for _, dataset := range scope.Datasets {
		p.states[dataset] = map[market.State]Held{}
		for _, state := range []market.State{market.StateEmpty, market.StatePartial, market.StateFailed} {
			if p.states[dataset][state], err = p.scope.coverage(view, dataset, state); err != nil {
				return nil, err
			}
		}
	}
	if err := p.readUnfactored(view, events); err != nil {
		return nil, err
	}
	return p, p.readRefused(view, before)
}

// readRefused reads the rows refused since a commit.
func (p *proof) readRefused(view *store.View, before store.Seq) error {
	rows, err := readAll(view, quarantined, store.Range{After: before})
	if err != nil {
		return err
	}
	for _, b := range rows {
		column := func(name string) *batch.Column { return b.Column(b.Schema().Index(name)) }
		datasets, symbols, dates, rules := column("dataset"), column("symbol"), column("date"), column("rule")
		p.quarantined += int64(b.Len())
		for i := range b.Len() {
			row := b.Row(i)
			key := refusedKey{string(datasets.Bytes(row)), string(symbols.Bytes(row)), dateAt(dates, row)}
			p.refused[key] = string(rules.Bytes(row))
		}
	}
	return nil
}

// datasets compares every dataset and lists what is missing.
func (p *proof) datasets() []DatasetReport {
	list := []DatasetReport{}
	for _, dataset := range p.scope.Datasets {
		d := DatasetReport{Dataset: dataset}
		for _, one := range p.scope.Instruments {
			if life := p.scope.life(dataset, one); life.Empty() {
				continue
			}
			d.Symbols++
			if bySession(dataset) {
				p.sessions(&d, one)
			} else {
				p.events(&d, one)
			}
		}
		list = append(list, d)
	}
	return list
}

// sessions compares the open days of an instrument's life with its rows.
func (p *proof) sessions(d *DatasetReport, one market.Instrument) {
	symbol := one.Symbol.String()
	life := p.scope.life(d.Dataset, one)
	inv := p.inventories[d.Dataset]
	d.Provisional += inv.provisional[symbol].Days()
	life.To = min(life.To, p.scope.final(one.Symbol.MIC))
	open := p.scope.Sessions[one.Symbol.MIC]
	present := inv.present[symbol]
	d.Expected += len(open.In(life))
	lost := 0
	for _, gap := range open.Missing(life, present) {
		n := len(open.In(gap))
		lost += n
		none := p.states[d.Dataset][market.StateEmpty][symbol]
		for _, v := range open.runs(gap, none.Contains) {
			p.none = append(p.none, p.interval(d.Dataset, symbol, v, open, "the provider has none"))
			d.None += len(open.In(v))
			n -= len(open.In(v))
		}
		for _, v := range open.Missing(gap, none) {
			p.missing = append(p.missing, p.interval(d.Dataset, symbol, v, open, p.why(d.Dataset, symbol, v, open)))
		}
		d.Missing += n
	}
	d.Stored += len(open.In(life)) - lost
}

func (p *proof) interval(dataset, symbol string, v market.Interval, open Sessions, why string) Missing {
	return Missing{
		Dataset: dataset, Symbol: symbol, From: v.From.String(), To: v.To.String(), Sessions: len(open.In(v)), Why: why,
	}
}

// events lists the dates of which it was not asked what happened.
func (p *proof) events(d *DatasetReport, one market.Instrument) {
	symbol := one.Symbol.String()
	for _, gap := range p.scope.Gaps(d.Dataset, one) {
		open := p.scope.Sessions[one.Symbol.MIC]
		p.missing = append(p.missing, p.interval(d.Dataset, symbol, gap, open, p.why(d.Dataset, symbol, gap, open)))
		d.Missing++
	}
	if d.Dataset == market.AdjFactor {
		p.exDates(d, one)
	}
}

// exDates lists the ex-dates without a factor among the dates that are covered.
func (p *proof) exDates(d *DatasetReport, one market.Instrument) {
	symbol := one.Symbol.String()
	open := p.scope.Sessions[one.Symbol.MIC]
	for _, v := range p.unfactored[symbol].Subtract(p.scope.Gaps(d.Dataset, one)...) {
		if p.states[d.Dataset][market.StateEmpty][symbol].Covers(v) {
			p.none = append(p.none, p.interval(d.Dataset, symbol, v, open, "the provider has no factor of this ex-date"))
			d.None++
			continue
		}
		p.missing = append(p.missing, p.interval(d.Dataset, symbol, v, open,
			"the bars show an ex-date, and the provider gave no factor; the next sync asks again"))
		d.Missing++
	}
}

// why says why sessions have no rows.
func (p *proof) why(dataset, symbol string, v market.Interval, open Sessions) string {
	for _, d := range open.In(v) {
		if rule, ok := p.refused[refusedKey{dataset, symbol, d}]; ok {
			return "quarantined: " + rule
		}
	}
	overlaps := func(state market.State) bool {
		return len(p.states[dataset][state][symbol].Intersect(v)) > 0
	}
	switch {
	case overlaps(market.StateFailed):
		return "the provider refused the request"
	case overlaps(market.StatePartial):
		return "the provider's answer was short; the next sync asks again"
	case asCap(p.failure) != nil:
		return "not fetched: " + asCap(p.failure).Error()
	case errors.Is(p.failure, ErrInterrupted):
		return "not fetched: interrupted"
	case p.failure != nil:
		return "not fetched: " + firstLine(p.failure)
	}
	return "not fetched"
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
