package app

import "github.com/tapeline/tapeline/internal/flow/plan"

// limitSources puts a limit behind every source: what --limit does.
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
		w.Nodes = append(w.Nodes, limit)
	}
	return nil
}
