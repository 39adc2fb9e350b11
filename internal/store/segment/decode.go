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

	dictionary Vector // texts of the row group at hand
	entries    int
}

// decoders is a cache of scratch memory, which holds no state between uses.
var decoders = sync.Pool{New: func() any {
	// A page says its size, so no more than that is decoded.
	z, _ := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1),
		zstd.WithDecodeAllCapLimit(true)) // errs on bad options only
	return &decoder{zstd: z}
}}

// fetch makes d.bytes the bytes from..to-1.
func (d *decoder) fetch(r *Reader, from, to int64) error {
	d.bytes = slices.Grow(d.bytes[:0], int(to-from))[:to-from]
	if n, err := r.file.ReadAt(d.bytes, from); n < len(d.bytes) {
		return fmt.Errorf("read bytes %d..%d: %w", from, to-1, err)
	}
	return nil
}

// loadDictionary reads the dictionary of a text column of a row group.
func (d *decoder) loadDictionary(r *Reader, c *chunkReader) error {
	d.dictionary.reset()
	if err := d.fetch(r, c.from, c.data); err != nil {
		return err
	}
	h, body, err := readPage(d.bytes, true)
	if err != nil {
		return err
	}
	if h.plainSize > maxDictionaryBytes || h.encoding != format.Plain {
		return errHeader
	}
	body, err = d.decompress(r.codec, &h, body)
	if err != nil {
		return err
	}
	v := &d.dictionary
	v.Offsets = append(v.Offsets, 0)
	for len(body) > 0 {
		if len(body) < 4 || uint64(len(body)-4) < uint64(binary.LittleEndian.Uint32(body)) {
			return errors.New("a text ends behind its dictionary")
		}
		end := 4 + int(binary.LittleEndian.Uint32(body))
		v.Bytes = append(v.Bytes, body[4:end]...)
		v.Offsets = append(v.Offsets, int32(len(v.Bytes)))
		body = body[end:]
	}
	if d.entries = len(v.Offsets) - 1; d.entries != h.values {
		return fmt.Errorf("a dictionary of %d texts has %d", h.values, d.entries)
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
	// The decoders of values read a little behind what they are given.
	const padding = 64
	d.plain = slices.Grow(d.plain[:0], size+padding)
	if codec == format.Zstd {
		out, err := d.zstd.DecodeAll(body, d.plain[:0:size])
		if err != nil || len(out) != size {
			return nil, fmt.Errorf("a page of %d bytes decompresses to %d (%w)", size, len(out), err)
		}
		return out[:size:size], nil
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

// page appends the rows of a data page to the at rows of v. data is the page as stored.
func (d *decoder) page(
	codec format.CompressionCodec, l *leaf, v *Vector, at int, data []byte, rows int,
) error {
	h, body, err := readPage(data, false)
	if err != nil {
		return err
	}
	if h.values != rows || h.encoding != encodingOf(l.kind) || h.plainSize > maxPlainBytes ||
		!l.optional && (h.levels > 0 || h.nulls > 0) {
		return errHeader
	}
	levels := body[:h.levels]
	if body, err = d.decompress(codec, &h, body[h.levels:]); err != nil {
		return err
	}
	valid := batch.Bitmap(nil)
	if l.optional {
		if d.valid, err = readLevels(d.valid[:0], 0, levels, rows); err != nil {
			return err
		}
		if got := rows - d.valid.Count(rows); got != h.nulls {
			return fmt.Errorf("a page of %d NULLs has %d", h.nulls, got)
		}
	}
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

// pageRows is how many rows of a page there are, how many are not NULL, and which (nil: all).
type pageRows struct {
	rows, values int
	valid        batch.Bitmap
}

func (d *decoder) values(k kind, v *Vector, at int, data []byte, p pageRows) (err error) {
	switch k {
	case kindInt32:
		v.Int32s, err = appendDelta(v.Int32s[:at], data, p, deltas.DecodeInt32)
	case kindInt64:
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
	const padding = 8 // what the decoder may write behind
	dst = slices.Grow(dst, p.rows+padding)
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
