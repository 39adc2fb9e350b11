package op

import (
	"errors"
	"fmt"
	"slices"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/drift"
)

// UnionConfig configures union.
type UnionConfig struct {
	Columns []TypedColumn `yaml:"columns" doc:"mapping of the output's columns to their types, in order; none: the columns of the first rows that come"`
	Extra   string        `yaml:"extra" enum:"refuse,drop" doc:"what becomes of an input's column that the output does not have: refuse fails the run, drop leaves the column out"`
}

// Union brings the rows of all inputs to one schema.
func Union() Spec {
	s := newSpec(Spec{
		Name:    "union",
		Summary: "Brings the rows of several inputs to one schema, by column name.",
		Doc: "Rows of all inputs pass in the order they come; order within an input is kept. " +
			"Columns are matched by name: one that an input lacks is NULL, a narrower number is " +
			"widened (int32 to int64, int64 to decimal, float32 to float64, int32 to float64), and " +
			"so are dates to timestamps, coarser to finer timestamps of like zone, and text to " +
			"`string`. A column that would lose values fails the run: `cast` it first.\n\n" +
			"Declare the output in `columns` wherever inputs differ: then nodes run in parallel. " +
			"Without `columns` the first rows that come fix the output for the whole run, also after " +
			"a restart; a later input with a column more, or a wider one, fails the run and says " +
			"what to declare. Row operations pass unchanged.",
	}, UnionConfig{Extra: "refuse"}, newUnion)
	s.OrderedFor = func(config any) bool { return len(config.(*UnionConfig).Columns) == 0 }
	return s
}

type union struct {
	target   *batch.Schema // nil until the first rows
	declared bool
	drop     bool
	bound    []*boundUnion // inputs alternate, so recent bindings are kept
}

var _ Stateful = (*union)(nil)

func newUnion(_ Env, config *UnionConfig) (Operator, error) {
	u := &union{drop: config.Extra == "drop", declared: len(config.Columns) > 0}
	var bad faults
	bad.join(oneOf("extra", config.Extra, "refuse", "drop"))
	fields, err := typedFields("columns", config.Columns)
	bad.join(err)
	if u.declared {
		u.target = batch.NewSchema(fields...)
	}
	return u, bad.err()
}

// typedFields reads a mapping of columns to types.
func typedFields(path string, columns []TypedColumn) ([]batch.Field, error) {
	fields := make([]batch.Field, len(columns))
	var bad faults
	for i, column := range columns {
		typ, err := batch.ParseType(column.Type)
		bad.add(path+"."+column.Name, err)
		fields[i] = batch.Field{Name: column.Name, Type: typ, Nullable: true}
	}
	return fields, bad.err()
}

// Bind aligns an input's schema with the output's.
func (u *union) Bind(in *batch.Schema) (Bound, error) {
	for _, b := range u.bound {
		if b.in == in {
			return b, nil
		}
	}
	if u.target == nil {
		fields := slices.Clone(in.Fields())
		for i := range fields {
			fields[i].Nullable = true
		}
		u.target = batch.NewSchema(fields...)
	}
	b := &boundUnion{in: in, schema: u.target, from: make([]int, u.target.Len())}
	var problems []error
	for i, field := range u.target.Fields() {
		b.from[i] = in.Index(field.Name)
		if at := b.from[i]; at >= 0 && !drift.Widens(in.Field(at).Type, field.Type) {
			problems = append(problems, fmt.Errorf("column %s is %s in one input and %s in the output",
				field.Name, in.Field(at).Type, field.Type))
		}
	}
	for _, field := range in.Fields() {
		if u.target.Index(field.Name) < 0 && !u.drop {
			problems = append(problems, fmt.Errorf("column %s %s is not in the output",
				field.Name, field.Type))
		}
	}
	if len(problems) > 0 {
		return nil, u.conflict(problems)
	}
	const inputs = 8
	if len(u.bound) == inputs {
		u.bound = u.bound[1:]
	}
	u.bound = append(u.bound, b)
	return b, nil
}

func (u *union) conflict(problems []error) error {
	hint := "cast, drop or rename the column before the union"
	if !u.declared {
		hint = "declare the output in columns: the first rows fixed it to (" + u.target.String() + ")"
	}
	return &ConfigError{"columns", &connector.Error{
		Class: connector.Schema, Err: errors.Join(problems...), Hint: hint,
	}}
}

type boundUnion struct {
	in     *batch.Schema
	schema *batch.Schema
	from   []int // input column of each output column, -1: NULL
}

var _ Shaper = (*boundUnion)(nil)

// Schema returns the columns of the output.
func (u *boundUnion) Schema() *batch.Schema { return u.schema }

// Apply shares what has the output's type already, lazy columns included.
func (u *boundUnion) Apply(b *batch.Batch, out *Output) error {
	columns := make([]*batch.Column, len(u.from))
	for i, at := range u.from {
		typ := u.schema.Field(i).Type
		if at < 0 {
			columns[i] = batch.NullColumn(typ, b.Rows())
			continue
		}
		columns[i] = b.Column(at)
		if columns[i].Type().Equal(typ) {
			continue
		}
		column, bad := convert(columns[i], typ, b.Selection())
		for k := range bad {
			bad[k].Column = u.schema.Field(i).Name
		}
		out.Reject(b, bad)
		columns[i], b = column, b.Without(bad)
	}
	out.Emit(b.WithColumns(u.schema, columns))
	return nil
}

const unionState = 1 // version of the state's encoding

// Snapshot returns the output's columns: all of the state, since it is small.
func (u *union) Snapshot(bool) ([]byte, error) {
	w := stateWriter{}
	w.uint(unionState)
	if u.target == nil {
		w.uint(0)
		return w.data, nil
	}
	w.uint(uint64(u.target.Len()))
	for _, field := range u.target.Fields() {
		w.text(field.Name)
		w.text(field.Type.String())
	}
	return w.data, nil
}

// Restore fixes the output to what it was.
func (u *union) Restore(base []byte, increments [][]byte) error {
	r := stateReader{data: latest(base, increments)}
	if err := r.version(unionState); err != nil {
		return err
	}
	var columns []TypedColumn
	for range r.count(2) {
		columns = append(columns, TypedColumn{Name: r.text(), Type: r.text()})
	}
	if err := r.end(); err != nil {
		return err
	}
	fields, err := typedFields("columns", columns)
	if err != nil {
		return err
	}
	if u.bound = nil; len(fields) > 0 && !u.declared {
		u.target = batch.NewSchema(fields...)
	}
	return nil
}

// StateBytes is the memory of the column list.
func (u *union) StateBytes() int {
	if u.target == nil {
		return 0
	}
	return len(u.target.String())
}
