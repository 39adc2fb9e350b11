package baostock

import (
	"bytes"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/market"
)

// form is how a cell becomes a value.
type form uint8

const (
	skipped   form = iota
	dateForm       // 2024-01-02
	decimal        // of the column's scale, exactly
	amount         // decimal; text in the second column where its digits are too many
	count          // whole number
	flag           // 0 or 1
	text           // as it is
	symbol         // sh.600000 -> 600000.XSHG
	class          // 1 to 5 -> market.Class
	state          // 0 or 1 -> market.Delisted or market.Listed
	barEnd         // 20240102093500000 -> start of the bar
	sameCode       // must be the code that was asked for
	notAdjust      // must say that prices are not adjusted
)

// binding says where the cells of a field go.
type binding struct {
	field  string
	form   form
	column string // "": it is only checked
	also   string // a second column for the same date or amount
}

// constant is a text that every row has.
type constant struct {
	column string
	text   string
}

// variant is one row that a record makes.
type variant struct {
	bindings  []binding
	constants []constant
}

// shape is how the records of an answer become rows of a dataset: one per variant.
type shape struct {
	dataset  market.Dataset
	variants []variant
	raw      string // column that gets the record as it was received; "" none
}

// slot is a binding with column numbers.
type slot struct {
	form     form
	column   int // -1: none
	also     int // -1: none
	scale    int
	nullable bool
	field    string
}

// layout is a variant for the fields of one answer.
type layout struct {
	cells     []slot
	constants []constantSlot
	nulls     []int       // columns that only other variants write
	raw       int         // -1: none
	final     int         // -1: none
	last      market.Date // rows after it are not final
	span      market.Interval
	code      string
	barMicros int64
}

type constantSlot struct {
	column int
	text   []byte
}

// layouts finds the fields of an answer by name.
func (s *shape) layouts(fields []string, c *call, last market.Date) ([]layout, error) {
	schema := s.dataset.Schema
	index := func(name string) int {
		if name == "" {
			return -1
		}
		return schema.Index(name)
	}
	list := make([]layout, len(s.variants))
	for n, v := range s.variants {
		l := layout{
			cells: make([]slot, len(fields)), raw: index(s.raw), final: schema.Index("final"), last: last,
			span: c.span, code: c.code, barMicros: c.barMicros,
		}
		for i, field := range fields {
			l.cells[i] = slot{column: -1, also: -1, nullable: true, field: field}
		}
		for _, b := range v.bindings {
			at := fieldIndex(fields, b.field)
			if at < 0 {
				return nil, noField(b.field, fields)
			}
			l.cells[at] = slot{b.form, index(b.column), index(b.also), 0, true, b.field}
			if cell := &l.cells[at]; cell.column >= 0 {
				cell.nullable = schema.Field(cell.column).Nullable
				cell.scale = int(schema.Field(cell.column).Type.Scale)
			}
		}
		for _, fixed := range v.constants {
			l.constants = append(l.constants, constantSlot{index(fixed.column), []byte(fixed.text)})
		}
		list[n] = l
	}
	for n := range list {
		for other := range list {
			for _, cell := range list[other].cells {
				for _, column := range [...]int{cell.column, cell.also} {
					if column >= 0 && !list[n].writes(column) && !slices.Contains(list[n].nulls, column) {
						list[n].nulls = append(list[n].nulls, column)
					}
				}
			}
		}
	}
	return list, nil
}

// writes reports whether a cell goes into the column.
func (l *layout) writes(column int) bool {
	for _, cell := range l.cells {
		if cell.column == column || cell.also == column {
			return true
		}
	}
	return false
}

func fieldIndex(fields []string, name string) int {
	for i, field := range fields {
		if field == name {
			return i
		}
	}
	return -1
}

// bind marks the columns that the layout writes.
func (l *layout) bind(columns []column) {
	mark := func(i int) {
		if i >= 0 {
			columns[i].bound = true
		}
	}
	for _, cell := range l.cells {
		mark(cell.column)
		mark(cell.also)
	}
	for _, fixed := range l.constants {
		mark(fixed.column)
	}
	mark(l.raw)
	mark(l.final)
}

// Rules that a record breaks by itself.
const (
	ruleNoRecord = "not_a_record"
	ruleLength   = "row_length"
	ruleMissing  = "missing_value"
	ruleText     = "bad_text"
	ruleDate     = "bad_date"
	ruleNumber   = "bad_number"
	ruleInexact  = "inexact_number" // more decimals than are kept
	ruleFlag     = "bad_flag"
	ruleSymbol   = "bad_symbol"
	ruleCode     = "wrong_code"
	ruleAdjusted = "adjusted_price"
	ruleRange    = "outside_range"
)

// recordReader reads records. It has scratch of its own; a worker has one.
type recordReader struct {
	scratch []byte
	date    market.Date // of the record at hand; 0: none was read
	why     string      // what is wrong with it
}

// read writes a record as a row; the rule it breaks is returned, "" for none. The text has been split
// by tokens.record, so that strings and lists in it are closed.
func (r *recordReader) read(columns []column, record []byte, l *layout, row int) string {
	r.date, r.why = 0, ""
	if record[0] != '[' {
		return r.wrong(ruleNoRecord, "it is no list")
	}
	at, cells := 1, l.cells
	for i := range cells {
		for blank(record[at]) {
			at++
		}
		if record[at] == ']' {
			return r.wrong(ruleLength, "%d values for %d columns", i, len(cells))
		}
		cell := &cells[i]
		next := -1
		if record[at] == '"' {
			next = r.quick(columns, record, at+1, cell, row, l)
		}
		if next < 0 {
			var rule string
			if next, rule = r.slow(columns, record, at, cell, row, l); rule != "" {
				return rule
			}
		}
		for at = next; blank(record[at]); at++ {
		}
		if record[at] == ',' && i+1 < len(cells) {
			at++
		} else if record[at] != ']' || at != len(record)-1 {
			return r.behind(record[at:], len(cells))
		}
	}
	for _, i := range l.nulls {
		columns[i].null(row)
	}
	for i := range l.constants {
		columns[l.constants[i].column].setText(row, l.constants[i].text)
	}
	if l.raw >= 0 {
		if !utf8.Valid(record) {
			return r.wrong(ruleText, "it is not UTF-8")
		}
		columns[l.raw].setText(row, record)
	}
	if l.final >= 0 {
		columns[l.final].setBool(row, r.date <= l.last)
	}
	return ""
}

// behind returns the rule that is broken by what stands behind a value.
func (r *recordReader) behind(rest []byte, cells int) string {
	if rest[0] == ',' {
		return r.wrong(ruleLength, "more than %d values", cells)
	}
	return r.wrong(ruleNoRecord, "%q stands behind a value", clip(rest))
}

func (r *recordReader) wrong(rule, format string, args ...any) string {
	r.why = fmt.Sprintf(format, args...)
	return rule
}

var powers = [...]int64{
	1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17,
}

// quick reads the string that begins at at as most are, and returns where it ends, or -1 for slow.
func (r *recordReader) quick(
	columns []column, record []byte, at int, cell *slot, row int, l *layout,
) int {
	switch cell.form {
	case decimal:
		v, next := quickDecimal(record, at, cell.scale)
		if next > 0 {
			columns[cell.column].decimals[row] = decimal128.FromI64(v)
		}
		return next
	case count:
		v, next := quickDecimal(record, at, 0)
		if next > 0 && record[next-2] != '.' {
			columns[cell.column].longs[row] = v
			return next
		}
		return -1
	case flag:
		if ch := record[at]; (ch == '0' || ch == '1') && record[at+1] == '"' {
			columns[cell.column].setBool(row, ch == '1')
			return at + 2
		}
		return -1
	case dateForm:
		const length = len(time.DateOnly)
		if end := at + length; end < len(record) && record[end] == '"' &&
			r.setDate(columns, record[at:end], cell, row, l) == "" {
			return end + 1
		}
		return -1
	case sameCode:
		if end := at + len(l.code); end < len(record) && record[end] == '"' &&
			string(record[at:end]) == l.code {
			return end + 1
		}
		return -1
	case notAdjust:
		if record[at] == Unadjusted[0] && record[at+1] == '"' {
			return at + 2
		}
		return -1
	case skipped:
		for ; at < len(record); at++ {
			switch record[at] {
			case '"':
				return at + 1
			case '\\':
				return -1
			}
		}
	}
	return -1
}

// quickDecimal reads digits with at most one point, of at most 17 digits, up to the quote. Decimals
// beyond the scale must be zero.
func quickDecimal(record []byte, at, scale int) (v int64, next int) {
	negative := record[at] == '-'
	if negative {
		at++
	}
	from := at
	for ; record[at]-'0' <= 9; at++ {
		v = v*10 + int64(record[at]-'0')
	}
	whole, fraction := at-from, 0
	if whole == 0 || whole+scale > len(powers) {
		return 0, -1
	}
	if record[at] == '.' {
		at++
		for ; fraction < scale && record[at]-'0' <= 9; at++ {
			v = v*10 + int64(record[at]-'0')
			fraction++
		}
		for record[at] == '0' {
			at++
		}
	}
	if record[at] != '"' {
		return 0, -1
	}
	v *= powers[scale-fraction]
	if negative {
		v = -v
	}
	return v, at + 1
}

// slow reads any cell.
func (r *recordReader) slow(
	columns []column, record []byte, at int, cell *slot, row int, l *layout,
) (next int, rule string) {
	value, null, next, ok := r.cell(record, at)
	switch {
	case next < 0:
		return next, r.wrong(ruleNoRecord, "%q is no value", clip(record[at:]))
	case !ok:
		return next, r.wrong(ruleText, "%s: %q is no text", cell.field, clip(record[at:next]))
	case cell.form == skipped:
		return next, ""
	}
	if null || len(value) == 0 {
		if !cell.nullable {
			return next, r.wrong(ruleMissing, "%s is empty", cell.field)
		}
		for _, i := range [...]int{cell.column, cell.also} {
			if i >= 0 {
				columns[i].null(row)
			}
		}
		return next, ""
	}
	return next, r.set(columns, value, cell, row, l)
}

// cell returns the text of a cell without blanks around it: of a string its inside, of a number
// itself. ok is false for lists, objects and text that is not UTF-8; next is -1 for what is no value.
func (r *recordReader) cell(record []byte, at int) (value []byte, null bool, next int, ok bool) {
	t := tokens{data: record, at: at}
	if record[at] != '"' {
		if !t.value() {
			return nil, false, -1, false
		}
		value = record[at:t.at]
		literal := value[0] != '[' && value[0] != '{' && utf8.Valid(value)
		return value, string(value) == "null", t.at, literal
	}
	if !t.string() {
		return nil, false, -1, false
	}
	value = t.token
	if bytes.IndexByte(value, '\\') >= 0 {
		r.scratch = batch.AppendUnescapedJSON(r.scratch[:0], value)
		value = r.scratch
	}
	value = bytes.TrimSpace(value)
	ok = utf8.Valid(value)
	for _, ch := range value {
		ok = ok && (ch >= ' ' || blank(ch))
	}
	return value, false, t.at, ok
}

// texts calls f with the text of each cell; it returns what is wrong with the record, "" for nothing.
func (r *recordReader) texts(record []byte, f func(text []byte)) string {
	if record[0] != '[' {
		return "it is no list"
	}
	t := tokens{data: record, at: 1}
	if t.take(']') {
		return ""
	}
	for {
		t.blank()
		value, null, next, ok := r.cell(record, t.at)
		if !ok {
			return "a value is no text"
		}
		if null {
			value = nil
		}
		f(value)
		if t.at = next; !t.take(',') {
			if !t.take(']') || t.at != len(record) {
				return "it is no list"
			}
			return ""
		}
	}
}

// set writes the text of a cell.
func (r *recordReader) set(columns []column, value []byte, cell *slot, row int, l *layout) string {
	switch cell.form {
	case dateForm:
		return r.setDate(columns, value, cell, row, l)
	case decimal:
		v, ok := batch.ParseDecimal(value, 18, int32(cell.scale))
		if !ok {
			rule := ruleNumber
			if _, number := batch.ParseDecimal(value, 38, 20); number {
				rule = ruleInexact
			}
			return r.wrong(rule, "%s: %q is no number of at most 18 digits, %d of them decimals",
				cell.field, clip(value), cell.scale)
		}
		columns[cell.column].decimals[row] = v
	case amount:
		return r.setAmount(columns, value, cell, row)
	case count:
		v, ok := batch.ParseDecimal(value, 18, 0)
		if !ok {
			return r.wrong(ruleNumber, "%s: %q is no whole number", cell.field, clip(value))
		}
		columns[cell.column].longs[row] = int64(v.LowBits())
	case flag:
		if v := string(value); v != "0" && v != "1" {
			return r.wrong(ruleFlag, "%s: %q is neither 0 nor 1", cell.field, clip(value))
		}
		columns[cell.column].setBool(row, value[0] == '1')
	case text:
		columns[cell.column].setText(row, value)
	case barEnd:
		return r.setBarEnd(columns, value, cell, row, l)
	case sameCode:
		if string(value) != l.code {
			return r.wrong(ruleCode, "%s: %q, though %s was asked for", cell.field, clip(value), l.code)
		}
	case notAdjust:
		if string(value) != string(Unadjusted) {
			return r.wrong(ruleAdjusted, "%s: %q, though prices were to be as traded, %s",
				cell.field, clip(value), Unadjusted)
		}
	default:
		return r.setName(columns, value, cell, row)
	}
	return ""
}

// setAmount writes a number, or its text where a column of numbers would lose digits of it.
func (r *recordReader) setAmount(columns []column, value []byte, cell *slot, row int) string {
	if v, ok := batch.ParseDecimal(value, 18, int32(cell.scale)); ok {
		columns[cell.column].decimals[row] = v
		columns[cell.also].null(row)
		return ""
	}
	if _, ok := batch.ParseDecimal(value, 38, 20); !ok {
		return r.wrong(ruleNumber, "%s: %q is no number", cell.field, clip(value))
	}
	columns[cell.column].null(row)
	columns[cell.also].setText(row, value)
	return ""
}

func (r *recordReader) setDate(
	columns []column, value []byte, cell *slot, row int, l *layout,
) string {
	days, ok := batch.ParseDate(value)
	if !ok {
		return r.wrong(ruleDate, "%s: %q is no date", cell.field, clip(value))
	}
	date := market.Date(days)
	r.date = date
	if !l.span.Contains(date) {
		return r.wrong(ruleRange, "%s: %s is not within %s", cell.field, date, l.span)
	}
	columns[cell.column].shorts[row] = days
	if cell.also >= 0 {
		columns[cell.also].shorts[row] = days
	}
	return ""
}

// setBarEnd writes the start of a bar whose end is 20240102093500000 at the exchange.
func (r *recordReader) setBarEnd(
	columns []column, value []byte, cell *slot, row int, l *layout,
) string {
	const stamp = len("20240102093500000")
	days, ok := int32(0), len(value) == stamp
	if ok {
		days, ok = batch.ParseDate(value[:8])
	}
	hour, okHour := digits(value[min(8, len(value)):min(10, len(value))])
	minute, okMinute := digits(value[min(10, len(value)):min(12, len(value))])
	rest, okRest := digits(value[min(12, len(value)):])
	if !ok || !okHour || !okMinute || !okRest || hour > 23 || minute > 59 || rest > 59_999 {
		return r.wrong(ruleDate, "%s: %q is no time as 20240102093500000", cell.field, clip(value))
	}
	_, offset := market.Date(days).At(exchangeZone, 0).Zone()
	millis := int64(days)*86_400_000 + int64(hour*60+minute)*60_000 + int64(rest) - int64(offset)*1000
	columns[cell.column].longs[row] = millis*1000 - l.barMicros
	return ""
}

// setName writes what has a name of its own with us.
func (r *recordReader) setName(columns []column, value []byte, cell *slot, row int) string {
	name, ok := "", false
	switch cell.form {
	case symbol:
		parsed, err := market.BaoStock.Parse(string(value), market.Unknown)
		if err != nil {
			return r.wrong(ruleSymbol, "%s: %v", cell.field, err)
		}
		name, ok = parsed.String(), true
	case class:
		var c market.Class
		c, ok = classes[string(value)]
		name = c.String()
	case state:
		name, ok = listingStates[string(value)]
	}
	if !ok {
		return r.wrong(ruleFlag, "%s: %q is none of the service's values", cell.field, clip(value))
	}
	columns[cell.column].setText(row, []byte(name))
	return ""
}
