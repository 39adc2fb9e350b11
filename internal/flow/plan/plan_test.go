package plan

import (
	"slices"
	"strings"
	"testing"
)

func node(id string, kind Kind, inputs ...string) *Node {
	n := &Node{ID: id, Kind: kind}
	for _, in := range inputs {
		name, port, _ := strings.Cut(in, ".")
		n.Inputs = append(n.Inputs, Input{Node: name, Port: port})
	}
	return n
}

// stages writes a plan as "a+b+c, d>" with > on stages that feed others.
func stages(t *testing.T, nodes ...*Node) string {
	t.Helper()
	p, err := New(&Workflow{Name: "w", Nodes: nodes, Execution: Execution{Parallelism: 2}})
	if err != nil {
		return err.Error()
	}
	var out []string
	seen := map[string]int{}
	for _, s := range p.Stages {
		var ids []string
		for _, n := range s.Nodes() {
			ids = append(ids, n.ID)
			seen[n.ID]++
		}
		text := strings.Join(ids, "+")
		var textSb34 strings.Builder
		for _, e := range s.Outputs {
			textSb34.WriteString(">" + e.To.ID)
		}
		text += textSb34.String()
		out = append(out, text)
	}
	for _, n := range nodes {
		if seen[n.ID] != 1 {
			t.Errorf("node %s is in %d stages", n.ID, seen[n.ID])
		}
	}
	return strings.Join(out, ", ")
}

func ordered(n *Node) *Node {
	n.Ordered = true
	return n
}

func ports(n *Node, names ...string) *Node {
	n.Ports = names
	return n
}

// invariant: every node belongs to exactly one stage
func TestStages(t *testing.T) {
	for _, c := range []struct {
		name  string
		nodes []*Node
		want  string
	}{
		{"linear chains fuse", []*Node{
			node("a", Source), node("f", Transformation, "a"), node("g", Transformation, "f"),
			node("out", Destination, "g"),
		}, "a+f+g+out"},
		{"a branch cuts", []*Node{
			node("a", Source), node("x", Destination, "a"), node("y", Destination, "a"),
		}, "a>x>y, x, y"},
		{"a join cuts", []*Node{
			node("a", Source), node("b", Source), node("u", Transformation, "a", "b"),
			node("out", Destination, "u"),
		}, "a>u, b>u, u+out"},
		{"an ordered operator ends the parallel part", []*Node{
			node("a", Source), node("f", Transformation, "a"),
			ordered(node("limit", Transformation, "f")), ordered(node("dedupe", Transformation, "limit")),
			node("g", Transformation, "dedupe"), node("out", Destination, "g"),
		}, "a+f+limit+dedupe>g, g+out"},
		{"ports cut", []*Node{
			node("a", Source), ports(node("r", Transformation, "a"), "p", "q"),
			node("x", Destination, "r.p"), node("y", Destination, "r.q"),
		}, "a+r>x>y, x, y"},
		{"nodes may come in any order", []*Node{
			node("out", Destination, "f"), node("f", Transformation, "a"), node("a", Source),
		}, "a+f+out"},
		{"cycle", []*Node{
			node("a", Source), node("f", Transformation, "a", "g"), node("g", Transformation, "f"),
		}, "plan w: node f is part of a cycle"},
		{"unknown port", []*Node{
			node("a", Source), ports(node("r", Transformation, "a"), "p"), node("x", Destination, "r.z"),
		}, `plan w: r has no output "z" (it has ["p"])`},
		{
			"unknown input",
			[]*Node{node("x", Destination, "nowhere")},
			"plan w: input nowhere of x is no source or transformation",
		},
		{"twice", []*Node{node("a", Source), node("a", Source)}, "plan w: node a is declared twice"},
	} {
		if got := stages(t, c.nodes...); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestGuaranteesNameTheWeakestLink(t *testing.T) {
	source := node("a", Source)
	source.SourceSpec.Resumable = true
	deciding := node("pg", Destination, "a")
	deciding.SinkSpec.Transactions, deciding.SinkSpec.Decides = true, true
	second := node("pg2", Destination, "a")
	second.SinkSpec = deciding.SinkSpec
	file := node("file", Destination, "a")
	file.SinkSpec.Transactions = true
	plain := node("http", Destination, "a")
	several := node("pg3", Destination, "a")
	several.SinkSpec, several.Parallelism = deciding.SinkSpec, 2
	several.SinkSpec.Parallel = true
	guarantees := func() []string {
		p, err := New(&Workflow{
			Name: "w", Nodes: []*Node{source, deciding, second, file, plain, several},
		})
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, g := range p.Guarantees() {
			by, _, _ := strings.Cut(g.Why, ";")
			if g.Sink == "file" || g.Sink == "http" {
				by = g.Visible
			}
			out = append(out, g.Sink+" "+g.Level+", "+by)
		}
		return out
	}
	want := []string{
		"pg exactly-once, sink pg2 decides the checkpoint",
		"pg2 exactly-once, the checkpoint is committed in the data's own transaction",
		"file exactly-once, when the run ends", "http at-least-once, at once",
		"pg3 exactly-once, sink pg2 decides the checkpoint",
	}
	if got := guarantees(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	source.SourceSpec.Resumable = false
	for _, level := range guarantees() {
		if !strings.Contains(level, " at-least-once, ") {
			t.Errorf("a source that starts over gives %s", level)
		}
	}
}
