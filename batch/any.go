package batch

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"
)

// Any appends a boxed value of the kinds Column.Value returns, and json.Number, int, and text that
// reads as the type. A value that does not fit is an error and appends nothing.
func (a *Appender) Any(v any) error {
	switch v := v.(type) {
	case nil:
		a.Null()
		return nil
	case string:
		return a.anyText([]byte(v))
	case []byte:
		return a.anyText(v)
	case json.Number:
		return a.anyText([]byte(v))
	case int:
		return a.anyInt(int64(v))
	case int64:
		return a.anyInt(v)
	case uint64:
		if v > math.MaxInt64 && a.typ.Kind == Uint64 {
			a.Uint(v)
			return nil
		}
		return a.anyText(strconv.AppendUint(nil, v, 10))
	case float64:
		return a.anyFloat(v)
	case bool:
		if a.typ.Kind == Bool {
			a.Bool(v)
			return nil
		}
		return a.anyText(strconv.AppendBool(nil, v))
	case time.Time:
		return a.anyTime(v)
	case time.Duration:
		return a.anyDuration(v)
	case DecimalValue:
		return a.anyText([]byte(v.String()))
	case []any:
		return a.anyList(v)
	case map[string]any:
		return a.anyMap(v)
	}
	return fmt.Errorf("%T is not a value of type %s", v, a.typ)
}

// anyText appends text read as the column's type, by the same rules as a lazy cell.
func (a *Appender) anyText(text []byte) error {
	if a.typ.Text() {
		a.Bytes(text)
		return nil
	}
	if a.typ.Kind == Null {
		return fmt.Errorf("%q is not null", text)
	}
	cell := &Spans{
		Data: text, Offsets: []uint32{0, uint32(len(text))}, Stride: 2, Step: 2, Syntax: Plain,
	}
	column, bad := LazyColumn(a.typ, cell, 0).Typed(nil)
	if len(bad) > 0 {
		return fmt.Errorf("%s", bad[0].Reason)
	}
	a.copyRow(column, 0)
	return nil
}

// copyRow appends one non-null row of a dense fixed-width, Bool or Decimal column of equal type.
func (a *Appender) copyRow(c *Column, row int) {
	switch {
	case c.typ.Kind == Bool:
		a.Bool(c.Bits().Get(row))
	case c.typ.Kind == Decimal:
		a.Decimal(c.Value(row).(DecimalValue).Unscaled)
	case c.typ.Kind == Float32 || c.typ.Kind == Float64:
		a.Float(c.Float(row))
	case c.typ.Kind >= Uint8 && c.typ.Kind <= Uint64:
		a.Uint(c.Uint(row))
	default:
		a.Int(c.Int(row))
	}
}

func (a *Appender) anyInt(v int64) error {
	switch a.typ.Kind {
	case Int64, Time, Duration, Timestamp:
		a.Int(v)
		return nil
	case Float64:
		f := float64(v)
		if f >= 1<<63 || int64(f) != v {
			return fmt.Errorf("%d has more digits than a %s holds", v, a.typ)
		}
		a.Float(f)
		return nil
	}
	return a.anyText(strconv.AppendInt(nil, v, 10))
}

func (a *Appender) anyFloat(v float64) error {
	switch {
	case a.typ.Kind == Float32 && math.IsInf(float64(float32(v)), 0) && !math.IsInf(v, 0):
		return fmt.Errorf("%v is beyond the range of %s", v, a.typ)
	case a.typ.Kind == Float64 || a.typ.Kind == Float32:
		a.Float(v)
		return nil
	case a.typ.Integer() && v == math.Trunc(v) && math.Abs(v) < 1<<53:
		return a.anyInt(int64(v))
	}
	return a.anyText(AppendFloat(nil, v, 64))
}

func (a *Appender) anyTime(v time.Time) error {
	switch a.typ.Kind {
	case Timestamp:
		nanos := int64(v.Nanosecond())
		nanos -= nanos % (int64(1e9) / a.typ.Unit.PerSecond())
		units, ok := scaleUnit(v.Unix(), nanos, a.typ.Unit)
		if !ok {
			return fmt.Errorf("%s is beyond the range of %s", v.Format(time.RFC3339), a.typ)
		}
		a.Int(units)
		return nil
	case Date:
		a.Time(v)
		return nil
	case String:
		a.Text(v.Format(time.RFC3339Nano))
		return nil
	}
	return fmt.Errorf("a time is not a value of type %s", a.typ)
}

func (a *Appender) anyDuration(v time.Duration) error {
	const day = 24 * time.Hour
	switch {
	case a.typ.Kind == Time && (v < 0 || v > day):
		return fmt.Errorf("%v is no time of a day", v)
	case a.typ.Kind == Time || a.typ.Kind == Duration:
		a.Int(int64(v) / (int64(1e9) / a.typ.Unit.PerSecond()))
		return nil
	}
	return a.anyText([]byte(v.String()))
}

func (a *Appender) anyList(v []any) error {
	if a.typ.Kind == JSON || a.typ.Kind == String {
		return a.anyJSON(v)
	}
	if a.typ.Kind != List {
		return fmt.Errorf("a list is not a value of type %s", a.typ)
	}
	before := a.children[0].rows
	for i, element := range v {
		if err := a.children[0].Any(element); err != nil {
			a.undo(before)
			return fmt.Errorf("list element %d: %w", i, err)
		}
	}
	a.List()
	return nil
}

func (a *Appender) anyMap(v map[string]any) error {
	switch a.typ.Kind {
	case JSON, String:
		return a.anyJSON(v)
	case Struct:
		for i, f := range a.typ.Fields {
			if err := a.children[i].Any(v[f.Name]); err != nil {
				a.undo(a.rows)
				return fmt.Errorf("member %s: %w", f.Name, err)
			}
		}
		a.Struct()
		return nil
	case Map:
		before := a.children[0].rows
		for key, value := range v {
			if err := a.children[0].Any(key); err != nil {
				a.undo(before)
				return fmt.Errorf("key %s: %w", key, err)
			}
			if err := a.children[1].Any(value); err != nil {
				a.undo(before)
				return fmt.Errorf("value of %s: %w", key, err)
			}
		}
		a.List()
		return nil
	}
	return fmt.Errorf("an object is not a value of type %s", a.typ)
}

// undo drops the rows from n on that a refused value left in the children.
func (a *Appender) undo(n int) {
	for _, child := range a.children {
		child.truncate(n)
	}
}

// truncate drops the rows from n on.
func (a *Appender) truncate(n int) {
	if n >= a.rows {
		return
	}
	a.valid = a.valid.truncate(n)
	switch {
	case a.typ.Kind == Bool:
		a.bits = a.bits.truncate(n)
	case a.typ.Text():
		a.offsets = a.offsets[:n+1]
		a.bytes = a.bytes[:a.offsets[n]]
	case a.typ.Kind == List || a.typ.Kind == Map:
		a.offsets = a.offsets[:n+1]
		a.undo(int(a.offsets[n]))
	case a.typ.Kind == Struct:
		a.undo(n)
	case a.typ.Kind == Decimal:
		a.decimals = a.decimals[:n]
	case a.typ.Kind != Null:
		a.ints = a.ints[:n]
	}
	a.rows = n
}

func (a *Appender) anyJSON(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	a.Bytes(text)
	return nil
}
