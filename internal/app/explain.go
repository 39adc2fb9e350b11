package app

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/tapeline/tapeline/internal/flow/plan"
	"github.com/tapeline/tapeline/internal/flow/spec"
)

// Explanation is a plan for people and programs.
type Explanation struct {
	Workflow   string           `json:"workflow"`
	Checkpoint string           `json:"checkpoint_interval"`
	Restart    string           `json:"restart_strategy"`
	Stages     []ExplainedStage `json:"stages"`
	Sinks      []plan.Guarantee `json:"guarantees"`
	Blocked    []string         `json:"blocked,omitempty"` // why it cannot run in this binary
	edges      []ExplainedEdge
}

// ExplainedStage is one fused chain.
type ExplainedStage struct {
	ID      string          `json:"id"`
	Workers int             `json:"workers"`
	Writers int             `json:"writers,omitempty"`
	Nodes   []ExplainedNode `json:"nodes"`
	Feeds   []string        `json:"feeds,omitempty"` // stages behind it
}

// ExplainedNode is one node of a chain.
type ExplainedNode struct {
	ID   string `json:"id"`
	Type string `json:"type"`
	Kind string `json:"kind"`
	Runs string `json:"runs"` // reader, parallel, in order, writer
	// Columns are those of the rows it yields, or is given when it is a destination; absent when they
	// are known at the run only.
	Columns []PreviewColumn `json:"columns,omitempty"`
	// Unknown says of a source why they are not known.
	Unknown     string                `json:"columns_unknown,omitempty"`
	Expressions []ExplainedExpression `json:"expressions,omitempty"`
	// Pushed and Unpushed are the parts of a filter's condition that the source before it applies, or
	// does not; the filter applies all of them.
	Pushed   []string            `json:"pushed_down,omitempty"`
	Unpushed []UnpushedCondition `json:"not_pushed_down,omitempty"`
}

// UnpushedCondition is a part of a filter's condition that the source does not apply.
type UnpushedCondition struct {
	Condition string `json:"condition"`
	Reason    string `json:"reason"`
}

// ExplainedExpression is one expression and how it runs.
type ExplainedExpression struct {
	Key    string   `json:"key"` // config key it stands at
	Source string   `json:"source"`
	Form   Form     `json:"form"`
	Reason string   `json:"reason,omitempty"` // why not over columns, or why it is not known
	Type   string   `json:"type,omitempty"`   // of its value
	Reads  []string `json:"reads"`
}

// Form is how an expression is evaluated.
type Form string

// The forms of expressions.
const (
	Vectorised Form = "vectorised"
	Mixed      Form = "partly row by row" // parts of it have no column form
	RowByRow   Form = "row by row"
	Unknown    Form = "unknown until run"
)

// ExplainedEdge is one input of a node.
type ExplainedEdge struct{ From, Port, To string }

const discoverTimeout = 2 * time.Second // for the columns of all sources together

// Check builds a document and binds it to the columns that its files and generators have now.
func (p *Parts) Check(ctx context.Context, d *spec.Document) []spec.Problem {
	w, problems := p.Build(d)
	ctx, cancel := context.WithTimeout(ctx, discoverTimeout)
	defer cancel()
	return append(problems, p.bind(ctx, d, w, false).problems...)
}

// Explain plans a document without running it. Sources are asked for their columns, so that it can
// say how each expression runs.
func (p *Parts) Explain(ctx context.Context, d *spec.Document) (*Explanation, []spec.Problem) {
	w, problems := p.Build(d)
	if spec.Failed(problems) {
		return nil, problems
	}
	x := &Explanation{
		Workflow: d.Name, Checkpoint: d.Execution.CheckpointInterval.String(),
		Restart: d.Execution.RestartStrategy.Type,
	}
	for _, b := range d.Blocked {
		x.Blocked = append(x.Blocked, b.Message)
	}
	p.addPlaceholders(d, w)
	planned, err := plan.New(w)
	if err != nil {
		return nil, append(problems, spec.Problem{
			File: d.File(), Severity: spec.Error, Message: err.Error(),
		})
	}
	ctx, cancel := context.WithTimeout(ctx, discoverTimeout)
	defer cancel()
	bound := p.bind(ctx, d, w, true)
	if problems = append(problems, bound.problems...); spec.Failed(problems) {
		return nil, problems
	}
	for _, s := range planned.Stages {
		stage := explainStage(s, bound)
		for i := range stage.Nodes {
			p.explainPushdown(ctx, planned, s, &stage.Nodes[i])
		}
		x.Stages = append(x.Stages, stage)
	}
	x.Sinks = planned.Guarantees()
	for _, n := range w.Nodes {
		for _, in := range n.Inputs {
			x.edges = append(x.edges, ExplainedEdge{in.Node, in.Port, n.ID})
		}
	}
	return x, problems
}

// addPlaceholders adds the nodes this binary has no connector for, so that the plan can be shown.
func (p *Parts) addPlaceholders(d *spec.Document, w *plan.Workflow) {
	for _, n := range d.Nodes() {
		if n.Config != nil {
			continue
		}
		node := &plan.Node{ID: n.ID, Type: n.Type, Parallelism: n.Parallelism}
		switch n.Kind {
		case spec.Transformation:
			node.Kind = plan.Transformation
		case spec.Destination:
			node.Kind = plan.Destination
		}
		for _, in := range n.Inputs {
			node.Inputs = append(node.Inputs, plan.Input{Node: in.Node, Port: in.Port})
		}
		w.Nodes = append(w.Nodes, node)
	}
}

func explainStage(s *plan.Stage, bound *binding) ExplainedStage {
	stage := ExplainedStage{ID: s.ID, Workers: s.Workers}
	if s.Sink != nil {
		stage.Writers = s.Writers
	}
	for _, e := range s.Outputs {
		stage.Feeds = append(stage.Feeds, e.To.ID)
	}
	for _, n := range s.Nodes() {
		node := ExplainedNode{ID: n.ID, Type: n.Type, Kind: n.Kind.String(), Runs: "parallel"}
		switch {
		case n.Kind == plan.Source:
			node.Runs = "reader"
		case n.Kind == plan.Destination:
			node.Runs = "writer"
		case n.Ordered:
			node.Runs = "in order"
		}
		if schema := bound.known[n.ID].schema; schema != nil {
			node.Columns = columnsOf(schema)
		}
		node.Unknown = bound.known[n.ID].why
		node.Expressions = bound.expressions(n)
		stage.Nodes = append(stage.Nodes, node)
	}
	return stage
}

// Text returns the explanation as lines.
func (x *Explanation) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "workflow %s: checkpoints every %s, restart %s\n", x.Workflow, x.Checkpoint, x.Restart)
	for _, s := range x.Stages {
		fmt.Fprintf(&b, "\nstage %s, %d workers", s.ID, s.Workers)
		if s.Writers > 1 {
			fmt.Fprintf(&b, ", %d writers", s.Writers)
		}
		if len(s.Feeds) > 0 {
			fmt.Fprintf(&b, ", feeds %s", strings.Join(s.Feeds, ", "))
		}
		b.WriteString("\n")
		for _, n := range s.Nodes {
			fmt.Fprintf(&b, "  %-24s %-14s %s\n", n.ID, n.Type, n.Runs)
			if n.Unknown != "" {
				fmt.Fprintf(&b, "    columns: %s\n", n.Unknown)
			}
			for _, e := range n.Expressions {
				fmt.Fprintf(&b, "    %s\n", e)
			}
			for _, condition := range n.Pushed {
				fmt.Fprintf(&b, "    pushed down: %s\n", condition)
			}
			for _, u := range n.Unpushed {
				fmt.Fprintf(&b, "    not pushed down: %s  [%s]\n", u.Condition, u.Reason)
			}
		}
	}
	b.WriteString("\nguarantees\n")
	for _, g := range x.Sinks {
		fmt.Fprintf(&b, "  %-24s %s: %s; rows are visible %s\n", g.Sink, g.Level, g.Why, g.Visible)
	}
	for _, why := range x.Blocked {
		fmt.Fprintf(&b, "\ncannot run here: %s\n", why)
	}
	return b.String()
}

// Mermaid returns the graph as a Mermaid flow chart with a box per stage.
func (x *Explanation) Mermaid() string {
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	for i, s := range x.Stages {
		fmt.Fprintf(&b, "  subgraph stage%d[\"%s, %d workers\"]\n", i, s.ID, s.Workers)
		for _, n := range s.Nodes {
			fmt.Fprintf(&b, "    %s[\"%s<br/>%s\"]\n", mermaidID(n.ID), n.ID, n.Type)
		}
		b.WriteString("  end\n")
	}
	for _, e := range x.edges {
		label := ""
		if e.Port != "" {
			label = "|" + e.Port + "|"
		}
		fmt.Fprintf(&b, "  %s -->%s %s\n", mermaidID(e.From), label, mermaidID(e.To))
	}
	return b.String()
}

func mermaidID(id string) string { return "n_" + strings.ReplaceAll(id, "-", "_") }
