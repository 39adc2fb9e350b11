package plan

// Guarantee is what a sink promises about each row.
type Guarantee struct {
	Sink    string `json:"sink"`
	Level   string `json:"level"` // exactly-once, effectively-once or at-least-once
	Why     string `json:"why"`
	Visible string `json:"visible"` // when output becomes visible
}

// Guarantees returns the guarantee of each sink, in the order of the plan.
func (p *Plan) Guarantees() []Guarantee {
	var out []Guarantee
	for _, s := range p.Stages {
		if s.Sink != nil {
			out = append(out, p.guarantee(s))
		}
	}
	for _, s := range p.Stages {
		if s.Source == nil || s.Source.SourceSpec.Resumable {
			continue
		}
		for i := range out {
			out[i].Level = "at-least-once"
			out[i].Why = "source " + s.Source.ID + " cannot continue at a position; after a failure it " +
				"starts over"
		}
	}
	return out
}

func (p *Plan) guarantee(s *Stage) Guarantee {
	n := s.Sink
	g := Guarantee{Sink: n.ID}
	switch spec := n.SinkSpec; {
	case s.Decides:
		g.Level, g.Visible = "exactly-once", "at each checkpoint"
		g.Why = "the checkpoint is committed in the data's own transaction"
	case spec.Decides:
		g.Level, g.Visible = "exactly-once", "at each checkpoint, after its commit"
		by := "the catalog"
		if d := p.decider(); d != nil {
			by = "sink " + d.Sink.ID
		}
		g.Why = by + " decides the checkpoint; this sink's transaction follows, and a redo file brings " +
			"its rows back after a crash in between"
		if s.Writers > 1 {
			g.Visible += ", writer by writer"
		}
	case spec.Transactions:
		g.Level, g.Visible = "exactly-once", "when the run ends"
		g.Why = "rows are staged and published by the committed checkpoint"
	case n.KeyedUpserts:
		g.Level, g.Visible = "effectively-once", "at once"
		g.Why = "repeated rows replace themselves by key"
	default:
		g.Level, g.Visible = "at-least-once", "at once"
		g.Why = "the sink has no transactions; rows since the last checkpoint may repeat after a failure"
	}
	return g
}
