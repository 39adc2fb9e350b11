package app

import (
	"cmp"

	"github.com/tapeline/tapeline/internal/flow/plan"
)

// limitSources puts a limit behind every source: what --limit does. Batches larger than it would only
// read rows that nobody wants.
func (p *Parts) limitSources(w *plan.Workflow, rows int64) error {
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
		if n.Kind != plan.Source {
			continue
		}
		limit, err := p.limitNode(renamed[n.ID], rows)
		if err != nil {
			return err
		}
		limit.Inputs = []plan.Input{{Node: n.ID}}
		if first := cmp.Or(n.BatchSize, w.Execution.Batching.Initial); rows < int64(first) {
			n.BatchSize = int(rows)
		}
		w.Nodes = append(w.Nodes, limit)
	}
	return nil
}
