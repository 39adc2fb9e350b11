package yahoo

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/provider"
)

// asked is the question for the units of one symbol.
type asked struct {
	client *provider.Client
	code   string

	calendar *market.Calendar // the exchange's
	zone     *time.Location   // its clock
}

// wholeHistory is the second from which all of a history is asked for: 1900.
const wholeHistory = -2208988800

// manyDays is how long a unit of factors is asked with all of its history at once; of a shorter one that is
// asked for when there is an event.
const manyDays = 92

// ask asks for all units at once.
func (a *asked) ask(ctx context.Context, rows []*provider.Rows) error {
	from, whole := market.MaxDate, false
	for _, r := range rows {
		from = min(from, r.Unit.From)
		whole = whole || r.Unit.Dataset == market.AdjFactor && r.Unit.Interval().Days() > manyDays
	}
	start := from.At(a.zone, 0).Unix()
	if whole {
		start = wholeHistory
	}
	c, err := a.chart(ctx, start)
	if err != nil {
		return err
	}
	if !whole && slices.ContainsFunc(rows, func(r *provider.Rows) bool {
		return r.Unit.Dataset == market.AdjFactor && c.hasEvent(r.Unit.Interval())
	}) {
		if c, err = a.chart(ctx, wholeHistory); err != nil {
			return err
		}
	}
	for _, r := range rows {
		r.At(c.place)
		if a.short(c) {
			r.Partial()
		}
		add := map[string]func(*provider.Rows) error{
			market.Bar1D: c.addBars, market.AdjFactor: c.addFactors, market.CorpAction: c.addActions,
		}[r.Unit.Dataset]
		if err := add(r); err != nil {
			return err
		}
		if err := a.again(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// again asks a second time for days without a bar.
func (a *asked) again(ctx context.Context, rows *provider.Rows) error {
	return rows.Again(func(dates market.Interval) error {
		c, err := a.chart(ctx, dates.From.At(a.zone, 0).Unix())
		if err != nil {
			return err
		}
		return c.addBars(rows)
	})
}

// chart is an answer.
type chart struct {
	place  string
	meta   provider.Value
	bars   []bar
	events []event

	calendar *market.Calendar
	days     map[market.Date]bool // also those of which it says that there is no bar
}

// bar is a day of a chart.
type bar struct {
	stamp int64
	date  market.Date
	cells [columns][]byte
}

// columns of a bar.
const (
	open = iota
	high
	low
	closing
	volume
	columns
)

var columnNames = [columns]string{"open", "high", "low", "close", "volume"}

// chart asks for the days from a second until now.
func (a *asked) chart(ctx context.Context, from int64) (*chart, error) {
	today := market.From(a.client.Settings().Now().In(a.zone))
	since := "the first day"
	if from != wholeHistory {
		since = market.From(time.Unix(from, 0).In(a.zone)).String()
	}
	c := &chart{
		place: fmt.Sprintf("chart %s from %s", a.code, since), calendar: a.calendar, days: map[market.Date]bool{},
	}
	document, err := a.client.JSON(ctx, provider.Request{
		Place: c.place, Path: "/v8/finance/chart/" + url.PathEscape(a.code),
		Query: url.Values{
			"period1": {strconv.FormatInt(from, 10)}, "period2": {strconv.FormatInt((today+1).At(a.zone, 0).Unix(), 10)},
			"interval": {"1d"}, "events": {"div,splits"}, "includeAdjustedClose": {"false"},
		},
		Header: http.Header{"User-Agent": {"Mozilla/5.0 (compatible; tapeline)"}},
	})
	if refusal, ok := errors.AsType[*provider.RefusalError](err); ok && refusal.Rule == ruleNothing {
		return c, nil
	}
	if err != nil {
		return nil, err
	}
	return c, a.read(c, document)
}

// hasNothing reports whether an error says that there are no bars of the dates.
func hasNothing(text string) bool { return strings.HasPrefix(text, "Data doesn't exist for startDate") }

// read takes an answer apart.
func (a *asked) read(c *chart, document provider.Value) error {
	result := document.Member("chart").Member("result").First()
	c.meta = result.Member("meta")
	if err := a.check(c.meta); err != nil {
		return err
	}
	if err := a.readBars(c, result); err != nil {
		return err
	}
	return a.readEvents(c, result.Member("events"))
}

// check refuses an answer about something else.
func (a *asked) check(meta provider.Value) error {
	text := func(name string) string { return string(meta.Member(name).Text()) }
	if got := text("symbol"); !strings.EqualFold(got, a.code) {
		return a.wrong("wrong_chart", "the answer is about %q", got)
	}
	if got := text("dataGranularity"); got != "1d" {
		return a.wrong("wrong_chart", "its bars are of %q, not of days", got)
	}
	if got := text("exchangeTimezoneName"); got != a.zone.String() {
		return &provider.RefusalError{Rule: ruleZone, Err: fmt.Errorf(
			"chart of %s: its exchange has the clock of %q, ours %s", a.code, got, a.zone)}
	}
	// Elsewhere prices may be in pence, agorot or cents.
	if got := text("currency"); !slices.Contains([]string{"USD", "CNY", "HKD"}, got) {
		return &provider.RefusalError{Rule: ruleCurrency, Err: fmt.Errorf(
			"chart of %s: its prices are in %q; USD, CNY and HKD are taken", a.code, got)}
	}
	return nil
}

// readBars makes rows of the columns, by date. Rows that are null as a whole are left out.
func (a *asked) readBars(c *chart, result provider.Value) error {
	stamps := result.Member("timestamp").Cells(nil)
	quote := result.Member("indicators").Member("quote").First()
	var cells [columns][][]byte
	for i, name := range columnNames {
		if cells[i] = quote.Member(name).Cells(nil); len(cells[i]) != len(stamps) {
			return a.wrong("uneven", "%d days have %d values of %s", len(stamps), len(cells[i]), name)
		}
	}
	for i, stamp := range stamps {
		var b bar
		var err error
		if b.stamp, err = strconv.ParseInt(string(stamp), 10, 64); err != nil {
			return a.wrong("uneven", "the stamp of day %d is %q", i+1, stamp)
		}
		for k := range cells {
			b.cells[k] = cells[k][i]
		}
		b.date = a.day(b.stamp)
		c.days[b.date] = true
		if slices.ContainsFunc(b.cells[:], func(cell []byte) bool { return cell != nil }) {
			c.bars = append(c.bars, b)
		}
	}
	slices.SortStableFunc(c.bars, func(x, y bar) int { return cmp.Compare(x.stamp, y.stamp) })
	c.bars = onlyLive(c.bars, c.meta)
	return nil
}

// short reports whether a chart ends before the last trade, though every one is asked for until now.
// invariant: a chart that does not reach the last trade is never taken for whole
func (a *asked) short(c *chart) bool {
	last, ok := c.meta.Member("regularMarketTime").Int()
	return ok && len(c.days) > 0 && !c.days[a.day(last)]
}

// wrong is an error of an answer that may be better next time.
func (a *asked) wrong(code, format string, args ...any) error {
	return &connector.Error{
		Op: "read chart of " + a.code, Class: connector.Transient, Code: Name + "_" + code, Err: fmt.Errorf(format, args...),
	}
}

// day is the exchange's date of a stamp. Where days are stamped with their midnight, some come an hour or two
// early: the service has the wrong half of the year.
func (a *asked) day(stamp int64) market.Date {
	at := time.Unix(stamp, 0).In(a.zone)
	if at.Hour() >= 22 && at.Minute() == 0 && at.Second() == 0 {
		at = at.Add(2 * time.Hour)
	}
	return market.From(at)
}

// onlyLive leaves the later one of two bars of the last day, when it has the stamp of the last trade.
func onlyLive(bars []bar, meta provider.Value) []bar {
	n := len(bars)
	last, ok := meta.Member("regularMarketTime").Int()
	if n >= 2 && ok && bars[n-1].stamp == last && bars[n-2].date == bars[n-1].date && bars[n-2].stamp != last {
		return append(bars[:n-2], bars[n-1])
	}
	return bars
}

// barLayout is the layout of a bar that readBars and addBars made.
var barLayout = provider.Layout{
	Dataset: market.Bar1D,
	Fields: []provider.Field{
		{Name: "timestamp", Column: "date", Form: provider.DateForm},
		{Name: "open", Column: "open", Form: provider.Decimal},
		{Name: "high", Column: "high", Form: provider.Decimal},
		{Name: "low", Column: "low", Form: provider.Decimal},
		{Name: "close", Column: "close", Form: provider.Decimal},
		{Name: "volume", Column: "volume", Form: provider.Count},
		{Name: "trades", Column: "trade_status", Form: provider.Flag},
	},
}

// addBars adds the bars of the unit's dates, as they were traded.
// invariant: prices and volumes are stored as they were traded, whatever was split since
func (c *chart) addBars(rows *provider.Rows) error {
	index := string(c.meta.Member("instrumentType").Text()) == "INDEX"
	for i := range c.bars {
		b := &c.bars[i]
		if !rows.Unit.Interval().Contains(b.date) {
			continue
		}
		later := c.later(b.date)
		cells := [][]byte{[]byte(b.date.String())}
		for _, cell := range b.cells[open : closing+1] {
			cells = append(cells, later.price(cell, market.PriceScale))
		}
		cells = append(cells, later.shares(b.cells[volume]), []byte("1"))
		if !index && b.quiet() {
			cells[len(cells)-1] = []byte("0")
		}
		if err := rows.Add(&barLayout, cells, b.raw()); err != nil {
			return err
		}
	}
	return nil
}

// quiet reports whether nothing was traded: no volume, and one price.
func (b *bar) quiet() bool {
	for _, cell := range b.cells[high : closing+1] {
		if !bytes.Equal(cell, b.cells[open]) {
			return false
		}
	}
	return string(b.cells[volume]) == "0"
}

// raw is the bar's own values as they came.
func (b *bar) raw() []byte {
	out := strconv.AppendInt([]byte(`{"timestamp":`), b.stamp, 10)
	for i, cell := range b.cells {
		if cell == nil {
			cell = []byte("null")
		}
		out = fmt.Appendf(out, `,"%s":%s`, columnNames[i], cell)
	}
	return append(out, '}')
}

// Layouts of instruments, by the service's kind.
var (
	listLayouts = map[string]*provider.Layout{
		"EQUITY": listLayout(market.Stock), "ETF": listLayout(market.ETF), "INDEX": listLayout(market.Index),
	}
	otherLayout = listLayout(market.Other)
)

func listLayout(class market.Class) *provider.Layout {
	return &provider.Layout{
		Dataset: market.Listing,
		Fields: []provider.Field{
			{Name: "longName", Column: "name", Form: provider.TextForm},
			{Name: "firstTradeDate", Column: "ipo_date", Form: provider.DateForm},
		},
		Constants: []provider.Constant{{Column: "class", Text: class.String()}, {Column: "status", Text: market.Listed}},
	}
}

// list asks what a symbol is.
func (a *asked) list(ctx context.Context, rows []*provider.Rows) error {
	const week = 7
	c, err := a.chart(ctx, (market.From(a.client.Settings().Now().In(a.zone))-week).At(a.zone, 0).Unix())
	if err != nil {
		return err
	}
	rows[0].At(c.place)
	if c.meta == nil {
		return &provider.RefusalError{Rule: ruleUnknown, Err: fmt.Errorf("chart of %s: no bar of a week", a.code)}
	}
	layout := listLayouts[string(c.meta.Member("instrumentType").Text())]
	if layout == nil {
		layout = otherLayout
	}
	name := c.meta.Member("longName").Text()
	for _, other := range []string{"shortName", "symbol"} {
		if len(name) == 0 {
			name = c.meta.Member(other).Text()
		}
	}
	var first []byte
	if at, ok := c.meta.Member("firstTradeDate").Int(); ok {
		first = []byte(a.day(at).String())
	}
	return rows[0].Add(layout, [][]byte{name, first}, c.meta)
}
