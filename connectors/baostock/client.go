package baostock

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/market"
)

// Client asks BaoStock directly: for the calendar, the listing, and by tests. It is safe for
// concurrent use; its requests go one after the other.
type Client struct {
	session *session
	close   func() error
}

// NewClient returns a client; log may be nil. It connects with its first request.
func NewClient(cfg Config, log *slog.Logger) (*Client, error) {
	cfg = cfg.filled()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	one := newSession(cfg, log)
	return &Client{one, one.close}, nil
}

// Close logs out, where nobody shares the session.
func (c *Client) Close() error { return c.close() }

// Statistics returns what the client's session has done so far.
func (c *Client) Statistics() Statistics { return c.session.statistics() }

// KeepAlive sends heartbeats while the session is idle, until ctx ends.
func (c *Client) KeepAlive(ctx context.Context) error { return c.session.keepAlive(ctx) }

// Login connects, where that did not happen yet.
func (c *Client) Login(ctx context.Context) error {
	if err := c.session.acquire(ctx, "login"); err != nil {
		return err
	}
	defer c.session.release()
	_, err := c.session.connect(ctx)
	return err
}

// Table is the whole result of a query as texts, empty where the service has no value.
type Table struct {
	Fields []string
	Rows   [][]string
}

// Column returns the index of a field, or an error naming it.
func (t *Table) Column(field string) (int, error) {
	if i := slices.Index(t.Fields, field); i >= 0 {
		return i, nil
	}
	return 0, noField(field, t.Fields)
}

func noField(field string, fields []string) error {
	return &connector.Error{
		Op: "read an answer of " + Name, Class: connector.Schema, Code: Name + "_no_field",
		Err: fmt.Errorf("there is no column %s in %s", field, strings.Join(fields, ", ")),
	}
}

// Query returns all pages of a query. The arguments are those that q.Arguments names.
func (c *Client) Query(ctx context.Context, q Query, args ...string) (*Table, error) {
	if err := checkArguments(q, args); err != nil {
		return nil, err
	}
	table := &Table{}
	for page := 1; ; page++ {
		p, err := c.session.page(ctx, q, args, page, &keySet{})
		if err != nil {
			return nil, err
		}
		if page == 1 {
			table.Fields = p.answer.fields
		} else if !slices.Equal(table.Fields, p.answer.fields) {
			p.release()
			return nil, &connector.Error{
				Op: "ask " + q.String(), Class: connector.Transient, Code: Name + "_malformed",
				Err: fmt.Errorf("columns of page %d are not those of page 1", page),
			}
		}
		table.Rows, err = p.appendRows(table.Rows)
		last := p.last
		p.release()
		if err != nil || last {
			return table, err
		}
	}
}

func checkArguments(q Query, args []string) error {
	var problem error
	switch {
	case q >= queries:
		problem = fmt.Errorf("there is no %s", q)
	case len(args) != len(kinds[q].args):
		problem = fmt.Errorf("%d arguments, want %s", len(args), strings.Join(kinds[q].args, ", "))
	default:
		for i, arg := range args {
			// The service's own client splits arguments at commas; only lists of fields may have them.
			if !plain(arg) || strings.Contains(arg, ",") && kinds[q].args[i] != "fields" {
				problem = fmt.Errorf("%s %q: it contains a comma or a control character", kinds[q].args[i], arg)
			}
		}
	}
	if problem == nil {
		return nil
	}
	return &connector.Error{Op: "ask " + q.String(), Class: connector.Permanent, Err: problem}
}

// Adjust says how prices are adjusted.
type Adjust string

// The adjustments, with the service's own values.
const (
	Backward   Adjust = "1"
	Forward    Adjust = "2"
	Unadjusted Adjust = "3"
)

// KDataRequest is what KData asks.
type KDataRequest struct {
	Symbol    market.Symbol
	Fields    []string // nil: all of the frequency
	From, To  market.Date
	Frequency string // d, w, m, 5, 15, 30, 60; "" is d
	Adjust    Adjust // "" is Unadjusted
}

// KData returns bars as the service spells them.
func (c *Client) KData(ctx context.Context, r KDataRequest) (*Table, error) {
	code, err := market.BaoStock.Format(r.Symbol)
	if err != nil {
		return nil, &connector.Error{Op: "ask " + KData.String(), Class: connector.Permanent, Err: err}
	}
	if r.Frequency == "" {
		r.Frequency = "d"
	}
	if r.Adjust == "" {
		r.Adjust = Unadjusted
	}
	if r.Fields == nil {
		switch r.Frequency {
		case "d":
			r.Fields = append(slices.Clone(dailyFields), valuationFields...)
		case "w", "m":
			r.Fields = longFields
		default:
			r.Fields = minuteFields
		}
	}
	return c.Query(ctx, KData, code, strings.Join(r.Fields, ","), r.From.String(), r.To.String(),
		r.Frequency, string(r.Adjust))
}

// Fields of k-data by frequency.
var (
	dailyFields = []string{
		"date", "code", "open", "high", "low", "close", "preclose", "volume", "amount", "adjustflag",
		"turn", "tradestatus", "pctChg", "isST",
	}
	// keptFields are those of which rows are made, or by which they are checked: pctChg follows from the prices.
	keptFields      = slices.DeleteFunc(slices.Clone(dailyFields), func(field string) bool { return field == "pctChg" })
	valuationFields = []string{"peTTM", "pbMRQ", "psTTM", "pcfNcfTTM"}
	longFields      = []string{
		"date", "code", "open", "high", "low", "close", "volume", "amount", "adjustflag", "turn", "pctChg",
	}
	minuteFields = []string{
		"date", "time", "code", "open", "high", "low", "close", "volume", "amount", "adjustflag",
	}
)

// TradeDate is one day of the exchanges' calendar.
type TradeDate struct {
	Date market.Date
	Open bool
}

// TradeDates returns every day from one to another with whether the exchanges are open.
func (c *Client) TradeDates(ctx context.Context, from, to market.Date) ([]TradeDate, error) {
	table, err := c.Query(ctx, TradeDates, from.String(), to.String())
	if err != nil || len(table.Rows) == 0 {
		return nil, err
	}
	var days []TradeDate
	err = table.each(func(cell func(string) string) error {
		date, err := market.ParseDate(cell("calendar_date"))
		if err != nil {
			return err
		}
		open := cell("is_trading_day")
		if open != "0" && open != "1" {
			return fmt.Errorf("is_trading_day %q of %s: want 0 or 1", open, date)
		}
		days = append(days, TradeDate{date, open == "1"})
		return nil
	}, "calendar_date", "is_trading_day")
	return days, err
}

// each calls f for every row with a function that returns its cells by field.
func (t *Table) each(f func(cell func(string) string) error, fields ...string) error {
	at := make(map[string]int, len(fields))
	for _, field := range fields {
		i, err := t.Column(field)
		if err != nil {
			return err
		}
		at[field] = i
	}
	for n, row := range t.Rows {
		if err := f(func(field string) string { return row[at[field]] }); err != nil {
			return &connector.Error{
				Op: fmt.Sprintf("read row %d of an answer of %s", n+1, Name), Class: connector.Data, Err: err,
			}
		}
	}
	return nil
}

// DayListing is one instrument of AllStock.
type DayListing struct {
	Symbol    market.Symbol
	Name      string
	Suspended bool
}

// AllStock returns the instruments listed on a day, indices included; none on days without trading.
func (c *Client) AllStock(ctx context.Context, day market.Date) ([]DayListing, error) {
	table, err := c.Query(ctx, AllStock, day.String())
	if err != nil || len(table.Rows) == 0 {
		return nil, err
	}
	var list []DayListing
	err = table.each(func(cell func(string) string) error {
		symbol, err := market.BaoStock.Parse(cell("code"), market.Unknown)
		list = append(list, DayListing{symbol, cell("code_name"), cell("tradeStatus") == "0"})
		return err
	}, "code", "tradeStatus", "code_name")
	return list, err
}

// StockBasic returns the instruments with the code and the name, both of which may be empty: then all.
func (c *Client) StockBasic(ctx context.Context, code, name string) ([]market.Instrument, error) {
	table, err := c.Query(ctx, StockBasic, code, name)
	if err != nil || len(table.Rows) == 0 {
		return nil, err
	}
	var list []market.Instrument
	err = table.each(func(cell func(string) string) error {
		i := market.Instrument{Name: cell("code_name"), Currency: "CNY"}
		var err error
		if i.Symbol, err = market.BaoStock.Parse(cell("code"), market.Unknown); err != nil {
			return err
		}
		if i.IPO, err = optionalDate(cell("ipoDate")); err != nil {
			return err
		}
		if i.Out, err = optionalDate(cell("outDate")); err != nil {
			return err
		}
		var ok bool
		if i.Class, ok = classes[cell("type")]; !ok {
			return fmt.Errorf("type %q of %s: want 1 to 5", cell("type"), i.Symbol)
		}
		if i.Status, ok = listingStates[cell("status")]; !ok {
			return fmt.Errorf("status %q of %s: want 0 or 1", cell("status"), i.Symbol)
		}
		list = append(list, i)
		return nil
	}, "code", "code_name", "ipoDate", "outDate", "type", "status")
	return list, err
}

func optionalDate(text string) (market.Date, error) {
	if text == "" {
		return 0, nil
	}
	return market.ParseDate(text)
}

var (
	classes = map[string]market.Class{
		"1": market.Stock, "2": market.Index, "3": market.Other, "4": market.Convertible, "5": market.ETF,
	}
	listingStates = map[string]string{"0": market.Delisted, "1": market.Listed}
)

// AdjustFactor returns the factors of the ex-dates from one date to another.
func (c *Client) AdjustFactor(
	ctx context.Context, symbol market.Symbol, from, to market.Date,
) (*Table, error) {
	code, err := market.BaoStock.Format(symbol)
	if err != nil {
		return nil, &connector.Error{Op: "ask " + AdjustFactors.String(), Class: connector.Permanent, Err: err}
	}
	return c.Query(ctx, AdjustFactors, code, from.String(), to.String())
}

// Dividends returns the dividends of a year: by "report" of the plan or by "operate", their ex-date.
func (c *Client) Dividends(
	ctx context.Context, symbol market.Symbol, year int, yearType string,
) (*Table, error) {
	code, err := market.BaoStock.Format(symbol)
	if err != nil {
		return nil, &connector.Error{Op: "ask " + DividendData.String(), Class: connector.Permanent, Err: err}
	}
	return c.Query(ctx, DividendData, code, strconv.Itoa(year), yearType)
}

// Industries returns industries: of one code or, when it is "", of all, on a date or, when 0, now.
func (c *Client) Industries(ctx context.Context, code string, on market.Date) (*Table, error) {
	date := ""
	if on != 0 {
		date = on.String()
	}
	return c.Query(ctx, StockIndustry, code, date)
}

// Constituents returns what an index holds on a date; q is HS300Stocks, SZ50Stocks or ZZ500Stocks.
func (c *Client) Constituents(ctx context.Context, q Query, on market.Date) (*Table, error) {
	return c.Query(ctx, q, on.String())
}
