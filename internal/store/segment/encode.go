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
	optional               bool
	offset, dictionarySize int64 // of the first byte; of the dictionary page, 0 without
	size, plainSize        int64 // of all pages with headers
	uncompressed           int   // pages
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
	int32s                 []int32
	int64s                 []int64
	bits                   batch.Bitmap
	dictionary             dictionary
}

// encoders is a cache of scratch memory, which holds no state between uses.
var encoders = sync.Pool{New: func() any {
	z, _ := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false),
		zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(128<<10),
		zstd.WithZeroFrames(true)) // errs on bad options only
	return &encoder{zstd: z}
}}

// encodings in use. They hold no state.
var (
	deltas delta.BinaryPackedEncoding
	codes  rle.DictionaryEncoding
)

// column encodes rows from..to-1 of a vector as the column chunk of a row group.
func (e *encoder) column(k kind, optional bool, v *Vector, from, to int) (*chunk, error) {
	c := &chunk{optional: optional, offset: e.start + int64(len(e.out))}
	begin := len(e.out)
	if k == kindText {
		e.dictionary.reset()
		e.dictionary.addTexts(v, from, to)
		if err := e.dictionaryPage(c); err != nil {
			return nil, err
		}
	}
	for at := from; at < to; at += PageRows {
		e.page(c, k, v, at, min(PageRows, to-at), at-from)
	}
	e.end(c, begin)
	return c, nil
}

// symbols encodes the texts of ids as the column chunk of a row group.
func (e *encoder) symbols(ids []int32, symbol func(int32) (string, error)) (*chunk, error) {
	c := &chunk{offset: e.start + int64(len(e.out))}
	begin := len(e.out)
	e.dictionary.reset()
	if err := e.dictionary.addIDs(ids, symbol); err != nil {
		return nil, err
	}
	if err := e.dictionaryPage(c); err != nil {
		return nil, err
	}
	required := &Vector{}
	for at := 0; at < len(ids); at += PageRows {
		e.page(c, kindText, required, at, min(PageRows, len(ids)-at), at)
	}
	e.end(c, begin)
	return c, nil
}

func (e *encoder) end(c *chunk, begin int) {
	c.size = int64(len(e.out) - begin)
	for _, p := range c.pages {
		c.nulls += int64(p.nulls)
		c.bounds.add(p.bounds)
	}
}

// page encodes n rows from at on; row is the number of the first within its row group.
func (e *encoder) page(c *chunk, k kind, v *Vector, at, n, row int) {
	p := page{offset: e.start + int64(len(e.out))}
	header := pageHeader{values: n, encoding: encodingOf(k)}
	e.levels = e.levels[:0]
	valid := batch.Bitmap(nil)
	if len(v.Valid) > 0 {
		e.valid = appendBits(e.valid[:0], 0, v.Valid, at, n)
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
	p.bounds = e.encode(k, v, valid, at, n, row)
	p.nulls = int32(header.nulls)
	e.write(c, &header)
	p.size = int32(e.start + int64(len(e.out)) - p.offset)
	c.pages = append(c.pages, p)
}

// encode makes e.values the encoded values of a page that are not NULL (valid nil: all) and returns
// their bounds.
func (e *encoder) encode(k kind, v *Vector, valid batch.Bitmap, at, n, row int) Bounds {
	e.values = e.values[:0]
	switch k {
	case kindInt32:
		values := v.Int32s[at : at+n]
		if valid != nil {
			e.int32s = compact(e.int32s[:0], values, valid)
			values = e.int32s
		}
		e.values, _ = deltas.EncodeInt32(e.values, values) // never errs
		return boundsOf(values)
	case kindInt64:
		values := v.Int64s[at : at+n]
		if valid != nil {
			e.int64s = compact(e.int64s[:0], values, valid)
			values = e.int64s
		}
		e.values, _ = deltas.EncodeInt64(e.values, values) // never errs
		return boundsOf(values)
	case kindText:
		values := e.dictionary.codes[row : row+n]
		if valid != nil {
			e.int32s = compact(e.int32s[:0], values, valid)
			values = e.int32s
		}
		e.values, _ = codes.EncodeInt32(e.values, values) // errs on widths above 32 bits only
	case kindBool:
		e.bits = appendBits(e.bits[:0], 0, v.Bits, at, n)
		if valid != nil {
			e.bits = compactBits(e.bits, valid, n)
		}
		e.values = append(e.values, e.bits...)
	case kindFloat:
		for i, f := range v.Floats[at : at+n] {
			if valid == nil || valid.Get(i) {
				e.values = binary.LittleEndian.AppendUint64(e.values, math.Float64bits(f))
			}
		}
	case kindWide:
		for i, d := range v.Wide[at : at+n] {
			if valid == nil || valid.Get(i) {
				e.values = appendWide(e.values, d)
			}
		}
	}
	return Bounds{}
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
	if h.dictionary || len(body) >= leastCompressed && c.uncompressed%retryPages == 0 {
		e.compress(body)
		h.compressed = h.dictionary || len(e.packed) <= len(body)-len(body)/8
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

// Delta-packed numbers seldom get smaller, and what is not compressed is read faster: a page is
// stored compressed if that saves an eighth; where one did not, the next pages are not tried.
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

// dictionaryPage writes the texts of e.dictionary.
func (e *encoder) dictionaryPage(c *chunk) error {
	e.values, e.levels = e.values[:0], e.levels[:0]
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
	begin := len(e.out)
	e.write(c, &pageHeader{dictionary: true, values: d.len(), encoding: format.Plain})
	c.dictionarySize = int64(len(e.out) - begin)
	c.least, c.most = d.bounds()
	return nil
}

// encodingOf returns how the values of a kind stand in data pages.
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
	least, most := values[0], values[0]
	for _, value := range values {
		least, most = min(least, value), max(most, value)
	}
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
