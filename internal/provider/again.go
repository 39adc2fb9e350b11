package provider

import (
	"errors"

	"github.com/tapeline/tapeline/internal/market"
)

// settleDays is how old a day is before a provider is believed that it has no row: until then it may be late.
const settleDays = 10

// again is a second look at days.
type again struct {
	days market.Intervals     // looked for
	seen map[market.Date]bool // of the second answer, whatever was looked for
}

// Again asks a second time for the open days of a unit of one symbol's days that no record was added of: ask
// adds all that an answer for the dates holds. What the first answer left out is taken up. Of days that the
// second one lacks as well, though it has the days around them, the provider is believed that it has none: one
// answer cannot tell a suspension from a row that was lost. Days at the end, and new ones, stay missing.
// invariant: a day is taken for one without a row only when two answers lack it
func (r *Rows) Again(ask func(dates market.Interval) error) error {
	symbol, err := market.ParseSymbol(r.Unit.Symbol)
	if err != nil || r.partial || r.refused != nil || !market.Daily(r.Unit.Dataset) || len(r.days) == 0 {
		return nil //nolint:nilerr // nothing to look for
	}
	calendar, err := market.CalendarOf(symbol.MIC)
	if err != nil {
		return nil //nolint:nilerr // nobody knows which days are missing
	}
	open, err := calendar.Open(r.Unit.From, min(r.Unit.To, r.last))
	if err != nil {
		return nil //nolint:nilerr // likewise
	}
	gaps := gapsIn(open, r.days)
	if len(gaps) == 0 || gaps[0].run.To+settleDays > r.last {
		return nil
	}
	look := &again{seen: map[market.Date]bool{}}
	around := market.Interval{From: gaps[0].run.From, To: gaps[len(gaps)-1].after}
	if gaps[0].before != 0 {
		around.From = gaps[0].before
	}
	for _, gap := range gaps {
		look.days = look.days.Add(gap.run)
	}
	r.look = look
	err = ask(around)
	r.look = nil
	if _, refused := errors.AsType[*RefusalError](err); refused {
		return nil // it confirms nothing
	}
	if err != nil {
		return err
	}
	for _, gap := range gapsIn(open, r.days) {
		spanned := look.seen[gap.after] && (gap.before == 0 || look.seen[gap.before])
		if spanned && gap.run.To+settleDays <= r.last && !r.partial {
			r.Empty(symbol, gap.run)
		}
	}
	return nil
}

// gap is a run of open days without a record, with the days around it that have one; 0: there is none.
type gap struct {
	run           market.Interval
	before, after market.Date
}

// gapsIn returns the runs of open days without a record that are followed by a day with one.
func gapsIn(open []market.Date, have map[market.Date]bool) (gaps []gap) {
	var now gap
	for _, day := range open {
		switch missing := !have[day]; {
		case missing && now.run.From == 0:
			now.run = market.Interval{From: day, To: day}
		case missing:
			now.run.To = day
		case now.run.From != 0:
			now.after = day
			gaps = append(gaps, now)
			now = gap{before: day}
		default:
			now.before = day
		}
	}
	return gaps
}

// passes reports whether a record at hand is to be added: in a second look only those of days looked for.
func (r *Rows) passes() bool {
	if r.look == nil {
		return true
	}
	r.look.seen[r.date] = true
	return r.look.days.Contains(r.date)
}
