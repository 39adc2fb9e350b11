package yahoo

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/httpkit"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/provider"
)

// Name is the provider's name: the connector's type in documents and the source of its rows.
const Name = "yahoo"

const (
	host = "https://query1.finance.yahoo.com"

	// publishAt is when a bar changes no more: trading after the close ends at 20:00 in New York.
	publishAt = 20 * time.Hour
)

// Describe describes Yahoo to those who plan what to ask of it.
func Describe() market.Provider {
	offer := func(dataset string, layout *provider.Layout) market.Offer {
		return market.Offer{
			Dataset: dataset, Unknown: provider.Unknown(layout),
			Markets: []market.MIC{market.USA, market.XNYS, market.XNAS, market.XASE, market.XSHG, market.XSHE, market.XHKG},
			Classes: []market.Class{market.Stock, market.ETF, market.Index}, Shapes: market.BySymbol,
			PublishAt: publishAt, Cost: 300 * time.Millisecond, Label: market.LabelStart,
		}
	}
	factors, actions := offer(market.AdjFactor, &factorLayout), offer(market.CorpAction, &actionLayout)
	factors.WithBars, actions.WithBars = true, true
	return market.Provider{
		Name: Name, Scheme: market.Yahoo,
		Offers: []market.Offer{offer(market.Bar1D, &barLayout), factors, actions, offer(market.Listing, otherLayout)},
		Budget: market.Budget{Connections: 1, RequestsPerSecond: 1, ResetZone: "America/New_York"},
	}
}

// Vendor is Yahoo as the package provider makes connectors and syncs of it.
func Vendor() provider.Vendor {
	return provider.Vendor{
		Provider: Describe(), Version: "1.0.0", Endpoint: host,
		Summary: "Daily bars, dividends and splits of American, Chinese and Hong Kong shares of Yahoo.",
		Doc:     doc, Begin: begin, Classify: classify,
	}
}

// begin returns the inquiry of the first unit and of those behind it that the same chart holds.
func begin(c *provider.Client, units []market.Unit) (int, provider.Inquiry, error) {
	symbol, err := market.ParseSymbol(units[0].Symbol)
	if err != nil {
		return 0, nil, fmt.Errorf("%s needs a symbol: %w", units[0].Dataset, err)
	}
	a := &asked{client: c}
	if a.code, err = market.Yahoo.Format(symbol); err != nil {
		return 0, nil, err
	}
	calendar, err := market.CalendarOf(symbol.MIC)
	if err != nil {
		return 0, nil, err
	}
	a.calendar, a.zone = calendar, calendar.Zone()
	if units[0].Dataset == market.Listing {
		return 1, provider.InquiryFunc(a.list), nil
	}
	n := 0
	for n < len(units) && units[n].Symbol == units[0].Symbol && fromChart(units[n].Dataset) {
		n++
	}
	if n == 0 {
		return 0, nil, fmt.Errorf("dataset %q is not served", units[0].Dataset)
	}
	return n, provider.InquiryFunc(a.ask), nil
}

// fromChart reports whether rows of a dataset are made of a chart.
func fromChart(dataset string) bool {
	return dataset == market.Bar1D || dataset == market.AdjFactor || dataset == market.CorpAction
}

// Rules by which the service refuses a question.
const (
	ruleUnknown  = "unknown_symbol"
	ruleNothing  = "no_data" // within the dates: an answer without rows
	ruleRefused  = "refused"
	ruleCurrency = "other_currency"
	ruleZone     = "other_clock"
	ruleSplit    = "bad_split"
)

// limitWait is how long a limit is waited out, several times if need be: the service does not say when it ends.
const limitWait = 20 * time.Second

// classify finds the service's errors, which have a body of their own whatever the status.
func classify(a *provider.Answer) error {
	if a.Status == http.StatusTooManyRequests {
		after, told := httpkit.RetryAfter(a.Header, time.Now())
		if !told {
			after = limitWait
		}
		return &connector.Error{
			Op: "ask " + Name, Class: connector.Throttled, Code: Name + "_limit", After: after,
			Err: errors.New("status 429: too many requests"), Hint: "lower requests_per_second",
		}
	}
	if a.Status/100 == 5 || a.Status == http.StatusUnauthorized || a.Status == http.StatusForbidden {
		return nil // as the status says
	}
	document, err := provider.Document(a.Body)
	if err != nil {
		if a.Status/100 != 2 {
			return nil
		}
		return err
	}
	failure := document.Member("chart").Member("error")
	if failure.Null() {
		return nil
	}
	code, text := string(failure.Member("code").Text()), string(failure.Member("description").Text())
	rule := ruleRefused
	switch {
	case a.Status == http.StatusNotFound || code == "Not Found":
		rule = ruleUnknown
	case hasNothing(text):
		rule = ruleNothing
	}
	return &provider.RefusalError{Rule: rule, Err: &connector.Error{
		Op: "ask " + Name, Class: connector.Permanent, Code: Name + "_" + rule, Err: fmt.Errorf("%s: %s", code, text),
	}}
}

const doc = `Reads one dataset of the service, for symbols between two dates:

    sources:
      bars:
        type: yahoo
        config:
          dataset: bar_1d
          symbols: [AAPL, BRK-B, 600000.SS, 0700.HK]     # or as we do: AAPL.USA, 00700.XHKG
          from: 2024-01-01
          to: 2024-06-28

| dataset | asked with | rows |
|---|---|---|
| bar_1d | v8/finance/chart, 1d | a bar per day as it was traded: prices with at most four decimals, volume in shares; trade_status is false where a share or fund had no volume and one price |
| adj_factor | the same chart, of all of the history where there is an event | a row per day of a dividend or split; back_factor counts from the first day of the history, and only it is served |
| corp_action | the same chart | a row per dividend (cash per share of its day) and per split (split_ratio: new shares for an old one); raw holds the record as received |
| instrument | the same chart, of a week | name, class and first day of a symbol that is asked for; the service has no list of all |

One question answers the bars and events of a symbol. A sync asks for all of them together.

**Adjustment.** The service divides prices, volumes and dividends by every split up to today. They are
multiplied back, so a split changes nothing of what is stored; therefore every question ends today, whatever
the dates. Prices come in single precision, old ones with six decimals: a price is the decimal number with the
fewest decimals, at most four, that the service would write as it did. That is the price as traded, in cents up to 83,000
and with four decimals up to a split ratio of 100; beyond, it is within half of the last digit that came. Volumes behind a
reverse split are rounded to as many shares as one became of. adjclose is not used: its changes are events.

**Factors.** A dividend d behind a close c multiplies back_factor by c / (c - d), a split by new over old shares,
rounded to six decimals. A dividend that is not below its close is a bad record, and the factors behind it are missing.

**Days.** The stamps of bars are seconds; they become days of the exchange's clock by its calendar. Of a day
that is still traded the service may give two bars: the later one counts. ` + "`final`" + ` is false until 20:00 of the day
at the exchange. A row that is null as a whole says that there is no bar; a volume that is null is NULL.
Days without a bar are asked for a second time at once; those that the second answer lacks too, though it has the
days around them, are confirmed to have none. ` + "`amount`" + `, ` + "`preclose`" + ` and ` + "`turn`" + ` are NULL: charts have none.

Prices in another currency than USD, CNY or HKD are refused, such as pence. Hong Kong is served as far as its
calendar goes, from 2024-09-23 on. What was delisted is unknown to the service. Status 429 is waited out.
`
