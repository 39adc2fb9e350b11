package sim

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"math/big"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"
)

// BinanceKinds are the kinds of requests that a fault script of binance may name.
func BinanceKinds() []string { return []string{"klines", "info", "price", "file", "checksum"} }

// StartBinance serves the k-lines, the list of pairs and the files of Binance spot until ctx ends or
// Close. Its limit counts weight: 2 for k-lines, 20 for the list of pairs, 4 for prices, none for files. Over it stands
// 429, and from the third time on 418.
func StartBinance(ctx context.Context, listen string, m *CoinMarket, config WebConfig) (*Web, error) {
	return startWeb(ctx, listen, binance{m}, config)
}

// binance answers as api.binance.com and data.binance.vision do.
type binance struct{ market *CoinMarket }

func (binance) name() string    { return "binance" }
func (binance) kinds() []string { return BinanceKinds() }
func (binance) pageCap() int    { return 1000 }
func (b binance) lastDay() Date { return b.market.To() }

func (binance) kind(r *http.Request) string {
	switch at := r.URL.Path; {
	case at == "/api/v3/klines":
		return "klines"
	case at == "/api/v3/exchangeInfo":
		return "info"
	case at == "/api/v3/ticker/price":
		return "price"
	case strings.HasPrefix(at, "/data/spot/") && strings.HasSuffix(at, ".zip"):
		return "file"
	case strings.HasPrefix(at, "/data/spot/") && strings.HasSuffix(at, ".zip.CHECKSUM"):
		return "checksum"
	}
	return ""
}

func (b binance) cost(r *http.Request) int {
	return map[string]int{"klines": 2, "info": 20, "price": 4}[b.kind(r)]
}

func (binance) refuse(times int, left time.Duration) webAnswer {
	a := webAnswer{
		status: http.StatusTooManyRequests,
		body:   []byte(`{"code":-1003,"msg":"Too much request weight used; please use the websocket for live updates."}`),
	}
	if times > 2 {
		a.status, left = http.StatusTeapot, left+2*time.Minute
		a.body = []byte(`{"code":-1003,"msg":"Way too much request weight used; IP banned."}`)
	}
	seconds := int64((left + time.Second - 1) / time.Second)
	a.header = map[string]string{"Retry-After": strconv.FormatInt(seconds, 10)}
	return a
}

func (b binance) answer(a *webAsk) webAnswer {
	var out webAnswer
	switch b.kind(a.request) {
	case "klines":
		out = b.klines(a)
	case "info":
		out = b.info(a)
	case "price":
		out = b.prices(a)
	default:
		return b.file(a)
	}
	out.header = map[string]string{"X-MBX-USED-WEIGHT-1M": strconv.Itoa(a.used), "X-MBX-USED-WEIGHT": strconv.Itoa(a.used)}
	return out
}

func binanceError(code int, text string) webAnswer {
	return webAnswer{status: http.StatusBadRequest, body: fmt.Appendf(nil, `{"code":%d,"msg":"%s"}`, code, text)}
}

// coinIntervals are the minutes of the intervals served.
func coinIntervals() map[string]int {
	return map[string]int{
		"1m": 1, "5m": 5, "15m": 15, "30m": 30, "1h": 60, "4h": 240, "1d": minutesPerDay,
	}
}

const (
	minuteMillis = 60_000
	dayMillis    = minutesPerDay * minuteMillis
)

// klines answers symbol, interval, startTime, endTime, limit; what begins within, oldest first.
func (b binance) klines(a *webAsk) webAnswer {
	coin := b.market.coin(a.query("symbol"))
	size, ok := coinIntervals()[a.query("interval")]
	switch {
	case coin == nil:
		return binanceError(-1121, "Invalid symbol.")
	case !ok:
		return binanceError(-1120, "Invalid interval.")
	}
	now := a.now.UnixMilli()
	from, to, limit := int64(0), now, int64(500)
	for _, p := range []struct {
		name  string
		value *int64
	}{{"startTime", &from}, {"endTime", &to}, {"limit", &limit}} {
		if text := a.query(p.name); text != "" {
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				return binanceError(-1100, fmt.Sprintf("Illegal characters found in parameter '%s'.", p.name))
			}
			*p.value = n
		}
	}
	newest := a.query("startTime") == ""
	limit = min(max(limit, 1), int64(a.pageCap))
	from, to = max(from, int64(coin.First)*dayMillis), min(to, now)
	if newest {
		from = max(from, to-(limit+1)*int64(size)*minuteMillis)
	}
	for day := Date(from / dayMillis); int64(day)*dayMillis <= to; day++ {
		if !newest && a.rows.count() >= int(limit) {
			break
		}
		for _, c := range b.candles(coin, day, size) {
			if at := c.Start * minuteMillis; at >= from && at <= to && (newest || a.rows.count() < int(limit)) {
				a.rows.addRaw(coin.appendRow([]byte{'['}, &c, size, '"', 1))
			}
		}
	}
	if a.rows.count() > int(limit) {
		a.rows.last(int(limit))
	}
	a.alter()
	return jsonAnswer(append(a.rows.appendJoined([]byte{'['}), ']'))
}

// candles are the bars that begin in a day.
func (b binance) candles(c *Coin, day Date, size int) []Candle {
	if size == minutesPerDay {
		return b.market.Days(c.Symbol, day, day)
	}
	return b.market.Minutes(c.Symbol, day, size)
}

// appendRow appends the columns of a bar: as JSON, with texts in quotes and a bracket at the end, or as
// CSV. per is how many units of time a millisecond has.
func (c *Coin) appendRow(row []byte, k *Candle, size int, quote byte, per int64) []byte {
	text := func(value []byte) {
		if quote != 0 {
			row = append(row, quote)
		}
		row = append(row, value...)
		if quote != 0 {
			row = append(row, quote)
		}
		row = append(row, ',')
	}
	row = fmt.Appendf(row, "%d,", k.Start*minuteMillis*per)
	for _, price := range []int64{k.Open, k.High, k.Low, k.Close} {
		text(appendFixed(nil, price, coinDecimals, coinDecimals))
	}
	volume := new(big.Int).Mul(big.NewInt(k.Volume), big.NewInt(int64(power(coinDecimals-c.VolumeDecimals))))
	text(appendBig(nil, volume))
	row = fmt.Appendf(row, "%d,", (k.Start+int64(size))*minuteMillis*per-1)
	text(appendBig(nil, k.Amount))
	row = fmt.Appendf(row, "%d,", k.Trades)
	half := big.NewInt(2)
	text(appendBig(nil, volume.Div(volume, half)))
	text(appendBig(nil, new(big.Int).Div(k.Amount, half)))
	text([]byte("0"))
	row = row[:len(row)-1]
	if quote != 0 {
		return append(row, ']')
	}
	return append(row, '\n')
}

// info answers which pairs there are.
func (b binance) info(a *webAsk) webAnswer {
	for _, c := range b.market.list {
		if wanted := a.query("symbol"); wanted != "" && wanted != c.Symbol || c.First > a.today {
			continue
		}
		status := "TRADING"
		if c.Last != 0 && c.Last < a.today {
			status = "BREAK"
		}
		a.rows.addRaw(fmt.Appendf(nil, `{"symbol":"%s","status":"%s","baseAsset":"%s","baseAssetPrecision":8,`+
			`"quoteAsset":"%s","quotePrecision":8,"isSpotTradingAllowed":true,"permissions":[]}`,
			c.Symbol, status, c.Base, c.Quote))
	}
	if a.query("symbol") != "" && a.rows.count() == 0 {
		return binanceError(-1121, "Invalid symbol.")
	}
	a.alter()
	body := fmt.Appendf(nil, `{"timezone":"UTC","serverTime":%d,"rateLimits":[{"rateLimitType":"REQUEST_WEIGHT",`+
		`"interval":"MINUTE","intervalNum":1,"limit":6000}],"exchangeFilters":[],"symbols":[`, a.now.UnixMilli())
	return jsonAnswer(append(a.rows.appendJoined(body), `]}`...))
}

// prices answers the last price of each pair that is traded.
func (b binance) prices(a *webAsk) webAnswer {
	for _, c := range b.market.list {
		if days := b.market.Days(c.Symbol, a.today, a.today); len(days) > 0 {
			row := fmt.Appendf(nil, `{"symbol":"%s","price":"`, c.Symbol)
			a.rows.addRaw(append(appendFixed(row, days[0].Close, coinDecimals, coinDecimals), `"}`...))
		}
	}
	a.alter()
	return jsonAnswer(append(a.rows.appendJoined([]byte{'['}), ']'))
}

// file answers /data/spot/{monthly,daily}/klines/SYMBOL/INTERVAL/SYMBOL-INTERVAL-DATE.zip and its check sum.
// Files appear when their month or day is over.
func (b binance) file(a *webAsk) webAnswer {
	missing := webAnswer{status: http.StatusNotFound, kind: "application/xml", body: []byte("<Error><Code>NoSuchKey</Code></Error>")}
	at := strings.TrimSuffix(a.request.URL.Path, ".CHECKSUM")
	parts := strings.Split(strings.TrimPrefix(at, "/data/spot/"), "/")
	if len(parts) != 5 || parts[1] != "klines" {
		return missing
	}
	coin, interval := b.market.coin(parts[2]), parts[3]
	size, ok := coinIntervals()[interval]
	name := strings.TrimSuffix(path.Base(at), ".zip")
	date, named := strings.CutPrefix(name, parts[2]+"-"+interval+"-")
	layout := map[string]string{"monthly": "2006-01", "daily": time.DateOnly}[parts[0]]
	t, err := time.Parse(layout, date)
	if coin == nil || !ok || !named || err != nil {
		return missing
	}
	first, last := dayOf(t), dayOf(t)
	if parts[0] == "monthly" {
		last = dayOf(t.AddDate(0, 1, 0)) - 1
	}
	if last >= a.today {
		return missing
	}
	for day := first; day <= last; day++ {
		per := int64(1)
		if day >= DateOf(2025, time.January, 1) { // microseconds since then
			per = 1000
		}
		for _, c := range b.candles(coin, day, size) {
			a.rows.addRaw(coin.appendRow(nil, &c, size, 0, per))
		}
	}
	if a.rows.count() == 0 {
		return missing
	}
	sum := sha256.Sum256(zipped(name+".csv", a.rows.buffer))
	if strings.HasSuffix(a.request.URL.Path, ".CHECKSUM") {
		return webAnswer{status: http.StatusOK, kind: "text/plain", body: fmt.Appendf(nil, "%x  %s.zip\n", sum, name)}
	}
	a.alter()
	return webAnswer{status: http.StatusOK, kind: "application/zip", body: zipped(name+".csv", a.rows.buffer)}
}

// zipped returns an archive of one file, the same for the same text.
func zipped(name string, text []byte) []byte {
	var out bytes.Buffer
	archive := zip.NewWriter(&out)
	file, err := archive.Create(name)
	if err == nil {
		_, err = file.Write(text)
	}
	if err != nil || archive.Close() != nil {
		return nil // memory does not fail
	}
	return out.Bytes()
}
