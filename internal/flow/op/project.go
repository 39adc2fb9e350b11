package op

import (
	"fmt"
	"strings"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/fault"
)

// SelectConfig configures select.
type SelectConfig struct {
	Columns []string `yaml:"columns" required:"true" doc:"the columns to keep, in this order"`
}

// Select keeps the named columns, in the given order.
func Select() Spec {
	return newSpec(Spec{
		Name:    "select",
		Summary: "Keeps the named columns, in the given order.",
		Doc:     "Row operations pass; a keyed sink behind it needs its key among the columns.",
	}, SelectConfig{}, func(_ Env, config *SelectConfig) (Operator, error) {
		return projection(func(in *batch.Schema) ([]int, []string, error) {
			return positions(in, config.Columns)
		}), nil
	})
}

// DropConfig configures drop.
type DropConfig struct {
	Columns []string `yaml:"columns" required:"true" doc:"the columns to leave out"`
}

// Drop leaves out the named columns.
func Drop() Spec {
	return newSpec(Spec{
		Name:    "drop",
		Summary: "Leaves out the named columns.",
		Doc:     "All other columns pass in their order. Row operations pass unchanged.",
	}, DropConfig{}, func(_ Env, config *DropConfig) (Operator, error) {
		return projection(func(in *batch.Schema) ([]int, []string, error) {
			dropped, _, err := positions(in, config.Columns)
			if err != nil {
				return nil, nil, err
			}
			out := map[int]bool{}
			for _, i := range dropped {
				out[i] = true
			}
			var kept []int
			var names []string
			for i, name := range in.Names() {
				if !out[i] {
					kept, names = append(kept, i), append(names, name)
				}
			}
			return kept, names, nil
		}), nil
	})
}

// RenameConfig configures rename.
type RenameConfig struct {
	Columns []RenamedColumn `yaml:"columns" required:"true" doc:"mapping of old names to new ones"`
}

// RenamedColumn is one entry of rename's columns.
type RenamedColumn struct {
	From string `yaml:",key"`
	To   string `yaml:",value"`
}

// Rename gives columns other names.
func Rename() Spec {
	return newSpec(Spec{
		Name:    "rename",
		Summary: "Gives columns other names.",
		Doc:     "Order, values and row operations stay. Renaming onto a name that exists is an error.",
	}, RenameConfig{}, func(_ Env, config *RenameConfig) (Operator, error) {
		return projection(func(in *batch.Schema) ([]int, []string, error) {
			return renamed(in, config.Columns)
		}), nil
	})
}

func renamed(in *batch.Schema, columns []RenamedColumn) ([]int, []string, error) {
	names := in.Names()
	kept := make([]int, len(names))
	for i := range kept {
		kept[i] = i
	}
	for _, c := range columns {
		found, _, err := positions(in, []string{c.From})
		if err != nil {
			return nil, nil, err
		}
		names[found[0]] = c.To
	}
	return kept, names, nil
}

// positions finds columns by name.
func positions(in *batch.Schema, names []string) ([]int, []string, error) {
	at := make([]int, len(names))
	for i, name := range names {
		if at[i] = in.Index(name); at[i] < 0 {
			if near := fault.Nearest(name, in.Names()); near != "" {
				return nil, nil, fmt.Errorf("no column %q; did you mean %q?", name, near)
			}
			return nil, nil, fmt.Errorf("no column %q; the columns are %s",
				name, strings.Join(in.Names(), ", "))
		}
	}
	return at, names, nil
}

// projection is an operator that keeps columns under names; the function chooses them by schema.
type projection func(in *batch.Schema) (kept []int, names []string, err error)

// Bind chooses the columns.
func (p projection) Bind(in *batch.Schema) (Bound, error) {
	kept, names, err := p(in)
	if err != nil {
		return nil, &ConfigError{"columns", err}
	}
	fields := make([]batch.Field, len(kept))
	for i, at := range kept {
		fields[i] = in.Field(at)
		fields[i].Name = names[i]
	}
	if err := distinct(fields, "drop or rename the other"); err != nil {
		return nil, &ConfigError{"columns", err}
	}
	return &boundProjection{kept: kept, schema: batch.NewSchema(fields...)}, nil
}

type boundProjection struct {
	kept   []int
	schema *batch.Schema
}

var _ Shaper = (*boundProjection)(nil)

// Schema returns the kept columns.
func (p *boundProjection) Schema() *batch.Schema { return p.schema }

// Apply shares the kept columns.
func (p *boundProjection) Apply(b *batch.Batch, out *Output) error {
	columns := make([]*batch.Column, len(p.kept))
	for i, at := range p.kept {
		columns[i] = b.Column(at)
	}
	out.Emit(b.WithColumns(p.schema, columns))
	return nil
}
