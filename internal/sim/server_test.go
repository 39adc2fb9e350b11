package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tapeline/tapeline/internal/testenv"
)

// TestConversation holds whole answers to bytes written by hand.
func TestConversation(t *testing.T) {
	day := DateOf(2024, time.January, 2)
	m := &recorded{
		calendar: ChineseCalendar(day-1, day), bars: map[string][]Bar{}, actions: map[string][]Action{},
		list: []Security{{Code: "sh.600000", Name: "浦发 银行", IPO: DateOf(1999, time.November, 10), Kind: Stock}},
	}
	m.bars["sh.600000"] = []Bar{{
		Date: day, Open: 6_6300, High: 6_6500, Low: 6_6000, Close: 6_6000, Preclose: 6_6200, Volume: 22066700,
		Amount: 146066303_7200, Turn: 75200, Change: -302100, PE: 5006444, PS: 1089827, PCF: 34269302, PB: 321265,
		Trading: true,
	}}
	m.actions["sh.600000"] = []Action{{Ex: day, Back: 1_221901}}
	s := serve(t, Config{Market: m})
	c := dial(t, s)
	exchange := func(kind, request, answerKind, want string) {
		t.Helper()
		a, err := c.raw(makeRequest("00.9.10", kind, strings.Split(request, "|")...))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(a.body, "|"); a.kind != answerKind || got != want || !a.sumOK {
			t.Errorf("%s\n got %s %s (sum %t)\nwant %s %s", request, a.kind, got, a.sumOK, answerKind, want)
		}
	}
	exchange("45", "query_stock_basic|anonymous|1|10000||", "04", "10001001|用户未登录")
	exchange("00", "login|anonymous|123456|0", "01", "0|success|login|anonymous|20240102235959000")
	exchange("33", "query_trade_dates|anonymous|1|10000|2024-01-01|2024-01-31", "34",
		`0|success|query_trade_dates|anonymous|1|10000|{"record":[["2024-01-01","0"],["2024-01-02","1"]]}|`+
			"2024-01-01|2024-01-31|calendar_date, is_trading_day")
	exchange("35", "query_all_stock|anonymous|1|10000|2024-01-02", "36",
		`0|success|query_all_stock|anonymous|1|10000|{"record":[["sh.600000","1","浦发 银行"]]}|2024-01-02|`+
			"code,tradeStatus,code_name")
	exchange("35", "query_all_stock|anonymous|1|10000|2024-01-01", "36", // a holiday
		"0|success|query_all_stock|anonymous|1|10000||2024-01-01|code,tradeStatus,code_name")
	exchange("45", "query_stock_basic|anonymous|1|10000||浦发", "46",
		`0|success|query_stock_basic|anonymous|1|10000|{"record":[["sh.600000","浦发 银行","1999-11-10","","1","1"]]}||浦发|`+
			"code, code_name, ipoDate, outDate, type, status")
	kdata := "query_history_k_data_plus|anonymous|1|10000|sh.600000|"
	exchange("95", kdata+DailyFields+"|2024-01-01|2024-01-02|d|3", "96",
		`0|success|query_history_k_data_plus|anonymous|1|10000|{"record":[["2024-01-02","sh.600000","6.6300000000",`+
			`"6.6500000000","6.6000000000","6.6000000000","6.6200000000","22066700","146066303.7200","3","0.075200",`+
			`"1","-0.302100","5.006444","1.089827","34.269302","0.321265","0"]]}|sh.600000|`+DailyFields+
			"|2024-01-01|2024-01-02|d|3")
	exchange("95", kdata+"date,close|2024-01-02|2024-01-02|d|1", "96", // 6.60 x 1.221901
		`0|success|query_history_k_data_plus|anonymous|1|10000|{"record":[["2024-01-02","8.0645466000"]]}|sh.600000|`+
			"date,close|2024-01-02|2024-01-02|d|1")
	exchange("95", kdata+"date|2023-01-02|2023-01-02|d|3", "96", // no rows: no DATA
		"0|success|query_history_k_data_plus|anonymous|1|10000||sh.600000|date|2023-01-02|2023-01-02|d|3")
	exchange("11", kdata+"close|2024-01-02|2024-01-02|d|3", "12",
		`0|success|query_history_k_data_plus|anonymous|1|10000|{"record":[["6.6000000000"]]}|sh.600000|`+
			"close|2024-01-02|2024-01-02|d|3")
	exchange("15", "query_adjust_factor|anonymous|1|10000|sh.600000|2024-01-01|2024-01-02", "16",
		`0|success|query_adjust_factor|anonymous|1|10000|{"record":[["sh.600000","2024-01-02","1.000000","1.221901",`+
			`"1.221901"]]}|sh.600000|2024-01-01|2024-01-02|`+factorFields)
	exchange("95", "query_history_k_data_plus|anonymous|1|10000|sh.600000", "04", "10004006|请求参数个数不正确")
	exchange("57", "query_shibor_data|anonymous|1|10000|2024-01-01|2024-01-02", "04", "10004020|错误的消息类型")
	exchange("02", "logout|anonymous|20240102120000", "03", "0|success|logout|anonymous|20240102235959000")
	exchange("02", "logout|anonymous|20240102120000", "04", "10001001|用户未登录")
}

// TestRefusals: each wrong argument has its code, and the connection lives on.
func TestRefusals(t *testing.T) {
	c := login(t, serve(t, Config{Market: makeMarket(t, 1, 10)}))
	bars := func(args ...string) []string {
		return append([]string{"query_history_k_data_plus", "anonymous"}, args...)
	}
	for _, q := range []struct {
		kind, code string
		fields     []string
	}{
		{"95", "10004006", bars("0", "10000", "sh.600000", "date", "2020-01-01", "2020-01-02", "d", "3")},
		{"95", "10004006", bars("x", "10000", "sh.600000", "date", "2020-01-01", "2020-01-02", "d", "3")},
		{"95", "10004006", bars("1", "0", "sh.600000", "date", "2020-01-01", "2020-01-02", "d", "3")},
		{"95", "10004011", bars("1", "10000", "600000.sh", "date", "2020-01-01", "2020-01-02", "d", "3")},
		{"95", "10004005", bars("1", "10000", "sh.600000", "", "2020-01-01", "2020-01-02", "d", "3")},
		{"95", "10004012", bars("1", "10000", "sh.600000", "date,nope", "2020-01-01", "2020-01-02", "d", "3")},
		{"95", "10004012", bars("1", "10000", "sh.600000", "date,isST", "2020-01-01", "2020-01-02", "w", "3")},
		{"95", "10004018", bars("1", "10000", "sh.600000", "date, date", "2020-01-01", "2020-01-02", "d", "3")},
		{"95", "10004007", bars("1", "10000", "sh.600000", "date", "20200101", "2020-01-02", "d", "3")},
		{"95", "10004008", bars("1", "10000", "sh.600000", "date", "2020-01-01", "2020-02-30", "d", "3")},
		{"95", "10004009", bars("1", "10000", "sh.600000", "date", "2020-01-03", "2020-01-02", "d", "3")},
		{"95", "10004006", bars("1", "10000", "sh.600000", "date", "2020-01-01", "2020-01-02", "y", "3")},
		{"95", "10004006", bars("1", "10000", "sh.600000", "date", "2020-01-01", "2020-01-02", "d", "4")},
		{"33", "10004007", []string{"query_trade_dates", "anonymous", "1", "10000", "x", ""}},
		{"35", "10004010", []string{"query_all_stock", "anonymous", "1", "10000", "x"}},
		{"45", "10004011", []string{"query_stock_basic", "anonymous", "1", "10000", "x", ""}},
		{"13", "10004011", []string{"query_dividend_data", "anonymous", "1", "10000", "x", "2020", "report"}},
		{"13", "10004006", []string{"query_dividend_data", "anonymous", "1", "10000", "sh.600000", "2020", "x"}},
		{"15", "10004011", []string{"query_adjust_factor", "anonymous", "1", "10000", "x", "", ""}},
		{"15", "10004007", []string{"query_adjust_factor", "anonymous", "1", "10000", "sh.600000", "x", ""}},
		{"17", "10004011", []string{"query_profit_data", "anonymous", "1", "10000", "x", "2020", "1"}},
		{"17", "10004006", []string{"query_profit_data", "anonymous", "1", "10000", "sh.600000", "2020", "5"}},
		{"29", "10004011", []string{"query_performance_express_report", "anonymous", "1", "10000", "x", "", ""}},
		{"31", "10004008", []string{"query_forecast_report", "anonymous", "1", "10000", "sh.600000", "", "x"}},
		{"47", "10004007", []string{"query_deposit_rate_data", "anonymous", "1", "10000", "x", ""}},
		{"51", "10004007", []string{"query_required_reserve_ratio_data", "anonymous", "1", "10000", "x", "", "0"}},
		{"51", "10004006", []string{"query_required_reserve_ratio_data", "anonymous", "1", "10000", "", "", "2"}},
		{"53", "10004007", []string{"query_money_supply_data_month", "anonymous", "1", "10000", "2020", ""}},
		{"53", "10004008", []string{"query_money_supply_data_month", "anonymous", "1", "10000", "", "2020-13"}},
		{"55", "10004009", []string{"query_money_supply_data_year", "anonymous", "1", "10000", "2021", "2020"}},
		{"59", "10004011", []string{"query_stock_industry", "anonymous", "1", "10000", "x", ""}},
		{"59", "10004010", []string{"query_stock_industry", "anonymous", "1", "10000", "", "x"}},
		{"61", "10004010", []string{"query_hs300_stocks", "anonymous", "1", "10000", "x"}},
		{"67", "10004005", []string{"query_terminated_stocks", "anonymous", "1", "10000", ""}},
		{"67", "10004010", []string{"query_terminated_stocks", "anonymous", "1", "10000", "x"}},
		{"00", "10004006", []string{"login", "anonymous", "123456"}},
		{"00", "10001008", []string{"login", "", "123456", "0"}},
		{"00", "10001009", []string{"login", "anonymous", "", "0"}},
		{"00", "10001002", []string{"login", "anonymous", "654321", "0"}},
		{"02", "10004006", []string{"logout", "anonymous"}},
		{"98", "10004020", []string{"what"}},
	} {
		a := c.must(t, q.kind, q.fields...)
		if a.kind != "04" || len(a.body) != 2 || a.body[0] != q.code || !a.sumOK {
			t.Errorf("%s %q: got %s %q, want %s", q.kind, q.fields, a.kind, a.body, q.code)
		}
	}
	if a, err := c.raw([]byte("no frame\n")); err != nil || a.body[0] != "10004019" {
		t.Errorf("no frame: got %v, %v", a, err)
	}
	if a, err := c.raw([]byte(strings.Replace(goldenLogin, "228", "229", 1) + "\n")); err != nil || a.body[0] != "10004001" {
		t.Errorf("wrong sum: got %v, %v", a, err)
	}
	if rows := c.kdata(t, "sh.600000", "date", "2020-01-06", "2020-01-06", "d", "3"); len(rows) != 1 {
		t.Errorf("after all refusals: got %v", rows)
	}
	if a, err := c.raw(append(bytes.Repeat([]byte("x"), requestLimit+1<<17), '\n')); err == nil && a.body[0] != "10004016" {
		t.Errorf("endless request: got %v", a)
	}
}

// TestPages: a client that asks for the next page after 10,000 rows gets every row once.
func TestPages(t *testing.T) {
	for _, days := range []int{9_999, 10_000, 10_001, 23_000} {
		from := DateOf(1960, time.January, 1)
		m, err := Synthetic(1, 1, from, from+Date(days-1))
		if err != nil {
			t.Fatal(err)
		}
		c := login(t, serve(t, Config{Market: m}))
		a := c.query(t, "33", "query_trade_dates", "1950-01-01", "2050-01-01")
		if len(a.rows) != days || a.pages != days/10_000+1 {
			t.Errorf("%d days: got %d rows on %d pages", days, len(a.rows), a.pages)
		}
		for i, row := range a.rows {
			if want := (from + Date(i)).String(); row[0] != want {
				t.Fatalf("%d days: row %d is %s, want %s", days, i, row[0], want)
			}
		}
		daily := c.kdata(t, "sh.600000", "date", "1950-01-01", "2050-01-01", "d", "3")
		if want := len(m.Bars(nil, "sh.600000", from, from+Date(days))); len(daily) != want {
			t.Errorf("%d days: got %d bars, want %d", days, len(daily), want)
		}
		if weeks := c.kdata(t, "sh.600000", "date", "1950-01-01", "2050-01-01", "w", "3"); len(weeks) < days/8 {
			t.Errorf("%d days: got %d weekly bars", days, len(weeks))
		}
	}
}

// TestMinutePages: bars of five minutes fill pages in the midst of days.
func TestMinutePages(t *testing.T) {
	m := makeMarket(t, 3, 1)
	c := login(t, serve(t, Config{Market: m}))
	fields := "date,time,open,high,low,close,volume,amount"
	five := c.query(t, "95", "query_history_k_data_plus", "sh.600000", fields, "2019-01-01", "2023-12-31", "5", "3")
	days := map[string][]Bar{}
	for _, b := range m.Bars(nil, "sh.600000", m.Calendar().From(), m.Calendar().To()) {
		if b.Trading {
			days[b.Date.String()] = append(days[b.Date.String()], b)
		}
	}
	if len(five.rows) != 48*len(days) || five.pages != len(five.rows)/10_000+1 {
		t.Fatalf("got %d rows on %d pages of %d days", len(five.rows), five.pages, len(days))
	}
	for i := 0; i < len(five.rows); i += 48 {
		day := five.rows[i : i+48]
		b := days[day[0][0]][0]
		var volume, amount, high int64
		low := int64(1 << 60)
		for _, row := range day {
			volume += number(t, row[6], 0)
			amount += number(t, row[7], 4)
			high, low = max(high, number(t, row[3], 4)), min(low, number(t, row[4], 4))
		}
		got := []int64{number(t, day[0][2], 4), high, low, number(t, day[47][5], 4), volume, amount}
		if diff := cmp.Diff([]int64{b.Open, b.High, b.Low, b.Close, b.Volume, b.Amount}, got); diff != "" {
			t.Fatalf("%s: the minutes do not make the day: %s", day[0][0], diff)
		}
		stamp := strings.ReplaceAll(day[0][0], "-", "")
		if day[0][1] != stamp+"093500000" || day[23][1] != stamp+"113000000" || day[24][1] != stamp+"130500000" ||
			day[47][1] != stamp+"150000000" {
			t.Fatalf("times %s, %s, %s, %s", day[0][1], day[23][1], day[24][1], day[47][1])
		}
	}
	hours := c.kdata(t, "sh.600000", fields, "2019-01-01", "2023-12-31", "60", "3")
	if len(hours) != 4*len(days) || hours[0][2] != five.rows[0][2] || hours[0][5] != five.rows[11][5] {
		t.Errorf("%d bars of an hour: %v ... of %v", len(hours), hours[0], five.rows[11])
	}
	if got := c.kdata(t, "sh.000001", fields, "2019-01-01", "2023-12-31", "5", "3"); len(got) != 0 {
		t.Errorf("an index has %d bars of minutes", len(got))
	}
}

// number reads a decimal of the answers.
func number(t testing.TB, text string, scale int) int64 {
	t.Helper()
	n, _, err := parseFixed(text, scale)
	if err != nil {
		t.Fatalf("number %q: %v", text, err)
	}
	return n
}

// TestEveryQuery: all types of the table answer with rows as wide as their fields.
func TestEveryQuery(t *testing.T) {
	m := makeMarket(t, 1, 600)
	c := login(t, serve(t, Config{Market: m}))
	for _, q := range []struct {
		kind, method string
		width        int
		args         []string
	}{
		{"13", "query_dividend_data", 14, []string{"sh.600004", "2021", "operate"}},
		{"15", "query_adjust_factor", 5, []string{"sh.600004", "2019-01-01", "2023-12-31"}},
		{"17", "query_profit_data", 11, []string{"sh.600004", "2020", "2"}},
		{"19", "query_operation_data", 9, []string{"sh.600004", "2020", "2"}},
		{"21", "query_growth_data", 8, []string{"sh.600004", "2020", "2"}},
		{"23", "query_dupont_data", 11, []string{"sh.600004", "2020", "2"}},
		{"25", "query_balance_data", 9, []string{"sh.600004", "2020", "2"}},
		{"27", "query_cash_flow_data", 10, []string{"sh.600004", "2020", "2"}},
		{"29", "query_performance_express_report", 11, []string{"sh.600004", "2019-01-01", "2023-12-31"}},
		{"31", "query_forecast_report", 7, []string{"sh.600004", "2019-01-01", "2023-12-31"}},
		{"33", "query_trade_dates", 2, []string{"2019-01-01", "2023-12-31"}},
		{"35", "query_all_stock", 3, []string{"2022-03-01"}},
		{"45", "query_stock_basic", 6, []string{"", ""}},
		{"47", "query_deposit_rate_data", 11, []string{"2015-01-01", "2023-12-31"}},
		{"49", "query_loan_rate_data", 8, []string{"2015-01-01", "2023-12-31"}},
		{"51", "query_required_reserve_ratio_data", 6, []string{"2015-01-01", "2023-12-31", "1"}},
		{"53", "query_money_supply_data_month", 11, []string{"2020-01", "2023-12"}},
		{"55", "query_money_supply_data_year", 7, []string{"", ""}},
		{"59", "query_stock_industry", 5, []string{"", ""}},
		{"61", "query_hs300_stocks", 3, []string{"2022-03-01"}},
		{"63", "query_sz50_stocks", 3, []string{"2022-03-01"}},
		{"65", "query_zz500_stocks", 3, []string{"2022-03-01"}},
		{"67", "query_terminated_stocks", 3, []string{"2023-12-29"}},
		{"69", "query_suspended_stocks", 3, []string{"2022-03-01"}},
		{"71", "query_st_stocks", 3, []string{"2022-03-01"}},
		{"73", "query_starst_stocks", 3, []string{"2022-03-01"}},
	} {
		a := c.query(t, q.kind, q.method, q.args...)
		if len(a.rows) == 0 || !a.sumOK {
			t.Errorf("%s: %d rows, sum %t", q.method, len(a.rows), a.sumOK)
			continue
		}
		if !slices.Equal(a.body[7:7+len(q.args)], q.args) || len(a.body) != 8+len(q.args) {
			t.Errorf("%s: echo %q", q.method, a.body[7:])
		}
		for _, row := range a.rows {
			if len(row) != q.width || len(row) != len(strings.Split(a.body[len(a.body)-1], ",")) {
				t.Errorf("%s: row %q, want %d values of %s", q.method, row, q.width, a.body[len(a.body)-1])
				break
			}
		}
	}
	for _, w := range []struct {
		kind string
		rows int
	}{{"61", 300}, {"63", 50}, {"65", 500}} {
		if a := c.query(t, w.kind, "members", ""); len(a.rows) != w.rows {
			t.Errorf("type %s: got %d rows, want %d", w.kind, len(a.rows), w.rows)
		}
	}
	friday := c.query(t, "69", "query_suspended_stocks", "2022-03-04").rows
	if sunday := c.query(t, "69", "query_suspended_stocks", "2022-03-06").rows; len(friday) == 0 ||
		cmp.Diff(friday, sunday) != "" {
		t.Errorf("suspended on Friday %v, as of Sunday %v", friday, sunday)
	}
	for _, q := range [][]string{ // unknown codes and times without data are no errors
		{"13", "x", "sh.699999", "2021", "operate"},
		{"15", "x", "sh.699999", "2019-01-01", "2023-12-31"},
		{"17", "x", "sh.699999", "2020", "2"},
		{"29", "x", "sh.000001", "2019-01-01", "2023-12-31"},
		{"35", "x", "2030-01-01"},
		{"95", "x", "sh.699999", "date", "2020-01-01", "2020-02-01", "d", "3"},
	} {
		if a := c.query(t, q[0], q[1], q[2:]...); len(a.rows) != 0 || a.body[6] != "" {
			t.Errorf("%q: got %q", q, a.body[6])
		}
	}
}

// TestDividendsAndFactors: the two lists tell of the same days, the cash explains the ex price.
func TestDividendsAndFactors(t *testing.T) {
	m := makeMarket(t, 1, 30)
	c := login(t, serve(t, Config{Market: m}))
	seen := 0
	for _, s := range m.Securities() {
		factors := map[string]bool{}
		for _, row := range c.query(t, "15", "f", s.Code, "2019-01-01", "2023-12-31").rows {
			factors[row[1]] = true
		}
		for year := 2019; year <= 2023; year++ {
			operate := c.query(t, "13", "d", s.Code, strconv.Itoa(year), "operate").rows
			if !s.shows(m.Calendar().To()) {
				continue
			}
			report := c.query(t, "13", "d", s.Code, strconv.Itoa(year-1), "report").rows
			if diff := cmp.Diff(operate, report); diff != "" {
				t.Errorf("%s %d: the plan of a year is paid in the next: %s", s.Code, year, diff)
			}
			for _, row := range operate {
				if !factors[row[6]] {
					t.Errorf("%s: no factor on %s", s.Code, row[6])
				}
				seen++
				delete(factors, row[6])
			}
		}
		if len(factors) != 0 {
			t.Errorf("%s: factors without a dividend: %v", s.Code, factors)
		}
	}
	if seen < 20 {
		t.Errorf("only %d dividends", seen)
	}
}

// TestNow: nothing after the virtual now is shown, and the bars of today only after the publication.
func TestNow(t *testing.T) {
	m := makeMarket(t, 1, 60)
	noon := time.Date(2021, 6, 16, 12, 0, 0, 0, time.UTC)
	s := serve(t, Config{Market: m, Now: noon})
	c := login(t, s)
	last := func(code string) string {
		rows := c.kdata(t, code, "date", "2021-06-01", "2023-12-31", "d", "3")
		return rows[len(rows)-1][0]
	}
	if got := last("sh.600000"); got != "2021-06-15" {
		t.Errorf("at noon the last bar is of %s, want 2021-06-15", got)
	}
	if a := c.query(t, "35", "query_all_stock", "2021-06-16"); len(a.rows) != 0 {
		t.Errorf("at noon the list of the day has %d rows", len(a.rows))
	}
	early := c.query(t, "45", "query_stock_basic", "", "")
	s.SetNow(noon.Add(6 * time.Hour))
	if got := last("sh.600000"); got != "2021-06-16" {
		t.Errorf("at 18:00 the last bar is of %s, want 2021-06-16", got)
	}
	if a := c.query(t, "35", "query_all_stock", "2021-06-16"); len(a.rows) == 0 {
		t.Error("at 18:00 the list of the day is empty")
	}
	for _, row := range early.rows {
		if row[2] > "2021-06-16" || row[3] != "" && row[3] > "2021-06-16" || row[5] != map[bool]string{true: "1", false: "0"}[row[3] == ""] {
			t.Errorf("in June 2021 the listing has %q", row)
		}
	}
	s.SetNow(time.Date(2023, 12, 31, 20, 0, 0, 0, time.UTC))
	late := c.query(t, "45", "query_stock_basic", "", "")
	if len(late.rows) <= len(early.rows) {
		t.Errorf("%d listed in 2021, %d in 2023", len(early.rows), len(late.rows))
	}
	weeks := c.kdata(t, "sh.600000", "date", "2023-12-01", "2023-12-31", "w", "3")
	s.SetNow(time.Date(2023, 12, 28, 20, 0, 0, 0, time.UTC)) // a Thursday
	if got := c.kdata(t, "sh.600000", "date", "2023-12-01", "2023-12-31", "w", "3"); len(got) != len(weeks)-1 {
		t.Errorf("on Thursday %d weekly bars, after Friday %d", len(got), len(weeks))
	}
	if got := c.kdata(t, "sh.600000", "date", "2023-12-01", "2023-12-31", "m", "3"); len(got) != 0 {
		t.Errorf("before the month ends: %v", got)
	}
}

// TestDeterminism: the same market, settings and requests give the same bytes.
func TestDeterminism(t *testing.T) {
	talk := func(seed uint64) []byte {
		s := serve(t, Config{Market: makeMarket(t, seed, 40), Seed: seed})
		c := dial(t, s)
		var all bytes.Buffer
		for _, q := range [][]string{
			{"00", "login", "anonymous", "123456", "0"},
			{"45", "b", "anonymous", "1", "10000", "", ""},
			{"35", "a", "anonymous", "1", "10000", "2022-03-01"},
			{"95", "k", "anonymous", "1", "10000", "sz.000002", DailyFields, "2019-01-01", "2023-12-31", "d", "2"},
			{"61", "m", "anonymous", "1", "10000", ""},
			{"17", "p", "anonymous", "1", "10000", "sz.000002", "2020", "1"},
			{"53", "m", "anonymous", "1", "10000", "", ""},
		} {
			a := c.must(t, q[0], q[1:]...)
			fmt.Fprintf(&all, "%s %q %x\n", a.kind, a.body, a.stream)
		}
		return all.Bytes()
	}
	first := talk(7)
	if !bytes.Equal(first, talk(7)) {
		t.Error("the same seed gave other bytes")
	}
	if bytes.Equal(first, talk(8)) {
		t.Error("another seed gave the same bytes")
	}
}

// TestPython holds the server to a client in another language.
func TestPython(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		testenv.Skip(t, "no python3 for the independent client")
	}
	from := DateOf(1960, time.January, 1)
	m, err := Synthetic(5, 3, from, from+22_999)
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, Config{Market: m})
	requests := [][]string{
		{"00", "login", "anonymous", "123456", "0"},
		{"33", "query_trade_dates", "1960-01-01", "2050-01-01"},
		{"45", "query_stock_basic", "", ""},
		{"45", "query_stock_basic", "", "指数"},
		{"95", "query_history_k_data_plus", "sh.600000", DailyFields, "1960-01-01", "2022-12-31", "d", "2"},
		{"95", "query_history_k_data_plus", "sh.600000"},
		{"53", "query_money_supply_data_month", "2020-01", "2020-12"},
		{"02", "logout"},
	}
	var input bytes.Buffer
	for _, r := range requests {
		if err := json.NewEncoder(&input).Encode(r); err != nil {
			t.Fatal(err)
		}
	}
	command := exec.CommandContext(t.Context(), python, filepath.Join("testdata", "client.py"), s.Address())
	var problems bytes.Buffer
	command.Stdin, command.Stderr = &input, &problems
	output, err := command.Output()
	if err != nil {
		t.Fatalf("client: %v\n%s", err, problems.String())
	}
	c := login(t, s)
	for i, line := range bytes.Split(bytes.TrimSpace(output), []byte("\n")) {
		var got struct {
			Type, Code string
			Rows       [][]string
			Pages      int
		}
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatal(err)
		}
		r := requests[i]
		if r[0] == "00" || r[0] == "02" {
			if got.Code != "0" {
				t.Errorf("%q: got %s", r, line)
			}
			continue
		}
		want, err := c.tryQuery(r[0], r[1], r[2:]...)
		if errors.Is(err, errRefused) {
			if got.Type != "04" || got.Code != want.body[0] {
				t.Errorf("%q: got %s, want %q", r, line, want.body)
			}
			continue
		}
		if got.Type != want.kind || got.Pages != want.pages || len(want.rows) == 0 {
			t.Errorf("%q: type %s on %d pages, want %s on %d", r, got.Type, got.Pages, want.kind, want.pages)
		}
		sameRows(t, r[1], got.Rows, want.rows)
	}
}
