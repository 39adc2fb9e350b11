package postgres

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"sync"
	"unicode/utf8"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/sqlkit"
)

// frames are rows ready for the server: CopyData messages between header and trailer of the stream.
type frames struct {
	target  *target
	data    [][]byte
	rows    int
	deletes bool
}

const copyHeader = "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// encoder turns batches into COPY data. It belongs to one worker.
type encoder struct {
	sink    *sink
	writers []columnWriter
	spare   *sync.Pool
}

// NewEncode returns a worker's encoder, for use between Open and Close. The Release it sets is its
// own: the engine keeps the incoming one.
func (s *sink) NewEncode() connector.EncodeFunc {
	e := &encoder{sink: s, spare: &s.spare}
	return func(chunk connector.Chunk) (connector.Chunk, error) {
		chunk.Release = nil
		if chunk.Batch == nil {
			return chunk, nil
		}
		out, bad, err := e.encode(s.life, chunk.Table, chunk.Batch)
		if err != nil {
			return chunk, err
		}
		chunk.Payload, chunk.Release = out, func() { e.spare.Put(&out.data[0]) }
		if len(bad) > 0 {
			return chunk, &connector.PartialError{Rows: bad}
		}
		return chunk, nil
	}
}

// encode formats the selected rows; the named ones are left out.
func (e *encoder) encode(
	ctx context.Context, table string, b *batch.Batch,
) (*frames, []batch.RowError, error) {
	t, err := e.sink.prepare(ctx, table, b.Schema())
	if err != nil {
		return nil, nil, err
	}
	out := &frames{target: t}
	if operations := b.Operations(); operations != nil {
		for i := range b.Len() {
			operation := operations[b.Row(i)]
			if operation != batch.Insert && !t.keyed {
				return nil, nil, &connector.Error{
					Op: "write table " + t.name.String(), Class: connector.Schema,
					Err:  fmt.Errorf("the rows hold upserts or deletes and the sink has no key"),
					Hint: "set key to the columns that identify a row",
				}
			}
			out.deletes = out.deletes || operation == batch.Delete
		}
	}
	bad := e.start(t, b)
	rows := b.Selection()
	if len(bad) > 0 {
		bad = batch.OncePerRow(bad)
		rows = b.Without(bad).Selection()
	}
	e.write(out, b, rows)
	return out, bad, nil
}

// start converts the columns to the table's types.
func (e *encoder) start(t *target, b *batch.Batch) (bad []batch.RowError) {
	e.writers = e.writers[:0]
	columns := make([]*batch.Column, len(t.columns))
	for i := range t.columns {
		column := &t.columns[i]
		dense, refused := sqlkit.Convert(b.Column(i), column.want, b.Selection())
		if t.binary {
			refused = append(refused, column.check(dense, b.Selection())...)
		}
		for k := range refused {
			refused[k].Column = column.name
		}
		bad = append(bad, refused...)
		columns[i] = dense
		e.writers = append(e.writers, newColumnWriter(&column.codec, dense))
	}
	return append(bad, e.sink.config.NullKeys(t.schema, columns, b.Selection())...)
}

// check finds values the server would refuse, or that have no binary form.
func (c *codec) check(column *batch.Column, rows []int32) []batch.RowError {
	switch {
	case c.form == formList && column.Type().Kind == batch.List:
		bad := c.element.check(column.Children()[0], nil)
		return sqlkit.RowsOfElements(column.Offsets(), rows, bad)
	case c.form == formBytes:
		return nil
	case c.coarse:
		return sqlkit.CheckFraction(column, c.digits, rows, c.declared)
	}
	return checkText(column, rows, c.form)
}

// checkText finds texts the server would refuse: with a zero byte, not UTF-8, or no UUID.
func checkText(c *batch.Column, rows []int32, f form) (bad []batch.RowError) {
	if !c.Type().Text() || c.Len() == 0 {
		return nil
	}
	offsets, text := c.Text()
	text = text[offsets[0]:offsets[len(offsets)-1]]
	if f != formUUID && utf8.Valid(text) && bytes.IndexByte(text, 0) < 0 {
		return nil
	}
	n := c.Len()
	if rows != nil {
		n = len(rows)
	}
	for i := range n {
		row := i
		if rows != nil {
			row = int(rows[i])
		}
		if c.IsNull(row) {
			continue
		}
		value := c.Bytes(row)
		switch {
		case f == formUUID && !validUUID(value):
			bad = append(bad, batch.RowError{Row: row, Reason: fmt.Sprintf("%q is not a uuid", value)})
		case !utf8.Valid(value):
			bad = append(bad, batch.RowError{Row: row, Reason: "text is not UTF-8; set the encoding of its source"})
		case bytes.IndexByte(value, 0) >= 0:
			bad = append(bad, batch.RowError{
				Row: row, Reason: "text holds a zero byte, which PostgreSQL cannot store",
			})
		}
	}
	return bad
}

// write appends all rows in one frame.
func (e *encoder) write(out *frames, b *batch.Batch, rows []int32) {
	n := b.Rows()
	if rows != nil {
		n = len(rows)
	}
	var data []byte
	if spare, ok := e.spare.Get().(*[]byte); ok {
		data = (*spare)[:0]
	}
	data = append(data, 'd', 0, 0, 0, 0)
	t := out.target
	for i := range n {
		row := i
		if rows != nil {
			row = int(rows[i])
		}
		if t.binary {
			data = e.binaryRow(data, row)
		} else {
			data = e.textRow(data, row)
		}
		if t.keyed {
			data = stageColumns(data, t.binary, i, b.Operation(row))
		}
		if !t.binary {
			data = append(data, '\n')
		}
	}
	binary.BigEndian.PutUint32(data[1:], uint32(len(data)-1))
	out.data, out.rows = [][]byte{data}, n
}

// Merge implements connector.Merger. Rows of a stage table are numbered per chunk and stay apart.
func (s *sink) Merge(payloads []any) (any, bool) {
	merged := &frames{}
	for _, p := range payloads {
		one, ok := p.(*frames)
		if !ok || one.target.keyed || merged.target != nil && one.target != merged.target {
			return nil, false
		}
		merged.target = one.target
		merged.data = append(merged.data, one.data...)
		merged.rows += one.rows
	}
	return merged, true
}

// stageColumns appends the row number and the operation that stage tables have.
func stageColumns(dst []byte, binaryForm bool, row int, operation batch.Operation) []byte {
	if !binaryForm {
		return fmt.Appendf(dst, "\t%d\t%d", row, operation)
	}
	dst = binary.BigEndian.AppendUint32(dst, 4)
	dst = binary.BigEndian.AppendUint32(dst, uint32(row))
	dst = binary.BigEndian.AppendUint32(dst, 2)
	return binary.BigEndian.AppendUint16(dst, uint16(operation))
}

// columnWriter holds one column's values in their Go form.
type columnWriter struct {
	codec    *codec
	column   *batch.Column
	valid    batch.Bitmap
	int4     []int32
	int8     []int64
	float8   []float64
	decimals []sqlkit.Decimal
	offsets  []int32
	text     []byte
	child    *columnWriter
}

func newColumnWriter(c *codec, dense *batch.Column) columnWriter {
	w := columnWriter{codec: c, column: dense, valid: dense.Validity()}
	if dense.Type().Kind == batch.Null {
		w.valid = batch.NewBitmap(dense.Len())
		return w
	}
	switch c.form {
	case formInt4, formDate:
		if dense.Type().Width() == 4 {
			w.int4 = batch.Values[int32](dense)
		}
	case formInt8, formTime, formTimestamp, formInterval:
		if dense.Type().Width() == 8 {
			w.int8 = batch.Values[int64](dense)
		}
	case formFloat8:
		if dense.Type().Width() == 8 {
			w.float8 = batch.Values[float64](dense)
		}
	case formNumeric:
		if dense.Type().Kind == batch.Decimal {
			w.decimals = batch.Values[sqlkit.Decimal](dense)
		}
	case formText, formBytes, formJSONB, formUUID:
		if dense.Type().Text() {
			w.offsets, w.text = dense.Text()
		}
	case formList:
		if dense.Type().Kind == batch.List {
			child := newColumnWriter(c.element, dense.Children()[0])
			w.child, w.offsets = &child, dense.Offsets()
		}
	}
	return w
}

func (e *encoder) binaryRow(dst []byte, row int) []byte {
	count := len(e.writers)
	if e.sink.config.Keyed() {
		count += 2
	}
	dst = append(dst, byte(count>>8), byte(count))
	for i := range e.writers {
		w := &e.writers[i]
		if w.valid != nil && !w.valid.Get(row) {
			dst = append(dst, 0xff, 0xff, 0xff, 0xff)
			continue
		}
		dst = w.value(dst, row)
	}
	return dst
}

// value appends length and value of a row that is not null.
func (w *columnWriter) value(dst []byte, row int) []byte {
	switch w.codec.form {
	case formInt8:
		return binary.BigEndian.AppendUint64(append(dst, 0, 0, 0, 8), uint64(w.int8[row]))
	case formInt4:
		return binary.BigEndian.AppendUint32(append(dst, 0, 0, 0, 4), uint32(w.int4[row]))
	case formText, formBytes:
		value := w.text[w.offsets[row]:w.offsets[row+1]]
		return append(binary.BigEndian.AppendUint32(dst, uint32(len(value))), value...)
	case formFloat8:
		return binary.BigEndian.AppendUint64(append(dst, 0, 0, 0, 8), math.Float64bits(w.float8[row]))
	case formNumeric:
		return appendNumeric(dst, w.decimals[row], int(w.column.Type().Scale))
	case formTimestamp:
		return binary.BigEndian.AppendUint64(append(dst, 0, 0, 0, 8),
			uint64(w.int8[row]-epochMicroseconds))
	case formDate:
		return binary.BigEndian.AppendUint32(append(dst, 0, 0, 0, 4), uint32(w.int4[row]-epochDays))
	case formTime:
		return binary.BigEndian.AppendUint64(append(dst, 0, 0, 0, 8), uint64(w.int8[row]))
	}
	return w.rare(dst, row)
}

func (w *columnWriter) rare(dst []byte, row int) []byte {
	switch w.codec.form {
	case formBool:
		v := byte(0)
		if w.column.Bits().Get(row) {
			v = 1
		}
		return append(dst, 0, 0, 0, 1, v)
	case formInt2:
		return binary.BigEndian.AppendUint16(append(dst, 0, 0, 0, 2), uint16(w.column.Int(row)))
	case formOID:
		return binary.BigEndian.AppendUint32(append(dst, 0, 0, 0, 4), uint32(w.column.Uint(row)))
	case formFloat4:
		return binary.BigEndian.AppendUint32(append(dst, 0, 0, 0, 4),
			math.Float32bits(batch.Values[float32](w.column)[row]))
	case formUUID:
		value := w.text[w.offsets[row]:w.offsets[row+1]]
		var raw [16]byte
		_, _ = hex.Decode(raw[:], bytes.ReplaceAll(value, []byte("-"), nil)) // checked by checkText
		return append(append(dst, 0, 0, 0, 16), raw[:]...)
	case formJSONB:
		value := w.text[w.offsets[row]:w.offsets[row+1]]
		dst = append(binary.BigEndian.AppendUint32(dst, uint32(len(value)+1)), 1)
		return append(dst, value...)
	case formInterval:
		dst = binary.BigEndian.AppendUint64(append(dst, 0, 0, 0, 16), uint64(w.int8[row]))
		return append(dst, 0, 0, 0, 0, 0, 0, 0, 0)
	case formList:
		return w.array(dst, row)
	}
	panic(fmt.Sprintf("postgres: form %d has no binary writer", w.codec.form))
}

// array appends a one-dimensional array.
func (w *columnWriter) array(dst []byte, row int) []byte {
	from, to := int(w.offsets[row]), int(w.offsets[row+1])
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dimensions := uint32(1)
	if from == to {
		dimensions = 0
	}
	dst = binary.BigEndian.AppendUint32(dst, dimensions)
	dst = binary.BigEndian.AppendUint32(dst, 1) // may hold nulls
	dst = binary.BigEndian.AppendUint32(dst, w.codec.element.oid)
	if dimensions > 0 {
		dst = binary.BigEndian.AppendUint32(dst, uint32(to-from))
		dst = binary.BigEndian.AppendUint32(dst, 1) // lower bound
	}
	for i := from; i < to; i++ {
		if w.child.valid != nil && !w.child.valid.Get(i) {
			dst = append(dst, 0xff, 0xff, 0xff, 0xff)
			continue
		}
		dst = w.child.value(dst, i)
	}
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst
}

// validUUID accepts 32 hexadecimal digits with or without dashes.
func validUUID(text []byte) bool {
	digits := 0
	for _, ch := range text {
		switch {
		case ch == '-':
		case ch >= '0' && ch <= '9', ch >= 'a' && ch <= 'f', ch >= 'A' && ch <= 'F':
			digits++
		default:
			return false
		}
	}
	return digits == 32
}
