package sim

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// EastMoneyKinds are the kinds of requests that a fault script of eastmoney may name.
func EastMoneyKinds() []string { return []string{"kline", "list"} }

// StartEastMoney serves the k-lines and lists of EastMoney over a Chinese market until ctx ends or
// Close. Over its limit it hangs up without an answer, as the vendor does.
func StartEastMoney(ctx context.Context, listen string, m Market, config WebConfig) (*Web, error) {
	return startWeb(ctx, listen, eastMoney{m}, config)
}

// eastMoney answers as push2his.eastmoney.com and push2.eastmoney.com do.
type eastMoney struct{ market Market }

const (
	eastMoneyKline = "/api/qt/stock/kline/get"
	eastMoneyList  = "/api/qt/clist/get"
)

func (eastMoney) name() string           { return "eastmoney" }
func (eastMoney) kinds() []string        { return EastMoneyKinds() }
func (eastMoney) pageCap() int           { return 100 } // since March 2025
func (eastMoney) cost(*http.Request) int { return 1 }
func (e eastMoney) lastDay() Date        { return e.market.Calendar().To() }
func (eastMoney) kind(r *http.Request) string {
	return map[string]string{eastMoneyKline: "kline", eastMoneyList: "list"}[r.URL.Path]
}

func (eastMoney) refuse(int, time.Duration) webAnswer { return webAnswer{} }

func (e eastMoney) answer(a *webAsk) webAnswer {
	if a.request.URL.Path == eastMoneyList {
		return e.list(a)
	}
	return e.kline(a)
}

// nothing is the vendor's answer about what it does not know.
func nothing(rc int) webAnswer {
	return jsonAnswer(fmt.Appendf(nil, `{"rc":%d,"rt":17,"svr":181669437,"lt":1,"full":0,"dlmkts":"","data":null}`, rc))
}

// vendorCode returns the code of a secid: 1.600000 is sh.600000, 0.000001 sz.000001.
func vendorCode(secid string) string {
	market, code, _ := strings.Cut(secid, ".")
	switch market {
	case "1":
		return "sh." + code
	case "0":
		return "sz." + code
	}
	return ""
}

// decimalsOf is how many decimals a vendor gives the prices of a kind.
func decimalsOf(kind Kind) int {
	if kind == ETF {
		return 3
	}
	return 2
}

// appendRounded appends value/10^scale rounded to fewer decimals.
func appendRounded(dst []byte, value int64, scale, decimals int) []byte {
	return appendFixed(dst, divide(value, int64(power(scale-decimals))), decimals, decimals)
}

// kline answers /api/qt/stock/kline/get.
func (e eastMoney) kline(a *webAsk) webAnswer {
	code := vendorCode(a.query("secid"))
	list := e.market.Securities()
	i, known := findSecurity(list, code)
	from, okFrom := barDate(a.query("beg"), e.market.Calendar().From())
	to, okTo := barDate(a.query("end"), e.market.Calendar().To())
	minutes, okFrequency := map[string]int{"101": 0, "5": 5, "15": 15, "30": 30, "60": 60}[a.query("klt")]
	if !okFrom || !okTo || !okFrequency || a.query("fields2") == "" {
		return nothing(102)
	}
	if !known || !list[i].shows(a.today) {
		return nothing(100)
	}
	w := eastMoneyWriter{webAsk: a, market: e.market, security: &list[i], adjust: a.query("fqt")}
	columns, ok := eastMoneyColumns(a.query("fields2"))
	if !ok {
		return nothing(102)
	}
	w.columns = columns
	if to = min(to, a.today); minutes == 0 {
		w.days(from, to)
	} else if list[i].Kind != Index {
		w.minutes(minutes, from, to)
	}
	if limit, err := strconv.Atoi(a.query("lmt")); err == nil && limit < w.rows.count() {
		w.rows.last(limit)
	}
	a.alter()
	body := fmt.Appendf(nil, `{"rc":0,"rt":17,"svr":181669437,"lt":1,"full":0,"dlmkts":"","data":{"code":"%s","market":%s,"name":`,
		code[3:], a.query("secid")[:1])
	body = appendJSON(body, list[i].Name)
	body = fmt.Appendf(body, `,"decimal":%d,"dktotal":%d,"preKPrice":0.0,"klines":[`, decimalsOf(list[i].Kind), w.rows.count())
	body = w.rows.appendJoined(body)
	return jsonAnswer(append(body, `]}}`...))
}

// barDate reads YYYYMMDD; 0 and dates far away stand for an end of the history.
func barDate(text string, end Date) (Date, bool) {
	if text == "0" || text == "" {
		return end, true
	}
	t, err := time.Parse("20060102", text)
	return dayOf(t), err == nil
}

// eastMoneyColumns reads fields2: f51 to f61, in any order.
func eastMoneyColumns(text string) ([]int, bool) {
	var columns []int
	for name := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(strings.TrimPrefix(name, "f"))
		if err != nil || n < 51 || n > 61 {
			return nil, false
		}
		columns = append(columns, n)
	}
	return columns, true
}

// eastMoneyWriter writes the bars of one security.
type eastMoneyWriter struct {
	*webAsk
	market   Market
	security *Security
	adjust   string // 0 none, 1 forward, 2 backward
	columns  []int
	actions  []Action
}

// days writes daily bars; a day without trading has none.
func (w *eastMoneyWriter) days(from, to Date) {
	w.each(from, to, func(b *Bar, before int64) {
		w.write(b.Date.String(), w.adjusted(b), before)
	})
}

// each calls f for the days of trading with the close of the one before, or the preclose where there
// is none. What the vendor calls the change is counted from that close, also on an ex-right day.
func (w *eastMoneyWriter) each(from, to Date, f func(b *Bar, before int64)) {
	w.actions = w.market.Actions(w.security.Code)
	before := int64(0)
	for _, b := range w.market.Bars(nil, w.security.Code, w.market.Calendar().From(), to) {
		if b = w.live(b); !b.Trading {
			continue
		}
		adjusted := w.adjusted(&b)
		if before == 0 {
			before = adjusted.Preclose
		}
		if b.Date >= from {
			f(&b, before)
		}
		before = adjusted.Close
	}
}

// adjusted returns the bar with adjusted prices where they are asked for.
func (w *eastMoneyWriter) adjusted(b *Bar) *Bar {
	factor := int64(factorOne)
	switch w.adjust {
	case "1":
		factor = Fore(Back(w.actions, b.Date), Back(w.actions, w.today))
	case "2":
		factor = Back(w.actions, b.Date)
	}
	out := *b
	for _, price := range []*int64{&out.Open, &out.High, &out.Low, &out.Close, &out.Preclose} {
		*price = divide(*price*factor, factorOne)
	}
	return &out
}

// minutes writes bars of minutes; their stamp is the end.
func (w *eastMoneyWriter) minutes(size int, from, to Date) {
	var five [slots]Bar
	w.each(from, min(to, w.today-1), func(b *Bar, before int64) {
		tick := int64(power(priceDecimals - decimalsOf(w.security.Kind)))
		split(b, hashText(0, w.security.Code), tick, &five)
		for k := range slots * 5 / size {
			bar := merged(five[k*size/5 : (k+1)*size/5])
			clock := barEnd((k + 1) * size)
			bar = *w.adjusted(&bar)
			w.write(b.Date.String()+" "+clock[:2]+":"+clock[2:4], &bar, before)
			before = bar.Close
		}
	})
}

// merged makes one bar of neighbouring ones.
func merged(bars []Bar) Bar {
	sum := bars[0]
	for _, b := range bars[1:] {
		sum.High, sum.Low, sum.Close = max(sum.High, b.High), min(sum.Low, b.Low), b.Close
		sum.Volume += b.Volume
		sum.Amount += b.Amount
	}
	return sum
}

// write writes a bar as a text with the columns asked for: open, close, high, low, in that order.
func (w *eastMoneyWriter) write(stamp string, b *Bar, before int64) {
	decimals := decimalsOf(w.security.Kind)
	line := []byte{'"'}
	for i, column := range w.columns {
		if i > 0 {
			line = append(line, ',')
		}
		switch column {
		case 51:
			line = append(line, stamp...)
		case 52, 53, 54, 55:
			price := []int64{b.Open, b.Close, b.High, b.Low}[column-52]
			line = appendRounded(line, price, priceDecimals, decimals)
		case 56:
			line = strconv.AppendInt(line, divide(b.Volume, 100), 10) // lots
		case 57:
			line = appendRounded(line, b.Amount, priceDecimals, 2)
		case 58:
			line = appendRounded(line, percent(before+b.High-b.Low, before), ratioDecimals, 2)
		case 59:
			line = appendRounded(line, percent(b.Close, before), ratioDecimals, 2)
		case 60:
			line = appendRounded(line, b.Close-before, priceDecimals, decimals)
		case 61:
			line = appendRounded(line, b.Turn, ratioDecimals, 2)
		}
	}
	w.rows.addRaw(append(line, '"'))
}

// list answers /api/qt/clist/get: what is listed today, by code.
func (e eastMoney) list(a *webAsk) webAnswer {
	page, err := strconv.Atoi(a.query("pn"))
	size, err2 := strconv.Atoi(a.query("pz"))
	if err != nil || err2 != nil || page < 1 || size < 1 {
		return nothing(102)
	}
	size = min(size, a.pageCap)
	var chosen []Security
	for _, s := range e.market.Securities() {
		if s.shows(a.today) && (s.Out == 0 || s.Out > a.today) && inGroups(a.query("fs"), &s) {
			chosen = append(chosen, s)
		}
	}
	slices.SortFunc(chosen, func(a, b Security) int { return strings.Compare(a.Code[3:], b.Code[3:]) })
	if len(chosen) == 0 || (page-1)*size >= len(chosen) {
		return nothing(0)
	}
	for _, s := range chosen[(page-1)*size : min(page*size, len(chosen))] {
		a.rows.addRaw(e.listed(a, &s))
	}
	a.alter()
	body := fmt.Appendf(nil, `{"rc":0,"rt":6,"svr":181669437,"lt":1,"full":1,"dlmkts":"","data":{"total":%d,"diff":[`, len(chosen))
	body = a.rows.appendJoined(body)
	return jsonAnswer(append(body, `]}}`...))
}

// inGroups reports whether a security is in the groups that fs names.
func inGroups(fs string, s *Security) bool {
	group := ""
	switch {
	case s.Kind == ETF:
		group = "b:MK0021"
	case s.Kind == Index && strings.HasPrefix(s.Code, "sh."):
		group = "m:1 s:2"
	case s.Kind == Index:
		group = "m:0 t:5"
	case strings.HasPrefix(s.Code, "sh.68"):
		group = "m:1 t:23"
	case strings.HasPrefix(s.Code, "sh."):
		group = "m:1 t:2"
	case strings.HasPrefix(s.Code, "sz.30"):
		group = "m:0 t:80"
	default:
		group = "m:0 t:6"
	}
	return slices.Contains(strings.Split(strings.ReplaceAll(fs, "+", " "), ","), group)
}

// listed writes one line of a list with the fields asked for. Prices are integers, scaled by f152,
// unless fltt is 2; a price that is not there is a dash.
func (e eastMoney) listed(a *webAsk, s *Security) []byte {
	line := []byte{'{'}
	var last []Bar
	for name := range strings.SplitSeq(a.query("fields"), ",") {
		if len(line) > 1 {
			line = append(line, ',')
		}
		line = fmt.Appendf(line, `"%s":`, name)
		switch name {
		case "f12":
			line = fmt.Appendf(line, `"%s"`, s.Code[3:])
		case "f13":
			line = append(line, map[string]string{"sh": "1", "sz": "0"}[s.Code[:2]]...)
		case "f14":
			line = appendJSON(line, s.Name)
		case "f26":
			line = append(line, s.IPO.Time().Format("20060102")...)
		case "f152":
			line = strconv.AppendInt(line, int64(decimalsOf(s.Kind)), 10)
		case "f2":
			if last == nil {
				last = e.market.Bars(nil, s.Code, a.today-14, a.today)
			}
			if len(last) == 0 || !last[len(last)-1].Trading {
				line = append(line, `"-"`...)
				continue
			}
			price, decimals := last[len(last)-1].Close, decimalsOf(s.Kind)
			if a.query("fltt") == "2" {
				line = appendRounded(line, price, priceDecimals, decimals)
			} else {
				line = strconv.AppendInt(line, divide(price, int64(power(priceDecimals-decimals))), 10)
			}
		default:
			line = append(line, `"-"`...)
		}
	}
	return append(line, '}')
}
