package tushare

import (
	"context"
	"fmt"
	"time"

	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/provider"
)

// Name is the provider's name: the connector's type in documents and the source of its rows.
const Name = "tushare"

const (
	pageRows  = 5_000          // asked for at once; the service gives 5,000 to 6,000 at most
	publishAt = 17 * time.Hour // daily bars come in between 15 and 16 o'clock
	lot       = 100            // shares of one unit of vol
	thousand  = 1_000          // yuan of one unit of amount
)

// Describe describes Tushare to those who plan what to ask of it.
func Describe() market.Provider {
	offer := func(dataset string, shapes market.Shape) market.Offer {
		return market.Offer{
			Dataset: dataset, Markets: []market.MIC{market.XSHG, market.XSHE, market.BJSE},
			Classes: []market.Class{market.Stock}, Shapes: shapes, PageCap: pageRows,
			PublishAt: publishAt, Cost: 150 * time.Millisecond, Label: market.LabelEnd,
			Units: market.Units{Volume: lot, Amount: thousand, Percent: true},
		}
	}
	bars := offer(market.Bar1D, market.BySymbol|market.ByDate)
	bars.HistoryStart, bars.Unknown = market.DateOf(1990, time.December, 19), provider.Unknown(&barLayout)
	factors := offer(market.AdjFactor, market.BySymbol|market.ByDate)
	factors.Appends, factors.Unknown = true, provider.Unknown(&factorLayout)
	return market.Provider{
		Name: Name, Scheme: market.Tushare,
		Offers: []market.Offer{
			bars,
			factors,
			offer(market.CalendarDay, market.Whole),
			offer(market.Listing, market.Whole),
		},
		Budget: market.Budget{Connections: 1, RequestsPerSecond: 3, ResetZone: "Asia/Shanghai"},
	}
}

// Vendor is Tushare as the package provider makes connectors and syncs of it.
func Vendor() provider.Vendor {
	return provider.Vendor{
		Provider: Describe(), Version: "1.0.0", Endpoint: "http://api.tushare.pro",
		Summary:    "Chinese market data of Tushare: daily bars, factors, listings, calendar.",
		Doc:        doc,
		NeedsToken: true, TokenEnv: "TUSHARE_TOKEN",
		Begin: begin, Classify: classify, ListedOn: listedOn,
	}
}

// begin returns the inquiry of the first unit.
func begin(c *provider.Client, units []market.Unit) (int, provider.Inquiry, error) {
	u, a := units[0], &api{client: c}
	code := ""
	if u.Symbol != "" {
		symbol, err := market.ParseSymbol(u.Symbol)
		if err == nil {
			code, err = market.Tushare.Format(symbol)
		}
		if err != nil {
			return 0, nil, err
		}
	}
	if code == "" && u.Interval().Days() > 1 && (u.Dataset == market.Bar1D || u.Dataset == market.AdjFactor) {
		return 0, nil, fmt.Errorf("%s is asked for a symbol, or for one date", u.Dataset)
	}
	ask := map[string]func(ctx context.Context, rows *provider.Rows) error{
		market.Bar1D:       (&bars{a, u, code}).ask,
		market.AdjFactor:   (&factors{a, u, code}).ask,
		market.CalendarDay: a.calendar,
		market.Listing:     a.listing,
	}[u.Dataset]
	if ask == nil {
		return 0, nil, fmt.Errorf("dataset %q is not served", u.Dataset)
	}
	return 1, provider.InquiryFunc(func(ctx context.Context, rows []*provider.Rows) error {
		return ask(ctx, rows[0])
	}), nil
}

const doc = `Reads one dataset of the service, for symbols between two dates or for whole days:

    sources:
      bars:
        type: tushare
        config:
          token: ${TUSHARE_TOKEN}
          dataset: bar_1d
          symbols: [600000.SH, 000001.SZ]     # none: every day as a whole
          from: 2024-01-01
          to: 2024-06-28

| dataset | asked with | rows |
|---|---|---|
| bar_1d | daily by ts_code, or by trade_date for all stocks; suspend_d | a bar per day on which the stock traded; volume is vol (lots) times 100, amount is amount (thousands) times 1,000, both exactly |
| adj_factor | adj_factor by ts_code, or by trade_date and the open day before | a row per day on which the factor is not that of the day before; only back_factor is served |
| calendar | trade_cal of SSE | a row per day for Shanghai, Shenzhen and Beijing, which have one calendar |
| instrument | stock_basic, for status L, D and P | a row per stock; P counts as listed |

A stock that does not trade on a day has no bar. Where suspend_d says that it was suspended for the whole
day, its absence is confirmed at once; elsewhere a missing bar is missing.

Answers are asked for in pages of 5,000 rows. The list of stocks and the factors of a day are asked for until a
page is empty, so that a service that answers with fewer rows than before does not shorten them.

**Errors** come with status 200 and a text. A limit a minute (每分钟最多访问) is waited out; a limit an hour
or a day closes the budget until it is over; a missing right or a wrong token is an error of class auth.
The token is sent in the body of each request, and in no message.
`
