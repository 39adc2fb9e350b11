package ingest

import (
	"context"
	"errors"
	"fmt"

	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/store"
)

// quarantined is the store's dataset of refused rows.
const quarantined = "quarantine"

// settleDays is how old a day is before a provider is believed that it has no row: until then it may be
// late, however often it is asked.
const settleDays = 10

// confirm settles the coverage of days that were asked for and still have no row. An answer without
// them is not believed at once: they become partial, and the next sync asks again. When that answer
// has not a single row either, and the days are old enough, they are confirmed to have none.
func (j *job) confirm(ctx context.Context, p *proof) error {
	var forget, covers []store.Cover
	for _, u := range j.planned {
		answer, ok := j.answer(u.Unit)
		if !ok || !answer.State.Covers() || u.Symbol == "" {
			continue
		}
		symbol, err := market.ParseSymbol(u.Symbol)
		if err != nil {
			return err
		}
		absent := j.absent(p, u, answer, symbol.MIC)
		for v, state := range absent {
			p.settle(u.Dataset, u.Symbol, v, state)
			cover := store.Cover{
				Dataset: u.Dataset, Freq: u.Freq, Source: u.Source, Symbol: u.Symbol, Interval: v, State: state,
			}
			covers = append(covers, cover)
			cover.State = ""
			forget = append(forget, cover)
		}
	}
	if len(covers) == 0 {
		return nil
	}
	// What is short takes nothing away from what is covered, so that comes first; stopped in between,
	// the days are asked for again as if they never had been.
	for _, c := range [][]store.Cover{forget, covers} {
		changes := store.Changes{Run: j.report.Run, Source: j.Provider.Name, Coverage: c}
		if _, err := j.writer.Commit(ctx, changes); err != nil {
			return fmt.Errorf("commit what the provider has none of: %w", err)
		}
	}
	return nil
}

// absent returns the days a unit should have brought rows of and did not, with what that makes of them.
func (j *job) absent(p *proof, u Unit, answer market.Unit, mic market.MIC) map[market.Interval]market.State {
	states := map[market.Interval]market.State{}
	judge := func(v market.Interval, none bool) {
		states[v] = market.StatePartial
		settled := v.To+settleDays <= j.request.Today
		if settled && none && j.before[u.Dataset][u.Symbol].Covers(v) && !p.wasRefused(u.Unit, v) {
			states[v] = market.StateEmpty
		}
	}
	if !bySession(u.Dataset) {
		if u.Dataset == market.AdjFactor {
			for _, v := range p.unfactored[u.Symbol].Intersect(u.Interval()) {
				judge(v, answer.Rows == 0)
			}
		}
		return states
	}
	present := p.inventories[u.Dataset].present[u.Symbol]
	none := len(u.Gaps.Intersect(present...)) == 0
	for _, gap := range u.Gaps {
		gap.To = min(gap.To, j.scope.Final)
		for _, v := range j.scope.Sessions[mic].Missing(gap, present) {
			judge(v, none)
		}
	}
	return states
}

// answer returns how a unit ended in this run.
func (j *job) answer(u market.Unit) (market.Unit, bool) {
	for _, t := range j.tallies {
		if answer, ok := t.answer(u); ok {
			return answer, true
		}
	}
	return market.Unit{}, false
}

// settle moves dates to a state.
func (p *proof) settle(dataset, symbol string, v market.Interval, state market.State) {
	for other, dates := range p.states[dataset] {
		dates[symbol] = dates[symbol].Subtract(v)
		if other == state {
			dates[symbol] = dates[symbol].Add(v)
		}
	}
}

// wasRefused reports whether a row of the dates was quarantined in this run.
func (p *proof) wasRefused(u market.Unit, v market.Interval) bool {
	for d := v.From; d <= v.To; d++ {
		if _, ok := p.refused[refusedKey{u.Dataset, u.Symbol, d}]; ok {
			return true
		}
	}
	return false
}

// count reads what the run did from the journal.
func (j *job) count(ctx context.Context, p *proof) error {
	r := j.report
	entries, err := j.Store.Journal(ctx, store.Seq(r.Before), 0)
	if err != nil {
		return fmt.Errorf("read the journal: %w", err)
	}
	for _, t := range j.tallies {
		r.Rows.Received += t.rows()
	}
	for _, u := range j.planned {
		if _, ok := j.answer(u.Unit); ok {
			r.DataRequests++
		}
	}
	for _, entry := range entries {
		for _, change := range entry.Changed {
			if !j.brings(change.Dataset) {
				continue // the store's own
			}
			r.Rows.New += change.New
			r.Rows.Changed += change.Changed
		}
	}
	r.Rows.Quarantined = p.quarantined
	r.Rows.Equal = max(0, r.Rows.Received-r.Rows.New-r.Rows.Changed-r.Rows.Quarantined)
	return nil
}

// brings reports whether the run brings rows of a dataset.
func (j *job) brings(dataset string) bool {
	_, ok := j.Provider.Offer(dataset)
	return ok
}

func isInterrupt(err error) bool {
	return errors.Is(err, ErrInterrupted) || errors.Is(err, context.Canceled)
}
