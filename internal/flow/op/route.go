package op

import (
	"fmt"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/flow/expr"
)

// RouteConfig configures route.
type RouteConfig struct {
	Routes     []Branch `yaml:"routes" required:"true" doc:"mapping of output names to conditions, tried in order; read one as input node.output"`
	Match      string   `yaml:"match" enum:"first,all" doc:"first: a row goes to the first output whose condition is true; all: to every such output"`
	Default    string   `yaml:"default" doc:"output for rows that no condition takes; none: such rows are dropped"`
	Vectorized *bool    `yaml:"vectorized" doc:"false forces the row interpreter; default true"`
}

// Branch is one output of route and its condition.
type Branch struct {
	Port      string `yaml:",key"`
	Condition string `yaml:",value"`
}

// Route sends rows to named outputs by conditions.
func Route() Spec {
	s := newSpec(Spec{
		Name:    "route",
		Summary: "Sends rows to named outputs by conditions.",
		Doc: "A node reads an output as `inputs: [node.output]`. Conditions are tried in the order " +
			"written; false and NULL do not take the row. With `match: first` a condition is not " +
			"evaluated for rows that an earlier one took; with `match: all` a row may leave by " +
			"several outputs. Rows that none takes leave by `default`, or are dropped. Nothing is " +
			"copied.\n\n" +
			"Each output is a filtered view of the input: a delete leaves by every output, and an " +
			"upsert leaves by the outputs that take it and as a delete of its key by all others, " +
			"since an earlier version of the row may have gone there.",
	}, RouteConfig{Match: "first"}, newRoute)
	s.Ports = func(config any) []string { return config.(*RouteConfig).ports() }
	return s
}

func (c *RouteConfig) ports() []string {
	var ports []string
	for _, r := range c.Routes {
		ports = append(ports, r.Port)
	}
	if c.Default != "" {
		ports = append(ports, c.Default)
	}
	return ports
}

type route struct {
	ports       []string
	expressions []*expr.Expression
	all         bool
	fallback    bool
	interpret   bool
}

func newRoute(env Env, config *RouteConfig) (Operator, error) {
	var bad faults
	bad.join(oneOf("match", config.Match, "first", "all"))
	r := &route{
		all: config.Match == "all", fallback: config.Default != "",
		interpret: interprets(env, config.Vectorized),
	}
	taken := map[string]bool{}
	for _, port := range config.ports() {
		if port == "" || taken[port] {
			bad.add("routes", fmt.Errorf("output %q is empty or named twice", port))
		}
		taken[port] = true
	}
	for _, branch := range config.Routes {
		x, err := expr.Parse(branch.Condition)
		bad.add("routes."+branch.Port, err)
		r.ports = append(r.ports, branch.Port)
		r.expressions = append(r.expressions, x)
	}
	return r, bad.err()
}

// Bind compiles the conditions.
func (r *route) Bind(in *batch.Schema) (Bound, error) {
	b := &boundRoute{names: r.ports, all: r.all, fallback: r.fallback}
	uses := make([]int, in.Len())
	for i, x := range r.expressions {
		p, err := x.Bind(in, expr.Options{Interpret: r.interpret, Condition: true})
		if err != nil {
			return nil, &ConfigError{"routes." + r.ports[i], err}
		}
		b.evals = append(b.evals, p.NewEval())
		for _, at := range p.Columns() {
			if uses[at]++; uses[at] == 2 {
				b.shared = append(b.shared, at)
			}
		}
	}
	return b, nil
}

var _ Expressive = (*boundRoute)(nil)

// Expressions returns the conditions.
func (r *boundRoute) Expressions() []Expression {
	var out []Expression
	for i, eval := range r.evals {
		p := eval.Program()
		out = append(out, Expression{"routes." + r.names[i], p.Source(), p})
	}
	return out
}

type boundRoute struct {
	names    []string // of the outputs with a condition
	evals    []*expr.Eval
	shared   []int // columns that several conditions read
	all      bool
	fallback bool
}

// Apply narrows the batch once per output.
func (r *boundRoute) Apply(b *batch.Batch, out *Output) error {
	// A lazy column is read once for all conditions, unless some cell does not read: then only
	// the conditions that need the cell may refuse the row.
	for _, at := range r.shared {
		if typed, bad := b.Typed(at); len(bad) == 0 {
			b = typed
		}
	}
	whole, left := b, b
	var refused []batch.RowError
	for port, eval := range r.evals {
		input := left
		if r.all {
			input = whole.Without(refused)
		}
		kept, bad := eval.Filter(input)
		if len(bad) > 0 {
			out.Reject(whole, bad)
			refused = append(refused, bad...)
		}
		left = r.minus(left, kept, bad)
		r.emit(out, port, whole, kept, refused)
	}
	if r.fallback {
		r.emit(out, len(r.evals), whole, left, refused)
	}
	return nil
}

// emit hands on what an output keeps, and withdraws by operations what it does not.
func (r *boundRoute) emit(out *Output, port int, whole, kept *batch.Batch, refused []batch.RowError) {
	if whole.Operations() != nil {
		kept = withdrawn(whole, kept, refused)
	}
	out.EmitTo(port, kept)
}

// minus returns left without the rows of kept, whose rows ascend as left's do, and without bad.
func (r *boundRoute) minus(left, kept *batch.Batch, bad []batch.RowError) *batch.Batch {
	if kept.Len() == 0 && len(bad) == 0 {
		return left
	}
	rest := make([]int32, 0, max(0, left.Len()-kept.Len()))
	k := 0
	for i := range left.Len() {
		row := left.Row(i)
		for k < kept.Len() && kept.Row(k) < row {
			k++
		}
		if k < kept.Len() && kept.Row(k) == row {
			k++
			continue
		}
		rest = append(rest, int32(row))
	}
	return left.Select(rest).Without(bad)
}
