package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/format"

	"github.com/tapeline/tapeline/batch"
)

// decoder is scratch memory of a reading call.
type decoder struct {
	zstd   *zstd.Decoder
	bytes  []byte // pages as stored
	plain  []byte // one page decompressed
	valid  batch.Bitmap
	codes  []int32
	vector Vector // one page of which some rows are wanted

	keys     []keyPage // Find: the page of each key column that was decoded last
	selected Vector    // Select: the column that is compared
	rows     []int32   // Select: the rows found

	coding     format.Encoding // of the column chunk at hand
	dictionary Vector          // its texts
	table      *table          // its integers
	scratch    table
	entries    int
}

// decoders is a cache of scratch memory, which holds no state between uses.
var decoders = sync.Pool{New: func() any {
	// A page says its size, so no more than that is decoded.
	z, _ := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1),
		zstd.WithDecodeAllCapLimit(true)) // errs on bad options only
	return &decoder{zstd: z}
}}

// behind is how many bytes the decoders of values may read behind what they are given.
const behind = 64

// fetch makes d.bytes the bytes from..to-1.
func (d *decoder) fetch(r *Reader, from, to int64) error {
	d.bytes = slices.Grow(d.bytes[:0], int(to-from)+behind)[:to-from]
	if n, err := r.file.ReadAt(d.bytes, from); n < len(d.bytes) {
		return fmt.Errorf("read bytes %d..%d: %w", from, to-1, err)
	}
	return nil
}

// decompress returns the values of a page, or the page of a dictionary.
func (d *decoder) decompress(
	codec format.CompressionCodec, h *pageHeader, body []byte,
) ([]byte, error) {
	size := h.plainSize - h.levels
	if !h.compressed {
		if len(body) != size {
			return nil, fmt.Errorf("a page of %d bytes holds %d", size, len(body))
		}
		return body, nil
	}
	d.plain = slices.Grow(d.plain[:0], size+behind)
	if codec == format.Zstd {
		out, err := d.zstd.DecodeAll(body, d.plain[:0:size])
		if err != nil || len(out) != size {
			return nil, fmt.Errorf("a page of %d bytes decompresses to %d (%w)", size, len(out), err)
		}
		return d.plain[:size], nil
	}
	if n, err := snappy.DecodedLen(body); err != nil || n != size {
		return nil, fmt.Errorf("a page of %d bytes decompresses to %d (%w)", size, n, err)
	}
	out, err := snappy.Decode(d.plain[:size], body)
	return out, err
}

// maxPlainBytes is more than any page but a dictionary takes: width and NULLs of each row, and what
// encodings add.
const maxPlainBytes = PageRows*(wideBytes+1) + 8<<10

// open checks the header of a data page of rows rows, makes d.valid the rows that are not NULL where there
// may be some, and returns the values' bytes. data is the page as stored.
func (d *decoder) open(
	codec format.CompressionCodec, l *leaf, data []byte, rows int,
) (h pageHeader, body []byte, err error) {
	h, body, err = readPage(data, false)
	if err != nil {
		return h, nil, err
	}
	if h.values != rows || h.encoding != d.coding || h.plainSize > maxPlainBytes ||
		!l.optional && (h.levels > 0 || h.nulls > 0) {
		return h, nil, errHeader
	}
	levels := body[:h.levels]
	if body, err = d.decompress(codec, &h, body[h.levels:]); err != nil {
		return h, nil, err
	}
	if l.optional {
		if d.valid, err = readLevels(d.valid[:0], 0, levels, rows); err != nil {
			return h, nil, err
		}
		if got := rows - d.valid.Count(rows); got != h.nulls {
			return h, nil, fmt.Errorf("a page of %d NULLs has %d", h.nulls, got)
		}
	}
	return h, body, nil
}

// page appends the rows of a data page to the at rows of v. data is the page as stored.
func (d *decoder) page(
	codec format.CompressionCodec, l *leaf, v *Vector, at int, data []byte, rows int,
) error {
	h, body, err := d.open(codec, l, data, rows)
	if err != nil {
		return err
	}
	valid := batch.Bitmap(nil)
	switch {
	case h.nulls > 0:
		valid = d.valid
		if len(v.Valid) == 0 {
			v.Valid = appendSet(v.Valid, 0, at)
		}
		v.Valid = appendBits(v.Valid, at, valid, 0, rows)
	case len(v.Valid) > 0:
		v.Valid = appendSet(v.Valid, at, rows)
	}
	return d.values(l.kind, v, at, body, pageRows{rows, rows - h.nulls, valid})
}

// sameRows is how many rows a page of equal rows has, and how many of them are wanted.
type sameRows struct{ rows, wanted int }

// same appends rows of a page of equal rows to the at rows of v.
func (d *decoder) same(
	codec format.CompressionCodec, l *leaf, v *Vector, at int, data []byte, n sameRows,
) error {
	h, body, err := d.open(codec, l, data, n.rows)
	if err != nil {
		return err
	}
	if h.nulls == n.rows {
		v.appendNulls(l.kind, at, n.wanted)
		return nil
	}
	if len(v.Valid) > 0 {
		v.Valid = appendSet(v.Valid, at, n.wanted)
	}
	switch {
	case h.nulls > 0:
		return errHeader
	case l.kind == kindBool && len(body) == bitmapBytes(n.rows) && equalBits(body, 0, n.rows):
		v.Bits = growBits(v.Bits, at, n.wanted)
		if body[0]&1 == 1 {
			setBits(v.Bits, at, n.wanted)
		}
		return nil
	case d.coding != format.RLEDictionary || d.entries != 1 || !isRun(body, n.rows):
		return errHeader
	case l.kind == kindInt32:
		v.Int32s = appendSame(v.Int32s[:at], d.table.int32s[0], n.wanted)
	case l.kind == kindInt64:
		v.Int64s = appendSame(v.Int64s[:at], d.table.int64s[0], n.wanted)
	default:
		return errHeader
	}
	return nil
}

// isRun reports whether codes are one run of n times 0.
func isRun(data []byte, n int) bool {
	if len(data) == 0 {
		return false
	}
	header, size := binary.Uvarint(data[1:])
	return size > 0 && header == uint64(n)<<1 && len(data) == 1+size+(int(data[0])+7)/8 &&
		!slices.ContainsFunc(data[1+size:], func(b byte) bool { return b != 0 })
}

func appendSame[T any](dst []T, value T, n int) []T {
	at := len(dst)
	dst = slices.Grow(dst, n+valuesBehind)[:at+n]
	for i := range dst[at:] {
		dst[at+i] = value
	}
	return dst
}

// valuesBehind is how many values the decoders may write behind those they return.
const valuesBehind = 8

// pageRows is how many rows of a page there are, how many are not NULL, and which (nil: all).
type pageRows struct {
	rows, values int
	valid        batch.Bitmap
}

func (d *decoder) values(k kind, v *Vector, at int, data []byte, p pageRows) (err error) {
	coded := d.coding == format.RLEDictionary
	switch k {
	case kindInt32:
		if coded {
			v.Int32s, err = appendCoded(v.Int32s[:at], d, data, p, d.table.int32s)
			break
		}
		v.Int32s, err = appendDelta(v.Int32s[:at], data, p, deltas.DecodeInt32)
	case kindInt64:
		if coded {
			v.Int64s, err = appendCoded(v.Int64s[:at], d, data, p, d.table.int64s)
			break
		}
		v.Int64s, err = appendDelta(v.Int64s[:at], data, p, deltas.DecodeInt64)
	case kindText:
		err = d.texts(v, data, p)
	case kindBool:
		if len(data) != bitmapBytes(p.values) {
			return errValues(len(data), p.values)
		}
		v.Bits = growBits(v.Bits, at, p.rows)
		if p.valid == nil {
			v.Bits = appendBits(v.Bits[:bitmapBytes(at)], at, data, 0, p.rows)
			break
		}
		for row, i := 0, 0; row < p.rows; row++ {
			if p.valid.Get(row) {
				if batch.Bitmap(data).Get(i) {
					v.Bits.Set(at + row)
				}
				i++
			}
		}
	case kindFloat:
		v.Floats, err = appendPlain(v.Floats[:at], data, p, 8, func(b []byte) float64 {
			return math.Float64frombits(binary.LittleEndian.Uint64(b))
		})
	case kindWide:
		v.Wide, err = appendPlain(v.Wide[:at], data, p, wideBytes, func(b []byte) decimal128.Num {
			return decimal128.New(int64(binary.BigEndian.Uint64(b)), binary.BigEndian.Uint64(b[8:]))
		})
	}
	return err
}

func errValues(size, values int) error {
	return fmt.Errorf("%d bytes do not hold %d values", size, values)
}

// appendDelta appends a page of delta-packed integers.
func appendDelta[T int32 | int64](
	dst []T, data []byte, p pageRows, decode func([]T, []byte) ([]T, error),
) ([]T, error) {
	at := len(dst)
	if err := checkDelta(data, p.values); err != nil {
		return dst, err
	}
	dst = slices.Grow(dst, p.rows+valuesBehind)
	out, err := decode(dst[at:at:cap(dst)], data)
	if err != nil {
		return dst, err
	}
	if len(out) != p.values {
		return dst, errValues(len(data), p.values)
	}
	dst = dst[:at+p.rows]
	if p.values > 0 && &out[0] != &dst[at] {
		copy(dst[at:], out)
	}
	spread(dst[at:], p)
	return dst, nil
}

// checkDelta refuses what our encoder does not write; the decoder takes any size for memory.
func checkDelta(data []byte, values int) error {
	for _, want := range []uint64{128, 4, uint64(values)} { // block, parts, values
		got, n := binary.Uvarint(data)
		if n <= 0 || got != want {
			return errValues(len(data), values)
		}
		data = data[n:]
	}
	return nil
}

// spread moves the values at the front to the rows that are not NULL, and zero to others.
func spread[T any](dst []T, p pageRows) {
	if p.valid == nil {
		return
	}
	var zero T
	for row, i := p.rows-1, p.values; row >= 0; row-- {
		if p.valid.Get(row) {
			i--
			dst[row] = dst[i]
		} else {
			dst[row] = zero
		}
	}
}

// appendCoded appends a page of codes as a table's integers.
func appendCoded[T int32 | int64](dst []T, d *decoder, data []byte, p pageRows, table []T) ([]T, error) {
	var err error
	if d.codes, err = readCodes(d.codes[:0], data, p.values, len(table)); err != nil {
		return dst, err
	}
	at := len(dst)
	dst = slices.Grow(dst, p.rows+valuesBehind)[:at+p.rows]
	out := dst[at : at+len(d.codes)]
	for i, code := range d.codes {
		out[i] = table[code]
	}
	spread(dst[at:], p)
	return dst, nil
}

// appendPlain appends a page of values of equal width.
func appendPlain[T any](
	dst []T, data []byte, p pageRows, width int, read func([]byte) T,
) ([]T, error) {
	if len(data) != p.values*width {
		return dst, errValues(len(data), p.values)
	}
	at := len(dst)
	dst = slices.Grow(dst, p.rows)[:at+p.rows]
	for i := range p.values {
		dst[at+i] = read(data[i*width:])
	}
	spread(dst[at:], p)
	return dst, nil
}

// texts appends a page of codes as the dictionary's texts.
func (d *decoder) texts(v *Vector, data []byte, p pageRows) (err error) {
	if d.codes, err = readCodes(d.codes[:0], data, p.values, d.entries); err != nil {
		return err
	}
	if len(v.Offsets) == 0 {
		v.Offsets = append(v.Offsets, 0)
	}
	i := 0
	for row := range p.rows {
		if p.valid == nil || p.valid.Get(row) {
			v.Bytes = append(v.Bytes, d.dictionary.Text(int(d.codes[i]))...)
			i++
		}
		if len(v.Bytes) > math.MaxInt32 {
			return errors.New("texts of more than 2 GiB: read fewer rows at a time")
		}
		v.Offsets = append(v.Offsets, int32(len(v.Bytes)))
	}
	return nil
}
