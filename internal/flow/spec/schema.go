package spec

import (
	"encoding"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/tapeline/tapeline/connector"
)

const referencePattern = `\$\{` // a value may be a variable wherever a scalar stands

// Schema returns the JSON Schema (2020-12) of workflow documents for editors, with the configs of
// all node types of the catalogue. A nil catalogue gives configs without checks.
func Schema(catalogue Catalogue) []byte {
	root := structSchema(reflect.ValueOf(*defaults()))
	definitions := map[string]any{}
	properties := root["properties"].(map[string]any)
	for _, section := range []struct {
		kind  NodeKind
		alias string
	}{{Source, ""}, {Transformation, "transforms"}, {Destination, "sinks"}} {
		definitions[string(section.kind)] = nodeSchema(section.kind, catalogue, definitions)
		nodes := map[string]any{
			"type": "object", "description": properties[string(section.kind)].(map[string]any)["description"],
			"additionalProperties": ref(string(section.kind)),
		}
		properties[string(section.kind)] = nodes
		if section.alias != "" {
			properties[section.alias] = nodes
		}
	}
	properties["dead_letter"] = ref(string(Destination))
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "Tapeline workflow"
	// Names may come from aliases of older documents, so either spelling satisfies.
	root["required"] = []string{"sources"}
	root["anyOf"] = []any{requires("name"), requires("id")}
	root["allOf"] = []any{map[string]any{"anyOf": []any{requires("destinations"), requires("sinks")}}}
	root["$defs"] = definitions
	text, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("schema of workflow documents: %v", err)) // maps and strings only
	}
	return append(text, '\n')
}

func requires(name string) map[string]any { return map[string]any{"required": []string{name}} }

func ref(name string) map[string]any { return map[string]any{"$ref": "#/$defs/" + name} }

// nodeSchema describes the nodes of one section; the config follows from the type.
func nodeSchema(kind NodeKind, catalogue Catalogue, definitions map[string]any) map[string]any {
	node := structSchema(reflect.ValueOf(Node{}))
	if catalogue == nil {
		return node
	}
	var rules []any
	names := catalogue.Names(kind)
	for _, name := range names {
		declared, ok := catalogue.Find(kind, name)
		if !ok || declared.Config == nil {
			continue
		}
		definition := string(kind) + "." + name
		config := structSchema(reflect.Indirect(reflect.ValueOf(declared.Config)))
		if takesCommon(kind, reflect.TypeOf(declared.Config).Elem()) {
			shared := structSchema(reflect.ValueOf(common{}))
			maps.Copy(config["properties"].(map[string]any), shared["properties"].(map[string]any))
		}
		definitions[definition] = config
		then := map[string]any{"properties": map[string]any{"config": ref(definition)}}
		if config["required"] != nil {
			then["required"] = []string{"config"}
		} else {
			then["properties"] = map[string]any{"config": map[string]any{
				"anyOf": []any{ref(definition), map[string]any{"type": "null"}},
			}}
		}
		rules = append(rules, map[string]any{
			"if": map[string]any{
				"properties": map[string]any{"type": map[string]any{"const": name}},
				"required":   []string{"type"},
			},
			"then": then,
		})
	}
	if len(rules) > 0 {
		node["allOf"] = rules
	}
	node["properties"].(map[string]any)["type"] = map[string]any{
		"description": "node type",
		"anyOf": []any{
			map[string]any{"enum": names}, map[string]any{"enum": plannedTypes(kind)}, variable(),
		},
	}
	return node
}

// structSchema describes a config struct; its field values are the defaults.
func structSchema(v reflect.Value) map[string]any {
	s := shapeOf(v.Type())
	properties := map[string]any{}
	var required []string
	for i := range s.keys {
		k := &s.keys[i]
		property := typeSchema(k.kind, v.FieldByIndex(k.index), k)
		if k.doc != "" {
			property["description"] = k.doc
		}
		if k.example != "" {
			property["examples"] = []any{k.example}
		}
		if text := defaultText(v.FieldByIndex(k.index)); text != nil && !k.required {
			property["default"] = text
		}
		properties[k.name] = property
		for _, alias := range k.aliases {
			properties[alias] = property
		}
		if k.required && len(k.aliases) == 0 {
			required = append(required, k.name)
		}
	}
	object := map[string]any{
		"type": "object", "properties": properties, "additionalProperties": false,
	}
	if len(required) > 0 {
		object["required"] = required
	}
	return object
}

// defaultText returns a scalar default as a document spells it, nil for none.
func defaultText(v reflect.Value) any {
	if v.IsZero() {
		return nil
	}
	switch value := v.Interface().(type) {
	case time.Duration:
		return formatDuration(value)
	case connector.Size:
		return int64(value)
	}
	switch v.Kind() {
	case reflect.Bool, reflect.String, reflect.Float32, reflect.Float64:
		return v.Interface()
	}
	if v.CanInt() || v.CanUint() {
		return v.Interface()
	}
	return nil
}

// formatDuration writes a duration without its zero parts: 10s, 1m, 24h.
func formatDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func variable() map[string]any {
	return map[string]any{"type": "string", "pattern": referencePattern}
}

// quoted describes text that may stand for another type: its spelling, or a variable.
func quoted(spelling string) map[string]any {
	return map[string]any{"type": "string", "pattern": "^(" + spelling + ")$|" + referencePattern}
}

// typeSchema describes a Go type; value, when valid, holds the defaults.
func typeSchema(t reflect.Type, value reflect.Value, k *key) map[string]any {
	if reader, ok := reflect.TypeAssert[treeReader](reflect.New(t)); ok {
		return reader.schema()
	}
	switch reflect.New(t).Interface().(type) {
	case *time.Duration:
		return map[string]any{"anyOf": []any{
			map[string]any{"type": "string", "pattern": `^([0-9.]+(ns|us|µs|ms|s|m|h|d))+$`},
			map[string]any{"const": 0},
			variable(),
		}}
	case *connector.Size:
		return map[string]any{"anyOf": []any{
			map[string]any{"type": "integer", "minimum": 0},
			map[string]any{"type": "string", "pattern": `^[0-9.]+ *[kKmMgGtT]?[iI]?[bB]?$`},
			variable(),
		}}
	case *time.Time, encoding.TextUnmarshaler:
		return map[string]any{"type": "string"}
	case **Value, configReader:
		return map[string]any{}
	}
	switch t.Kind() {
	case reflect.Pointer:
		if value.IsValid() && !value.IsNil() {
			return typeSchema(t.Elem(), value.Elem(), k)
		}
		return typeSchema(t.Elem(), reflect.Value{}, k)
	case reflect.Struct:
		if !value.IsValid() {
			value = reflect.Zero(t)
		}
		return structSchema(value)
	case reflect.Slice:
		if keyed(t.Elem()) {
			return map[string]any{"type": "object", "additionalProperties": entrySchema(t.Elem())}
		}
		return map[string]any{"type": "array", "items": typeSchema(t.Elem(), reflect.Value{}, k.element())}
	case reflect.Map:
		return map[string]any{
			"type": "object", "additionalProperties": typeSchema(t.Elem(), reflect.Value{}, k.element()),
		}
	}
	return basicSchema(t, k)
}

// entrySchema describes the values of an ordered mapping.
func entrySchema(t reflect.Type) map[string]any {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	s := shapeOf(t)
	if s.value == nil {
		return structSchema(reflect.Zero(t))
	}
	short := typeSchema(t.FieldByIndex(s.value).Type, reflect.Value{}, nil)
	if len(s.keys) == 0 {
		return short
	}
	return map[string]any{"anyOf": []any{short, structSchema(reflect.Zero(t))}}
}

func basicSchema(t reflect.Type, k *key) map[string]any {
	switch t.Kind() {
	case reflect.Interface:
		return map[string]any{}
	case reflect.String:
		if k != nil && len(k.enum) > 0 {
			return map[string]any{"anyOf": []any{map[string]any{"enum": k.enum}, variable()}}
		}
		return map[string]any{"type": []string{"string", "number", "boolean"}}
	case reflect.Bool:
		return map[string]any{"anyOf": []any{map[string]any{"type": "boolean"}, quoted("true|false")}}
	}
	kind := "integer"
	if t.Kind() == reflect.Float32 || t.Kind() == reflect.Float64 {
		kind = "number"
	}
	described := numberSchema(kind)
	if k != nil {
		number := described["anyOf"].([]any)[0].(map[string]any)
		setBound(number, "minimum", k.min)
		setBound(number, "maximum", k.max)
	}
	return described
}

func setBound(number map[string]any, name, bound string) {
	if value, err := strconv.ParseFloat(bound, 64); err == nil {
		number[name] = value
	}
}

func numberSchema(kind string) map[string]any {
	digits := map[string]string{
		"integer": `[-+]?[0-9]+`, "number": `[-+]?[0-9.]+([eE][-+]?[0-9]+)?`,
	}[kind]
	return map[string]any{"anyOf": []any{map[string]any{"type": kind}, quoted(digits)}}
}
