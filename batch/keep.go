package batch

import "fmt"

// Keep returns the selected rows in memory of their own, without a selection, so that they outlive
// the call that received the batch. Lazy columns stay lazy over copied text. A dense batch without
// selection is copied too.
func (b *Batch) Keep() *Batch {
	rows := b.selection
	n := b.Len()
	columns := make([]*Column, len(b.columns))
	copies := map[*Spans]*Spans{}
	for i, c := range b.columns {
		if c.Lazy() {
			kept, ok := copies[c.spans]
			if !ok {
				kept = c.spans.gather(rows)
				copies[c.spans] = kept
			}
			columns[i] = &Column{typ: c.typ, rows: n, spans: kept, cell: c.cell}
			continue
		}
		columns[i] = c.Gather(rows)
	}
	out := New(b.schema, columns, n)
	out.origin = b.origin.Gather(append([]int32(nil), rows...))
	if b.operations != nil {
		out.operations = make([]Operation, n)
		for i := range n {
			out.operations[i] = b.operations[b.Row(i)]
		}
	}
	return out
}

// gather copies the records of the given rows (nil: all) with only their own bytes.
func (s *Spans) gather(rows []int32) *Spans {
	out := *s
	n := s.Rows()
	if rows != nil {
		n = len(rows)
	}
	out.Offsets = make([]uint32, 0, n*s.Stride)
	size := 0
	for i := range n {
		first, last := s.bounds(pick(rows, i))
		size += int(last - first)
	}
	out.Data = make([]byte, 0, size)
	for i := range n {
		row := pick(rows, i)
		first, last := s.bounds(row)
		// Offsets are only ever subtracted from within one record, so one shift moves a record. An
		// absent JSON cell may have its two ends anywhere: they stay equal and move into the record.
		shift := uint32(len(out.Data)) - first
		for _, at := range s.Offsets[row*s.Stride : (row+1)*s.Stride] {
			if s.Step == 2 {
				at = min(max(at, first), last)
			}
			out.Offsets = append(out.Offsets, at+shift)
		}
		out.Data = append(out.Data, s.Data[first:last]...)
	}
	return &out
}

// bounds returns the first and last byte offsets any cell of the record touches.
func (s *Spans) bounds(row int) (first, last uint32) {
	offsets := s.Offsets[row*s.Stride : (row+1)*s.Stride]
	if s.Step == 1 {
		end := min(offsets[s.Stride-1], uint32(len(s.Data)))
		return offsets[0], max(end, offsets[0])
	}
	found := false
	for i := 0; i+1 < len(offsets); i += 2 {
		if offsets[i] == offsets[i+1] {
			continue
		}
		if !found || offsets[i] < first {
			first = offsets[i]
		}
		if !found || offsets[i+1] > last {
			last = offsets[i+1]
		}
		found = true
	}
	return first, last
}

func pick(rows []int32, i int) int {
	if rows == nil {
		return i
	}
	return int(rows[i])
}

// Gather returns a dense column of the given physical rows (nil: all) in memory of its own.
func (c *Column) Gather(rows []int32) *Column {
	if c.Lazy() {
		panic("batch: gather of a lazy column")
	}
	n := c.rows
	if rows != nil {
		n = len(rows)
	}
	out := &Column{typ: c.typ, rows: n, valid: gatherBits(c.valid, rows, n)}
	switch {
	case c.typ.Kind == Null:
	case c.typ.Kind == Bool:
		out.fixed = gatherBits(c.fixed, rows, n)
	case c.typ.Text():
		gatherText(out, c, rows, n)
	case c.typ.Kind == Struct:
		for _, child := range c.children {
			out.children = append(out.children, child.Gather(rows))
		}
	case c.typ.Kind == List || c.typ.Kind == Map:
		gatherList(out, c, rows, n)
	case c.typ.Kind == Foreign:
		out.foreign = gatherForeign(c.foreign, rows)
	default:
		gatherFixed(out, c, rows, n)
	}
	return out
}

func gatherBits(b Bitmap, rows []int32, n int) Bitmap {
	if b == nil {
		return nil
	}
	if rows == nil {
		return append(Bitmap(nil), b...)
	}
	out := NewBitmap(n)
	for i, row := range rows {
		if b.Get(int(row)) {
			out.Set(i)
		}
	}
	return out
}

func gatherFixed(out, c *Column, rows []int32, n int) {
	width := c.typ.Width()
	out.fixed = make([]byte, n*width)
	if rows == nil {
		copy(out.fixed, c.fixed)
		return
	}
	switch width {
	case 8:
		copyRows(Values[uint64](as8(out)), Values[uint64](as8(c)), rows)
	case 4:
		copyRows(Values[uint32](as4(out)), Values[uint32](as4(c)), rows)
	default:
		for i, row := range rows {
			copy(out.fixed[i*width:(i+1)*width], c.fixed[int(row)*width:])
		}
	}
}

func as8(c *Column) *Column { return &Column{typ: Of(Uint64), rows: c.rows, fixed: c.fixed} }

func as4(c *Column) *Column { return &Column{typ: Of(Uint32), rows: c.rows, fixed: c.fixed} }

func copyRows[T any](dst, src []T, rows []int32) {
	for i, row := range rows {
		dst[i] = src[row]
	}
}

func gatherText(out, c *Column, rows []int32, n int) {
	out.offsets = make([]int32, n+1)
	size := 0
	for i := range n {
		row := pick(rows, i)
		size += int(c.offsets[row+1] - c.offsets[row])
	}
	out.bytes = make([]byte, 0, size)
	for i := range n {
		row := pick(rows, i)
		out.bytes = append(out.bytes, c.bytes[c.offsets[row]:c.offsets[row+1]]...)
		out.offsets[i+1] = int32(len(out.bytes))
	}
}

func gatherList(out, c *Column, rows []int32, n int) {
	out.offsets = make([]int32, n+1)
	var inner []int32
	for i := range n {
		row := pick(rows, i)
		for k := c.offsets[row]; k < c.offsets[row+1]; k++ {
			inner = append(inner, k)
		}
		out.offsets[i+1] = int32(len(inner))
	}
	if inner == nil {
		inner = []int32{}
	}
	for _, child := range c.children {
		out.children = append(out.children, child.Gather(inner))
	}
}

// Concat joins batches of equal schemas into one without selection, in memory of its own. Lazy
// columns are typed first; rows that fail are returned as errors by physical row of the batch at
// index Batch.
func Concat(batches []*Batch) (*Batch, []ConcatError) {
	if len(batches) == 0 {
		panic("batch: concat of nothing")
	}
	var bad []ConcatError
	dense := make([]*Batch, 0, len(batches))
	rows := 0
	for i, b := range batches {
		if !b.schema.Equal(batches[0].schema) {
			panic(fmt.Sprintf("batch: concat of (%s) and (%s)", batches[0].schema, b.schema))
		}
		d, errs := b.Dense()
		for _, e := range errs {
			bad = append(bad, ConcatError{Batch: i, RowError: e})
		}
		dense = append(dense, d)
		rows += d.rows
	}
	if len(dense) == 1 {
		return dense[0].Keep(), bad
	}
	columns := make([]*Column, len(dense[0].columns))
	parts := make([]*Column, len(dense))
	for i := range columns {
		for k, d := range dense {
			parts[k] = d.columns[i]
		}
		columns[i] = concatColumns(parts, rows)
	}
	out := New(dense[0].schema, columns, rows)
	out.origin = joinOrigins(dense)
	out.operations = joinOperations(dense, rows)
	return out, bad
}

// ConcatError is a row that Concat left out.
type ConcatError struct {
	Batch int // index of the batch
	RowError
}

func joinOrigins(batches []*Batch) *Origin {
	joined := &Origin{}
	end := 0
	for _, b := range batches {
		end += b.rows
		joined.parts = append(joined.parts, b.origin)
		joined.ends = append(joined.ends, end)
	}
	return joined
}

func joinOperations(batches []*Batch, rows int) []Operation {
	plain := true
	for _, b := range batches {
		plain = plain && b.operations == nil
	}
	if plain {
		return nil
	}
	out := make([]Operation, 0, rows)
	for _, b := range batches {
		if b.operations == nil {
			out = append(out, make([]Operation, b.rows)...)
			continue
		}
		out = append(out, b.operations...)
	}
	return out
}

func concatColumns(parts []*Column, rows int) *Column {
	typ := parts[0].typ
	out := &Column{typ: typ, rows: rows, valid: concatBits(parts, rows, validOf)}
	switch {
	case typ.Kind == Null:
	case typ.Kind == Bool:
		out.fixed = concatBits(parts, rows, func(c *Column) Bitmap { return c.fixed })
	case typ.Text():
		out.offsets = concatOffsets(parts, rows)
		for _, p := range parts {
			out.bytes = append(out.bytes, p.bytes[p.offsets[0]:p.offsets[p.rows]]...)
		}
	case typ.Kind == Struct:
		for i := range typ.Fields {
			out.children = append(out.children, concatColumns(childrenOf(parts, i), rows))
		}
	case typ.Kind == List || typ.Kind == Map:
		out.offsets = concatOffsets(parts, rows)
		for i := range typ.Fields {
			children := childrenOf(parts, i)
			total := 0
			for k, p := range parts {
				children[k] = children[k].window(int(p.offsets[0]), int(p.offsets[p.rows]))
				total += children[k].rows
			}
			out.children = append(out.children, concatColumns(children, total))
		}
	case typ.Kind == Foreign:
		out.foreign = concatForeign(parts)
	default:
		out.fixed = make([]byte, 0, rows*typ.Width())
		for _, p := range parts {
			out.fixed = append(out.fixed, p.fixed[:p.rows*typ.Width()]...)
		}
	}
	return out
}

// window returns rows from..to-1, the column itself when that is all of them.
func (c *Column) window(from, to int) *Column {
	if from == 0 && to == c.rows {
		return c
	}
	rows := make([]int32, to-from)
	for i := range rows {
		rows[i] = int32(from + i)
	}
	return c.Gather(rows)
}

func childrenOf(parts []*Column, i int) []*Column {
	children := make([]*Column, len(parts))
	for k, p := range parts {
		children[k] = p.children[i]
	}
	return children
}

func validOf(c *Column) Bitmap { return c.valid }

// concatBits joins bitmaps; nil ones stand for all ones, and all nil gives nil.
func concatBits(parts []*Column, rows int, bitsOf func(*Column) Bitmap) Bitmap {
	some := false
	for _, p := range parts {
		some = some || bitsOf(p) != nil
	}
	if !some {
		return nil
	}
	out := NewBitmap(rows)
	at := 0
	for _, p := range parts {
		source := bitsOf(p)
		for i := range p.rows {
			if source == nil || source.Get(i) {
				out.Set(at)
			}
			at++
		}
	}
	return out
}

func concatOffsets(parts []*Column, rows int) []int32 {
	out := make([]int32, 1, rows+1)
	base := int32(0)
	for _, p := range parts {
		for i := range p.rows {
			out = append(out, base+p.offsets[i+1]-p.offsets[0])
		}
		base = out[len(out)-1]
	}
	return out
}
