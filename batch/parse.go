package batch

import (
	"fmt"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
)

// Typed reads the cells of a lazy column in the given ascending physical rows (nil: all) as the
// column's type. The result is as long as the column; other rows hold no value. Cells that do not
// read are null there and returned as errors without a column name.
func (c *Column) Typed(rows []int32) (*Column, []RowError) {
	if c.spans == nil {
		return c, nil
	}
	typed, bad := c.read(rows)
	typed.source, typed.cell = c.spans, c.cell
	return typed, bad
}

func (c *Column) read(rows []int32) (*Column, []RowError) {
	r := reader{column: c, rows: rows}
	switch c.typ.Kind {
	case String, Binary, JSON:
		return r.text(), r.bad
	case Bool:
		return r.bools(), r.bad
	case Int8, Int16, Int32, Int64, Uint8, Uint16, Uint32, Uint64:
		return r.integers(), r.bad
	case Float64:
		return readFixed(&r, ParseFloat), r.bad
	case Float32:
		return readFixed(&r, ParseFloat32), r.bad
	case Decimal:
		precision, scale := int32(c.typ.Precision), int32(c.typ.Scale)
		return readFixed(&r, func(text []byte) (decimal128.Num, bool) {
			return ParseDecimal(text, precision, scale)
		}), r.bad
	case Date:
		return readFixed(&r, ParseDate), r.bad
	case Time:
		return readFixed(&r, func(text []byte) (int64, bool) { return ParseTime(text, c.typ.Unit) }), r.bad
	case Timestamp:
		stamps := newStampReader(c.typ)
		return readFixed(&r, stamps.parse), r.bad
	case Duration:
		return readFixed(&r, func(text []byte) (int64, bool) { return ParseInt(text) }), r.bad
	case List, Struct, Map:
		if c.spans.Decode != nil {
			return c.spans.Decode(c.spans, c.cell, c.typ, rows)
		}
	}
	return r.unreadable(), r.bad
}

// reader walks the selected cells of one lazy column.
type reader struct {
	column  *Column
	rows    []int32
	scratch []byte
	valid   Bitmap // made at the first null
	bad     []RowError
}

func (r *reader) count() int {
	if r.rows == nil {
		return r.column.rows
	}
	return len(r.rows)
}

// setNull marks a row null; rows outside the selection keep their bit set.
func (r *reader) setNull(row int) {
	if r.valid == nil {
		r.valid = NewBitmapSet(r.column.rows)
	}
	r.valid.Clear(row)
}

func (r *reader) refuse(row int, text []byte) {
	r.setNull(row)
	const shown = 60
	if len(text) > shown {
		text = append(append([]byte(nil), text[:shown]...), "..."...)
	}
	reason := fmt.Sprintf("%q is not a value of type %s", text, r.column.typ)
	if r.column.typ.Kind == String {
		reason = fmt.Sprintf("%q is not UTF-8; set the encoding of its source", text)
	}
	r.bad = append(r.bad, RowError{Row: row, Reason: reason})
}

func readFixed[T Fixed](r *reader, parse func([]byte) (T, bool)) *Column {
	c := r.column
	values := make([]T, c.rows)
	if c.spans.verbatim() {
		return readVerbatim(r, values, parse)
	}
	var text []byte
	var null, ok bool
	for i := range r.count() {
		row := pick(r.rows, i)
		text, null, r.scratch = c.spans.Text(row, c.cell, r.scratch[:0])
		if null {
			r.setNull(row)
			continue
		}
		if values[row], ok = parse(text); !ok {
			r.refuse(row, text)
		}
	}
	return FixedColumn(c.typ, values, r.valid)
}

// readVerbatim is readFixed for cells that are their text, without a call per cell to find it.
func readVerbatim[T Fixed](r *reader, values []T, parse func([]byte) (T, bool)) *Column {
	c := r.column
	s := c.spans
	at, step := c.cell*s.Step, s.Stride
	for i := range r.count() {
		row := pick(r.rows, i)
		from := row*step + at
		text := s.Data[s.Offsets[from] : s.Offsets[from+1]-s.Gap]
		v, ok := parse(text)
		if !ok {
			if s.isNull(text) {
				r.setNull(row)
			} else {
				r.refuse(row, text)
			}
			continue
		}
		values[row] = v
	}
	if len(s.Nulls) > 1 || len(s.Nulls) == 1 && s.Nulls[0] != "" {
		r.nullTexts()
	}
	return FixedColumn(c.typ, values, r.valid)
}

// nullTexts marks cells that read as values but are configured to mean NULL, such as -999.
func (r *reader) nullTexts() {
	for i := range r.count() {
		row := pick(r.rows, i)
		if r.column.spans.isNull(r.column.spans.Raw(row, r.column.cell)) {
			r.setNull(row)
		}
	}
}

func (r *reader) integers() *Column {
	switch r.column.typ.Kind {
	case Int64:
		return readFixed(r, ParseInt)
	case Int8:
		return readFixed(r, narrowInt[int8])
	case Int16:
		return readFixed(r, narrowInt[int16])
	case Int32:
		return readFixed(r, narrowInt[int32])
	case Uint8:
		return readFixed(r, narrowUint[uint8])
	case Uint16:
		return readFixed(r, narrowUint[uint16])
	case Uint32:
		return readFixed(r, narrowUint[uint32])
	}
	return readFixed(r, ParseUint)
}

func narrowInt[T int8 | int16 | int32](text []byte) (T, bool) {
	v, ok := ParseInt(text)
	return T(v), ok && int64(T(v)) == v
}

func narrowUint[T uint8 | uint16 | uint32](text []byte) (T, bool) {
	v, ok := ParseUint(text)
	return T(v), ok && uint64(T(v)) == v
}

func (r *reader) bools() *Column {
	c := r.column
	bits := NewBitmap(c.rows)
	var text []byte
	var null bool
	for i := range r.count() {
		row := pick(r.rows, i)
		text, null, r.scratch = c.spans.Text(row, c.cell, r.scratch[:0])
		if null {
			r.setNull(row)
			continue
		}
		v, ok := ParseBool(text)
		if !ok {
			r.refuse(row, text)
		} else if v {
			bits.Set(row)
		}
	}
	return BoolColumn(bits, c.rows, r.valid)
}

func (r *reader) text() *Column {
	c := r.column
	offsets := make([]int32, c.rows+1)
	var bytes, text []byte
	var null bool
	next := 0
	raw := c.typ.Kind == JSON && c.spans.Syntax == Token
	check := c.typ.Kind == JSON && (c.spans.Syntax != Plain || !c.spans.Clean)
	for i := range r.count() {
		row := pick(r.rows, i)
		for ; next < row; next++ {
			offsets[next+1] = int32(len(bytes))
		}
		text, null, r.scratch = c.spans.Text(row, c.cell, r.scratch[:0])
		switch {
		case null:
			r.setNull(row)
		case raw:
			bytes = append(bytes, c.spans.Raw(row, c.cell)...)
		case c.typ.Kind == String && !utf8.Valid(text), check && !validJSON(text):
			r.refuse(row, text)
		default:
			bytes = append(bytes, text...)
		}
		next = row + 1
		offsets[next] = int32(len(bytes))
	}
	for ; next < c.rows; next++ {
		offsets[next+1] = int32(len(bytes))
	}
	return TextColumn(c.typ, offsets, bytes, r.valid)
}

// unreadable is the answer for types that have no text form: every non-null cell is an error.
func (r *reader) unreadable() *Column {
	c := r.column
	for i := range r.count() {
		row := pick(r.rows, i)
		text, null, _ := c.spans.Text(row, c.cell, nil)
		if !null {
			r.refuse(row, text)
		}
	}
	return NullColumn(c.typ, c.rows)
}
