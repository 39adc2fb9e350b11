package market

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/tapeline/tapeline/batch"
)

// checker is one call of Check.
type checker struct {
	b     *batch.Batch
	found []RuleError
}

// newChecker checks the columns; ok is false when no other rule can be applied.
func newChecker(dataset string, b *batch.Batch) (c *checker, ok bool) {
	c = &checker{b: b}
	problem := schemaProblem(dataset, b)
	if problem == "" {
		return c, true
	}
	for i := range b.Len() {
		c.add(b.Row(i), RuleSchema, problem)
	}
	return c, false
}

func schemaProblem(dataset string, b *batch.Batch) string {
	d, known := DatasetByName(dataset)
	if !known {
		return fmt.Sprintf("dataset %q is not known", dataset)
	}
	for _, field := range d.Schema.Fields() {
		i := b.Schema().Index(field.Name)
		if i < 0 {
			return fmt.Sprintf("there is no column %s among (%s)", field.Name, b.Schema())
		}
		if got := b.Column(i).Type(); !got.Equal(field.Type) {
			return fmt.Sprintf("column %s is %s, want %s", field.Name, got, field.Type)
		}
		if b.Column(i).Lazy() {
			return fmt.Sprintf("column %s is still text", field.Name)
		}
	}
	return ""
}

func (c *checker) add(row int, rule, message string) {
	c.found = append(c.found, RuleError{Row: row, Rule: rule, Message: message})
}

// column returns a column of the dataset.
func (c *checker) column(name string) *batch.Column {
	return c.b.Column(c.b.Schema().Index(name))
}

// symbols applies RuleSymbol to a column; a run of one symbol is looked at once.
func (c *checker) symbols(name string) {
	column := c.column(name)
	var last []byte
	ok := false
	for i := range c.b.Len() {
		row := c.b.Row(i)
		text := column.Bytes(row)
		if i == 0 || string(text) != string(last) {
			last, ok = text, validSymbol(string(text))
		}
		if !ok {
			_, err := ParseSymbol(string(text))
			c.add(row, RuleSymbol, err.Error())
		}
	}
}

// required finds NULLs in columns that have none by the dataset's schema.
func (c *checker) required(dataset string) {
	d, _ := DatasetByName(dataset)
	for _, field := range d.Schema.Fields() {
		column := c.column(field.Name)
		if field.Nullable || column.Validity() == nil {
			continue
		}
		for i := range c.b.Len() {
			if row := c.b.Row(i); column.IsNull(row) {
				c.add(row, RuleRequired, "column "+field.Name+" is NULL")
			}
		}
	}
}

// precision finds decimals of more digits than their type; the other rules count on 64 bits.
func (c *checker) precision() {
	for j, field := range c.b.Schema().Fields() {
		column := c.b.Column(j)
		if field.Type.Kind != batch.Decimal || field.Type.Precision > maxScale || column.Lazy() {
			continue
		}
		limit := powersOf10[field.Type.Precision]
		values := batch.Values[decimal128.Num](column)
		for i := range c.b.Len() {
			row := c.b.Row(i)
			if v, ok := int64Of(values[row]); (!ok || v >= limit || v <= -limit) && !column.IsNull(row) {
				c.add(row, RulePrecision, fmt.Sprintf("column %s has more than %d digits", field.Name, field.Type.Precision))
			}
		}
	}
}

// fixed returns a column's unscaled values; low 64 bits of each, see precision.
func (c *checker) fixed(name string) []decimal128.Num {
	return batch.Values[decimal128.Num](c.column(name))
}

func unscaled(n decimal128.Num) int64 { return int64(n.LowBits()) }

// prices applies RulePrice and RuleOrder.
func (c *checker) prices() {
	open, high, low, last := c.fixed("open"), c.fixed("high"), c.fixed("low"), c.fixed("close")
	for i := range c.b.Len() {
		row := c.b.Row(i)
		o, h, l, e := unscaled(open[row]), unscaled(high[row]), unscaled(low[row]), unscaled(last[row])
		if min(o, h, l, e) <= 0 {
			c.add(row, RulePrice, "a price is not above 0: "+c.ohlc(o, h, l, e))
		}
		if l > min(o, e) || h < max(o, e) {
			c.add(row, RuleOrder, "low and high do not enclose open and close: "+c.ohlc(o, h, l, e))
		}
	}
	if c.b.Schema().Index("preclose") >= 0 {
		c.positive("preclose")
	}
}

func (c *checker) ohlc(open, high, low, last int64) string {
	scale := int(c.column("open").Type().Scale)
	price := func(v int64) string { return FormatFixed(v, scale) }
	return fmt.Sprintf("open %s, high %s, low %s, close %s", price(open), price(high), price(low), price(last))
}

// positive applies RulePrice to a price and RuleNegative to factors; NULL passes.
func (c *checker) positive(names ...string) {
	for _, name := range names {
		rule := RuleNegative
		if name == "preclose" {
			rule = RulePrice
		}
		c.atLeast(name, 1, rule, " is not above 0")
	}
}

// notNegative applies RuleNegative; NULL passes.
func (c *checker) notNegative(names ...string) {
	for _, name := range names {
		c.atLeast(name, 0, RuleNegative, " is negative")
	}
}

func (c *checker) atLeast(name string, least int64, rule, problem string) {
	column := c.column(name)
	if column.Type().Kind == batch.Int64 {
		values := batch.Values[int64](column)
		for i := range c.b.Len() {
			if row := c.b.Row(i); values[row] < least && !column.IsNull(row) {
				c.add(row, rule, fmt.Sprintf("%s %d%s", name, values[row], problem))
			}
		}
		return
	}
	if column.Type().Kind == batch.Float64 {
		values := batch.Values[float64](column)
		for i := range c.b.Len() {
			if row := c.b.Row(i); !(values[row] >= float64(least)) && !column.IsNull(row) { // NaN is no number
				c.add(row, rule, fmt.Sprintf("%s %v%s", name, values[row], problem))
			}
		}
		return
	}
	values := batch.Values[decimal128.Num](column)
	for i := range c.b.Len() {
		if row := c.b.Row(i); values[row].Less(decimal128.FromI64(least)) && !column.IsNull(row) {
			c.add(row, rule, fmt.Sprintf("%s %v%s", name, column.Value(row), problem))
		}
	}
}

// suspended applies RuleSuspended.
func (c *checker) suspended() {
	traded := c.column("trade_status").Bits()
	open, high, low, last := c.fixed("open"), c.fixed("high"), c.fixed("low"), c.fixed("close")
	volume, amount := c.column("volume"), c.column("amount")
	volumes, amounts := batch.Values[int64](volume), batch.Values[decimal128.Num](amount)
	for i := range c.b.Len() {
		row := c.b.Row(i)
		if traded.Get(row) {
			continue
		}
		o, h, l, e := unscaled(open[row]), unscaled(high[row]), unscaled(low[row]), unscaled(last[row])
		if o != e || h != e || l != e {
			c.add(row, RuleSuspended, "suspended, but not flat: "+c.ohlc(o, h, l, e))
		}
		if volumes[row] != 0 && !volume.IsNull(row) || unscaled(amounts[row]) != 0 && !amount.IsNull(row) {
			c.add(row, RuleSuspended, fmt.Sprintf("suspended, but volume %d, amount %s",
				volumes[row], FormatFixed(unscaled(amounts[row]), PriceScale)))
		}
	}
}

// pctChange applies RulePctChange where the batch has the column.
func (c *checker) pctChange() {
	i := c.b.Schema().Index("pct_chg")
	if i < 0 || c.b.Column(i).Lazy() || c.b.Column(i).Type().Kind != batch.Decimal {
		return
	}
	change, before := c.b.Column(i), c.column("preclose")
	scale := int(change.Type().Scale)
	changes, befores := batch.Values[decimal128.Num](change), batch.Values[decimal128.Num](before)
	last := c.fixed("close")
	hundred := decimal128.FromI64(100).Mul(decimal128.FromI64(powersOf10[min(scale, maxScale)]))
	for i := range c.b.Len() {
		row := c.b.Row(i)
		if change.IsNull(row) || before.IsNull(row) {
			continue
		}
		// |change/100 - (close-preclose)/preclose| <= 1/10,000, both sides × 100 × preclose × 10^scale
		pre := decimal128.FromI64(unscaled(befores[row]))
		moved := decimal128.FromI64(unscaled(last[row]) - unscaled(befores[row])).Mul(hundred)
		off := changes[row].Mul(pre).Sub(moved).Abs().Mul(decimal128.FromI64(10_000))
		if off.Greater(pre.Mul(hundred)) {
			c.add(row, RulePctChange, fmt.Sprintf("pct_chg %s, but close %s after %s",
				change.Value(row), FormatFixed(unscaled(last[row]), PriceScale),
				FormatFixed(unscaled(befores[row]), PriceScale)))
		}
	}
}

// dateOrder applies RuleDateOrder.
func (c *checker) dateOrder(from, to string) {
	start, end := c.column(from), c.column(to)
	starts, ends := batch.Values[int32](start), batch.Values[int32](end)
	for i := range c.b.Len() {
		row := c.b.Row(i)
		if !start.IsNull(row) && !end.IsNull(row) && ends[row] < starts[row] {
			c.add(row, RuleDateOrder, fmt.Sprintf("%s %s is before %s %s", to, Date(ends[row]), from, Date(starts[row])))
		}
	}
}
