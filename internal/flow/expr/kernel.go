package expr

import (
	"bytes"
	"encoding/binary"
	"math"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/tapeline/tapeline/batch"
)

// bit compiles to a flag, not to a branch: which rows a condition keeps is not predictable.
func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// pass is one run of a loop: the rows to look at (nil: all), where to write those that hold, and flip
// 1 to write those that do not. out is as long as the rows.
type pass struct {
	rows, out []int32
	flip      int
}

type ordered interface {
	int32 | int64 | uint64 | float64
}

type whole interface{ int32 | int64 | uint64 }

// valueRange stands for any comparison with a literal: low <= v <= high, or not that (flip 1).
type valueRange[T ordered] struct {
	low, high T
	flip      int
}

func rangeOfInt(c comparison, v int64, flip int) valueRange[int64] {
	return rangeOfWhole(c, v, flip, [2]int64{math.MinInt64, math.MaxInt64})
}

func rangeOfUint(c comparison, v uint64, flip int) valueRange[uint64] {
	return rangeOfWhole(c, v, flip, [2]uint64{0, math.MaxUint64})
}

func rangeOfDate(c comparison, v int64, flip int) valueRange[int32] {
	return rangeOfWhole(c, int32(v), flip, [2]int32{math.MinInt32, math.MaxInt32})
}

func rangeOfWhole[T whole](c comparison, v T, flip int, limits [2]T) valueRange[T] {
	low, high := limits[0], limits[1]
	none := valueRange[T]{high, low, flip}
	switch c {
	case equal:
		return valueRange[T]{v, v, flip}
	case notEqual:
		return valueRange[T]{v, v, flip ^ 1}
	case less:
		if v == low {
			return none
		}
		return valueRange[T]{low, v - 1, flip}
	case lessEqual:
		return valueRange[T]{low, v, flip}
	case greater:
		if v == high {
			return none
		}
		return valueRange[T]{v + 1, high, flip}
	}
	return valueRange[T]{v, high, flip}
}

func rangeOfFloat(c comparison, v float64, flip int) valueRange[float64] {
	low, high := math.Inf(-1), math.Inf(1)
	none := valueRange[float64]{high, low, flip}
	switch {
	case c == equal:
		return valueRange[float64]{v, v, flip} // NaN is in no range
	case c == notEqual:
		return valueRange[float64]{v, v, flip ^ 1}
	case math.IsNaN(v), c == less && v == low, c == greater && v == high:
		return none
	case c == less:
		return valueRange[float64]{low, math.Nextafter(v, low), flip}
	case c == lessEqual:
		return valueRange[float64]{low, v, flip}
	case c == greater:
		return valueRange[float64]{math.Nextafter(v, high), high, flip}
	}
	return valueRange[float64]{v, high, flip}
}

// keepRange writes the rows (nil: all) whose value is in the range; out is as long as the rows.
func keepRange[T ordered](values []T, r valueRange[T], rows, out []int32) int {
	k, low, high, flip := 0, r.low, r.high, r.flip
	if rows == nil {
		for i, v := range values {
			out[k] = int32(i)
			k += bit(v >= low)&bit(v <= high) ^ flip
		}
		return k
	}
	for _, row := range rows {
		v := values[row]
		out[k] = row
		k += bit(v >= low)&bit(v <= high) ^ flip
	}
	return k
}

// keepPairs compares two columns by equal, notEqual, less or lessEqual.
func keepPairs[T ordered](c comparison, x, y []T, p pass) int {
	if c == notEqual {
		c, p.flip = equal, p.flip^1
	}
	if p.rows != nil {
		return keepPairsOf(c, x, y, p)
	}
	k, out, flip := 0, p.out, p.flip
	y = y[:len(x)]
	switch c {
	case equal:
		for i, v := range x {
			out[k] = int32(i)
			k += bit(v == y[i]) ^ flip
		}
	case less:
		for i, v := range x {
			out[k] = int32(i)
			k += bit(v < y[i]) ^ flip
		}
	default:
		for i, v := range x {
			out[k] = int32(i)
			k += bit(v <= y[i]) ^ flip
		}
	}
	return k
}

func keepPairsOf[T ordered](c comparison, x, y []T, p pass) int {
	k, rows, out, flip := 0, p.rows, p.out, p.flip
	switch c {
	case equal:
		for _, row := range rows {
			out[k] = row
			k += bit(x[row] == y[row]) ^ flip
		}
	case less:
		for _, row := range rows {
			out[k] = row
			k += bit(x[row] < y[row]) ^ flip
		}
	default:
		for _, row := range rows {
			out[k] = row
			k += bit(x[row] <= y[row]) ^ flip
		}
	}
	return k
}

// keepDecimals compares decimals with a literal of their scale.
func keepDecimals(c comparison, values []decimal128.Num, v decimal128.Num, p pass) int {
	rows, out, flip := p.rows, p.out, p.flip
	// Every comparison is "less than v", "less than or equal", "equal", or not that.
	less, equalToo := 1, 0
	switch c {
	case equal, notEqual:
		less, equalToo = 0, 1
	case lessEqual, greater:
		equalToo = 1
	}
	if c == notEqual || c == greater || c == greaterEqual {
		flip ^= 1
	}
	high, low := v.HighBits(), v.LowBits()
	k := 0
	for i := range out {
		row := i
		if rows != nil {
			row = int(rows[i])
		}
		h, l := values[row].HighBits(), values[row].LowBits()
		sameHigh := bit(h == high)
		isLess := bit(h < high) | sameHigh&bit(l < low)
		isEqual := sameHigh & bit(l == low)
		out[k] = int32(row)
		k += isLess&less | isEqual&equalToo ^ flip
	}
	return k
}

// firstWord returns the first 8 bytes of a text as a word, and the mask of those it has.
func firstWord(text []byte) (word, mask uint64) {
	for i := range min(8, len(text)) {
		word |= uint64(text[i]) << (8 * i)
		mask |= 0xff << (8 * i)
	}
	return word, mask
}

// textEquality compares the texts of a dense column with a literal.
type textEquality struct {
	offsets []int32
	data    []byte
	want    []byte
	word    uint64
	mask    uint64
}

func newTextTest(c *batch.Column, want []byte) textEquality {
	t := textEquality{want: want}
	t.offsets, t.data = c.Text()
	t.word, t.mask = firstWord(want)
	return t
}

// run keeps the rows that equal the literal, with flip 1 the others. Cells are compared by their
// length and first 8 bytes at once; only the last cells, whose 8 bytes would end past the data,
// and literals longer than that are compared byte by byte.
func (t *textEquality) run(rows, out []int32, flip int) int {
	if rows == nil {
		return t.runAll(out, flip)
	}
	k, wanted := 0, int32(len(t.want))
	long := len(t.want) > 8
	for _, row := range rows {
		from, to := t.offsets[row], t.offsets[row+1]
		same := 0
		if int(from)+8 <= len(t.data) {
			word := binary.LittleEndian.Uint64(t.data[from:])
			same = bit((word^t.word)&t.mask|uint64(to-from^wanted) == 0)
			if long && same == 1 {
				same = bit(bytes.Equal(t.data[from+8:to], t.want[8:]))
			}
		} else {
			same = bit(bytes.Equal(t.data[from:to], t.want))
		}
		out[k] = row
		k += same ^ flip
	}
	return k
}

func (t *textEquality) runAll(out []int32, flip int) int {
	k, i := 0, 0
	wanted, word, mask := int32(len(t.want)), t.word, t.mask
	long := len(t.want) > 8
	offsets, data := t.offsets[:len(out)+1], t.data
	from := offsets[0]
	for ; i < len(out); i++ {
		if int(from)+8 > len(data) {
			break
		}
		to := offsets[i+1]
		same := bit((binary.LittleEndian.Uint64(data[from:])^word)&mask|uint64(to-from^wanted) == 0)
		if long && same == 1 {
			same = bit(bytes.Equal(data[from+8:to], t.want[8:]))
		}
		out[k] = int32(i)
		k += same ^ flip
		from = to
	}
	for ; i < len(out); i++ {
		out[k] = int32(i)
		k += bit(bytes.Equal(data[offsets[i]:offsets[i+1]], t.want)) ^ flip
	}
	return k
}

// runEqual keeps the unquoted cells that equal the literal and the quoted ones that decode to it.
func (t *spansTest) runEqual(e *Eval, rows, out []int32) int {
	spans, k := t.spans, 0
	data, offsets, stride, gap := spans.Data, spans.Offsets, spans.Stride, spans.Gap
	at := t.cell * spans.Step
	wanted, word, mask := uint32(len(t.want)), t.word, t.mask
	long := len(t.want) > 8
	quote := t.quote
	for i := range out {
		row := i
		if rows != nil {
			row = int(rows[i])
		}
		cell := row*stride + at
		from, to := offsets[cell], offsets[cell+1]-gap
		out[k] = int32(row)
		if int(from)+8 > len(data) {
			k += bit(t.decoded(e, row, true))
			continue
		}
		first := binary.LittleEndian.Uint64(data[from:])
		if int(first&0xff) == quote && from < to {
			k += bit(t.decoded(e, row, true))
			continue
		}
		same := bit((first^word)&mask|uint64(to-from^wanted) == 0)
		if long && same == 1 {
			same = bit(bytes.Equal(data[from+8:to], t.want[8:]))
		}
		k += same
	}
	return k
}
