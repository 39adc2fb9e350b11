package avro

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/tapeline/tapeline/batch"
)

// schema is one type of an Avro schema.
type schema struct {
	kind      string // Avro's name of the type
	logical   string
	precision int
	scale     int
	name      string // full name of named types
	size      int    // fixed
	symbols   []string
	fields    []field   // record
	items     *schema   // array items, map values
	branches  []*schema // union
}

type field struct {
	name string
	typ  *schema
}

// maxNodes bounds a schema with its references expanded: they may multiply.
const maxNodes = 100_000

type schemaParser struct {
	names map[string]*schema
	nodes int
}

// parseSchema reads a schema's JSON.
func parseSchema(text []byte) (*schema, error) {
	var document any
	if err := json.Unmarshal(text, &document); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	p := schemaParser{names: map[string]*schema{}}
	s, err := p.parse(document, "")
	if err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	return s, nil
}

func primitive(name string) bool {
	return slices.Contains([]string{"null", "boolean", "int", "long", "float", "double", "bytes", "string"}, name)
}

func (p *schemaParser) parse(node any, namespace string) (*schema, error) {
	if p.nodes++; p.nodes > maxNodes {
		return nil, fmt.Errorf("more than %d types", maxNodes)
	}
	switch node := node.(type) {
	case string:
		if primitive(node) {
			return &schema{kind: node}, nil
		}
		if s, ok := p.names[fullName(node, namespace)]; ok {
			return s, nil
		}
		if s, ok := p.names[node]; ok {
			return s, nil
		}
		return nil, fmt.Errorf("type %q is not defined", node)
	case []any:
		s := &schema{kind: "union"}
		for _, branch := range node {
			b, err := p.parse(branch, namespace)
			if err != nil {
				return nil, err
			}
			s.branches = append(s.branches, b)
		}
		return s, nil
	case map[string]any:
		return p.object(node, namespace)
	}
	return nil, fmt.Errorf("%v is no type", node)
}

func fullName(name, namespace string) string {
	if namespace == "" || strings.Contains(name, ".") {
		return name
	}
	return namespace + "." + name
}

func (p *schemaParser) object(node map[string]any, namespace string) (*schema, error) {
	kind, ok := node["type"].(string)
	if !ok {
		return p.parse(node["type"], namespace) // {"type": {...}}
	}
	s := &schema{kind: kind}
	s.logical, _ = node["logicalType"].(string)
	s.precision, s.scale = number(node["precision"]), number(node["scale"])
	var err error
	switch kind {
	case "array":
		s.items, err = p.parse(node["items"], namespace)
		return s, err
	case "map":
		s.items, err = p.parse(node["values"], namespace)
		return s, err
	case "record", "error", "enum", "fixed":
		return s, p.named(s, node, namespace)
	}
	if primitive(kind) {
		return s, nil
	}
	return p.parse(kind, namespace)
}

func number(v any) int {
	n, _ := v.(float64)
	return int(n)
}

// named reads a type that later ones refer to by name.
func (p *schemaParser) named(s *schema, node map[string]any, namespace string) error {
	name, _ := node["name"].(string)
	if own, ok := node["namespace"].(string); ok {
		namespace = own
	}
	s.name = fullName(name, namespace)
	if at := strings.LastIndexByte(s.name, '.'); at >= 0 {
		namespace = s.name[:at]
	}
	p.names[s.name] = s
	switch s.kind {
	case "fixed":
		const maxFixedBytes = 1 << 20
		if s.size = number(node["size"]); s.size < 0 || s.size > maxFixedBytes {
			return fmt.Errorf("fixed %s of %d bytes", s.name, s.size)
		}
		return nil
	case "enum":
		symbols, _ := node["symbols"].([]any)
		for _, symbol := range symbols {
			s.symbols = append(s.symbols, fmt.Sprint(symbol))
		}
		return nil
	}
	s.kind = "record"
	fields, ok := node["fields"].([]any)
	if !ok {
		return fmt.Errorf("record %s has no fields", s.name)
	}
	for _, f := range fields {
		member, ok := f.(map[string]any)
		if !ok {
			return fmt.Errorf("record %s: a field is %v", s.name, f)
		}
		typ, err := p.parse(member["type"], namespace)
		if err != nil {
			return err
		}
		fieldName, _ := member["name"].(string)
		if column, ok := member[columnKey].(string); ok {
			fieldName = column
		}
		s.fields = append(s.fields, field{name: fieldName, typ: typ})
	}
	return nil
}

// columnKey is a field attribute of our files: the column's name where Avro does not allow it.
const columnKey = "tapeline.column"

// nullable splits a union of null and one other type; at is the branch that is null, -1 none.
func (s *schema) nullable() (inner *schema, at int) {
	switch {
	case s.kind != "union":
		return s, -1
	case len(s.branches) == 1:
		return s.branches[0], -1
	case len(s.branches) == 2 && s.branches[0].kind == "null":
		return s.branches[1], 0
	case len(s.branches) == 2 && s.branches[1].kind == "null":
		return s.branches[0], 1
	}
	return s, -1
}

// mapper gives types to schemas.
type mapper struct {
	inside map[*schema]bool // records being mapped: a reference to one is a recursion
	nodes  int
}

// columns returns the fields of a file's rows: a record's, or one column "value" for other types.
func (s *schema) columns() ([]batch.Field, error) {
	m := mapper{inside: map[*schema]bool{}}
	top := s.fields
	if s.kind != "record" {
		top = []field{{name: "value", typ: s}}
	}
	m.inside[s] = true
	out := make([]batch.Field, len(top))
	for i, f := range top {
		out[i] = m.field(f)
	}
	if m.nodes > maxNodes {
		return nil, fmt.Errorf("schema: more than %d types", maxNodes)
	}
	return out, nil
}

func (m *mapper) field(f field) batch.Field {
	inner, at := f.typ.nullable()
	return batch.Field{Name: f.name, Type: m.typ(inner), Nullable: at >= 0 || inner.kind == "null" || inner.kind == "union"}
}

// typ returns a type; unions of several types and recursive records are JSON text.
func (m *mapper) typ(s *schema) batch.Type {
	if m.nodes++; m.nodes > maxNodes || m.inside[s] {
		return batch.Of(batch.JSON)
	}
	switch s.kind {
	case "array":
		f := m.field(field{name: "item", typ: s.items})
		return batch.Type{Kind: batch.List, Fields: []batch.Field{f}}
	case "map":
		f := m.field(field{name: "value", typ: s.items})
		return batch.Type{Kind: batch.Map, Fields: []batch.Field{{Name: "key", Type: batch.Of(batch.String)}, f}}
	case "record":
		if len(s.fields) == 0 {
			return batch.Of(batch.JSON)
		}
		m.inside[s] = true
		typ := batch.Type{Kind: batch.Struct}
		for _, f := range s.fields {
			typ.Fields = append(typ.Fields, m.field(f))
		}
		delete(m.inside, s)
		return typ
	case "union":
		return batch.Of(batch.JSON)
	}
	return s.scalar()
}

func (s *schema) scalar() batch.Type {
	switch {
	case s.logical == "decimal" && (s.kind == "bytes" || s.kind == "fixed") &&
		s.precision > 0 && s.scale >= 0 && s.scale <= s.precision:
		if s.precision > 38 {
			return batch.Of(batch.String)
		}
		return batch.DecimalOf(s.precision, s.scale)
	case s.kind == "int" && s.logical == "date":
		return batch.Of(batch.Date)
	case s.kind == "int" && s.logical == "time-millis", s.kind == "long" && s.logical == "time-micros":
		return batch.Of(batch.Time)
	case s.kind == "long" && strings.Contains(s.logical, "timestamp-"):
		return s.timestamp()
	case s.kind == "fixed" && s.logical == "uuid":
		return batch.Of(batch.String)
	}
	switch s.kind {
	case "null":
		return batch.Of(batch.Null)
	case "boolean":
		return batch.Of(batch.Bool)
	case "int":
		return batch.Of(batch.Int32)
	case "long":
		return batch.Of(batch.Int64)
	case "float":
		return batch.Of(batch.Float32)
	case "double":
		return batch.Of(batch.Float64)
	case "string", "enum":
		return batch.Of(batch.String)
	}
	return batch.Of(batch.Binary)
}

func (s *schema) timestamp() batch.Type {
	unit, zone := s.logical, "UTC"
	if local, ok := strings.CutPrefix(unit, "local-"); ok {
		unit, zone = local, ""
	}
	switch unit {
	case "timestamp-millis":
		return batch.TimestampOf(batch.Millisecond, zone)
	case "timestamp-micros":
		return batch.TimestampOf(batch.Microsecond, zone)
	case "timestamp-nanos":
		return batch.TimestampOf(batch.Nanosecond, zone)
	}
	return batch.Of(batch.Int64)
}
