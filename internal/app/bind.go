package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/fault"
	"github.com/tapeline/tapeline/internal/flow/op"
	"github.com/tapeline/tapeline/internal/flow/plan"
	"github.com/tapeline/tapeline/internal/flow/spec"
	"github.com/tapeline/tapeline/internal/vfs"
)

// binding is what is known of a workflow's rows before it runs: the columns of each node, and its
// operators compiled for them.
type binding struct {
	parts    *Parts
	document *spec.Document
	nodes    map[string]*plan.Node
	remote   bool // may ask systems beside this machine's files
	known    map[string]*boundNode
	problems []spec.Problem
}

// boundNode is a node with the columns of the rows it yields.
type boundNode struct {
	schema      *batch.Schema // nil: known at the run
	unknown     string        // the source whose columns are not known, when schema is nil
	why         string        // of that source: why they are not
	expressions []op.Expression
}

// bind finds the columns of all nodes, as far as sources tell theirs before a run; with remote
// false only those that read files or nothing are asked. What does not fit is a problem.
func (p *Parts) bind(
	ctx context.Context, d *spec.Document, w *plan.Workflow, remote bool,
) *binding {
	b := &binding{
		parts: p, document: d, remote: remote,
		nodes: map[string]*plan.Node{}, known: map[string]*boundNode{},
	}
	for _, n := range w.Nodes {
		b.nodes[n.ID] = n
	}
	for _, n := range w.Nodes {
		b.node(ctx, n.ID)
	}
	return b
}

// node binds one node after those it reads.
func (b *binding) node(ctx context.Context, id string) *boundNode {
	if bound, ok := b.known[id]; ok {
		return bound
	}
	bound := &boundNode{unknown: id}
	b.known[id] = bound // a cycle, which is reported elsewhere, ends here
	n := b.nodes[id]
	switch {
	case n == nil:
	case n.Kind == plan.Source:
		bound.schema, bound.why = b.discover(ctx, n)
	case n.Kind == plan.Transformation && n.NewOperator != nil:
		b.operator(ctx, n, bound)
	default:
		*bound = *b.inputs(ctx, n)
	}
	return bound
}

// inputs returns what the node reads: unknown when an input is, or when they differ.
func (b *binding) inputs(ctx context.Context, n *plan.Node) *boundNode {
	out := &boundNode{}
	for _, in := range n.Inputs {
		from := b.node(ctx, in.Node)
		switch {
		case from.schema == nil:
			return &boundNode{unknown: from.unknown}
		case out.schema != nil && !out.schema.Equal(from.schema):
			return &boundNode{unknown: in.Node}
		}
		out.schema = from.schema
	}
	return out
}

// discover asks a source for its columns; nil and why when it cannot tell now.
func (b *binding) discover(ctx context.Context, n *plan.Node) (schema *batch.Schema, why string) {
	c, _ := b.parts.Connectors.Get(n.Type)
	declared := b.document.Node(n.ID)
	if declared == nil || n.NewSource == nil {
		return nil, ""
	}
	if declared.Incomplete() {
		return nil, "its settings are not all known here"
	}
	if outside := len(c.Schemes) > 0 && len(c.Suffixes) == 0; outside && !b.remote {
		// What needs no server, as declared columns, is told all the same.
		late, cancel := context.WithCancel(ctx)
		cancel()
		ctx = late
	}
	source, err := n.NewSource(connector.Env{
		Log: slog.New(slog.DiscardHandler), FS: vfs.OS{}, Node: n.ID,
	})
	if err != nil {
		return nil, err.Error()
	}
	defer source.Close()
	if discoverer, ok := source.(connector.Discoverer); ok {
		// A source that is not there yet is no fault of the document.
		if schema, err = discoverer.Discover(ctx); err != nil {
			return nil, err.Error()
		}
	}
	if schema != nil && schema.Len() > 0 {
		return schema, ""
	}
	why = "known only when it is read, and it takes no declared schema"
	if key(reflect.ValueOf(declared.Config), "schema.columns").IsValid() {
		why = "known only when it is read; declare them in config.schema.columns to have expressions checked before"
	}
	return nil, why
}

// operator binds an operator to the columns of each input.
func (b *binding) operator(ctx context.Context, n *plan.Node, bound *boundNode) {
	declared := b.document.Node(n.ID)
	env := op.Env{Node: n.ID, Interpret: n.Interpret, Context: ctx}
	if b.remote {
		env.Lookup = b.parts.lookup
	}
	operator, err := n.NewOperator(env)
	if err != nil {
		return // reported when the document was built
	}
	if c, ok := operator.(op.Closer); ok {
		defer c.Close()
	}
	for i, in := range n.Inputs {
		from := b.node(ctx, in.Node)
		if from.schema == nil {
			*bound = boundNode{unknown: from.unknown}
			return
		}
		compiled, err := operator.Bind(from.schema)
		if err != nil {
			if !errors.Is(err, op.ErrNoLookup) && fault.ClassOf(err) == fault.Unknown {
				b.problems = append(b.problems, configProblems(declared, "", err)...)
			}
			*bound = boundNode{unknown: n.ID}
			return
		}
		schema := from.schema
		if shaper, ok := compiled.(op.Shaper); ok {
			schema = shaper.Schema()
		}
		if i > 0 && !schema.Equal(bound.schema) {
			*bound = boundNode{unknown: n.ID, expressions: bound.expressions}
			return
		}
		bound.schema, bound.unknown = schema, ""
		if expressive, ok := compiled.(op.Expressive); ok && i == 0 {
			bound.expressions = expressive.Expressions()
		}
	}
}

// operations refuses nodes that upserts and deletes of a source would reach and that cannot take
// them.
func operations(d *spec.Document, w *plan.Workflow) []spec.Problem {
	nodes := map[string]*plan.Node{}
	for _, n := range w.Nodes {
		nodes[n.ID] = n
	}
	origin := map[string]string{} // node -> the source whose changes reach it, "" for none
	var reach func(id string) string
	reach = func(id string) string {
		n := nodes[id]
		source, seen := origin[id]
		if seen || n == nil {
			return source
		}
		origin[id] = ""
		if n.Kind == plan.Source && n.SourceSpec.Operations {
			origin[id] = id
		}
		for _, in := range n.Inputs {
			if from := reach(in.Node); from != "" {
				origin[id] = from
			}
		}
		return origin[id]
	}
	var problems []spec.Problem
	for _, n := range w.Nodes {
		source := reach(n.ID)
		declared := d.Node(n.ID)
		if source == "" || declared == nil {
			continue
		}
		switch {
		case n.RefusesOps:
			problem := declared.Problem("", -1, fmt.Sprintf("%s cannot take the upserts and deletes of %s", n.Type, source))
			problem.Hint = "it can stand only where all rows are inserts"
			problems = append(problems, problem)
		case n.Kind == plan.Destination && n.SinkSpec.Upsert && !n.KeyedUpserts:
			problem := declared.Problem("", -1, fmt.Sprintf("without a key the upserts and deletes of %s find no row", source))
			problem.Hint = "key: [id]"
			problems = append(problems, problem)
		}
	}
	return problems
}
