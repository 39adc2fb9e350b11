package provider

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/connector/conntest"
	"github.com/tapeline/tapeline/internal/market"
)

// bars is the layout of the fake provider: field order, units and check columns as real ones have them.
var bars = Layout{
	Dataset: market.Bar1D,
	Fields: []Field{
		{Name: "code", Column: "symbol", Form: Name},
		{Name: "day", Column: "date", Form: DateForm},
		{Name: "open", Column: "open", Form: Decimal},
		{Name: "close", Column: "close", Form: Decimal},
		{Name: "high", Column: "high", Form: Decimal},
		{Name: "low", Column: "low", Form: Decimal},
		{Name: "lots", Column: "volume", Form: Count, Times: 100},
		{Name: "thousands", Column: "amount", Form: Decimal, Times: 1000},
		{Name: "noise", Column: "turn", Form: Decimal, Round: true},
	},
	Constants: []Constant{{Column: "trade_status", Text: "true"}},
}

// fake is a vendor whose answers are pages of records, each of the unit's symbol, as JSON.
func fake(pages func(u market.Unit) []string) Vendor {
	return Vendor{
		Provider: market.Provider{
			Name: "fake", Scheme: market.Tushare,
			Offers: []market.Offer{
				{
					Dataset: market.Bar1D, Markets: []market.MIC{market.XSHG}, Shapes: market.BySymbol | market.ByDate,
					PublishAt: 17 * time.Hour,
				},
				{Dataset: market.Listing, Markets: []market.MIC{market.XSHG}, Shapes: market.Whole},
			},
		},
		Version: "1.0.0", Summary: "A fake.", Endpoint: "http://127.0.0.1:1",
		Begin: func(c *Client, units []market.Unit) (int, Inquiry, error) {
			return 1, &fakeInquiry{pages: pages(units[0])}, nil
		},
	}
}

type fakeInquiry struct {
	pages []string
	at    int
}

func (f *fakeInquiry) Next(_ context.Context, rows []*Rows) error {
	if f.at == len(f.pages) {
		return io.EOF
	}
	page := f.pages[f.at]
	f.at++
	if page == "refuse" {
		return &RefusalError{"fake_refused", errors.New("unknown symbol")}
	}
	document, err := Document([]byte(page))
	if err != nil {
		return err
	}
	rows[0].At(fmt.Sprintf("page %d", f.at))
	for record := range document.Elements() {
		if err := rows[0].Add(&bars, record.Cells(nil), record); err != nil {
			return err
		}
	}
	return nil
}

func at(text string) market.Date {
	d, err := market.ParseDate(text)
	if err != nil {
		panic(err.Error())
	}
	return d
}

func unit(symbol, from, to string) market.Unit {
	return market.Unit{Dataset: market.Bar1D, Symbol: symbol, Freq: "1d", From: at(from), To: at(to)}
}

// told reads a source to its end: each row as a line.
func told(t *testing.T, v Vendor, settings Settings, from connector.Position, size int) (lines []string, positions []connector.Position) {
	t.Helper()
	env := connector.Env{Log: slog.New(slog.DiscardHandler), Budget: connector.NewBudget(connector.Limits{Rows: size, Bytes: 1 << 20})}
	s, err := v.Source(env, settings)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Open(t.Context(), connector.Partition{}, from); err != nil {
		t.Fatal(err)
	}
	for {
		chunk, err := s.Read(t.Context())
		if errors.Is(err, io.EOF) {
			return lines, positions
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range chunk.Batch.Len() {
			lines = append(lines, strings.TrimSpace(chunk.Table+" "+string(batch.AppendRow(nil, chunk.Batch, chunk.Batch.Row(i)))))
		}
		for _, r := range chunk.Rejected {
			lines = append(lines, fmt.Sprintf("rejected %s %s", r.Place, r.Reason))
		}
		positions = append(positions, chunk.Position)
	}
}

func record(code, day, open, lots, thousands, noise string) string {
	return fmt.Sprintf(`["%s","%s",%s,1.5,2,1,%s,%s,%s]`, code, day, open, lots, thousands, noise)
}

// TestRows: units and forms, exactly; what is no row is a bad record with its rule.
// invariant: a record becomes a row or a quarantined record
func TestRows(t *testing.T) {
	t.Parallel()
	const row = `bar_1d {"symbol":"600000.XSHG","date":"2024-01-02","open":%s,"high":2.0000,"low":1.0000,"close":1.5000,` +
		`"preclose":null,"volume":%s,"amount":%s,"turn":%s,"trade_status":true,"is_st":null,"final":true}`
	for name, c := range map[string]struct{ record, want string }{
		"lots and thousands": {record("600000.SH", "20240102", "1.25", "123.45", "98765.4321", "null"), fmt.Sprintf(row, "1.2500", "12345", "98765432.1000", "null")},
		"exponent":           {record("600000.SH", "20240102", "1.25", "1.2e3", "1e2", "null"), fmt.Sprintf(row, "1.2500", "120000", "100000.0000", "null")},
		"beyond doubles":     {record("600000.SH", "2024-01-02", "1.25", "1", "90071992547.4099325", "null"), fmt.Sprintf(row, "1.2500", "100", "90071992547409.9325", "null")},
		"noise is rounded":   {record("600000.SH", "20240102", "1.25", "1", "1", "187.14999389648438"), fmt.Sprintf(row, "1.2500", "100", "1000.0000", "187.149994")},
		"noise with e":       {record("600000.SH", "20240102", "1.25", "1", "1", "1.5e-06"), fmt.Sprintf(row, "1.2500", "100", "1000.0000", "0.000002")},
		"half a share":       {record("600000.SH", "20240102", "1.25", "1.005", "1", "null"), RuleInexact},
		"five decimals":      {record("600000.SH", "20240102", "1.25001", "1", "1", "null"), RuleInexact},
		"no number":          {record("600000.SH", "20240102", `"abc"`, "1", "1", "null"), RuleNumber},
		"too large":          {record("600000.SH", "20240102", "1e300", "1", "1", "null"), RuleNumber},
		"missing price":      {record("600000.SH", "20240102", "null", "1", "1", "null"), RuleMissing},
		"other code":         {record("600001.SH", "20240102", "1", "1", "1", "null"), RuleCode},
		"no symbol":          {record("abc", "20240102", "1", "1", "1", "null"), RuleSymbol},
		"no date":            {record("600000.SH", "20241340", "1", "1", "1", "null"), RuleDate},
		"other date":         {record("600000.SH", "20250102", "1", "1", "1", "null"), RuleRange},
		"short":              {`["600000.SH"]`, RuleLength},
	} {
		v := fake(func(market.Unit) []string { return []string{"[" + c.record + "]"} })
		got, _ := told(t, v, Settings{Units: []market.Unit{unit("600000.XSHG", "2024-01-01", "2024-01-31")}}, nil, 10)
		if c.want[0] != 'b' || !strings.HasPrefix(c.want, "bar_1d ") {
			c.want = `"rule":"` + c.want + `"`
		}
		if len(got) != 2 || !strings.Contains(got[0], c.want) || !strings.Contains(got[1], `"rows":1,"state":"ok"`) {
			t.Errorf("%s:\n%s\nwant %s", name, strings.Join(got, "\n"), c.want)
		}
	}
}

// TestStream holds the stream of three units from each of its positions against the stream from the start.
func TestStream(t *testing.T) {
	t.Parallel()
	v := fake(func(u market.Unit) []string {
		if u.Symbol == "600001.XSHG" {
			return []string{"refuse"}
		}
		day := strings.ReplaceAll(u.From.String(), "-", "")
		one := func(code, open string) string { return record(code, day, open, "1", "1", "null") }
		return []string{
			"[" + one("600000.SH", "1") + "," + one("600002.SH", "bad"[:0]+`"x"`) + "]",
			"[" + one("600003.SH", "1") + "," + one("600004.SH", "1") + "," + one("600005.SH", "2") + "]",
		}
	})
	settings := Settings{Units: []market.Unit{
		unit("", "2024-01-02", "2024-01-02"), unit("600001.XSHG", "2024-01-02", "2024-01-02"), unit("", "2024-01-03", "2024-01-03"),
	}}
	for _, size := range []int{1, 2, 100} {
		all, positions := told(t, v, settings, nil, size)
		if len(all) != 14 {
			t.Fatalf("%d rows, want 4 rows, a bad one and the end, twice, and a bad one and the end:\n%s", len(all), strings.Join(all, "\n"))
		}
		for i, part := range map[int]string{4: RuleNumber, 5: `"rows":5,"state":"ok"`, 6: "fake_refused", 7: `"rows":1,"state":"failed"`} {
			if !strings.Contains(all[i], part) {
				t.Errorf("row %d is %s, want %s", i, all[i], part)
			}
		}
		for i, p := range positions {
			rest, _ := told(t, v, settings, p, 3)
			if diff := cmp.Diff(strings.Join(all[len(all)-len(rest):], "\n"), strings.Join(rest, "\n")); diff != "" || i < len(positions)-1 && len(rest) == 0 {
				t.Errorf("batches of %d, from position %d: %s", size, i, diff)
			}
		}
	}
	plain := Settings{Symbols: []string{"600000.SH"}, From: "2024-01-02", To: "2024-01-02"}
	got, _ := told(t, v, plain, nil, 100)
	if want := "rejected page 2 record 2 wrong_code: code: \"600002.SH\", though 600000.XSHG was asked for"; len(got) != 5 {
		t.Errorf("without coverage %d, want one row and four rejected such as %s:\n%s", len(got), want, strings.Join(got, "\n"))
	}
}

// TestDisorder: the same record twice counts once, and of two for one row none does: the unit is not whole.
func TestDisorder(t *testing.T) {
	t.Parallel()
	one := record("600000.SH", "20240102", "1", "1", "1", "null")
	other := record("600000.SH", "20240102", "2", "1", "1", "null")
	next := record("600000.SH", "20240103", "2", "1", "1", "null")
	for name, c := range map[string]struct {
		pages  []string
		rows   int
		states string
	}{
		"twice":           {[]string{"[" + one + "," + one + "]"}, 1, `"rows":2,"state":"ok"`},
		"twice, paged":    {[]string{"[" + one + "]", "[" + one + "," + next + "]"}, 2, `"rows":3,"state":"ok"`},
		"conflict":        {[]string{"[" + one + "," + other + "," + next + "]"}, 1, `"rows":3,"state":"partial"`},
		"conflict, paged": {[]string{"[" + one + "," + next + "]", "[" + other + "]"}, 2, `"rows":3,"state":"partial"`},
	} {
		v := fake(func(market.Unit) []string { return c.pages })
		got, _ := told(t, v, Settings{Units: []market.Unit{unit("600000.XSHG", "2024-01-01", "2024-01-31")}}, nil, 10)
		rows := 0
		for _, line := range got {
			if strings.HasPrefix(line, "bar_1d") {
				rows++
			}
		}
		if rows != c.rows || !strings.Contains(got[len(got)-1], c.states) {
			t.Errorf("%s: %d rows, want %d, then %s:\n%s", name, rows, c.rows, c.states, strings.Join(got, "\n"))
		}
	}
}

// TestNotFinal: rows of a day that is not published are marked, and not covered.
func TestNotFinal(t *testing.T) {
	t.Parallel()
	for hour, want := range map[int]string{16: "false", 17: "true"} {
		v := fake(func(market.Unit) []string {
			return []string{"[" + record("600000.SH", "20240102", "1", "1", "1", "null") + "]"}
		})
		got, _ := told(t, v, Settings{
			Units: []market.Unit{unit("", "2024-01-02", "2024-01-02")},
			Now:   func() time.Time { return time.Date(2024, 1, 2, hour-8, 0, 0, 0, time.UTC) },
		}, nil, 10)
		state := map[string]string{"false": "partial", "true": "ok"}[want]
		if !strings.Contains(got[0], `"final":`+want) || !strings.Contains(got[1], state) {
			t.Errorf("at %d:\n%s", hour, strings.Join(got, "\n"))
		}
	}
}

// TestDocument: values keep their text, whatever surrounds them.
func TestDocument(t *testing.T) {
	t.Parallel()
	text := ` {"a\"b" : [ 1.10 , "x\u00e9\"" , null,true, {"c":[]},-1e5 ] , "d":{"e" :"f"},"g":0.1234567890123456789}` + "\n"
	v, err := Document([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, cell := range v.Member(`a"b`).Cells(nil) {
		got = append(got, string(cell))
	}
	got = append(got, string(v.Member("d").Member("e").Text()), string(v.Member("g").Text()), fmt.Sprint(v.Member("h").Null(), v.Member("g").Member("x") == nil))
	if diff := cmp.Diff([]string{"1.10", `xé"`, "", "true", "", "-1e5", "f", "0.1234567890123456789", "true true"}, got); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{"", "<html>", `{"a":1`, "{}}"} {
		if _, err := Document([]byte(bad)); err == nil || !connectorTransient(err) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if text, err := Text([]byte("\xc6\xd6\xb7\xa2~1")); err != nil || string(text) != "浦发~1" {
		t.Errorf("%q, %v", text, err)
	}
}

func connectorTransient(err error) bool {
	e, ok := errors.AsType[*connector.Error](err)
	return ok && e.Class == connector.Transient
}

// service answers each request with the next of the answers.
func service(t *testing.T, answers ...func(w http.ResponseWriter)) (url string, asked *atomic.Int64) {
	asked = &atomic.Int64{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := int(asked.Add(1))
		answers[min(n, len(answers))-1](w)
	}))
	t.Cleanup(server.Close)
	return server.URL, asked
}

func says(status int, text string, header ...string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}
}

func cut(w http.ResponseWriter) {
	w.Header().Set("Content-Length", "100")
	_, _ = io.WriteString(w, `{"a":`)
}

// TestAsksAgain: what may pass is asked again, and what may not is not.
func TestAsksAgain(t *testing.T) {
	t.Parallel()
	good := says(200, `{"a":1}`)
	for name, c := range map[string]struct {
		first func(http.ResponseWriter)
		asked int64
		want  string // of the error
	}{
		"sound":       {good, 1, ""},
		"cut":         {cut, 2, ""},
		"page":        {says(200, "<html>"), 2, ""},
		"500":         {says(500, "x"), 2, ""},
		"429":         {says(429, "x", "Retry-After", "0"), 2, ""},
		"text of 200": {says(200, `{"msg":"slower"}`), 2, ""},
		"403":         {says(403, "key secret-token"), 1, `403 Forbidden: "key ***"`},
		"404":         {says(404, "x"), 1, "404 Not Found"},
		"long":        {says(200, strings.Repeat("x", 2000)), 1, "longer than 1000 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, asked := service(t, c.first, good)
			v := fake(nil)
			v.Classify = func(a *Answer) error {
				if strings.Contains(string(a.Body), "slower") {
					return &connector.Error{Op: "ask", Class: connector.Throttled, Err: errors.New("slower")}
				}
				return nil
			}
			client, err := v.NewClient(Settings{Endpoint: url, Token: "secret-token", Backoff: time.Millisecond, MaxBodyBytes: 1000}, nil)
			if err != nil {
				t.Fatal(err)
			}
			document, err := client.JSON(t.Context(), Request{Place: "x", Path: "/y"})
			switch {
			case c.want == "" && (err != nil || string(document.Member("a").Text()) != "1"):
				t.Errorf("%s, %v", document, err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("error %v, want %s", err, c.want)
			}
			if got := asked.Load(); got != c.asked {
				t.Errorf("%d requests, want %d", got, c.asked)
			}
			if s := client.Statistics(); s.Requests != c.asked || s.Repeats != c.asked-1 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// TestBan: after a ban nothing is asked, also by the next client on the same store.
// invariant: no request is sent before the budget has it
func TestBan(t *testing.T) {
	t.Parallel()
	budgets := NewMemoryBudget()
	now := time.Date(2024, 1, 2, 3, 0, 0, 0, time.UTC)
	url, asked := service(t, says(418, "", "Retry-After", "600"))
	for range 2 {
		client, err := fake(nil).NewClient(Settings{Endpoint: url, Budgets: budgets, Now: func() time.Time { return now }}, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.Do(t.Context(), Request{Place: "x"})
		if e, ok := errors.AsType[*connector.Error](err); !ok || e.Code != "fake_banned" || e.Class.Retryable() {
			t.Errorf("error %v", err)
		}
	}
	until, _ := budgets.Banned(t.Context(), "fake")
	if asked.Load() != 1 || !until.Equal(now.Add(10*time.Minute)) {
		t.Errorf("%d requests, banned until %s", asked.Load(), until)
	}
}

// roundTrip answers without a network, so that synctest's clock applies.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestPace: requests keep their distance, and wait as long as the service asks.
// invariant: no request is sent before the budget has it
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var arrivals []time.Time
		transport := roundTrip(func(r *http.Request) (*http.Response, error) {
			arrivals = append(arrivals, time.Now())
			response := &http.Response{StatusCode: 200, Status: "200 OK", Header: http.Header{}, Body: io.NopCloser(strings.NewReader("{}")), Request: r}
			if len(arrivals) == 5 {
				response.StatusCode, response.Status = 429, "429 Too Many Requests"
				response.Header.Set("Retry-After", "60")
			}
			return response, nil
		})
		budgets := NewMemoryBudget()
		client, err := fake(nil).NewClient(Settings{Transport: transport, RequestsPerSecond: 2, RequestsPerDay: 100, Budgets: budgets}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 6 {
			if _, err := client.Do(t.Context(), Request{Place: "x"}); err != nil {
				t.Fatal(err)
			}
		}
		for i := 2; i < len(arrivals); i++ {
			if d := arrivals[i].Sub(arrivals[i-2]); d < time.Second {
				t.Errorf("requests %d to %d within %s", i-1, i+1, d)
			}
		}
		if d := arrivals[5].Sub(arrivals[4]); d < time.Minute {
			t.Errorf("asked again after %s, want a minute", d)
		}
		if err := client.Close(); err != nil {
			t.Fatal(err)
		}
		if used, _, _ := budgets.Take(t.Context(), "fake", market.From(time.Now().In(client.vendor.zone())), 0, 0); used != int64(len(arrivals)) {
			t.Errorf("%d requests are noted, %d were sent", used, len(arrivals))
		}
	})
}

// TestUtilisation: what the budget makes a client wait counts for nothing, before the first request neither,
// and what comes after the last answer is no time of the client.
func TestUtilisation(t *testing.T) {
	for asks, want := range map[int]float64{0: 0, 1: 1, 5: 1} {
		synctest.Test(t, func(t *testing.T) {
			transport := roundTrip(func(r *http.Request) (*http.Response, error) {
				<-time.After(100 * time.Millisecond)
				body := io.NopCloser(strings.NewReader("{}"))
				return &http.Response{StatusCode: 200, Status: "200 OK", Header: http.Header{}, Body: body, Request: r}, nil
			})
			settings := Settings{Transport: transport, RequestsPerSecond: 2, Budgets: NewMemoryBudget()}
			client, err := fake(nil).NewClient(settings, nil)
			if err != nil {
				t.Fatal(err)
			}
			for range asks {
				if _, err := client.Do(t.Context(), Request{Place: "x"}); err != nil {
					t.Fatal(err)
				}
			}
			<-time.After(time.Hour)
			if s := client.Statistics(); s.Utilisation() != want {
				t.Errorf("%d requests: utilisation %g of %+v, want %g", asks, s.Utilisation(), s, want)
			}
		})
	}
}

// TestSettings: all problems are named at once.
func TestSettings(t *testing.T) {
	t.Parallel()
	v := fake(nil)
	v.NeedsToken = true
	_, err := v.NewClient(Settings{Endpoint: "ftp://x", Timeout: -1, RequestsPerDay: -1}, nil)
	for _, want := range []string{"endpoint: want a URL", "token: fake needs one", "timeout", "requests_per_day"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	for want, w := range map[string]Work{
		"dataset \"bars\" is not served": {Dataset: "bars"},
		"from: ":                         {Dataset: market.Bar1D, From: "x"},
		"is after to":                    {Dataset: market.Bar1D, From: "2024-01-02", To: "2024-01-01"},
		"symbols: instrument has none":   {Dataset: market.Listing, From: "2024-01-02", To: "2024-01-02", Symbols: []string{"600000.SH"}},
		"six digits":                     {Dataset: market.Bar1D, From: "2024-01-02", To: "2024-01-02", Symbols: []string{"600000"}},
	} {
		if _, err := w.Units(v.Provider); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	days, err := Work{Dataset: market.Bar1D, From: "2024-01-02", To: "2024-01-04"}.Units(v.Provider)
	if err != nil || len(days) != 3 || days[2].From != days[2].To {
		t.Errorf("%v, %v", days, err)
	}
}

// TestLayouts: a layout that does not fit its dataset is told.
func TestLayouts(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*Layout){
		"is not known":              func(l *Layout) { l.Dataset = "x" },
		"column \"x\" is not there": func(l *Layout) { l.Fields[0].Column = "x" },
		"written twice":             func(l *Layout) { l.Fields[0].Column = "open" },
		"120 is no power of ten":    func(l *Layout) { l.Fields[6].Times = 120 },
		"nothing writes column low": func(l *Layout) { l.Fields[5].Column = "" },
		"constant trade_status":     func(l *Layout) { l.Constants[0].Text = "x" },
	} {
		l := bars
		l.Fields, l.Constants = append([]Field(nil), bars.Fields...), append([]Constant(nil), bars.Constants...)
		change(&l)
		if _, err := planFor(&l); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestContract(t *testing.T) {
	v := fake(func(u market.Unit) []string {
		var list []string
		for i := range 20 {
			list = append(list, record("600000.SH", (u.From+market.Date(i)).String(), "1", "1", "1", "null"))
		}
		return []string{"[" + strings.Join(list[:7], ",") + "]", "[" + strings.Join(list[7:], ",") + "]"}
	})
	v.Check = func(context.Context, *Client) error { return nil }
	conntest.Source(t, conntest.SourceCase{
		Connector: v.Connector(),
		Config: func(testing.TB) any {
			s := v.Defaults()
			s.Symbols, s.From, s.To = []string{"600000.SH"}, "2024-01-02", "2024-01-31"
			return &s
		},
	})
}
