package store

import (
	"fmt"
	"math"
	"slices"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/market"
)

// inward turns batches into blocks of a dataset.
type inward struct {
	dataset *dataset
	symbols *symbols
	keys    bool // only the key columns are wanted
}

// columnsOf maps the dataset's fields to columns of a schema; -1 where a nullable one is missing.
func (w inward) columnsOf(s *batch.Schema) ([]int, error) {
	d := w.dataset
	at := make([]int, len(d.fields))
	for i, f := range d.fields {
		at[i] = s.Index(f.Name)
		key := i < d.order.keys
		if at[i] >= 0 || f.Nullable || w.keys && !key {
			continue
		}
		what, hint := "column", "add it with a derive step"
		if key {
			what, hint = "key column", "rename or derive a column of that name"
		}
		return nil, &connector.Error{
			Op: "write dataset " + d.Name, Class: connector.Schema,
			Err:  fmt.Errorf("the rows have no %s %s (they have: %s)", what, f.Name, s),
			Hint: hint,
		}
	}
	return at, nil
}

// block converts the rows of a batch, unsorted. Rows that do not fit are left out and returned by
// physical row. The block has no columns of the store's own, and shares no memory with the batch.
func (w inward) block(b *batch.Batch) (*block, []batch.RowError, error) {
	at, err := w.columnsOf(b.Schema())
	if err != nil {
		return nil, nil, err
	}
	dense, refused := b.Dense()
	origin := w.origins(b, refused)
	d := w.dataset
	out := &block{rows: dense.Len()}
	bad := map[int]batch.RowError{}
	for i, f := range d.fields {
		if w.keys && i >= d.order.keys {
			break
		}
		if f.instrument {
			out.columns = append(out.columns, nil) // needs the date
			continue
		}
		c := newColumn(f.kind, f.Nullable, dense.Len())
		if at[i] < 0 {
			for range dense.Len() {
				c.appendZero()
			}
		} else {
			w.convert(c, f, dense.Column(at[i]), bad)
		}
		out.columns = append(out.columns, c)
	}
	for i, f := range d.fields {
		if f.instrument && i < len(out.columns) {
			out.columns[i] = w.instruments(f, dense.Column(at[i]), out, bad)
		}
	}
	if len(bad) > 0 {
		kept := make([]int32, 0, out.rows)
		for row := range out.rows {
			e, broken := bad[row]
			if !broken {
				kept = append(kept, int32(row))
				continue
			}
			e.Row = origin(row)
			refused = append(refused, e)
		}
		out = out.gather(kept)
	}
	return out, batch.OncePerRow(refused), nil
}

// origins returns the physical row of b for a row of its dense form.
func (w inward) origins(b *batch.Batch, refused []batch.RowError) func(int) int {
	if len(refused) == 0 {
		return b.Row
	}
	out := make([]int, 0, b.Len())
	skip := map[int]bool{}
	for _, e := range refused {
		skip[e.Row] = true
	}
	for i := range b.Len() {
		if row := b.Row(i); !skip[row] {
			out = append(out, row)
		}
	}
	return func(row int) int { return out[row] }
}

// instruments resolves a column of codes on the dates of their rows.
func (w inward) instruments(f field, from *batch.Column, b *block, bad map[int]batch.RowError) *column {
	c := newColumn(kindInt32, false, b.rows)
	if from.Type().Kind != batch.String {
		for row := range b.rows {
			bad[row] = batch.RowError{Column: f.Name, Reason: "symbols are text, this is " + from.Type().String()}
			c.ints = append(c.ints, 0)
		}
		return c
	}
	var last []byte
	lastNumber, lastDate, resolved := int32(0), market.Date(0), false
	for row := range b.rows {
		text := from.Bytes(row)
		date := market.Date(0)
		if at := w.dataset.timeAt; at >= 0 && at < len(b.columns) && b.columns[at] != nil {
			date = w.dataset.dateAt(b, row)
		}
		if !resolved || date != lastDate || string(text) != string(last) {
			number, err := w.symbols.number(text, date, w.dataset.strict)
			if from.IsNull(row) {
				err = fmt.Errorf("NULL names nothing")
			}
			if err != nil {
				bad[row] = batch.RowError{Column: f.Name, Reason: err.Error()}
			}
			last, lastNumber, lastDate, resolved = text, number, date, err == nil
		}
		c.ints = append(c.ints, lastNumber)
	}
	return c
}

// convert appends a dense column's values.
func (w inward) convert(c *column, f field, from *batch.Column, bad map[int]batch.RowError) {
	if !from.Type().Equal(f.Type) {
		from = recast(f, from, bad)
	}
	rows := from.Len()
	for row := range rows {
		if from.IsNull(row) {
			if !f.Nullable {
				bad[row] = batch.RowError{Column: f.Name, Reason: "NULL where a value is required"}
			}
			c.appendZero()
			continue
		}
		switch c.kind {
		case kindInt64:
			v, ok := long(f.Type, from, row)
			if !ok {
				bad[row] = batch.RowError{Column: f.Name, Reason: "value beyond 18 digits"}
			}
			c.longs = append(c.longs, v)
		case kindInt32:
			if k := f.Type.Kind; k == batch.Uint8 || k == batch.Uint16 {
				c.ints = append(c.ints, int32(from.Uint(row)))
			} else {
				c.ints = append(c.ints, int32(from.Int(row)))
			}
		case kindBool:
			c.bools = append(c.bools, from.Bits().Get(row))
		case kindText:
			c.bytes = append(c.bytes, from.Bytes(row)...)
			c.offsets = append(c.offsets, int32(len(c.bytes)))
		}
		if c.valid != nil {
			c.valid = append(c.valid, true)
		}
	}
}

// long reads a value of 64 bits or a decimal of up to 18 digits.
func long(t batch.Type, from *batch.Column, row int) (int64, bool) {
	switch t.Kind {
	case batch.Decimal:
		v := batch.Values[decimal128.Num](from)[row]
		low := int64(v.LowBits())
		return low, v.HighBits() == low>>63
	case batch.Uint32:
		return int64(from.Uint(row)), true
	case batch.Float64:
		return int64(math.Float64bits(from.Float(row))), true
	}
	return from.Int(row), true
}

// recast reads a column of another type as the field's, value by value.
func recast(f field, from *batch.Column, bad map[int]batch.RowError) *batch.Column {
	a := batch.NewAppender(f.Type)
	for row := range from.Len() {
		if from.IsNull(row) {
			a.Null()
			continue
		}
		if err := a.Any(from.Value(row)); err != nil {
			bad[row] = batch.RowError{Column: f.Name, Reason: err.Error()}
			a.Null()
		}
	}
	return a.Column()
}

// outward turns blocks into batches with the columns asked for.
type outward struct {
	dataset *dataset
	symbols *symbols
	schema  *batch.Schema
	fields  []int // block fields in the order of the schema
}

// newOutward resolves column names; nil means all, in the dataset's order.
func newOutward(d *dataset, s *symbols, columns []string) (*outward, error) {
	o := &outward{dataset: d, symbols: s}
	if columns == nil {
		columns = d.Schema.Names()
	}
	fields := make([]batch.Field, 0, len(columns))
	for _, name := range columns {
		i := slices.IndexFunc(d.fields, func(f field) bool { return f.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("dataset %s has no column %s (it has: %s)", d.Name, name, d.Schema)
		}
		o.fields = append(o.fields, i)
		fields = append(fields, d.Schema.Field(d.fields[i].at))
	}
	o.schema = d.Schema
	if !slices.Equal(columns, d.Schema.Names()) {
		o.schema = batch.NewSchema(fields...)
	}
	return o, nil
}

// batch returns the block's rows. columns[i] of the block is field o.fields[i].
func (o *outward) batch(columns []*column, rows int) (*batch.Batch, error) {
	out := make([]*batch.Column, len(columns))
	for i, c := range columns {
		f := o.dataset.fields[o.fields[i]]
		if f.instrument {
			text, err := o.codes(c)
			if err != nil {
				return nil, err
			}
			out[i] = text
			continue
		}
		out[i] = columnOf(f.Type, c, rows)
	}
	return batch.New(o.schema, out, rows), nil
}

// codes turns numbers of instruments into text.
func (o *outward) codes(c *column) (*batch.Column, error) {
	offsets := make([]int32, 1, len(c.ints)+1)
	text := make([]byte, 0, 11*len(c.ints))
	last, name := int32(0), ""
	for _, number := range c.ints {
		if number != last {
			var err error
			if name, err = o.symbols.name(number); err != nil {
				return nil, err
			}
			last = number
		}
		text = append(text, name...)
		offsets = append(offsets, int32(len(text)))
	}
	return batch.TextColumn(batch.Of(batch.String), offsets, text, nil), nil
}

func columnOf(t batch.Type, c *column, rows int) *batch.Column {
	valid := bitmapOf(c.valid)
	switch {
	case c.kind == kindBool:
		bits := batch.NewBitmap(rows)
		for row, v := range c.bools {
			if v {
				bits.Set(row)
			}
		}
		return batch.BoolColumn(bits, rows, valid)
	case c.kind == kindText:
		return batch.TextColumn(t, slices.Clone(c.offsets), c.bytes, valid)
	case t.Kind == batch.Decimal:
		values := make([]decimal128.Num, rows)
		for row, v := range c.longs {
			values[row] = decimal128.FromI64(v)
		}
		return batch.FixedColumn(t, values, valid)
	case t.Kind == batch.Float64:
		values := make([]float64, rows)
		for row, v := range c.longs {
			values[row] = math.Float64frombits(uint64(v))
		}
		return batch.FixedColumn(t, values, valid)
	case c.kind == kindInt64 && t.Kind != batch.Uint32:
		return batch.FixedColumn(t, c.longs[:rows:rows], valid)
	case t.Kind == batch.Int32 || t.Kind == batch.Date:
		return batch.FixedColumn(t, c.ints[:rows:rows], valid)
	}
	return narrow(t, c, rows)
}

// narrow returns a column of the small integer types.
func narrow(t batch.Type, c *column, rows int) *batch.Column {
	a := batch.NewAppender(t)
	for row := range rows {
		switch {
		case c.null(row):
			a.Null()
		case t.Kind == batch.Int8 || t.Kind == batch.Int16:
			a.Int(c.number(row))
		default:
			a.Uint(uint64(c.number(row)) & math.MaxUint32)
		}
	}
	return a.Column()
}

func bitmapOf(valid []bool) batch.Bitmap {
	if !slices.Contains(valid, false) {
		return nil
	}
	bits := batch.NewBitmap(len(valid))
	for row, v := range valid {
		if v {
			bits.Set(row)
		}
	}
	return bits
}
