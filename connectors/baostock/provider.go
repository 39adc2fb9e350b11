package baostock

import (
	"time"

	"github.com/tapeline/tapeline/internal/market"
)

// Name is the provider's name: the connector's type in documents and the source of its rows.
const Name = "baostock"

const (
	pageRows  = 10_000
	publishAt = 18 * time.Hour // daily bars are final then, exchange time
)

// exchangeZone has had no daylight saving since 1991.
var exchangeZone = time.FixedZone("CST", 8*60*60)

// Provider describes BaoStock to those who plan what to ask of it.
func Provider() market.Provider {
	markets := []market.MIC{market.XSHG, market.XSHE}
	stocks := []market.Class{market.Stock}
	quoted := []market.Class{market.Stock, market.Index, market.ETF, market.Convertible, market.Other}
	offer := func(dataset string, classes []market.Class, shapes market.Shape) market.Offer {
		return market.Offer{
			Dataset: dataset, Markets: markets, Classes: classes, Shapes: shapes, PageCap: pageRows,
			PublishAt: publishAt, Cost: 150 * time.Millisecond, Label: market.LabelEnd,
			Units: market.Units{Volume: 1, Amount: 1, Percent: true},
		}
	}
	bars := offer(market.Bar1D, quoted, market.BySymbol)
	bars.HistoryStart = market.DateOf(1990, time.December, 19)
	bars.Cost = 1300 * time.Millisecond
	valuation := bars
	valuation.Dataset, valuation.Classes = market.Valuation1D, stocks
	members := offer(market.Constituent, []market.Class{market.Index}, market.Whole|market.BySymbol)
	for _, index := range indices {
		symbol, _ := market.ParseSymbol(index.symbol) // it is canonical
		members.Symbols = append(members.Symbols, symbol)
	}
	minutes := offer(market.BarMin, []market.Class{market.Stock, market.ETF}, market.BySymbol)
	minutes.Freqs = []string{"5m", "15m", "30m", "60m"}
	return market.Provider{
		Name: Name, Scheme: market.BaoStock,
		Offers: []market.Offer{
			bars, valuation, minutes,
			offer(market.AdjFactor, stocks, market.BySymbol),
			offer(market.CorpAction, stocks, market.BySymbol),
			offer(market.Fundamental, stocks, market.BySymbol),
			members,
			offer(market.StatusEvent, stocks, market.ByDate),
			offer(market.CalendarDay, nil, market.Whole),
			offer(market.Listing, nil, market.Whole|market.BySymbol),
		},
		Budget: market.Budget{
			Connections: 1, RequestsPerSecond: defaultPerSecond, RequestsPerDay: defaultPerDay,
			ResetZone: "Asia/Shanghai",
		},
	}
}
