package batch

// Part returns logical rows from..to-1 as a batch of their own, without a selection where the columns can
// be cut without copying values: numbers, truth values and text. Other batches are sliced. It is valid as
// long as b.
func (b *Batch) Part(from, to int) *Batch {
	if b.selection != nil || from == 0 && to == b.rows {
		return b.Slice(from, to)
	}
	columns := make([]*Column, len(b.columns))
	for i, c := range b.columns {
		if columns[i] = c.part(from, to); columns[i] == nil {
			return b.Slice(from, to)
		}
	}
	out := New(b.schema, columns, to-from)
	out.origin = b.origin.part(from, to)
	if b.operations != nil {
		out.operations = b.operations[from:to:to]
	}
	return out
}

// part returns some rows of a column over the same memory; nil: it cannot be cut.
func (c *Column) part(from, to int) *Column {
	if c.spans != nil || c.source != nil {
		return nil
	}
	out := &Column{typ: c.typ, rows: to - from, valid: c.valid.part(from, to)}
	switch width := c.typ.Width(); {
	case c.typ.Kind == Null:
	case c.typ.Kind == Bool:
		out.fixed = Bitmap(c.fixed).part(from, to)
	case c.typ.Text():
		out.offsets, out.bytes = c.offsets[from:to+1:to+1], c.bytes
	case width > 0:
		out.fixed = c.fixed[from*width : to*width : to*width]
	default:
		return nil
	}
	return out
}

// part returns bits from..to-1, in memory of their own.
func (b Bitmap) part(from, to int) Bitmap {
	if b == nil {
		return nil
	}
	out := NewBitmap(to - from)
	first, shift := from>>3, from&7
	for i := range out {
		out[i] = b[first+i] >> shift
		if next := first + i + 1; shift > 0 && next < len(b) {
			out[i] |= b[next] << (8 - shift)
		}
	}
	return out.truncate(to - from)
}

// part returns the origin of rows from..to-1.
func (o *Origin) part(from, to int) *Origin {
	if o == nil {
		return nil
	}
	if o.parts != nil {
		rows := make([]int32, to-from)
		for i := range rows {
			rows[i] = int32(from + i)
		}
		return o.Gather(rows)
	}
	out := *o
	switch {
	case o.base != nil:
		out.rows = o.rows[from:to:to]
		return &out
	case o.Lines != nil:
		out.Lines = o.Lines[from:to:to]
	case o.Line > 0:
		out.Line += int64(from)
	}
	if o.Record > 0 {
		out.Record += int64(from)
	}
	return &out
}
