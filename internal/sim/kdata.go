package sim

import (
	"slices"
	"strings"
	"time"
)

// kdata answers query_history_k_data_plus: code, fields, start, end, frequency, adjustflag.
func kdata(a *asked) *refusal {
	code, frequency, adjust := strings.ToLower(a.args[0]), a.args[4], a.args[5]
	if !validCode(code) {
		return refuse("10004011")
	}
	allowed := kdataColumns(frequency)
	if allowed == nil || adjust != "1" && adjust != "2" && adjust != "3" {
		return refuse("10004006")
	}
	columns, refused := kdataFields(a.args[1], allowed)
	if refused != nil {
		return refused
	}
	from, to, refused := a.span(a.args[2], a.args[3])
	if refused != nil {
		return refused
	}
	security, ok := a.security(code)
	if !ok {
		return nil
	}
	style := barStyle{code: code, adjust: adjust, decimals: security.decimals(), dates: a.dates}
	w := barWriter{asked: a, style: style, columns: columns, adjust: adjust}
	if adjust != "3" {
		w.actions = a.market.Actions(code)
		w.latest = Back(w.actions, a.shown)
	}
	switch frequency {
	case "d":
		w.days(from, min(to, a.shown))
	case "w", "m":
		w.periods(frequency, from, to)
	default:
		if security.Kind != Index {
			w.minutes(frequency, security.Kind, from, min(to, a.shown))
		}
	}
	return nil
}

// kdataFields returns the columns named, each at most once.
func kdataFields(text string, allowed []kdataColumn) ([]kdataColumn, *refusal) {
	if strings.TrimSpace(text) == "" {
		return nil, refuse("10004005")
	}
	names := kdataNames()
	var columns []kdataColumn
	for name := range strings.SplitSeq(text, ",") {
		c := kdataColumn(slices.Index(names, strings.TrimSpace(name)))
		switch {
		case !slices.Contains(allowed, c):
			return nil, refuse("10004012")
		case slices.Contains(columns, c):
			return nil, refuse("10004018")
		}
		columns = append(columns, c)
	}
	return columns, nil
}

// barWriter writes the bars of one code into the page.
type barWriter struct {
	*asked
	style   barStyle
	columns []kdataColumn
	adjust  string
	actions []Action
	latest  int64 // backward factor of the newest action
}

// factor returns the factor of a day's prices; 0: raw. next counts the actions on or before the days
// asked so far, which come in order.
func (w *barWriter) factor(day Date, next *int) int64 {
	if w.adjust == "3" {
		return 0
	}
	for *next < len(w.actions) && w.actions[*next].Ex <= day {
		*next++
	}
	back := int64(factorOne)
	if *next > 0 {
		back = w.actions[*next-1].Back
	}
	if w.adjust == "2" {
		return Fore(back, w.latest)
	}
	return back
}

// days writes daily bars.
func (w *barWriter) days(from, to Date) {
	w.bars = w.market.Bars(w.bars[:0], w.style.code, from, to)
	first := min(w.rows.skip, len(w.bars))
	page := w.bars[first:min(first+w.rows.limit, len(w.bars))]
	next := 0
	for i := range page {
		w.style.factor = w.factor(page[i].Date, &next)
		w.write(&page[i])
	}
}

// write writes one bar.
func (w *barWriter) write(b *Bar) {
	w.rows.open()
	buffer := w.rows.buffer
	for i, c := range w.columns {
		if i == 0 {
			buffer = append(buffer, '"')
		} else {
			buffer = append(buffer, `","`...)
		}
		buffer = w.style.appendValue(buffer, c, b)
	}
	w.rows.buffer = append(buffer, '"')
	w.rows.close()
}

// periods writes weekly or monthly bars, dated on their last trading day, of periods that have ended.
func (w *barWriter) periods(frequency string, from, to Date) {
	calendar := w.market.Calendar()
	period := week
	if frequency == "m" {
		period = month
	}
	// Periods are whole even where the range cuts them; only those dated within it are served.
	w.bars = w.market.Bars(w.bars[:0], w.style.code, from-31, w.shown)
	next := 0
	for start := 0; start < len(w.bars); {
		id, end := period(w.bars[start].Date), start+1
		for end < len(w.bars) && period(w.bars[end].Date) == id {
			end++
		}
		group := w.bars[start:end]
		start = end
		last := group[len(group)-1].Date
		if last < from || last > to || !ended(calendar, period, last, w.shown) {
			continue
		}
		if bar, ok := w.merge(group, &next); ok {
			w.emit(&bar)
		}
	}
}

// ended reports whether no trading day of last's period comes after the day shown; beyond the calendar
// weekdays count as such.
func ended(c *Calendar, period func(Date) int, last, shown Date) bool {
	for day := shown + 1; period(day) <= period(last); day++ {
		if c.IsOpen(day) || day > c.To() && day.Weekday() != time.Saturday && day.Weekday() != time.Sunday {
			return false
		}
	}
	return true
}

// emit writes a bar unless it belongs to another page. Its prices are multiplied already.
func (w *barWriter) emit(b *Bar) {
	if w.rows.skip > 0 {
		w.rows.skip--
		return
	}
	if w.rows.count() < w.rows.limit {
		w.write(b)
	}
}

func week(day Date) int { return int(day+3) / 7 } // 1970-01-01 was a Thursday

func month(day Date) int {
	year, m, _ := day.Time().Date()
	return year*12 + int(m-time.January)
}

// merge makes one bar of several days, leaving out those without trading; none is left: false.
func (w *barWriter) merge(days []Bar, next *int) (Bar, bool) {
	var sum Bar
	var before int64
	for i := range days {
		b := &days[i]
		factor := w.factor(b.Date, next)
		if !b.Trading {
			continue
		}
		if factor == 0 {
			factor = factorOne // the day's prices as they are, below
		}
		price := func(raw int64) int64 { return raw * factor }
		if before == 0 {
			before = price(b.Preclose)
			sum = Bar{Open: price(b.Open), High: price(b.High), Low: price(b.Low), Trading: true}
		}
		sum.High, sum.Low = max(sum.High, price(b.High)), min(sum.Low, price(b.Low))
		sum.Close = price(b.Close)
		sum.Volume += b.Volume
		sum.Amount += b.Amount
		sum.Turn += b.Turn
	}
	if !sum.Trading {
		return Bar{}, false
	}
	sum.Date = days[len(days)-1].Date
	sum.Change = percent(sum.Close, before)
	w.style.factor = 1
	if w.adjust == "3" {
		for _, p := range []*int64{&sum.Open, &sum.High, &sum.Low, &sum.Close} {
			*p /= factorOne
		}
		w.style.factor = 0
	}
	return sum, true
}

// percent returns the change from before to now in 1e-6 percent, as the vendor does to four decimals.
// Prices of ten decimals lose four, so that the product fits.
func percent(now, before int64) int64 {
	const spare = 10_000
	return divide((now-before)/spare*1_000_000, max(before/spare, 1)) * 100
}
