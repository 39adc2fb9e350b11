package json

import (
	"encoding/binary"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/tapeline/tapeline/batch"
)

// form says how a cellWriter spells its column.
type form uint8

const (
	formOther form = iota // by batch.AppendJSON
	formInt64
	formFloat64
	formDecimal
	formBool
	formString
	formJSON
	formTokenNumber // lazy JSON: copy what is spelled as the column's type
	formTokenString
	formTokenBool
	formTokenNested
	formTokenAny
	formTextNumber // lazy text: the same
	formTextString
	formTextBool
	formTextJSON
	formTyped // lazy, but no cell can be copied
)

// cellWriter writes the cells of one column of one batch.
type cellWriter struct {
	key      string
	form     form
	nested   bool // the text may go over several lines
	column   *batch.Column
	valid    batch.Bitmap
	ints     []int64
	floats   []float64
	decimals []decimal128.Num
	bits     batch.Bitmap
	offsets  []int32
	bytes    []byte

	spans  *batch.Spans
	cell   int
	data   []byte   // of spans
	starts []uint32 // of spans, from the column's first cell on
	direct bool     // text without a quote is its value, and empty text is null or ""
	empty  bool     // direct: empty text is null

	selection []int32
	typed     *batch.Column // the column read as its type, made when a cell cannot be copied
	bad       map[int]string
	failure   string // why the last cell could not be written
	scratch   []byte
}

func newCellWriter(c *batch.Column, key string, selection []int32, scratch []byte) cellWriter {
	w := cellWriter{key: key, column: c, selection: selection, scratch: scratch}
	w.nested = c.Type().Nested() || c.Type().Kind == batch.JSON
	if spans, cell := c.Source(); spans != nil {
		w.spans, w.cell = spans, cell
		w.form = lazyForm(c.Type(), w.spans.Syntax)
		s := w.spans
		w.data = s.Data
		if c.Len() > 0 {
			w.starts = s.Offsets[w.cell*s.Step:]
		}
		noNulls, emptyNull := len(s.Nulls) == 0, len(s.Nulls) == 1 && s.Nulls[0] == ""
		w.empty = emptyNull
		w.direct = !s.Trim && (s.Escape == s.Quote || s.Escape == 0) && (noNulls || emptyNull)
		return w
	}
	w.valid = c.Validity()
	switch c.Type().Kind {
	case batch.Int64:
		w.form, w.ints = formInt64, batch.Values[int64](c)
	case batch.Float64:
		w.form, w.floats = formFloat64, batch.Values[float64](c)
	case batch.Decimal:
		w.form, w.decimals = formDecimal, batch.Values[decimal128.Num](c)
	case batch.Bool:
		w.form, w.bits = formBool, c.Bits()
	case batch.String:
		w.form = formString
		w.offsets, w.bytes = c.Text()
	case batch.JSON:
		w.form = formJSON
		w.offsets, w.bytes = c.Text()
	}
	return w
}

func lazyForm(typ batch.Type, syntax batch.Syntax) form {
	token := syntax == batch.Token
	pick := func(ofToken, ofText form) form {
		if token {
			return ofToken
		}
		return ofText
	}
	switch kind := typ.Kind; {
	case typ.Numeric():
		return pick(formTokenNumber, formTextNumber)
	case kind == batch.Bool:
		return pick(formTokenBool, formTextBool)
	case kind == batch.JSON:
		return pick(formTokenAny, formTextJSON)
	case typ.Nested():
		return pick(formTokenNested, formTyped)
	case kind == batch.String || kind == batch.Date || kind == batch.Time || kind == batch.Timestamp:
		return pick(formTokenString, formTextString)
	}
	return formTyped
}

// append appends the cell of a row; nothing for a null, and nothing with failure set for a cell
// that cannot be written.
func (w *cellWriter) append(dst []byte, row int) []byte {
	if w.spans != nil {
		if w.spans.Syntax == batch.Token {
			return w.appendToken(dst, row)
		}
		return w.appendText(dst, row)
	}
	if w.valid != nil && !w.valid.Get(row) {
		return dst
	}
	switch w.form {
	case formInt64:
		return strconv.AppendInt(dst, w.ints[row], 10)
	case formFloat64:
		return appendFloat(dst, w.floats[row])
	case formDecimal:
		return batch.AppendDecimal(dst, w.decimals[row], int(w.column.Type().Scale))
	case formBool:
		return strconv.AppendBool(dst, w.bits.Get(row))
	case formString:
		return w.string(dst, w.bytes[w.offsets[row]:w.offsets[row+1]])
	case formJSON:
		return w.json(dst, w.bytes[w.offsets[row]:w.offsets[row+1]])
	}
	if w.column.IsNull(row) {
		return dst
	}
	return batch.AppendJSON(dst, w.column, row)
}

// string appends text in quotes, or fails when it is not UTF-8.
func (w *cellWriter) string(dst, text []byte) []byte {
	out, ok := appendString(dst, text)
	if !ok {
		w.failure = strconv.Quote(shown(text)) + " is not UTF-8; set the encoding of its source"
		return dst
	}
	return out
}

// json appends text that is JSON, or fails: not every source has looked at what it calls JSON.
func (w *cellWriter) json(dst, text []byte) []byte {
	if !Valid(text) {
		w.failure = strconv.Quote(shown(text)) + " is not JSON"
		return dst
	}
	return append(dst, text...)
}

// raw returns the bytes of a lazy cell.
func (w *cellWriter) raw(row int) []byte {
	at := w.starts[row*w.spans.Stride:]
	return w.data[at[0] : at[1]-w.spans.Gap]
}

func (w *cellWriter) appendToken(dst []byte, row int) []byte {
	raw := w.raw(row)
	if len(raw) == 0 || raw[0] == 'n' {
		return dst
	}
	copied := false
	switch first := raw[0]; w.form {
	case formTokenNumber:
		copied = first-'0' <= 9 || first == '-'
	case formTokenString:
		copied = first == '"'
	case formTokenBool:
		copied = first == 't' || first == 'f'
	case formTokenNested:
		copied = first == '{' || first == '['
	case formTokenAny:
		copied = true
	}
	if copied {
		return append(dst, raw...)
	}
	return w.appendTyped(dst, row)
}

func (w *cellWriter) appendText(dst []byte, row int) []byte {
	if w.form == formTyped {
		return w.appendTyped(dst, row)
	}
	text := w.raw(row)
	null := len(text) == 0 && w.empty
	quoted := len(text) > 0 && text[0] == w.spans.Quote && !w.spans.Clean
	if !w.direct || quoted {
		text, null, w.scratch = w.spans.Text(row, w.cell, w.scratch[:0])
	}
	if null {
		return dst
	}
	copied := false
	switch w.form {
	case formTextString:
		return w.string(dst, text)
	case formTextNumber:
		if len(text) > 0 {
			end, why := skipNumber(text, 0)
			copied = why == valid && end == len(text)
		}
	case formTextBool:
		copied = string(text) == "true" || string(text) == "false"
	case formTextJSON:
		return w.json(dst, text)
	}
	if copied {
		return append(dst, text...)
	}
	return w.appendTyped(dst, row)
}

// appendTyped reads the whole column as its type, once, and writes the cell from that.
func (w *cellWriter) appendTyped(dst []byte, row int) []byte {
	if w.typed == nil {
		typed, errs := w.column.Typed(w.selection)
		w.typed, w.bad = typed, make(map[int]string, len(errs))
		for _, e := range errs {
			w.bad[e.Row] = e.Reason
		}
	}
	if why, ok := w.bad[row]; ok {
		w.failure = why
		return dst
	}
	if w.typed.IsNull(row) {
		return dst
	}
	if w.typed.Type().Kind == batch.String {
		return w.string(dst, w.typed.Bytes(row))
	}
	return batch.AppendJSON(dst, w.typed, row)
}

// mustEscape marks, like special, the first byte of w that a JSON string does not hold as it is.
func mustEscape(w uint64) uint64 {
	return (((w ^ quotes) - ones) | ((w ^ slashes) - ones) | (w - blanks)) &^ w & highs
}

// appendString appends text as a JSON string; ok false: text is not UTF-8.
func appendString(dst, text []byte) (out []byte, ok bool) {
	var seen, marks uint64
	i := 0
	for ; i+8 <= len(text); i += 8 {
		word := binary.LittleEndian.Uint64(text[i:])
		seen |= word
		marks |= mustEscape(word)
	}
	for ; i < len(text); i++ {
		ch := text[i]
		seen |= uint64(ch)
		if ch < 0x20 || ch == '"' || ch == '\\' {
			marks = 1
		}
	}
	if seen&highs != 0 && !utf8.Valid(text) {
		return dst, false
	}
	if marks != 0 {
		return batch.AppendJSONString(dst, text), true
	}
	dst = append(append(dst, '"'), text...)
	return append(dst, '"'), true
}

// appendFloat is batch.AppendFloat with null for what JSON has no number for.
func appendFloat(dst []byte, v float64) []byte {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return append(dst, "null"...)
	}
	return batch.AppendFloat(dst, v, 64)
}
