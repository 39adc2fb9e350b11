package batch

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"math/bits"
	"strconv"
	"time"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
)

// AppendText appends the canonical text of a dense column's non-null row, which reads back as the
// same value: ISO 8601 times, exact decimals, shortest floats, base64 binary, JSON for nested.
func AppendText(dst []byte, c *Column, row int) []byte {
	switch c.typ.Kind {
	case Null:
		return dst
	case Bool:
		return strconv.AppendBool(dst, c.Bits().Get(row))
	case String, JSON:
		return append(dst, c.Bytes(row)...)
	case Binary:
		return base64.StdEncoding.AppendEncode(dst, c.Bytes(row))
	case Int64:
		return strconv.AppendInt(dst, Values[int64](c)[row], 10)
	case Int8, Int16, Int32:
		return strconv.AppendInt(dst, c.Int(row), 10)
	case Uint8, Uint16, Uint32, Uint64:
		return strconv.AppendUint(dst, c.Uint(row), 10)
	case Float64:
		return AppendFloat(dst, Values[float64](c)[row], 64)
	case Float32:
		return AppendFloat(dst, float64(Values[float32](c)[row]), 32)
	case Decimal:
		return AppendDecimal(dst, Values[decimal128.Num](c)[row], int(c.typ.Scale))
	case Date:
		return AppendDate(dst, int64(Values[int32](c)[row]))
	case Time:
		v, per := Values[int64](c)[row], c.typ.Unit.PerSecond()
		return appendClock(dst, v/per, v%per, c.typ.Unit)
	case Timestamp:
		return AppendTimestamp(dst, Values[int64](c)[row], c.typ)
	case Duration:
		return strconv.AppendInt(dst, Values[int64](c)[row], 10)
	case Foreign:
		return append(dst, c.foreign.ValueStr(row)...)
	}
	return AppendJSON(dst, c, row)
}

// AppendJSON appends a dense column's row as a JSON value. Integers and decimals are written with
// all digits; NaN and infinities, which JSON lacks, become null.
func AppendJSON(dst []byte, c *Column, row int) []byte {
	if c.IsNull(row) {
		return append(dst, "null"...)
	}
	switch c.typ.Kind {
	case Float64, Float32:
		if v := c.Float(row); math.IsNaN(v) || math.IsInf(v, 0) {
			return append(dst, "null"...)
		}
	case String:
		return AppendJSONString(dst, c.Bytes(row))
	case Binary, Date, Time, Timestamp:
		dst = append(dst, '"')
		return append(AppendText(dst, c, row), '"')
	case Foreign:
		return appendForeign(dst, c, row)
	case List:
		return appendList(dst, c, row)
	case Struct:
		return appendStruct(dst, c, row)
	case Map:
		return appendMap(dst, c, row)
	}
	return AppendText(dst, c, row)
}

// appendForeign writes what Arrow's own JSON form of the value is, else its text.
func appendForeign(dst []byte, c *Column, row int) []byte {
	value, err := json.Marshal(c.foreign.GetOneForMarshal(row))
	if err != nil {
		return AppendJSONString(dst, c.foreign.ValueStr(row))
	}
	return append(dst, value...)
}

func appendList(dst []byte, c *Column, row int) []byte {
	dst = append(dst, '[')
	for i := c.offsets[row]; i < c.offsets[row+1]; i++ {
		if i > c.offsets[row] {
			dst = append(dst, ',')
		}
		dst = AppendJSON(dst, c.children[0], int(i))
	}
	return append(dst, ']')
}

func appendStruct(dst []byte, c *Column, row int) []byte {
	dst = append(dst, '{')
	for i, f := range c.typ.Fields {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(AppendJSONString(dst, f.Name), ':')
		dst = AppendJSON(dst, c.children[i], row)
	}
	return append(dst, '}')
}

func appendMap(dst []byte, c *Column, row int) []byte {
	dst = append(dst, '{')
	for i := c.offsets[row]; i < c.offsets[row+1]; i++ {
		if i > c.offsets[row] {
			dst = append(dst, ',')
		}
		key := AppendText(nil, c.children[0], int(i))
		dst = append(AppendJSONString(dst, key), ':')
		dst = AppendJSON(dst, c.children[1], int(i))
	}
	return append(dst, '}')
}

// AppendFloat appends the shortest decimal text that reads back as v, with an exponent only below
// 1e-6 and from 1e21, as JSON writers do. bits is 32 or 64.
//
// A 64-bit value of at most 15 digits, 6 of them after the point, is found by one division: two such
// numbers are never the same float64, so one that reads back is the shortest.
func AppendFloat(dst []byte, v float64, bits int) []byte {
	const scale, most = 1e6, 1e9
	if bits == 64 && v < most && v > -most && (v != 0 || !math.Signbit(v)) {
		n := int64(math.Round(v * scale))
		if float64(n)/scale == v {
			return appendMillionths(dst, n)
		}
	}
	format := byte('f')
	if abs := math.Abs(v); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(dst, v, format, -1, bits)
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

// AppendDecimal appends v / 10^scale with exactly scale fractional digits.
func AppendDecimal(dst []byte, v decimal128.Num, scale int) []byte {
	negative := v.Sign() < 0
	low, high := v.LowBits(), v.HighBits()
	if negative {
		dst = append(dst, '-')
		var borrow uint64
		low, borrow = bits.Sub64(0, low, 0)
		high = -high - int64(borrow)
	}
	if high != 0 || scale > 18 {
		return appendScaled(dst, []byte(v.Abs().BigInt().String()), scale)
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

func appendScaled(dst, digits []byte, scale int) []byte {
	for len(digits) <= scale {
		digits = append([]byte{'0'}, digits...)
	}
	point := len(digits) - scale
	dst = append(dst, digits[:point]...)
	if scale == 0 {
		return dst
	}
	return append(append(dst, '.'), digits[point:]...)
}

// AppendDate appends days since 1970-01-01 as YYYY-MM-DD.
func AppendDate(dst []byte, days int64) []byte {
	year, month, day := fromCivil(days)
	if year < 0 || year > 9999 {
		return time.Unix(days*86400, 0).UTC().AppendFormat(dst, "2006-01-02")
	}
	dst = append(dst, byte('0'+year/1000), byte('0'+year/100%10))
	dst = append(appendTwo(dst, int64(year%100)), '-')
	dst = append(appendTwo(dst, int64(month)), '-')
	return appendTwo(dst, int64(day))
}

// fromCivil is the inverse of civil.
func fromCivil(days int64) (year, month, day int) {
	z := int(days) + 719468
	era := floorDiv(z, 146097)
	dayOfEra := z - era*146097
	yearOfEra := (dayOfEra - dayOfEra/1460 + dayOfEra/36524 - dayOfEra/146096) / 365
	dayOfYear := dayOfEra - (365*yearOfEra + yearOfEra/4 - yearOfEra/100)
	shifted := (5*dayOfYear + 2) / 153
	day = dayOfYear - (153*shifted+2)/5 + 1
	month = shifted + 3
	year = yearOfEra + era*400
	if month > 12 {
		month -= 12
		year++
	}
	return year, month, day
}

func appendTwo(dst []byte, v int64) []byte { return append(dst, byte('0'+v/10), byte('0'+v%10)) }

// AppendTimestamp appends a timestamp in ISO 8601 with the unit's fractional digits; with a zone it
// ends in Z or the zone's offset.
func AppendTimestamp(dst []byte, v int64, typ Type) []byte {
	per := typ.Unit.PerSecond()
	seconds, rest := v/per, v%per
	if rest < 0 {
		seconds, rest = seconds-1, rest+per
	}
	offset := 0
	if typ.Zone != "" && typ.Zone != "UTC" {
		_, offset = time.Unix(seconds, 0).In(typ.Location()).Zone()
		if offset%60 != 0 {
			offset = 0 // local mean times of old have seconds, which the text cannot hold
		}
	}
	local := seconds + int64(offset)
	days, clock := local/86400, local%86400
	if clock < 0 {
		days, clock = days-1, clock+86400
	}
	dst = append(AppendDate(dst, days), 'T')
	dst = appendClock(dst, clock, rest, typ.Unit)
	switch {
	case typ.Zone == "":
		return dst
	case offset == 0:
		return append(dst, 'Z')
	case offset < 0:
		dst, offset = append(dst, '-'), -offset
	default:
		dst = append(dst, '+')
	}
	dst = append(appendTwo(dst, int64(offset/3600)), ':')
	return appendTwo(dst, int64(offset/60%60))
}

// appendClock appends HH:MM:SS and the fraction rest in unit.
func appendClock(dst []byte, seconds, rest int64, unit Unit) []byte {
	dst = append(appendTwo(dst, seconds/3600), ':')
	dst = append(appendTwo(dst, seconds/60%60), ':')
	dst = appendTwo(dst, seconds%60)
	if unit == Second {
		return dst
	}
	dst = append(dst, '.')
	for place := unit.PerSecond() / 10; place > 0; place /= 10 {
		dst = append(dst, byte('0'+rest/place%10))
	}
	return dst
}

// AppendRow appends one physical row as a JSON object. Lazy cells appear as their text, so that
// what could not be read is shown as it was.
func AppendRow(dst []byte, b *Batch, row int) []byte {
	dst = append(dst, '{')
	for i, c := range b.columns {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(AppendJSONString(dst, b.schema.fields[i].Name), ':')
		if !c.Lazy() {
			dst = AppendJSON(dst, c, row)
			continue
		}
		text, null, _ := c.spans.Text(row, c.cell, nil)
		switch raw := c.spans.Raw(row, c.cell); {
		case null:
			dst = append(dst, "null"...)
		case c.spans.Syntax == Token:
			dst = append(dst, raw...)
		default:
			dst = AppendJSONString(dst, text)
		}
	}
	return append(dst, '}')
}
