package op

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/tapeline/tapeline/connector"
)

// Markdown returns the reference page of the catalogue's operators.
func Markdown(catalogue *Catalogue) string {
	var page strings.Builder
	page.WriteString("# Operators\n\n" +
		"The transformations of a workflow. This page is generated from their declarations " +
		"(`internal/flow/op`).\n\n" +
		"Rows that an operator cannot use go to the dead letters with a reason, or where the " +
		"node's `on_error` says. Row operations (insert, upsert, delete) are what a row means to " +
		"a keyed sink; each operator says how it treats them.\n\n")
	for _, name := range catalogue.Names() {
		spec, _ := catalogue.Get(name)
		fmt.Fprintf(&page, "- [%s](#%s): %s\n", name, name, spec.Summary)
	}
	for _, name := range catalogue.Names() {
		spec, _ := catalogue.Get(name)
		fmt.Fprintf(&page, "\n## %s\n\n%s\n", name, spec.Summary)
		if spec.Doc != "" {
			fmt.Fprintf(&page, "\n%s\n", spec.Doc)
		}
		fmt.Fprintf(&page, "\n%s\n\n", spec.traits())
		page.WriteString("| key | type | default | meaning |\n|---|---|---|---|\n")
		writeKeys(&page, "", reflect.Indirect(reflect.ValueOf(spec.Config)))
	}
	return page.String()
}

// traits says how the operator runs.
func (s *Spec) traits() string {
	var parts []string
	switch {
	case s.OrderedFor != nil:
		parts = append(parts, "Runs in parallel or in order, depending on its config")
	case s.Ordered:
		parts = append(parts, "Runs in order, one batch at a time")
	default:
		parts = append(parts, "Runs in parallel")
	}
	if s.RefusesOperations {
		parts = append(parts, "refuses upserts and deletes")
	}
	if s.Ports != nil {
		parts = append(parts, "has named outputs")
	}
	return strings.Join(parts, "; ") + "."
}

// writeKeys writes one table row per config key, members of mappings and lists after their own.
func writeKeys(page *strings.Builder, prefix string, config reflect.Value) {
	for i := range config.NumField() {
		field := config.Type().Field(i)
		key, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		if key == "" {
			continue
		}
		path := prefix + key
		meaning := field.Tag.Get("doc")
		if enum := field.Tag.Get("enum"); enum != "" {
			meaning += " (one of `" + strings.ReplaceAll(enum, ",", "`, `") + "`)"
		}
		if example := field.Tag.Get("example"); example != "" {
			meaning += ", as in `" + example + "`"
		}
		fmt.Fprintf(page, "| `%s` | %s | %s | %s |\n", path, kindOf(field.Type),
			defaultOf(field, config.Field(i)), strings.ReplaceAll(meaning, "|", "\\|"))
		if member, step := memberType(field.Type); member != nil {
			writeKeys(page, path+step, reflect.Zero(member))
		}
	}
}

// memberType returns the struct that a key's value is made of and how its keys are reached.
func memberType(t reflect.Type) (member reflect.Type, step string) {
	switch {
	case t.Kind() == reflect.Pointer:
		return memberType(t.Elem())
	case t.Kind() == reflect.Struct:
		return t, "."
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct && ordered(t.Elem()):
		return t.Elem(), ".*."
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
		return t.Elem(), "[]."
	}
	return nil, ""
}

// ordered reports whether a slice of the struct is written as a mapping.
func ordered(t reflect.Type) bool {
	for field := range t.Fields() {
		if field.Tag.Get("yaml") == ",key" {
			return true
		}
	}
	return false
}

func kindOf(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "duration"
	case t == reflect.TypeFor[connector.Size]():
		return "size"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return kindOf(t.Elem())
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Struct && ordered(t.Elem()) {
			return "mapping"
		}
		return "list of " + kindOf(t.Elem())
	case reflect.Struct, reflect.Map:
		return "mapping"
	case reflect.Interface:
		return "any"
	case reflect.Float32, reflect.Float64:
		return "number"
	case reflect.Bool, reflect.String:
		return t.Kind().String()
	}
	return "integer"
}

func defaultOf(field reflect.StructField, value reflect.Value) string {
	switch {
	case field.Tag.Get("required") == "true":
		return "required"
	case value.IsZero() || field.Type.Kind() == reflect.Struct:
		return ""
	}
	if value.Kind() == reflect.Slice {
		return fmt.Sprintf("`%q`", value.Interface())
	}
	return fmt.Sprintf("`%v`", value.Interface())
}
