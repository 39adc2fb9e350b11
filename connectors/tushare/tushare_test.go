package tushare

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/connector/conntest"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/provider"
)

// service answers every question as it is told: the body of an answer, by question.
type service struct {
	*httptest.Server

	answer func(q question) string

	mu    sync.Mutex
	asked []question
}

func serve(t testing.TB, answer func(q question) string) (*service, provider.Settings) {
	t.Helper()
	s := &service{answer: answer}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q question
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			t.Errorf("question: %v", err)
		}
		s.mu.Lock()
		s.asked = append(s.asked, q)
		s.mu.Unlock()
		_, _ = io.WriteString(w, s.answer(q))
	}))
	t.Cleanup(s.Close)
	settings := Vendor().Defaults()
	settings.Endpoint, settings.Token, settings.RequestsPerSecond, settings.Backoff = s.URL, "a-token", 0, time.Millisecond
	return s, settings
}

func (s *service) count(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, q := range s.asked {
		if q.Name == name {
			n++
		}
	}
	return n
}

func rows(fields string, items ...string) string {
	return fmt.Sprintf(`{"request_id":"x","code":0,"msg":"","data":{"fields":["%s"],"items":[%s],"has_more":false,"count":-1}}`,
		strings.ReplaceAll(fields, ",", `","`), strings.Join(items, ","))
}

func failure(code int, text string) string {
	return fmt.Sprintf(`{"request_id":"x","code":%d,"msg":%q,"data":null}`, code, text)
}

func unit(dataset, symbol, from, to string) market.Unit {
	date := func(text string) market.Date {
		d, err := market.ParseDate(text)
		if err != nil {
			panic(err.Error())
		}
		return d
	}
	u := market.Unit{Dataset: dataset, Symbol: symbol, Source: Name, From: date(from), To: date(to)}
	if dataset == market.Bar1D {
		u.Freq = "1d"
	}
	return u
}

// told reads units to their end: each row as a line, shortened where it says what ended.
func told(t testing.TB, settings provider.Settings, units ...market.Unit) ([]string, error) {
	t.Helper()
	settings.Units = units
	env := connector.Env{Log: slog.New(slog.DiscardHandler), Budget: connector.NewBudget(connector.Limits{Rows: 1000, Bytes: 1 << 20})}
	s, err := Vendor().Source(env, settings)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Open(t.Context(), connector.Partition{}, nil); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for {
		chunk, err := s.Read(t.Context())
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return lines, err
		}
		for i := range chunk.Batch.Len() {
			var line string
			switch chunk.Table {
			case market.UnitTable:
				u, err := market.UnitAt(chunk.Batch, i)
				if err != nil {
					t.Fatal(err)
				}
				line = fmt.Sprintf("%s %d %s", u, u.Rows, u.State)
			case market.QuarantineTable:
				q, err := market.QuarantineAt(chunk.Batch, i)
				if err != nil {
					t.Fatal(err)
				}
				line = fmt.Sprintf("%s %s %s", q.Rule, q.Symbol, q.Place)
			default:
				line = string(batch.AppendRow(nil, chunk.Batch, chunk.Batch.Row(i)))
			}
			lines = append(lines, line)
		}
	}
}

// TestUnitsAndFields: volume comes in lots, amount in thousands, and fields in whatever order; numbers
// keep all their digits.
func TestUnitsAndFields(t *testing.T) {
	t.Parallel()
	const want = `{"symbol":"600000.XSHG","date":"2024-01-02","open":6.6300,"high":6.6900,"low":6.5900,"close":6.6100,"preclose":6.6200,` +
		`"volume":22066712,"amount":146066303.7200,"turn":null,"trade_status":true,"is_st":null,"final":true}`
	for name, c := range map[string]struct{ fields, item, want string }{
		"as documented": {
			"ts_code,trade_date,open,high,low,close,pre_close,change,pct_chg,vol,amount",
			`["600000.SH","20240102",6.63,6.69,6.59,6.61,6.62,-0.01,-0.1511,220667.12,146066.30372]`, want,
		},
		"another order": {
			"amount,vol,low,high,close,open,pre_close,trade_date,ts_code",
			`[146066.30372,220667.12,6.59,6.69,6.61,6.63,6.62,"20240102","600000.SH"]`, want,
		},
		"texts and exponents": {
			"ts_code,trade_date,open,high,low,close,pre_close,vol,amount",
			`["600000.SH","20240102","6.63",6.690,6.5900,661e-2,6.62,2.2066712e5,"146066.303720000"]`, want,
		},
		"part of a share": {
			"ts_code,trade_date,open,high,low,close,pre_close,vol,amount",
			`["600000.SH","20240102",6.63,6.69,6.59,6.61,6.62,220667.123,146066.30372]`, provider.RuleInexact,
		},
		"another stock": {
			"ts_code,trade_date,open,high,low,close,pre_close,vol,amount",
			`["600001.SH","20240102",6.63,6.69,6.59,6.61,6.62,1,1]`, provider.RuleCode,
		},
		"short": {"ts_code,trade_date,open,high,low,close,pre_close,vol,amount", `["600000.SH"]`, provider.RuleLength},
		"null":  {"ts_code,trade_date,open,high,low,close,pre_close,vol,amount", `["600000.SH","20240102",null,1,1,1,1,1,1]`, provider.RuleMissing},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, settings := serve(t, func(q question) string {
				if q.Name == "daily" {
					return rows(c.fields, c.item)
				}
				return rows(suspendFields)
			})
			got, err := told(t, settings, unit(market.Bar1D, "600000.XSHG", "2024-01-02", "2024-01-02"))
			if err != nil || len(got) != 2 || !strings.HasPrefix(got[0], c.want) || !strings.HasSuffix(got[1], " 1 ok") {
				t.Errorf("%v\n%s\nwant %s", err, strings.Join(got, "\n"), c.want)
			}
		})
	}
	_, settings := serve(t, func(question) string { return rows("ts_code,trade_date") })
	if _, err := told(t, settings, unit(market.Bar1D, "600000.XSHG", "2024-01-02", "2024-01-02")); err == nil || !strings.Contains(err.Error(), "daily has no field open") {
		t.Errorf("without fields: %v", err)
	}
}

const barItem = `["%s","%s",2,2,2,2,2,1,1]`

// TestSuspended: what suspend_d says was suspended for the whole day has no bar, and needs none.
func TestSuspended(t *testing.T) {
	t.Parallel()
	s, settings := serve(t, func(q question) string {
		if q.Name == "daily" {
			return rows(barFields, fmt.Sprintf(barItem, "600000.SH", "20240102"))
		}
		if q.Params["offset"] != 0.0 {
			return rows(suspendFields)
		}
		return rows(suspendFields, `["600001.SH","20240102",null,"S"]`, `["600002.SH","20240102","09:30-10:00","S"]`,
			`["600003.SH","20240102",null,"R"]`, `["600000.SH","20240102",null,"S"]`)
	})
	got, err := told(t, settings, unit(market.Bar1D, "", "2024-01-02", "2024-01-02"))
	want := []string{
		got[0], "bar_1d universe 2024-01-02 of tushare 1 ok", "bar_1d 600001.XSHG 2024-01-02 of tushare 0 empty_confirmed",
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	// A stock that has a bar of each session was not suspended: nobody asks.
	before := s.count("suspend_d")
	if _, err := told(t, settings, unit(market.Bar1D, "600000.XSHG", "2024-01-01", "2024-01-02")); err != nil || s.count("suspend_d") != before {
		t.Errorf("%v, and %d questions for suspensions", err, s.count("suspend_d")-before)
	}
}

// TestFactors makes events of daily factors, by stock and by day.
func TestFactors(t *testing.T) {
	t.Parallel()
	daily := map[string]string{
		"600000.SH 20240102": "10.5", "600000.SH 20240103": "10.50", "600000.SH 20240104": "10.612345", "600000.SH 20240105": "10.612345",
		"600001.SH 20240103": "1.0", "600001.SH 20240104": "1.0", // listed on the 3rd
		"600002.SH 20240104": "3.5", // nobody knows what it was before
	}
	_, settings := serve(t, func(q question) string {
		var items []string
		for key, factor := range daily {
			code, day, _ := strings.Cut(key, " ")
			switch {
			case q.Params["trade_date"] == day, q.Params["ts_code"] == code && day >= q.Params["start_date"].(string) && day <= q.Params["end_date"].(string):
				items = append(items, fmt.Sprintf(`["%s","%s",%s]`, code, day, factor))
			}
		}
		slices.Sort(items)
		slices.Reverse(items) // newest first
		return rows(factorFields, items[min(int(q.Params["offset"].(float64)), len(items)):]...)
	})
	const event = `{"symbol":"600000.XSHG","ex_date":"2024-01-04","fore_factor":null,"back_factor":10.612345,"adjust_factor":null}`
	for _, c := range []struct {
		unit market.Unit
		want []string
	}{
		{unit(market.AdjFactor, "600000.XSHG", "2024-01-03", "2024-01-05"), []string{event, "adj_factor 600000.XSHG 2024-01-03..2024-01-05 of tushare 1 ok"}},
		{unit(market.AdjFactor, "600000.XSHG", "2024-01-05", "2024-01-05"), []string{"adj_factor 600000.XSHG 2024-01-05 of tushare 0 empty_confirmed"}},
		{unit(market.AdjFactor, "600001.XSHG", "2024-01-03", "2024-01-04"), []string{"adj_factor 600001.XSHG 2024-01-03..2024-01-04 of tushare 0 empty_confirmed"}},
		{unit(market.AdjFactor, "600009.XSHG", "2024-01-03", "2024-01-04"), []string{"adj_factor 600009.XSHG 2024-01-03..2024-01-04 of tushare 0 partial"}},
		{unit(market.AdjFactor, "", "2024-01-04", "2024-01-04"), []string{
			event, "no_factor_before  adj_factor trade_date=20240104 record 2", "adj_factor universe 2024-01-04 of tushare 2 ok",
		}},
	} {
		got, err := told(t, settings, c.unit)
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", c.unit, err, diff)
		}
	}
}

// TestIgnoredOffset: a service that gives the first page for ever is not asked for ever.
func TestIgnoredOffset(t *testing.T) {
	t.Parallel()
	s, settings := serve(t, func(question) string {
		return rows(listingFields, `["600000.SH","a","L","19991110",null]`)
	})
	_, err := told(t, settings, unit(market.Listing, "", "2024-01-02", "2024-01-02"))
	if err == nil || !strings.Contains(err.Error(), "does not heed offset") || s.count("stock_basic") != 2 {
		t.Errorf("after %d questions: %v", s.count("stock_basic"), err)
	}
}

// TestReference reads the calendar and the list of stocks; the list does not end with a short page.
func TestReference(t *testing.T) {
	t.Parallel()
	stocks := map[string][]string{
		"L": {
			`["600000.SH","浦发银行","L","19991110",null]`, `["000001.SZ","平安银行","L","19910403",null]`, `["430047.BJ","诺思兰德","L","20201124",null]`,
		},
		"D": {`["600001.SH","邯郸钢铁","D","19980122","20091229"]`},
		"P": {},
	}
	_, settings := serve(t, func(q question) string {
		if q.Name == "trade_cal" {
			if q.Params["offset"] != 0.0 {
				return rows("exchange,cal_date,is_open")
			}
			return rows("exchange,cal_date,is_open", `["SSE","20240102",1]`, `["SSE","20240101",0]`)
		}
		list := stocks[q.Params["list_status"].(string)]
		at := min(int(q.Params["offset"].(float64)), len(list))
		return rows(listingFields, list[at:min(len(list), at+2)]...) // a silent cap of two
	})
	got, err := told(t, settings, unit(market.CalendarDay, "", "2024-01-01", "2024-01-02"), unit(market.Listing, "", "2024-01-02", "2024-01-02"))
	want := []string{
		`{"mic":"XSHG","date":"2024-01-02","is_open":true}`, `{"mic":"XSHE","date":"2024-01-02","is_open":true}`, `{"mic":"BJSE","date":"2024-01-02","is_open":true}`,
		`{"mic":"XSHG","date":"2024-01-01","is_open":false}`, `{"mic":"XSHE","date":"2024-01-01","is_open":false}`, `{"mic":"BJSE","date":"2024-01-01","is_open":false}`,
		"calendar universe 2024-01-01..2024-01-02 of tushare 6 ok",
		`{"symbol":"600000.XSHG","name":"浦发银行","class":"stock","ipo_date":"1999-11-10","out_date":null,"status":"listed"}`,
		`{"symbol":"000001.XSHE","name":"平安银行","class":"stock","ipo_date":"1991-04-03","out_date":null,"status":"listed"}`,
		`{"symbol":"430047.BJSE","name":"诺思兰德","class":"stock","ipo_date":"2020-11-24","out_date":null,"status":"listed"}`,
		`{"symbol":"600001.XSHG","name":"邯郸钢铁","class":"stock","ipo_date":"1998-01-22","out_date":"2009-12-29","status":"delisted"}`,
		"instrument universe 2024-01-02 of tushare 4 ok",
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

// TestErrors: the service's texts, all with status 200, become what can be done about them; the token is
// in none.
func TestErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer string
		code   string
		class  connector.Class
	}{
		"minute":  {failure(40203, "抱歉，您每分钟最多访问该接口200次"), "tushare_limit", connector.Throttled},
		"hour":    {failure(40203, "抱歉，您每小时最多访问该接口1次"), "tushare_banned", connector.Permanent},
		"day":     {failure(40203, "抱歉，您每天最多访问该接口5次"), "tushare_banned", connector.Permanent},
		"token":   {failure(40101, "您的token不对，请确认。a-token"), "tushare_token", connector.Auth},
		"right":   {failure(40203, "抱歉，您没有接口访问权限"), "tushare_no_permission", connector.Auth},
		"2002":    {failure(2002, "x"), "tushare_no_permission", connector.Auth},
		"system":  {failure(50101, "系统内部错误"), "tushare_failed", connector.Transient},
		"page":    {"<html>", "provider_malformed", connector.Transient},
		"no code": {`{"a":1}`, "tushare_malformed", connector.Transient},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, settings := serve(t, func(question) string { return c.answer })
			settings.Attempts = 2
			if c.class == connector.Throttled {
				settings.Attempts = 1 // the minute is waited out in place
			}
			_, err := told(t, settings, unit(market.Bar1D, "600000.XSHG", "2024-01-02", "2024-01-02"))
			e, ok := errors.AsType[*connector.Error](err)
			if !ok || e.Code != c.code || e.Class != c.class || strings.Contains(err.Error(), "a-token") {
				t.Errorf("%v, want code %s, class %s", err, c.code, c.class)
			}
			want := 1
			if c.class == connector.Transient {
				want = 2
			}
			if n := s.count("daily"); n != want {
				t.Errorf("%d questions, want %d", n, want)
			}
			if c.class == connector.Throttled && e.After != minuteWait {
				t.Errorf("it asks to wait %s", e.After)
			}
		})
	}
	_, settings := serve(t, func(q question) string {
		if q.Params["ts_code"] == "600001.SH" {
			return failure(-2001, "参数校验失败")
		}
		return rows(barFields, fmt.Sprintf(barItem, "600000.SH", "20240102"))
	})
	got, err := told(t, settings, unit(market.Bar1D, "600001.XSHG", "2024-01-02", "2024-01-02"), unit(market.Bar1D, "600000.XSHG", "2024-01-02", "2024-01-02"))
	if err != nil || len(got) != 4 || !strings.HasPrefix(got[0], "tushare_refused 600001.XSHG") || !strings.HasSuffix(got[1], " 1 failed") || !strings.HasSuffix(got[3], " 1 ok") {
		t.Errorf("%v\n%s", err, strings.Join(got, "\n"))
	}
	settings.Token = ""
	if _, err := Vendor().NewClient(settings, nil); err == nil || !strings.Contains(err.Error(), "token: tushare needs one") {
		t.Error(err)
	}
}

func TestContract(t *testing.T) {
	_, settings := serve(t, func(q question) string {
		if q.Name != "daily" {
			return rows(suspendFields)
		}
		var items []string
		for day := 2; day < 20; day++ {
			items = append(items, fmt.Sprintf(barItem, "600000.SH", fmt.Sprintf("202401%02d", day)))
		}
		return rows(barFields, items...)
	})
	settings.Symbols, settings.From, settings.To = []string{"600000.SH"}, "2024-01-02", "2024-01-31"
	conntest.Source(t, conntest.SourceCase{
		Connector: Vendor().Connector(),
		Config:    func(testing.TB) any { return &settings },
	})
}
