package batch

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// ArrowSchema returns the schema in Arrow's form. JSON becomes a string with field metadata
// "tapeline:type" = "json", which SchemaFromArrow reads back.
func ArrowSchema(s *Schema) *arrow.Schema {
	fields := make([]arrow.Field, len(s.fields))
	for i, f := range s.fields {
		fields[i] = arrowField(f)
	}
	if len(s.metadata) == 0 {
		return arrow.NewSchema(fields, nil)
	}
	metadata := arrow.MetadataFrom(s.metadata)
	return arrow.NewSchema(fields, &metadata)
}

const typeKey = "tapeline:type"

func arrowField(f Field) arrow.Field {
	out := arrow.Field{Name: f.Name, Type: ArrowType(f.Type), Nullable: f.Nullable}
	if f.Type.Kind == JSON {
		out.Metadata = arrow.NewMetadata([]string{typeKey}, []string{"json"})
	}
	return out
}

// SchemaFromArrow returns the schema of batches that FromArrow makes of records of an Arrow schema.
func SchemaFromArrow(s *arrow.Schema) *Schema {
	fields := make([]Field, s.NumFields())
	for i, f := range s.Fields() {
		fields[i] = fieldFromArrow(f)
	}
	out := NewSchema(fields...)
	if metadata := s.Metadata(); metadata.Len() > 0 {
		out = out.WithMetadata(metadata.ToMap())
	}
	return out
}

func fieldFromArrow(f arrow.Field) Field {
	out := Field{Name: f.Name, Type: TypeFromArrow(f.Type), Nullable: f.Nullable}
	if v, ok := f.Metadata.GetValue(typeKey); ok && v == "json" && out.Type.Kind == String {
		out.Type.Kind = JSON
	}
	return out
}

var arrowUnits = [...]arrow.TimeUnit{arrow.Second, arrow.Millisecond, arrow.Microsecond, arrow.Nanosecond}

// ArrowType returns the Arrow type with the same layout.
func ArrowType(t Type) arrow.DataType {
	switch t.Kind {
	case Bool:
		return arrow.FixedWidthTypes.Boolean
	case Int8:
		return arrow.PrimitiveTypes.Int8
	case Int16:
		return arrow.PrimitiveTypes.Int16
	case Int32:
		return arrow.PrimitiveTypes.Int32
	case Int64:
		return arrow.PrimitiveTypes.Int64
	case Uint8:
		return arrow.PrimitiveTypes.Uint8
	case Uint16:
		return arrow.PrimitiveTypes.Uint16
	case Uint32:
		return arrow.PrimitiveTypes.Uint32
	case Uint64:
		return arrow.PrimitiveTypes.Uint64
	case Float32:
		return arrow.PrimitiveTypes.Float32
	case Float64:
		return arrow.PrimitiveTypes.Float64
	case Decimal:
		return &arrow.Decimal128Type{Precision: int32(t.Precision), Scale: int32(t.Scale)}
	case String, JSON:
		return arrow.BinaryTypes.String
	case Binary:
		return arrow.BinaryTypes.Binary
	case Date:
		return arrow.FixedWidthTypes.Date32
	case Time:
		if t.Unit <= Millisecond {
			return &arrow.Time64Type{Unit: arrow.Microsecond}
		}
		return &arrow.Time64Type{Unit: arrowUnits[t.Unit]}
	case Timestamp:
		return &arrow.TimestampType{Unit: arrowUnits[t.Unit], TimeZone: t.Zone}
	case Duration:
		return &arrow.DurationType{Unit: arrowUnits[t.Unit]}
	case List:
		return arrow.ListOfField(arrowField(t.Fields[0]))
	case Struct:
		members := make([]arrow.Field, len(t.Fields))
		for i, f := range t.Fields {
			members[i] = arrowField(f)
		}
		return arrow.StructOf(members...)
	case Map:
		key := arrowField(t.Fields[0])
		key.Nullable = false // Arrow has no null keys
		return arrow.MapOfFields(key, arrowField(t.Fields[1]))
	case Foreign:
		return t.arrow
	}
	return arrow.Null
}

// TypeFromArrow returns the type FromArrow gives a column of an Arrow type. Dictionaries, large and
// fixed-size forms come as their plain ones; types without a form of our own come as Foreign.
func TypeFromArrow(t arrow.DataType) Type {
	if kind, ok := plainKinds(t.ID()); ok {
		return Of(kind)
	}
	switch t := t.(type) {
	case *arrow.Decimal128Type:
		if t.Scale >= 0 {
			return DecimalOf(int(t.Precision), int(t.Scale))
		}
	case *arrow.Time32Type:
		return Type{Kind: Time, Unit: Microsecond}
	case *arrow.Time64Type:
		return Type{Kind: Time, Unit: Unit(t.Unit)}
	case *arrow.TimestampType:
		return TimestampOf(Unit(t.Unit), t.TimeZone)
	case *arrow.DurationType:
		return Type{Kind: Duration, Unit: Unit(t.Unit)}
	case *arrow.DictionaryType:
		if inner := TypeFromArrow(t.ValueType); inner.Text() || inner.Width() > 0 {
			return inner
		}
	case *arrow.MapType:
		key, value := fieldFromArrow(t.KeyField()), fieldFromArrow(t.ItemField())
		key.Name, value.Name = "key", "value"
		return Type{Kind: Map, Fields: []Field{key, value}}
	case *arrow.StructType:
		members := make([]Field, t.NumFields())
		for i, f := range t.Fields() {
			members[i] = fieldFromArrow(f)
		}
		return StructOf(members...)
	case *arrow.ListType:
		return Type{Kind: List, Fields: []Field{fieldFromArrow(t.ElemField())}}
	case *arrow.LargeListType:
		return Type{Kind: List, Fields: []Field{fieldFromArrow(t.ElemField())}}
	case *arrow.FixedSizeListType:
		return Type{Kind: List, Fields: []Field{fieldFromArrow(t.ElemField())}}
	}
	return Type{Kind: Foreign, arrow: t}
}

func plainKinds(id arrow.Type) (Kind, bool) {
	switch id {
	case arrow.NULL:
		return Null, true
	case arrow.BOOL:
		return Bool, true
	case arrow.INT8:
		return Int8, true
	case arrow.INT16:
		return Int16, true
	case arrow.INT32:
		return Int32, true
	case arrow.INT64:
		return Int64, true
	case arrow.UINT8:
		return Uint8, true
	case arrow.UINT16:
		return Uint16, true
	case arrow.UINT32:
		return Uint32, true
	case arrow.UINT64:
		return Uint64, true
	case arrow.FLOAT32:
		return Float32, true
	case arrow.FLOAT64:
		return Float64, true
	case arrow.STRING, arrow.LARGE_STRING, arrow.STRING_VIEW:
		return String, true
	case arrow.BINARY, arrow.LARGE_BINARY, arrow.FIXED_SIZE_BINARY, arrow.BINARY_VIEW:
		return Binary, true
	case arrow.DATE32, arrow.DATE64:
		return Date, true
	}
	return Null, false
}

// ToArrow returns a dense, unselected batch as an Arrow record that shares its memory; the caller
// releases it. Call Dense or Keep first; it panics on lazy columns or a selection.
func ToArrow(b *Batch) arrow.RecordBatch {
	if b.selection != nil {
		panic("batch: to arrow with a selection")
	}
	columns := make([]arrow.Array, len(b.columns))
	for i, c := range b.columns {
		columns[i] = array.MakeFromData(arrowData(c))
	}
	return array.NewRecordBatch(ArrowSchema(b.schema), columns, int64(b.rows))
}

func arrowData(c *Column) arrow.ArrayData {
	if c.foreign != nil {
		return c.foreign.Data()
	}
	if c.Lazy() {
		panic("batch: to arrow of a lazy column")
	}
	nulls := 0
	var valid *memory.Buffer
	if c.valid != nil {
		nulls = c.rows - c.valid.Count(c.rows)
		valid = memory.NewBufferBytes(c.valid)
	}
	var buffers []*memory.Buffer
	var children []arrow.ArrayData
	switch {
	case c.typ.Kind == Null:
		return array.NewData(arrow.Null, c.rows, []*memory.Buffer{nil}, nil, c.rows, 0)
	case c.typ.Text():
		buffers = []*memory.Buffer{valid, int32Buffer(c.offsets), memory.NewBufferBytes(c.bytes)}
	case c.typ.Kind == List:
		buffers = []*memory.Buffer{valid, int32Buffer(c.offsets)}
		children = []arrow.ArrayData{arrowData(c.children[0])}
	case c.typ.Kind == Map:
		buffers = []*memory.Buffer{valid, int32Buffer(c.offsets)}
		entries := StructColumn(StructOf(c.typ.Fields...), c.children[0].rows, c.children, nil)
		children = []arrow.ArrayData{arrowData(entries)}
	case c.typ.Kind == Struct:
		buffers = []*memory.Buffer{valid}
		for _, child := range c.children {
			children = append(children, arrowData(child))
		}
	case c.typ.Kind == Time && c.typ.Unit <= Millisecond:
		wide := make([]int64, c.rows)
		for i, v := range Values[int64](c) {
			wide[i] = v * (1e6 / c.typ.Unit.PerSecond())
		}
		return arrowData(FixedColumn(Type{Kind: Time, Unit: Microsecond}, wide, c.valid))
	default:
		buffers = []*memory.Buffer{valid, memory.NewBufferBytes(c.fixed)}
	}
	return array.NewData(ArrowType(c.typ), c.rows, buffers, children, nulls, 0)
}

func int32Buffer(values []int32) *memory.Buffer {
	return memory.NewBufferBytes(FixedColumn(Of(Int32), values, nil).fixed)
}

// FromArrow returns an Arrow record as a batch that shares its memory where the layouts agree. The
// record must not be released while the batch is in use.
func FromArrow(record arrow.RecordBatch) (*Batch, error) {
	schema := SchemaFromArrow(record.Schema())
	return FromArrowAs(schema, record)
}

// FromArrowAs is FromArrow with the schema already made, so that a reader's batches share one.
func FromArrowAs(schema *Schema, record arrow.RecordBatch) (*Batch, error) {
	columns := make([]*Column, schema.Len())
	for i, f := range schema.fields {
		c, err := columnFromArrow(f.Type, record.Column(i))
		if err != nil {
			return nil, fmt.Errorf("column %q: %w", f.Name, err)
		}
		columns[i] = c
	}
	return New(schema, columns, int(record.NumRows())), nil
}
