package ingest

import (
	"context"
	"fmt"
	"slices"

	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/store"
)

const (
	// provedList is the frequency under which coverage tells on which days the list of instruments was
	// fetched and proved. A run that ends in between leaves a list that counts as fetched for named
	// symbols only.
	provedList = "proved"
	// mostLost is how many of a hundred instruments may vanish from the list at once.
	mostLost = 1
)

// provesList reports whether a universe is read off the list of instruments, and its completeness can
// be proved.
func (s *Sync) provesList(r Request) bool { return s.Provider.ListedOn != nil && r.Symbols == nil }

// proveList compares a list of instruments that was just fetched with the provider's list of the last
// open day, and with the instruments that were held before. What it lacks is missing, and it is fetched
// again by the next sync.
func (j *job) proveList(ctx context.Context, unit market.Unit, before []market.Instrument) error {
	t := j.tallies[len(j.tallies)-1]
	if answer, ok := t.answer(unit); !ok || !answer.State.Covers() {
		j.lacks("", j.request.Today, "the provider's instrument list was refused or is not whole; the next sync asks again")
	}
	j.findLost(t, before)
	if err := j.findUnlisted(ctx); err != nil {
		return err
	}
	cover := store.Cover{
		Dataset: market.Listing, Freq: provedList, Source: j.Provider.Name, Interval: unit.Interval(),
		State: market.StateOK,
	}
	covers := []store.Cover{cover}
	if len(j.unlisted) > 0 { // it was never fetched
		cover.State, cover.From = "", market.MinDate
		named := cover
		named.Freq = ""
		covers = []store.Cover{cover, named}
	}
	changes := store.Changes{Run: j.report.Run, Source: j.Provider.Name, Coverage: covers}
	if _, err := j.writer.Commit(ctx, changes); err != nil {
		return fmt.Errorf("commit whether the list of instruments is whole: %w", err)
	}
	return nil
}

func (j *job) lacks(symbol string, day market.Date, why string) {
	date := day.String()
	j.unlisted = append(j.unlisted, Missing{
		Dataset: market.Listing, Symbol: symbol, From: date, To: date, Sessions: 1, Why: why,
	})
}

// findLost notes the instruments that were held before and are not in the list any more.
func (j *job) findLost(t *tally, before []market.Instrument) {
	var lost []string
	for _, one := range before {
		if _, renamed := j.renamed[one.Symbol]; renamed || one.Status == market.Delisted && one.Out == 0 {
			continue // the list did not have it before either
		}
		if symbol := one.Symbol.String(); !t.listed[symbol] {
			lost = append(lost, symbol)
		}
	}
	if 100*len(lost) <= mostLost*len(before) {
		return
	}
	for _, symbol := range lost {
		j.lacks(symbol, j.request.Today, fmt.Sprintf(
			"held before, and the provider's instrument list lacks it: it lost %d of %d", len(lost), len(before)))
	}
}

// findUnlisted notes the instruments of the last open day that are not held.
func (j *job) findUnlisted(ctx context.Context) error {
	r := j.request
	view, err := j.Store.View(ctx, 0)
	if err != nil {
		return err
	}
	defer view.Close()
	known, err := j.knownOfAll(view)
	if err != nil {
		return err
	}
	day := known.lastOpen(r)
	if day == 0 {
		return nil // the request will be refused for that
	}
	some := slices.ContainsFunc(known.instruments, func(one market.Instrument) bool { return one.Life().Contains(day) })
	listed, err := j.Provider.ListedOn(ctx, day)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		j.lacks("", day, "the instrument list is not proved: the provider's list of the day was refused: "+firstLine(err))
	case len(listed) == 0 && some:
		j.lacks("", day, "the instrument list is not proved: the provider's list of the day is empty")
	}
	for _, symbol := range listed {
		if slices.Contains(r.Markets, symbol.MIC) && !known.names(symbol) {
			j.lacks(symbol.String(), day, fmt.Sprintf(
				"traded on %s by the provider's list of the day, but its instrument list lacks it", day))
		}
	}
	return nil
}

// lastOpen returns the last open day whose rows are final in the span or the month before it, 0 for none.
func (k *known) lastOpen(r Request) market.Date {
	_, around, err := k.sessions(r)
	if err != nil {
		return 0
	}
	last := market.Date(0)
	for mic, open := range around {
		if open = open.In(market.Interval{From: market.MinDate, To: min(r.Span.To, r.clocks.final(mic, r.Final))}); len(open) > 0 {
			last = max(last, open[len(open)-1])
		}
	}
	return last
}

// withoutUnlisted drops the members of an index that the list of instruments lacks: they are reported as
// missing, not refused as unknown.
func (j *job) withoutUnlisted(members []market.Symbol) []market.Symbol {
	return slices.DeleteFunc(members, func(symbol market.Symbol) bool {
		return slices.ContainsFunc(j.unlisted, func(m Missing) bool { return m.Symbol == symbol.String() })
	})
}
