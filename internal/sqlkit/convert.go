package sqlkit

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/tapeline/tapeline/batch"
)

// Assignable reports whether values of a batch type may be written to a column of another type,
// exactly or with a check of each value. Text is not read as numbers or times: an operator must
// say that (cast), since a silent guess corrupts data.
func Assignable(have, want batch.Type) bool {
	switch {
	case have.Kind == batch.Null || have.Equal(want):
		return true
	case want.Kind == batch.String || want.Kind == batch.JSON:
		return true
	case want.Kind == batch.Binary:
		return have.Text()
	case want.Numeric():
		return have.Numeric() || have.Kind == batch.Bool && want.Integer()
	case want.Kind == batch.Timestamp:
		zoned := have.Zone != ""
		return have.Kind == batch.Timestamp && zoned == (want.Zone != "") ||
			have.Kind == batch.Date && want.Zone == ""
	case want.Kind == batch.List:
		return have.Kind == batch.List && Assignable(have.Fields[0].Type, want.Fields[0].Type)
	}
	return have.Kind == want.Kind
}

// Conflict returns the reason why a column cannot be written, with the remedy.
func Conflict(table Name, column string, have batch.Type, want string) error {
	return fmt.Errorf("column %q of table %s: rows have %s, the table has %s; "+
		"convert it with a cast operator, or alter the table", column, table, have, want)
}

// Convert brings the selected rows (nil: all) of a column, lazy or dense, to a type Assignable
// allows. Rows whose value does not fit are returned as errors without a column name; rows
// outside the selection hold no value.
func Convert(c *batch.Column, want batch.Type, rows []int32) (*batch.Column, []batch.RowError) {
	typed, bad := c.Typed(rows)
	have := typed.Type()
	switch {
	case have.Equal(want):
		return typed, bad
	case have.Kind == batch.Null:
		return batch.NullColumn(want, typed.Len()), bad
	case have.Text() && want.Text() && (have.Kind != batch.Binary || want.Kind == batch.Binary):
		return typed.As(want), bad
	case have.Kind == batch.Timestamp && want.Kind == batch.Timestamp && have.Unit == want.Unit:
		return typed.As(want), bad
	case have.Kind == want.Kind && unitKind(have.Kind):
		return rescaled(typed, want, rows), bad
	case have.Kind == batch.List && want.Kind == batch.List:
		return convertList(typed, want, rows, bad)
	}
	out, more := convertRows(typed, want, rows)
	return out, append(bad, more...)
}

// CheckFraction finds times and instants with a finer fraction of a second than a column of so many
// digits keeps: the server would round them. 6 digits and more hold all that is written.
func CheckFraction(c *batch.Column, digits int, rows []int32, declared string) (bad []batch.RowError) {
	kind := c.Type().Kind
	if digits >= 6 || kind != batch.Time && kind != batch.Timestamp {
		return nil
	}
	step := c.Type().Unit.PerSecond()
	for range digits {
		step /= 10
	}
	if step <= 1 {
		return nil
	}
	values := batch.Values[int64](c)
	each(c.Len(), rows, func(row int) {
		if !c.IsNull(row) && values[row]%step != 0 {
			bad = append(bad, batch.RowError{Row: row, Reason: fmt.Sprintf(
				"%s has a fraction of a second that %s would round; cut it in a compute operator, or alter the table",
				batch.AppendText(nil, c, row), declared)})
		}
	})
	return bad
}

func unitKind(k batch.Kind) bool {
	return k == batch.Time || k == batch.Timestamp || k == batch.Duration
}

// rescaled changes the unit, cutting what the coarser one cannot hold towards the past.
func rescaled(c *batch.Column, want batch.Type, rows []int32) *batch.Column {
	from, to := c.Type().Unit.PerSecond(), want.Unit.PerSecond()
	values := append([]int64(nil), batch.Values[int64](c)...)
	each(c.Len(), rows, func(row int) {
		if from < to {
			values[row] *= to / from
			return
		}
		step := from / to
		v := values[row] / step
		if values[row]%step < 0 {
			v--
		}
		values[row] = v
	})
	return batch.FixedColumn(want, values, c.Validity())
}

func convertList(
	c *batch.Column, want batch.Type, rows []int32, bad []batch.RowError,
) (*batch.Column, []batch.RowError) {
	child, more := Convert(c.Children()[0], want.Fields[0].Type, nil)
	bad = append(bad, RowsOfElements(c.Offsets(), rows, more)...)
	return batch.ListColumn(want, c.Offsets(), []*batch.Column{child}, c.Validity()), bad
}

// RowsOfElements returns the errors of list elements, ascending, as those of the rows they are in, as
// far as these are selected (nil: all).
func RowsOfElements(offsets, rows []int32, bad []batch.RowError) []batch.RowError {
	out := make([]batch.RowError, 0, len(bad))
	row := 0
	for _, e := range bad {
		for row < len(offsets)-2 && int(offsets[row+1]) <= e.Row {
			row++
		}
		if _, selected := slices.BinarySearch(rows, int32(row)); selected || rows == nil {
			out = append(out, batch.RowError{Row: row, Reason: e.Reason})
		}
	}
	return out
}

// convertRows goes value by value, integers directly and the rest by their text.
func convertRows(
	c *batch.Column, want batch.Type, rows []int32,
) (*batch.Column, []batch.RowError) {
	var bad []batch.RowError
	out := batch.NewAppender(want)
	next := 0
	skip := func(to int) {
		for ; next < to; next++ {
			out.Null()
		}
	}
	var text []byte
	each(c.Len(), rows, func(row int) {
		skip(row)
		next++
		if c.IsNull(row) {
			out.Null()
			return
		}
		var err error
		if text, err = convertValue(out, c, row, text[:0]); err != nil {
			out.Null()
			bad = append(bad, batch.RowError{Row: row, Reason: err.Error()})
		}
	})
	skip(c.Len())
	return out.Column(), bad
}

func convertValue(out *batch.Appender, c *batch.Column, row int, text []byte) ([]byte, error) {
	have, want := c.Type(), out.Type()
	if want.Kind == batch.JSON && have.Kind != batch.String {
		text = batch.AppendJSON(text, c, row)
		out.Bytes(text)
		return text, nil
	}
	if want.Text() {
		text = batch.AppendText(text, c, row)
		out.Bytes(text)
		return text, nil
	}
	var v any
	switch {
	case have.Kind == batch.Bool:
		v = int64(0)
		if c.Bits().Get(row) {
			v = int64(1)
		}
	case have.Kind == batch.Date:
		v = c.Value(row)
	case have.Kind == batch.Float32 || have.Kind == batch.Float64:
		f := c.Float(row)
		if want.Kind == batch.Decimal {
			return text, decimalFromFloat(out, f)
		}
		if want.Integer() && (f != math.Trunc(f) || math.Abs(f) >= 1<<63) {
			return text, fmt.Errorf("%v is not a value of type %s", f, want)
		}
		v = f
	case want.Kind == batch.Float32 || want.Kind == batch.Float64:
		text = batch.AppendText(text, c, row)
		f, ok := batch.ParseFloat(text)
		if !ok || !spells(f, c, row) {
			return text, fmt.Errorf("%s has more digits than a %s holds", text, want)
		}
		v = f
	case have.Kind == batch.Decimal && want.Integer():
		return convertIntegral(out, c, row, text)
	default:
		text = batch.AppendText(text, c, row)
		v = text
	}
	return text, out.Any(v)
}

// spells reports whether a float's shortest text is the number of an integer or decimal row.
func spells(f float64, c *batch.Column, row int) bool {
	if c.Type().Kind != batch.Decimal {
		return strconv.FormatFloat(f, 'f', 0, 64) == string(batch.AppendText(nil, c, row))
	}
	typ := c.Type()
	d, ok := batch.ParseDecimal(batch.AppendFloat(nil, f, 64), int32(typ.Precision), int32(typ.Scale))
	return ok && d == batch.Values[Decimal](c)[row]
}

// convertIntegral writes a decimal without fraction to an integer column.
func convertIntegral(out *batch.Appender, c *batch.Column, row int, text []byte) ([]byte, error) {
	text = batch.AppendText(text, c, row)
	digits := text
	for i, ch := range text {
		if ch != '.' {
			continue
		}
		for _, d := range text[i+1:] {
			if d != '0' {
				return text, fmt.Errorf("%s is not a value of type %s", text, out.Type())
			}
		}
		digits = text[:i]
		break
	}
	return text, out.Any(digits)
}

// decimalFromFloat rounds to the column's scale, as databases do when a float is assigned.
func decimalFromFloat(out *batch.Appender, f float64) error {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return fmt.Errorf("%v is not a value of type %s", f, out.Type())
	}
	if err := out.Any(string(batch.AppendFloat(nil, f, 64))); err == nil {
		return nil
	}
	return out.Any(fmt.Sprintf("%.*f", int(out.Type().Scale), f))
}

func each(n int, rows []int32, f func(row int)) {
	if rows == nil {
		for row := range n {
			f(row)
		}
		return
	}
	for _, row := range rows {
		f(int(row))
	}
}
