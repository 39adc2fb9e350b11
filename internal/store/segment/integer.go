package segment

import (
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/parquet-go/parquet-go/format"

	"github.com/tapeline/tapeline/batch"
)

// integers is the values of one column chunk of integers, without NULLs.
type integers[T int32 | int64] struct {
	values []T
	least  T
	most   T
	// spread holds the values where the chunk has NULLs, table the code of each step from the least value.
	spread []T
	table  []int32
	step   uint64
	delta  func(dst []byte, values []T) ([]byte, error)
	size   int // bytes of a value
	// entries are the distinct values, ascending, and codes their number for each value, once coded.
	entries []T
	codes   []int32
}

// maxSlots is how many steps a table of values may have for each row of its chunk, and maxTable for as many
// rows as it fits into a core's cache with.
const (
	maxSlots = 4
	maxTable = 64 << 10
)

// maxStep is the greatest step for which the product with an inverse is exact.
const maxStep = 1 << 22

// sampledPages is how many pages a chunk must have for its coding to be chosen by trying one of them.
const sampledPages = 4

// take makes the rows of a chunk that are valid (nil: all) the values.
func (n *integers[T]) take(v []T, valid batch.Bitmap) {
	n.values = v
	if valid != nil {
		n.spread = compact(n.spread[:0], v, valid)
		n.values = n.spread
	}
	n.least, n.most = extremes(n.values)
}

// extremes returns the least and the greatest of values, 0 without.
func extremes[T int32 | int64](values []T) (least, most T) {
	if len(values) == 0 {
		return 0, 0
	}
	// Two of each, as one waits for the one before.
	a, b := values[0], values[0]
	c, d := a, b
	i := 0
	for ; i+4 <= len(values); i += 4 {
		four := values[i : i+4 : i+4]
		a, b = min(a, four[0], four[1]), max(b, four[0], four[1])
		c, d = min(c, four[2], four[3]), max(d, four[2], four[3])
	}
	for _, value := range values[i:] {
		a, b = min(a, value), max(b, value)
	}
	return min(a, c), max(b, d)
}

func (n *integers[T]) constant() bool { return n.least == n.most && len(n.values) > 0 }

// code makes entries and codes of the values, or returns false where they are too far apart. Prices, for
// one, are a few thousand different multiples of a tick.
func (n *integers[T]) code() bool {
	if len(n.values) == 0 || !n.measure() {
		return false
	}
	// x/step is the upper half of x*inverse while x*step is below 1<<64.
	inverse := ^uint64(0)/n.step + 1
	slot := func(value T) uint64 {
		x := uint64(value) - uint64(n.least)
		if n.step == 1 {
			return x
		}
		high, _ := bits.Mul64(x, inverse)
		return high
	}
	n.codes = slices.Grow(n.codes[:0], len(n.values))[:len(n.values)]
	for i, value := range n.values {
		at := slot(value)
		n.codes[i] = int32(at)
		n.table[at] = 1
	}
	n.entries = n.entries[:0]
	for at, there := range n.table {
		if there != 0 {
			n.table[at] = int32(len(n.entries))
			n.entries = append(n.entries, T(uint64(n.least)+uint64(at)*n.step))
		}
	}
	for i, at := range n.codes {
		n.codes[i] = n.table[at]
	}
	return true
}

// measure finds the greatest step of which all distances from the least value are multiples, and makes
// the table empty. It returns false where the table would be large.
func (n *integers[T]) measure() bool {
	width := uint64(n.most) - uint64(n.least)
	n.step = width
	for i := 0; i < len(n.values); i += max(1, len(n.values)/64) {
		n.step = divisor(n.step, uint64(n.values[i])-uint64(n.least))
	}
	limit := uint64(maxSlots * min(len(n.values), maxTable))
	for i := 0; ; {
		if n.step == 0 { // all values are equal
			n.step = 1
		}
		if n.step > maxStep || width/n.step >= limit {
			return false
		}
		if n.step == 1 {
			break
		}
		inverse := ^uint64(0)/n.step + 1
		for ; i < len(n.values); i++ {
			x := uint64(n.values[i]) - uint64(n.least)
			if high, _ := bits.Mul64(x, inverse); high*n.step != x {
				n.step = divisor(n.step, x)
				break
			}
		}
		if i == len(n.values) {
			break
		}
	}
	slots := int(width/n.step) + 1
	n.table = slices.Grow(n.table[:0], slots)[:slots]
	clear(n.table)
	return true
}

// divisor returns the greatest common divisor.
func divisor(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// plain appends the entries in PLAIN encoding.
func (n *integers[T]) plain(dst []byte) []byte {
	for _, value := range n.entries {
		if n.size == 4 {
			dst = binary.LittleEndian.AppendUint32(dst, uint32(value))
		} else {
			dst = binary.LittleEndian.AppendUint64(dst, uint64(value))
		}
	}
	return dst
}

// encode makes e.values some of the values as the coding has them.
func (n *integers[T]) encode(e *encoder, coding format.Encoding, from, to int) {
	if coding == format.RLEDictionary {
		e.values, _ = codes.EncodeInt32(e.values, n.codes[from:to]) // errs on widths above 32 bits only
		return
	}
	e.values, _ = n.delta(e.values, n.values[from:to]) // never errs
}

// choose decides how the chunk's values are stored, by one of its pages, and whether its pages are worth
// compressing. A chunk of one value, or of NULLs alone, is one page.
func (n *integers[T]) choose(e *encoder, c *chunk) {
	many := c.rows > PageRows && !c.indexed
	switch {
	case many && len(n.values) == 0:
		c.pageRows = GroupRows
		return
	case many && n.constant() && c.nulls == 0:
		n.entries = append(n.entries[:0], n.least)
		n.codes = slices.Grow(n.codes[:0], len(n.values))[:len(n.values)]
		clear(n.codes)
		c.pageRows, c.coding = GroupRows, format.RLEDictionary
		return
	case e.compression != Zstd || len(n.values) < sampledPages*PageRows:
		return
	}
	from := len(n.values) / 2
	to := from + PageRows
	least := e.sample(c, func() { n.encode(e, format.DeltaBinaryPacked, from, to) })
	worth := c.worth
	if !n.code() {
		return
	}
	size := e.sample(c, func() { n.encode(e, format.RLEDictionary, from, to) })
	// An entry compresses to a quarter.
	entries := len(n.entries) * n.size / 4
	if pages := len(n.values) / PageRows; pages*size+entries >= pages*least {
		c.worth = worth
		return
	}
	c.coding = format.RLEDictionary
}
