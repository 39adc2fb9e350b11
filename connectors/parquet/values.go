package parquet

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/big"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/float16"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/schema"

	"github.com/tapeline/tapeline/batch"
)

// spread returns values converted and moved to the valid ones of slots rows.
func spread[T, U any](values []T, slots int, valid batch.Bitmap, convert func(T) U) []U {
	out := make([]U, slots)
	if valid == nil {
		for i, v := range values {
			out[i] = convert(v)
		}
		return out
	}
	n := 0
	for i := range out {
		if valid.Get(i) {
			out[i] = convert(values[n])
			n++
		}
	}
	return out
}

// buildFixed keeps values as they are, without a copy where no row is null.
func buildFixed[T batch.Fixed](values []T, typ batch.Type, slots int, valid batch.Bitmap) *batch.Column {
	if valid == nil {
		return batch.FixedColumn(typ, values, nil)
	}
	return batch.FixedColumn(typ, spread(values, slots, valid, func(v T) T { return v }), valid)
}

func convertFixed[T any, U batch.Fixed](
	values []T, typ batch.Type, slots int, valid batch.Bitmap, convert func(T) U,
) *batch.Column {
	return batch.FixedColumn(typ, spread(values, slots, valid, convert), valid)
}

func buildBool(values []bool, _ batch.Type, slots int, valid batch.Bitmap) *batch.Column {
	bits := batch.NewBitmap(slots)
	n := 0
	for i := range slots {
		if valid != nil && !valid.Get(i) {
			continue
		}
		if values[n] {
			bits.Set(i)
		}
		n++
	}
	return batch.BoolColumn(bits, slots, valid)
}

func buildInt32(values []int32, typ batch.Type, slots int, valid batch.Bitmap) *batch.Column {
	switch typ.Kind {
	case batch.Null:
		return batch.NullColumn(typ, slots)
	case batch.Int8, batch.Uint8:
		return convertFixed(values, typ, slots, valid, func(v int32) int8 { return int8(v) })
	case batch.Int16, batch.Uint16:
		return convertFixed(values, typ, slots, valid, func(v int32) int16 { return int16(v) })
	case batch.Time: // milliseconds in the file, microseconds in a batch
		return convertFixed(values, typ, slots, valid, func(v int32) int64 { return int64(v) * 1000 })
	case batch.Decimal:
		return convertFixed(values, typ, slots, valid,
			func(v int32) decimal128.Num { return decimal128.FromI64(int64(v)) })
	}
	return buildFixed(values, typ, slots, valid)
}

func buildInt64(values []int64, typ batch.Type, slots int, valid batch.Bitmap) *batch.Column {
	if typ.Kind == batch.Decimal {
		return convertFixed(values, typ, slots, valid, decimal128.FromI64)
	}
	return buildFixed(values, typ, slots, valid)
}

// Int96 is the timestamp of old writers: nanoseconds of a day, and a Julian day number.
const (
	julianEpoch = 2440588
	dayNanos    = 86400 * 1_000_000_000
)

func splitInt96(v parquet.Int96) (day, nanos int64) {
	return int64(binary.LittleEndian.Uint32(v[8:])) - julianEpoch, int64(binary.LittleEndian.Uint64(v[:8]))
}

// checkInt96 refuses what nanoseconds since 1970 do not reach: years before 1678 and after 2261.
func checkInt96(values []parquet.Int96) error {
	const farthest = math.MaxInt64/dayNanos - 1
	for _, v := range values {
		if day, nanos := splitInt96(v); day > farthest || day < -farthest || nanos < 0 || nanos > dayNanos {
			return fmt.Errorf("the INT96 timestamp of %s is beyond the range of timestamp(ns)",
				batch.AppendDate(nil, day))
		}
	}
	return nil
}

func buildInt96(values []parquet.Int96, typ batch.Type, slots int, valid batch.Bitmap) *batch.Column {
	return convertFixed(values, typ, slots, valid, func(v parquet.Int96) int64 {
		day, nanos := splitInt96(v)
		return day*dayNanos + nanos
	})
}

// texts are byte arrays that follow each other.
type texts struct {
	text []byte
	ends []int32
}

func (t texts) each(visit func(i int, value []byte)) {
	start := int32(0)
	for i, end := range t.ends {
		visit(i, t.text[start:end])
		start = end
	}
}

type buildTexts = func(v texts, typ batch.Type, slots int, valid batch.Bitmap) (*batch.Column, error)

// buildText returns how byte arrays of a column become values of a type.
func buildText(descr *schema.Column, typ batch.Type) buildTexts {
	_, isDecimal := descr.LogicalType().(schema.DecimalLogicalType)
	_, isUUID := descr.LogicalType().(schema.UUIDLogicalType)
	switch {
	case typ.Kind == batch.Decimal:
		return buildDecimal
	case isDecimal:
		scale := int(descr.LogicalType().(schema.DecimalLogicalType).Scale())
		return rewrite(func(dst, value []byte) []byte { return appendWideDecimal(dst, value, scale) })
	case isUUID && typ.Kind == batch.String:
		return rewrite(appendUUID)
	case typ.Kind == batch.Float32:
		return buildFloat16
	}
	return keepText
}

func keepText(v texts, typ batch.Type, slots int, valid batch.Bitmap) (*batch.Column, error) {
	offsets := make([]int32, slots+1)
	n, end := 0, int32(0)
	for i := range slots {
		if valid == nil || valid.Get(i) {
			end = v.ends[n]
			n++
		}
		offsets[i+1] = end
	}
	return batch.TextColumn(typ, offsets, v.text, valid), nil
}

// rewrite returns a build function that spells each value otherwise.
func rewrite(spell func(dst, value []byte) []byte) buildTexts {
	return func(v texts, typ batch.Type, slots int, valid batch.Bitmap) (*batch.Column, error) {
		out := texts{ends: make([]int32, len(v.ends))}
		v.each(func(i int, value []byte) {
			out.text = spell(out.text, value)
			out.ends[i] = int32(len(out.text))
		})
		return keepText(out, typ, slots, valid)
	}
}

func buildDecimal(v texts, typ batch.Type, slots int, valid batch.Bitmap) (*batch.Column, error) {
	values := make([]decimal128.Num, len(v.ends))
	var bad error
	v.each(func(i int, value []byte) {
		var ok bool
		if values[i], ok = readDecimal(value); !ok && bad == nil {
			bad = fmt.Errorf("a decimal of %d bytes does not fit 128 bits", len(value))
		}
	})
	if bad != nil {
		return nil, bad
	}
	return buildFixed(values, typ, slots, valid), nil
}

// readDecimal reads a big-endian two's complement number.
func readDecimal(value []byte) (decimal128.Num, bool) {
	const width = 16
	sign := byte(0)
	if len(value) > 0 && value[0]&0x80 != 0 {
		sign = 0xff
	}
	for len(value) > width {
		if value[0] != sign || value[1]&0x80 != sign&0x80 {
			return decimal128.Num{}, false
		}
		value = value[1:]
	}
	wide := [width]byte{}
	for i := range width - len(value) {
		wide[i] = sign
	}
	copy(wide[width-len(value):], value)
	return decimal128.New(int64(binary.BigEndian.Uint64(wide[:8])), binary.BigEndian.Uint64(wide[8:])), true
}

// appendWideDecimal spells decimals of more than 38 digits.
func appendWideDecimal(dst, value []byte, scale int) []byte {
	v := new(big.Int).SetBytes(value)
	if len(value) > 0 && value[0]&0x80 != 0 {
		v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(8*len(value))))
	}
	digits := new(big.Int).Abs(v).String()
	if v.Sign() < 0 {
		dst = append(dst, '-')
	}
	for len(digits) <= scale {
		digits = "0" + digits
	}
	dst = append(dst, digits[:len(digits)-scale]...)
	if scale > 0 {
		dst = append(dst, '.')
		dst = append(dst, digits[len(digits)-scale:]...)
	}
	return dst
}

func appendUUID(dst, value []byte) []byte {
	const uuidBytes = 16
	if len(value) != uuidBytes {
		return hex.AppendEncode(dst, value)
	}
	for i, end := range []int{4, 6, 8, 10, 16} {
		start := [...]int{0, 4, 6, 8, 10}[i]
		if i > 0 {
			dst = append(dst, '-')
		}
		dst = hex.AppendEncode(dst, value[start:end])
	}
	return dst
}

func buildFloat16(v texts, typ batch.Type, slots int, valid batch.Bitmap) (*batch.Column, error) {
	values := make([]float32, len(v.ends))
	var bad error
	v.each(func(i int, value []byte) {
		if len(value) != 2 {
			bad = fmt.Errorf("a float16 of %d bytes", len(value))
			return
		}
		half := float16.FromBits(binary.LittleEndian.Uint16(value))
		values[i] = half.Float32()
		if half.IsNaN() {
			values[i] = float32(math.NaN())
		}
	})
	if bad != nil {
		return nil, bad
	}
	return buildFixed(values, typ, slots, valid), nil
}
