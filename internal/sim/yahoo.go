package sim

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// YahooKinds are the kinds of requests that a fault script of yahoo may name.
func YahooKinds() []string { return []string{"chart"} }

// StartYahoo serves the charts of Yahoo over an American market until ctx ends or Close. Over its limit
// stands 429.
func StartYahoo(ctx context.Context, listen string, m Market, config WebConfig) (*Web, error) {
	zone, err := time.LoadLocation("America/New_York")
	if err != nil {
		return nil, fmt.Errorf("simulate yahoo: %w", err)
	}
	return startWeb(ctx, listen, yahoo{m, zone}, config)
}

// yahoo answers as query1.finance.yahoo.com does.
type yahoo struct {
	market Market
	zone   *time.Location
}

const (
	yahooChart = "/v8/finance/chart/"
	yahooOpens = 9*time.Hour + 30*time.Minute
	yahooEnds  = 16 * time.Hour
)

func (yahoo) name() string           { return "yahoo" }
func (yahoo) kinds() []string        { return YahooKinds() }
func (yahoo) pageCap() int           { return 0 }
func (yahoo) cost(*http.Request) int { return 1 }
func (y yahoo) lastDay() Date        { return y.market.Calendar().To() }

func (yahoo) kind(r *http.Request) string {
	if strings.HasPrefix(r.URL.Path, yahooChart) {
		return "chart"
	}
	return ""
}

func (yahoo) refuse(int, time.Duration) webAnswer {
	return webAnswer{status: http.StatusTooManyRequests, kind: "text/plain", body: []byte("Too Many Requests\r\n")}
}

func yahooError(status int, code, text string) webAnswer {
	return webAnswer{status: status, body: fmt.Appendf(nil,
		`{"chart":{"result":null,"error":{"code":"%s","description":"%s"}}}`, code, text)}
}

// at returns the second of a time of day in New York.
func (y yahoo) at(day Date, clock time.Duration) int64 { return day.At(y.zone, clock).Unix() }

// answer answers /v8/finance/chart/SYMBOL. Prices, volumes and dividends are adjusted for splits, up to
// today's; prices are single precision numbers.
func (y yahoo) answer(a *webAsk) webAnswer {
	code := strings.TrimPrefix(a.request.URL.Path, yahooChart)
	list := y.market.Securities()
	i, known := findSecurity(list, code)
	if !known || !list[i].shows(a.today) {
		return yahooError(http.StatusNotFound, "Not Found", "No data found, symbol may be delisted")
	}
	from, err := strconv.ParseInt(a.query("period1"), 10, 64)
	to, err2 := strconv.ParseInt(a.query("period2"), 10, 64)
	if err != nil || err2 != nil || from > to || a.query("interval") != "1d" {
		return yahooError(http.StatusUnprocessableEntity, "Unprocessable Entity", "Invalid input - start date cannot be after end date")
	}
	clock := a.now.Sub(a.today.Time())
	w := yahooWriter{webAsk: a, yahoo: y, actions: y.market.Actions(code)}
	for _, b := range y.market.Bars(nil, code, y.market.Calendar().From(), a.today) {
		stamp := y.at(b.Date, yahooOpens)
		if b.Date == a.today && clock < yahooOpens {
			continue
		}
		if b.Date == a.today && clock < yahooEnds { // live: the stamp is that of the last trade
			b.Close, b.High, b.Low, b.Volume = b.Open, b.Open, b.Open, b.Volume/2
			if stamp < to && stamp >= from {
				w.bar(&b, y.at(a.today, clock))
			}
			continue
		}
		if stamp >= from && stamp < to {
			w.bar(&b, stamp)
		}
	}
	a.alter()
	return w.write(&list[i], from, to)
}

// yahooWriter collects the columns of an answer; a row of records is a bar's values, apart by blanks.
type yahooWriter struct {
	*webAsk
	yahoo

	actions []Action
}

// later returns the split ratio of all splits behind a day, as new for old.
func (w *yahooWriter) later(day Date) (num, den int64) {
	num, den = 1, 1
	for _, action := range w.actions {
		if action.Ex > day && action.Ex <= w.today && action.Split[0] > 0 {
			num, den = num*action.Split[0], den*action.Split[1]
		}
	}
	return num, den
}

// single is a price as the vendor computes it: single precision, printed with all its digits.
func single(price, num, den int64) string {
	value := float32(float64(price) * float64(den) / float64(num) / 10_000)
	return strconv.FormatFloat(float64(value), 'f', -1, 64)
}

// bar adds the columns of a day.
func (w *yahooWriter) bar(b *Bar, stamp int64) {
	num, den := w.later(b.Date)
	values := []string{strconv.FormatInt(stamp, 10)}
	for _, price := range []int64{b.Open, b.High, b.Low, b.Close} {
		values = append(values, single(price, num, den))
	}
	values = append(values, strconv.FormatInt(divide(b.Volume*num, den), 10), w.adjusted(b))
	w.rows.addRaw([]byte(strings.Join(values, " ")))
}

// adjusted is the close adjusted for splits and dividends.
func (w *yahooWriter) adjusted(b *Bar) string {
	value := float64(b.Close) / 10_000 * float64(Back(w.actions, b.Date)) / float64(Back(w.actions, w.today))
	return strconv.FormatFloat(float64(float32(value)), 'f', -1, 64)
}

// write makes columns of the rows.
func (w *yahooWriter) write(s *Security, from, to int64) webAnswer {
	columns, blank := make([][]string, 7), -1
	if w.has(faultNull) {
		blank = w.rows.count() / 2
	}
	for i := range w.rows.ends {
		for k, value := range strings.Fields(string(w.rows.row(i))) {
			if k > 0 && i == blank {
				value = "null"
			}
			columns[k] = append(columns[k], value)
		}
	}
	_, offset := w.today.At(w.zone, 12*time.Hour).Zone()
	body := fmt.Appendf(nil, `{"chart":{"result":[{"meta":{"currency":"USD","symbol":"%s","exchangeName":"NMS",`+
		`"fullExchangeName":"NasdaqGS","instrumentType":"EQUITY","firstTradeDate":%d,"regularMarketTime":%d,`+
		`"hasPrePostMarketData":true,"gmtoffset":%d,"timezone":"EDT","exchangeTimezoneName":"America/New_York",`+
		`"longName":"%s","shortName":"%s","priceHint":2,"dataGranularity":"1d","range":""}`,
		s.Code, w.at(s.IPO, yahooOpens), w.lastTrade(s), offset, s.Name, s.Name)
	if len(columns[0]) > 0 {
		body = fmt.Appendf(body, `,"timestamp":[%s]`, strings.Join(columns[0], ","))
	}
	body = w.events(body, from, to)
	list := func(k int) string { return strings.Join(columns[k], ",") }
	if len(columns[0]) == 0 {
		return jsonAnswer(append(body, `,"indicators":{"quote":[{}],"adjclose":[{}]}}],"error":null}}`...))
	}
	return jsonAnswer(fmt.Appendf(body, `,"indicators":{"quote":[{"volume":[%s],"open":[%s],"low":[%s],"close":[%s],`+
		`"high":[%s]}],"adjclose":[{"adjclose":[%s]}]}}],"error":null}}`,
		list(5), list(1), list(3), list(4), list(2), list(6)))
}

// lastTrade is the second of the last trade.
func (w *yahooWriter) lastTrade(s *Security) int64 {
	clock := w.now.Sub(w.today.Time())
	sessions := w.market.Calendar().Open(s.IPO, w.today)
	last := sessions[len(sessions)-1]
	if last == w.today && clock < yahooOpens && len(sessions) > 1 {
		last = sessions[len(sessions)-2]
	}
	if last == w.today {
		return w.at(last, min(max(clock, yahooOpens), yahooEnds))
	}
	return w.at(last, yahooEnds)
}

// events writes the dividends and splits of the range.
func (w *yahooWriter) events(body []byte, from, to int64) []byte {
	var dividends, splits []string
	for _, action := range w.actions {
		stamp := w.at(action.Ex, yahooOpens)
		if stamp < from || stamp >= to || action.Ex > w.today {
			continue
		}
		if action.Cash > 0 {
			num, den := w.later(action.Ex)
			amount := strconv.FormatFloat(float64(action.Cash)*float64(den)/float64(num)/factorOne, 'f', 6, 64)
			amount = strings.TrimRight(strings.TrimRight(amount, "0"), ".")
			dividends = append(dividends, fmt.Sprintf(`"%d":{"amount":%s,"date":%d}`, stamp, amount, stamp))
		}
		if action.Split[0] > 0 {
			splits = append(splits, fmt.Sprintf(`"%d":{"date":%d,"numerator":%d,"denominator":%d,"splitRatio":"%d:%d"}`,
				stamp, stamp, action.Split[0], action.Split[1], action.Split[0], action.Split[1]))
		}
	}
	var all []string
	if len(dividends) > 0 {
		all = append(all, `"dividends":{`+strings.Join(dividends, ",")+`}`)
	}
	if len(splits) > 0 {
		all = append(all, `"splits":{`+strings.Join(splits, ",")+`}`)
	}
	if len(all) == 0 {
		return body
	}
	return fmt.Appendf(body, `,"events":{%s}`, strings.Join(all, ","))
}
