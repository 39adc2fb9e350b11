package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// TushareKinds are the kinds of requests that a fault script of tushare may name: the tables.
func TushareKinds() []string {
	return []string{"daily", "suspend_d", "adj_factor", "trade_cal", "stock_basic"}
}

// StartTushare serves the tables of Tushare over a Chinese market until ctx ends or Close. Any token but
// none is good; over its limit it answers with the vendor's text about requests a minute.
func StartTushare(ctx context.Context, listen string, m Market, config WebConfig) (*Web, error) {
	return startWeb(ctx, listen, tushare{m}, config)
}

// tushare answers as api.tushare.pro does.
type tushare struct{ market Market }

func (tushare) name() string           { return "tushare" }
func (tushare) kinds() []string        { return TushareKinds() }
func (tushare) pageCap() int           { return 6000 }
func (tushare) cost(*http.Request) int { return 1 }
func (t tushare) lastDay() Date        { return t.market.Calendar().To() }

// tushareQuestion is the body of a request.
type tushareQuestion struct {
	Name   string         `json:"api_name"`
	Token  string         `json:"token"`
	Params map[string]any `json:"params"`
	Fields string         `json:"fields"`
}

func (t tushare) question(r *http.Request) (q tushareQuestion, ok bool) {
	const most = 1 << 20
	body, err := io.ReadAll(io.LimitReader(r.Body, most))
	r.Body = io.NopCloser(bytes.NewReader(body)) // asked again by the answer
	return q, err == nil && r.Method == http.MethodPost && json.Unmarshal(body, &q) == nil
}

// kind is the table asked for; all that is not one of them is answered as the first.
func (t tushare) kind(r *http.Request) string {
	q, ok := t.question(r)
	switch {
	case !ok:
		return ""
	case slices.Contains(TushareKinds(), q.Name):
		return q.Name
	}
	return TushareKinds()[0]
}

// tushareError is an error of the vendor: a success with a code and a text.
func tushareError(code int, text string) webAnswer {
	body := fmt.Appendf(nil, `{"request_id":"","code":%d,"msg":`, code)
	return jsonAnswer(append(appendJSON(body, text), `,"data":null}`...))
}

func (tushare) refuse(int, time.Duration) webAnswer {
	return tushareError(40203, "抱歉，您每分钟最多访问该接口200次，权限的具体详情访问：https://tushare.pro/document/1?doc_id=108。")
}

// tushareTable is an answer in the making.
type tushareTable struct {
	*webAsk

	market   Market
	question tushareQuestion
	shown    Date // the last day that is published
	fields   []string
	wanted   []int // of fields, in the order of the answer
}

func (t tushare) answer(a *webAsk) webAnswer {
	q, _ := t.question(a.request)
	table := &tushareTable{webAsk: a, market: t.market, question: q, shown: a.today}
	if a.now.Sub(a.today.Time()) < tusharePublishes {
		table.shown--
	}
	if a.has(faultFail) {
		return tushareError(50101, "系统内部错误，请稍后再试")
	}
	if q.Token == "" {
		return tushareError(40101, "您的token不对，请确认。")
	}
	answer, ok := map[string]func() webAnswer{
		"daily": table.daily, "suspend_d": table.suspended, "adj_factor": table.factors,
		"trade_cal": table.calendar, "stock_basic": table.basics,
	}[q.Name]
	if !ok {
		return tushareError(-2001, "参数校验失败，请指定正确的接口名 "+q.Name)
	}
	return answer()
}

// tusharePublishes is when the bars of a day come in.
const tusharePublishes = 16 * time.Hour

func (t *tushareTable) param(name string) string {
	switch v := t.question.Params[name].(type) {
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return ""
}

// begin chooses the fields: those asked for, in that order, or all.
func (t *tushareTable) begin(all string) {
	t.fields = strings.Split(all, ",")
	for field := range strings.SplitSeq(t.question.Fields, ",") {
		if i := slices.Index(t.fields, strings.TrimSpace(field)); i >= 0 {
			t.wanted = append(t.wanted, i)
		}
	}
	if len(t.wanted) == 0 {
		for i := range t.fields {
			t.wanted = append(t.wanted, i)
		}
	}
}

// row adds a row; values are JSON, in the order of all fields.
func (t *tushareTable) row(values ...string) {
	text := []byte{'['}
	for i, at := range t.wanted {
		if i > 0 {
			text = append(text, ',')
		}
		text = append(text, values[at]...)
	}
	t.rows.addRaw(append(text, ']'))
}

// end answers with the rows from offset on: as many as limit says and the service gives. Rows beyond what
// the service gives are left out in silence.
func (t *tushareTable) end() webAnswer {
	t.alter()
	offset, _ := strconv.Atoi(t.param("offset"))
	limit, err := strconv.Atoi(t.param("limit"))
	if err != nil || limit > t.pageCap {
		limit = t.pageCap
	}
	left := max(t.rows.count()-offset, 0)
	t.rows.last(left)
	more := left > limit && limit < t.pageCap
	body := fmt.Appendf(nil, `{"request_id":"%016x","code":0,"msg":"","data":{"fields":[`, hashText(1, t.question.Name))
	for i, at := range t.wanted {
		if i > 0 {
			body = append(body, ',')
		}
		body = appendJSON(body, t.fields[at])
	}
	body = append(body, `],"items":[`...)
	for i := range min(left, limit) {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, t.rows.row(i)...)
	}
	return jsonAnswer(fmt.Appendf(body, `],"has_more":%t,"count":-1}}`, more))
}

// tushareCode writes sh.600000 as 600000.SH.
func tushareCode(code string) string { return code[3:] + "." + strings.ToUpper(code[:2]) }

// span returns the days a question is about.
func (t *tushareTable) span() (from, to Date, refused *webAnswer) {
	day := func(name string, missing Date) Date {
		text := t.param(name)
		if text == "" {
			return missing
		}
		at, err := time.Parse("20060102", text)
		if err != nil {
			bad := tushareError(-2001, "参数校验失败，日期格式错误 "+text)
			refused = &bad
			return missing
		}
		return dayOf(at)
	}
	calendar := t.market.Calendar()
	from, to = day("start_date", calendar.From()), day("end_date", calendar.To())
	if one := day("trade_date", 0); one != 0 {
		from, to = one, one
	}
	return from, to, refused
}

// asks returns the stocks a question is about, and its days as far as they are published.
func (t *tushareTable) asks() (list []Security, from, to Date, refused *webAnswer) {
	from, to, refused = t.span()
	code := t.param("ts_code")
	if code == "" && from != to {
		bad := tushareError(-2001, "必填参数，ts_code 或 trade_date")
		return nil, 0, 0, &bad
	}
	for _, s := range t.market.Securities() {
		if s.Kind == Stock && s.shows(t.today) && (code == "" || tushareCode(s.Code) == code) {
			list = append(list, s)
		}
	}
	return list, from, min(to, t.shown), refused
}

// quoted writes a text as JSON.
func quoted(text string) string { return string(appendJSON(nil, text)) }

func tushareDay(d Date) string { return strings.ReplaceAll(d.String(), "-", "") }

// shortest writes value/10^scale with as many decimals as it needs, one at least, as Python does.
func shortest(value int64, scale int) string {
	text := string(appendFixed(nil, value, scale, scale))
	text = strings.TrimRight(text, "0")
	if strings.HasSuffix(text, ".") {
		text += "0"
	}
	return text
}

// daily answers table daily: lots, and thousands of yuan; nothing of a day without trading.
func (t *tushareTable) daily() webAnswer {
	list, from, to, refused := t.asks()
	if refused != nil {
		return *refused
	}
	t.begin("ts_code,trade_date,open,high,low,close,pre_close,change,pct_chg,vol,amount")
	var bars []Bar
	for _, s := range list {
		bars = t.market.Bars(bars[:0], s.Code, from, to)
		for i := range bars {
			b := &bars[len(bars)-1-i] // newest first
			if !b.Trading {
				continue
			}
			price := func(v int64) string { return shortest(v, priceDecimals) }
			t.row(quoted(tushareCode(s.Code)), quoted(tushareDay(b.Date)), price(b.Open), price(b.High), price(b.Low),
				price(b.Close), price(b.Preclose), price(b.Close-b.Preclose), shortest(b.Change, ratioDecimals),
				shortest(b.Volume, 2), shortest(b.Amount, priceDecimals+3))
		}
	}
	return t.end()
}

// suspended answers table suspend_d: a row for each day on which a stock did not trade at all.
func (t *tushareTable) suspended() webAnswer {
	list, from, to, refused := t.asks()
	if refused != nil {
		return *refused
	}
	t.begin("ts_code,trade_date,suspend_timing,suspend_type")
	if t.param("suspend_type") == "R" {
		return t.end()
	}
	for _, s := range list {
		for _, day := range t.market.Calendar().Open(from, to) {
			if state := t.market.State(s.Code, day); state.Listed && !state.Trading {
				t.row(quoted(tushareCode(s.Code)), quoted(tushareDay(day)), "null", `"S"`)
			}
		}
	}
	return t.end()
}

// factors answers table adj_factor: the factor of every open day of a listing.
func (t *tushareTable) factors() webAnswer {
	list, from, to, refused := t.asks()
	if refused != nil {
		return *refused
	}
	t.begin("ts_code,trade_date,adj_factor")
	days := t.market.Calendar().Open(from, to)
	for _, s := range list {
		actions := t.market.Actions(s.Code)
		for i := range days {
			day := days[len(days)-1-i]
			if t.market.State(s.Code, day).Listed {
				t.row(quoted(tushareCode(s.Code)), quoted(tushareDay(day)), shortest(Back(actions, day), ratioDecimals))
			}
		}
	}
	return t.end()
}

// calendar answers table trade_cal, newest first.
func (t *tushareTable) calendar() webAnswer {
	from, to, refused := t.span()
	if refused != nil {
		return *refused
	}
	to = min(to, t.market.Calendar().To())
	t.begin("exchange,cal_date,is_open,pretrade_date")
	exchange := t.param("exchange")
	if exchange == "" {
		exchange = "SSE"
	}
	for day := to; day >= max(from, t.market.Calendar().From()); day-- {
		before := "null"
		for d := day - 1; d >= t.market.Calendar().From(); d-- {
			if t.market.Calendar().IsOpen(d) {
				before = quoted(tushareDay(d))
				break
			}
		}
		open := "0"
		if t.market.Calendar().IsOpen(day) {
			open = "1"
		}
		t.row(quoted(exchange), quoted(tushareDay(day)), open, before)
	}
	return t.end()
}

// basics answers table stock_basic: what is listed (L, the default) or was (D).
func (t *tushareTable) basics() webAnswer {
	t.begin("ts_code,symbol,name,area,industry,market,exchange,list_status,list_date,delist_date")
	wanted := t.param("list_status")
	if wanted == "" {
		wanted = "L"
	}
	for _, s := range t.market.Securities() {
		status, out := "L", "null"
		if s.Out != 0 && s.Out <= t.today {
			status, out = "D", quoted(tushareDay(s.Out))
		}
		if s.Kind != Stock || !s.shows(t.today) || status != wanted {
			continue
		}
		exchange := map[string]string{"sh": "SSE", "sz": "SZSE"}[s.Code[:2]]
		t.row(quoted(tushareCode(s.Code)), quoted(s.Code[3:]), quoted(s.Name), "null", "null", `"主板"`, quoted(exchange),
			quoted(status), quoted(tushareDay(s.IPO)), out)
	}
	return t.end()
}
