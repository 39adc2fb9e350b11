package batch

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
)

// Kind is the physical kind of a column's values.
type Kind uint8

// The kinds. Small integers and Float32 exist so that files keep their types; expressions widen
// them to Int64, Uint64 and Float64.
const (
	Null Kind = iota
	Bool
	Int8
	Int16
	Int32
	Int64
	Uint8
	Uint16
	Uint32
	Uint64
	Float32
	Float64
	Decimal   // 128-bit integer with Type.Precision and Type.Scale
	String    // UTF-8
	Binary    // bytes
	JSON      // one JSON value as UTF-8 text
	Date      // int32 days since 1970-01-01
	Time      // int64 since midnight in Type.Unit
	Timestamp // int64 since 1970-01-01T00:00Z in Type.Unit
	Duration  // int64 in Type.Unit
	List      // Type.Fields[0] is the element
	Struct    // Type.Fields are the members
	Map       // Type.Fields[0] is the key, [1] the value
	Foreign   // an Arrow type without a form of our own, passed through untouched
)

var kindNames = [...]string{
	"null", "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
	"float32", "float64", "decimal", "string", "binary", "json", "date", "time", "timestamp",
	"duration", "list", "struct", "map", "foreign",
}

// String returns the kind's name as used in schemas and messages.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Unit is the resolution of Time, Timestamp and Duration values.
type Unit uint8

// The units, in Arrow's order.
const (
	Second Unit = iota
	Millisecond
	Microsecond
	Nanosecond
)

// PerSecond returns how many units make a second: 1, 1e3, 1e6 or 1e9.
func (u Unit) PerSecond() int64 { return [...]int64{1, 1e3, 1e6, 1e9}[u] }

// String returns s, ms, us or ns.
func (u Unit) String() string { return [...]string{"s", "ms", "us", "ns"}[u] }

// Type is the full type of a column. Compare with Equal.
type Type struct {
	Kind      Kind
	Unit      Unit    // Time, Timestamp, Duration
	Precision uint8   // Decimal: total digits, 1..38
	Scale     uint8   // Decimal: digits after the point, 0..38, <= Precision
	Zone      string  // Timestamp: "" is a wall time; an IANA name, "UTC" or an offset as "+02:00"
	Fields    []Field // List: element; Struct: members; Map: key, value

	arrow    arrow.DataType // Foreign only
	location *time.Location // Timestamp: of Zone, loaded once by TimestampOf
}

// Of returns the Type of a kind without parameters. Time, Timestamp and Duration get microseconds.
func Of(kind Kind) Type {
	t := Type{Kind: kind}
	switch kind {
	case Time, Timestamp, Duration:
		t.Unit = Microsecond
	case Decimal:
		t.Precision = 38
	}
	return t
}

// DecimalOf returns a decimal type; precision 1..38, scale 0..precision.
func DecimalOf(precision, scale int) Type {
	return Type{Kind: Decimal, Precision: uint8(precision), Scale: uint8(scale)}
}

// TimestampOf returns a timestamp type; zone "" means wall time. A zone this machine does not know
// keeps its name and is shown in UTC.
func TimestampOf(unit Unit, zone string) Type {
	t := Type{Kind: Timestamp, Unit: unit, Zone: zone}
	t.location = t.Location()
	return t
}

// Location returns the zone of a timestamp type; UTC for wall time and unknown zones.
func (t Type) Location() *time.Location {
	switch {
	case t.location != nil:
		return t.location
	case t.Zone == "" || t.Zone == "UTC":
		return time.UTC
	}
	location, err := loadZone(t.Zone)
	if err != nil {
		return time.UTC
	}
	return location
}

// loadZone reads an IANA name, or an offset as Arrow's files have it.
func loadZone(zone string) (*time.Location, error) {
	if len(zone) == len("+02:00") {
		if seconds, ok := zoneOffset([]byte(zone)); ok {
			return time.FixedZone(zone, int(seconds)), nil
		}
	}
	return time.LoadLocation(zone)
}

// ListOf returns a list type whose nullable element has the given type.
func ListOf(element Type) Type {
	return Type{Kind: List, Fields: []Field{{Name: "item", Type: element, Nullable: true}}}
}

// StructOf returns a struct type.
func StructOf(fields ...Field) Type { return Type{Kind: Struct, Fields: fields} }

// MapOf returns a map type with non-null keys.
func MapOf(key, value Type) Type {
	return Type{Kind: Map, Fields: []Field{
		{Name: "key", Type: key}, {Name: "value", Type: value, Nullable: true},
	}}
}

// Equal reports whether both types are the same in kind and parameters.
func (t Type) Equal(o Type) bool {
	if t.Kind != o.Kind || t.Unit != o.Unit || t.Precision != o.Precision || t.Scale != o.Scale ||
		t.Zone != o.Zone || len(t.Fields) != len(o.Fields) {
		return false
	}
	for i := range t.Fields {
		if !t.Fields[i].Equal(o.Fields[i]) {
			return false
		}
	}
	return t.Kind != Foreign || arrow.TypeEqual(t.arrow, o.arrow)
}

// Integer reports whether the kind is one of the eight integer kinds.
func (t Type) Integer() bool { return t.Kind >= Int8 && t.Kind <= Uint64 }

// Numeric reports whether the kind is an integer, a float or a decimal.
func (t Type) Numeric() bool { return t.Kind >= Int8 && t.Kind <= Decimal }

// Text reports whether values are variable-length bytes: String, Binary or JSON.
func (t Type) Text() bool { return t.Kind == String || t.Kind == Binary || t.Kind == JSON }

// Nested reports whether the type has fields.
func (t Type) Nested() bool { return t.Kind == List || t.Kind == Struct || t.Kind == Map }

// Width returns the bytes of one fixed-width value, 0 for Bool, Null and variable-length kinds.
func (t Type) Width() int {
	switch t.Kind {
	case Int8, Uint8:
		return 1
	case Int16, Uint16:
		return 2
	case Int32, Uint32, Float32, Date:
		return 4
	case Int64, Uint64, Float64, Time, Timestamp, Duration:
		return 8
	case Decimal:
		return 16
	}
	return 0
}

// String returns the type as ParseType reads it: "int64", "decimal(12,4)", "timestamp(us,UTC)",
// "list<string>", "struct<a:int64,b:string>".
func (t Type) String() string {
	switch t.Kind {
	case Decimal:
		return fmt.Sprintf("decimal(%d,%d)", t.Precision, t.Scale)
	case Time, Duration:
		return fmt.Sprintf("%s(%s)", t.Kind, t.Unit)
	case Timestamp:
		if t.Zone == "" {
			return fmt.Sprintf("timestamp(%s)", t.Unit)
		}
		return fmt.Sprintf("timestamp(%s,%s)", t.Unit, t.Zone)
	case List:
		return "list<" + t.Fields[0].Type.String() + ">"
	case Map:
		return "map<" + t.Fields[0].Type.String() + "," + t.Fields[1].Type.String() + ">"
	case Struct:
		parts := make([]string, len(t.Fields))
		for i, f := range t.Fields {
			parts[i] = f.Name + ":" + f.Type.String()
		}
		return "struct<" + strings.Join(parts, ",") + ">"
	case Foreign:
		return "arrow:" + t.arrow.String()
	}
	return t.Kind.String()
}

// Field is one named column of a schema or member of a nested type.
type Field struct {
	Name     string
	Type     Type
	Nullable bool
}

// Equal reports whether name, type and nullability agree.
func (f Field) Equal(o Field) bool {
	return f.Name == o.Name && f.Nullable == o.Nullable && f.Type.Equal(o.Type)
}

// Schema is an ordered list of fields. It is immutable; compare pointers first, then Equal.
type Schema struct {
	fields   []Field
	index    map[string]int
	metadata map[string]string
}

// NewSchema returns a schema of the fields in order. Duplicate names are allowed (Arrow and CSV
// have them); Index finds the first.
func NewSchema(fields ...Field) *Schema {
	index := make(map[string]int, len(fields))
	for i, field := range slices.Backward(fields) {
		index[field.Name] = i
	}
	return &Schema{fields: fields, index: index}
}

// WithMetadata returns the schema with the given key-value metadata, which file formats keep.
func (s *Schema) WithMetadata(metadata map[string]string) *Schema {
	return &Schema{fields: s.fields, index: s.index, metadata: metadata}
}

// Metadata returns the schema's key-value metadata, nil when there is none.
func (s *Schema) Metadata() map[string]string { return s.metadata }

// Len returns the number of fields.
func (s *Schema) Len() int { return len(s.fields) }

// Field returns field i.
func (s *Schema) Field(i int) Field { return s.fields[i] }

// Fields returns the fields; the caller must not alter the slice.
func (s *Schema) Fields() []Field { return s.fields }

// Index returns the position of the first field of that name, or -1.
func (s *Schema) Index(name string) int {
	if i, ok := s.index[name]; ok {
		return i
	}
	return -1
}

// Names returns the field names in order.
func (s *Schema) Names() []string {
	names := make([]string, len(s.fields))
	for i, f := range s.fields {
		names[i] = f.Name
	}
	return names
}

// Equal reports whether both schemas have equal fields in equal order; metadata is not compared.
func (s *Schema) Equal(o *Schema) bool {
	if s == o {
		return true
	}
	if s == nil || o == nil || len(s.fields) != len(o.fields) {
		return false
	}
	for i := range s.fields {
		if !s.fields[i].Equal(o.fields[i]) {
			return false
		}
	}
	return true
}

// String returns "name type, name type, ...".
func (s *Schema) String() string {
	parts := make([]string, len(s.fields))
	for i, f := range s.fields {
		parts[i] = f.Name + " " + f.Type.String()
		if !f.Nullable {
			parts[i] += " not null"
		}
	}
	return strings.Join(parts, ", ")
}
