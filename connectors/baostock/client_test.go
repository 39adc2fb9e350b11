package baostock

import (
	"errors"
	"strconv"
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
