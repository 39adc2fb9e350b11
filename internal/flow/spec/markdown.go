package spec

import (
	_ "embed"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/tapeline/tapeline/connector"
)

// Markdown returns the reference page of workflow documents, made from the structs that read
// them. With a catalogue it ends with the configs of all node types.
func Markdown(catalogue Catalogue) string {
	var b strings.Builder
	b.WriteString(introduction)
	d := defaults()
	for _, part := range []struct {
		title string
		value any
	}{
		{"Top level", *d},
		{"execution", d.Execution},
		{"execution.batch_size", d.Execution.BatchSize},
		{"execution.restart_strategy", d.Execution.RestartStrategy},
		{"A node", Node{}},
		{"schema of a node", RowSchema{}},
		{"resources", Resources{}},
		{"schedule", Schedule{}},
		{"tests", Test{}},
	} {
		b.WriteString("\n## " + part.title + "\n\n")
		b.WriteString(Table(part.value))
	}
	if catalogue == nil {
		return b.String()
	}
	for _, kind := range []NodeKind{Source, Transformation, Destination} {
		for _, name := range catalogue.Names(kind) {
			declared, ok := catalogue.Find(kind, name)
			if !ok {
				continue
			}
			fmt.Fprintf(&b, "\n## %s %s\n\n%s\n\n", kind.Noun(), name, declared.Summary)
			if declared.Config != nil {
				b.WriteString(Table(declared.Config))
			}
		}
	}
	return b.String()
}

//go:embed introduction.md
var introduction string

// Table returns a Markdown table of the keys of a config struct, which holds the defaults.
func Table(config any) string {
	var b strings.Builder
	b.WriteString("| key | kind | default | meaning |\n|---|---|---|---|\n")
	rows(&b, reflect.Indirect(reflect.ValueOf(config)), "", 0)
	return b.String()
}

// rows writes the keys of a struct and, indented by their path, those of structs inside it.
func rows(b *strings.Builder, v reflect.Value, prefix string, depth int) {
	s := shapeOf(v.Type())
	for i := range s.keys {
		k := &s.keys[i]
		value := v.FieldByIndex(k.index)
		name := prefix + k.name
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", name, kindName(k.kind), k.standard(value), k.meaning())
		inner := k.kind
		switch {
		case inner.Kind() == reflect.Slice && !keyed(inner.Elem()):
			name, inner = name+"[]", inner.Elem()
		case inner.Kind() == reflect.Slice:
			name, inner = name+".NAME", inner.Elem()
		}
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		_, custom := reflect.TypeAssert[treeReader](reflect.New(k.kind))
		own := inner.PkgPath() == reflect.TypeFor[Document]().PkgPath()
		if inner.Kind() != reflect.Struct || custom || own || depth > 3 ||
			inner == reflect.TypeFor[time.Time]() {
			continue
		}
		zero := reflect.Zero(inner)
		if value.Kind() == reflect.Struct {
			zero = value
		}
		rows(b, zero, name+".", depth+1)
	}
}

// standard writes the default of a key.
func (k *key) standard(v reflect.Value) string {
	if k.required {
		return "required"
	}
	if text := defaultText(v); text != nil {
		if size, ok := reflect.TypeAssert[connector.Size](v); ok {
			return "`" + formatSize(size) + "`"
		}
		return fmt.Sprintf("`%v`", text)
	}
	switch {
	case k.fallback != "":
		return cell(k.fallback)
	case v.Kind() == reflect.Bool:
		return "`false`"
	case v.CanInt() || v.CanUint() || v.CanFloat():
		return "`0`"
	}
	return ""
}

// formatSize writes whole units where it can.
func formatSize(size connector.Size) string {
	for _, unit := range []struct {
		name  string
		bytes connector.Size
	}{{"GiB", 1 << 30}, {"GB", 1e9}, {"MiB", 1 << 20}, {"MB", 1e6}, {"KiB", 1 << 10}, {"KB", 1e3}} {
		if size >= unit.bytes && size%unit.bytes == 0 {
			return fmt.Sprintf("%d%s", size/unit.bytes, unit.name)
		}
	}
	return strconv.FormatInt(int64(size), 10)
}

// meaning writes what a key does, with its values, range, example and other names.
func (k *key) meaning() string {
	text := cell(k.doc)
	if len(k.enum) > 0 {
		text += "; one of `" + strings.Join(k.enum, "`, `") + "`"
	}
	switch {
	case k.min != "" && k.max != "":
		text += fmt.Sprintf("; %s to %s", k.min, k.max)
	case k.min != "":
		text += "; at least " + k.min
	case k.max != "":
		text += "; at most " + k.max
	}
	if k.example != "" {
		text += "; example: `" + cell(k.example) + "`"
	}
	if len(k.aliases) > 0 {
		text += "; also `" + strings.Join(k.aliases, "`, `") + "`"
	}
	if k.secret {
		text += "; secret, never printed"
	}
	return text
}

func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
