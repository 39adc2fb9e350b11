package segment

import (
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// pageIndexOf returns the page index of a row group, which is read once.
func (r *Reader) pageIndexOf(group int) (*pageIndex, error) {
	g := &r.groups[group]
	if pages := g.pages.Load(); pages != nil {
		return pages, nil
	}
	pages, err := r.readIndex(group)
	if err != nil {
		return nil, r.damaged(fmt.Sprintf("page index of row group %d", group), err)
	}
	g.pages.Store(pages) // another goroutine may have stored an equal one
	return pages, nil
}

func (r *Reader) readIndex(group int) (*pageIndex, error) {
	g := &r.groups[group]
	data, err := readRange(r.file, g.indexFrom, g.indexTo)
	if err != nil {
		return nil, err
	}
	if crc := crc32.Checksum(data, crcTable); crc != r.meta.Index[group] {
		return nil, fmt.Errorf("its checksum is %08x, not %08x", crc, r.meta.Index[group])
	}
	out := &pageIndex{make([][]int64, len(g.chunks)), make([][]Bounds, len(g.chunks))}
	count := (g.rows + PageRows - 1) / PageRows
	for k := range g.chunks {
		c := &g.chunks[k]
		part := data[c.offsetIndex.From-g.indexFrom : c.offsetIndex.To-g.indexFrom]
		if out.offsets[k], err = parseOffsets(c, part, count, r.meta.Format > firstFormat); err != nil {
			return nil, fmt.Errorf("column %q: %w", r.leaves[k].name, err)
		}
		if c.columnIndex.Len() == 0 {
			continue
		}
		part = data[c.columnIndex.From-g.indexFrom : c.columnIndex.To-g.indexFrom]
		if out.bounds[k], err = parseBounds(r.leaves[k].kind, part, count); err != nil {
			return nil, fmt.Errorf("column %q: %w", r.leaves[k].name, err)
		}
	}
	return out, nil
}

// parseOffsets reads where the pages of a column chunk begin, and where the last ends: count pages, or one
// where that may be.
func parseOffsets(c *chunkReader, data []byte, count int, one bool) ([]int64, error) {
	var index format.OffsetIndex
	if err := thrift.Unmarshal(&thrift.CompactProtocol{}, data, &index); err != nil {
		return nil, err
	}
	if got := len(index.PageLocations); got != count && (got != 1 || !one || c.columnIndex.Len() > 0) {
		return nil, fmt.Errorf("%d pages of %d", len(index.PageLocations), count)
	}
	out := make([]int64, 0, count+1)
	at := c.data
	for i, p := range index.PageLocations {
		if p.Offset != at || p.CompressedPageSize < 1 || p.FirstRowIndex != int64(i)*PageRows {
			return nil, fmt.Errorf("page %d is not where it must be", i)
		}
		out = append(out, at)
		at += int64(p.CompressedPageSize)
	}
	if at != c.to {
		return nil, errors.New("pages do not fill their column chunk")
	}
	return append(out, at), nil
}

// parseBounds reads the bounds of the pages of a column chunk.
func parseBounds(k kind, data []byte, count int) ([]Bounds, error) {
	var index format.ColumnIndex
	if err := thrift.Unmarshal(&thrift.CompactProtocol{}, data, &index); err != nil {
		return nil, err
	}
	if len(index.NullPages) != count || len(index.MinValues) != count || len(index.MaxValues) != count {
		return nil, fmt.Errorf("bounds of %d pages of %d", len(index.NullPages), count)
	}
	out := make([]Bounds, count)
	for i := range out {
		if index.NullPages[i] {
			continue
		}
		least, err := parseBound(k, index.MinValues[i])
		if err != nil {
			return nil, err
		}
		most, err := parseBound(k, index.MaxValues[i])
		if err != nil {
			return nil, err
		}
		out[i] = Bounds{true, least, most}
	}
	return out, nil
}

// PageEnds gives the greatest value of the first key column, an integer, in each page of it, and the
// page's rows, without reading the page.
func (r *Reader) PageEnds(visit func(greatest int64, rows int)) error {
	for group := range r.groups {
		index, err := r.pageIndexOf(group)
		if err != nil {
			return err
		}
		for i, b := range index.bounds[0] {
			visit(b.Max, min(PageRows, r.groups[group].rows-i*PageRows))
		}
	}
	return nil
}
