package baostock

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/provider"
)

// call is one query of a unit.
type call struct {
	query     Query
	args      []string
	key       string // the field that names a record within the answer
	shapes    []*shape
	code      string          // what column code must say
	span      market.Interval // what dates must lie in
	barMicros int64
}

// rows is how many rows of the unit's datasets, each, one record makes.
func (c *call) rows(dataset int) int { return len(c.shapes[dataset].variants) }

// works groups the units by what is asked at once, in their order, and checks that all can be asked.
func works(units []market.Unit) ([][]market.Unit, error) {
	units = slices.Clone(units)
	for i := range units {
		if units[i].Source == "" {
			units[i].Source = Name
		}
		units[i].Rows, units[i].State = 0, market.StateOK
	}
	var list [][]market.Unit
	for len(units) > 0 {
		n := 1
		if len(units) > 1 && sameAnswer(units[0], units[1]) {
			n = 2
		}
		if _, err := calls(units[:n]); err != nil {
			return nil, &connector.Error{
				Op: "plan " + units[0].String(), Class: connector.Permanent, Err: err,
			}
		}
		list = append(list, units[:n:n])
		units = units[n:]
	}
	return list, nil
}

// sameAnswer reports whether the rows of two units come from one query.
func sameAnswer(a, b market.Unit) bool {
	return a.Dataset == market.Bar1D && b.Dataset == market.Valuation1D && a.Symbol == b.Symbol &&
		a.Interval() == b.Interval()
}

var anyDate = market.Interval{From: market.MinDate, To: market.MaxDate}

// calls returns the queries that answer the units.
func calls(units []market.Unit) ([]call, error) {
	u := units[0]
	if err := u.Validate(); err != nil {
		return nil, err
	}
	code := ""
	if u.Symbol != "" {
		parsed, err := market.ParseSymbol(u.Symbol)
		if err == nil {
			code, err = market.BaoStock.Format(parsed)
		}
		if err != nil {
			return nil, err
		}
	}
	from, to := u.From.String(), u.To.String()
	switch u.Dataset {
	case market.CalendarDay:
		return []call{{
			query: TradeDates, args: []string{from, to}, key: "calendar_date",
			shapes: []*shape{calendarShape}, span: u.Interval(),
		}}, nil
	case market.Listing:
		return []call{{
			query: StockBasic, args: []string{code, ""}, key: "code", shapes: []*shape{listingShape},
			span: anyDate,
		}}, nil
	case market.StatusEvent:
		return statusCalls(u)
	case market.Constituent:
		return constituentCalls(u, code)
	}
	if code == "" {
		return nil, fmt.Errorf("%s needs a symbol", u.Dataset)
	}
	switch u.Dataset {
	case market.Bar1D, market.Valuation1D:
		return []call{dailyCall(units, code, from, to)}, nil
	case market.BarMin:
		return minuteCalls(u, code, from, to)
	case market.AdjFactor:
		return []call{{
			query: AdjustFactors, args: []string{code, from, to}, key: "dividOperateDate",
			shapes: []*shape{factorShape(u.Symbol)}, code: code, span: u.Interval(),
		}}, nil
	case market.CorpAction:
		return dividendCalls(u, code), nil
	case market.Fundamental:
		return fundamentalCalls(u, code), nil
	}
	return nil, fmt.Errorf("dataset %q is not served", u.Dataset)
}

func dataset(name string) market.Dataset {
	d, _ := market.DatasetByName(name)
	return d
}

// one is the shape of records that make one row each.
func one(name string, constants []constant, bindings ...binding) *shape {
	return &shape{dataset: dataset(name), variants: []variant{{bindings, constants}}}
}

func symbolOf(text string) []constant { return []constant{{"symbol", text}} }

// Bindings that several datasets have.
var (
	codeBinding = binding{"code", sameCode, "", ""}
	nameBinding = binding{"code", symbol, "symbol", ""}
	barBindings = []binding{
		codeBinding,
		{"open", decimal, "open", ""},
		{"high", decimal, "high", ""},
		{"low", decimal, "low", ""},
		{"close", decimal, "close", ""},
		{"volume", count, "volume", ""},
		{"amount", decimal, "amount", ""},
		{"adjustflag", notAdjust, "", ""},
	}
)

func dailyCall(units []market.Unit, code, from, to string) call {
	c := call{
		query: KData, key: "date", code: code, span: units[0].Interval(),
	}
	var fields []string
	for _, u := range units {
		if u.Dataset == market.Bar1D {
			fields = append(fields, keptFields...)
			c.shapes = append(c.shapes, one(market.Bar1D, symbolOf(u.Symbol), append([]binding{
				{"date", dateForm, "date", ""},
				{"preclose", decimal, "preclose", ""},
				{"turn", decimal, "turn", ""},
				{"tradestatus", flag, "trade_status", ""},
				{"isST", flag, "is_st", ""},
			}, barBindings...)...))
			continue
		}
		if fields == nil {
			fields = append(fields, "date", "code")
		}
		fields = append(fields, valuationFields...)
		c.shapes = append(c.shapes, one(market.Valuation1D, symbolOf(u.Symbol), codeBinding,
			binding{"date", dateForm, "date", ""}, binding{"peTTM", decimal, "pe_ttm", ""},
			binding{"pbMRQ", decimal, "pb_mrq", ""}, binding{"psTTM", decimal, "ps_ttm", ""},
			binding{"pcfNcfTTM", decimal, "pcf_ncf_ttm", ""}))
	}
	c.args = []string{code, strings.Join(fields, ","), from, to, "d", string(Unadjusted)}
	return c
}

func minuteCalls(u market.Unit, code, from, to string) ([]call, error) {
	minutes, known := map[string]int64{"5m": 5, "15m": 15, "30m": 30, "60m": 60}[u.Freq]
	if !known {
		return nil, fmt.Errorf("frequency %q: bars of 5m, 15m, 30m and 60m are served as %s, days as %s; "+
			"weeks and months are not kept, make them of days", u.Freq, market.BarMin, market.Bar1D)
	}
	constants := append(symbolOf(u.Symbol), constant{"freq", u.Freq})
	return []call{{
		query: KData, key: "time", code: code, span: u.Interval(),
		barMicros: minutes * time.Minute.Microseconds(),
		args: []string{
			code, strings.Join(minuteFields, ","), from, to, strconv.FormatInt(minutes, 10),
			string(Unadjusted),
		},
		shapes: []*shape{one(market.BarMin, constants, append([]binding{
			{"date", dateForm, "session_date", ""}, {"time", barEnd, "ts", ""},
		}, barBindings...)...)},
	}}, nil
}

func factorShape(canonical string) *shape {
	return one(market.AdjFactor, symbolOf(canonical), codeBinding,
		binding{"dividOperateDate", dateForm, "ex_date", ""},
		binding{"foreAdjustFactor", decimal, "fore_factor", ""},
		binding{"backAdjustFactor", decimal, "back_factor", ""},
		binding{"adjustFactor", decimal, "adjust_factor", ""})
}

// calendarShape makes a row for each exchange: they have one calendar.
var calendarShape = func() *shape {
	s := &shape{dataset: dataset(market.CalendarDay)}
	for _, mic := range []market.MIC{market.XSHG, market.XSHE} {
		s.variants = append(s.variants, variant{
			[]binding{{"calendar_date", dateForm, "date", ""}, {"is_trading_day", flag, "is_open", ""}},
			[]constant{{"mic", string(mic)}},
		})
	}
	return s
}()

var listingShape = one(market.Listing, nil, nameBinding, binding{"code_name", text, "name", ""},
	binding{"ipoDate", dateForm, "ipo_date", ""}, binding{"outDate", dateForm, "out_date", ""},
	binding{"type", class, "class", ""}, binding{"status", state, "status", ""})

// dividendCalls asks for the dividends with an ex-date in the years of the unit. What a number cannot
// say, such as 0.288或0.32 after tax, stands in column raw.
func dividendCalls(u market.Unit, code string) []call {
	s := one(market.CorpAction, append(symbolOf(u.Symbol), constant{"kind", "dividend"}), codeBinding,
		binding{"dividOperateDate", dateForm, "ex_date", ""},
		binding{"dividRegistDate", dateForm, "record_date", ""},
		binding{"dividPayDate", dateForm, "pay_date", ""},
		binding{"dividCashPsBeforeTax", decimal, "cash", ""},
		binding{"dividStocksPs", decimal, "stock_dividend", ""},
		binding{"dividReserveToStockPs", decimal, "transfer", ""})
	s.raw = "raw"
	var list []call
	for year := u.From.Year(); year <= u.To.Year(); year++ {
		list = append(list, call{
			query: DividendData, args: []string{code, strconv.Itoa(year), "operate"},
			key: "dividOperateDate", shapes: []*shape{s}, code: code, span: anyDate,
		})
	}
	return list
}

// statements are the quarterly queries with their items. Amounts of money and numbers of shares have
// fewer decimals and more digits than ratios; they stand behind a sign of their own.
var statements = []struct {
	query Query
	items string
}{
	{ProfitData, "roeAvg npMargin gpMargin netProfit# epsTTM MBRevenue# totalShare# liqaShare#"},
	{OperationData, "NRTurnRatio NRTurnDays INVTurnRatio INVTurnDays CATurnRatio AssetTurnRatio"},
	{GrowthData, "YOYEquity YOYAsset YOYNI YOYEPSBasic YOYPNI"},
	{DupontData, "dupontROE dupontAssetStoEquity dupontAssetTurn dupontPnitoni dupontNitogr " +
		"dupontTaxBurden dupontIntburden dupontEbittogr"},
	{BalanceData, "currentRatio quickRatio cashRatio YOYLiability liabilityToAsset assetToEquity"},
	{CashFlowData, "CAToAsset NCAToAsset tangibleAssetToAsset ebitToInterest CFOToOR CFOToNP CFOToGr"},
}

// fundamentalCalls asks for the quarters whose end lies in the unit's dates; each item is a row.
func fundamentalCalls(u market.Unit, code string) []call {
	shapes := make([]*shape, len(statements))
	for i, statement := range statements {
		s := &shape{dataset: dataset(market.Fundamental)}
		for item := range strings.FieldsSeq(statement.items) {
			name, isAmount := strings.CutSuffix(item, "#")
			cell := binding{name, decimal, "value", ""}
			if isAmount {
				cell = binding{name, amount, "amount", "amount_text"}
			}
			s.variants = append(s.variants, variant{
				[]binding{
					codeBinding,
					{"pubDate", dateForm, "pub_date", ""},
					{"statDate", dateForm, "stat_date", ""},
					cell,
				},
				append(symbolOf(u.Symbol), constant{"item", name}),
			})
		}
		shapes[i] = s
	}
	var list []call
	for year := u.From.Year(); year <= u.To.Year(); year++ {
		for quarter := 1; quarter <= 4; quarter++ {
			if end := market.DateOf(year, time.Month(3*quarter+1), 1) - 1; !u.Interval().Contains(end) {
				continue
			}
			for i, statement := range statements {
				list = append(list, call{
					query: statement.query, args: []string{code, strconv.Itoa(year), strconv.Itoa(quarter)},
					key: "statDate", shapes: shapes[i : i+1], code: code, span: anyDate,
				})
			}
		}
	}
	return list
}

// indices are those whose constituents are served.
var indices = []struct {
	symbol string
	query  Query
}{
	{"000300.XSHG", HS300Stocks}, {"000016.XSHG", SZ50Stocks}, {"000905.XSHG", ZZ500Stocks},
}

func constituentCalls(u market.Unit, code string) ([]call, error) {
	var list []call
	for _, index := range indices {
		if u.Symbol != "" && u.Symbol != index.symbol {
			continue
		}
		list = append(list, call{
			query: index.query, args: []string{u.To.String()}, key: "code", span: anyDate,
			shapes: []*shape{one(market.Constituent, []constant{{"index_symbol", index.symbol}},
				nameBinding, binding{"updateDate", dateForm, "valid_from", "update_date"})},
		})
	}
	if list == nil {
		return nil, fmt.Errorf("the constituents of %s are not served, those of sh.000300, sh.000016 and "+
			"sh.000905 are", code)
	}
	return list, nil
}

// statusCalls asks for the lists of a date.
func statusCalls(u market.Unit) ([]call, error) {
	if u.Symbol != "" || u.Interval().Days() > 1 {
		return nil, fmt.Errorf("%s is asked for a date and all symbols", u.Dataset)
	}
	var list []call
	for _, c := range []struct {
		query Query
		kind  string
	}{
		{SuspendedStocks, "suspend"},
		{STStocks, "st"},
		{StarSTStocks, "star_st"},
		{TerminatedStocks, "delist"},
	} {
		list = append(list, call{
			query: c.query, args: []string{u.To.String()}, key: "code", span: anyDate,
			shapes: []*shape{one(market.StatusEvent, []constant{{"kind", c.kind}}, nameBinding,
				binding{"updateDate", dateForm, "date", ""}, binding{"code_name", text, "detail", ""})},
		})
	}
	return list, nil
}

// units returns the work that a document's settings ask for.
func (c *Config) units() ([]market.Unit, error) {
	if c.Units != nil {
		return c.Units, nil
	}
	return provider.Work{
		Dataset: c.Dataset, Symbols: c.Symbols, From: c.From, To: c.To, Frequency: c.Frequency,
		Today: market.From(c.Now().In(exchangeZone)),
	}.Units(Provider())
}
