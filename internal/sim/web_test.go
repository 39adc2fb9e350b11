package sim

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/encoding/simplifiedchinese"
)

func chineseMarket(t *testing.T) Market {
	t.Helper()
	m, err := Synthetic(7, 12, DateOf(2023, 1, 1), DateOf(2024, 6, 28))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// started fails the test where a service does not start, and closes it.
func started(t *testing.T, w *Web, err error) *Web {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// get asks and returns status, headers and body; err where the connection ends.
func get(w *Web, path string) (int, http.Header, string, error) {
	// A connection that is used again hides that the service hung up: the request is repeated.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get("http://" + w.Address() + path)
	if err != nil {
		return 0, nil, "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return answer.StatusCode, answer.Header, string(body), err
}

// text is get of what must be there.
func text(t *testing.T, w *Web, path string) string {
	t.Helper()
	status, _, body, err := get(w, path)
	if err != nil || status != http.StatusOK {
		t.Fatalf("%s: %d %v %s", path, status, err, body)
	}
	return body
}

const oneKline = "/api/qt/stock/kline/get?secid=1.600000&klt=101&fqt=0&beg=0&end=20500101&fields2=f51,f52,f53,f54,f55,f56,f57,f58,f59,f60,f61"

// klines returns the lines of an answer of EastMoney.
func klines(t *testing.T, body string) []string {
	t.Helper()
	var answer struct {
		Data *struct{ Klines []string }
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || answer.Data == nil {
		t.Fatalf("%v: %s", err, body)
	}
	return answer.Data.Klines
}

func TestEastMoneyKline(t *testing.T) {
	t.Parallel()
	m := chineseMarket(t)
	w, err := StartEastMoney(t.Context(), "127.0.0.1:0", m, WebConfig{})
	w = started(t, w, err)
	got := klines(t, text(t, w, oneKline))
	n, before := 0, int64(0)
	for _, b := range m.Bars(nil, "sh.600000", m.Calendar().From(), m.Calendar().To()) {
		if !b.Trading {
			continue
		}
		if before == 0 {
			before = b.Preclose
		}
		cents := func(v int64) string { return fmt.Sprintf("%d.%02d", v/1e4, v%1e4/100) }
		// Date, open, close, high, low, lots: and the change is from the close before, ex-right or not.
		want := fmt.Sprintf("%s,%s,%s,%s,%s,%d,", b.Date, cents(b.Open), cents(b.Close), cents(b.High), cents(b.Low), (b.Volume+50)/100)
		change := fmt.Sprintf(",%.2f,", float64(b.Close-before)/1e4)
		if !strings.HasPrefix(got[n], want) || !strings.Contains(got[n], change) {
			t.Fatalf("got %s, want %s...%s", got[n], want, change)
		}
		before = b.Close
		n++
	}
	if n != len(got) {
		t.Errorf("%d bars, want %d", len(got), n)
	}
	if body := text(t, w, strings.Replace(oneKline, "600000", "699999", 1)); !strings.Contains(body, `"data":null`) {
		t.Errorf("unknown symbol: %s", body)
	}
	minutes := klines(t, text(t, w, strings.Replace(oneKline, "klt=101", "klt=60", 1)))
	if len(minutes) != 4*(n-1) || !strings.Contains(minutes[0], " 10:30,") { // today's are not there
		t.Errorf("%d bars of minutes, the first %s", len(minutes), minutes[0])
	}
	backward := klines(t, text(t, w, strings.Replace(oneKline, "fqt=0", "fqt=2", 1)))
	if actions := m.Actions("sh.600000"); len(actions) == 0 || backward[n-1] == got[n-1] {
		t.Errorf("backward adjusted %s, raw %s, %d actions", backward[n-1], got[n-1], len(actions))
	}
	// At noon the bar of the day is there, and not whole.
	last := m.Calendar().To()
	w.SetNow(last.Time().Add(12 * time.Hour))
	if noon := klines(t, text(t, w, oneKline)); len(noon) != n || noon[n-1] == got[n-1] || noon[n-2] != got[n-2] {
		t.Errorf("at noon %s, in the evening %s", noon[n-1], got[n-1])
	}
	w.SetNow(last.Time().Add(9 * time.Hour))
	if early := klines(t, text(t, w, oneKline)); len(early) != n-1 {
		t.Errorf("before it opens there are %d bars, want %d", len(early), n-1)
	}
}

func TestEastMoneyList(t *testing.T) {
	t.Parallel()
	m := chineseMarket(t)
	w, err := StartEastMoney(t.Context(), "127.0.0.1:0", m, WebConfig{PageCap: 5})
	w = started(t, w, err)
	var answer struct {
		Data *struct {
			Total int
			Diff  []map[string]any
		}
	}
	listed := 0
	for _, s := range m.Securities() {
		if to := m.Calendar().To(); s.Kind == Stock && s.shows(to) && (s.Out == 0 || s.Out > to) {
			listed++
		}
	}
	var codes []string
	for page := 1; ; page++ {
		body := text(t, w, fmt.Sprintf("/api/qt/clist/get?pn=%d&pz=100&np=1&fltt=1&fs=m:0+t:6,m:0+t:80,m:1+t:2,m:1+t:23&fields=f12,f13,f14,f26,f2,f152", page))
		answer.Data = nil
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			t.Fatal(err)
		}
		if answer.Data == nil {
			break
		}
		if len(answer.Data.Diff) > 5 || answer.Data.Total != listed {
			t.Fatalf("page %d: %s", page, body)
		}
		for _, one := range answer.Data.Diff {
			codes = append(codes, one["f12"].(string))
		}
	}
	if len(codes) != listed || listed < 6 || !slices.IsSorted(codes) {
		t.Error(codes)
	}
}

func TestTencent(t *testing.T) {
	t.Parallel()
	m := chineseMarket(t)
	w, err := StartTencent(t.Context(), "127.0.0.1:0", m, WebConfig{PageCap: 100})
	w = started(t, w, err)
	rows := func(query string) [][]any {
		var answer struct {
			Data map[string]map[string]json.RawMessage
		}
		body := text(t, w, "/appstock/app/"+query)
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		var list [][]any
		for _, name := range []string{"day", "qfqday", "m5"} {
			if series := answer.Data["sh600000"][name]; series != nil {
				if err := json.Unmarshal(series, &list); err != nil {
					t.Fatal(err)
				}
			}
		}
		return list
	}
	got := rows("kline/kline?param=sh600000,day,2023-01-01,2024-06-28,800")
	bars := m.Bars(nil, "sh.600000", DateOf(2023, 1, 1), DateOf(2024, 6, 28))
	last := bars[len(bars)-1]
	price := func(v int64) string { return fmt.Sprintf("%d.%03d", v/1e4, v%1e4/10) }
	want := []any{
		last.Date.String(), price(last.Open), price(last.Close), price(last.High), price(last.Low),
		strconv.FormatInt((last.Volume+50)/100, 10) + ".000",
	}
	if len(got) != 100 || !slices.Equal(got[99], want) {
		t.Errorf("%d rows, the last %v, want %v", len(got), got[len(got)-1], want)
	}
	ex := m.Actions("sh.600000")[0].Ex
	got = rows(fmt.Sprintf("kline/kline?param=sh600000,day,%s,%s,10", ex, ex))
	if len(got) != 1 || len(got[0]) != 7 {
		t.Errorf("a row of an ex-right day has no object behind it: %v", got)
	}
	if got = rows("kline/mkline?param=sh600000,m5,,48"); len(got) != 48 || len(got[0][0].(string)) != 12 {
		t.Errorf("minutes: %v", got)
	}
	if body := text(t, w, "/appstock/app/kline/kline?param=rubbish"); !strings.Contains(body, `"data":[]`) {
		t.Error(body)
	}
	quotes, err := simplifiedchinese.GBK.NewDecoder().String(text(t, w, "/q=sh600000,sz000001,sh699999"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(quotes), "\n")
	if len(lines) != 3 || lines[2] != `v_pv_none_match="1";` {
		t.Fatal(quotes)
	}
	fields := strings.Split(lines[0], "~")
	cents := func(v int64) string { return fmt.Sprintf("%d.%02d", v/1e4, v%1e4/100) }
	for i, want := range map[int]string{
		2: "600000", 3: cents(last.Close), 4: cents(last.Preclose), 5: cents(last.Open), 6: strconv.FormatInt((last.Volume+50)/100, 10),
		30: "20240628150003", 33: cents(last.High), 34: cents(last.Low), 37: strconv.FormatInt(divide(last.Amount, 1e8), 10),
	} {
		if fields[i] != want {
			t.Errorf("field %d: %s, want %s", i, fields[i], want)
		}
	}
}

func TestYahoo(t *testing.T) {
	t.Parallel()
	m, err := SyntheticUS(3, 4, DateOf(2023, 1, 1), DateOf(2024, 6, 28))
	if err != nil {
		t.Fatal(err)
	}
	w, err := StartYahoo(t.Context(), "127.0.0.1:0", m, WebConfig{Limit: 4, Window: time.Hour})
	w = started(t, w, err)
	const whole = "?period1=0&period2=4000000000&interval=1d&events=div,splits"
	type series struct {
		Chart struct {
			Result []struct {
				Timestamp []int64
				Events    struct {
					Dividends, Splits map[string]struct{ Amount, Numerator, Denominator float64 }
				}
				Indicators struct {
					Quote []struct {
						Close  []*float64
						Volume []*int64
					}
				}
			}
		}
	}
	ask := func(symbol string) (s series) {
		if err := json.Unmarshal([]byte(text(t, w, yahooChart+symbol+whole)), &s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	got := ask("AAPL").Chart.Result[0]
	bars := m.Bars(nil, "AAPL", m.Calendar().From(), m.Calendar().To())
	actions := m.Actions("AAPL")
	split := actions[slices.IndexFunc(actions, func(a Action) bool { return a.Split[0] > 0 })]
	if len(got.Timestamp) != len(bars) || len(got.Events.Splits) != 1 || len(got.Events.Dividends) != len(actions)-1 {
		t.Fatalf("%d of %d days, %v, %d actions", len(got.Timestamp), len(bars), got.Events, len(actions))
	}
	for i, b := range bars {
		ratio := 1.0
		if b.Date < split.Ex {
			ratio = 7
		}
		if close := *got.Indicators.Quote[0].Close[i]; math.Abs(close*ratio-float64(b.Close)/1e4) > 1e-4*ratio {
			t.Fatalf("%s: close %v, raw %d, ratio %v", b.Date, close, b.Close, ratio)
		}
		if volume := *got.Indicators.Quote[0].Volume[i]; volume != b.Volume*int64(ratio) {
			t.Fatalf("%s: volume %d, raw %d", b.Date, volume, b.Volume)
		}
		if at := time.Unix(got.Timestamp[i], 0).UTC(); at.Hour() < 13 || at.Hour() > 14 || at.Minute() != 30 {
			t.Fatalf("%s: %s is not the opening in New York", b.Date, at)
		}
	}
	rules, err := ParseWebFaults("at 1: null", YahooKinds())
	if err != nil {
		t.Fatal(err)
	}
	w.SetFaults(rules)
	if got := ask("BRK-B").Chart.Result[0]; !slices.Contains(got.Indicators.Quote[0].Close, nil) {
		t.Error("no null")
	}
	if status, _, body, err := get(w, yahooChart+"NONE"+whole); status != 404 || err != nil || !strings.Contains(body, "No data found") {
		t.Errorf("unknown: %d %s %v", status, body, err)
	}
	_ = ask("AAPL")
	if status, _, body, _ := get(w, yahooChart+"AAPL"+whole); status != 429 || !strings.HasPrefix(body, "Too Many") {
		t.Errorf("over the limit: %d %s", status, body)
	}
}

func TestBinance(t *testing.T) {
	t.Parallel()
	m, err := SyntheticCoins(5, 8, DateOf(2024, 11, 1), DateOf(2025, 2, 10))
	if err != nil {
		t.Fatal(err)
	}
	w, err := StartBinance(t.Context(), "127.0.0.1:0", m, WebConfig{Limit: 30, Window: time.Hour})
	w = started(t, w, err)
	start := DateOf(2024, 12, 30).Time().UnixMilli()
	path := fmt.Sprintf("/api/v3/klines?symbol=BTCUSDT&interval=1d&limit=3&startTime=%d", start)
	status, header, body, err := get(w, path)
	if status != 200 || err != nil || header.Get("X-MBX-USED-WEIGHT-1M") != "2" {
		t.Fatalf("%d %v %v", status, header, err)
	}
	var rows [][]any
	if err := json.Unmarshal([]byte(body), &rows); err != nil || len(rows) != 3 {
		t.Fatalf("%v: %s", err, body)
	}
	day := m.Days("BTCUSDT", DateOf(2024, 12, 30), DateOf(2024, 12, 30))[0]
	if rows[0][0] != float64(start) || rows[0][4] != string(appendFixed(nil, day.Close, 8, 8)) || rows[0][6] != float64(start+dayMillis-1) {
		t.Errorf("%v, want %+v", rows[0], day)
	}
	// Hours make up the day.
	text1h := text(t, w, strings.Replace(strings.Replace(path, "1d", "1h", 1), "limit=3", "limit=24", 1))
	var hours [][]any
	if err := json.Unmarshal([]byte(text1h), &hours); err != nil || len(hours) != 24 ||
		hours[0][1] != rows[0][1] || hours[23][4] != rows[0][4] {
		t.Errorf("%v: %d hours, %v to %v, day %v", err, len(hours), hours[0], hours[len(hours)-1], rows[0])
	}
	if info := text(t, w, "/api/v3/exchangeInfo?symbol=BTCUSDT"); !strings.Contains(info, `"status":"TRADING"`) {
		t.Error(info)
	}
	if status, _, body, _ := get(w, strings.Replace(path, "BTCUSDT", "NONE", 1)); status != 400 || !strings.Contains(body, "-1121") {
		t.Errorf("%d %s", status, body)
	}
	var statuses []int
	for range 6 {
		status, header, _, _ := get(w, path)
		statuses = append(statuses, status)
		if seconds, err := strconv.Atoi(header.Get("Retry-After")); status != 200 && (err != nil || seconds < 1) {
			t.Errorf("%d without Retry-After", status)
		}
	}
	if !slices.Equal(statuses[len(statuses)-4:], []int{429, 429, 418, 418}) {
		t.Error(statuses)
	}
}

// TestBinanceFiles: a file in each unit of time, and its check sum.
func TestBinanceFiles(t *testing.T) {
	t.Parallel()
	m, err := SyntheticCoins(5, 1, DateOf(2024, 11, 1), DateOf(2025, 2, 10))
	if err != nil {
		t.Fatal(err)
	}
	w, err := StartBinance(t.Context(), "127.0.0.1:0", m, WebConfig{})
	w = started(t, w, err)
	for month, digits := range map[string]int{"2024-12": 13, "2025-01": 16} {
		file := "/data/spot/monthly/klines/BTCUSDT/1d/BTCUSDT-1d-" + month + ".zip"
		body := text(t, w, file)
		if sum := text(t, w, file+".CHECKSUM"); sum != fmt.Sprintf("%x  BTCUSDT-1d-%s.zip\n", sha256.Sum256([]byte(body)), month) {
			t.Errorf("check sum %s", sum)
		}
		archive, err := zip.NewReader(strings.NewReader(body), int64(len(body)))
		if err != nil || len(archive.File) != 1 || archive.File[0].Name != "BTCUSDT-1d-"+month+".csv" {
			t.Fatalf("%s: %v", month, err)
		}
		in, err := archive.File[0].Open()
		if err != nil {
			t.Fatal(err)
		}
		csv, err := io.ReadAll(in)
		if first, _, _ := strings.Cut(string(csv), ","); err != nil || len(first) != digits {
			t.Errorf("%s: %v, time %s, want %d digits", month, err, first, digits)
		}
	}
	if status, _, _, _ := get(w, "/data/spot/monthly/klines/BTCUSDT/1d/BTCUSDT-1d-2025-02.zip"); status != 404 {
		t.Errorf("the month that is not over: %d", status)
	}
}

// TestWebFaults: what each fault does to an answer.
func TestWebFaults(t *testing.T) {
	t.Parallel()
	w, err := StartEastMoney(t.Context(), "127.0.0.1:0", chineseMarket(t), WebConfig{RTT: time.Millisecond, Jitter: time.Millisecond})
	w = started(t, w, err)
	sound := text(t, w, oneKline)
	days := len(klines(t, sound))
	for rule, check := range map[string]func(status int, body string, err error) bool{
		"at 1: reset":      func(_ int, body string, err error) bool { return err != nil && len(body) < len(sound) },
		"at 1: drop":       func(status int, _ string, err error) bool { return err != nil && status == 0 },
		"at 1: stall 1ms":  func(_ int, body string, err error) bool { return err == nil && body == sound },
		"at 1: truncate":   func(_ int, body string, err error) bool { return err == nil && body == sound[:len(sound)/2] },
		"at 1: status 503": func(status int, _ string, err error) bool { return err == nil && status == 503 },
		"at 1: garbage": func(status int, body string, _ error) bool {
			return status == 200 && strings.HasPrefix(body, "<!DOCTYPE")
		},
		"at 1 on kline: duplicate": func(_ int, body string, _ error) bool { return len(klines(t, body)) == days+1 },
		"at 1: missing":            func(_ int, body string, _ error) bool { return len(klines(t, body)) == days-1 },
		"at 1: unsorted":           func(_ int, body string, _ error) bool { return !slices.IsSorted(klines(t, body)) },
		"at 1: short":              func(_ int, body string, _ error) bool { return len(klines(t, body)) == days/2 },
		"at 1 on list: short":      func(_ int, body string, _ error) bool { return body == sound },
	} {
		rules, err := ParseWebFaults(rule, EastMoneyKinds())
		if err != nil {
			t.Fatal(err)
		}
		w.SetFaults(rules)
		if status, _, body, err := get(w, oneKline); !check(status, body, err) {
			t.Errorf("%s: %d, %d bytes of %d, %v", rule, status, len(body), len(sound), err)
		}
	}
	if stats := w.Stats(); stats.Requests != 12 || stats.ByKind["kline"] != 12 || stats.Faults["short"] != 1 {
		t.Errorf("%+v", stats)
	}
	for rule, want := range map[string]string{
		"at 1 on quote: drop": "want one of kline, list", "at 1: crc": "unknown action", "at 1: status 99": "want one of HTTP",
		"at 1: status": "takes 1 argument",
	} {
		if _, err := ParseWebFaults(rule, EastMoneyKinds()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", rule, err)
		}
	}
	if _, err := StartEastMoney(t.Context(), "127.0.0.1:0", chineseMarket(t), WebConfig{RTT: -1}); err == nil {
		t.Error("a negative delay is taken")
	}
}

// TestWebSame: the same market, settings and requests give the same bytes.
func TestWebSame(t *testing.T) {
	t.Parallel()
	var before []byte
	for range 2 {
		m, err := SyntheticUS(9, 30, DateOf(2020, 1, 1), DateOf(2021, 1, 1))
		if err != nil {
			t.Fatal(err)
		}
		w, err := StartYahoo(t.Context(), "127.0.0.1:0", m, WebConfig{})
		w = started(t, w, err)
		var all bytes.Buffer
		for _, s := range m.Securities() {
			all.WriteString(text(t, w, yahooChart+s.Code+"?period1=0&period2=4000000000&interval=1d"))
		}
		if before != nil && !bytes.Equal(before, all.Bytes()) {
			t.Error("two services of one seed differ")
		}
		before = all.Bytes()
	}
}
