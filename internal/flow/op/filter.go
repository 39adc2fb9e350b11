package op

import (
	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/flow/expr"
)

// FilterConfig configures filter.
type FilterConfig struct {
	Condition  string `yaml:"condition" required:"true" example:"status == 'active'" doc:"expression; rows for which it is true pass, false and NULL do not"`
	Vectorized *bool  `yaml:"vectorized" doc:"false forces the row interpreter; default true"`
}

// Filter keeps the rows for which a condition is true.
func Filter() Spec {
	return newSpec(Spec{
		Name:    "filter",
		Summary: "Keeps the rows for which a condition is true.",
		Doc: "A row passes when `condition` is true; false and NULL drop it. Nothing is copied: the " +
			"batch carries the numbers of the rows that are left. An upsert that fails the condition " +
			"becomes a delete of its key, since the row may have passed before; deletes pass.\n\n" +
			"Directly behind a source that filters by itself (postgres), comparisons of a column with " +
			"literals that are joined by `and` go to the source, so that fewer rows travel: " +
			"`tapeline explain` shows which. The filter still judges every row that arrives. Nothing " +
			"goes there where another node reads the source too, where `max_dead_letters` is a share " +
			"of the rows read, or with `vectorized: false`.",
		Narrows: true,
	}, FilterConfig{}, newFilter)
}

type filter struct {
	expression *expr.Expression
	interpret  bool
}

func newFilter(env Env, config *FilterConfig) (Operator, error) {
	x, err := expr.Parse(config.Condition)
	if err != nil {
		return nil, &ConfigError{"condition", err}
	}
	return &filter{expression: x, interpret: interprets(env, config.Vectorized)}, nil
}

func interprets(env Env, vectorized *bool) bool {
	return env.Interpret || vectorized != nil && !*vectorized
}

var _ Predicative = (*filter)(nil)

// Conjuncts returns the parts of the condition that are joined by and.
func (f *filter) Conjuncts(in *batch.Schema) []expr.Conjunct {
	p, err := f.expression.Bind(in, expr.Options{Condition: true})
	if err != nil || f.interpret {
		return nil
	}
	return p.Conjuncts()
}

// Bind compiles the condition.
func (f *filter) Bind(in *batch.Schema) (Bound, error) {
	p, err := f.expression.Bind(in, expr.Options{Interpret: f.interpret, Condition: true})
	if err != nil {
		return nil, &ConfigError{"condition", err}
	}
	return &boundFilter{eval: p.NewEval()}, nil
}

type boundFilter struct{ eval *expr.Eval }

var _ Expressive = (*boundFilter)(nil)

// Expressions returns the condition.
func (f *boundFilter) Expressions() []Expression {
	p := f.eval.Program()
	return []Expression{{"condition", p.Source(), p}}
}

// Apply narrows the batch.
func (f *boundFilter) Apply(b *batch.Batch, out *Output) error {
	kept, bad := f.eval.Filter(b)
	if bad != nil {
		out.Reject(b, bad)
	}
	if b.Operations() == nil {
		out.Emit(kept)
		return nil
	}
	out.Emit(withdrawn(b, kept, bad))
	return nil
}

// withdrawn returns the rows of kept and, as deletes, the upserts and deletes of b that did not
// pass. It starts from b: columns typed for kept hold no values for other rows.
func withdrawn(b, kept *batch.Batch, bad []batch.RowError) *batch.Batch {
	passed := make(map[int]bool, kept.Len()+len(bad))
	for i := range kept.Len() {
		passed[kept.Row(i)] = true
	}
	for _, e := range bad {
		passed[e.Row] = true // refused, neither kept nor withdrawn
	}
	refused := make(map[int]bool, len(bad))
	for _, e := range bad {
		refused[e.Row] = true
	}
	operations := append([]batch.Operation(nil), b.Operations()...)
	var rows []int32
	for i := range b.Len() {
		row := b.Row(i)
		switch {
		case refused[row]:
			continue
		case !passed[row] && operations[row] == batch.Insert:
			continue
		case !passed[row]:
			operations[row] = batch.Delete
		}
		rows = append(rows, int32(row))
	}
	return b.WithOperations(operations).Select(rows)
}
