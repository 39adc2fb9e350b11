package binance

import (
	"fmt"
	"slices"
	"time"

	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/provider"
)

// Name is the provider's name: the connector's type in documents and the source of its rows.
const Name = "binance"

const (
	apiHost  = "https://api.binance.com"
	fileHost = "https://data.binance.vision"

	pageRows  = 1000
	dayMillis = 24 * 60 * 60 * 1000
)

// frequencies are the lengths of bars served, in the service's words too.
var frequencies = []frequency{
	{"1m", "1m", time.Minute},
	{"5m", "5m", 5 * time.Minute},
	{"15m", "15m", 15 * time.Minute},
	{"30m", "30m", 30 * time.Minute},
	{"60m", "1h", time.Hour},
}

type frequency struct {
	ours, interval string
	length         time.Duration
}

// daily is the frequency of crypto_1d.
var daily = frequency{"1d", "1d", 24 * time.Hour}

// Describe describes Binance to those who plan what to ask of it.
func Describe() market.Provider {
	offer := func(dataset string, shapes market.Shape) market.Offer {
		return market.Offer{
			Dataset: dataset, Markets: []market.MIC{market.Binance}, Classes: []market.Class{market.Crypto},
			Shapes: shapes, PageCap: pageRows, PublishAt: 24 * time.Hour, Cost: 100 * time.Millisecond,
			Label: market.LabelStart,
		}
	}
	bars := offer(market.Crypto1D, market.BySymbol)
	bars.HistoryStart = market.DateOf(2017, time.July, 14)
	minutes := offer(market.CryptoMin, market.BySymbol)
	for _, f := range frequencies {
		minutes.Freqs = append(minutes.Freqs, f.ours)
	}
	list := offer(market.Listing, market.Whole)
	list.Unknown = provider.Unknown(pairLayouts[true])
	return market.Provider{
		Name: Name, Scheme: market.BinanceSpot,
		Offers: []market.Offer{bars, minutes, list},
		Budget: market.Budget{Connections: 1, RequestsPerSecond: 20},
	}
}

// Vendor is Binance as the package provider makes connectors and syncs of it.
func Vendor() provider.Vendor {
	return provider.Vendor{
		Provider: Describe(), Version: "1.0.0", Endpoint: apiHost,
		Summary: "Bars and pairs of Binance spot, over REST and from files.", Doc: doc,
		Begin: begin, Classify: classify, ListedOn: listedOn, ListedNow: true,
	}
}

// begin returns the inquiry of the first unit.
func begin(c *provider.Client, units []market.Unit) (int, provider.Inquiry, error) {
	u := units[0]
	if u.Dataset == market.Listing {
		return 1, provider.InquiryFunc((&pairs{c}).ask), nil
	}
	symbol, err := market.ParseSymbol(u.Symbol)
	if err != nil {
		return 0, nil, fmt.Errorf("%s needs a symbol: %w", u.Dataset, err)
	}
	code, err := market.BinanceSpot.Format(symbol)
	if err != nil {
		return 0, nil, err
	}
	s := &spans{client: c, unit: u, code: code, freq: daily}
	if u.Dataset == market.CryptoMin {
		i := slices.IndexFunc(frequencies, func(f frequency) bool { return f.ours == u.Freq })
		if i < 0 {
			return 0, nil, fmt.Errorf("frequency %q: bars of 1m, 5m, 15m, 30m and 60m are served", u.Freq)
		}
		s.freq = frequencies[i]
	} else if u.Dataset != market.Crypto1D {
		return 0, nil, fmt.Errorf("dataset %q is not served", u.Dataset)
	}
	s.plan(c.Today())
	return 1, s, nil
}

const doc = `Reads one dataset of the service, for pairs between two dates of UTC:

    sources:
      bars:
        type: binance
        config:
          dataset: crypto_1d
          symbols: [BTCUSDT, ETHUSDT.BINANCE]
          from: 2024-01-01
          to: 2024-06-28

| dataset | asked with | rows |
|---|---|---|
| crypto_1d | /api/v3/klines, 1d | a bar per day of UTC, with amount in the currency of the quote and the number of trades; prices have all eight decimals |
| crypto_min | files of months, and /api/v3/klines | a bar per period of 1m, 5m, 15m, 30m or 60m with the time of its start |
| instrument | /api/v3/exchangeInfo | a row per pair; the service does not say since when it trades. A sync compares it with /api/v3/ticker/price, so that a list that was cut is not believed |

` + "`final`" + ` is false for bars of a day of UTC that is not over. Days without a bar of crypto_1d, as before a pair was
traded, are asked for a second time at once; those that the second answer lacks too, though it has the days around
them, are confirmed to have none.

**Files.** Months that are over are read from data.binance.vision, where the bars wanted of them fill more than two
pages: one file of 1m bars stands for 44 questions, one of 60m bars would for one. A file is taken only when its SHA-256 is the one published beside it, and asked for again
otherwise; where there is no file, its days are asked for over REST. Times in files are milliseconds, since
2025 microseconds. With an ` + "`endpoint`" + ` of your own, files are asked for there. Files of single days are not asked
for: one takes two questions, as its check sum is another, and a day of 1m bars 1.44 of 1,000 rows over REST, so that
20 days of a month that goes on take 40 questions from files and 29 over REST.

**Volume and amount** are float64, since sums of 21 digits occur and the store's columns have 64 bits: exactly what
was sent up to 15 digits, that is 9,999,999.99999999; beyond, within 1.2e-16 of it. Prices are exact.

**Weight.** The service counts 6,000 a minute and says what is used; close to it, the connector waits for the
next minute. Status 429 is waited out as long as it says; on 418 nothing is asked before the ban is over.
`
