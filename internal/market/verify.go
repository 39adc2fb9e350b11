package market

import (
	"bytes"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/tapeline/tapeline/batch"
)

// Reference is what a Verifier may know about a symbol; a rule whose fact is missing is not applied.
type Reference struct {
	Calendar   *Calendar
	Instrument *Instrument
	Factors    *Factors
}

// Verifier applies the cross-row rules of one dataset to its rows, which come in any number of
// batches: for bar_1d and valuation_1d each symbol's rows by date, for the others in the order of the
// key. It remembers the last row of each symbol, so partitions may follow each other. Unlike the rest
// of the package it has state: one goroutine at a time.
type Verifier struct {
	dataset Dataset
	about   func(Symbol) Reference
	symbols map[string]*history
	key     []byte // of the last row, for datasets without a daily date
}

// history is what is known of a symbol at its last row.
type history struct {
	Reference
	symbol Symbol
	rows   int // seen
	date   Date
	close  int64
}

// NewVerifier returns a verifier; about is asked once for each symbol and may be nil.
func NewVerifier(dataset string, about func(Symbol) Reference) (*Verifier, error) {
	d, ok := DatasetByName(dataset)
	if !ok {
		return nil, fmt.Errorf("verify %q: no such dataset", dataset)
	}
	if about == nil {
		about = func(Symbol) Reference { return Reference{} }
	}
	return &Verifier{dataset: d, about: about, symbols: map[string]*history{}}, nil
}

// Batch returns what the rows of the next dense batch break.
func (v *Verifier) Batch(b *batch.Batch) []RuleError {
	c, ok := newChecker(v.dataset.Name, b)
	if !ok {
		return c.found
	}
	switch v.dataset.Name {
	case Bar1D:
		v.dates(c, true)
	case Valuation1D, Crypto1D:
		v.dates(c, false)
	default:
		v.keys(c)
	}
	return c.found
}

// keys finds rows whose key is that of the row before.
func (v *Verifier) keys(c *checker) {
	columns := make([]*batch.Column, len(v.dataset.Key))
	for i, name := range v.dataset.Key {
		columns[i] = c.column(name)
	}
	var key []byte
	for i := range c.b.Len() {
		row := c.b.Row(i)
		key = batch.AppendKey(key[:0], columns, row)
		if bytes.Equal(key, v.key) {
			c.add(row, RuleDuplicate, "the key is that of the row before")
		}
		v.key = append(v.key[:0], key...)
	}
}

// dates follows each symbol from row to row.
func (v *Verifier) dates(c *checker, bars bool) {
	symbols, dates := c.column("symbol"), batch.Values[int32](c.column("date"))
	rows := barRows{}
	if bars {
		rows = newBarRows(c)
	}
	var h *history
	var last []byte
	for i := range c.b.Len() {
		row := c.b.Row(i)
		if text := symbols.Bytes(row); h == nil || !bytes.Equal(text, last) {
			last = text
			if h = v.history(text); h == nil {
				c.add(row, RuleSymbol, "not canonical: "+string(text))
				continue
			}
		}
		d := Date(dates[row])
		if h.rows > 0 && d <= h.date {
			rule, word := RuleDuplicate, "twice"
			if d < h.date {
				rule, word = RuleUnsorted, "after "+h.date.String()
			}
			c.add(row, rule, fmt.Sprintf("%s %s comes %s", last, d, word))
			continue
		}
		h.checkDate(c, row, d)
		if bars {
			h.checkBar(c, row, d, rows)
			h.close = unscaled(rows.close[row])
		}
		h.date = d
		h.rows++
	}
}

// history returns what is known of a symbol, nil when it is none.
func (v *Verifier) history(text []byte) *history {
	if h, ok := v.symbols[string(text)]; ok {
		return h
	}
	symbol, err := ParseSymbol(string(text))
	if err != nil {
		return nil
	}
	h := &history{Reference: v.about(symbol), symbol: symbol}
	v.symbols[string(text)] = h
	return h
}

// checkDate applies RuleSession and RuleLife.
func (h *history) checkDate(c *checker, row int, d Date) {
	if h.Calendar != nil {
		if open, err := h.Calendar.IsOpen(d); err != nil {
			c.add(row, RuleSession, err.Error())
		} else if !open {
			c.add(row, RuleSession, fmt.Sprintf("%s is no session of %s", d, h.Calendar.MIC()))
		}
	}
	if h.Instrument != nil && !h.Instrument.Life().Contains(d) {
		c.add(row, RuleLife, fmt.Sprintf("%s lies outside the listing %s", d, h.Instrument.lifeText()))
	}
}

// lifeText returns the listing's dates, "?" for unknown ends.
func (i Instrument) lifeText() string {
	end := func(d Date) string {
		if d == 0 {
			return "?"
		}
		return d.String()
	}
	return end(i.IPO) + ".." + end(i.Out)
}

// barRows are the columns that checkBar reads.
type barRows struct {
	high, low, close []decimal128.Num
	preclose         []decimal128.Num
	hasPreclose      *batch.Column
	st               *batch.Column
}

func newBarRows(c *checker) barRows {
	return barRows{
		high: c.fixed("high"), low: c.fixed("low"), close: c.fixed("close"),
		preclose: c.fixed("preclose"), hasPreclose: c.column("preclose"), st: c.column("is_st"),
	}
}

// checkBar applies RulePreclose, RuleFactorProduct and RuleLimitBand.
func (h *history) checkBar(c *checker, row int, d Date, rows barRows) {
	if rows.hasPreclose.IsNull(row) {
		return
	}
	preclose := unscaled(rows.preclose[row])
	if h.rows > 0 && h.follows(d) {
		h.checkChain(c, row, d, preclose)
	}
	st := !rows.st.IsNull(row) && rows.st.Bits().Get(row)
	percent := LimitPercent(h.symbol, d, st)
	if percent == 0 || !h.limited(d) {
		return
	}
	// Exchanges round the limit to their tick; one cent of tolerance covers that.
	const cent = 100
	high, low := unscaled(rows.high[row]), unscaled(rows.low[row])
	if band := preclose / 100 * percent; high > preclose+band+cent || low < preclose-band-cent {
		c.add(row, RuleLimitBand, fmt.Sprintf("%s to %s is more than %d %% from %s",
			FormatFixed(low, PriceScale), FormatFixed(high, PriceScale), percent, FormatFixed(preclose, PriceScale)))
	}
}

// follows reports whether no session lies between the last row and the date.
func (h *history) follows(d Date) bool {
	if h.Calendar == nil {
		return true
	}
	between, err := h.Calendar.Count(h.date+1, d-1)
	return err == nil && between == 0
}

// checkChain compares preclose with the close of the session before, by the factors of both days.
func (h *history) checkChain(c *checker, row int, d Date, preclose int64) {
	if h.Factors == nil {
		return
	}
	before, after := h.Factors.Back(h.date), h.Factors.Back(d)
	if before == after {
		if preclose != h.close {
			c.add(row, RulePreclose, fmt.Sprintf("preclose %s, but %s closed at %s and %s is no ex-date",
				FormatFixed(preclose, PriceScale), h.date, FormatFixed(h.close, PriceScale), d))
		}
		return
	}
	// after / before = close / preclose, to 1/10,000
	want := decimal128.FromI64(before).Mul(decimal128.FromI64(h.close))
	got := decimal128.FromI64(after).Mul(decimal128.FromI64(preclose))
	if got.Sub(want).Abs().Mul(decimal128.FromI64(10_000)).Greater(want) {
		c.add(row, RuleFactorProduct, fmt.Sprintf("back factor goes from %s to %s, but close %s to preclose %s",
			FormatFixed(before, FactorScale), FormatFixed(after, FactorScale),
			FormatFixed(h.close, PriceScale), FormatFixed(preclose, PriceScale)))
	}
}

// limited reports whether the price limit applies: not in the first sessions of a listing. When it is
// not known when that was, the first rows count as such, as many as any board leaves free.
func (h *history) limited(d Date) bool {
	if h.Instrument == nil || h.Instrument.IPO == 0 || h.Calendar == nil {
		return h.rows >= reformFree
	}
	age, err := h.Calendar.Count(h.Instrument.IPO, d)
	return err != nil || age > freeSessions(h.symbol, h.Instrument.IPO)
}

// Dates on which price limits changed.
var (
	limitsBegin = DateOf(1996, 12, 16)
	chiNext20   = DateOf(2020, 8, 24) // ChiNext went from 10 to 20 %
	mainReform  = DateOf(2023, 4, 10) // first listings of the main board without limits for five days
	stReform    = DateOf(2025, 7, 1)  // from here on the wider limit is assumed for ST shares
)

// reformFree is how many sessions a listing has no limit where it is made by registration.
const reformFree = 5

// freeSessions returns how many sessions a listing begins with that have no price limit, or a wider one.
func freeSessions(s Symbol, ipo Date) int {
	switch b := boardOf(s); {
	case b == starBoard, b == chiNext && ipo >= chiNext20, b == mainBoard && ipo >= mainReform:
		return reformFree
	}
	return 1
}

// board is a part of a Chinese exchange with rules of its own.
type board uint8

const (
	mainBoard board = iota + 1
	starBoard
	chiNext
	bjBoard
)

// boardOf returns the board of a share, 0 for what is none.
func boardOf(s Symbol) board {
	if !s.MIC.china() {
		return 0
	}
	if mic, ok := chinaMarket(s.Code, Stock); !ok || mic != s.MIC {
		return 0
	}
	switch prefix := s.Code[:2]; {
	case s.MIC == BJSE:
		return bjBoard
	case prefix == "68":
		return starBoard
	case prefix == "30":
		return chiNext
	}
	return mainBoard
}

// LimitPercent returns how far a Chinese share may move from its preclose in a day, in percent; 0 when
// no limit is known: other markets and classes, and the time before limits.
func LimitPercent(s Symbol, d Date, st bool) int64 {
	b := boardOf(s)
	switch {
	case b == 0, d < limitsBegin:
		return 0
	case b == bjBoard:
		return 30
	case b == starBoard, b == chiNext && d >= chiNext20:
		return 20
	case b == mainBoard && st && d < stReform: // no other board has a narrower limit for ST
		return 5
	}
	return 10
}
