package connector

import (
	"fmt"
	"reflect"
	"strings"
	"time"
)

// Field describes one configuration key, reflected from a config struct for docs, JSON schema,
// lint and secret redaction.
//
// A struct field takes part when it has a yaml tag. The tags: `yaml:"name"` the key; `doc:"..."`
// what it does, with unit, default and range; `required:"true"`; `secret:"true"` never printed;
// `enum:"a,b"` allowed values; `example:"..."`. Types: string, bool, integers, floats,
// time.Duration, Size, slices, map[string]T, structs, pointers and any.
type Field struct {
	Key      string
	Type     string // string, bool, integer, number, duration, size, list, map, object or any
	Default  any    // nil when zero
	Required bool
	Secret   bool
	Enum     []string
	Example  string
	Doc      string
	Element  *Field  // list and map: the element
	Fields   []Field // object: the members
}

// Size is a number of bytes, written as an integer or as text with a unit: 64MB, 1.5GiB.
type Size int64

// Fields reflects a pointer to a config struct. Embedded structs are inlined. It panics on a type
// that a document cannot spell: a programming error.
func Fields(config any) []Field {
	v := reflect.Indirect(reflect.ValueOf(config))
	if !v.IsValid() || v.Kind() != reflect.Struct {
		return nil
	}
	return structFields(v)
}

func structFields(v reflect.Value) []Field {
	var fields []Field
	for i := range v.NumField() {
		sf := v.Type().Field(i)
		if sf.Anonymous && sf.Type.Kind() == reflect.Struct {
			fields = append(fields, structFields(v.Field(i))...)
			continue
		}
		key, _, _ := strings.Cut(sf.Tag.Get("yaml"), ",")
		if key == "" || key == "-" {
			continue
		}
		f := typeField(sf.Type, v.Field(i))
		f.Key = key
		f.Doc = sf.Tag.Get("doc")
		f.Example = sf.Tag.Get("example")
		f.Required = sf.Tag.Get("required") == "true"
		f.Secret = sf.Tag.Get("secret") == "true"
		if enum := sf.Tag.Get("enum"); enum != "" {
			f.Enum = strings.Split(enum, ",")
		}
		fields = append(fields, f)
	}
	return fields
}

// typeField describes a Go type; value, when valid and not zero, is the default.
func typeField(t reflect.Type, value reflect.Value) Field {
	f := Field{}
	if value.IsValid() && !value.IsZero() {
		f.Default = value.Interface()
	}
	switch {
	case t == reflect.TypeFor[time.Duration]():
		f.Type = "duration"
		return f
	case t == reflect.TypeFor[Size]():
		f.Type = "size"
		return f
	}
	switch t.Kind() {
	case reflect.String:
		f.Type = "string"
	case reflect.Bool:
		f.Type = "bool"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		f.Type = "integer"
	case reflect.Float32, reflect.Float64:
		f.Type = "number"
	case reflect.Slice, reflect.Map:
		f.Type = map[reflect.Kind]string{reflect.Slice: "list", reflect.Map: "map"}[t.Kind()]
		element := typeField(t.Elem(), reflect.Value{})
		f.Element = &element
	case reflect.Struct:
		f.Type = "object"
		if !value.IsValid() {
			value = reflect.Zero(t)
		}
		f.Default = nil
		f.Fields = structFields(value)
	case reflect.Pointer:
		inner := typeField(t.Elem(), reflect.Indirect(value))
		return inner
	case reflect.Interface:
		f.Type = "any"
	default:
		panic(fmt.Sprintf("connector: config type %s cannot be written in a document", t))
	}
	return f
}
