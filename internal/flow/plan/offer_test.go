package plan

import (
	"strings"
	"testing"
)

// TestOffer: a source is offered the predicates of a filter that alone reads it.
func TestOffer(t *testing.T) {
	source := func(id string) *Node {
		n := node(id, Source)
		n.SourceSpec.Filters = true
		return n
	}
	filter := func(id string, inputs ...string) *Node {
		n := node(id, Transformation, inputs...)
		n.Narrows = true
		return n
	}
	changing, slow := source("s"), filter("f", "s")
	changing.SourceSpec.Operations = true
	slow.Interpret = true
	sink := func(inputs ...string) *Node { return node("d", Destination, inputs...) }
	for _, test := range []struct {
		name, offered, why string
		share              float64
		nodes              []*Node
	}{
		{"alone", "f", "", 0, []*Node{source("s"), filter("f", "s"), sink("f")}},
		{"first of two", "f", "", 0, []*Node{source("s"), filter("f", "s"), filter("g", "f"), sink("g")}},
		{"before an ordered node", "f", "", 0, []*Node{
			source("s"), filter("f", "s"), ordered(node("o", Transformation, "f")), sink("o"),
		}},
		{"behind another node", "", "", 0, []*Node{
			source("s"), node("c", Transformation, "s"), filter("f", "c"), sink("f"),
		}},
		{"behind an ordered node", "", "", 0, []*Node{
			source("s"), ordered(node("o", Transformation, "s")), filter("f", "o"), sink("f"),
		}},
		{"source that cannot", "", "", 0, []*Node{node("s", Source), filter("f", "s"), sink("f")}},
		{"fan-out", "", "other nodes read s too", 0, []*Node{
			source("s"), filter("f", "s"), sink("f", "s"),
		}},
		{"two filters", "", "other nodes read s too", 0, []*Node{
			source("s"), filter("f", "s"), filter("g", "s"), sink("f", "g"),
		}},
		{"union", "", "it reads other nodes too", 0, []*Node{
			source("s"), source("r"), filter("f", "s", "r"), sink("f"),
		}},
		{"changes", "", "s may deliver upserts and deletes", 0, []*Node{
			changing, filter("f", "s"), sink("f"),
		}},
		{"share of dead letters", "", "max_dead_letters is a share of the rows read", 0.1, []*Node{
			source("s"), filter("f", "s"), sink("f"),
		}},
		{"interpreted", "", "vectorized: false", 0, []*Node{source("s"), slow, sink("f")}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := &Workflow{Name: "w", Nodes: test.nodes}
			w.Execution.MaxDead = &DeadLimit{Count: 5, Share: test.share}
			p, err := New(w)
			if err != nil {
				t.Fatal(err)
			}
			var offered []string
			for _, s := range p.Stages {
				if s.Filter != nil {
					offered = append(offered, s.Filter.ID)
				}
			}
			if got := strings.Join(offered, " "); got != test.offered || p.Unoffered["f"] != test.why {
				t.Errorf("offered %q, else %q, want %q and %q", got, p.Unoffered["f"], test.offered, test.why)
			}
		})
	}
}
