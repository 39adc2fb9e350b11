package op

import (
	"errors"
	"slices"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/flow/expr"
)

// ComputeConfig configures compute.
type ComputeConfig struct {
	Columns    []ComputedColumn `yaml:"columns" required:"true" doc:"new or replaced columns in order; an expression sees the columns before it"`
	Vectorized *bool            `yaml:"vectorized" doc:"false forces the row interpreter; default true"`
}

// ComputedColumn is one entry of compute's columns.
type ComputedColumn struct {
	Name       string `yaml:",key"`
	Expression string `yaml:",value"`
}

// Compute adds or replaces columns by expressions.
func Compute() Spec {
	return newSpec(Spec{
		Name:    "compute",
		Summary: "Adds or replaces columns by expressions.",
		Doc: "`columns` maps names to expressions. A name that exists is replaced in its place, a " +
			"new one is appended. Expressions see the columns computed before them. Row operations " +
			"pass unchanged.",
	}, ComputeConfig{}, newCompute)
}

type compute struct {
	names       []string
	expressions []*expr.Expression
	interpret   bool
}

func newCompute(env Env, config *ComputeConfig) (Operator, error) {
	c := &compute{interpret: interprets(env, config.Vectorized)}
	var bad faults
	if len(config.Columns) == 0 {
		bad.add("columns", errors.New("names no column"))
	}
	for _, column := range config.Columns {
		x, err := expr.Parse(column.Expression)
		bad.add("columns."+column.Name, err)
		c.names = append(c.names, column.Name)
		c.expressions = append(c.expressions, x)
	}
	return c, bad.err()
}

// Bind compiles the expressions, each over the schema the ones before it leave.
func (c *compute) Bind(in *batch.Schema) (Bound, error) {
	b := &boundCompute{}
	schema := in
	for i, x := range c.expressions {
		p, err := x.Bind(schema, expr.Options{Interpret: c.interpret})
		if err != nil {
			return nil, &ConfigError{"columns." + c.names[i], err}
		}
		field := batch.Field{Name: c.names[i], Type: p.Type(), Nullable: true}
		at := schema.Index(field.Name)
		fields := slices.Clone(schema.Fields())
		if at < 0 {
			at = len(fields)
			fields = append(fields, field)
		} else {
			fields[at] = field
		}
		schema = batch.NewSchema(fields...)
		b.steps = append(b.steps, computeStep{eval: p.NewEval(), at: at, schema: schema})
	}
	return b, nil
}

type boundCompute struct{ steps []computeStep }

type computeStep struct {
	eval   *expr.Eval
	at     int // position of the column in schema
	schema *batch.Schema
}

var (
	_ Shaper     = (*boundCompute)(nil)
	_ Expressive = (*boundCompute)(nil)
)

// Schema returns the columns with the computed ones.
func (c *boundCompute) Schema() *batch.Schema { return c.steps[len(c.steps)-1].schema }

// Expressions returns those of the columns.
func (c *boundCompute) Expressions() []Expression {
	var out []Expression
	for _, step := range c.steps {
		p := step.eval.Program()
		out = append(out, Expression{"columns." + step.schema.Field(step.at).Name, p.Source(), p})
	}
	return out
}

// Apply computes column by column; rows that fail one are rejected and not seen by the next.
func (c *boundCompute) Apply(b *batch.Batch, out *Output) error {
	for _, step := range c.steps {
		column, typed, bad := step.eval.Column(b)
		if bad != nil {
			out.Reject(b, bad)
			typed = typed.Without(bad)
		}
		columns := make([]*batch.Column, step.schema.Len())
		copy(columns, typed.Columns())
		columns[step.at] = column
		b = typed.WithColumns(step.schema, columns)
	}
	out.Emit(b)
	return nil
}
