package op

import (
	"fmt"
	"math"
	"math/big"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/codec/json"
	"github.com/tapeline/tapeline/internal/drift"
)

// convertible reports whether values of one type can be read as another at all.
func convertible(from, to batch.Type) bool {
	momentOf := func(t batch.Type) bool {
		return t.Kind == batch.Date || t.Kind == batch.Time || t.Kind == batch.Timestamp
	}
	switch {
	case from.Equal(to), from.Kind == batch.Null:
		return to.Kind != batch.Foreign
	case to.Kind == batch.Foreign || to.Kind == batch.Null:
		return false
	case to.Kind == batch.String:
		return true
	case from.Kind == batch.Foreign:
		return false
	case from.Text():
		return from.Kind != batch.Binary || to.Text()
	case to.Kind == batch.JSON:
		return true
	case from.Nested():
		return to.Nested()
	case from.Numeric() || from.Kind == batch.Bool:
		if from.Integer() && (momentOf(to) || to.Kind == batch.Duration) {
			return true
		}
		return to.Numeric() || to.Kind == batch.Bool
	case to.Integer():
		return to.Kind == batch.Int64 || from.Kind == batch.Date && to.Kind == batch.Int32
	case from.Kind == batch.Time:
		return to.Kind == batch.Time
	case momentOf(from):
		return momentOf(to) && (from.Kind != batch.Date || to.Kind != batch.Time)
	}
	return from.Kind == to.Kind
}

// convert reads the given ascending physical rows (nil: all) of a column as another type. What
// does not fit is null in the result and returned as errors without a column name. The types
// must be convertible.
func convert(c *batch.Column, to batch.Type, rows []int32) (*batch.Column, []batch.RowError) {
	if c.Type().Equal(to) {
		return c.Typed(rows)
	}
	if c.Lazy() && c.Type().Kind == batch.String && !to.Nested() && to.Kind != batch.Decimal &&
		to.Kind != batch.JSON {
		return c.As(to).Typed(rows)
	}
	typed, bad := c.Typed(rows)
	out, more := convertDense(typed, to, rows)
	return out, append(bad, more...)
}

func convertDense(c *batch.Column, to batch.Type, rows []int32) (*batch.Column, []batch.RowError) {
	from := c.Type()
	switch {
	case from.Kind == batch.Null:
		return batch.NullColumn(to, c.Len()), nil
	case from.Text() && !to.Text() && !to.Nested() && to.Kind != batch.Decimal:
		return readText(c, to, rows)
	case from.Kind == batch.String && to.Kind == batch.Binary:
		return c.As(to), nil
	case from.Kind == batch.Timestamp && to.Kind == batch.Timestamp && from.Unit == to.Unit &&
		(from.Zone != "") == (to.Zone != ""):
		return c.As(to), nil
	}
	var bad []batch.RowError
	a := batch.NewAppender(to)
	put := converter(c, to)
	next := 0
	for row := range c.Len() {
		selected := rows == nil
		if !selected && next < len(rows) && int(rows[next]) == row {
			selected = true
			next++
		}
		if !selected || c.IsNull(row) {
			a.Null()
			continue
		}
		if !put(a, row) {
			if a.Len() == row {
				a.Null()
			}
			bad = append(bad, batch.RowError{Row: row, Reason: unfit(c, row, to)})
		}
	}
	return nullAt(a.Column(), bad), bad
}

// nullAt returns a column that is null in the rows named.
func nullAt(c *batch.Column, bad []batch.RowError) *batch.Column {
	if len(bad) == 0 {
		return c
	}
	valid := batch.NewBitmapSet(c.Len())
	for _, e := range bad {
		valid.Clear(e.Row)
	}
	return masked(c, valid)
}

func unfit(c *batch.Column, row int, to batch.Type) string {
	text := batch.AppendText(nil, c, row)
	const shown = 60
	if len(text) > shown {
		text = append(text[:shown:shown], "..."...)
	}
	return fmt.Sprintf("%q is not a value of type %s", text, to)
}

// readText types a dense text column by the rules of a source's cells.
func readText(c *batch.Column, to batch.Type, rows []int32) (*batch.Column, []batch.RowError) {
	offsets, text := c.Text()
	spans := &batch.Spans{Data: text, Stride: 2, Step: 2, Syntax: batch.Plain}
	if c.Type().Kind == batch.JSON {
		spans.Syntax = batch.Token
	}
	spans.Offsets = make([]uint32, 2*c.Len())
	for i := range c.Len() {
		spans.Offsets[2*i], spans.Offsets[2*i+1] = uint32(offsets[i]), uint32(offsets[i+1])
	}
	valid := c.Validity()
	if valid != nil {
		rows = present(rows, valid, c.Len())
	}
	out, bad := batch.LazyColumn(to, spans, 0).Typed(rows)
	return masked(out, valid), bad
}

// present returns those of rows (nil: all n) that are not null.
func present(rows []int32, valid batch.Bitmap, n int) []int32 {
	kept := make([]int32, 0, n)
	if rows == nil {
		for row := range n {
			if valid.Get(row) {
				kept = append(kept, int32(row))
			}
		}
		return kept
	}
	for _, row := range rows {
		if valid.Get(int(row)) {
			kept = append(kept, row)
		}
	}
	return kept
}

// masked returns a dense column that is null where valid says so, too; nil changes nothing.
func masked(c *batch.Column, valid batch.Bitmap) *batch.Column {
	if valid == nil {
		return c
	}
	valid = batch.And(c.Validity(), valid, c.Len())
	typ := c.Type()
	switch {
	case typ.Kind == batch.Bool:
		return batch.BoolColumn(c.Bits(), c.Len(), valid)
	case typ.Text():
		offsets, text := c.Text()
		return batch.TextColumn(typ, offsets, text, valid)
	case typ.Kind == batch.Struct:
		return batch.StructColumn(typ, c.Len(), c.Children(), valid)
	case typ.Kind == batch.List || typ.Kind == batch.Map:
		return batch.ListColumn(typ, c.Offsets(), c.Children(), valid)
	}
	switch typ.Width() {
	case 1:
		return batch.FixedColumn(typ, batch.Values[uint8](c), valid)
	case 2:
		return batch.FixedColumn(typ, batch.Values[uint16](c), valid)
	case 4:
		return batch.FixedColumn(typ, batch.Values[uint32](c), valid)
	case 8:
		return batch.FixedColumn(typ, batch.Values[uint64](c), valid)
	case 16:
		return batch.FixedColumn(typ, batch.Values[decimal128.Num](c), valid)
	}
	return c // Null and Foreign carry their own
}

// putRow appends one row, not null, of the column it was made for. False means that the value does
// not fit; nothing, or a nested value with holes, was appended then.
type putRow func(a *batch.Appender, row int) bool

// converter returns what moves rows of a dense column into an appender of type to.
func converter(c *batch.Column, to batch.Type) putRow {
	switch {
	case to.Text():
		return toText(c, to)
	case to.Nested():
		return toNested(c)
	case to.Integer():
		return toInteger(c, to)
	case to.Kind == batch.Float32 || to.Kind == batch.Float64:
		get := floatOf(c)
		return func(a *batch.Appender, row int) bool { a.Float(get(row)); return true }
	case to.Kind == batch.Decimal:
		return toDecimal(c, to)
	case to.Kind == batch.Bool:
		get := floatOf(c)
		return func(a *batch.Appender, row int) bool { a.Bool(get(row) != 0); return true }
	case c.Type().Integer():
		return toInteger(c, to)
	}
	return toMoment(c, to)
}

func toText(c *batch.Column, to batch.Type) putRow {
	var scratch []byte
	from := c.Type()
	switch {
	case to.Kind == batch.JSON && from.Kind == batch.String:
		return func(a *batch.Appender, row int) bool {
			text := c.Bytes(row)
			if !json.Valid(text) {
				return false
			}
			a.Bytes(text)
			return true
		}
	case to.Kind == batch.JSON:
		return func(a *batch.Appender, row int) bool {
			scratch = batch.AppendJSON(scratch[:0], c, row)
			a.Bytes(scratch)
			return true
		}
	case from.Kind == batch.JSON:
		return func(a *batch.Appender, row int) bool {
			text, null, grown := tokenText(c.Bytes(row), scratch[:0])
			if scratch = grown; null {
				a.Null()
				return true
			}
			a.Bytes(text)
			return true
		}
	case from.Kind == batch.Binary:
		return func(a *batch.Appender, row int) bool {
			text := c.Bytes(row)
			if !utf8.Valid(text) {
				return false
			}
			a.Bytes(text)
			return true
		}
	}
	return func(a *batch.Appender, row int) bool {
		scratch = batch.AppendText(scratch[:0], c, row)
		a.Bytes(scratch)
		return true
	}
}

func toNested(c *batch.Column) putRow {
	var scratch []byte
	w := &jsonWalker{}
	return func(a *batch.Appender, row int) bool {
		if c.Type().Text() {
			text := c.Bytes(row)
			return json.Valid(text) && w.row(a, text)
		}
		scratch = batch.AppendJSON(scratch[:0], c, row)
		return w.row(a, scratch)
	}
}

// wholeOf reads a number, dropping its fraction.
func wholeOf(c *batch.Column) func(row int) (decimal128.Num, bool) {
	from := c.Type()
	switch {
	case from.Kind >= batch.Uint8 && from.Kind <= batch.Uint64:
		return func(row int) (decimal128.Num, bool) { return decimal128.FromU64(c.Uint(row)), true }
	case from.Kind == batch.Float32 || from.Kind == batch.Float64:
		return func(row int) (decimal128.Num, bool) {
			v := math.Trunc(c.Float(row))
			switch {
			case v >= -1<<63 && v < 1<<63:
				return decimal128.FromI64(int64(v)), true
			case v >= 0 && v < 1<<64:
				return decimal128.FromU64(uint64(v)), true
			}
			return decimal128.Num{}, false
		}
	case from.Kind == batch.Decimal:
		values := batch.Values[decimal128.Num](c)
		return func(row int) (decimal128.Num, bool) {
			return values[row].ReduceScaleBy(int32(from.Scale), false), true
		}
	case from.Kind == batch.Bool:
		return func(row int) (decimal128.Num, bool) {
			if c.Bits().Get(row) {
				return decimal128.FromI64(1), true
			}
			return decimal128.Num{}, true
		}
	}
	return func(row int) (decimal128.Num, bool) { return decimal128.FromI64(c.Int(row)), true }
}

// toInteger appends whole numbers, and counts of days or units to moments.
func toInteger(c *batch.Column, to batch.Type) putRow {
	get := wholeOf(c)
	low, high := drift.IntegerRange(to)
	return func(a *batch.Appender, row int) bool {
		v, ok := get(row)
		if !ok || v.Less(low) || v.Greater(high) {
			return false
		}
		a.Int(int64(v.LowBits()))
		return true
	}
}

func floatOf(c *batch.Column) func(row int) float64 {
	from := c.Type()
	switch {
	case from.Kind >= batch.Uint8 && from.Kind <= batch.Uint64:
		return func(row int) float64 { return float64(c.Uint(row)) }
	case from.Kind == batch.Float32 || from.Kind == batch.Float64:
		return c.Float
	case from.Kind == batch.Decimal:
		values := batch.Values[decimal128.Num](c)
		var scratch []byte
		return func(row int) float64 {
			// The text rounds once; scaling a float rounds twice.
			scratch = batch.AppendDecimal(scratch[:0], values[row], int(from.Scale))
			v, _ := batch.ParseFloat(scratch)
			return v
		}
	case from.Kind == batch.Bool:
		return func(row int) float64 {
			if c.Bits().Get(row) {
				return 1
			}
			return 0
		}
	}
	return func(row int) float64 { return float64(c.Int(row)) }
}

func toDecimal(c *batch.Column, to batch.Type) putRow {
	from := c.Type()
	var scratch []byte
	switch {
	case from.Text():
		return func(a *batch.Appender, row int) bool {
			text := c.Bytes(row)
			if from.Kind == batch.JSON {
				var null bool
				if text, null, scratch = tokenText(text, scratch[:0]); null {
					a.Null()
					return true
				}
			}
			return putDecimal(a, text)
		}
	case from.Kind == batch.Float32 || from.Kind == batch.Float64:
		return func(a *batch.Appender, row int) bool {
			scratch = batch.AppendText(scratch[:0], c, row)
			return putDecimal(a, scratch)
		}
	}
	get := wholeOf(c)
	scale := 0
	if from.Kind == batch.Decimal {
		values := batch.Values[decimal128.Num](c)
		scale = int(from.Scale)
		get = func(row int) (decimal128.Num, bool) { return values[row], true }
	}
	return func(a *batch.Appender, row int) bool {
		v, _ := get(row)
		v, ok := rescale(v, scale, to)
		if ok {
			a.Decimal(v)
		}
		return ok
	}
}

// putDecimal appends a number's text, rounding half away from zero what the scale cannot hold.
func putDecimal(a *batch.Appender, text []byte) bool {
	to := a.Type()
	precision, scale := int32(to.Precision), int32(to.Scale)
	v, ok := batch.ParseDecimal(text, precision, scale)
	if !ok {
		v, ok = roundedDecimal(text, precision, scale)
	}
	if ok {
		a.Decimal(v)
	}
	return ok
}

func roundedDecimal(text []byte, precision, scale int32) (v decimal128.Num, ok bool) {
	// Bounded, since a fraction of a huge exponent would be computed in full.
	const most = 80
	if len(text) > most || len(text) == 0 {
		return v, false
	}
	if f, ok := batch.ParseFloat(text); !ok || math.IsNaN(f) || math.Abs(f) >= 1e38 {
		return v, false
	}
	exact, ok := new(big.Rat).SetString(string(text))
	if !ok {
		return v, false
	}
	power := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)
	numerator := new(big.Int).Mul(exact.Num(), power)
	whole, rest := numerator.QuoRem(numerator, exact.Denom(), new(big.Int))
	if rest.Abs(rest).Lsh(rest, 1).Cmp(exact.Denom()) >= 0 {
		whole.Add(whole, big.NewInt(int64(exact.Sign())))
	}
	if whole.BitLen() > 127 {
		return v, false
	}
	v = decimal128.FromBigInt(whole)
	return v, v.FitsInPrecision(precision)
}

// rescale changes the scale, rounding half away from zero.
func rescale(v decimal128.Num, scale int, to batch.Type) (decimal128.Num, bool) {
	if shift := int32(to.Scale) - int32(scale); shift >= 0 {
		if !v.FitsInPrecision(38 - shift) {
			return v, false
		}
		v = v.IncreaseScaleBy(shift)
	} else {
		v = v.ReduceScaleBy(-shift, true)
	}
	return v, v.FitsInPrecision(int32(to.Precision))
}

// toMoment converts between dates, times and timestamps. A wall time becomes an instant in the
// target's zone, an instant becomes the wall time of its own zone.
func toMoment(c *batch.Column, to batch.Type) putRow {
	from := c.Type()
	fromZone, toZone := zoneOf(from), zoneOf(to)
	unit := from
	if from.Kind == batch.Date {
		unit = batch.Type{Unit: batch.Second}
	}
	per := unit.Unit.PerSecond()
	return func(a *batch.Appender, row int) bool {
		v := c.Int(row)
		if from.Kind == batch.Date {
			v *= secondsPerDay
		}
		seconds := floorDiv(v, per)
		rest := v - seconds*per
		if from.Kind == batch.Timestamp && from.Zone != "" && (to.Kind != batch.Timestamp || to.Zone == "") {
			_, offset := time.Unix(seconds, 0).In(fromZone).Zone()
			seconds += int64(offset)
		}
		if to.Kind == batch.Timestamp && to.Zone != "" && (from.Kind == batch.Date || from.Zone == "") {
			seconds = instantOf(seconds, toZone)
		}
		switch to.Kind {
		case batch.Date:
			days := floorDiv(seconds, secondsPerDay)
			if days != int64(int32(days)) {
				return false
			}
			a.Int(days)
			return true
		case batch.Time:
			seconds -= floorDiv(seconds, secondsPerDay) * secondsPerDay
		}
		v, ok := inUnit(seconds, rest, per, to.Unit.PerSecond())
		if ok {
			a.Int(v)
		}
		return ok
	}
}

const secondsPerDay = 86400

// zoneOf returns the location of a timestamp type, UTC for a wall time.
func zoneOf(t batch.Type) *time.Location {
	if t.Zone != "" && t.Zone != "UTC" {
		if location, err := time.LoadLocation(t.Zone); err == nil {
			return location
		}
	}
	return time.UTC
}

// instantOf reads seconds of a wall clock in a zone.
func instantOf(wallSeconds int64, zone *time.Location) int64 {
	w := time.Unix(wallSeconds, 0).UTC()
	return time.Date(w.Year(), w.Month(), w.Day(), w.Hour(), w.Minute(), w.Second(), 0, zone).Unix()
}

// inUnit joins seconds and a rest in units of 1/per in units of 1/toPer, dropping what is finer.
func inUnit(seconds, rest, per, toPer int64) (int64, bool) {
	if seconds > math.MaxInt64/toPer-1 || seconds < math.MinInt64/toPer+1 {
		return 0, false
	}
	if toPer >= per {
		return seconds*toPer + rest*(toPer/per), true
	}
	return seconds*toPer + rest/(per/toPer), true
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// putText appends a text read as the appender's type, by the rules of a source's cells.
func putText(a *batch.Appender, text []byte) bool {
	typ := a.Type()
	switch typ.Kind {
	case batch.String:
		if !utf8.Valid(text) {
			return false
		}
		a.Bytes(text)
	case batch.Binary, batch.JSON:
		a.Bytes(text)
	case batch.Bool:
		v, ok := batch.ParseBool(text)
		if ok {
			a.Bool(v)
		}
		return ok
	case batch.Float32, batch.Float64:
		v, ok := batch.ParseFloat(text)
		if ok {
			a.Float(v)
		}
		return ok
	case batch.Decimal:
		v, ok := batch.ParseDecimal(text, int32(typ.Precision), int32(typ.Scale))
		if ok {
			a.Decimal(v)
		}
		return ok
	case batch.Null:
		return false
	default:
		v, ok := parseWhole(text, typ)
		if ok {
			a.Int(v)
		}
		return ok
	}
	return true
}

func parseWhole(text []byte, typ batch.Type) (int64, bool) {
	switch typ.Kind {
	case batch.Date:
		v, ok := batch.ParseDate(text)
		return int64(v), ok
	case batch.Time:
		return batch.ParseTime(text, typ.Unit)
	case batch.Timestamp:
		return batch.ParseTimestamp(text, typ)
	case batch.Uint64:
		v, ok := batch.ParseUint(text)
		return int64(v), ok
	}
	v, ok := batch.ParseInt(text)
	if ok && typ.Integer() {
		low, high := drift.IntegerRange(typ)
		whole := decimal128.FromI64(v)
		ok = !whole.Less(low) && !whole.Greater(high)
	}
	return v, ok
}
