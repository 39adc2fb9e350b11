package app

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/tapeline/tapeline/internal/flow/expr"
	"github.com/tapeline/tapeline/internal/flow/spec"
)

// expressionsOf returns how each expression of a node runs, by config key. Without the rows'
// schema only the interpreter's use by configuration is known for certain; expressions that name
// only columns are vectorised unless a function in them has no column form.
func expressionsOf(n *spec.Node, interpret bool) map[string]string {
	out := map[string]string{}
	for place, source := range expressionSources(n) {
		x, err := expr.Parse(source)
		if err != nil {
			continue
		}
		how := "vectorised, but for functions without a column form"
		if v := key(reflect.ValueOf(n.Config), "vectorized"); interpret ||
			v.IsValid() && v.Kind() == reflect.Bool && !v.Bool() {
			how = "row interpreter (vectorized: false)"
		}
		out[place] = fmt.Sprintf("%s  [%s; reads %s]", source, how, strings.Join(x.References(), ", "))
	}
	return out
}

// expressionSources finds the expressions of the operators that have some.
func expressionSources(n *spec.Node) map[string]string {
	out := map[string]string{}
	if n == nil || n.Kind != spec.Transformation || n.ConfigTree == nil {
		return out
	}
	switch n.Type {
	case "filter":
		if v := n.At("condition"); v != nil {
			out["condition"] = v.Text
		}
	case "compute", "route":
		section := map[string]string{"compute": "columns", "route": "routes"}[n.Type]
		if v := n.At(section); v != nil {
			for _, pair := range v.Pairs {
				out[section+"."+pair.Key] = pair.Value.Text
			}
		}
	}
	return out
}
