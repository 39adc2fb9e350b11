package tushare

import (
	"bytes"
	"context"
	"slices"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/provider"
)

const factorFields = "ts_code,trade_date,adj_factor"

var factorLayout = provider.Layout{
	Dataset: market.AdjFactor,
	Fields: []provider.Field{
		{Name: "ts_code", Column: "symbol", Form: provider.Name},
		{Name: "trade_date", Column: "ex_date", Form: provider.DateForm},
		{Name: "adj_factor", Column: "back_factor", Form: provider.Decimal},
	},
}

// ruleNoBefore is broken by a factor of which it cannot be said whether it is new: the day before has
// none.
const ruleNoBefore = "no_factor_before"

// factors asks for adjustment factors. The service has one for every day; a row is made of each that is
// not the one of the open day before.
type factors struct {
	*api

	unit market.Unit
	code string
}

func (f *factors) ask(ctx context.Context, rows *provider.Rows) error {
	before, err := openBefore(f.unit)
	if err != nil {
		return err
	}
	asked := f.unit
	asked.From = before
	var list []record
	add := func(_ string, r record) error {
		list = append(list, r)
		return nil
	}
	if f.code != "" {
		rows.At(place("adj_factor", params(asked, f.code), 0))
		for _, exhaust := range []bool{false, true} {
			list = list[:0]
			if err := f.all(ctx, "adj_factor", factorFields, params(asked, f.code), exhaust, add); err != nil {
				return err
			}
			// The newest come first: of an answer that was cut the oldest are missing.
			if reaches(list, f.unit.From) {
				break
			}
		}
		return f.changes(rows, list)
	}
	for _, on := range []market.Date{before, f.unit.From} {
		asked.From = on
		rows.At(place("adj_factor", params(asked, ""), 0))
		// To the last page: a factor that is left out is one that did not change.
		if err := f.all(ctx, "adj_factor", factorFields, params(asked, ""), true, add); err != nil {
			return err
		}
	}
	return f.changes(rows, list)
}

// reaches reports whether one of the records is of a day or one before it.
func reaches(list []record, day market.Date) bool {
	return slices.ContainsFunc(list, func(r record) bool {
		if r.cells == nil {
			return false
		}
		date, err := market.ParseDate(string(r.cells[1]))
		return err == nil && date <= day
	})
}

// openBefore returns the open day before a unit.
func openBefore(u market.Unit) (market.Date, error) {
	mic := market.XSHG
	if u.Symbol != "" {
		symbol, err := market.ParseSymbol(u.Symbol)
		if err != nil {
			return 0, err
		}
		if symbol.MIC != market.BJSE { // whose built-in calendar begins later
			mic = symbol.MIC
		}
	}
	calendar, err := market.CalendarOf(mic)
	if err != nil {
		return 0, err
	}
	before, err := calendar.Previous(u.From)
	if err != nil {
		return u.From, nil //nolint:nilerr // nothing was traded before the first day of the calendar
	}
	return before, nil
}

// changes adds the factors that are not those of the day before. A question of days that were traded
// and an answer without any factor do not go together.
func (f *factors) changes(rows *provider.Rows, list []record) error {
	sound := list[:0]
	for _, r := range list {
		if r.cells == nil {
			rows.Refuse(provider.RuleLength, "it has another number of values than there are fields", r.raw)
			continue
		}
		sound = append(sound, r)
	}
	slices.SortStableFunc(sound, func(a, b record) int {
		if c := bytes.Compare(a.cells[0], b.cells[0]); c != 0 {
			return c
		}
		return bytes.Compare(a.cells[1], b.cells[1])
	})
	within := 0
	for i, r := range sound {
		date, err := market.ParseDate(string(r.cells[1]))
		if err == nil && date < f.unit.From {
			continue
		}
		within++
		same, known := false, i > 0 && bytes.Equal(sound[i-1].cells[0], r.cells[0])
		if known {
			same = sameFactor(sound[i-1].cells[2], r.cells[2])
		} else {
			same = sameFactor([]byte("1"), r.cells[2]) // a new listing begins with it
		}
		switch {
		case err == nil && same:
		case !known && err == nil:
			rows.Refuse(ruleNoBefore, "the open day before has no factor: nobody knows since when it holds", r.raw)
		default:
			if err := rows.Add(&factorLayout, r.cells, r.raw); err != nil {
				return err
			}
		}
	}
	if within == 0 && hasSession(f.unit) {
		rows.Partial()
	}
	return nil
}

// sameFactor compares two factors as numbers.
func sameFactor(a, b []byte) bool {
	const digits, decimals = 38, 12
	x, okX := batch.ParseDecimal(a, digits, decimals)
	y, okY := batch.ParseDecimal(b, digits, decimals)
	return okX && okY && x == y
}

// hasSession reports whether a unit holds an open day.
func hasSession(u market.Unit) bool {
	calendar, err := market.CalendarOf(market.XSHG)
	if err != nil {
		return true
	}
	n, err := calendar.Count(u.From, u.To)
	return err != nil || n > 0
}
