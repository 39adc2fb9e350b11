package spec

import (
	"fmt"
	"slices"
	"strings"
)

// graph is the nodes of a document by id, for the checks of inputs and cycles.
type graph struct {
	document *Document
	byID     map[string]*Node
	typed    bool // ports are known
	broken   bool // an input leads nowhere
}

// checkGraph reports what is wrong with ids, inputs and connections.
func (d *Document) checkGraph(typed bool) {
	g := &graph{document: d, byID: map[string]*Node{}, typed: typed}
	for _, n := range d.Nodes() {
		switch first, ok := g.byID[n.ID]; {
		case n.ID == deadLetterID:
			d.report.errorf(n.Pos, n.path(), "the id dead_letter is reserved")
		case ok:
			d.report.errorf(n.Pos, n.path(), "id %s is already a %s", n.ID, first.Kind.Noun())
			continue
		}
		g.byID[n.ID] = n
	}
	for _, section := range []struct {
		key   NodeKind
		nodes []*Node
	}{{Source, d.Sources}, {Destination, d.Destinations}} {
		v := d.root.Get(string(section.key))
		if v != nil && v.Kind == KindMap && len(section.nodes) == 0 {
			d.report.errorf(v.Pos, string(section.key), "the workflow has no %s", section.key.Noun())
		}
	}
	for _, n := range d.Nodes() {
		g.checkInputs(n)
	}
	g.checkCycles()
	if !g.broken {
		g.checkUse()
	}
}

func (g *graph) checkInputs(n *Node) {
	r := g.document.report
	path := n.path() + ".inputs"
	if n.Kind == Source {
		if len(n.Inputs) > 0 {
			r.errorf(n.Inputs[0].Pos, path, "a source has no inputs")
		}
		return
	}
	g.broken = g.broken || len(n.Inputs) == 0
	if len(n.Inputs) == 0 && !reported(n.Value.Get("inputs")) {
		hint := "inputs: [...]"
		if len(g.document.Sources) == 1 {
			hint = "inputs: [" + g.document.Sources[0].ID + "]"
		}
		r.errorf(n.Pos, n.path(), "%s %s has no inputs", n.Kind.Noun(), n.ID).Hint = hint
	}
	if limit := n.declared.MaxInputs; limit > 0 && len(n.Inputs) > limit {
		r.errorf(n.Inputs[limit].Pos, path, "type %s takes at most %d inputs", n.Type, limit).Hint = "unite them first with a node of type union"
	}
	seen := map[string]bool{}
	for _, in := range n.Inputs {
		if seen[in.String()] {
			r.warnf(in.Pos, path, "input %s is named twice; its rows come twice", in)
		}
		seen[in.String()] = true
		g.checkInput(n, in, path)
	}
}

// reported says that a key is there with a value that was already found wrong.
func reported(v *Value) bool { return v != nil && (v.Kind == KindMap || v.missing) }

func (g *graph) checkInput(n *Node, in Input, path string) {
	r := g.document.report
	from := g.byID[in.Node]
	switch {
	case from == nil:
		g.broken = true
		var known []string
		for _, other := range g.document.Nodes() {
			if other.Kind != Destination && other != n {
				known = append(known, other.ID)
			}
		}
		r.errorf(in.Pos, path, "no node has the id %q", in.Node).Hint = didYouMean(in.Node, known)
	case from.Kind == Destination:
		g.broken = true
		r.errorf(in.Pos, path, "%s is a destination and yields no rows", in.Node)
	case from.Config != nil && g.typed:
		g.checkPort(from, in, path)
	}
}

func (g *graph) checkPort(from *Node, in Input, path string) {
	r := g.document.report
	if from.declared.Ports == nil {
		if in.Port != "" {
			r.errorf(in.Pos, path, "%s (type %s) has no ports", from.ID, from.Type).Hint = "write " + from.ID
		}
		return
	}
	ports := from.declared.Ports(from.Config)
	if slices.Contains(ports, in.Port) {
		return
	}
	if in.Port == "" {
		r.errorf(in.Pos, path, "%s has several outputs", from.ID).Hint = "name one: " + from.ID + "." + strings.Join(ports, ", "+from.ID+".")
		return
	}
	r.errorf(in.Pos, path, "%s has no port %q", from.ID, in.Port).Hint = didYouMean(in.Port, ports)
}

// checkCycles reports each cycle once, with the way around it.
func (g *graph) checkCycles() {
	const (
		open = iota + 1
		done
	)
	state := map[*Node]int{}
	var stack []*Node
	var visit func(n *Node)
	visit = func(n *Node) {
		state[n] = open
		stack = append(stack, n)
		for _, in := range n.Inputs {
			from := g.byID[in.Node]
			switch {
			case from == nil || from.Kind == Destination:
			case state[from] == open:
				g.document.report.errorf(in.Pos, n.path()+".inputs", "the workflow has a cycle: %s",
					circle(stack[slices.Index(stack, from):]))
			case state[from] == 0:
				visit(from)
			}
		}
		stack = stack[:len(stack)-1]
		state[n] = done
	}
	for _, n := range g.document.Nodes() {
		if state[n] == 0 {
			visit(n)
		}
	}
}

// circle writes the nodes in the direction rows take.
func circle(nodes []*Node) string {
	names := []string{nodes[0].ID}
	for _, n := range slices.Backward(nodes) {
		names = append(names, n.ID)
	}
	return strings.Join(names, " -> ")
}

// checkUse warns of nodes whose rows reach no destination.
func (g *graph) checkUse() {
	used := map[*Node]bool{}
	var mark func(n *Node)
	mark = func(n *Node) {
		if n == nil || used[n] {
			return
		}
		used[n] = true
		for _, in := range n.Inputs {
			mark(g.byID[in.Node])
		}
	}
	for _, n := range g.document.Destinations {
		mark(n)
	}
	for _, n := range g.document.Nodes() {
		if !used[n] && n.Kind != Destination && g.byID[n.ID] == n {
			g.document.report.warnf(n.Pos, n.path(), "no destination reads the rows of %s", n.ID)
		}
	}
}

// checkTests holds the nodes that tests name to the document.
func (d *Document) checkTests() {
	seen := map[string]bool{}
	for i, test := range d.Tests {
		path := fmt.Sprintf("tests[%d]", i)
		if test.Value == nil {
			continue
		}
		if seen[test.Name] && test.Name != "" {
			d.report.errorf(test.Value.Pos, path, "a second test named %q", test.Name)
		}
		seen[test.Name] = true
		d.checkTestNodes(test.Value.Get("given"), path+".given", false)
		d.checkTestNodes(test.Value.Get("expect"), path+".expect", true)
	}
}

func (d *Document) checkTestNodes(v *Value, path string, expected bool) {
	if v == nil {
		return
	}
	var known []string
	for _, n := range d.Nodes() {
		known = append(known, n.ID)
	}
	if expected {
		known = append(known, deadLetterID)
	}
	for _, pair := range v.Pairs {
		id, port, _ := strings.Cut(pair.Key, ".")
		if !slices.Contains(known, id) {
			d.report.errorf(pair.KeyPos, path, "no node has the id %q", id).Hint = didYouMean(id, known)
			continue
		}
		n := d.Node(id)
		if port == "" || n == nil || n.Config == nil {
			continue
		}
		if n.declared.Ports == nil || !slices.Contains(n.declared.Ports(n.Config), port) {
			d.report.errorf(pair.KeyPos, path, "%s has no port %q", id, port)
		}
	}
}
