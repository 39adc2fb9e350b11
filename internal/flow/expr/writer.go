package expr

import (
	"math"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/tapeline/tapeline/batch"
)

// writer builds a column from values put at ascending physical rows; other rows hold no value.
type writer struct {
	typ      batch.Type
	rows     int
	valid    batch.Bitmap // made at the first NULL
	words    []uint64
	days     []int32
	decimals []decimal128.Num
	bits     batch.Bitmap
	offsets  []int32
	bytes    []byte
	nested   *batch.Appender
	full     bool // a text did not fit the column any more
	size     *int // where to note the bytes of text
	next     int  // first row not yet written, for forms that are appended to
}

func newWriter(typ batch.Type, rows int) *writer {
	w := &writer{typ: typ, rows: rows}
	switch {
	case typ.Text():
		w.offsets = make([]int32, rows+1)
	case typ.Kind == batch.Bool:
		w.bits = batch.NewBitmap(rows)
	case typ.Kind == batch.Decimal:
		w.decimals = make([]decimal128.Num, rows)
	case typ.Kind == batch.Date:
		w.days = make([]int32, rows)
	case typ.Width() == 8:
		w.words = make([]uint64, rows)
	case typ.Kind != batch.Null:
		w.nested = batch.NewAppender(typ)
	}
	return w
}

// put writes one row.
func (w *writer) put(row int, v value) {
	if v.null {
		w.null(row)
		return
	}
	switch {
	case w.words != nil:
		w.words[row] = v.low
	case w.offsets != nil:
		if len(w.bytes)+len(v.text) > math.MaxInt32 {
			w.full = true
			w.null(row)
			return
		}
		for ; w.next < row; w.next++ {
			w.offsets[w.next+1] = int32(len(w.bytes))
		}
		w.bytes = append(w.bytes, v.text...)
		w.next = row + 1
		w.offsets[w.next] = int32(len(w.bytes))
	case w.bits != nil:
		if v.low != 0 {
			w.bits.Set(row)
		}
	case w.days != nil:
		w.days[row] = int32(v.low)
	case w.decimals != nil:
		w.decimals[row] = v.decimal()
	case w.nested != nil:
		w.pad(row)
		appendValue(w.nested, v)
		w.next = row + 1
	}
}

func (w *writer) null(row int) {
	if w.valid == nil {
		w.valid = batch.NewBitmapSet(w.rows)
	}
	w.valid.Clear(row)
}

// pad fills skipped rows of a nested column.
func (w *writer) pad(row int) {
	for ; w.next < row; w.next++ {
		w.nested.Null()
	}
}

// finish returns the column.
func (w *writer) finish() *batch.Column {
	switch {
	case w.words != nil:
		return batch.FixedColumn(w.typ, w.words, w.valid)
	case w.offsets != nil:
		for ; w.next < w.rows; w.next++ {
			w.offsets[w.next+1] = int32(len(w.bytes))
		}
		if w.size != nil {
			*w.size = len(w.bytes)
		}
		return batch.TextColumn(w.typ, w.offsets, w.bytes, w.valid)
	case w.bits != nil:
		return batch.BoolColumn(w.bits, w.rows, w.valid)
	case w.days != nil:
		return batch.FixedColumn(w.typ, w.days, w.valid)
	case w.decimals != nil:
		return batch.FixedColumn(w.typ, w.decimals, w.valid)
	case w.nested != nil:
		w.pad(w.rows)
		return w.nested.Column()
	}
	return batch.NullColumn(w.typ, w.rows)
}

// appendValue appends a value to a column of its type, nested ones element by element.
func appendValue(a *batch.Appender, v value) {
	if v.null {
		a.Null()
		return
	}
	typ := a.Type()
	switch typ.Kind {
	case batch.Bool:
		a.Bool(v.bool())
	case batch.String, batch.JSON, batch.Binary:
		a.Bytes(v.text)
	case batch.Float32, batch.Float64:
		a.Float(v.float())
	case batch.Decimal:
		a.Decimal(v.decimal())
	case batch.List:
		for i := range v.length() {
			appendValue(a.Element(0), v.element(i))
		}
		a.List()
	case batch.Struct:
		for i := range typ.Fields {
			appendValue(a.Element(i), load(v.column.Children()[i], int(v.low)))
		}
		a.Struct()
	case batch.Map:
		offsets := v.column.Offsets()
		for i := offsets[v.low]; i < offsets[v.low+1]; i++ {
			appendValue(a.Element(0), load(v.column.Children()[0], int(i)))
			appendValue(a.Element(1), load(v.column.Children()[1], int(i)))
		}
		a.List()
	case batch.Null:
		a.Null()
	default:
		a.Int(v.int())
	}
}
