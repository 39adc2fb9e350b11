package baostock

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/market"
)

var pufa = market.Symbol{Code: "600000", MIC: market.XSHG}

// TestLoginRequest holds the request against bytes of the service's own client.
func TestLoginRequest(t *testing.T) {
	got := string(appendRequest(nil, "00.9.10", 0, "login\x01anonymous\x01123456\x010"))
	want := "00.9.10\x0100\x010000000024login\x01anonymous\x01123456\x010\x01359766228\n"
	// The length is that of the body in characters.
	if got != want {
		t.Errorf("request\n%q, want\n%q", got, want)
	}
}

// TestSmallListPages reads lists in pages smaller than asked for, one of them cut: only an empty page is
// the end.
func TestSmallListPages(t *testing.T) {
	for _, q := range []Query{StockBasic, AllStock} {
		const size, cut = "4", "2"
		f := &fake{t: t}
		f.rows = func(r fakeRequest) ([]string, [][]string) {
			list := make([][]string, 9)
			for i := range list {
				list[i] = []string{"sh.60000" + strconv.Itoa(i)}
			}
			if r.parts[3] = size; r.parts[2] == cut {
				list = list[:7]
			}
			return []string{"code"}, list
		}
		args := make([]string, len(kinds[q].args))
		table, err := f.client().Query(t.Context(), q, args...)
		if err != nil || len(table.Rows) != 8 || f.count(q.String()) != 4 {
			t.Errorf("%s: %v, %+v in %d requests; want 4, 3 and 1 rows and none", q, err, table, f.count(q.String()))
		}
	}
}

// TestPages reads results around the size of a page: one of exactly a page needs an empty second one.
func TestPages(t *testing.T) {
	for _, c := range []struct{ rows, requests int }{
		{0, 1}, {1, 1}, {9_999, 1}, {10_000, 2}, {10_001, 2}, {23_000, 3},
	} {
		f := &fake{t: t, rows: bars(c.rows)}
		client := f.client()
		table, err := client.KData(t.Context(), KDataRequest{
			Symbol: pufa, From: market.DateOf(1990, 1, 1), To: market.DateOf(2090, 1, 1),
		})
		if err != nil {
			t.Fatalf("%d rows: %v", c.rows, err)
		}
		if got := len(table.Rows); got != c.rows {
			t.Errorf("%d rows, want %d", got, c.rows)
		}
		if got := f.count("query_history_k_data_plus"); got != c.requests {
			t.Errorf("%d rows: %d requests, want %d", c.rows, got, c.requests)
		}
		if c.rows > 0 {
			last := bar(table.Fields, "sh.600000", time.Date(2000, 1, c.rows, 0, 0, 0, 0, time.UTC), c.rows-1)
			if diff := cmp.Diff(last, table.Rows[c.rows-1]); diff != "" {
				t.Errorf("last of %d rows: %s", c.rows, diff)
			}
		}
	}
}

// TestEveryQuery asks each query and holds type, method and number of arguments against the frame.
func TestEveryQuery(t *testing.T) {
	f := &fake{t: t, rows: func(r fakeRequest) ([]string, [][]string) {
		return []string{"code", " code_name\t"}, [][]string{{"sh.600000", "浦发 银行"}}
	}}
	client := f.client()
	for _, q := range Queries() {
		args := make([]string, len(q.Arguments()))
		for i := range args {
			args[i] = "x"
		}
		table, err := client.Query(t.Context(), q, args...)
		if err != nil {
			t.Errorf("%s: %v", q, err)
			continue
		}
		want := &Table{[]string{"code", "code_name"}, [][]string{{"sh.600000", "浦发 银行"}}}
		if diff := cmp.Diff(want, table); diff != "" {
			t.Errorf("%s: %s", q, diff)
		}
	}
	if got, want := len(f.asked()), int(queries)+1; got != want {
		t.Errorf("%d requests, want %d", got, want)
	}
}

// TestRefusedMessage is an answer of type 04: the connection stays, and the error says what to do.
func TestRefusedMessage(t *testing.T) {
	f := &fake{t: t, answer: func(_ int, r fakeRequest) []byte {
		if r.method() == "login" || r.method() == "logout" {
			return nil
		}
		return plainFrame(4, join("10004020", "错误的消息类型"))
	}}
	client := f.client()
	for range 2 {
		_, err := client.TradeDates(t.Context(), 1, 2)
		e, ok := errors.AsType[*connector.Error](err)
		if !ok || e.Code != "baostock_10004020" || e.Class != connector.Permanent || e.Hint == "" {
			t.Errorf("error %v", err)
		}
	}
	if f.count("login") != 1 {
		t.Error("an error answer cost the connection")
	}
}

// TestValuesThatAreNone: a list of which one value cannot be, or a column is missing, is no list with a gap:
// the row is named.
func TestValuesThatAreNone(t *testing.T) {
	basic := map[string]string{
		"code": "sh.600000", "code_name": "浦发银行", "ipoDate": "1999-11-10", "outDate": "", "type": "1", "status": "1",
	}
	days := map[string]string{"calendar_date": "2024-06-24", "is_trading_day": "1"}
	listed := map[string]string{"code": "sh.600000", "tradeStatus": "1", "code_name": "浦发银行"}
	for _, c := range []struct {
		ask   func(ctx context.Context, c *Client) (int, error)
		row   map[string]string
		wrong map[string]string // value by field; "-": there is no such column
	}{
		{func(ctx context.Context, c *Client) (int, error) {
			list, err := c.StockBasic(ctx, "", "")
			return len(list), err
		}, basic, map[string]string{
			"code": "600000", "ipoDate": "1999-13-10", "outDate": "soon", "type": "6", "status": "2", "code_name": "-",
		}},
		{func(ctx context.Context, c *Client) (int, error) {
			list, err := c.TradeDates(ctx, 19000, 20000)
			return len(list), err
		}, days, map[string]string{"calendar_date": "24.6.", "is_trading_day": ""}},
		{func(ctx context.Context, c *Client) (int, error) {
			list, err := c.AllStock(ctx, 19000)
			return len(list), err
		}, listed, map[string]string{"code": "x", "tradeStatus": "-"}},
	} {
		altered := map[string]string{"": ""}
		maps.Copy(altered, c.wrong)
		for field, value := range altered {
			f := &fake{t: t, rows: func(r fakeRequest) ([]string, [][]string) {
				var fields []string
				var good, bad []string
				for _, name := range slices.Sorted(maps.Keys(c.row)) {
					if name == field && value == "-" {
						continue
					}
					fields, good, bad = append(fields, name), append(good, c.row[name]), append(bad, c.row[name])
					if name == field {
						bad[len(bad)-1] = value
					}
				}
				if r.parts[2] != "1" {
					return fields, nil
				}
				return fields, [][]string{good, bad}
			}}
			n, err := c.ask(t.Context(), f.client())
			switch {
			case field == "" && (err != nil || n != 2):
				t.Errorf("%d rows, %v", n, err)
			case field != "" && value == "-" && (err == nil || !strings.Contains(err.Error(), "no column "+field)):
				t.Errorf("without column %s: %v", field, err)
			case field != "" && value != "-" && (err == nil || !strings.Contains(err.Error(), "row 2")):
				t.Errorf("%s %q: %v", field, value, err)
			}
		}
	}
}

// TestTextsThatAreNone: records that are no lists of texts of the columns, and columns that change from one
// page to the next, are refused by their place.
func TestTextsThatAreNone(t *testing.T) {
	for record, want := range map[string]string{
		`["a"]`:         "1 values for 2 columns",
		`["a","b"`:      "malformed",
		`["a",["b"]]`:   "a value is no text",
		`{"a":1}`:       "it is no list",
		`["a","b"]`:     "",
		`["a","b","c"]`: "3 values for 2 columns",
	} {
		f := &fake{t: t}
		f.answer = func(_ int, r fakeRequest) []byte {
			if r.typ < 10 {
				return nil
			}
			return answerFrame(r, []string{"code", "name"}, `{"record":[["x","y"],`+record+`]}`)
		}
		_, err := f.client().Query(t.Context(), HS300Stocks, "2024-06-24")
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", record, err, want)
		}
	}
	f := &fake{t: t}
	f.rows = func(r fakeRequest) ([]string, [][]string) {
		page := r.parts[2]
		r.parts[3] = "1"
		return []string{"code", "name" + page}, [][]string{{"x", page}}
	}
	if _, err := f.client().Query(t.Context(), HS300Stocks, "2024-06-24"); err == nil ||
		!strings.Contains(err.Error(), "columns of page 2 are not those of page 1") {
		t.Errorf("columns that change: %v", err)
	}
}

// TestSharedSession: a client and two sources of one process ask over one connection, and what they report
// adds up to what the service saw.
func TestSharedSession(t *testing.T) {
	f := &fake{t: t, rows: bars(1)}
	described, clients := ConnectorAndClients()
	var reports []Statistics
	cfg := f.config()
	cfg.Report = func(s Statistics) { reports = append(reports, s) }
	cfg.Units = []market.Unit{unit("bar_1d", "600000.XSHG", "2000-01-01", "2000-01-01")}
	if _, err := clients(Config{RequestsPerSecond: -1}, nil); err == nil {
		t.Error("a wrong configuration made a client")
	}
	client, err := clients(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s, err := described.Source.New(environment(), &cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Open(t.Context(), connector.Partition{}, nil); err != nil {
			t.Fatal(err)
		}
		read(t, s)
		if _, err := client.KData(t.Context(), KDataRequest{Symbol: market.Symbol{Code: "600000", MIC: market.XSHG}, From: 10957, To: 10957}); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := client.Close(); err != nil {
		t.Error(err)
	}
	f.wait.Wait()
	var sum Statistics
	for _, s := range reports {
		sum.Requests, sum.Rows, sum.Logins = sum.Requests+s.Requests, sum.Rows+s.Rows, sum.Logins+s.Logins
		sum.BytesReceived, sum.InFlight, sum.Open = sum.BytesReceived+s.BytesReceived, sum.InFlight+s.InFlight, sum.Open+s.Open
	}
	if len(reports) != 3 || sum.Requests != int64(len(f.requests)) || sum.Rows != 4 || sum.Logins != 1 || f.conns != 1 {
		t.Errorf("%d reports of %+v; the service saw %d requests over %d connections, 4 rows",
			len(reports), sum, len(f.requests), f.conns)
	}
	if u := sum.Utilisation(); u <= 0 || u > 1 || sum.MeanRequest() != sum.InFlight/6 || sum.BytesReceived == 0 {
		t.Errorf("utilisation %g, %s a request of %+v", u, sum.MeanRequest(), sum)
	}
	if none := (Statistics{}); none.Utilisation() != 0 || none.MeanRequest() != 0 {
		t.Error("nothing was asked, and it took time")
	}
}
