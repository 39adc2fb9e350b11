package op

import (
	"fmt"
	"slices"

	"github.com/tapeline/tapeline/batch"
)

// FlattenConfig configures flatten.
type FlattenConfig struct {
	Columns   []string `yaml:"columns" doc:"struct columns to flatten; none: all of them"`
	Separator string   `yaml:"separator" doc:"between the names of a struct and its members"`
	Prefix    *string  `yaml:"prefix" doc:"put before members' names instead of the struct's name and the separator; may be empty"`
	Depth     int      `yaml:"depth" min:"0" doc:"levels of structs in structs to flatten, from 0; 0: all"`
}

// Flatten replaces struct columns by their members.
func Flatten() Spec {
	return newSpec(Spec{
		Name:    "flatten",
		Summary: "Replaces struct columns by one column per member.",
		Doc: "A struct column `a` with members `x` and `y` is replaced in its place by `a_x` and " +
			"`a_y`; structs inside it go on the same way, down to `depth`. Members of a NULL struct " +
			"are NULL. Lists and maps stay (see explode), and so does `json` (see parse). Two columns " +
			"of one name are an error; set `prefix` or `separator` then. Row operations pass " +
			"unchanged.",
	}, FlattenConfig{Separator: "_"}, func(_ Env, config *FlattenConfig) (Operator, error) {
		return &flatten{config: *config}, nil
	})
}

type flatten struct{ config FlattenConfig }

// Bind lays out the columns.
func (f *flatten) Bind(in *batch.Schema) (Bound, error) {
	if _, err := positionsOf("columns", in, f.config.Columns); err != nil {
		return nil, err
	}
	depth := f.config.Depth
	if depth == 0 {
		depth = maxDepth
	}
	b := &boundFlatten{}
	var fields []batch.Field
	for at, field := range in.Fields() {
		chosen := slices.Contains(f.config.Columns, field.Name)
		switch {
		case chosen && field.Type.Kind != batch.Struct:
			return nil, &ConfigError{"columns", fmt.Errorf("column %s is %s, not a struct",
				field.Name, field.Type)}
		case field.Type.Kind == batch.Struct && (chosen || len(f.config.Columns) == 0):
			b.structs = append(b.structs, at)
			leaves := f.leaves(nil, field, f.prefix(field.Name), depth)
			for _, l := range leaves {
				b.leaves = append(b.leaves, leaf{at: at, path: l.path})
				fields = append(fields, l.field)
			}
		default:
			b.leaves = append(b.leaves, leaf{at: at})
			fields = append(fields, field)
		}
	}
	if err := distinct(fields, "set prefix or separator"); err != nil {
		return nil, err
	}
	b.schema = batch.NewSchema(fields...)
	return b, nil
}

// maxDepth bounds how deep structs can nest.
const maxDepth = 1000

func (f *flatten) prefix(name string) string {
	if f.config.Prefix != nil {
		return *f.config.Prefix
	}
	return name + f.config.Separator
}

// distinct refuses two fields of one name.
func distinct(fields []batch.Field, remedy string) error {
	taken := make(map[string]bool, len(fields))
	for _, field := range fields {
		if taken[field.Name] {
			return fmt.Errorf("two columns would be named %q; %s", field.Name, remedy)
		}
		taken[field.Name] = true
	}
	return nil
}

// leaf is one output column: a column, or a member of it found by indices.
type leaf struct {
	at    int
	path  []int
	field batch.Field
}

func (f *flatten) leaves(path []int, field batch.Field, prefix string, depth int) []leaf {
	var out []leaf
	for i, member := range field.Type.Fields {
		below := append(slices.Clone(path), i)
		nullable := member.Nullable || field.Nullable
		named := batch.Field{Name: prefix + member.Name, Type: member.Type, Nullable: nullable}
		if member.Type.Kind == batch.Struct && depth > 1 {
			out = append(out, f.leaves(below, named, named.Name+f.config.Separator, depth-1)...)
			continue
		}
		out = append(out, leaf{path: below, field: named})
	}
	return out
}

type boundFlatten struct {
	structs []int
	leaves  []leaf
	schema  *batch.Schema
}

var _ Shaper = (*boundFlatten)(nil)

// Schema returns the columns with members for structs.
func (f *boundFlatten) Schema() *batch.Schema { return f.schema }

// Apply shares the members' values; only validity is computed.
func (f *boundFlatten) Apply(b *batch.Batch, out *Output) error {
	b = typedAll(b, f.structs, out)
	columns := make([]*batch.Column, len(f.leaves))
	for i, l := range f.leaves {
		c := b.Column(l.at)
		for _, k := range l.path {
			c = masked(c.Children()[k], c.Validity())
		}
		columns[i] = c
	}
	out.Emit(b.WithColumns(f.schema, columns))
	return nil
}

// typedAll returns the batch with the given columns dense, without the rows that do not read,
// which are refused.
func typedAll(b *batch.Batch, columns []int, out *Output) *batch.Batch {
	for _, at := range columns {
		typed, bad := b.Typed(at)
		if len(bad) > 0 {
			out.Reject(b, bad)
			typed = typed.Without(bad)
		}
		b = typed
	}
	return b
}
