package yahoo

import (
	"cmp"
	"fmt"
	"math/big"
	"slices"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/provider"
)

// event is a dividend or a split.
type event struct {
	date  market.Date
	kind  string
	cash  []byte // of a dividend, as it came: divided by the splits behind it
	split ratio  // of a split
	raw   provider.Value
}

// The kinds of events.
const (
	dividend = "dividend"
	split    = "split"
)

// readEvents takes the events in order of their date. A split that is none makes all prices before unknown.
func (a *asked) readEvents(c *chart, events provider.Value) error {
	for _, one := range events.Member("dividends").Members() {
		at, ok := one.Member("date").Int()
		if !ok {
			return &provider.RefusalError{Rule: ruleRefused, Err: fmt.Errorf("chart of %s: a dividend without a date: %.80s", a.code, one)}
		}
		c.events = append(c.events, event{date: a.day(at), kind: dividend, cash: one.Member("amount").Text(), raw: one})
	}
	for _, one := range events.Member("splits").Members() {
		at, dated := one.Member("date").Int()
		of, ok := ratioOf(one.Member("numerator").Text(), one.Member("denominator").Text())
		if !dated || !ok {
			return &provider.RefusalError{Rule: ruleSplit, Err: fmt.Errorf(
				"chart of %s: without a ratio for a split nobody knows the prices before it: %.80s", a.code, one)}
		}
		c.events = append(c.events, event{date: a.day(at), kind: split, split: of, raw: one})
	}
	slices.SortStableFunc(c.events, func(x, y event) int { return cmp.Compare(x.date, y.date) })
	return nil
}

// hasEvent reports whether something happened in the dates.
func (c *chart) hasEvent(dates market.Interval) bool {
	return slices.ContainsFunc(c.events, func(e event) bool { return dates.Contains(e.date) })
}

// later is the ratio of all splits behind a day.
func (c *chart) later(day market.Date) ratio {
	all := unsplit
	for _, e := range c.events {
		if e.kind == split && e.date > day {
			all = all.times(e.split)
		}
	}
	return all
}

var actionLayout = provider.Layout{
	Dataset: market.CorpAction,
	Fields: []provider.Field{
		{Name: "date", Column: "ex_date", Form: provider.DateForm},
		{Name: "event", Column: "kind", Form: provider.TextForm},
		{Name: "amount", Column: "cash", Form: provider.Decimal},
		{Name: "splitRatio", Column: "split_ratio", Form: provider.Decimal},
		{Name: "record", Column: "raw", Form: provider.TextForm},
	},
}

// addActions adds the events of the unit's dates.
func (c *chart) addActions(rows *provider.Rows) error {
	for _, e := range c.events {
		if !rows.Unit.Interval().Contains(e.date) {
			continue
		}
		cells := [][]byte{[]byte(e.date.String()), []byte(e.kind), nil, nil, e.raw}
		if e.kind == split {
			cells[3] = []byte(new(big.Rat).SetFrac(e.split.new, e.split.old).FloatString(market.FactorScale))
		} else if cells[2] = c.cash(e); len(cells[2]) == 0 {
			rows.Refuse(provider.RuleMissing, "amount is empty", e.raw)
			continue
		}
		if err := rows.Add(&actionLayout, cells, e.raw); err != nil {
			return err
		}
	}
	return nil
}

// cash is a dividend per share of its day.
func (c *chart) cash(e event) []byte { return c.later(e.date).price(e.cash, market.FactorScale) }

var factorLayout = provider.Layout{
	Dataset: market.AdjFactor,
	Fields: []provider.Field{
		{Name: "date", Column: "ex_date", Form: provider.DateForm},
		{Name: "factor", Column: "back_factor", Form: provider.Decimal},
	},
}

// addFactors adds the factors of the unit's dates, counted from the first event on; a split before the first bar
// counts too, and adjusts nothing.
// invariant: a factor counts from the first day of the history, whatever dates are asked for
func (c *chart) addFactors(rows *provider.Rows) error {
	back := big.NewInt(market.FactorOne)
	for i := 0; i < len(c.events) && c.events[i].date <= rows.Unit.To; {
		day := c.events[i].date
		change, raw := big.NewRat(1, 1), []byte(nil)
		for ; i < len(c.events) && c.events[i].date == day; i++ {
			of, wrong := c.change(c.events[i])
			if wrong != "" {
				rows.Refuse(provider.RuleNumber, wrong, c.events[i].raw)
				rows.Partial() // what follows would count from something else
				return nil
			}
			change.Mul(change, of)
			raw = append(raw, c.events[i].raw...)
		}
		back = rounded(change.Mul(change, new(big.Rat).SetInt(back)))
		if !rows.Unit.Interval().Contains(day) {
			continue
		}
		text := new(big.Rat).SetFrac(back, big.NewInt(market.FactorOne)).FloatString(market.FactorScale)
		if err := rows.Add(&factorLayout, [][]byte{[]byte(day.String()), []byte(text)}, raw); err != nil {
			return err
		}
	}
	return nil
}

// rounded returns the nearest whole number of a positive one, half up.
func rounded(v *big.Rat) *big.Int {
	twice := new(big.Int).Lsh(v.Num(), 1)
	twice.Add(twice, v.Denom())
	return twice.Div(twice, new(big.Int).Lsh(v.Denom(), 1))
}

// change is what an event multiplies factors by; wrong says why nobody knows.
func (c *chart) change(e event) (of *big.Rat, wrong string) {
	if e.kind == split {
		return new(big.Rat).SetFrac(e.split.new, e.split.old), ""
	}
	i, _ := slices.BinarySearchFunc(c.bars, e.date, func(b bar, day market.Date) int { return cmp.Compare(b.date, day) })
	if i == 0 {
		return big.NewRat(1, 1), "" // there is no price before it that it could adjust
	}
	before := &c.bars[i-1]
	if session, err := c.calendar.Previous(e.date); err == nil && before.date < session && !c.days[session] {
		return nil, fmt.Sprintf("a dividend behind %s, of which the chart has no row: nobody knows the close it counts from", session)
	}
	// Both are of the shares there were before the day.
	price, ok := exact(c.later(e.date-1).price(before.cells[closing], market.PriceScale))
	cash, okCash := exact(c.cash(e))
	if !ok || !okCash || cash.Sign() < 0 || cash.Cmp(price) >= 0 {
		return nil, fmt.Sprintf("a dividend of %q behind a close of %q makes no factor", e.cash, before.cells[closing])
	}
	return price.Quo(price, new(big.Rat).Sub(price, cash)), ""
}

// exact reads a decimal number.
func exact(text []byte) (*big.Rat, bool) {
	const digits, decimals = 38, 6
	v, ok := batch.ParseDecimal(text, digits, decimals)
	if !ok {
		return nil, false
	}
	return new(big.Rat).SetFrac(v.BigInt(), big.NewInt(market.FactorOne)), true
}
