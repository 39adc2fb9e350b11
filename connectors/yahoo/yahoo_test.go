package yahoo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/provider"
	"github.com/tapeline/tapeline/internal/provider/providertest"
	"github.com/tapeline/tapeline/internal/sim"
)

// answer is a chart as the service sends it. Its columns come in an order of its own.
type answer struct {
	meta                             string // instead of what is usual
	stamps                           string
	open, high, low, closing, volume string
	events                           string
}

const usual = `"currency":"USD","symbol":"AAPL","exchangeName":"NMS","instrumentType":"EQUITY","firstTradeDate":345479400,` +
	`"regularMarketTime":1704229201,"gmtoffset":-14400,"timezone":"EDT","exchangeTimezoneName":"America/New_York",` +
	`"longName":"Apple Inc.","shortName":"Apple","priceHint":2,"dataGranularity":"1d","range":""`

func (a answer) String() string {
	if a.meta == "" {
		a.meta = usual
	}
	if a.events != "" {
		a.events = `,"events":{` + a.events + `}`
	}
	return fmt.Sprintf(`{"chart":{"result":[{"meta":{%s},"timestamp":[%s]%s,"indicators":{"quote":[{"volume":[%s],`+
		`"open":[%s],"low":[%s],"close":[%s],"high":[%s]}],"adjclose":[{"adjclose":[1,2]}]}}],"error":null}}`,
		a.meta, a.stamps, a.events, a.volume, a.open, a.low, a.closing, a.high)
}

// The openings of 2024-01-02 and 03 in New York.
const second, third = "1704205800", "1704292200"

// day is a chart of one day.
func day(stamp, values string) answer {
	v := strings.Split(values, " ")
	return answer{stamps: stamp, open: v[0], high: v[1], low: v[2], closing: v[3], volume: v[4]}
}

func serve(t testing.TB, text string) provider.Settings {
	t.Helper()
	settings := providertest.Serve(t, Vendor(), func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) })
	settings.Now = func() time.Time { return time.Date(2024, 1, 6, 12, 0, 0, 0, time.UTC) }
	return settings
}

// split4 is a split of four new shares for one, two days behind the bars.
const split4 = `"splits":{"1704465000":{"date":1704465000,"numerator":4.0,"denominator":1.0,"splitRatio":"4:1"}}`

// TestFinalByExchange: a bar is final at 20:00 of its day by the clock of its own exchange.
func TestFinalByExchange(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ symbol, date, opens, final, meta string }{
		{"AAPL.USA", "2024-12-03", "2024-12-03T14:30:00Z", "2024-12-04T01:00:00Z", usual},
		{"AAPL.USA", "2024-07-02", "2024-07-02T13:30:00Z", "2024-07-03T00:00:00Z", usual}, // summer
		{
			"600000.XSHG", "2024-12-03", "2024-12-03T01:30:00Z", "2024-12-03T12:00:00Z",
			strings.NewReplacer("AAPL", "600000.SS", "USD", "CNY", "America/New_York", "Asia/Shanghai").Replace(usual),
		},
		{
			"00700.XHKG", "2024-12-03", "2024-12-03T01:30:00Z", "2024-12-03T12:00:00Z",
			strings.NewReplacer("AAPL", "0700.HK", "USD", "HKD", "America/New_York", "Asia/Hong_Kong").Replace(usual),
		},
	} {
		at := func(text string) time.Time {
			out, err := time.Parse(time.RFC3339, text)
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		stamp := strconv.FormatInt(at(c.opens).Unix(), 10)
		chart := day(stamp, "10 10 10 10 100")
		chart.meta = strings.Replace(c.meta, "1704229201", stamp, 1)
		for _, early := range []time.Duration{time.Second, 0} {
			settings := serve(t, chart.String())
			settings.Now = func() time.Time { return at(c.final).Add(-early) }
			got, err := providertest.Read(t, Vendor(), settings, providertest.Unit(t, market.Bar1D, c.symbol, c.date, c.date))
			want := fmt.Sprintf(`"final":%t}`, early == 0)
			if err != nil || len(got) == 0 || !strings.HasSuffix(got[0], want) {
				t.Errorf("%s %s before %s: %v %q, want %s", c.symbol, early, c.final, err, got, want)
			}
		}
	}
}

// TestToday: without a last day, each symbol is read up to its own exchange's: noon in Shanghai is the evening
// before in New York.
func TestToday(t *testing.T) {
	t.Parallel()
	chart := day("1733275800", "10 10 10 10 100") // 09:30 in Shanghai on 2024-12-04
	chart.meta = strings.NewReplacer("AAPL", "600000.SS", "USD", "CNY", "America/New_York", "Asia/Shanghai",
		"1704229201", "1733275800").Replace(usual)
	settings := serve(t, chart.String())
	settings.Now = func() time.Time { return time.Date(2024, 12, 4, 4, 0, 0, 0, time.UTC) }
	settings.Symbols, settings.From = []string{"600000.SS"}, "2024-12-02"
	got, err := providertest.Read(t, Vendor(), settings)
	if err != nil || len(got) != 1 || !strings.Contains(got[0], `"date":"2024-12-04"`) || !strings.HasSuffix(got[0], `"final":false}`) {
		t.Errorf("%v %q, want the bar of the morning", err, got)
	}
}

// TestBars: the order of columns, single precision, splits behind a bar, nulls, days of other clocks.
// invariant: a chart that does not reach the last trade is never taken for whole
func TestBars(t *testing.T) {
	t.Parallel()
	const sound = "187.14999389648438 188.44000244140625 183.88499450683594 185.63999938964844 82488700"
	row := func(symbol, date, values string) string {
		return fmt.Sprintf(`{"symbol":"%s","date":"%s",%s,"amount":null,"turn":null,"trade_status":true,"is_st":null,"final":true}`, symbol, date, values)
	}
	const prices = `"open":187.1500,"high":188.4400,"low":183.8850,"close":185.6400,"preclose":null,"volume":82488700`
	want := row("AAPL.USA", "2024-01-02", prices)
	const name = "bar_1d AAPL.USA 2024-01-02..2024-01-04 of yahoo, "
	two := day(second, sound)
	two.stamps += "," + third
	null := two
	for _, column := range []*string{&two.open, &two.high, &two.low, &two.closing, &two.volume} {
		*column += ",100"
	}
	for _, column := range []*string{&null.open, &null.high, &null.low, &null.closing, &null.volume} {
		*column += ",null"
	}
	other, short := day("1704810600", sound), day(second, sound)
	other.meta, short.meta = strings.Replace(usual, "1704229201", "1704834001", 1), strings.Replace(usual, "1704229201", "1704315601", 1)
	twice, behind, live := two, two, two
	twice.stamps, behind.stamps = second+","+second, third+","+second
	live.stamps = second + ",1704229201"
	part, split, reverse, shanghai := null, day(second, sound), day(second, sound), day("1704159000", "6.619999885559082 6.650000095367432 6.579999923706055 6.590000152587891 0")
	part.open = strings.Replace(part.open, "null", "1", 1)
	split.events = split4
	reverse.events = strings.Replace(strings.Replace(split4, "4.0", "1.0", 1), "1.0,\"splitRatio", "10.0,\"splitRatio", 1)
	shanghai.meta = strings.NewReplacer("AAPL", "600000.SS", "USD", "CNY", "America/New_York", "Asia/Shanghai", "1704229201", "1704178801").Replace(usual)
	flat := shanghai
	flat.open, flat.high, flat.low, flat.closing = "6.5", "6.5", "6.5", "6.5"
	index := flat
	index.meta = strings.Replace(flat.meta, "EQUITY", "INDEX", 1)
	const second100 = `"open":100.0000,"high":100.0000,"low":100.0000,"close":100.0000,"preclose":null,"volume":100`
	const flatRow = `"open":6.5000,"high":6.5000,"low":6.5000,"close":6.5000,"preclose":null,"volume":0`
	const ssName = "bar_1d 600000.XSHG 2024-01-02..2024-01-04 of yahoo, "
	for _, c := range []struct {
		name   string
		answer answer
		symbol string
		want   []string
	}{
		{"a day", day(second, sound), "", []string{want, name + "1, ok"}},
		{"two days, the later first", behind, "", []string{
			row("AAPL.USA", "2024-01-02", second100), row("AAPL.USA", "2024-01-03", prices), name + "2, ok",
		}},
		{"a null row", null, "", []string{want, name + "1, ok"}},
		{"a row null in part", part, "", []string{
			want, "missing_value AAPL.USA 2024-01-03 high is empty", name + "2, ok",
		}},
		{"no volume", day(second, strings.Replace(sound, "82488700", "null", 1)), "", []string{
			strings.Replace(want, "82488700", "null", 1), name + "1, ok",
		}},
		{"split behind it", split, "", []string{
			row("AAPL.USA", "2024-01-02", `"open":748.6000,"high":753.7600,"low":735.5400,"close":742.5600,"preclose":null,"volume":20622175`), name + "1, ok",
		}},
		{"reverse split behind it", reverse, "", []string{
			row("AAPL.USA", "2024-01-02", `"open":18.7150,"high":18.8440,"low":18.3885,"close":18.5640,"preclose":null,"volume":824887000`), name + "1, ok",
		}},
		{"two of a day", twice, "", []string{
			"conflicting_row AAPL.USA 2024-01-02 another record says something else of the same row",
			"conflicting_row AAPL.USA - another record says something else of the same row", name + "2, partial",
		}},
		{"two of a day, the later of the last trade", live, "", []string{row("AAPL.USA", "2024-01-02", second100), name + "1, ok"}},
		{"morning in Shanghai", shanghai, "600000.XSHG", []string{
			row("600000.XSHG", "2024-01-02", `"open":6.6200,"high":6.6500,"low":6.5800,"close":6.5900,"preclose":null,"volume":0`), ssName + "1, ok",
		}},
		{"suspended", flat, "600000.XSHG", []string{
			strings.Replace(row("600000.XSHG", "2024-01-02", flatRow), `"trade_status":true`, `"trade_status":false`, 1), ssName + "1, ok",
		}},
		{"an index without volume", index, "600000.XSHG", []string{row("600000.XSHG", "2024-01-02", flatRow), ssName + "1, ok"}},
		{"another day", other, "", []string{name + "0, empty_confirmed"}},
		{"an end before the last trade", short, "", []string{want, name + "1, partial"}},
		{"no number", day(second, `"x" 1 1 1 1`), "", []string{
			`bad_number AAPL.USA 2024-01-02 open: "x" times 1 is no number that the column holds, with 4 decimals`, name + "1, ok",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			symbol := "AAPL.USA"
			if c.symbol != "" {
				symbol = c.symbol
			}
			got, err := providertest.Read(t, Vendor(), serve(t, c.answer.String()), providertest.Unit(t, market.Bar1D, symbol, "2024-01-02", "2024-01-04"))
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%v\n%s\nwant\n%s", err, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

// TestRefused: what the service refuses, and answers about something else.
func TestRefused(t *testing.T) {
	t.Parallel()
	const name = "bar_1d AAPL.USA 2024-01-02..2024-01-04 of yahoo, "
	failure := func(code, text string) string {
		return fmt.Sprintf(`{"chart":{"result":null,"error":{"code":"%s","description":"%s"}}}`, code, text)
	}
	sound := day(second, "1 1 1 1 1")
	with := func(old, text string) string {
		a := sound
		a.meta = strings.Replace(usual, old, text, 1)
		return a.String()
	}
	broken := sound
	broken.events = `"splits":{"1":{"date":1704465000,"numerator":0,"denominator":1}}`
	uneven := sound
	uneven.volume = "1,2"
	unit := providertest.Unit(t, market.Bar1D, "AAPL.USA", "2024-01-02", "2024-01-04")
	for _, c := range []struct {
		answer string
		status int
		want   string // of the record, or the code of an error that may pass
	}{
		{failure("Not Found", "No data found, symbol may be delisted"), 404, "unknown_symbol AAPL.USA - "},
		{failure("Unprocessable Entity", "Invalid input"), 422, "refused AAPL.USA - "},
		{with("USD", "GBp"), 200, "other_currency AAPL.USA - "},
		{with("America/New_York", "Europe/London"), 200, "other_clock AAPL.USA - "},
		{broken.String(), 200, "bad_split AAPL.USA - "},
		{with(`"symbol":"AAPL"`, `"symbol":"AAP"`), 200, "yahoo_wrong_chart"},
		{with(`"1d"`, `"1wk"`), 200, "yahoo_wrong_chart"},
		{uneven.String(), 200, "yahoo_uneven"},
		{"<html>", 200, "provider_malformed"},
		{sound.String()[:200], 200, "provider_malformed"},
		{"<html>", 404, "http_404"},
		{failure("Unauthorized", "Invalid Cookie"), 401, "http_401"},
	} {
		settings := providertest.Serve(t, Vendor(), func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.answer)
		})
		settings.Attempts = 2
		got, err := providertest.Read(t, Vendor(), settings, unit)
		coded, isCode := errors.AsType[*connector.Error](err)
		switch {
		case err == nil && (len(got) != 2 || !strings.HasPrefix(got[0], c.want) || got[1] != name+"1, failed"):
			t.Errorf("%s: %s, want %s", c.answer, got, c.want)
		case err != nil && (!isCode || coded.Code != c.want):
			t.Errorf("%s: %v, want %s", c.answer, err, c.want)
		}
	}
	settings := serve(t, failure("Bad Request", "Data doesn't exist for startDate = 1, endDate = 2"))
	if got, err := providertest.Read(t, Vendor(), settings, unit); err != nil || !slices.Equal(got, []string{name + "0, empty_confirmed"}) {
		t.Errorf("no data: %v %v", got, err)
	}
	for header, want := range map[string]time.Duration{"": limitWait, "7": 7 * time.Second} {
		limited := classify(&provider.Answer{Status: 429, Header: http.Header{"Retry-After": {header}}, Body: []byte("Too Many Requests\r\n")})
		if coded, ok := errors.AsType[*connector.Error](limited); !ok || coded.Class != connector.Throttled || coded.After != want {
			t.Errorf("429, Retry-After %q: %v", header, limited)
		}
	}
	for _, u := range []market.Unit{
		{Dataset: market.Bar1D},
		{Dataset: market.Bar1D, Symbol: "BTCUSDT.BINANCE"},
		{Dataset: market.BarMin, Symbol: "AAPL.USA"},
		{Dataset: market.Bar1D, Symbol: "005930.XKRX"}, // has no calendar
	} {
		if _, _, err := begin(nil, []market.Unit{u}); err == nil {
			t.Errorf("%s is begun", u)
		}
	}
}

// TestEvents: dividends per share of their day, splits, and factors from the first day on.
// invariant: a factor counts from the first day of the history, whatever dates are asked for
func TestEvents(t *testing.T) {
	t.Parallel()
	// Closes as traded: 100 on 2 January, 102 on 3 January; 0.50 is paid on the 3rd, 4:1 on the 5th.
	a := answer{
		stamps: "1704119400," + second + "," + third, open: "25,25,25.5", high: "25,25,25.5", low: "25,25,25.5", closing: "25,25,25.5", volume: "400,400,400",
		events: `"dividends":{"` + third + `":{"amount":0.125,"date":` + third + `},"1":{"amount":9,"date":1}},` + split4,
	}
	unit := func(dataset, from, to string) market.Unit { return providertest.Unit(t, dataset, "AAPL.USA", from, to) }
	asked := 0
	settings := providertest.Serve(t, Vendor(), func(w http.ResponseWriter, r *http.Request) {
		asked++
		if whole := r.URL.Query().Get("period1") == strconv.Itoa(wholeHistory); whole != (asked == 2) {
			t.Errorf("question %d: %s", asked, r.URL)
		}
		_, _ = io.WriteString(w, a.String())
	})
	settings.Now = func() time.Time { return time.Date(2024, 1, 6, 12, 0, 0, 0, time.UTC) }
	got, err := providertest.Read(t, Vendor(), settings, unit(market.AdjFactor, "2024-01-04", "2024-01-05"),
		unit(market.CorpAction, "2024-01-03", "2024-01-05"), unit(market.Bar1D, "2024-01-03", "2024-01-05"))
	want := []string{
		// 100 / 99.5 times 4
		`{"symbol":"AAPL.USA","ex_date":"2024-01-05","fore_factor":null,"back_factor":4.020100,"adjust_factor":null}`,
		"adj_factor AAPL.USA 2024-01-04..2024-01-05 of yahoo, 1, ok",
		`{"symbol":"AAPL.USA","ex_date":"2024-01-03","kind":"dividend","cash":0.500000,"stock_dividend":null,"transfer":null,` +
			`"rights_ratio":null,"rights_price":null,"split_ratio":null,"record_date":null,"pay_date":null,"raw":"{\"amount\":0.125,\"date\":` + third + `}"}`,
		`{"symbol":"AAPL.USA","ex_date":"2024-01-05","kind":"split","cash":null,"stock_dividend":null,"transfer":null,` +
			`"rights_ratio":null,"rights_price":null,"split_ratio":4.000000,"record_date":null,"pay_date":null,` +
			`"raw":"{\"date\":1704465000,\"numerator\":4.0,\"denominator\":1.0,\"splitRatio\":\"4:1\"}"}`,
		"corp_action AAPL.USA 2024-01-03..2024-01-05 of yahoo, 2, ok",
		`{"symbol":"AAPL.USA","date":"2024-01-03","open":102.0000,"high":102.0000,"low":102.0000,"close":102.0000,"preclose":null,` +
			`"volume":100,"amount":null,"turn":null,"trade_status":true,"is_st":null,"final":true}`,
		"bar_1d AAPL.USA 2024-01-03..2024-01-05 of yahoo, 1, ok",
	}
	if err != nil || !slices.Equal(got, want) || asked != 2 {
		t.Errorf("%v, asked %d times\n%s\nwant\n%s", err, asked, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	large, missing, null := a, a, a
	large.events = strings.Replace(a.events, `"amount":0.125`, `"amount":25`, 1)
	missing.stamps = "1703860200,1703860201," + third
	null.closing, null.open, null.high, null.low, null.volume = "25,null,25.5", "25,null,25.5", "25,null,25.5", "25,null,25.5", "4,null,4"
	for _, c := range []struct {
		name   string
		answer answer
		want   string
	}{
		{"more than the price", large, `bad_number AAPL.USA - a dividend of "25" behind a close of "25" makes no factor`},
		{"no row of the day before", missing, "bad_number AAPL.USA - a dividend behind 2024-01-02, of which the chart has no row"},
		{"a day before that is null", null, `{"symbol":"AAPL.USA","ex_date":"2024-01-05","fore_factor":null,"back_factor":4.020100,"adjust_factor":null}`},
	} {
		got, err := providertest.Read(t, Vendor(), serve(t, c.answer.String()), unit(market.AdjFactor, "2024-01-04", "2024-01-05"))
		if err != nil || len(got) != 2 || !strings.HasPrefix(got[0], c.want) || strings.HasSuffix(got[1], "1, partial") == (got[0][0] == '{') {
			t.Errorf("%s: %v %v", c.name, err, got)
		}
	}
}

// TestListing: class, name and first day, also before 1970.
func TestListing(t *testing.T) {
	t.Parallel()
	unit := providertest.Unit(t, market.Listing, "AAPL.USA", "2024-01-06", "2024-01-06")
	for old, c := range map[string]struct{ text, want string }{
		"": {"", `"name":"Apple Inc.","class":"stock","ipo_date":"1980-12-12","out_date":null,"status":"listed"}`},
		`"longName":"Apple Inc.","shortName":"Apple"`: {`"shortName":"Fund"`, `"name":"Fund","class":"stock","ipo_date":"1980-12-12","out_date":null,"status":"listed"}`},
		"EQUITY":    {"MUTUALFUND", `"name":"Apple Inc.","class":"other","ipo_date":"1980-12-12","out_date":null,"status":"listed"}`},
		"345479400": {"-252322200", `"name":"Apple Inc.","class":"stock","ipo_date":"1962-01-02","out_date":null,"status":"listed"}`},
	} {
		a := day(second, "1 1 1 1 1")
		a.meta = strings.Replace(usual, old, c.text, 1)
		got, err := providertest.Read(t, Vendor(), serve(t, a.String()), unit)
		if err != nil || len(got) != 2 || got[0] != `{"symbol":"AAPL.USA",`+c.want {
			t.Errorf("%s: %v %s", old, err, strings.Join(got, "\n"))
		}
	}
	settings := serve(t, `{"chart":{"result":null,"error":{"code":"Bad Request","description":"Data doesn't exist for startDate = 1, endDate = 2"}}}`)
	if got, err := providertest.Read(t, Vendor(), settings, unit); err != nil || !strings.HasPrefix(got[0], ruleUnknown) {
		t.Errorf("nothing: %v %v", got, err)
	}
}

// TestDay: the calendar's clock of the day itself, not today's offset; a midnight that comes an hour early.
func TestDay(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"2024-01-02T14:30:00Z": "2024-01-02", "2024-07-02T13:30:00Z": "2024-07-02", "2024-07-03T02:30:00Z": "2024-07-02",
		"2024-07-02T03:00:00Z": "2024-07-02", "2024-07-02T02:59:59Z": "2024-07-01",
	} {
		calendar, err := market.CalendarOf(market.USA)
		if err != nil {
			t.Fatal(err)
		}
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		if got := (&asked{zone: calendar.Zone()}).day(at.Unix()); got.String() != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
	}
}

// TestPrices: whatever was split since, and however the service writes it, a price is read as it was traded.
// invariant: prices and volumes are stored as they were traded, whatever was split since
func TestPrices(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		cents := rapid.Int64Range(1, 8_300_000).Draw(t, "cents")
		price := float64(cents) / 100
		by := ratioFor(rapid.Int64Range(1, 100).Draw(t, "new"), rapid.Int64Range(1, 100).Draw(t, "old"))
		value := float32(price / by.float())
		if rapid.Bool().Draw(t, "six decimals") && price/by.float() > 0.01 {
			value = float32(math.Round(price/by.float()*1e6) / 1e6)
		}
		text := strconv.FormatFloat(float64(value), 'f', -1, 64)
		got, err := strconv.ParseFloat(string(by.price([]byte(text), market.PriceScale)), 64)
		if err != nil || got != price {
			t.Fatalf("%v split %v is sent as %s and read as %v (%v)", price, by, text, got, err)
		}
		shares := rapid.Int64Range(0, 1e12).Draw(t, "shares")
		sent := strconv.FormatInt(shares*by.new.Int64()/by.old.Int64(), 10)
		back, err := strconv.ParseInt(string(by.shares([]byte(sent))), 10, 64)
		if err != nil || max(back-shares, shares-back) > by.old.Int64()/by.new.Int64()+1 {
			t.Fatalf("%d shares split %v are sent as %s and read as %d (%v)", shares, by, sent, back, err)
		}
	})
	for text, want := range map[string]string{
		"x": "x", "": "", "1e999": "1e999", "-3": "-3", "0": "0", "0.1283479928970337": "28.75",
	} {
		by := unsplit
		if want == "28.75" { // Apple in 1980, with six decimals and 224 shares since
			by = ratioFor(224, 1)
		}
		if got := string(by.price([]byte(text), 4)); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

func ratioFor(of, from int64) ratio {
	r, ok := ratioOf(strconv.AppendInt(nil, of, 10), strconv.AppendInt(nil, from, 10))
	if !ok {
		panic("no ratio")
	}
	return r
}

// TestSimulated: the whole market, as it was traded, with its factors; the same in pieces.
func TestSimulated(t *testing.T) {
	t.Parallel()
	from, to := sim.DateOf(2022, 1, 3), sim.DateOf(2024, 6, 28)
	m, err := sim.SyntheticUS(5, 6, from, to)
	if err != nil {
		t.Fatal(err)
	}
	w, err := sim.StartYahoo(context.Background(), "127.0.0.1:0", m, sim.WebConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	settings := providertest.At(Vendor(), "http://"+w.Address())
	settings.Now = func() time.Time { return time.Date(2024, 6, 29, 3, 0, 0, 0, time.UTC) }
	for _, s := range m.Securities() {
		symbol, err := market.Yahoo.Parse(s.Code, market.Stock)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, b := range m.Bars(nil, s.Code, from, to) {
			price := func(v int64) string { return market.FormatFixed(v, 4) }
			want = append(want, fmt.Sprintf(`"date":"%s","open":%s,"high":%s,"low":%s,"close":%s,`, b.Date, price(b.Open), price(b.High), price(b.Low), price(b.Close)))
		}
		for _, action := range m.Actions(s.Code) {
			want = append(want, fmt.Sprintf(`"ex_date":"%s","fore_factor":null,"back_factor":%s,`, action.Ex, market.FormatFixed(action.Back, 6)))
		}
		var whole, pieces []market.Unit
		for _, dataset := range []string{market.Bar1D, market.AdjFactor} {
			whole = append(whole, providertest.Unit(t, dataset, symbol.String(), max(from, s.IPO).String(), to.String()))
			for at := max(from, s.IPO); at <= to; at += 90 {
				pieces = append(pieces, providertest.Unit(t, dataset, symbol.String(), at.String(), min(at+89, to).String()))
			}
		}
		for _, units := range [][]market.Unit{whole, pieces} {
			got, err := providertest.Read(t, Vendor(), settings, units...)
			got = slices.DeleteFunc(got, func(line string) bool {
				return strings.HasSuffix(line, ", ok") || strings.HasSuffix(line, "0, empty_confirmed")
			})
			if err != nil || len(got) != len(want) {
				t.Fatalf("%s: %v: %d rows, want %d", s.Code, err, len(got), len(want))
			}
			for i := range got {
				if !strings.Contains(got[i], want[i]) {
					t.Fatalf("%s: %s, want %s", s.Code, got[i], want[i])
				}
			}
		}
	}
	if n := w.Stats().ByKind["chart"]; n != int64(2*len(m.Securities())+len(m.Securities())-1) {
		t.Errorf("asked %d times", n)
	}
}

// FuzzChart: whatever the answer, every day is a row, a bad record or null.
func FuzzChart(f *testing.F) {
	f.Add([]byte(day(second, "1 2 1 2 3").String()))
	f.Add([]byte(answer{stamps: second + "," + third, open: `null,"x"`, high: "null,{}", low: "null,1e99", closing: "null,-1", volume: "null,1.5"}.String()))
	split := day(second, "1 2 1 2 3")
	split.events = split4 + `,"dividends":{"1":{"amount":"x","date":1704205800}}`
	f.Add([]byte(split.String()))
	f.Fuzz(func(t *testing.T, text []byte) {
		settings := serve(t, string(text))
		settings.Attempts = 1
		unit := providertest.Unit(t, market.Bar1D, "AAPL.USA", "1970-01-01", "2024-01-05")
		got, err := providertest.Read(t, Vendor(), settings, unit)
		if err != nil || strings.HasSuffix(got[len(got)-1], ", failed") {
			return
		}
		document, err := provider.Document(text)
		if err != nil {
			t.Fatalf("%s was read: %s", text, got)
		}
		days := 0
		for range document.Member("chart").Member("result").First().Member("timestamp").Elements() {
			days++
		}
		if len(got)-1 > days+1 { // of a contradiction both are told
			t.Fatalf("%d days make %s", days, got)
		}
	})
}
