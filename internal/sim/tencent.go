package sim

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/encoding/simplifiedchinese"
)

// TencentKinds are the kinds of requests that a fault script of tencent may name.
func TencentKinds() []string { return []string{"kline", "quote"} }

// StartTencent serves the k-lines and quotes of Tencent over a Chinese market until ctx ends or Close.
func StartTencent(ctx context.Context, listen string, m Market, config WebConfig) (*Web, error) {
	return startWeb(ctx, listen, tencent{m}, config)
}

// tencent answers as web.ifzq.gtimg.cn and qt.gtimg.cn do.
type tencent struct{ market Market }

func (tencent) name() string           { return "tencent" }
func (tencent) kinds() []string        { return TencentKinds() }
func (tencent) pageCap() int           { return 800 }
func (tencent) cost(*http.Request) int { return 1 }
func (t tencent) lastDay() Date        { return t.market.Calendar().To() }

func (tencent) kind(r *http.Request) string {
	switch path := r.URL.Path; {
	case path == "/appstock/app/kline/kline", path == "/appstock/app/fqkline/get", path == "/appstock/app/kline/mkline":
		return "kline"
	case strings.HasPrefix(path, "/q="):
		return "quote"
	}
	return ""
}

func (tencent) refuse(int, time.Duration) webAnswer {
	return webAnswer{status: http.StatusForbidden, kind: "text/html", body: []byte("<html>403 Forbidden</html>")}
}

func (t tencent) answer(a *webAsk) webAnswer {
	if text, ok := strings.CutPrefix(a.request.URL.Path, "/q="); ok {
		return t.quotes(a, strings.Split(text, ","))
	}
	return t.kline(a, strings.Split(a.query("param"), ","))
}

// badParameters is the vendor's answer to what it cannot read: data is an array then, not an object.
func badParameters() webAnswer {
	return jsonAnswer([]byte(`{"code":1,"msg":"param error","data":[]}`))
}

// security returns a code's line of the listing: sh600000.
func (t tencent) security(a *webAsk, code string) (*Security, bool) {
	if len(code) != 8 {
		return nil, false
	}
	list := t.market.Securities()
	i, ok := findSecurity(list, code[:2]+"."+code[2:])
	if !ok || !list[i].shows(a.today) {
		return nil, false
	}
	return &list[i], true
}

// kline answers code,period,from,to,count[,adjustment].
func (t tencent) kline(a *webAsk, words []string) webAnswer {
	if len(words) < 4 {
		return badParameters()
	}
	code, period := words[0], words[1]
	minutes, isMinutes := map[string]int{"m5": 5, "m15": 15, "m30": 30, "m60": 60}[period]
	if isMinutes { // code,m5,to,count
		words = []string{code, period, "", "", words[3]}
	}
	if len(words) < 5 || period != "day" && !isMinutes {
		return badParameters()
	}
	count, err := strconv.Atoi(words[4])
	from, errFrom := dashedDate(words[2], t.market.Calendar().From())
	to, errTo := dashedDate(words[3], a.today)
	if err != nil || errFrom != nil || errTo != nil || count < 1 {
		return badParameters()
	}
	security, known := t.security(a, code)
	if !known {
		return jsonAnswer(fmt.Appendf(nil, `{"code":0,"msg":"","data":{"%s":{"qt":{"%s":[]},"version":"16"}}}`, code, code))
	}
	factor, series := t.adjustment(a, security, words)
	if isMinutes {
		if series = period; security.Kind != Index {
			t.minutes(a, security, minutes)
		}
	} else {
		t.days(a, security, from, min(to, a.today), factor)
	}
	if limit := min(count, a.pageCap); limit < a.rows.count() {
		a.rows.last(limit) // the newest
	}
	a.alter()
	body := fmt.Appendf(nil, `{"code":0,"msg":"","data":{"%s":{"%s":[`, code, series)
	body = a.rows.appendJoined(body)
	return jsonAnswer(fmt.Appendf(body, `],"qt":{"%s":[]},"mx_price":{"mx":[],"price":[]},"prec":"0","version":"16"}}}`, code))
}

func dashedDate(text string, missing Date) (Date, error) {
	if text == "" {
		return missing, nil
	}
	return ParseDate(text)
}

// adjustment returns the factor of a day's prices and the name of the series. What was never adjusted
// comes as plain days, whatever was asked for.
func (t tencent) adjustment(a *webAsk, s *Security, words []string) (factor func(Date) int64, series string) {
	actions := t.market.Actions(s.Code)
	plain := func(Date) int64 { return factorOne }
	if len(words) < 6 || words[5] == "" || len(actions) == 0 {
		return plain, "day"
	}
	latest := Back(actions, a.today)
	switch words[5] {
	case "qfq":
		return func(d Date) int64 { return Fore(Back(actions, d), latest) }, "qfqday"
	case "hfq":
		return func(d Date) int64 { return Back(actions, d) }, "hfqday"
	}
	return plain, "day"
}

// days writes daily bars: date, open, close, high, low, lots; on an ex-right day an object behind them.
func (t tencent) days(a *webAsk, s *Security, from, to Date, factor func(Date) int64) {
	ex := map[Date]Action{}
	for _, action := range t.market.Actions(s.Code) {
		ex[action.Ex] = action
	}
	for _, b := range t.market.Bars(nil, s.Code, from, to) {
		if b = a.live(b); !b.Trading {
			continue
		}
		row := fmt.Appendf(nil, `["%s",`, b.Date)
		for _, price := range []int64{b.Open, b.Close, b.High, b.Low} {
			row = append(row, '"')
			row = appendRounded(row, divide(price*factor(b.Date), factorOne), priceDecimals, 3)
			row = append(row, `",`...)
		}
		row = fmt.Appendf(row, `"%d.000"`, divide(b.Volume, 100))
		if action, ok := ex[b.Date]; ok {
			cash := appendRounded(nil, 10*action.Cash, ratioDecimals, 2)
			row = fmt.Appendf(row, `,{"nd":"%d","fh_sh":"%s","cqr":"%s","FHcontent":"10派%s元"}`, b.Date.Year()-1, cash, b.Date, cash)
		}
		a.rows.addRaw(append(row, ']'))
	}
}

// minutes writes the newest bars of minutes: the stamp is the end, yyyyMMddHHmm.
func (t tencent) minutes(a *webAsk, s *Security, size int) {
	var five [slots]Bar
	for _, b := range t.market.Bars(nil, s.Code, a.today-30, a.today-1) {
		if !b.Trading {
			continue
		}
		split(&b, hashText(0, s.Code), int64(power(priceDecimals-decimalsOf(s.Kind))), &five)
		for k := range slots * 5 / size {
			bar := merged(five[k*size/5 : (k+1)*size/5])
			row := fmt.Appendf(nil, `["%s%s",`, b.Date.Time().Format("20060102"), barEnd((k + 1) * size)[:4])
			for _, price := range []int64{bar.Open, bar.Close, bar.High, bar.Low} {
				row = append(row, '"')
				row = appendRounded(row, price, priceDecimals, decimalsOf(s.Kind))
				row = append(row, `",`...)
			}
			a.rows.addRaw(fmt.Appendf(row, `"%d.00",{},"0.0000"]`, divide(bar.Volume, 100)))
		}
	}
}

// quotes answers /q=sh600519,sz000001 in GBK.
func (t tencent) quotes(a *webAsk, codes []string) webAnswer {
	for _, code := range codes {
		security, known := t.security(a, code)
		if !known {
			a.rows.addRaw([]byte(`v_pv_none_match="1";` + "\n"))
			continue
		}
		if line := t.quote(a, code, security); line != nil {
			a.rows.addRaw(line)
		}
	}
	a.alter()
	body, err := simplifiedchinese.GBK.NewEncoder().Bytes(a.rows.buffer)
	if err != nil {
		return webAnswer{status: http.StatusInternalServerError}
	}
	return webAnswer{status: http.StatusOK, kind: "text/html; charset=GBK", body: body}
}

// quoteFields is how many fields a quote has.
const quoteFields = 88

// quote writes the newest day of a code.
func (t tencent) quote(a *webAsk, code string, s *Security) []byte {
	day := a.today
	for !t.market.Calendar().IsOpen(day) && day > t.market.Calendar().From() {
		day--
	}
	bars := t.market.Bars(nil, s.Code, day, day)
	if len(bars) == 0 {
		return nil
	}
	b := a.live(bars[0])
	clock := min(a.now.Sub(a.today.Time()), closesAt+3*time.Second)
	if day != a.today {
		clock = closesAt + 3*time.Second
	}
	if b.Trading = b.Trading && b.Volume > 0; !b.Trading {
		b.Open, b.High, b.Low, b.Close, b.Volume, b.Amount, b.Turn = 0, 0, 0, b.Preclose, 0, 0, 0
	}
	price := func(v int64) string { return string(appendRounded(nil, v, priceDecimals, decimalsOf(s.Kind))) }
	fields := make([]string, quoteFields)
	for i, text := range map[int]string{
		0: map[string]string{"sh": "1", "sz": "51"}[code[:2]], 1: s.Name, 2: code[2:], 3: price(b.Close), 4: price(b.Preclose), 5: price(b.Open),
		6: strconv.FormatInt(divide(b.Volume, 100), 10), 9: price(b.Close), 10: "12", 19: price(b.Close), 20: "7",
		30: day.Time().Add(clock).Format("20060102150405"), 31: price(b.Close - b.Preclose),
		33: price(b.High), 34: price(b.Low), 36: strconv.FormatInt(divide(b.Volume, 100), 10),
		37: strconv.FormatInt(divide(b.Amount, int64(power(priceDecimals))*10_000), 10),
		38: string(appendRounded(nil, b.Turn, ratioDecimals, 2)), 44: "100.00", 45: "120.00",
	} {
		fields[i] = text
	}
	return fmt.Appendf(nil, "v_%s=\"%s\";\n", code, strings.Join(fields, "~"))
}
