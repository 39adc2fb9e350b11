package batch

import (
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// columnFromArrow converts one array to a column of type typ = TypeFromArrow(array type).
func columnFromArrow(typ Type, a arrow.Array) (*Column, error) {
	rows := a.Len()
	switch typ.Kind {
	case Foreign:
		if !joinable(a.DataType()) {
			return nil, fmt.Errorf("arrow type %s has no form here: it holds a union", a.DataType())
		}
		return &Column{typ: typ, rows: rows, foreign: a, valid: foreignValidity(a)}, nil
	case Null:
		return NullColumn(typ, rows), nil
	}
	valid := bitsFromArrow(validity(a), a.Data().Offset(), rows)
	switch a := a.(type) {
	case *array.Dictionary:
		return dictionaryFromArrow(typ, a)
	case *array.Boolean:
		if rows == 0 {
			return BoolColumn(nil, 0, nil), nil
		}
		bits := bitsFromArrow(a.Data().Buffers()[1].Bytes(), a.Data().Offset(), rows)
		return BoolColumn(bits, rows, valid), nil
	case *array.String, *array.Binary:
		return textFromArrow(typ, a.Data(), valid), nil
	case interface{ Value(int) string }:
		return copyText(typ, rows, valid, func(i int) string { return a.Value(i) })
	case interface{ Value(int) []byte }:
		return copyText(typ, rows, valid, func(i int) string { return string(a.Value(i)) })
	case *array.Date64:
		days := make([]int32, rows)
		for i, v := range a.Date64Values() {
			days[i] = int32(math.Floor(float64(v) / 86_400_000))
		}
		return FixedColumn(typ, days, valid), nil
	case *array.Time32:
		return time32FromArrow(typ, a, valid), nil
	case *array.Struct:
		return structFromArrow(typ, a, valid)
	case array.ListLike:
		return listFromArrow(typ, a, valid)
	}
	if rows == 0 { // an empty array may have no buffer
		return &Column{typ: typ}, nil
	}
	from := a.Data().Offset() * typ.Width()
	fixed := a.Data().Buffers()[1].Bytes()[from : from+rows*typ.Width()]
	return &Column{typ: typ, rows: rows, valid: valid, fixed: fixed}, nil
}

// foreignValidity asks the array itself, as not every Arrow type has a validity buffer.
func foreignValidity(a arrow.Array) Bitmap {
	var valid Bitmap
	for i := range a.Len() {
		if !isNull(a, i) {
			continue
		}
		if valid == nil {
			valid = NewBitmapSet(a.Len())
		}
		valid.Clear(i)
	}
	return valid
}

// isNull reports whether the value itself is null, also where it stands in a dictionary or is the
// member of a union.
func isNull(a arrow.Array, i int) bool {
	switch a := a.(type) {
	case *array.Dictionary:
		return a.IsNull(i) || isNull(a.Dictionary(), a.GetValueIndex(i))
	case *array.DenseUnion:
		return isNull(a.Field(a.ChildID(i)), int(a.ValueOffset(i)))
	case *array.SparseUnion:
		return isNull(a.Field(a.ChildID(i)), i)
	}
	return a.IsNull(i)
}

func validity(a arrow.Array) []byte {
	buffers := a.Data().Buffers()
	if a.NullN() == 0 || len(buffers) == 0 || buffers[0] == nil {
		return nil
	}
	return buffers[0].Bytes()
}

// bitsFromArrow shares the bitmap when it starts at bit 0 and copies it otherwise.
func bitsFromArrow(bits []byte, offset, rows int) Bitmap {
	if bits == nil {
		return nil
	}
	if offset == 0 {
		return bits[:(rows+7)/8]
	}
	out := NewBitmap(rows)
	for i := range rows {
		if Bitmap(bits).Get(offset + i) {
			out.Set(i)
		}
	}
	return out
}

func textFromArrow(typ Type, data arrow.ArrayData, valid Bitmap) *Column {
	rows := data.Len()
	if rows == 0 || data.Buffers()[1] == nil {
		return &Column{typ: typ, rows: rows, valid: valid, offsets: make([]int32, rows+1)}
	}
	offsets := arrow.Int32Traits.CastFromBytes(data.Buffers()[1].Bytes())
	var text []byte
	if data.Buffers()[2] != nil {
		text = data.Buffers()[2].Bytes()
	}
	return &Column{
		typ: typ, rows: rows, valid: valid, bytes: text,
		offsets: offsets[data.Offset() : data.Offset()+rows+1],
	}
}

// copyText is for layouts with other offsets: large, view and fixed-size text.
func copyText(typ Type, rows int, valid Bitmap, value func(int) string) (*Column, error) {
	offsets := make([]int32, rows+1)
	var text []byte
	for i := range rows {
		if valid == nil || valid.Get(i) {
			text = append(text, value(i)...)
		}
		if len(text) > math.MaxInt32 {
			return nil, fmt.Errorf("text of one batch exceeds 2 GiB at row %d", i)
		}
		offsets[i+1] = int32(len(text))
	}
	return TextColumn(typ, offsets, text, valid), nil
}

func time32FromArrow(typ Type, a *array.Time32, valid Bitmap) *Column {
	unit := Unit(a.DataType().(*arrow.Time32Type).Unit)
	factor := typ.Unit.PerSecond() / unit.PerSecond()
	values := make([]int64, a.Len())
	for i, v := range a.Time32Values() {
		values[i] = int64(v) * factor
	}
	return FixedColumn(typ, values, valid)
}

func dictionaryFromArrow(typ Type, a *array.Dictionary) (*Column, error) {
	dictionary, err := columnFromArrow(typ, a.Dictionary())
	if err != nil {
		return nil, err
	}
	rows := make([]int32, a.Len())
	valid := NewBitmap(a.Len())
	nulls := false
	for i := range rows {
		if a.IsNull(i) {
			nulls = true
			continue
		}
		rows[i] = int32(a.GetValueIndex(i))
		if dictionary.IsNull(int(rows[i])) {
			nulls = true
			continue
		}
		valid.Set(i)
	}
	if dictionary.rows == 0 {
		return NullColumn(typ, a.Len()), nil
	}
	out := dictionary.Gather(rows)
	out.valid = nil
	if nulls {
		out.valid = valid
	}
	return out, nil
}

func structFromArrow(typ Type, a *array.Struct, valid Bitmap) (*Column, error) {
	children := make([]*Column, len(typ.Fields))
	for i, f := range typ.Fields {
		child, err := columnFromArrow(f.Type, a.Field(i))
		if err != nil {
			return nil, fmt.Errorf("member %q: %w", f.Name, err)
		}
		children[i] = child
	}
	return StructColumn(typ, a.Len(), children, valid), nil
}

func listFromArrow(typ Type, a array.ListLike, valid Bitmap) (*Column, error) {
	rows := a.Len()
	offsets := make([]int32, rows+1)
	first, last := int64(0), int64(0)
	if rows > 0 {
		first, _ = a.ValueOffsets(0)
	}
	last = first
	for i := range rows {
		start, end := a.ValueOffsets(i)
		if start != last || end-first > math.MaxInt32 {
			return nil, fmt.Errorf("list offsets at row %d are not consecutive", i)
		}
		last = end
		offsets[i+1] = int32(end - first)
	}
	values := array.NewSlice(a.ListValues(), first, last)
	children := make([]*Column, len(typ.Fields))
	for i, f := range typ.Fields {
		element := values
		if typ.Kind == Map {
			element = values.(*array.Struct).Field(i)
		}
		child, err := columnFromArrow(f.Type, element)
		if err != nil {
			return nil, err
		}
		children[i] = child
	}
	return ListColumn(typ, offsets, children, valid), nil
}

// gatherForeign copies the given rows (nil: all) of an array of any Arrow type.
func gatherForeign(a arrow.Array, rows []int32) arrow.Array {
	if rows == nil {
		return a
	}
	parts := make([]arrow.Array, 0, len(rows))
	for from := 0; from < len(rows); {
		to := from + 1
		for to < len(rows) && rows[to] == rows[to-1]+1 {
			to++
		}
		parts = append(parts, array.NewSlice(a, int64(rows[from]), int64(rows[to-1])+1))
		from = to
	}
	if len(parts) == 0 {
		return array.NewSlice(a, 0, 0)
	}
	return joinArrays(parts)
}

func concatForeign(parts []*Column) arrow.Array {
	arrays := make([]arrow.Array, len(parts))
	for i, p := range parts {
		arrays[i] = p.foreign
	}
	return joinArrays(arrays)
}

// joinArrays cannot fail: all parts have one type, which FromArrow found joinable.
func joinArrays(parts []arrow.Array) arrow.Array {
	if union, ok := parts[0].DataType().(arrow.UnionType); ok {
		return joinUnions(union, parts)
	}
	out, err := array.Concatenate(parts, memory.DefaultAllocator)
	if err != nil {
		panic("batch: concatenate arrow arrays: " + err.Error())
	}
	return out
}
