package expr

import (
	"bytes"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/tapeline/tapeline/batch"
)

// cast converts a value that is not NULL. A value the type cannot hold gives a reason. Floats and
// decimals become integers by dropping the fraction, decimals of a smaller scale by rounding half
// away from zero.
func cast(from, to batch.Type, v value) (out value, reason string) {
	if from.Equal(to) {
		return v, ""
	}
	ok := false
	switch {
	case from.Kind == batch.JSON:
		return castJSON(to, v)
	case to.Kind == batch.String || to.Kind == batch.JSON || to.Kind == batch.Binary:
		return castText(from, to, v)
	case from.Text():
		out, ok = parse(to, v.text)
	case to.Kind == batch.Int64:
		out, ok = castInt(from, v)
	case to.Kind == batch.Uint64:
		out, ok = castUint(from, v)
	case to.Kind == batch.Float64:
		out, ok = castFloat(from, v)
	case to.Kind == batch.Decimal:
		out, ok = castDecimal(from, to, v)
	case to.Kind == batch.Bool:
		out, ok = boolValue(v.low != 0 || v.high != 0), from.Numeric()
	case moment(to):
		out, ok = castMoment(from, to, v, zoneOfEither(from, to))
	}
	if !ok {
		return nullValue(), unfit(from, to, v)
	}
	return out, ""
}

func unfit(from, to batch.Type, v value) string {
	text := render(nil, from, v)
	const shown = 60
	if len(text) > shown {
		text = append(text[:shown:shown], "..."...)
	}
	return fmt.Sprintf("%q is not a value of type %s", text, to)
}

// parse reads a text as a type, by the rules of cells.
func parse(to batch.Type, text []byte) (v value, ok bool) {
	switch to.Kind {
	case batch.Int64:
		i, ok := batch.ParseInt(text)
		return intValue(i), ok
	case batch.Uint64:
		u, ok := batch.ParseUint(text)
		return uintValue(u), ok
	case batch.Float64:
		f, ok := batch.ParseFloat(text)
		return floatValue(f), ok
	case batch.Bool:
		b, ok := batch.ParseBool(text)
		return boolValue(b), ok
	case batch.Decimal:
		d, ok := batch.ParseDecimal(text, int32(to.Precision), int32(to.Scale))
		if !ok {
			d, ok = roundedDecimal(text, to)
		}
		return decimalValue(d), ok
	case batch.Date:
		d, ok := batch.ParseDate(text)
		return intValue(int64(d)), ok
	case batch.Time:
		t, ok := batch.ParseTime(text, to.Unit)
		return intValue(t), ok
	case batch.Timestamp:
		t, ok := batch.ParseTimestamp(text, to)
		return intValue(t), ok
	case batch.Duration:
		d, ok := batch.ParseInt(text)
		return intValue(d), ok
	}
	return value{}, false
}

// roundedDecimal reads a number with more fractional digits than the type has.
func roundedDecimal(text []byte, to batch.Type) (decimal128.Num, bool) {
	precision, scale, ok := decimalScaleOf(string(bytes.TrimPrefix(text, []byte("+"))))
	if !ok || precision > 38 {
		return decimal128.Num{}, false
	}
	d, ok := batch.ParseDecimal(text, 38, int32(scale))
	if !ok {
		return d, false
	}
	return rescale(d, scale, int(to.Scale), int(to.Precision))
}

func castJSON(to batch.Type, v value) (value, string) {
	text, kind := jsonScalar(v.text)
	if kind == jsonNull {
		return nullValue(), ""
	}
	if to.Kind == batch.String || to.Kind == batch.Binary {
		return textValue(text), ""
	}
	out, ok := parse(to, text)
	if !ok {
		return nullValue(), unfit(batch.Of(batch.String), to, textValue(text))
	}
	return out, ""
}

func castText(from, to batch.Type, v value) (value, string) {
	switch {
	case to.Kind == batch.JSON:
		return textValue(renderJSON(nil, from, v)), ""
	case from.Text() && to.Kind == batch.Binary:
		return v, ""
	case from.Kind == batch.Binary && utf8.Valid(v.text):
		return v, ""
	case from.Kind == batch.Binary:
		return nullValue(), "bytes are not UTF-8 text; use hex(x) or base64_encode(x)"
	}
	return textValue(render(nil, from, v)), ""
}

// render appends the canonical text of a value.
func render(dst []byte, typ batch.Type, v value) []byte {
	switch typ.Kind {
	case batch.Bool:
		return strconv.AppendBool(dst, v.bool())
	case batch.String, batch.JSON:
		return append(dst, v.text...)
	case batch.Int64, batch.Int32, batch.Int16, batch.Int8, batch.Duration:
		return strconv.AppendInt(dst, v.int(), 10)
	case batch.Uint64, batch.Uint32, batch.Uint16, batch.Uint8:
		return strconv.AppendUint(dst, v.uint(), 10)
	case batch.Float64:
		return batch.AppendFloat(dst, v.float(), 64)
	case batch.Decimal:
		return batch.AppendDecimal(dst, v.decimal(), int(typ.Scale))
	case batch.Date:
		return batch.AppendDate(dst, v.int())
	case batch.Timestamp:
		return batch.AppendTimestamp(dst, v.int(), typ)
	}
	if c := columnOf(typ, v); c != nil && !c.IsNull(0) {
		return batch.AppendText(dst, c, 0)
	}
	return dst
}

// renderJSON appends a value as JSON.
func renderJSON(dst []byte, typ batch.Type, v value) []byte {
	return batch.AppendJSON(dst, columnOf(typ, v), 0)
}

// columnOf returns a column of the one value.
func columnOf(typ batch.Type, v value) *batch.Column {
	if v.column != nil {
		return v.column.Gather([]int32{int32(v.low)})
	}
	w := newWriter(typ, 1)
	w.put(0, v)
	return w.finish()
}

func castInt(from batch.Type, v value) (value, bool) {
	switch from.Kind {
	case batch.Uint64, batch.Uint32, batch.Uint16, batch.Uint8:
		return v, v.low <= math.MaxInt64
	case batch.Float64, batch.Float32:
		f := math.Trunc(v.float())
		return intValue(int64(f)), f >= -1<<63 && f < 1<<63
	case batch.Decimal:
		whole := truncated(v.decimal(), int(from.Scale))
		return intValue(int64(whole.LowBits())), whole.HighBits() == int64(whole.LowBits())>>63
	}
	return v, from.Integer() || from.Kind == batch.Bool || from.Kind == batch.Duration
}

func castUint(from batch.Type, v value) (value, bool) {
	switch from.Kind {
	case batch.Float64, batch.Float32:
		f := math.Trunc(v.float())
		return uintValue(uint64(f)), f >= 0 && f < 1<<64
	case batch.Decimal:
		whole := truncated(v.decimal(), int(from.Scale))
		return uintValue(whole.LowBits()), whole.HighBits() == 0
	case batch.Int64, batch.Int32, batch.Int16, batch.Int8:
		return v, v.int() >= 0
	}
	return v, from.Integer() || from.Kind == batch.Bool
}

func castFloat(from batch.Type, v value) (value, bool) {
	switch from.Kind {
	case batch.Int64, batch.Int32, batch.Int16, batch.Int8, batch.Bool, batch.Duration:
		return floatValue(float64(v.int())), true
	case batch.Uint64, batch.Uint32, batch.Uint16, batch.Uint8:
		return floatValue(float64(v.uint())), true
	case batch.Decimal:
		return floatValue(decimalToFloat(v.decimal(), int(from.Scale))), true
	}
	return v, from.Kind == batch.Float32
}

func castDecimal(from, to batch.Type, v value) (value, bool) {
	precision, scale := int(to.Precision), int(to.Scale)
	switch from.Kind {
	case batch.Decimal:
		d, ok := rescale(v.decimal(), int(from.Scale), scale, precision)
		return decimalValue(d), ok
	case batch.Int64, batch.Int32, batch.Int16, batch.Int8, batch.Bool:
		d, ok := rescale(decimal128.FromI64(v.int()), 0, scale, precision)
		return decimalValue(d), ok
	case batch.Uint64, batch.Uint32, batch.Uint16, batch.Uint8:
		d, ok := rescale(decimal128.FromU64(v.uint()), 0, scale, precision)
		return decimalValue(d), ok
	case batch.Float64, batch.Float32:
		d, ok := floatToDecimal(v.float(), to)
		return decimalValue(d), ok
	}
	return value{}, false
}

// floatToDecimal rounds the float's shortest decimal text, so that 0.1 becomes 0.1.
func floatToDecimal(f float64, to batch.Type) (decimal128.Num, bool) {
	if math.IsNaN(f) || math.IsInf(f, 0) || math.Abs(f) >= 1e38 {
		return decimal128.Num{}, false
	}
	var room [64]byte
	text := strconv.AppendFloat(room[:0], f, 'f', -1, 64)
	if d, ok := batch.ParseDecimal(text, int32(to.Precision), int32(to.Scale)); ok {
		return d, true
	}
	scale := 0
	if point := bytes.IndexByte(text, '.'); point >= 0 {
		scale = len(text) - point - 1
	}
	if d, ok := batch.ParseDecimal(text, 38, int32(min(scale, 38))); ok {
		return rescale(d, scale, int(to.Scale), int(to.Precision))
	}
	exact, ok := new(big.Rat).SetString(string(text))
	if !ok {
		return decimal128.Num{}, false
	}
	scaled := new(big.Int).Mul(exact.Num(), power10(int(to.Scale)))
	return fitBig(divideRounded(scaled, exact.Denom()), int(to.Precision))
}

// castMoment converts between dates, timestamps and units; finer to coarser drops the rest.
func castMoment(from, to batch.Type, v value, location *time.Location) (value, bool) {
	switch {
	case from.Kind == batch.Date && to.Kind == batch.Timestamp:
		seconds := v.int() * 86400
		if location != nil {
			day := time.Unix(seconds, 0).UTC()
			seconds = dayStart(day.Year(), day.Month(), day.Day(), location).Unix()
		}
		return scaleMoment(seconds, batch.Second, to.Unit)
	case from.Kind == batch.Timestamp && to.Kind == batch.Date:
		seconds := floorDiv(v.int(), from.Unit.PerSecond())
		if location != nil {
			seconds = instantToWall(seconds, location)
		}
		days := floorDiv(seconds, 86400)
		return intValue(days), days == int64(int32(days))
	case from.Kind == to.Kind:
		return scaleMoment(v.int(), from.Unit, to.Unit)
	case from.Integer() && to.Kind == batch.Duration:
		return v, true
	}
	return value{}, false
}

func zoneOfEither(from, to batch.Type) *time.Location {
	if location := zoneOf(from); location != nil {
		return location
	}
	return zoneOf(to)
}

// scaleMoment changes the unit.
func scaleMoment(v int64, from, to batch.Unit) (value, bool) {
	a, b := from.PerSecond(), to.PerSecond()
	if b < a {
		return intValue(floorDiv(v, a/b)), true
	}
	factor := b / a
	out := v * factor
	return intValue(out), out/factor == v
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
