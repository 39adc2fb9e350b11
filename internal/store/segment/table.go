package segment

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/parquet-go/parquet-go/format"
)

// table is the integers of a dictionary.
type table struct {
	int32s []int32
	int64s []int64
}

func (t *table) bytes() int64 { return int64(4*cap(t.int32s) + 8*cap(t.int64s)) }

// load reads the dictionary of a column chunk. One of integers is kept for the reads that follow, if asked:
// reads of few rows would spend most of their time on it.
func (d *decoder) load(r *Reader, g *groupReader, leaf int, keep bool) error {
	if d.table = g.tables[leaf].Load(); d.table != nil {
		d.entries = len(d.table.int32s) + len(d.table.int64s)
		return nil
	}
	c := &g.chunks[leaf]
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
	if body, err = d.decompress(r.codec, &h, body); err != nil {
		return err
	}
	d.entries = h.values
	d.scratch = table{d.scratch.int32s[:0], d.scratch.int64s[:0]}
	switch d.table = &d.scratch; r.leaves[leaf].kind {
	case kindInt32:
		if len(body) != 4*h.values {
			return errValues(len(body), h.values)
		}
		d.table.int32s = appendInt32s(d.table.int32s, body)
	case kindInt64:
		if len(body) != 8*h.values {
			return errValues(len(body), h.values)
		}
		d.table.int64s = appendInt64s(d.table.int64s, body)
	default:
		return d.readTexts(body)
	}
	if keep {
		kept := &table{append([]int32(nil), d.table.int32s...), append([]int64(nil), d.table.int64s...)}
		if g.tables[leaf].CompareAndSwap(nil, kept) {
			r.kept.Add(kept.bytes())
		}
	}
	return nil
}

func appendInt32s(dst []int32, data []byte) []int32 {
	for ; len(data) >= 4; data = data[4:] {
		dst = append(dst, int32(binary.LittleEndian.Uint32(data)))
	}
	return dst
}

func appendInt64s(dst []int64, data []byte) []int64 {
	for ; len(data) >= 8; data = data[8:] {
		dst = append(dst, int64(binary.LittleEndian.Uint64(data)))
	}
	return dst
}

// readTexts makes d.dictionary the texts of a dictionary.
func (d *decoder) readTexts(body []byte) error {
	v := &d.dictionary
	v.reset()
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
	if got := len(v.Offsets) - 1; got != d.entries {
		return fmt.Errorf("a dictionary of %d texts has %d", d.entries, got)
	}
	return nil
}

// MemoryBytes returns the size of the dictionaries the reader keeps.
func (r *Reader) MemoryBytes() int64 { return r.kept.Load() }
