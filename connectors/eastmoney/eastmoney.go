package eastmoney

import (
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/provider"
)

// Name is the provider's name: the connector's type in documents and the source of its rows.
const Name = "eastmoney"

const (
	historyHost = "https://push2his.eastmoney.com"
	listHost    = "https://push2.eastmoney.com"

	publishAt = 16 * time.Hour // the last auctions end at 15:00, trading at the closing price at 15:30
	lot       = 100            // shares of one unit of volume
)

// Describe describes EastMoney to those who plan what to ask of it.
func Describe() market.Provider {
	offer := func(dataset string, shapes market.Shape) market.Offer {
		return market.Offer{
			Dataset: dataset, Markets: []market.MIC{market.XSHG, market.XSHE, market.BJSE},
			Classes: []market.Class{market.Stock, market.Index, market.ETF}, Shapes: shapes,
			PublishAt: publishAt, Cost: 200 * time.Millisecond, Label: market.LabelEnd,
			Units: market.Units{Volume: lot, Amount: 1, Percent: true},
		}
	}
	bars := offer(market.Bar1D, market.BySymbol)
	bars.HistoryStart = market.DateOf(1990, time.December, 19)
	bars.Unknown = provider.Unknown(&dailyLayout)
	minutes := offer(market.BarMin, market.BySymbol)
	minutes.Freqs = []string{"5m", "15m", "30m", "60m"}
	list := offer(market.Listing, market.Whole)
	list.PageCap, list.Survivors = pageRows, true
	list.Unknown = provider.Unknown(&groups[0].layout)
	return market.Provider{
		Name: Name, Scheme: market.EastMoney, Offers: []market.Offer{bars, minutes, list},
		Budget: market.Budget{Connections: 1, RequestsPerSecond: 2, ResetZone: "Asia/Shanghai"},
	}
}

// Vendor is EastMoney as the package provider makes connectors and syncs of it.
func Vendor() provider.Vendor {
	return provider.Vendor{
		Provider: Describe(), Version: "1.0.0", Endpoint: historyHost,
		Summary: "Chinese bars and listings of EastMoney.", Doc: doc, Begin: begin,
	}
}

// begin returns the inquiry of the first unit.
func begin(c *provider.Client, units []market.Unit) (int, provider.Inquiry, error) {
	u := units[0]
	if u.Dataset == market.Listing {
		return 1, newList(c), nil
	}
	symbol, err := market.ParseSymbol(u.Symbol)
	if err != nil {
		return 0, nil, fmt.Errorf("%s needs a symbol: %w", u.Dataset, err)
	}
	secid, err := market.EastMoney.Format(symbol)
	if err != nil {
		return 0, nil, err
	}
	k := klines{client: c, unit: u, secid: secid}
	if k.period, k.layout = dailyPeriod, &dailyLayout; u.Dataset == market.BarMin {
		minutes, ok := minuteLayouts[u.Freq]
		if !ok {
			return 0, nil, fmt.Errorf("frequency %q: bars of 5m, 15m, 30m and 60m are served", u.Freq)
		}
		k.period, k.layout = u.Freq[:len(u.Freq)-1], minutes
	} else if u.Dataset != market.Bar1D {
		return 0, nil, fmt.Errorf("dataset %q is not served", u.Dataset)
	}
	return 1, provider.InquiryFunc(k.ask), nil
}

// request is a question to a host of the service, or to the one endpoint that stands for all.
func request(c *provider.Client, host, path, place string, query url.Values) provider.Request {
	if c.Settings().Endpoint == historyHost {
		path = host + path
	}
	return provider.Request{
		Place: place, Path: path, Query: query,
		Header: http.Header{"Referer": {"https://quote.eastmoney.com/"}},
	}
}

const doc = `Reads one dataset of the service, for symbols between two dates:

    sources:
      bars:
        type: eastmoney
        config:
          dataset: bar_1d
          symbols: [600000.XSHG, 0.000001]     # or as the service writes them
          from: 2024-01-01
          to: 2024-06-28

| dataset | asked with | rows |
|---|---|---|
| bar_1d | kline, klt 101, unadjusted | a bar per day on which the instrument traded; volume is lots times 100, turn in percent with two decimals |
| bar_min | kline, klt 5, 15, 30 or 60, as frequency says | a bar per period with the time of its start; the service names its end; only recent ones are kept by the service |
| instrument | clist, in pages of 100 | a row per stock, index and ETF that is traded now, with the day of its listing |

The columns come as open, close, high, low. ` + "`preclose`" + ` is NULL: the change that the service
gives is counted from the close before even on an ex-right day. There are no adjustment factors; take them
from another provider. A day without trading has no bar: such days are asked for a second time at once, and those
that the second answer lacks too, though it has the days around them, are confirmed to have none. What was
delisted is not in the list.

**The list** says how many rows it has. It fails when a page holds fewer than the first one did, since the
service has cut its pages from 5,000 rows to 200 and to 100 without a word. It has prices too, and no bars of the
newest day are made of them: no documented field says of which day a row is, so that the last trade of a suspended
stock would pass for today's; and the pages of a whole market, 56 and more, are of as many moments, while the service
cuts off who asks for all of them more often than every 30 seconds.

The service closes connections when it is asked too fast; that is waited out.
`
