package conntest

import (
	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/tapeline/tapeline/batch"
)

// poison overwrites the memory of a batch that the suite built itself, as an engine does that
// recycles it. Offsets stay, so that a reader of poisoned memory sees wrong values and no panic.
func poison(b *batch.Batch) {
	for _, c := range b.Columns() {
		poisonColumn(c)
	}
	for i := range b.Selection() {
		b.Selection()[i] = 0
	}
	clear(b.Operations())
}

func poisonColumn(c *batch.Column) {
	if spans, _ := c.Spans(); spans != nil {
		fill(spans.Data, '7')
		return
	}
	fill(c.Validity(), 0x55)
	typ := c.Type()
	switch {
	case typ.Kind == batch.Bool:
		fill(c.Bits(), 0x55)
	case typ.Text():
		_, text := c.Text()
		fill(text, '7')
	case typ.Nested():
		for _, child := range c.Children() {
			poisonColumn(child)
		}
	case typ.Width() == 16:
		fill(batch.Values[decimal128.Num](c), decimal128.FromI64(77))
	case typ.Width() == 8:
		fill(batch.Values[uint64](c), 77)
	case typ.Width() == 4:
		fill(batch.Values[uint32](c), 77)
	case typ.Width() == 2:
		fill(batch.Values[uint16](c), 77)
	case typ.Width() == 1:
		fill(batch.Values[uint8](c), 77)
	}
}

func fill[S ~[]T, T any](values S, v T) {
	for i := range values {
		values[i] = v
	}
}
