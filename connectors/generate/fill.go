package generate

import (
	"encoding/binary"
	"math/bits"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/tapeline/tapeline/batch"
)

// memory is the recycled backing of one chunk's columns.
type memory struct{ columns []columnMemory }

func newMemory(fields int) *memory { return &memory{columns: make([]columnMemory, fields)} }

type columnMemory struct {
	valid    batch.Bitmap
	bits     batch.Bitmap
	narrow8  []int8
	narrow16 []int16
	narrow32 []int32
	wide     []int64
	single   []float32
	double   []float64
	decimals []decimal128.Num
	offsets  []int32
	bytes    []byte
}

// sized returns s with n elements, of unspecified content.
func sized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

const gamma = 0x9E3779B97F4A7C15

// mix is the output function of splitmix64: the draw of row i is mix(seed + (i+1)*gamma).
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// below scales a draw to 0..n-1; n 0 stands for 2^64.
func below(draw, n uint64) uint64 {
	if n == 0 {
		return draw
	}
	high, _ := bits.Mul64(draw, n)
	return high
}

// column makes the field's values for the rows of w.
func (f *field) column(mem *columnMemory, w window) *batch.Column {
	valid := f.validity(mem, w)
	seed := f.seed + uint64(w.from)*gamma
	switch f.typ.Kind {
	case batch.Bool:
		return f.bools(mem, w.rows, seed, valid)
	case batch.Int8, batch.Uint8:
		mem.narrow8 = sized(mem.narrow8, w.rows)
		fillIntegers(f, mem.narrow8, w, seed)
		return batch.FixedColumn(f.typ, mem.narrow8, valid)
	case batch.Int16, batch.Uint16:
		mem.narrow16 = sized(mem.narrow16, w.rows)
		fillIntegers(f, mem.narrow16, w, seed)
		return batch.FixedColumn(f.typ, mem.narrow16, valid)
	case batch.Int32, batch.Uint32, batch.Date:
		mem.narrow32 = sized(mem.narrow32, w.rows)
		fillIntegers(f, mem.narrow32, w, seed)
		return batch.FixedColumn(f.typ, mem.narrow32, valid)
	case batch.Float32:
		mem.single = sized(mem.single, w.rows)
		fillFloats(f, mem.single, seed)
		return batch.FixedColumn(f.typ, mem.single, valid)
	case batch.Float64:
		mem.double = sized(mem.double, w.rows)
		fillFloats(f, mem.double, seed)
		return batch.FixedColumn(f.typ, mem.double, valid)
	case batch.Decimal:
		mem.decimals = sized(mem.decimals, w.rows)
		f.fillDecimals(mem.decimals, w, seed)
		return batch.FixedColumn(f.typ, mem.decimals, valid)
	case batch.String, batch.JSON:
		f.fillTexts(mem, w, seed)
		return batch.TextColumn(f.typ, mem.offsets, mem.bytes, valid)
	}
	mem.wide = sized(mem.wide, w.rows)
	fillIntegers(f, mem.wide, w, seed)
	return batch.FixedColumn(f.typ, mem.wide, valid)
}

// nullStream separates the draws that decide about nulls from those of the values.
const nullStream = 0xD1B54A32D192ED03

func (f *field) validity(mem *columnMemory, w window) batch.Bitmap {
	if f.nullBelow == 0 {
		return nil
	}
	mem.valid = sized(mem.valid, (w.rows+7)/8)
	clear(mem.valid)
	state := (f.seed ^ nullStream) + uint64(w.from)*gamma
	for i := range w.rows {
		state += gamma
		if mix(state) >= f.nullBelow {
			mem.valid.Set(i)
		}
	}
	return mem.valid
}

func fillIntegers[T int8 | int16 | int32 | int64](f *field, dst []T, w window, seed uint64) {
	switch f.kind {
	case kindSequence:
		v := uint64(f.base) + uint64(w.from)*uint64(f.step)
		for i := range dst {
			dst[i] = T(v)
			v += uint64(f.step)
		}
	case kindValues:
		n := uint64(len(f.integers))
		for i := range dst {
			seed += gamma
			dst[i] = T(f.integers[below(mix(seed), n)])
		}
	case kindEmitted:
		for i := range dst {
			dst[i] = T((w.due + int64(float64(i)*w.period)) / f.step)
		}
	default:
		base, n := uint64(f.base), f.span+1
		for i := range dst {
			seed += gamma
			dst[i] = T(base + below(mix(seed), n))
		}
	}
}

func fillFloats[T float32 | float64](f *field, dst []T, seed uint64) {
	if f.kind == kindValues {
		n := uint64(len(f.floats))
		for i := range dst {
			seed += gamma
			dst[i] = T(f.floats[below(mix(seed), n)])
		}
		return
	}
	low, width := f.low, f.high-f.low
	for i := range dst {
		seed += gamma
		dst[i] = T(low + width*(float64(mix(seed)>>11)*0x1p-53))
	}
}

func (f *field) fillDecimals(dst []decimal128.Num, w window, seed uint64) {
	switch f.kind {
	case kindSequence:
		v := uint64(f.base) + uint64(w.from)*uint64(f.step)
		for i := range dst {
			dst[i] = decimal128.FromI64(int64(v))
			v += uint64(f.step)
		}
	case kindValues:
		n := uint64(len(f.integers))
		for i := range dst {
			seed += gamma
			dst[i] = decimal128.FromI64(f.integers[below(mix(seed), n)])
		}
	default:
		base, n := uint64(f.base), f.span+1
		for i := range dst {
			seed += gamma
			dst[i] = decimal128.FromI64(int64(base + below(mix(seed), n)))
		}
	}
}

func (f *field) bools(mem *columnMemory, rows int, seed uint64, valid batch.Bitmap) *batch.Column {
	mem.bits = sized(mem.bits, (rows+7)/8)
	clear(mem.bits)
	n := uint64(len(f.integers))
	for i := range rows {
		seed += gamma
		if f.integers[below(mix(seed), n)] != 0 {
			mem.bits.Set(i)
		}
	}
	return batch.BoolColumn(mem.bits, rows, valid)
}

// fillTexts makes the strings of a column in mem.offsets and mem.bytes.
func (f *field) fillTexts(mem *columnMemory, w window, seed uint64) {
	mem.offsets = sized(mem.offsets, w.rows+1)
	mem.offsets[0] = 0
	switch {
	case f.kind == kindValues && f.short != nil:
		f.fillShort(mem, w.rows, seed)
	case f.kind == kindValues:
		dst, n := mem.bytes[:0], uint64(len(f.texts))
		for i := range w.rows {
			seed += gamma
			dst = append(dst, f.texts[below(mix(seed), n)]...)
			mem.offsets[i+1] = int32(len(dst))
		}
		mem.bytes = dst
	case f.kind == kindSequence || f.prefixed:
		f.fillNumbered(mem, w, seed)
	default:
		f.fillLetters(mem, w.rows, seed)
	}
}

// shortText is a text of at most 16 bytes as two words, so that copying it is two stores.
type shortText struct {
	low, high uint64
	length    int
}

const shortBytes = 16

func shortTexts(texts []string) []shortText {
	out := make([]shortText, len(texts))
	for i, text := range texts {
		if len(text) > shortBytes {
			return nil
		}
		var padded [shortBytes]byte
		copy(padded[:], text)
		out[i] = shortText{
			low: binary.LittleEndian.Uint64(padded[:8]), high: binary.LittleEndian.Uint64(padded[8:]),
			length: len(text),
		}
	}
	return out
}

func (f *field) fillShort(mem *columnMemory, rows int, seed uint64) {
	dst := sized(mem.bytes, (rows+1)*shortBytes)
	offsets := mem.offsets[1 : rows+1]
	at, n := 0, uint64(len(f.short))
	for i := range offsets {
		seed += gamma
		text := &f.short[below(mix(seed), n)]
		to := dst[at : at+shortBytes]
		binary.LittleEndian.PutUint64(to, text.low)
		binary.LittleEndian.PutUint64(to[8:], text.high)
		at += text.length
		offsets[i] = int32(at)
	}
	mem.bytes = dst[:at]
}

func (f *field) fillNumbered(mem *columnMemory, w window, seed uint64) {
	dst := mem.bytes[:0]
	sequence := uint64(f.base) + uint64(w.from)*uint64(f.step)
	for i := range w.rows {
		seed += gamma
		v := sequence
		if f.kind != kindSequence {
			v = uint64(f.base) + below(mix(seed), f.span+1)
		}
		dst = strconv.AppendInt(append(dst, f.prefix...), int64(v), 10)
		mem.offsets[i+1] = int32(len(dst))
		sequence += uint64(f.step)
	}
	mem.bytes = dst
}

const alphabet = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// lettersPerDraw is how many letters 64 random bits hold.
const lettersPerDraw = 10

func (f *field) fillLetters(mem *columnMemory, rows int, seed uint64) {
	dst := sized(mem.bytes, rows*f.length)
	at := 0
	for i := range rows {
		seed += gamma
		draw := mix(seed)
		for k := range f.length {
			if k > 0 && k%lettersPerDraw == 0 {
				draw = mix(seed ^ uint64(k)*nullStream)
			}
			var letter uint64
			letter, draw = bits.Mul64(draw, uint64(len(alphabet)))
			dst[at] = alphabet[letter]
			at++
		}
		mem.offsets[i+1] = int32(at)
	}
	mem.bytes = dst[:at]
}
