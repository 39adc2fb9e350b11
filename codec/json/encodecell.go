package json

import (
	"encoding/binary"
	"math"
	"math/bits"
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
		return appendDecimal(dst, w.decimals[row], int(w.column.Type().Scale))
	case formBool:
		return strconv.AppendBool(dst, w.bits.Get(row))
	case formString:
		return w.string(dst, w.bytes[w.offsets[row]:w.offsets[row+1]])
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
		w.failure = strconv.Quote(shown(text)) + " is not UTF-8"
		return dst
	}
	return out
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
		if copied = Valid(text); !copied {
			w.failure = strconv.Quote(shown(text)) + " is not JSON"
			return dst
		}
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

// appendFloat appends what batch.AppendFloat does. A value of at most 15 digits, 6 of them after
// the point, is found by one division: two such numbers are never the same float64, so one that
// reads back is the shortest.
func appendFloat(dst []byte, v float64) []byte {
	const scale, most = 1e6, 1e9
	if v < most && v > -most && (v != 0 || !math.Signbit(v)) {
		n := int64(math.Round(v * scale))
		if float64(n)/scale == v {
			return appendMillionths(dst, n)
		}
	}
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return append(dst, "null"...)
	}
	return batch.AppendFloat(dst, v, 64)
}

// appendMillionths appends n/1e6 without trailing zeros.
func appendMillionths(dst []byte, n int64) []byte {
	if n < 0 {
		dst = append(dst, '-')
		n = -n
	}
	dst = strconv.AppendInt(dst, n/1e6, 10)
	rest := n % 1e6
	if rest == 0 {
		return dst
	}
	dst = append(dst, '.')
	for place := int64(1e5); rest > 0; place /= 10 {
		dst = append(dst, byte('0'+rest/place))
		rest %= place
	}
	return dst
}

// appendDecimal appends v / 10^scale with scale digits after the point.
func appendDecimal(dst []byte, v decimal128.Num, scale int) []byte {
	negative := v.Sign() < 0
	low, high := v.LowBits(), v.HighBits()
	if negative {
		var borrow uint64
		low, borrow = bits.Sub64(0, low, 0)
		high = -high - int64(borrow)
	}
	if high != 0 || scale > 18 {
		return batch.AppendDecimal(dst, v, scale)
	}
	if negative {
		dst = append(dst, '-')
	}
	if scale == 0 {
		return strconv.AppendUint(dst, low, 10)
	}
	power := uint64(1)
	for range scale {
		power *= 10
	}
	dst = append(strconv.AppendUint(dst, low/power, 10), '.')
	rest := low % power
	at := len(dst)
	for range scale {
		dst = append(dst, '0')
	}
	for i := at + scale - 1; rest > 0; i-- {
		dst[i] = byte('0' + rest%10)
		rest /= 10
	}
	return dst
}
