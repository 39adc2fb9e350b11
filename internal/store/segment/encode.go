package segment

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"sync"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/encoding/delta"
	"github.com/parquet-go/parquet-go/encoding/rle"
	"github.com/parquet-go/parquet-go/format"

	"github.com/tapeline/tapeline/batch"
)

// chunk is what was written of one column of one row group.
type chunk struct {
	rows, pageRows         int
	optional, indexed      bool
	coding                 format.Encoding
	offset, dictionarySize int64 // of the first byte; of the dictionary page, 0 without
	size, plainSize        int64 // of all pages with headers
	uncompressed           int   // pages
	sampled, worth         bool  // one page was tried; pages get smaller by compression
	nulls                  int64
	bounds                 Bounds
	least, most            []byte // of a text column; nil: not known
	pages                  []page
}

// page is what the page index says of a page.
type page struct {
	offset int64
	size   int32
	nulls  int32
	bounds Bounds
}

// encoder turns columns into pages. It is scratch memory that is kept between segments.
type encoder struct {
	compression Compression
	zstd        *zstd.Encoder
	out         []byte // the row group so far
	start       int64  // where in the segment out begins

	values, packed, levels []byte
	valid                  batch.Bitmap
	int32s                 integers[int32]
	int64s                 integers[int64]
	codes                  []int32
	bits                   batch.Bitmap
	dictionary             dictionary
}

// encoders is a cache of scratch memory, which holds no state between uses.
var encoders = sync.Pool{New: func() any {
	z, _ := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false),
		zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(128<<10),
		zstd.WithZeroFrames(true)) // errs on bad options only
	e := &encoder{zstd: z}
	e.int32s.delta, e.int32s.size = deltas.EncodeInt32, 4
	e.int64s.delta, e.int64s.size = deltas.EncodeInt64, 8
	return e
}}

// encodings in use. They hold no state.
var (
	deltas delta.BinaryPackedEncoding
	codes  rle.DictionaryEncoding
)

// column encodes rows from..to-1 of a vector as the column chunk of a row group. Pages of an indexed one
// have bounds.
func (e *encoder) column(k kind, c *chunk, v *Vector, from, to int) error {
	c.rows, c.pageRows, c.coding = to-from, PageRows, encodingOf(k)
	c.offset = e.start + int64(len(e.out))
	begin := len(e.out)
	if len(v.Valid) > 0 {
		e.valid = appendBits(e.valid[:0], 0, v.Valid, from, c.rows)
		c.nulls = int64(c.rows - e.valid.Count(c.rows))
	}
	valid := batch.Bitmap(nil)
	if c.nulls > 0 {
		valid = e.valid
	}
	var err error
	switch k {
	case kindText:
		e.dictionary.reset()
		e.dictionary.addTexts(v, from, to)
		err = e.textPage(c)
	case kindInt32:
		prepare(e, c, &e.int32s, v.Int32s[from:to], valid)
	case kindInt64:
		prepare(e, c, &e.int64s, v.Int64s[from:to], valid)
	case kindBool:
		if c.nulls == 0 && c.rows > PageRows && equalBits(v.Bits, from, to) {
			c.pageRows = GroupRows
		}
	case kindFloat, kindWide:
	}
	if err != nil {
		return err
	}
	e.pages(c, k, v, from)
	c.size = int64(len(e.out) - begin)
	return nil
}

// prepare takes the values of a chunk of integers, chooses how they are stored, and writes the page of a
// dictionary.
func prepare[T int32 | int64](e *encoder, c *chunk, n *integers[T], v []T, valid batch.Bitmap) {
	n.take(v, valid)
	c.bounds = Bounds{len(n.values) > 0, int64(n.least), int64(n.most)}
	n.choose(e, c)
	if c.coding == format.RLEDictionary {
		e.values = n.plain(e.values[:0])
		e.dictionaryPage(c, len(n.entries))
	}
}

// symbols encodes the texts of ids as the column chunk of a row group.
func (e *encoder) symbols(c *chunk, ids []int32, symbol func(int32) (string, error)) error {
	c.rows, c.pageRows, c.coding = len(ids), PageRows, encodingOf(kindText)
	c.offset = e.start + int64(len(e.out))
	begin := len(e.out)
	e.dictionary.reset()
	if err := e.dictionary.addIDs(ids, symbol); err != nil {
		return err
	}
	if err := e.textPage(c); err != nil {
		return err
	}
	e.pages(c, kindText, &Vector{}, 0)
	c.size = int64(len(e.out) - begin)
	return nil
}

// pages encodes the rows of a chunk from a row of the vector on.
func (e *encoder) pages(c *chunk, k kind, v *Vector, from int) {
	values := 0 // those before, without NULLs
	for at := 0; at < c.rows; at += c.pageRows {
		n := min(c.pageRows, c.rows-at)
		p := page{offset: e.start + int64(len(e.out))}
		header := pageHeader{values: n, encoding: c.coding}
		e.levels = e.levels[:0]
		valid := batch.Bitmap(nil)
		if c.nulls > 0 {
			e.valid = appendBits(e.valid[:0], 0, v.Valid, from+at, n)
			if header.nulls = n - e.valid.Count(n); header.nulls > 0 {
				valid = e.valid
			}
		}
		if c.optional {
			if valid == nil {
				e.valid = appendSet(e.valid[:0], 0, n)
			}
			e.levels = appendLevels(e.levels, e.valid, n)
		}
		part := valuesOf{from + at, n, valid, at, values, values + n - header.nulls}
		values = part.to
		p.bounds = e.encode(k, c, v, part)
		p.nulls = int32(header.nulls)
		e.write(c, &header)
		p.size = int32(e.start + int64(len(e.out)) - p.offset)
		c.pages = append(c.pages, p)
	}
}

// valuesOf says which values a page has: rows of its vector, of which some are valid (nil: all), the
// first's number within the row group, and, of integers, those of the chunk's values without NULLs.
type valuesOf struct {
	at, rows int
	valid    batch.Bitmap
	row      int
	from, to int
}

// encode makes e.values the encoded values of a page and returns their bounds where they are wanted.
func (e *encoder) encode(k kind, c *chunk, v *Vector, p valuesOf) (bounds Bounds) {
	e.values = e.values[:0]
	switch k {
	case kindInt32:
		e.int32s.encode(e, c.coding, p.from, p.to)
		if c.indexed {
			bounds = boundsOf(e.int32s.values[p.from:p.to])
		}
	case kindInt64:
		e.int64s.encode(e, c.coding, p.from, p.to)
		if c.indexed {
			bounds = boundsOf(e.int64s.values[p.from:p.to])
		}
	case kindText:
		values := e.dictionary.codes[p.row : p.row+p.rows]
		if p.valid != nil {
			e.codes = compact(e.codes[:0], values, p.valid)
			values = e.codes
		}
		e.values, _ = codes.EncodeInt32(e.values, values) // errs on widths above 32 bits only
	case kindBool:
		e.bits = appendBits(e.bits[:0], 0, v.Bits, p.at, p.rows)
		if p.valid != nil {
			e.bits = compactBits(e.bits, p.valid, p.rows)
		}
		e.values = append(e.values, e.bits...)
	case kindFloat:
		for i, f := range v.Floats[p.at : p.at+p.rows] {
			if p.valid == nil || p.valid.Get(i) {
				e.values = binary.LittleEndian.AppendUint64(e.values, math.Float64bits(f))
			}
		}
	case kindWide:
		for i, d := range v.Wide[p.at : p.at+p.rows] {
			if p.valid == nil || p.valid.Get(i) {
				e.values = appendWide(e.values, d)
			}
		}
	}
	return bounds
}

func appendWide(dst []byte, d decimal128.Num) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(d.HighBits()))
	return binary.BigEndian.AppendUint64(dst, d.LowBits())
}

// write compresses e.values where that pays, and appends header, e.levels and values.
func (e *encoder) write(c *chunk, h *pageHeader) {
	body := e.values
	h.levels = len(e.levels)
	h.plainSize = len(e.levels) + len(body)
	// A dictionary page cannot say that it is not compressed.
	try := c.worth
	if !c.sampled {
		try = c.uncompressed%retryPages == 0
	}
	if h.dictionary || try && len(body) >= leastCompressed {
		e.compress(body)
		h.compressed = h.dictionary || smaller(e.packed, body)
	}
	if h.compressed {
		body = e.packed
	} else {
		c.uncompressed++
	}
	h.size = len(e.levels) + len(body)
	h.crc = crc32.Update(crc32.ChecksumIEEE(e.levels), crc32.IEEETable, body)
	begin := len(e.out)
	e.out = appendHeader(e.out, h)
	c.plainSize += int64(len(e.out) - begin + h.plainSize)
	e.out = append(append(e.out, e.levels...), body...)
}

// smaller reports whether a page is worth storing compressed: what is not is read faster.
func smaller(packed, body []byte) bool { return len(packed) <= len(body)-len(body)/8 }

// sample returns how many bytes a page takes, and sets whether pages like it are worth compressing.
func (e *encoder) sample(c *chunk, encode func()) int {
	e.values = e.values[:0]
	encode()
	size := len(e.values)
	e.compress(e.values)
	c.sampled, c.worth = true, smaller(e.packed, e.values)
	if c.worth {
		size = len(e.packed)
	}
	return size
}

// Packed numbers seldom get smaller. Where no page was tried before, and one did not, the next pages are
// not tried.
const (
	leastCompressed = 128 // bytes
	retryPages      = 8
)

// compress makes e.packed the compressed body.
func (e *encoder) compress(body []byte) {
	if e.compression == Zstd {
		e.packed = e.zstd.EncodeAll(body, e.packed[:0])
		return
	}
	e.packed = slices.Grow(e.packed[:0], snappy.MaxEncodedLen(len(body)))
	e.packed = snappy.Encode(e.packed[:cap(e.packed)], body)
}

// textPage writes the texts of e.dictionary.
func (e *encoder) textPage(c *chunk) error {
	e.values = e.values[:0]
	d := &e.dictionary
	for code := range d.len() {
		text := d.text(code)
		e.values = binary.LittleEndian.AppendUint32(e.values, uint32(len(text)))
		e.values = append(e.values, text...)
	}
	if len(e.values) > maxDictionaryBytes {
		return fmt.Errorf("the texts of one row group have %d bytes, of at most %d", len(e.values),
			maxDictionaryBytes)
	}
	c.least, c.most = d.bounds()
	e.dictionaryPage(c, d.len())
	return nil
}

// dictionaryPage writes e.values as the page of a dictionary.
func (e *encoder) dictionaryPage(c *chunk, entries int) {
	begin := len(e.out)
	e.levels = e.levels[:0]
	e.write(c, &pageHeader{dictionary: true, values: entries, encoding: format.Plain})
	c.dictionarySize = int64(len(e.out) - begin)
}

// encodingOf returns how the values of a kind stand in data pages, but for integers by a dictionary.
func encodingOf(k kind) format.Encoding {
	switch k {
	case kindInt32, kindInt64:
		return format.DeltaBinaryPacked
	case kindText:
		return format.RLEDictionary
	default:
		return format.Plain
	}
}

// compact appends the values whose bit is set.
func compact[T int32 | int64](dst, values []T, valid batch.Bitmap) []T {
	for len(values) >= 8 {
		if valid[0] == 0xff {
			dst = append(dst, values[:8]...)
		} else {
			for i, value := range values[:8] {
				if valid.Get(i) {
					dst = append(dst, value)
				}
			}
		}
		values, valid = values[8:], valid[1:]
	}
	for i, value := range values {
		if valid.Get(i) {
			dst = append(dst, value)
		}
	}
	return dst
}

// compactBits moves the n bits whose validity is set to the front, in place.
func compactBits(bits, valid batch.Bitmap, n int) batch.Bitmap {
	count := 0
	for i := range n {
		if !valid.Get(i) {
			continue
		}
		if bits.Get(i) {
			bits.Set(count)
		} else {
			bits.Clear(count)
		}
		count++
	}
	return trimBits(bits, count)
}

func boundsOf[T int32 | int64](values []T) Bounds {
	if len(values) == 0 {
		return Bounds{}
	}
	least, most := extremes(values)
	return Bounds{true, int64(least), int64(most)}
}

// add widens the bounds.
func (b *Bounds) add(o Bounds) {
	switch {
	case !b.Known:
		*b = o
	case o.Known:
		b.Min, b.Max = min(b.Min, o.Min), max(b.Max, o.Max)
	}
}
