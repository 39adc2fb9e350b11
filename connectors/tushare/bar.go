package tushare

import (
	"bytes"
	"context"
	"slices"

	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/provider"
)

const barFields = "ts_code,trade_date,open,high,low,close,pre_close,vol,amount"

var barLayout = provider.Layout{
	Dataset: market.Bar1D,
	Fields: []provider.Field{
		{Name: "ts_code", Column: "symbol", Form: provider.Name},
		{Name: "trade_date", Column: "date", Form: provider.DateForm},
		{Name: "open", Column: "open", Form: provider.Decimal},
		{Name: "high", Column: "high", Form: provider.Decimal},
		{Name: "low", Column: "low", Form: provider.Decimal},
		{Name: "close", Column: "close", Form: provider.Decimal},
		{Name: "pre_close", Column: "preclose", Form: provider.Decimal},
		{Name: "vol", Column: "volume", Form: provider.Count, Times: lot},
		{Name: "amount", Column: "amount", Form: provider.Decimal, Times: thousand},
	},
	Constants: []provider.Constant{{Column: "trade_status", Text: "true"}},
}

// bars asks for daily bars: of one stock, or of one day.
type bars struct {
	*api

	unit market.Unit
	code string // "": all stocks of the day
}

// params narrows a question to the unit.
func params(u market.Unit, code string) map[string]any {
	if code == "" {
		return map[string]any{"trade_date": day(u.From)}
	}
	return map[string]any{"ts_code": code, "start_date": day(u.From), "end_date": day(u.To)}
}

// day writes a date as the service does.
func day(d market.Date) string { return string(appendDay(nil, d)) }

func appendDay(dst []byte, d market.Date) []byte {
	for _, ch := range []byte(d.String()) {
		if ch != '-' {
			dst = append(dst, ch)
		}
	}
	return dst
}

// ask adds the bars oldest first: the service gives the newest first.
func (b *bars) ask(ctx context.Context, rows *provider.Rows) error {
	type placed struct {
		record

		place string
	}
	var list []placed
	err := b.all(ctx, "daily", barFields, params(b.unit, b.code), false, func(place string, r record) error {
		list = append(list, placed{r, place})
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortStableFunc(list, func(x, y placed) int {
		if x.cells == nil || y.cells == nil {
			return len(x.cells) - len(y.cells)
		}
		return bytes.Compare(x.cells[1], y.cells[1])
	})
	seen := map[traded]bool{}
	for _, r := range list {
		rows.At(r.place)
		if r.cells != nil {
			seen[tradedOf(r.record)] = true
		}
		if err := rows.Add(&barLayout, r.cells, r.raw); err != nil {
			return err
		}
	}
	if b.complete(len(seen)) {
		return nil
	}
	return b.suspended(ctx, rows, seen)
}

// traded is a stock on a day on which it has a bar.
type traded struct{ code, day string }

func tradedOf(r record) traded { return traded{string(r.cells[0]), string(r.cells[1])} }

// complete reports whether a stock has a bar for every open day, so that nobody has to look for days
// on which it was suspended.
func (b *bars) complete(days int) bool {
	if b.code == "" {
		return false
	}
	symbol, err := market.ParseSymbol(b.unit.Symbol)
	if err != nil {
		return false
	}
	calendar, err := market.CalendarOf(symbol.MIC)
	if err != nil {
		return false
	}
	open, err := calendar.Count(b.unit.From, b.unit.To)
	return err == nil && days >= open
}

// suspended notes the stocks that the service says were suspended for a whole day and that have no bar.
func (b *bars) suspended(ctx context.Context, rows *provider.Rows, seen map[traded]bool) error {
	p := params(b.unit, b.code)
	p["suspend_type"] = "S"
	return b.all(ctx, "suspend_d", suspendFields, p, true, func(_ string, r record) error {
		if r.cells == nil || len(r.cells[2]) > 0 || string(r.cells[3]) != "S" || seen[tradedOf(r)] {
			return nil // it traded for a part of the day, or resumed
		}
		symbol, err := market.Tushare.Parse(string(r.cells[0]), market.Stock)
		if err != nil {
			return nil //nolint:nilerr // what cannot be read confirms nothing
		}
		date, err := market.ParseDate(string(r.cells[1]))
		if err != nil || !b.unit.Interval().Contains(date) || b.code != "" && string(r.cells[0]) != b.code {
			return nil //nolint:nilerr // likewise
		}
		rows.Empty(symbol, market.Interval{From: date, To: date})
		return nil
	})
}

const suspendFields = "ts_code,trade_date,suspend_timing,suspend_type"

// listedOn returns the stocks that traded on a day or were suspended.
func listedOn(ctx context.Context, c *provider.Client, on market.Date) ([]market.Symbol, error) {
	a := &api{client: c}
	var symbols []market.Symbol
	add := func(_ string, r record) error {
		if r.cells == nil {
			return nil
		}
		symbol, err := market.Tushare.Parse(string(r.cells[0]), market.Stock)
		if err == nil {
			symbols = append(symbols, symbol)
		}
		return err
	}
	p := map[string]any{"trade_date": day(on)}
	if err := a.all(ctx, "daily", "ts_code", p, true, add); err != nil {
		return nil, err
	}
	p["suspend_type"] = "S"
	return symbols, a.all(ctx, "suspend_d", suspendFields, p, true, add)
}
