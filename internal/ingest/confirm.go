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
		if !ok || !answer.State.Covers() {
			continue
		}
		if u.Symbol == "" {
			more := j.absentOn(p, u)
			for _, cover := range more {
				p.settle(cover.Dataset, cover.Symbol, cover.Interval, cover.State)
				covers = append(covers, cover)
				cover.State = ""
				forget = append(forget, cover)
			}
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
		if err := j.cover(ctx, c); err != nil {
			return fmt.Errorf("commit what the provider has none of: %w", err)
		}
	}
	return nil
}

// cover commits what is known now, and notes the commit: the run ends behind it.
func (j *job) cover(ctx context.Context, covers []store.Cover) error {
	changes := store.Changes{Run: j.report.Run, Source: j.Provider.Name, Coverage: covers}
	seq, err := j.writer.Commit(ctx, changes)
	j.report.After = max(j.report.After, int64(seq))
	return err
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
		gap.To = min(gap.To, j.scope.final(mic))
		// What the provider itself says has no row needs no second answer.
		for _, v := range j.scope.Sessions[mic].Missing(gap, present.Add(j.stated(u.Dataset, u.Symbol)...)) {
			judge(v, none)
		}
	}
	return states
}

// absentOn returns what becomes of a day that was asked for as a whole: for each instrument that was listed
// on it and has no row, though the provider does not say that there is none. The count of rows proves
// nothing here, as a success may be short: each instrument is looked for.
func (j *job) absentOn(p *proof, u Unit) []store.Cover {
	var covers []store.Cover
	for _, one := range p.scope.Instruments {
		symbol := one.Symbol.String()
		if !bySession(u.Dataset) || u.To > p.scope.final(one.Symbol.MIC) || !p.scope.life(u.Dataset, one).Contains(u.From) {
			continue
		}
		seen := p.inventories[u.Dataset].present[symbol].Add(p.states[u.Dataset][market.StateEmpty][symbol]...)
		for _, v := range p.scope.Sessions[one.Symbol.MIC].Missing(u.Interval(), seen) {
			cover := store.Cover{
				Dataset: u.Dataset, Freq: u.Freq, Source: u.Source, Symbol: symbol, Interval: v, State: market.StatePartial,
			}
			asked := u.Unit
			asked.Symbol = symbol
			if u.To+settleDays <= j.request.Today && j.before[u.Dataset][symbol].Covers(v) && !p.wasRefused(asked, v) {
				cover.State = market.StateEmpty
			}
			covers = append(covers, cover)
		}
	}
	return covers
}

// stated returns the days of a symbol of which the provider said in this run that they have no row.
func (j *job) stated(dataset, symbol string) market.Intervals {
	var days market.Intervals
	for _, t := range j.tallies {
		days = days.Add(t.statedOf(dataset, symbol)...)
	}
	return days
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
