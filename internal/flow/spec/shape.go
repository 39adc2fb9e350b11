package spec

import (
	"encoding"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/tapeline/tapeline/connector"
)

// shape is what the tags of a config struct say. Besides the tags of connector.Field these count:
//
//	yaml:",key"        the field receives the key: a slice of such structs is an ordered mapping
//	yaml:",value"      the field receives the value of that key; a mapping fills the other fields
//	yaml:",self"       a *Value field receives the value that the struct was read from
//	alias:"a,b"        other names of the key
//	min:"1" max:"9"    range of a number, duration or size
//	resume:"ignore"    a change does not hinder resuming a run
//	fallback:"..."     the default in words, when the zero value stands for one
type shape struct {
	keys             []key
	key, value, self []int // nil: the struct has no such field
}

// key is one key of a config struct.
type key struct {
	name     string
	aliases  []string
	index    []int
	kind     reflect.Type
	doc      string
	example  string
	fallback string
	enum     []string
	min, max string
	required bool
	secret   bool
	volatile bool // does not count for resuming
}

// shapeOf reflects a struct type; embedded structs are inlined.
func shapeOf(t reflect.Type) shape {
	var s shape
	s.collect(t, nil)
	return s
}

func (s *shape) collect(t reflect.Type, prefix []int) {
	for i := range t.NumField() {
		f := t.Field(i)
		index := append(append([]int{}, prefix...), i)
		tag := f.Tag.Get("yaml")
		if f.Anonymous && (tag == "" || tag == ",inline") && f.Type.Kind() == reflect.Struct {
			s.collect(f.Type, index)
			continue
		}
		switch name, option, _ := strings.Cut(tag, ","); {
		case option == "key":
			s.key = index
		case option == "value":
			s.value = index
		case option == "self":
			s.self = index
		case name != "" && name != "-" && f.IsExported():
			s.keys = append(s.keys, newKey(name, index, f))
		}
	}
}

func newKey(name string, index []int, f reflect.StructField) key {
	return key{
		name: name, index: index, kind: f.Type,
		aliases:  list(f.Tag.Get("alias")),
		doc:      f.Tag.Get("doc"),
		example:  f.Tag.Get("example"),
		fallback: f.Tag.Get("fallback"),
		enum:     list(f.Tag.Get("enum")),
		min:      f.Tag.Get("min"), max: f.Tag.Get("max"),
		required: f.Tag.Get("required") == "true",
		secret:   f.Tag.Get("secret") == "true",
		volatile: f.Tag.Get("resume") == "ignore",
	}
}

func list(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

// find returns the key of that name or alias.
func (s *shape) find(name string) *key {
	for i := range s.keys {
		k := &s.keys[i]
		if k.name == name {
			return k
		}
		if slices.Contains(k.aliases, name) {
			return k
		}
	}
	return nil
}

func (s *shape) names() []string {
	names := make([]string, len(s.keys))
	for i := range s.keys {
		names[i] = s.keys[i].name
	}
	return names
}

// keyed reports whether a slice of t is an ordered mapping; t may be a pointer.
func keyed(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.Kind() == reflect.Struct && shapeOf(t).key != nil
}

// treeReader is implemented by document parts that a tag cannot describe.
type treeReader interface {
	readTree(d *decoder, v *Value, path string)
	schema() map[string]any
	kindName() string
}

// configReader may be implemented by config types of connectors and operators: it receives the
// value as nil, bool, int64, float64, string, []any or map[string]any.
type configReader interface{ UnmarshalConfig(value any) error }

// kindName names a Go type for documentation.
func kindName(t reflect.Type) string {
	if reader, ok := reflect.TypeAssert[treeReader](reflect.New(t)); ok {
		return reader.kindName()
	}
	switch t {
	case reflect.TypeFor[time.Duration]():
		return "duration"
	case reflect.TypeFor[connector.Size]():
		return "size"
	case reflect.TypeFor[time.Time]():
		return "time"
	case reflect.TypeFor[*Value]():
		return "any"
	}
	if _, ok := reflect.TypeAssert[encoding.TextUnmarshaler](reflect.New(t)); ok {
		return "string"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return kindName(t.Elem())
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "boolean"
	case reflect.Float32, reflect.Float64:
		return "number"
	case reflect.Struct, reflect.Map:
		return "mapping"
	case reflect.Slice:
		if keyed(t.Elem()) {
			return "mapping"
		}
		return "list of " + kindName(t.Elem())
	case reflect.Interface:
		return "any"
	}
	return "integer"
}
