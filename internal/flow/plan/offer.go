package plan

// offer finds the filters whose predicates the source before them may apply: rows that it leaves out
// must be missed by nobody.
func (p *Plan) offer(g *graph) {
	p.Unoffered = map[string]string{}
	for _, v := range g.order {
		if !v.Narrows {
			continue
		}
		for _, in := range v.Inputs {
			source := g.byID[in.Node]
			if source.Kind != Source || !source.SourceSpec.Filters {
				continue
			}
			if why := p.unoffered(v, source); why != "" {
				p.Unoffered[v.ID] = why
			} else {
				v.stage.Filter = v.Node
			}
		}
	}
}

func (p *Plan) unoffered(filter, source *vertex) string {
	e := p.Workflow.Execution
	switch {
	case source.readers > 1:
		return "other nodes read " + source.ID + " too"
	case filter.stage.Source != source.Node:
		return "it reads other nodes too"
	case source.SourceSpec.Operations:
		return source.ID + " may deliver upserts and deletes"
	case e.MaxDead != nil && e.MaxDead.Share > 0:
		return "max_dead_letters is a share of the rows read"
	case filter.Interpret:
		return "vectorized: false"
	}
	return ""
}
