package tushare

import (
	"context"

	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/provider"
)

var calendarLayout = provider.Layout{
	Dataset: market.CalendarDay,
	Fields: []provider.Field{
		{Name: "exchange", Column: "mic", Form: provider.TextForm},
		{Name: "cal_date", Column: "date", Form: provider.DateForm},
		{Name: "is_open", Column: "is_open", Form: provider.Flag},
	},
}

// calendar asks for the calendar of Shanghai, which is that of the three exchanges.
func (a *api) calendar(ctx context.Context, rows *provider.Rows) error {
	p := map[string]any{"exchange": "SSE", "start_date": day(rows.Unit.From), "end_date": day(rows.Unit.To)}
	return a.all(ctx, "trade_cal", "exchange,cal_date,is_open", p, true, func(place string, r record) error {
		rows.At(place)
		if r.cells == nil {
			return rows.Add(&calendarLayout, nil, r.raw)
		}
		for _, mic := range []market.MIC{market.XSHG, market.XSHE, market.BJSE} {
			if err := rows.Add(&calendarLayout, [][]byte{[]byte(mic), r.cells[1], r.cells[2]}, r.raw); err != nil {
				return err
			}
		}
		return nil
	})
}

const listingFields = "ts_code,name,list_status,list_date,delist_date"

var listingLayout = provider.Layout{
	Dataset: market.Listing,
	Fields: []provider.Field{
		{Name: "ts_code", Column: "symbol", Form: provider.Name},
		{Name: "name", Column: "name", Form: provider.TextForm},
		{Name: "list_status", Column: "status", Form: provider.TextForm},
		{Name: "list_date", Column: "ipo_date", Form: provider.DateForm},
		{Name: "delist_date", Column: "out_date", Form: provider.DateForm},
	},
	Constants: []provider.Constant{{Column: "class", Text: market.Stock.String()}},
}

// listing asks for the stocks that are listed, were, or are paused.
func (a *api) listing(ctx context.Context, rows *provider.Rows) error {
	states := map[string]string{"L": market.Listed, "D": market.Delisted, "P": market.Listed}
	for _, status := range []string{"L", "D", "P"} {
		p := map[string]any{"list_status": status}
		err := a.all(ctx, "stock_basic", listingFields, p, true, func(place string, r record) error {
			rows.At(place)
			if r.cells == nil {
				return rows.Add(&listingLayout, nil, r.raw)
			}
			state, ok := states[string(r.cells[2])]
			if !ok {
				rows.Refuse(provider.RuleFlag, "list_status is none of L, D and P", r.raw)
				return nil
			}
			r.cells[2] = []byte(state)
			return rows.Add(&listingLayout, r.cells, r.raw)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
