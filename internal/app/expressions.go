package app

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/flow/expr"
	"github.com/tapeline/tapeline/internal/flow/plan"
	"github.com/tapeline/tapeline/internal/flow/spec"
)

// expressions returns how each expression of a node runs, in the order of its config.
func (b *binding) expressions(n *plan.Node) []ExplainedExpression {
	declared, bound := b.document.Node(n.ID), b.known[n.ID]
	var out []ExplainedExpression
	if bound.expressions == nil {
		for _, e := range expressionSources(declared) {
			x, err := expr.Parse(e.Source)
			if err != nil {
				continue // reported when the document was built
			}
			e.Form, e.Reads = Unknown, x.References()
			e.Reason = fmt.Sprintf("nothing tells the columns of %s yet", bound.unknown)
			if interpreted(declared, n.Interpret) {
				e.Form, e.Reason = RowByRow, "vectorized: false"
			}
			out = append(out, e)
		}
		return out
	}
	in := b.known[n.Inputs[0].Node].schema
	for _, e := range bound.expressions {
		out = append(out, explainExpression(e.Path, e.Source, e.Program, in))
	}
	return out
}

func explainExpression(path, source string, p *expr.Program, in *batch.Schema) ExplainedExpression {
	e := ExplainedExpression{Key: path, Source: source, Form: Vectorised, Type: p.Type().String(), Reads: []string{}}
	if ok, reason := p.Vectorized(); !ok {
		e.Form, e.Reason = Mixed, reason
		if p.Interpreted() {
			e.Form = RowByRow
		}
	}
	for _, at := range p.Columns() {
		if at < in.Len() { // columns computed before it stand behind the input's
			e.Reads = append(e.Reads, in.Field(at).Name)
		}
	}
	return e
}

// String returns the expression as a line of explain.
func (e ExplainedExpression) String() string {
	how := string(e.Form)
	if e.Reason != "" {
		how += ": " + e.Reason
	}
	if e.Type != "" && !strings.HasPrefix(e.Key, "rules[") {
		how += ", " + e.Type
	}
	if len(e.Reads) > 0 {
		how += "; reads " + strings.Join(e.Reads, ", ")
	}
	return fmt.Sprintf("%s: %s  [%s]", e.Key, e.Source, how)
}

// interpreted reports whether a node's config, or the workflow's, forces the row interpreter.
func interpreted(n *spec.Node, whole bool) bool {
	v := key(reflect.ValueOf(n.Config), "vectorized")
	return whole || v.IsValid() && v.Kind() == reflect.Bool && !v.Bool()
}

// expressionSources finds the expressions of the operators that have some.
func expressionSources(n *spec.Node) []ExplainedExpression {
	var out []ExplainedExpression
	if n == nil || n.Kind != spec.Transformation || n.ConfigTree == nil {
		return nil
	}
	add := func(path string, v *spec.Value) {
		if v != nil {
			out = append(out, ExplainedExpression{Key: path, Source: v.Text})
		}
	}
	switch n.Type {
	case "filter":
		add("condition", n.At("condition"))
	case "compute", "route":
		section := map[string]string{"compute": "columns", "route": "routes"}[n.Type]
		if v := n.At(section); v != nil {
			for _, pair := range v.Pairs {
				add(section+"."+pair.Key, pair.Value)
			}
		}
	case "validate":
		if v := n.At("rules"); v != nil {
			for i := range v.Items {
				path := fmt.Sprintf("rules[%d]", i)
				add(path+".expression", n.At(path+".expression"))
			}
		}
	}
	return out
}

// columnsOf lists the columns of a schema.
func columnsOf(schema *batch.Schema) []PreviewColumn {
	out := make([]PreviewColumn, schema.Len())
	for i, f := range schema.Fields() {
		out[i] = PreviewColumn{f.Name, f.Type.String()}
	}
	return out
}
