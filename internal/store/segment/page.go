package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/parquet-go/bitpack"
	"github.com/parquet-go/parquet-go/format"

	"github.com/tapeline/tapeline/batch"
)

// pageHeader is what stands before a page, as Parquet's PageHeader in Thrift's compact protocol.
// Pages are written and read on hot paths and always have the same fields, hence by hand.
type pageHeader struct {
	dictionary bool // else a data page of version 2
	values     int  // NULLs included
	nulls      int
	encoding   format.Encoding
	levels     int // bytes of definition levels
	compressed bool
	plainSize  int // bytes of levels and values before compression
	size       int // bytes that follow the header
	crc        uint32
}

// Thrift compact types, and the ids of the structs a header may hold.
const (
	thriftTrue      = 1
	thriftFalse     = 2
	thriftI32       = 5
	thriftStruct    = 12
	dictionaryField = 7
	dataV2Field     = 8
	lastCommonField = 4 // the checksum
)

// appendHeader appends the header's bytes.
func appendHeader(dst []byte, h *pageHeader) []byte {
	number := func(v int) { dst = binary.AppendVarint(append(dst, 1<<4|thriftI32), int64(v)) }
	kind, field := format.DataPageV2, dataV2Field
	if h.dictionary {
		kind, field = format.DictionaryPage, dictionaryField
	}
	number(int(kind))
	number(h.plainSize)
	number(h.size)
	number(int(int32(h.crc)))
	dst = append(dst, byte((field-lastCommonField)<<4|thriftStruct))
	number(h.values)
	if h.dictionary {
		number(int(h.encoding))
		return append(dst, 0, 0)
	}
	number(h.nulls)
	number(h.values) // rows
	number(int(h.encoding))
	number(h.levels)
	number(0) // bytes of repetition levels
	if h.compressed {
		return append(dst, 1<<4|thriftTrue, 0, 0)
	}
	return append(dst, 1<<4|thriftFalse, 0, 0)
}

// headerReader takes the fields of a header in the order appendHeader writes them.
type headerReader struct {
	data []byte
	bad  bool
}

func (r *headerReader) expect(b byte) {
	if len(r.data) == 0 || r.data[0] != b {
		r.bad = true
		return
	}
	r.data = r.data[1:]
}

func (r *headerReader) number() int {
	r.expect(1<<4 | thriftI32)
	v, n := binary.Varint(r.data)
	if n <= 0 || int64(int32(v)) != v {
		r.bad = true
		return 0
	}
	r.data = r.data[n:]
	return int(v)
}

var errHeader = errors.New("a page header is damaged")

// readPage splits the bytes of one page into header and body, and compares the checksum.
func readPage(data []byte, dictionary bool) (h pageHeader, body []byte, err error) {
	r := headerReader{data: data}
	kind, field := format.DataPageV2, dataV2Field
	if dictionary {
		kind, field = format.DictionaryPage, dictionaryField
	}
	h.dictionary, h.compressed = dictionary, true
	r.bad = r.number() != int(kind)
	h.plainSize, h.size, h.crc = r.number(), r.number(), uint32(r.number())
	r.expect(byte((field-lastCommonField)<<4 | thriftStruct))
	h.values = r.number()
	if !dictionary {
		h.nulls = r.number()
		r.bad = r.bad || r.number() != h.values
	}
	h.encoding = format.Encoding(r.number())
	if !dictionary {
		h.levels = r.number()
		r.bad = r.bad || r.number() != 0
		if h.compressed = len(r.data) > 0 && r.data[0] == 1<<4|thriftTrue; h.compressed {
			r.expect(1<<4 | thriftTrue)
		} else {
			r.expect(1<<4 | thriftFalse)
		}
	}
	r.expect(0)
	r.expect(0)
	if r.bad || h.size != len(r.data) || h.values < 0 || h.nulls < 0 || h.nulls > h.values ||
		h.levels < 0 || h.levels > min(h.size, h.plainSize) {
		return h, nil, errHeader
	}
	if crc := crc32.ChecksumIEEE(r.data); crc != h.crc {
		return h, nil, fmt.Errorf("a page's checksum is %08x, not %08x", crc, h.crc)
	}
	return h, r.data, nil
}

// appendLevels appends the definition levels of n rows, a bitmap, in Parquet's hybrid of runs and
// packed bits: packed bits are the bitmap's own bytes.
func appendLevels(dst []byte, valid batch.Bitmap, n int) []byte {
	valid = valid[:bitmapBytes(n)]
	const worthwhile = 4 // bytes of equal bits that are shorter as a run
	packed := 0          // where bits not yet written begin
	for i := 0; i < len(valid); {
		end := i + 1
		for end < len(valid) && valid[end] == valid[i] {
			end++
		}
		// The last byte's bits behind n are zero.
		whole := valid[i] == 0 || valid[i] == 0xff
		if whole && (end-i >= worthwhile || end-i == len(valid)) {
			dst = appendPacked(dst, valid[packed:i])
			dst = binary.AppendUvarint(dst, uint64(min(8*(end-i), n-8*i))<<1)
			dst = append(dst, valid[i]&1)
			packed = end
		}
		i = end
	}
	return appendPacked(dst, valid[packed:])
}

func appendPacked(dst []byte, bits []byte) []byte {
	if len(bits) == 0 {
		return dst
	}
	return append(binary.AppendUvarint(dst, uint64(len(bits))<<1|1), bits...)
}

// readLevels appends the n bits that definition levels hold to a bitmap of at bits.
func readLevels(dst batch.Bitmap, at int, data []byte, n int) (batch.Bitmap, error) {
	for n > 0 {
		header, size := binary.Uvarint(data)
		if size <= 0 || header>>1 == 0 {
			return dst, errors.New("definition levels end early")
		}
		data = data[size:]
		if header&1 == 1 {
			count := min(header>>1, uint64(bitmapBytes(n)))
			if uint64(len(data)) < header>>1 {
				return dst, errors.New("definition levels end early")
			}
			bits := min(n, 8*int(count))
			dst = appendBits(dst, at, data[:count], 0, bits)
			data, at, n = data[count:], at+bits, n-bits
			continue
		}
		if len(data) == 0 || data[0] > 1 || header>>1 > uint64(n) {
			return dst, errors.New("a run of definition levels is none")
		}
		count := int(header >> 1)
		if data[0] == 1 {
			dst = appendSet(dst, at, count)
		} else {
			dst = growBits(dst, at, count)
		}
		data, at, n = data[1:], at+count, n-count
	}
	if len(data) > 0 {
		return dst, errors.New("definition levels go on behind their page")
	}
	return dst, nil
}

// readCodes appends the n codes of a dictionary-coded page to dst; each must be below limit.
func readCodes(dst []int32, data []byte, n, limit int) ([]int32, error) {
	early := errors.New("codes end early")
	if n == 0 {
		return dst, nil
	}
	if len(data) == 0 || data[0] > 32 {
		return dst, errors.New("the width of codes is none")
	}
	width := int(data[0])
	data = data[1:]
	for n > 0 {
		header, size := binary.Uvarint(data)
		count := header >> 1
		if size <= 0 || count == 0 || count > 1<<31 {
			return dst, early
		}
		data = data[size:]
		if header&1 == 0 {
			used := (width + 7) / 8
			if len(data) < used || count > uint64(n) {
				return dst, early
			}
			code := unpack(data[:used], 0, width)
			if code >= uint64(limit) {
				return dst, fmt.Errorf("code %d of a dictionary of %d", code, limit)
			}
			for range count {
				dst = append(dst, int32(code))
			}
			data, n = data[used:], n-int(count)
			continue
		}
		if uint64(len(data)) < count*uint64(width) {
			return dst, early
		}
		packed := data[:int(count)*width]
		if many := min(n, 8*int(count)); cap(packed)-len(packed) >= behind {
			at := len(dst)
			dst = slices.Grow(dst, many)[:at+many]
			bitpack.Unpack(dst[at:], packed, uint(width))
			for _, code := range dst[at:] {
				if uint32(code) >= uint32(limit) {
					return dst, fmt.Errorf("code %d of a dictionary of %d", code, limit)
				}
			}
			data, n = data[len(packed):], n-many
			continue
		}
		for i := range min(n, 8*int(count)) {
			code := unpack(packed, i*width, width)
			if code >= uint64(limit) {
				return dst, fmt.Errorf("code %d of a dictionary of %d", code, limit)
			}
			dst = append(dst, int32(code))
		}
		data, n = data[len(packed):], max(n-8*int(count), 0)
	}
	return dst, nil
}

// unpack returns width (at most 32) bits from a bit on, least significant first.
func unpack(data []byte, bit, width int) uint64 {
	first := bit >> 3
	if first+8 <= len(data) {
		return binary.LittleEndian.Uint64(data[first:]) >> (bit & 7) & (1<<width - 1)
	}
	var word uint64
	for i := len(data) - 1; i >= first; i-- {
		word = word<<8 | uint64(data[i])
	}
	return word >> (bit & 7) & (1<<width - 1)
}
