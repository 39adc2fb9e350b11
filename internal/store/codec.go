package store

import (
	"bytes"
	"encoding/gob"
	"io"
)

type wire struct {
	Rows    int
	Longs   [][]int64
	Ints    [][]int32
	Bools   [][]bool
	Offsets [][]int32
	Bytes   [][]byte
	Valid   [][]bool
	Kinds   []uint8
}

// encodeSegment returns the bytes of a segment.
func encodeSegment(d *dataset, b *block, compacted bool, s *symbols) ([]byte, error) {
	w := wire{Rows: b.rows}
	for _, c := range b.columns {
		w.Kinds = append(w.Kinds, uint8(c.kind))
		w.Longs, w.Ints, w.Bools = append(w.Longs, c.longs), append(w.Ints, c.ints), append(w.Bools, c.bools)
		w.Offsets, w.Bytes, w.Valid = append(w.Offsets, c.offsets), append(w.Bytes, c.bytes), append(w.Valid, c.valid)
	}
	var out bytes.Buffer
	err := gob.NewEncoder(&out).Encode(w)
	return out.Bytes(), err
}

func decodeSegment(d *dataset, raw []byte) (*block, error) {
	var w wire
	if err := gob.NewDecoder(bytes.NewReader(raw)).Decode(&w); err != nil {
		return nil, err
	}
	b := &block{rows: w.Rows}
	for i, k := range w.Kinds {
		if !(i < len(d.fields) && d.fields[i].Nullable) {
			w.Valid[i] = nil
		}
		b.columns = append(b.columns, &column{
			kind: kind(k), longs: w.Longs[i], ints: w.Ints[i], bools: w.Bools[i],
			offsets: w.Offsets[i], bytes: w.Bytes[i], valid: w.Valid[i],
		})
	}
	return b, nil
}

func openSegment(d *dataset, file io.ReaderAt, size int64) (reader, error) {
	raw := make([]byte, size)
	if _, err := file.ReadAt(raw, 0); err != nil && err != io.EOF {
		return nil, err
	}
	b, err := decodeSegment(d, raw)
	return memory{b}, err
}
