package tencent

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/provider"
)

// Name is the provider's name: the connector's type in documents and the source of its rows.
const Name = "tencent"

const (
	barHost   = "https://web.ifzq.gtimg.cn"
	quoteHost = "https://qt.gtimg.cn"

	pageRows  = 800
	window    = 1095 // days: at most 783 weekdays
	publishAt = 16 * time.Hour
	lot       = 100 // shares of one unit of volume
)

// Describe describes Tencent to those who plan what to ask of it.
func Describe() market.Provider {
	offer := func(dataset string) market.Offer {
		return market.Offer{
			Dataset: dataset, Markets: []market.MIC{market.XSHG, market.XSHE}, Shapes: market.BySymbol,
			PublishAt: publishAt, Cost: 150 * time.Millisecond, Label: market.LabelEnd,
			Units: market.Units{Volume: lot},
		}
	}
	bars, names := offer(market.Bar1D), offer(market.Listing)
	bars.PageCap, bars.HistoryStart = pageRows, market.DateOf(1990, time.December, 19)
	bars.Unknown, names.Unknown = provider.Unknown(&barLayout), provider.Unknown(&listLayout)
	return market.Provider{
		Name: Name, Scheme: market.Tencent, Offers: []market.Offer{bars, names},
		Budget: market.Budget{Connections: 1, RequestsPerSecond: 4, ResetZone: "Asia/Shanghai"},
	}
}

// Vendor is Tencent as the package provider makes connectors and syncs of it.
func Vendor() provider.Vendor {
	return provider.Vendor{
		Provider: Describe(), Version: "1.0.0", Endpoint: barHost,
		Summary: "Daily bars of Chinese instruments of Tencent.", Doc: doc, Begin: begin,
	}
}

// begin returns the inquiry of the first unit.
func begin(c *provider.Client, units []market.Unit) (int, provider.Inquiry, error) {
	u := units[0]
	symbol, err := market.ParseSymbol(u.Symbol)
	if err != nil {
		return 0, nil, fmt.Errorf("%s needs a symbol: %w", u.Dataset, err)
	}
	code, err := market.Tencent.Format(symbol)
	if err != nil {
		return 0, nil, err
	}
	switch u.Dataset {
	case market.Listing:
		return 1, provider.InquiryFunc((&quote{c, code}).ask), nil
	case market.Bar1D:
		return 1, provider.InquiryFunc((&klines{client: c, code: code}).ask), nil
	}
	return 0, nil, fmt.Errorf("dataset %q is not served", u.Dataset)
}

// windows cuts dates into pieces of which an answer holds all.
func windows(v market.Interval) (list []market.Interval) {
	for !v.Empty() {
		piece := market.Interval{From: v.From, To: min(v.To, v.From+window-1)}
		list = append(list, piece)
		v.From = piece.To + 1
	}
	return list
}

// barLayout is date, open, close, high, low, lots.
var barLayout = provider.Layout{
	Dataset: market.Bar1D,
	Fields: []provider.Field{
		{Name: "date", Column: "date", Form: provider.DateForm},
		{Name: "open", Column: "open", Form: provider.Decimal},
		{Name: "close", Column: "close", Form: provider.Decimal},
		{Name: "high", Column: "high", Form: provider.Decimal},
		{Name: "low", Column: "low", Form: provider.Decimal},
		{Name: "volume", Column: "volume", Form: provider.Count, Times: lot},
	},
	Constants: []provider.Constant{{Column: "trade_status", Text: "true"}},
}

// klines is the question for the bars of one symbol.
type klines struct {
	client *provider.Client
	code   string
	left   []market.Interval
}

// ask asks for the windows one after the other, and again for days without a bar.
func (k *klines) ask(ctx context.Context, rows []*provider.Rows) error {
	between := func(dates market.Interval) error {
		k.left = windows(dates)
		for len(k.left) > 0 {
			if err := k.next(ctx, rows[0]); err != nil {
				return err
			}
		}
		return nil
	}
	if err := between(rows[0].Unit.Interval()); err != nil {
		return err
	}
	return rows[0].Again(between)
}

// next asks for the next window.
func (k *klines) next(ctx context.Context, rows *provider.Rows) error {
	now := k.left[0]
	place := fmt.Sprintf("kline %s %s", k.code, now)
	document, err := k.client.JSON(ctx, provider.Request{
		Place: place, Path: "/appstock/app/kline/kline",
		Query: url.Values{"param": {fmt.Sprintf("%s,day,%s,%s,%d", k.code, now.From, now.To, pageRows)}},
	})
	if err != nil {
		return err
	}
	days, err := k.days(document)
	if err != nil {
		return err
	}
	var list []provider.Value
	for day := range days.Elements() {
		list = append(list, day)
	}
	// invariant: an answer that is full is never taken for the whole window
	if len(list) >= pageRows && now.Days() > 1 {
		middle := now.From + market.Date(now.Days()/2)
		halves := []market.Interval{{From: now.From, To: middle - 1}, {From: middle, To: now.To}}
		k.left = append(halves, k.left[1:]...)
		return nil
	}
	rows.At(place)
	for _, day := range list {
		cells := day.Cells(nil)
		if len(cells) > len(barLayout.Fields) { // on an ex-right day an object follows
			cells = cells[:len(barLayout.Fields)]
		}
		if err := rows.Add(&barLayout, cells, day); err != nil {
			return err
		}
	}
	k.left = k.left[1:]
	return nil
}

// days returns the series of an answer.
func (k *klines) days(document provider.Value) (provider.Value, error) {
	data := document.Member("data")
	if code, ok := document.Member("code").Int(); !ok || code != 0 || len(data) == 0 || data[0] != '{' {
		return nil, &provider.RefusalError{Rule: "refused", Err: fmt.Errorf(
			"kline of %s: code %s: %s", k.code, document.Member("code").Text(), document.Member("msg").Text())}
	}
	one := data.Member(k.code)
	if one.Null() {
		return nil, &connector.Error{
			Op: "read kline of " + k.code, Class: connector.Transient, Code: "tencent_wrong_symbol",
			Err: errors.New("the answer is about something else"),
		}
	}
	series := one.Member("day")
	if len(series) == 0 || series[0] != '[' {
		return nil, &provider.RefusalError{
			Rule: "unknown_symbol", Err: fmt.Errorf("kline of %s: the service has no days of it", k.code),
		}
	}
	return series, nil
}

// quote is the question what a symbol is.
type quote struct {
	client *provider.Client
	code   string
}

var listLayout = provider.Layout{
	Dataset: market.Listing,
	Fields: []provider.Field{
		{Name: "code", Column: "symbol", Form: provider.Name}, {Name: "name", Column: "name", Form: provider.TextForm},
	},
	Constants: []provider.Constant{
		{Column: "class", Text: market.Unknown.String(), Assumed: true},
		{Column: "status", Text: market.Listed, Assumed: true},
	},
}

// ask asks for the quote, which is GBK.
func (q *quote) ask(ctx context.Context, rows []*provider.Rows) error {
	path := "/q=" + q.code
	if q.client.Settings().Endpoint == barHost {
		path = quoteHost + path
	}
	place := "quote " + q.code
	answer, err := q.client.Do(ctx, provider.Request{Place: place, Path: path})
	if err != nil {
		return err
	}
	text, err := provider.Text(answer.Body)
	if err != nil {
		return err
	}
	rows[0].At(place)
	line := strings.TrimSpace(string(text))
	if strings.HasPrefix(line, "v_pv_none_match") {
		return &provider.RefusalError{
			Rule: "unknown_symbol", Err: fmt.Errorf("quote of %s: the service does not know it", q.code),
		}
	}
	inside, found := strings.CutPrefix(line, "v_"+q.code+`="`)
	fields := strings.Split(strings.TrimSuffix(inside, `";`), "~")
	if !found || !strings.HasSuffix(line, `";`) || len(fields) < 3 || fields[2] != q.code[2:] {
		return &connector.Error{
			Op: "read " + place, Class: connector.Transient, Code: "tencent_malformed",
			Err: fmt.Errorf("it is no quote: %.80q", line),
		}
	}
	return rows[0].Add(&listLayout, [][]byte{[]byte(q.code), []byte(fields[1])}, []byte(line))
}

const doc = `Reads daily bars of the service, for symbols between two dates:

    sources:
      bars:
        type: tencent
        config:
          dataset: bar_1d
          symbols: [600000.XSHG, sz000001]     # or as the service writes them
          from: 2024-01-01
          to: 2024-06-28

| dataset | asked with | rows |
|---|---|---|
| bar_1d | kline/kline, day, unadjusted, in windows of three years | a bar per day on which the instrument traded: open, close, high, low come in that order; volume is lots times 100 |
| instrument | quotes, in GBK | the name of a symbol that is asked for; the service has no list of all |

Of an instrument only the name is known, of a bar no ` + "`amount`" + `, ` + "`preclose`" + `, ` + "`turn`" + ` and
` + "`is_st`" + `: in a store, what another provider has there stays. An answer holds at most 800 rows, the
newest ones; one that is full is asked for again in halves. A day without trading has no bar, nor has one before
the listing, of which the service does not say the date: such days are asked for a second time at once, and those
that the second answer lacks too, though it has the days around them, are confirmed to have none.

**Quotes** of many symbols at once are not asked for the bars of the newest day, though that took fewer questions.
Their volume is in whole lots where k-lines have parts of one, their amount is rounded to 10,000, and they do not
say that a day is over: such a bar would not be the one that the k-line of the same day has.
`
