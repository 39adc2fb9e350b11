package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/store"
)

// A list of instruments without those that were delisted makes a history of survivors, which looks whole.
// So the provider's lists of earlier days are held against it, and what is in one of them is kept too.

// asOfLists is the frequency under which coverage tells of which days the provider's lists were looked at.
const asOfLists = "as_of"

// findBeyondList looks for instruments that the list of instruments lacks.
func (j *job) findBeyondList(ctx context.Context) (err error) {
	universe := j.provesList(j.request)
	if len(j.unlisted) > 0 || !universe && j.request.Symbols == nil || universe && j.Provider.ListedNow {
		return nil // a list that is not whole is fetched again first
	}
	view, err := j.Store.View(ctx, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, view.Close()) }()
	known, err := j.knownOfAll(view)
	switch {
	case err != nil:
		return err
	case universe:
		return j.findDelisted(ctx, view, known)
	}
	return j.findNamed(ctx, known)
}

// findDelisted looks for instruments that were traded in the span in the provider's lists of earlier days, once
// each. A list of instruments with delisted ones among them is held against one day of each year; one of which
// that shows that it lacks some, or that has none at all, against one of each quarter: what was both listed and
// delisted within a year is in none of the others.
func (j *job) findDelisted(ctx context.Context, view *store.View, known *known) error {
	seen, err := view.Coverage(market.Listing, asOfLists, j.Provider.Name)
	if err != nil {
		return fmt.Errorf("read which lists were looked at: %w", err)
	}
	look := &asOf{known: known, seen: seen[""], gone: map[market.Symbol]market.Date{}}
	proved, err := j.lookAt(ctx, look, known.asOfDays(j.request, yearMonths))
	if err == nil && proved && (len(look.gone) > 0 || known.lacksDelisted()) {
		proved, err = j.lookAt(ctx, look, j.quarters(known))
	}
	if err != nil {
		return err
	}
	if !proved {
		look.covers = nil // what they showed decides what else is looked at
	}
	return j.keepDelisted(ctx, look.gone, look.covers)
}

const (
	yearMonths, quarterMonths = 12, 3
	// listShare is the part of a day's requests that may go to lists of earlier days: a hundredth.
	listShare = 100
)

// quarters returns a day of each quarter, as far as the provider's requests of a day allow.
func (j *job) quarters(known *known) []market.Date {
	days := known.asOfDays(j.request, quarterMonths)
	if most := j.Provider.Budget.RequestsPerDay / listShare; most > 0 && int64(len(days)) > most {
		j.report.Warnings = append(j.report.Warnings, fmt.Sprintf("the provider's lists of %d quarters are more than "+
			"its requests of a day allow: what was both listed and delisted within a year may be missing", len(days)))
		return nil
	}
	return days
}

// asOf is what lists of earlier days showed.
type asOf struct {
	known  *known
	seen   market.Intervals // days looked at
	gone   map[market.Symbol]market.Date
	covers []store.Cover
}

// lookAt looks at the lists of days; proved is false where one was refused.
func (j *job) lookAt(ctx context.Context, look *asOf, days []market.Date) (proved bool, err error) {
	for _, day := range days {
		if look.seen.Contains(day) {
			continue
		}
		listed, err := j.Provider.ListedOn(ctx, day)
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		if err != nil || len(listed) == 0 {
			why := "it is empty"
			if err != nil {
				why = firstLine(err)
			}
			j.lacks("", day, "whether delisted instruments are missing is not proved: the provider's list of the day: "+why)
			return false, nil
		}
		for _, symbol := range listed {
			if !look.known.names(symbol) && slices.Contains(j.request.Markets, symbol.MIC) {
				look.gone[symbol] = day
			}
		}
		look.seen = look.seen.Add(market.Interval{From: day, To: day})
		look.covers = append(look.covers, store.Cover{
			Dataset: market.Listing, Freq: asOfLists, Source: j.Provider.Name, State: market.StateOK,
			Interval: market.Interval{From: day, To: day},
		})
	}
	return true, nil
}

// lacksDelisted reports whether the list of instruments holds no delisted one, or was found to lack some.
func (k *known) lacksDelisted() bool {
	holds, lacks := false, false
	for _, one := range k.instruments {
		if one.Status == market.Delisted {
			unheardOf := one.Name == one.Symbol.String()
			holds, lacks = holds || !unheardOf, lacks || unheardOf
		}
	}
	return !holds || lacks
}

// findNamed looks for symbols that were named, and that the list of instruments lacks, in the provider's lists
// of earlier days, or takes them as named where its list holds what is listed now only.
func (j *job) findNamed(ctx context.Context, known *known) error {
	var wanted []market.Symbol
	for _, symbol := range j.request.Symbols {
		if !known.names(symbol) {
			wanted = append(wanted, symbol)
		}
	}
	list, lists := j.Provider.Offer(market.Listing)
	if len(wanted) == 0 || !lists {
		return nil
	}
	gone := map[market.Symbol]market.Date{}

	if list.Survivors {
		for _, symbol := range wanted {
			gone[symbol] = 0
		}
		return j.keepDelisted(ctx, gone, nil)
	}
	if j.Provider.ListedOn == nil || j.Provider.ListedNow {
		return nil
	}
	for _, day := range append(known.asOfDays(j.request, yearMonths), j.quarters(known)...) {
		listed, err := j.Provider.ListedOn(ctx, day)
		if err != nil {
			return fmt.Errorf("look for %s in the provider's list of %s: %w", wanted[0], day, err)
		}
		for _, symbol := range listed {
			if slices.Contains(wanted, symbol) {
				gone[symbol] = day
			}
		}
		if len(gone) == len(wanted) {
			break
		}
	}
	return j.keepDelisted(ctx, gone, nil)
}

// keepDelisted stores instruments of which nothing is known but that they were traded on a day, 0 if not even
// that is known, and says so.
func (j *job) keepDelisted(ctx context.Context, gone map[market.Symbol]market.Date, covers []store.Cover) error {
	d, _ := market.DatasetByName(market.Listing)
	b := batch.NewBuilder(d.Schema)
	byDay := map[market.Date][]string{}
	for _, symbol := range slices.SortedFunc(maps.Keys(gone), func(a, b market.Symbol) int {
		return cmp.Compare(a.String(), b.String())
	}) {
		one := j.request.unheardOf(symbol, j.Provider.Provider)
		if !j.request.served(one, j.Provider.Provider) {
			continue
		}
		byDay[gone[symbol]] = append(byDay[gone[symbol]], symbol.String())
		for i, text := range []string{one.Symbol.String(), one.Name, one.Class.String(), "", "", one.Status} {
			if text == "" {
				b.Column(i).Null()
			} else {
				b.Column(i).Text(text)
			}
		}
	}
	changes := store.Changes{Run: j.report.Run, Source: j.Provider.Name, Coverage: covers}
	if len(byDay) > 0 {
		rows, err := b.Batch()
		if err != nil {
			return err
		}
		changes.Puts = map[string][]*batch.Batch{market.Listing: {rows}}
	}
	for _, day := range slices.Sorted(maps.Keys(byDay)) {
		symbols := byDay[day]
		where := "on " + day.String() + " by the provider's list of the day"
		if day == 0 {
			where = "as its name says"
		}
		j.report.Warnings = append(j.report.Warnings, fmt.Sprintf(
			"the provider's instrument list lacks %d that were traded %s: they are taken for delisted on a day unknown, "+
				"and asked for on all days: %s", len(symbols), where, strings.Join(symbols[:min(len(symbols), maxReasons)], ", ")))
	}
	if len(covers) == 0 && len(byDay) == 0 {
		return nil
	}
	if _, err := j.writer.Commit(ctx, changes); err != nil {
		return fmt.Errorf("commit what the list of instruments lacks: %w", err)
	}
	if len(byDay) > 0 {
		j.Cache.changed(market.Listing, nil)
	}
	return nil
}

// warnOfSurvivors says that a universe is read off a list without what was delisted.
func (j *job) warnOfSurvivors() {
	list, ok := j.Provider.Offer(market.Listing)
	if ok && list.Survivors && j.request.Symbols == nil {
		j.report.Warnings = append(j.report.Warnings, fmt.Sprintf(
			"the list of %s holds what is listed now only: histories are those of survivors; name the symbols of "+
				"others, or sync them from a provider that lists delisted ones too", j.Provider.Name))
	}
}

// knownOfAll reads what is known beside the members of an index.
func (j *job) knownOfAll(view *store.View) (*known, error) {
	r := j.request
	r.Index = market.Symbol{}
	return readKnown(view, r, j.Cache)
}

// names reports whether a symbol is or was that of an instrument.
func (k *known) names(symbol market.Symbol) bool {
	if k.byName == nil {
		k.byName = map[market.Symbol]bool{}
		for _, one := range k.instruments {
			k.byName[one.Symbol] = true
			for _, alias := range one.Aliases {
				k.byName[alias.Symbol] = true
			}
		}
	}
	return k.byName[symbol]
}

// asOfDays returns the first open day of the span and of each stretch of months in it, but for the last open
// day, whose list proves that of the instruments.
func (k *known) asOfDays(r Request, months int) []market.Date {
	open, _, err := k.sessions(r)
	if err != nil {
		return nil // the request will be refused for that
	}
	first, last := map[int]market.Date{}, k.lastOpen(r)
	for _, days := range open {
		for _, day := range days {
			year, month, _ := day.Civil()
			stretch := (12*year + int(month) - 1) / months
			if before, ok := first[stretch]; !ok || day < before {
				first[stretch] = day
			}
		}
	}
	days := slices.Sorted(maps.Values(first))
	return slices.DeleteFunc(days, func(day market.Date) bool { return day >= last })
}
