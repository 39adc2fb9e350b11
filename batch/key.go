package batch

import (
	"fmt"
	"slices"
)

// AppendKey appends an unambiguous encoding of the given dense columns of one row: equal keys give
// equal bytes. NULL is a value of its own.
func AppendKey(dst []byte, columns []*Column, row int) []byte {
	for _, c := range columns {
		if c.IsNull(row) {
			dst = append(dst, 0)
			continue
		}
		dst = append(dst, 1)
		mark := len(dst)
		dst = append(dst, 0, 0, 0, 0)
		if width := c.typ.Width(); width > 0 {
			dst = append(dst, c.fixed[row*width:(row+1)*width]...)
		} else {
			dst = AppendText(dst, c, row)
		}
		n := len(dst) - mark - 4
		dst[mark], dst[mark+1], dst[mark+2], dst[mark+3] = byte(n), byte(n>>8), byte(n>>16), byte(n>>24)
	}
	return dst
}

// LastPerKey returns the dense batch narrowed to the last row of each key, in order. Without
// repeated keys it returns b. A key with a NULL equals no other, as in SQL.
func LastPerKey(b *Batch, key []string) (*Batch, error) {
	columns := make([]*Column, len(key))
	for i, name := range key {
		at := b.schema.Index(name)
		if at < 0 {
			return nil, fmt.Errorf("key column %q is not in the rows (%s)", name, b.schema)
		}
		columns[i] = b.columns[at]
	}
	n := b.Len()
	// All keys lie in one piece of memory that does not move any more, so that the map's strings can
	// be views of it.
	ends := make([]int, n+1)
	var keys []byte
	for i := range n {
		keys = AppendKey(keys, columns, b.Row(i))
		ends[i+1] = len(keys)
	}
	last := make(map[string]int, n)
	for i := range n {
		last[view(keys[ends[i]:ends[i+1]])] = i
	}
	if len(last) == n {
		return b, nil
	}
	kept := make([]int32, 0, len(last))
	for i := range n {
		row := b.Row(i)
		null := slices.ContainsFunc(columns, func(c *Column) bool { return c.IsNull(row) })
		if null || last[view(keys[ends[i]:ends[i+1]])] == i {
			kept = append(kept, int32(row))
		}
	}
	return b.Select(kept).Keep(), nil
}
