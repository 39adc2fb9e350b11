package app

import (
	"fmt"

	"github.com/tapeline/tapeline/internal/flow/op"
	"github.com/tapeline/tapeline/internal/flow/plan"
	"github.com/tapeline/tapeline/internal/flow/spec"
)

// limitSources puts a limit behind every source: what --limit does.
func (p *Parts) limitSources(w *plan.Workflow, rows int64) error {
	limit, ok := p.Operators.Get("limit")
	if !ok {
		return fmt.Errorf("operator limit is missing in this binary")
	}
	config := clone(limit.Config)
	if problems := spec.DecodeMap(map[string]any{"rows": rows}, config); len(problems) > 0 {
		return fmt.Errorf("limit: %s", problems[0].Message)
	}
	renamed := map[string]string{}
	for _, n := range w.Nodes {
		if n.Kind == plan.Source {
			renamed[n.ID] = n.ID + " limit"
		}
	}
	for _, n := range w.Nodes {
		for i, in := range n.Inputs {
			if id, ok := renamed[in.Node]; ok {
				n.Inputs[i].Node = id
			}
		}
	}
	for _, n := range w.Nodes {
		id, ok := renamed[n.ID]
		if !ok || n.Kind != plan.Source {
			continue
		}
		w.Nodes = append(w.Nodes, &plan.Node{
			ID: id, Type: "limit", Kind: plan.Transformation, Inputs: []plan.Input{{Node: n.ID}},
			Ordered: limit.Ordered, Fingerprint: fmt.Sprint(rows), OnError: plan.Fail,
			NewOperator: func(env op.Env) (op.Operator, error) { return limit.New(env, clone(config)) },
		})
	}
	return nil
}
