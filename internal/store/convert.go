package store

import (
	"fmt"
	"math"
	"slices"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/store/segment"
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
		key := i < d.keys
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
func (w inward) block(b *batch.Batch) (*segment.Block, []batch.RowError, error) {
	at, err := w.columnsOf(b.Schema())
	if err != nil {
		return nil, nil, err
	}
	dense, refused := b.Dense()
	origin := w.origins(b, refused)
	d := w.dataset
	width := len(d.fields)
	if w.keys {
		width = d.keys
	}
	out := d.block(width)
	bad := map[int]batch.RowError{}
	for i, f := range d.fields[:width] {
		switch {
		case f.instrument: // needs the date
		case at[i] < 0:
			out.AppendZeros([]int{i}, dense.Len())
		default:
			w.convert(out, i, dense.Column(at[i]), bad)
		}
	}
	for i, f := range d.fields[:width] {
		if f.instrument {
			out.Vectors[i].Int32s = w.instruments(f, dense.Column(at[i]), out, bad)
		}
	}
	if err := out.SetLen(dense.Len()); err != nil {
		return nil, nil, err
	}
	if len(bad) > 0 {
		kept := make([]int32, 0, out.Len())
		for row := range out.Len() {
			e, broken := bad[row]
			if !broken {
				kept = append(kept, int32(row))
				continue
			}
			e.Row = origin(row)
			refused = append(refused, e)
		}
		whole := out
		out = d.block(width)
		out.AppendRuns(whole.RunsOf(kept))
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
func (w inward) instruments(
	f field, from *batch.Column, b *segment.Block, bad map[int]batch.RowError,
) []int32 {
	rows := from.Len()
	out := make([]int32, 0, rows)
	if from.Type().Kind != batch.String {
		for row := range rows {
			bad[row] = batch.RowError{Column: f.Name, Reason: "symbols are text, this is " + from.Type().String()}
			out = append(out, 0)
		}
		return out
	}
	var last []byte
	var found alias
	resolved := false
	dated := w.dataset.timeAt >= 0 && b.Has(w.dataset.timeAt)
	for row := range rows {
		text := from.Bytes(row)
		date := market.Date(0)
		if dated {
			date = w.dataset.dateAt(b, row)
		}
		if !resolved || !found.valid.Contains(date) || string(text) != string(last) {
			var err error
			if found, err = w.symbols.resolve(text, date, w.dataset.strict); from.IsNull(row) {
				err = fmt.Errorf("NULL names nothing")
			}
			if err != nil {
				bad[row] = batch.RowError{Column: f.Name, Reason: err.Error()}
			}
			last, resolved = text, err == nil
		}
		out = append(out, found.instrument)
	}
	return out
}

// convert makes a dense column the block's i-th, which is empty.
func (w inward) convert(b *segment.Block, i int, from *batch.Column, bad map[int]batch.RowError) {
	f := w.dataset.fields[i]
	if !from.Type().Equal(f.Type) {
		from = recast(f, from, bad)
	}
	v := &b.Vectors[i]
	switch f.Type.Kind {
	case batch.Int8, batch.Int16:
		v.Int32s = make([]int32, from.Len())
		for row := range v.Int32s {
			v.Int32s[row] = int32(from.Int(row))
		}
	case batch.Uint8, batch.Uint16:
		v.Int32s = make([]int32, from.Len())
		for row := range v.Int32s {
			v.Int32s[row] = int32(from.Uint(row))
		}
	case batch.Uint32:
		v.Int64s = make([]int64, from.Len())
		for row := range v.Int64s {
			v.Int64s[row] = int64(from.Uint(row))
		}
	case batch.Decimal:
		values := batch.Values[decimal128.Num](from)
		v.Int64s = make([]int64, len(values))
		for row, value := range values {
			low := int64(value.LowBits())
			if v.Int64s[row] = low; value.HighBits() != low>>63 && !from.IsNull(row) {
				bad[row] = batch.RowError{Column: f.Name, Reason: "value beyond 18 digits"}
			}
		}
	default:
		b.AppendColumn(i, from)
		v.Valid = nil
	}
	valid := from.Validity()
	if valid == nil || valid.Count(from.Len()) == from.Len() {
		return
	}
	if f.Nullable {
		v.Valid = slices.Clone(valid)
		return
	}
	for row := range from.Len() {
		if !valid.Get(row) {
			bad[row] = batch.RowError{Column: f.Name, Reason: "NULL where a value is required"}
		}
	}
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

// batch returns the rows of runs, which hold the fields. into is memory for each field that may be used;
// nil: it gets memory of its own.
func (o *outward) batch(runs []segment.Run, into []segment.Vector) (*batch.Batch, error) {
	rows := segment.RunsLen(runs)
	if rows == 0 {
		return batch.NewBuilder(o.schema).Batch()
	}
	if into == nil {
		into = make([]segment.Vector, len(o.fields))
	}
	out := make([]*batch.Column, len(o.fields))
	for i, at := range o.fields {
		f := o.dataset.fields[at]
		if f.instrument {
			var err error
			if out[i], err = o.codes(runs, at, &into[i]); err != nil {
				return nil, err
			}
			continue
		}
		out[i] = columnOf(f, segment.Gather(&into[i], at, runs), rows, &into[i])
	}
	return batch.New(o.schema, out, rows), nil
}

// codes turns numbers of instruments into text.
func (o *outward) codes(runs []segment.Run, at int, into *segment.Vector) (*batch.Column, error) {
	rows := segment.RunsLen(runs)
	const usual = 11 // bytes of a code
	offsets := append(slices.Grow(into.Offsets[:0], rows+1), 0)
	text := slices.Grow(into.Bytes[:0], usual*rows)
	last, name := int32(0), ""
	for _, r := range runs {
		numbers := r.Block.Vectors[at].Int32s[r.From:r.To]
		for from := 0; from < len(numbers); {
			if numbers[from] != last {
				var err error
				if name, err = o.symbols.name(numbers[from]); err != nil {
					return nil, err
				}
				last = numbers[from]
			}
			for from < len(numbers) && numbers[from] == last {
				text = append(text, name...)
				offsets = append(offsets, int32(len(text)))
				from++
			}
		}
	}
	into.Offsets, into.Bytes = offsets, text
	return batch.TextColumn(batch.Of(batch.String), offsets, text, nil), nil
}

// columnOf returns a field's vector as a batch's column, sharing its memory where the forms agree.
func columnOf(f field, v *segment.Vector, rows int, into *segment.Vector) *batch.Column {
	t := f.Type
	var valid batch.Bitmap
	if len(v.Valid) > 0 {
		valid = v.Valid
	}
	switch {
	case f.kind == kindBool:
		return batch.BoolColumn(v.Bits, rows, valid)
	case f.kind == kindText:
		return batch.TextColumn(t, slices.Clip(v.Offsets), v.Bytes, valid)
	case f.kind == kindFloat:
		return batch.FixedColumn(t, v.Floats[:rows:rows], valid)
	case t.Kind == batch.Decimal:
		into.Wide = slices.Grow(into.Wide[:0], rows)[:rows]
		for row, unscaled := range v.Int64s {
			into.Wide[row] = decimal128.FromI64(unscaled)
		}
		return batch.FixedColumn(t, into.Wide[:rows:rows], valid)
	case f.kind == kindInt64 && t.Kind != batch.Uint32:
		return batch.FixedColumn(t, v.Int64s[:rows:rows], valid)
	case t.Kind == batch.Int32 || t.Kind == batch.Date:
		return batch.FixedColumn(t, v.Int32s[:rows:rows], valid)
	}
	a := batch.NewAppender(t) // of the small integer types
	for row := range rows {
		switch {
		case v.Null(row):
			a.Null()
		case t.Kind == batch.Int8 || t.Kind == batch.Int16:
			a.Int(number(v, row))
		default:
			a.Uint(uint64(number(v, row)) & math.MaxUint32)
		}
	}
	return a.Column()
}
