package plan

import "slices"

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
	decided := false
	for _, s := range slices.Backward(p.Stages) {

		if s.Sink == nil {
			continue
		}
		g := guarantee(s, decided)
		decided = decided || s.Sink.SinkSpec.Decides
		out = append([]Guarantee{g}, out...)
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

// guarantee: the last stage with a deciding sink decides, as the engine opens sinks from the end.
func guarantee(s *Stage, decided bool) Guarantee {
	n := s.Sink
	g := Guarantee{Sink: n.ID}
	switch spec := n.SinkSpec; {
	case spec.Decides && !decided:
		g.Level, g.Visible = "exactly-once", "at each checkpoint"
		g.Why = "the checkpoint is committed in the data's own transaction"
	case spec.Decides && n.KeyedUpserts:
		g.Level, g.Visible = "effectively-once", "at each checkpoint"
		g.Why = "another sink decides the checkpoint; repeated rows replace themselves by key"
	case spec.Decides:
		g.Level, g.Visible = "at-least-once", "at each checkpoint"
		g.Why = "another sink decides the checkpoint; after a crash in between rows are repeated"
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
