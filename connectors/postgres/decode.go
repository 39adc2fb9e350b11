package postgres

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/sqlkit"
)

// epochDays is 2000-01-01 in days since 1970-01-01; PostgreSQL counts from there.
const epochDays = 10957

const epochMicroseconds = epochDays * 86400 * 1_000_000

var (
	errMalformed = errors.New("malformed binary COPY row")
	errNotFinite = errors.New("NaN and infinity have no value of this type")
	errRange     = errors.New("value is out of the type's range")
	errDimension = errors.New("arrays of several dimensions have no list form")
)

// block is the payload of one chunk: whole CopyData frames, one a row.
type block struct {
	frames []byte
	rows   int
	origin *batch.Origin
}

// decoder turns blocks into batches. It belongs to one worker.
type decoder struct {
	columns []column
	schema  *batch.Schema
	null    bool // non-finite values become NULL instead of refusing the row
}

// decode reads all frames. Rows with a value that has no form in the batch are refused.
func (d *decoder) decode(b block) (*batch.Batch, []batch.RowError, error) {
	builders := make([]columnBuilder, len(d.columns))
	for i := range builders {
		builders[i].null = d.null
		builders[i].start(&d.columns[i].codec, b.rows, len(b.frames)/max(len(d.columns), 1))
	}
	var bad []batch.RowError
	frames := b.frames
	for row := range b.rows {
		size, ok := frameSize(frames)
		if !ok || size < frameHeader+2 || frames[0] != 'd' {
			return nil, nil, fmt.Errorf("%w %d", errMalformed, row)
		}
		tuple := frames[frameHeader:size]
		frames = frames[size:]
		if int(binary.BigEndian.Uint16(tuple)) < len(builders) {
			return nil, nil, fmt.Errorf("%w %d: %d fields, want %d", errMalformed, row,
				binary.BigEndian.Uint16(tuple), len(builders))
		}
		column, err := d.decodeRow(builders, row, tuple[2:])
		if errors.Is(err, errMalformed) {
			return nil, nil, fmt.Errorf("%w %d, column %s", err, row, d.columns[column].name)
		}
		if err != nil {
			bad = append(bad, batch.RowError{
				Row: row, Column: d.columns[column].name, Reason: err.Error(),
			})
		}
	}
	columns := make([]*batch.Column, len(builders))
	for i := range builders {
		columns[i] = builders[i].column()
	}
	out := batch.New(d.schema, columns, b.rows).WithOrigin(b.origin)
	return out, bad, nil
}

// decodeRow appends one tuple's fields and returns the first column that refused its value.
func (d *decoder) decodeRow(builders []columnBuilder, row int, tuple []byte) (int, error) {
	var refused error
	first := 0
	for i := range builders {
		if len(tuple) < 4 {
			return i, errMalformed
		}
		size := int(int32(binary.BigEndian.Uint32(tuple)))
		tuple = tuple[4:]
		if size < 0 {
			builders[i].setNull(row)
			continue
		}
		if size > len(tuple) {
			return i, errMalformed
		}
		if err := builders[i].value(row, tuple[:size]); err != nil {
			if errors.Is(err, errMalformed) {
				return i, err
			}
			builders[i].setNull(row)
			if refused == nil && (!d.null || !errors.Is(err, errNotFinite)) {
				refused, first = err, i
			}
		}
		tuple = tuple[size:]
	}
	return first, refused
}

// columnBuilder fills one column whose number of rows is known.
type columnBuilder struct {
	codec *codec
	null  bool // non-finite elements of a list become NULL
	rows  int
	valid batch.Bitmap // made at the first null

	bits     batch.Bitmap
	int2     []int16
	int4     []int32
	int8     []int64
	float4   []float32
	float8   []float64
	decimals []sqlkit.Decimal
	offsets  []int32
	bytes    []byte
	list     *batch.Appender
}

func (b *columnBuilder) start(c *codec, rows, sizeBytes int) {
	b.codec, b.rows = c, rows
	switch c.form {
	case formBool:
		b.bits = batch.NewBitmap(rows)
	case formInt2:
		b.int2 = make([]int16, rows)
	case formInt4, formDate:
		b.int4 = make([]int32, rows)
	case formInt8, formOID, formTime, formTimestamp:
		b.int8 = make([]int64, rows)
	case formFloat4:
		b.float4 = make([]float32, rows)
	case formFloat8:
		b.float8 = make([]float64, rows)
	case formNumeric:
		b.decimals = make([]sqlkit.Decimal, rows)
	case formList:
		b.list = batch.NewAppender(c.typ)
	default:
		b.offsets = make([]int32, rows+1)
		b.bytes = make([]byte, 0, sizeBytes)
	}
}

func (b *columnBuilder) setNull(row int) {
	if b.list != nil {
		b.list.Null()
		return
	}
	if b.valid == nil {
		b.valid = batch.NewBitmapSet(b.rows)
	}
	b.valid.Clear(row)
	if b.offsets != nil {
		b.offsets[row+1] = int32(len(b.bytes))
	}
}

// value reads one field that is not null.
func (b *columnBuilder) value(row int, field []byte) error {
	switch b.codec.form {
	case formText, formBytes:
		b.text(row, field)
	case formInt4:
		if len(field) != 4 {
			return errMalformed
		}
		b.int4[row] = int32(binary.BigEndian.Uint32(field))
	case formInt8:
		if len(field) != 8 {
			return errMalformed
		}
		b.int8[row] = int64(binary.BigEndian.Uint64(field))
	case formFloat8:
		if len(field) != 8 {
			return errMalformed
		}
		b.float8[row] = math.Float64frombits(binary.BigEndian.Uint64(field))
	case formNumeric:
		v, err := readNumeric(field, int(b.codec.typ.Precision), int(b.codec.typ.Scale))
		b.decimals[row] = v
		return err
	case formTimestamp:
		v, err := readTimestamp(field)
		b.int8[row] = v
		return err
	case formDate:
		v, err := readDate(field)
		b.int4[row] = v
		return err
	case formTime:
		if len(field) != 8 {
			return errMalformed
		}
		b.int8[row] = int64(binary.BigEndian.Uint64(field))
	case formList:
		return b.array(field)
	default:
		return b.rare(row, field)
	}
	return nil
}

// rare reads the less frequent forms.
func (b *columnBuilder) rare(row int, field []byte) error {
	switch b.codec.form {
	case formBool:
		if len(field) != 1 {
			return errMalformed
		}
		if field[0] != 0 {
			b.bits.Set(row)
		}
	case formInt2:
		if len(field) != 2 {
			return errMalformed
		}
		b.int2[row] = int16(binary.BigEndian.Uint16(field))
	case formOID:
		if len(field) != 4 {
			return errMalformed
		}
		b.int8[row] = int64(binary.BigEndian.Uint32(field))
	case formFloat4:
		if len(field) != 4 {
			return errMalformed
		}
		b.float4[row] = math.Float32frombits(binary.BigEndian.Uint32(field))
	case formUUID:
		if len(field) != 16 {
			return errMalformed
		}
		b.bytes = appendUUID(b.bytes, field)
		b.offsets[row+1] = int32(len(b.bytes))
	case formJSONB:
		if len(field) < 1 || field[0] != 1 {
			return errMalformed
		}
		b.text(row, field[1:])
	default:
		return fmt.Errorf("%w: form %d", errMalformed, b.codec.form)
	}
	return nil
}

func (b *columnBuilder) text(row int, field []byte) {
	b.bytes = append(b.bytes, field...)
	b.offsets[row+1] = int32(len(b.bytes))
}

func (b *columnBuilder) column() *batch.Column {
	typ := b.codec.typ
	switch b.codec.form {
	case formBool:
		return batch.BoolColumn(b.bits, b.rows, b.valid)
	case formInt2:
		return batch.FixedColumn(typ, b.int2, b.valid)
	case formInt4, formDate:
		return batch.FixedColumn(typ, b.int4, b.valid)
	case formInt8, formOID, formTime, formTimestamp:
		return batch.FixedColumn(typ, b.int8, b.valid)
	case formFloat4:
		return batch.FixedColumn(typ, b.float4, b.valid)
	case formFloat8:
		return batch.FixedColumn(typ, b.float8, b.valid)
	case formNumeric:
		return batch.FixedColumn(typ, b.decimals, b.valid)
	case formList:
		return b.list.Column()
	}
	return batch.TextColumn(typ, b.offsets, b.bytes, b.valid)
}

func readTimestamp(field []byte) (int64, error) {
	if len(field) != 8 {
		return 0, errMalformed
	}
	v := int64(binary.BigEndian.Uint64(field))
	switch {
	case v == math.MaxInt64 || v == math.MinInt64:
		return 0, errNotFinite
	case v > math.MaxInt64-epochMicroseconds:
		return 0, errRange
	}
	return v + epochMicroseconds, nil
}

func readDate(field []byte) (int32, error) {
	if len(field) != 4 {
		return 0, errMalformed
	}
	v := int32(binary.BigEndian.Uint32(field))
	switch {
	case v == math.MaxInt32 || v == math.MinInt32:
		return 0, errNotFinite
	case v > math.MaxInt32-epochDays:
		return 0, errRange
	}
	return v + epochDays, nil
}

func appendUUID(dst, field []byte) []byte {
	const digits = "0123456789abcdef"
	for i, ch := range field {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			dst = append(dst, '-')
		}
		dst = append(dst, digits[ch>>4], digits[ch&15])
	}
	return dst
}

// array reads a one-dimensional array as one list row; it appends nothing on an error.
func (b *columnBuilder) array(field []byte) error {
	list := b.list
	if len(field) < 12 {
		return errMalformed
	}
	dimensions := int32(binary.BigEndian.Uint32(field))
	if dimensions == 0 {
		list.List()
		return nil
	}
	if dimensions != 1 {
		return errDimension
	}
	if len(field) < 20 {
		return errMalformed
	}
	count := int(int32(binary.BigEndian.Uint32(field[12:])))
	rest := field[20:]
	if count < 0 || count > len(rest)/4 {
		return errMalformed
	}
	// Elements go to a column of their own first, so that a refused one leaves no trace.
	var elements columnBuilder
	elements.start(b.codec.element, count, len(rest))
	for i := range count {
		if len(rest) < 4 {
			return errMalformed
		}
		size := int(int32(binary.BigEndian.Uint32(rest)))
		rest = rest[4:]
		if size < 0 {
			elements.setNull(i)
			continue
		}
		if size > len(rest) {
			return errMalformed
		}
		switch err := elements.value(i, rest[:size]); {
		case b.null && errors.Is(err, errNotFinite):
			elements.setNull(i)
		case err != nil:
			return err
		}
		rest = rest[size:]
	}
	appendColumn(list.Element(0), elements.column())
	list.List()
	return nil
}

// appendColumn appends all rows of a dense column of equal type.
func appendColumn(to *batch.Appender, c *batch.Column) {
	kind := c.Type().Kind
	for row := range c.Len() {
		switch {
		case c.IsNull(row):
			to.Null()
		case c.Type().Text():
			to.Bytes(c.Bytes(row))
		case kind == batch.Bool:
			to.Bool(c.Bits().Get(row))
		case kind == batch.Float32 || kind == batch.Float64:
			to.Float(c.Float(row))
		case kind == batch.Decimal:
			to.Decimal(batch.Values[sqlkit.Decimal](c)[row])
		default:
			to.Int(c.Int(row))
		}
	}
}
