package provider

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/market"
)

// Rules that a record breaks.
const (
	RuleLength    = "row_length"
	RuleMissing   = "missing_value"
	RuleText      = "bad_text"
	RuleDate      = "bad_date"
	RuleNumber    = "bad_number"
	RuleInexact   = "inexact_number" // more decimals than are kept
	RuleFlag      = "bad_flag"
	RuleSymbol    = "bad_symbol"
	RuleCode      = "wrong_code"
	RuleRange     = "outside_range"
	RuleDuplicate = "duplicate_row"   // the same record was there before
	RuleConflict  = "conflicting_row" // another record with the same key
)

// Rows collects what the pages of one unit hold. An Inquiry adds every record it receives.
type Rows struct {
	Unit market.Unit

	vendor *Vendor
	plans  map[*Layout]*plan
	last   market.Date // rows of later days are not final yet

	builder *batch.Builder
	origin  []int64              // number of the record of each row in builder
	taken   int                  // rows of the unit that left builder
	keys    map[string]seen      // of the unit
	drop    map[int]bool         // rows in builder that turned out to be contradicted
	bad     []badRecord          // of the unit, not handed over yet
	empty   []market.Unit        // dates that the provider says have no row
	days    map[market.Date]bool // with a record, of a unit of one symbol's days
	look    *again               // nil: this is no second look
	partial bool                 // the unit is not known to be whole
	refused *market.Quarantine   // the unit as a whole

	place   string
	records int64 // of the unit
	good    int64 // of these, rows
	row     []value
	key     []byte
	date    market.Date // of the record at hand; 0: none was read
	symbol  string
	why     string
}

type seen struct {
	sum uint64 // of the record
	row int    // of the unit; below taken it was handed over
}

type badRecord struct {
	market.Quarantine

	record int64
}

// At names the page that the following records come from: "daily 20240102, offset 5000".
func (r *Rows) At(place string) { r.place = place }

// Records returns how many records were added, good and bad.
func (r *Rows) Records() int64 { return r.records }

// Partial says that the unit is not known to be whole: it is asked for again.
func (r *Rows) Partial() { r.partial = true }

// Empty says that the provider itself states that it has no row of the symbol for these dates, as of
// a day on which it was suspended. Nobody has to look for one.
func (r *Rows) Empty(symbol market.Symbol, dates market.Interval) {
	u := r.Unit
	u.Symbol, u.From, u.To, u.Rows, u.State = symbol.String(), dates.From, dates.To, 0, market.StateEmpty
	r.empty = append(r.empty, u)
}

// Refuse adds a record that is no row; date and symbol as far as known. raw is the record as it was received.
func (r *Rows) Refuse(rule, message string, raw []byte) {
	r.date, r.symbol, r.why = 0, r.Unit.Symbol, message
	r.records++
	r.refuse(rule, raw)
}

// Add adds a record, one cell per field of the layout, nil for none: it becomes a row, or a bad
// record with the rule it breaks. raw is the record as it was received. Nothing is kept of cells.
// invariant: a record becomes a row or a quarantined record
func (r *Rows) Add(l *Layout, cells [][]byte, raw []byte) error {
	p := r.plans[l]
	if p == nil {
		var err error
		if p, err = planFor(l); err != nil {
			return &connector.Error{Op: "read " + r.vendor.Provider.Name, Class: connector.Permanent, Err: err}
		}
		if r.plans == nil {
			r.plans = map[*Layout]*plan{}
		}
		r.plans[l] = p
	}
	r.records++
	r.date, r.symbol, r.why = 0, r.Unit.Symbol, ""
	rule := r.read(p, cells)
	if !r.passes() {
		r.records--
		return nil
	}
	if r.date != 0 && r.Unit.Symbol != "" && market.Daily(r.Unit.Dataset) {
		if r.days == nil {
			r.days = map[market.Date]bool{}
		}
		r.days[r.date] = true
	}
	if rule == "" {
		rule = r.unique(p, raw)
	}
	if rule != "" {
		r.refuse(rule, raw)
		return nil
	}
	r.append(p)
	return nil
}

func (r *Rows) wrong(rule, format string, args ...any) string {
	r.why = fmt.Sprintf(format, args...)
	return rule
}

// read makes the row of a record; the rule it breaks is returned, "" for none.
func (r *Rows) read(p *plan, cells [][]byte) string {
	if len(cells) != len(p.columns) {
		return r.wrong(RuleLength, "%d values for %d columns", len(cells), len(p.columns))
	}
	r.row = append(r.row[:0], p.fixed...)
	schema := datasetOf(p.layout.Dataset).Schema
	for _, name := range []string{"symbol", "freq"} {
		if i := schema.Index(name); i >= 0 && !p.bound[i] {
			text := r.Unit.Symbol
			if name == "freq" {
				text = r.Unit.Freq
			}
			r.row[i] = value{text: []byte(text), null: text == ""}
		}
	}
	for i, cell := range cells {
		f, c := &p.layout.Fields[i], &p.columns[i]
		if f.Form == Skip {
			continue
		}
		cell = bytes.TrimSpace(cell)
		if len(cell) == 0 {
			if c.column >= 0 && !c.nullable || f.Form == Name {
				return r.wrong(RuleMissing, "%s is empty", f.Name)
			}
			continue
		}
		if !utf8.Valid(cell) {
			return r.wrong(RuleText, "%s: %q is no text", f.Name, clip(cell))
		}
		if rule := r.cell(p, i, cell); rule != "" {
			return rule
		}
	}
	if i := schema.Index("symbol"); i >= 0 && r.row[i].null {
		return r.wrong(RuleMissing, "there is no symbol")
	}
	if r.date != 0 && bounded(r.Unit.Dataset) && !r.Unit.Interval().Contains(r.date) {
		return r.wrong(RuleRange, "%s is not within %s", r.date, r.Unit.Interval())
	}
	if p.final >= 0 {
		r.row[p.final] = value{number: flagOf(r.date <= r.last)}
	}
	return ""
}

// bounded reports whether rows of a dataset must lie in the dates of their unit.
func bounded(dataset string) bool { return dataset != market.Listing && dataset != market.Constituent }

// cell reads one cell.
func (r *Rows) cell(p *plan, i int, cell []byte) string {
	f, c := &p.layout.Fields[i], &p.columns[i]
	v := value{}
	switch f.Form {
	case Decimal:
		decimals, ok := r.decimal(f, c, cell)
		if !ok {
			return r.notNumber(f, int32(c.typ.Scale), cell)
		}
		v.decimal = decimals
	case Count:
		whole, ok := r.decimal(f, c, cell)
		if !ok {
			return r.notNumber(f, 0, cell)
		}
		v.number = int64(whole.LowBits())
	case Float:
		number, err := strconv.ParseFloat(string(cell), 64)
		if err != nil || len(bytes.Trim(cell, "0123456789.-+eE")) > 0 {
			return r.wrong(RuleNumber, "%s: %q is no number", f.Name, clip(cell))
		}
		v.number = int64(math.Float64bits(number))
	case Flag:
		if text := string(cell); text != "0" && text != "1" {
			return r.wrong(RuleFlag, "%s: %q is neither 0 nor 1", f.Name, clip(cell))
		}
		v.number = int64(cell[0] - '0')
	case TextForm:
		v.text = bytes.Clone(cell)
	case Name:
		symbol, err := r.vendor.Provider.Scheme.Parse(string(cell), market.Unknown)
		if err != nil {
			return r.wrong(RuleSymbol, "%s: %v", f.Name, err)
		}
		if r.Unit.Symbol != "" && symbol.String() != r.Unit.Symbol {
			return r.wrong(RuleCode, "%s: %q, though %s was asked for", f.Name, clip(cell), r.Unit.Symbol)
		}
		r.symbol = symbol.String()
		v.text = []byte(r.symbol)
	default:
		return r.moment(p, i, cell)
	}
	if c.column >= 0 {
		r.row[c.column] = v
	}
	return ""
}

func (r *Rows) notNumber(f *Field, scale int32, cell []byte) string {
	rule := RuleNumber
	if _, number := batch.ParseDecimal(cell, 38, 20); number {
		rule = RuleInexact
	}
	return r.wrong(rule, "%s: %q times %d is no number that the column holds, with %d decimals",
		f.Name, clip(cell), max(f.Times, 1), scale)
}

// moment reads a date or an instant.
func (r *Rows) moment(p *plan, i int, cell []byte) string {
	f, c := &p.layout.Fields[i], &p.columns[i]
	at, ok := time.Time{}, false
	switch f.Form {
	case DateForm:
		days, read := batch.ParseDate(cell)
		if !read {
			return r.wrong(RuleDate, "%s: %q is no date", f.Name, clip(cell))
		}
		return r.setDay(c, market.Date(days))
	case Seconds, Millis:
		var n int64
		if n, ok = batch.ParseInt(cell); ok {
			if f.Form == Seconds {
				n *= 1000
			}
			at = time.UnixMilli(n)
		}
	case Clock:
		at, ok = clock(cell, r.vendor.zone())
	}
	if !ok {
		return r.wrong(RuleDate, "%s: %q is no time", f.Name, clip(cell))
	}
	day := market.From(at.In(r.vendor.zone()))
	if c.typ.Kind == batch.Date {
		return r.setDay(c, day)
	}
	r.date = day
	r.row[c.column] = value{number: at.Add(-p.layout.Bar).UnixMicro()}
	if c.also >= 0 {
		r.row[c.also] = value{number: int64(day)}
	}
	return ""
}

func (r *Rows) setDay(c *planned, day market.Date) string {
	if r.date == 0 || c.also >= 0 {
		r.date = day
	}
	for _, column := range []int{c.column, c.also} {
		if column >= 0 {
			r.row[column] = value{number: int64(day)}
		}
	}
	return ""
}

// clock reads a wall clock's time: 2024-01-02 15:04[:05], or its 12 or 14 digits.
func clock(text []byte, zone *time.Location) (time.Time, bool) {
	digits := make([]byte, 0, 14)
	for _, ch := range text {
		switch {
		case ch >= '0' && ch <= '9':
			digits = append(digits, ch)
		case ch != '-' && ch != ' ' && ch != ':' && ch != 'T' && ch != '/':
			return time.Time{}, false
		}
	}
	layout := "200601021504"
	if len(digits) == len("20060102150405") {
		layout = "20060102150405"
	}
	at, err := time.ParseInLocation(layout, string(digits), zone)
	return at, err == nil
}

// unique finds records that contradict or repeat each other.
func (r *Rows) unique(p *plan, raw []byte) string {
	if len(p.key) == 0 {
		return ""
	}
	r.key = r.key[:0]
	for _, i := range p.key {
		r.key = binary.AppendVarint(append(r.key, r.row[i].text...), r.row[i].number)
	}
	if r.keys == nil {
		r.keys = map[string]seen{}
	}
	before, known := r.keys[string(r.key)]
	sum := hash(raw)
	switch {
	case !known:
		r.keys[string(r.key)] = seen{sum, r.taken + r.rows()}
		return ""
	case before.sum == sum:
		return r.wrong(RuleDuplicate, "the same record was there before")
	}
	// Which of them is right, nobody knows.
	r.partial = true
	if before.row >= r.taken {
		r.drop[before.row-r.taken] = true
	}
	return r.wrong(RuleConflict, "another record says something else of the same row")
}

// rows is how many rows wait to be handed over.
func (r *Rows) rows() int {
	if r.builder == nil {
		return 0
	}
	return r.builder.Len()
}

func (r *Rows) refuse(rule string, raw []byte) {
	const most = 64 << 10
	r.bad = append(r.bad, badRecord{market.Quarantine{
		Dataset: r.Unit.Dataset, Symbol: r.symbol, Date: r.date, Source: r.Unit.Source, Rule: rule,
		Raw:     strings.ToValidUTF8(string(raw[:min(len(raw), most)]), "\ufffd"),
		Message: r.why, Place: fmt.Sprintf("%s record %d", r.place, r.records),
	}, r.records})
}

// append writes the row at hand.
func (r *Rows) append(p *plan) {
	schema := datasetOf(p.layout.Dataset).Schema
	if r.builder == nil {
		r.builder = batch.NewBuilder(schema)
		r.drop = map[int]bool{}
	}
	for i := range r.row {
		v, c := &r.row[i], r.builder.Column(i)
		switch kind := schema.Field(i).Type.Kind; {
		case v.null:
			c.Null()
		case kind == batch.Bool:
			c.Bool(v.number != 0)
		case kind == batch.Decimal:
			c.Decimal(v.decimal)
		case kind == batch.String:
			c.Bytes(v.text)
		default:
			c.Int(v.number)
		}
	}
	r.origin = append(r.origin, r.records)
}

// take returns what waits as a batch, nil when nothing does.
func (r *Rows) take() (*batch.Batch, error) {
	if r.rows() == 0 {
		return nil, nil
	}
	b, err := r.builder.Batch()
	if err != nil {
		return nil, err
	}
	records := make([]int32, len(r.origin))
	for i, record := range r.origin {
		records[i] = int32(record - 1)
	}
	b = b.WithOrigin((&batch.Origin{Name: r.place, Record: 1}).Gather(records))
	var out []batch.RowError
	for row := range b.Len() {
		if !r.drop[row] {
			continue
		}
		out = append(out, batch.RowError{Row: row})
		r.bad = append(r.bad, badRecord{market.Quarantine{
			Dataset: r.Unit.Dataset, Symbol: r.Unit.Symbol, Source: r.Unit.Source, Rule: RuleConflict,
			Raw: string(batch.AppendRow(nil, b, row)), Place: b.Origin().At(row).String(),
			Message: "another record says something else of the same row",
		}, r.origin[row]})
	}
	r.taken += b.Len()
	r.origin, r.drop = r.origin[:0], map[int]bool{}
	b, _ = b.Without(out).Dense()
	r.good += int64(b.Len())
	return b, nil
}
