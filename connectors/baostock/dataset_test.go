package baostock

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/internal/market"
)

// served are answers by method, as the service spells them.
var served = map[string]struct {
	fields string
	rows   [][]string
}{
	"query_history_k_data_plus": {"time,date,code,open,high,low,close,volume,amount,adjustflag", [][]string{
		{"20240102093500000", "2024-01-02", "sh.600000", "6.62", "6.65", "6.6", "6.64", "", "", "3"},
		{"20240102250000000", "2024-01-02", "sh.600000", "6.62", "6.65", "6.6", "6.64", "", "", "3"},
	}},
	"query_adjust_factor": {"code, dividOperateDate,foreAdjustFactor,\tbackAdjustFactor,adjustFactor", [][]string{
		{"sh.600000", "2024-01-15", "0.951000", "12.345678", "12.345678"},
		{"sh.600000", "2024-01-16", "", "abc", ""},
	}},
	"query_dividend_data": {"code,dividOperateDate,dividRegistDate,dividPayDate,dividCashPsBeforeTax,dividCashPsAfterTax,dividStocksPs,dividReserveToStockPs", [][]string{
		{"sh.600000", "2024-01-15", "2024-01-14", "", "0.32", "0.288或0.32", "0.000000", ""},
		{"sh.600000", "", "", "", "0.1", "", "", ""},
	}},
	"query_trade_dates": {"calendar_date,is_trading_day", [][]string{{"2024-01-01", "0"}, {"2024-01-02", "yes"}}},
	"query_stock_basic": {"code,code_name,ipoDate,outDate,type,status", [][]string{
		{"sh.600000", "浦发银行", "1999-11-10", "", "1", "1"},
		{"sz.000003", "PT金田A", "1991-01-14", "2002-06-14", "1", "0"},
		{"sz.399001", "深证成指", "", "", "9", "1"},
		{"xx.1", "x", "", "", "1", "1"},
	}},
	"query_hs300_stocks":      {"updateDate,code,code_name", [][]string{{"2024-01-01", "sz.000001", "平安银行"}}},
	"query_suspended_stocks":  {"updateDate,code,code_name", [][]string{{"2024-01-02", "sz.000002", "万 科"}}},
	"query_st_stocks":         {"updateDate,code,code_name", nil},
	"query_starst_stocks":     {"updateDate,code,code_name", nil},
	"query_terminated_stocks": {"updateDate,code,code_name", [][]string{{"2024-01-02", "sz.000003", ""}}},
	"query_profit_data": {"code,pubDate,statDate,roeAvg,npMargin,gpMargin,netProfit,epsTTM,MBRevenue,totalShare,liqaShare", [][]string{
		{"sh.600000", "2024-04-30", "2024-03-31", "0.024", "", "", "17644000000.123456", "x", "3181000000000.654321", "29352178302.00", ""},
	}},
	"query_operation_data": {"code,pubDate,statDate,NRTurnRatio,NRTurnDays,INVTurnRatio,INVTurnDays,CATurnRatio,AssetTurnRatio", nil},
	"query_growth_data":    {"code,pubDate,statDate,YOYEquity,YOYAsset,YOYNI,YOYEPSBasic,YOYPNI", nil},
	"query_dupont_data":    {"code,pubDate,statDate,dupontROE,dupontAssetStoEquity,dupontAssetTurn,dupontPnitoni,dupontNitogr,dupontTaxBurden,dupontIntburden,dupontEbittogr", nil},
	"query_balance_data":   {"code,pubDate,statDate,currentRatio,quickRatio,cashRatio,YOYLiability,liabilityToAsset,assetToEquity", nil},
	"query_cash_flow_data": {"code,pubDate,statDate,CAToAsset,NCAToAsset,tangibleAssetToAsset,ebitToInterest,CFOToOR,CFOToNP,CFOToGr", nil},
	"query_all_stock":      {"code,tradeStatus,code_name", [][]string{{"sh.600000", "0", "浦发银行"}, {"sh.000001", "1", "上证综指"}}},
}

func serve(r fakeRequest) ([]string, [][]string) {
	s := served[r.method()]
	fields := strings.Split(s.fields, ",")
	for i := range fields {
		fields[i] = strings.TrimSpace(fields[i])
	}
	return fields, s.rows
}

// TestDatasets reads each dataset, with bad values in it.
func TestDatasets(t *testing.T) {
	minutes := unit("bar_min", "600000.XSHG", "2024-01-01", "2024-01-31")
	minutes.Freq = "5m"
	for _, c := range []struct {
		unit market.Unit
		want []string
	}{
		{minutes, []string{
			`bar_min {"symbol":"600000.XSHG","freq":"5m","ts":"2024-01-02T01:30:00.000000Z","session_date":"2024-01-02","open":6.6200,"high":6.6500,"low":6.6000,"close":6.6400,"volume":null,"amount":null,"final":true}`,
			`_quarantine bad_date`, `_unit 2 ok`,
		}},
		{unit("adj_factor", "600000.XSHG", "2024-01-01", "2024-01-31"), []string{
			`adj_factor {"symbol":"600000.XSHG","ex_date":"2024-01-15","fore_factor":0.951000,"back_factor":12.345678,"adjust_factor":12.345678}`,
			`_quarantine bad_number`, `_unit 2 ok`,
		}},
		{unit("corp_action", "600000.XSHG", "2024-01-01", "2024-01-31"), []string{
			`corp_action {"symbol":"600000.XSHG","ex_date":"2024-01-15","kind":"dividend","cash":0.320000,"stock_dividend":0.000000,"transfer":null,"rights_ratio":null,"rights_price":null,"split_ratio":null,"record_date":"2024-01-14","pay_date":null,"raw":"[\"sh.600000\",\"2024-01-15\",\"2024-01-14\",\"\",\"0.32\",\"0.288或0.32\",\"0.000000\",\"\"]"}`,
			`_quarantine missing_value`, `_unit 2 ok`,
		}},
		{unit("calendar", "", "2024-01-01", "2024-01-31"), []string{
			`calendar {"mic":"XSHG","date":"2024-01-01","is_open":false}`,
			`calendar {"mic":"XSHE","date":"2024-01-01","is_open":false}`,
			`_quarantine bad_flag`, `_quarantine bad_flag`, `_unit 4 ok`,
		}},
		{unit("instrument", "", "2024-01-01", "2024-01-31"), []string{
			`instrument {"symbol":"600000.XSHG","name":"浦发银行","class":"stock","ipo_date":"1999-11-10","out_date":null,"status":"listed"}`,
			`instrument {"symbol":"000003.XSHE","name":"PT金田A","class":"stock","ipo_date":"1991-01-14","out_date":"2002-06-14","status":"delisted"}`,
			`_quarantine bad_flag`, `_quarantine bad_symbol`, `_unit 4 ok`,
		}},
		{unit("constituent", "000300.XSHG", "2024-01-01", "2024-01-02"), []string{
			`constituent {"index_symbol":"000300.XSHG","symbol":"000001.XSHE","valid_from":"2024-01-01","valid_to":null,"update_date":"2024-01-01"}`,
			`_unit 1 ok`,
		}},
		{unit("status_event", "", "2024-01-02", "2024-01-02"), []string{
			`status_event {"symbol":"000002.XSHE","date":"2024-01-02","kind":"suspend","detail":"万 科"}`,
			`status_event {"symbol":"000003.XSHE","date":"2024-01-02","kind":"delist","detail":null}`,
			`_unit 2 ok`,
		}},
		{unit("fundamental", "600000.XSHG", "2024-01-01", "2024-06-29"), []string{
			`fundamental {"symbol":"600000.XSHG","stat_date":"2024-03-31","pub_date":"2024-04-30","item":"roeAvg","value":0.024000,"amount":null,"amount_text":null}`,
			`fundamental {"symbol":"600000.XSHG","stat_date":"2024-03-31","pub_date":"2024-04-30","item":"npMargin","value":null,"amount":null,"amount_text":null}`,
			`fundamental {"symbol":"600000.XSHG","stat_date":"2024-03-31","pub_date":"2024-04-30","item":"gpMargin","value":null,"amount":null,"amount_text":null}`,
			`fundamental {"symbol":"600000.XSHG","stat_date":"2024-03-31","pub_date":"2024-04-30","item":"netProfit","value":null,"amount":17644000000.123456,"amount_text":null}`,
			`fundamental {"symbol":"600000.XSHG","stat_date":"2024-03-31","pub_date":"2024-04-30","item":"MBRevenue","value":null,"amount":null,"amount_text":"3181000000000.654321"}`,
			`fundamental {"symbol":"600000.XSHG","stat_date":"2024-03-31","pub_date":"2024-04-30","item":"totalShare","value":null,"amount":29352178302.000000,"amount_text":null}`,
			`fundamental {"symbol":"600000.XSHG","stat_date":"2024-03-31","pub_date":"2024-04-30","item":"liqaShare","value":null,"amount":null,"amount_text":null}`,
			`_quarantine bad_number`, `_unit 8 ok`,
		}},
	} {
		t.Run(c.unit.Dataset, func(t *testing.T) {
			f := &fake{t: t, rows: serve}
			cfg := f.config()
			cfg.Units = []market.Unit{c.unit}
			got, _ := told(t, cfg, nil, 100)
			for i, row := range got {
				got[i] = brief(row)
			}
			expect(t, got, c.want...)
		})
	}
}

// brief shortens rows of _quarantine and _unit to what a table of cases shows.
func brief(row string) string {
	member := func(name string) string {
		_, value, _ := strings.Cut(row, `"`+name+`":`)
		value, _, _ = strings.Cut(value, ",")
		return strings.Trim(value, `"}`)
	}
	switch {
	case strings.HasPrefix(row, market.QuarantineTable):
		return market.QuarantineTable + " " + member("rule")
	case strings.HasPrefix(row, market.UnitTable):
		return market.UnitTable + " " + member("rows") + " " + member("state")
	}
	return row
}

// TestClientCalls reads what the typed calls return, and refuses what they cannot.
func TestClientCalls(t *testing.T) {
	f := &fake{t: t, rows: serve}
	client := f.client()
	list, err := client.AllStock(t.Context(), market.DateOf(2024, 1, 2))
	want := []DayListing{{pufa, "浦发银行", true}, {market.Symbol{Code: "000001", MIC: market.XSHG}, "上证综指", false}}
	if diff := cmp.Diff(want, list); diff != "" || err != nil {
		t.Errorf("%s %v", diff, err)
	}
	if _, err := client.StockBasic(t.Context(), "", ""); err == nil || !strings.Contains(err.Error(), `row 3`) {
		t.Errorf("a type of 9: %v", err)
	}
	if _, err := client.TradeDates(t.Context(), 1, 2); err == nil || !strings.Contains(err.Error(), `"yes"`) {
		t.Errorf("trading day yes: %v", err)
	}
	f.rows = func(fakeRequest) ([]string, [][]string) { return []string{"x"}, [][]string{{"1"}} }
	if _, err := client.AllStock(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "no column code") {
		t.Errorf("other columns: %v", err)
	}
	f.rows = func(r fakeRequest) ([]string, [][]string) {
		if r.method() == "query_trade_dates" {
			return []string{"is_trading_day", "calendar_date"}, [][]string{{"1", "2024-01-02"}, {"0", "2024-01-06"}}
		}
		return []string{"code", "code_name", "ipoDate", "outDate", "type", "status"},
			[][]string{{"sh.510050", "50ETF", "2005-02-23", "", "5", "1"}}
	}
	days, err := client.TradeDates(t.Context(), 1, 2)
	if diff := cmp.Diff([]TradeDate{{market.DateOf(2024, 1, 2), true}, {market.DateOf(2024, 1, 6), false}}, days); diff != "" || err != nil {
		t.Errorf("%s %v", diff, err)
	}
	basic, err := client.StockBasic(t.Context(), "sh.510050", "")
	if err != nil || basic[0].Class != market.ETF || basic[0].IPO != market.DateOf(2005, 2, 23) || basic[0].Out != 0 {
		t.Errorf("%+v %v", basic, err)
	}
	none := market.Symbol{Code: "AAPL", MIC: market.XNAS}
	for name, call := range map[string]func() error{
		"k-data":  func() error { _, err := client.KData(t.Context(), KDataRequest{Symbol: none}); return err },
		"factor":  func() error { _, err := client.AdjustFactor(t.Context(), none, 1, 2); return err },
		"divided": func() error { _, err := client.Dividends(t.Context(), none, 2024, "operate"); return err },
		"commas":  func() error { _, err := client.StockBasic(t.Context(), "", "a,b"); return err },
		"few":     func() error { _, err := client.Query(t.Context(), AllStock); return err },
		"none":    func() error { _, err := client.Query(t.Context(), queries); return err },
	} {
		if call() == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for _, call := range []func() (*Table, error){
		func() (*Table, error) { return client.AdjustFactor(t.Context(), pufa, 1, 2) },
		func() (*Table, error) { return client.Dividends(t.Context(), pufa, 2024, "operate") },
		func() (*Table, error) { return client.Industries(t.Context(), "", 1) },
		func() (*Table, error) { return client.KData(t.Context(), KDataRequest{Symbol: pufa, Frequency: "w"}) },
		func() (*Table, error) { return client.KData(t.Context(), KDataRequest{Symbol: pufa, Frequency: "5"}) },
	} {
		if _, err := call(); err != nil {
			t.Error(err)
		}
	}
}

// TestSettings are refused before anything is asked.
func TestSettings(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"address: \"x\" is not host:port":   func(c *Config) { c.Address = "x" },
		"version: \"9\"":                    func(c *Config) { c.Version = "9" },
		"user: it contains":                 func(c *Config) { c.User = "a\x01b" },
		"must be positive":                  func(c *Config) { c.LockTimeout = -1 },
		"must not be negative":              func(c *Config) { c.RequestsPerDay = -1 },
		"from: date \"x\"":                  func(c *Config) { c.From = "x" },
		"to: date \"x\"":                    func(c *Config) { c.To = "x" },
		"is after to":                       func(c *Config) { c.To = "2001-01-01" },
		"symbols: bar_1d needs one":         func(c *Config) { c.Symbols = nil },
		"symbols: symbol \"600000\"":        func(c *Config) { c.Symbols = []string{"600000"} },
		"symbols: calendar has none":        func(c *Config) { c.Dataset = market.CalendarDay },
		"constituents of sh.600000 are not": func(c *Config) { c.Dataset = market.Constituent },
		"make them of days":                 func(c *Config) { c.Dataset, c.Frequency = market.BarMin, "w" },
		"dataset \"tick\" is not served":    func(c *Config) { c.Dataset = "tick" },
		"baostock has no form for market":   func(c *Config) { c.Symbols = []string{"AAPL.XNAS"} },
		"is asked for a date and all":       func(c *Config) { c.Units = []market.Unit{unit("status_event", "", "2024-01-01", "2024-01-02")} },
		"bar_1d needs a symbol":             func(c *Config) { c.Units = []market.Unit{unit("bar_1d", "", "2024-01-01", "2024-01-02")} },
		"from 2024-01-02 is after":          func(c *Config) { c.Units = []market.Unit{unit("bar_1d", "600000.XSHG", "2024-01-02", "2024-01-01")} },
	} {
		cfg := Defaults()
		cfg.Symbols = []string{"sh.600000"}
		change(&cfg)
		if _, err := Connector().Source.New(environment(), &cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	if _, err := NewClient(Config{Version: "x"}, nil); err == nil {
		t.Error("a client of version x")
	}
	for dataset, symbols := range map[string]int{market.Listing: 1, market.Constituent: 1, market.StatusEvent: 1} {
		cfg := Defaults()
		cfg.Dataset, cfg.From, cfg.To = dataset, "2024-01-02", "2024-01-02"
		cfg = cfg.filled()
		if units, err := cfg.units(); err != nil || len(units) != symbols {
			t.Errorf("%s: %v %v", dataset, units, err)
		}
	}
}

// TestProvider is what plans rely on.
func TestProvider(t *testing.T) {
	p := Provider()
	if len(p.Offers) != 10 {
		t.Errorf("%d offers", len(p.Offers))
	}
	for _, offer := range p.Offers {
		if _, known := market.DatasetByName(offer.Dataset); !known || offer.PageCap != pageRows || offer.PublishAt != 18*time.Hour {
			t.Errorf("%+v", offer)
		}
	}
}

// TestGBKIsQuarantined: names in GBK instead of UTF-8 are no names; the row goes to quarantine, the others
// count.
func TestGBKIsQuarantined(t *testing.T) {
	f := &fake{t: t, answer: func(_ int, r fakeRequest) []byte {
		if r.method() != "query_stock_basic" {
			return nil
		}
		return answerFrame(r, []string{"code", "code_name", "ipoDate", "outDate", "type", "status"},
			`{"record":[["sh.600000","`+"\xc6\xd6\xb7\xa2\xd2\xf8\xd0\xd0"+`","1999-11-10","","1","1"],`+
				`["sh.600004","白云机场","2003-04-28","","1","1"]]}`)
	}}
	cfg := f.config()
	cfg.Units = []market.Unit{unit("instrument", "", "2024-01-01", "2024-01-31")}
	rows, _ := told(t, cfg, nil, 100)
	got := make([]string, len(rows))
	for i, row := range rows {
		got[i] = brief(row)
	}
	expect(t, got,
		`instrument {"symbol":"600004.XSHG","name":"白云机场","class":"stock","ipo_date":"2003-04-28","out_date":null,"status":"listed"}`,
		`_quarantine bad_text`, `_unit 2 ok`)
}
