package segment

import (
	"fmt"
	"hash/crc32"
	"io"
)

// Verify reads everything and compares it with all checksums, counts, bounds and the order of keys.
func (r *Reader) Verify() error {
	if err := r.verifyContent(); err != nil {
		return err
	}
	block, before := NewBlock(r.schema), NewBlock(r.schema)
	bounds := make([]Bounds, len(r.schema.columns))
	for group := range r.groups {
		first := int64(group) * r.groupRows
		last := first + int64(r.groups[group].rows)
		if err := r.Read(block, nil, Range{first, last}); err != nil {
			return err
		}
		if err := r.verifyOrder(before, block, first); err != nil {
			return err
		}
		for k := range bounds {
			bounds[k].add(block.Vectors[k].bounds(r.schema.kinds[k]))
		}
	}
	for k, got := range bounds {
		if got != r.info.Bounds[k] {
			return r.damaged(fmt.Sprintf("column %q", r.leaves[k].name), fmt.Errorf(
				"its values lie between %d and %d, not %d and %d", got.Min, got.Max,
				r.info.Bounds[k].Min, r.info.Bounds[k].Max))
		}
	}
	return r.verifySymbols()
}

// verifyContent compares the checksum of all bytes before the page index.
func (r *Reader) verifyContent() error {
	hash := crc32.New(crcTable)
	n, err := io.Copy(hash, io.NewSectionReader(r.file, 0, r.index))
	switch got := hash.Sum32(); {
	case err != nil || n != r.index:
		return r.damaged("content", fmt.Errorf("%d of %d bytes can be read (%w)", n, r.index, err))
	case got != r.meta.Content:
		return r.damaged("content", fmt.Errorf("its checksum is %08x, not %08x", got, r.meta.Content))
	}
	return nil
}

// verifyOrder compares keys with the row before, which it leaves in before, and with the footer.
func (r *Reader) verifyOrder(before, block *Block, first int64) error {
	if first == 0 && CompareKey(block, 0, r.info.First) != 0 {
		return r.damaged("footer", fmt.Errorf("the first key is %v, not %v", block.key(0), r.info.First))
	}
	previous, at, row := block, 0, block.unsorted()
	if row > 0 {
		at = row - 1
	} else {
		previous = before
	}
	if row > 0 || first > 0 && CompareKeys(previous, at, block, row) > 0 {
		return r.damaged(fmt.Sprintf("row %d", first+int64(row)), fmt.Errorf(
			"its key %v is less than the one before, %v", block.key(row), previous.key(at)))
	}
	last := block.rows - 1
	if first+int64(block.rows) == r.info.Rows && CompareKey(block, last, r.info.Last) != 0 {
		return r.damaged("footer", fmt.Errorf("the last key is %v, not %v", block.key(last), r.info.Last))
	}
	before.Reset(r.schema, nil)
	before.AppendRange(block, last, last+1)
	return nil
}

// verifySymbols decodes the text columns behind the schema's.
func (r *Reader) verifySymbols() error {
	d := decoders.Get().(*decoder)
	defer decoders.Put(d)
	var v Vector
	for group := range r.groups {
		for k := len(r.schema.columns); k < len(r.leaves); k++ {
			v.reset()
			if err := r.readColumn(d, &v, part{group, k, 0, r.groups[group].rows}, 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// bounds returns the bounds of the values that are not NULL.
func (v *Vector) bounds(k kind) (out Bounds) {
	switch {
	case k == kindInt32 && len(v.Valid) == 0:
		return boundsOf(v.Int32s)
	case k == kindInt64 && len(v.Valid) == 0:
		return boundsOf(v.Int64s)
	case k == kindInt32:
		return boundsOf(compact(nil, v.Int32s, v.Valid))
	case k == kindInt64:
		return boundsOf(compact(nil, v.Int64s, v.Valid))
	}
	return out
}
