package run

import (
	"context"
	"errors"
	"slices"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/drift"
	"github.com/tapeline/tapeline/internal/flow/op"
	"github.com/tapeline/tapeline/internal/flow/plan"
)

// header is what would have come before the first row: the table's name and the columns.
type header struct {
	table  string
	schema *batch.Schema // nil: nothing is delivered
}

// tables are headers with different names.
type tables []header

// saw notes the columns of a table that a source delivers, in case none of its rows reaches a sink.
func (w *Workflow) saw(source *plan.Node, h header) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen[source] = w.seen[source].with(h)
}

// with adds the columns of another input of the same node, where they go together.
func (t tables) with(h header) tables {
	if h.schema == nil {
		return t
	}
	at := slices.IndexFunc(t, func(other header) bool { return other.table == h.table })
	if at < 0 {
		return append(t, h)
	}
	if other := t[at].schema; !other.Equal(h.schema) {
		if merged, ok := drift.Merge(other, h.schema); ok {
			t[at].schema = merged
		} else {
			t[at].schema = h.schema
		}
	}
	return t
}

// writeHeader tells a sink that got no row in the whole run which columns there would have been, by
// a chunk without rows: its file or table shall come into being, or be replaced, all the same.
func (w *writer) writeHeader(ctx context.Context) error {
	for _, h := range w.task.attempt.workflow.headerOf(ctx, w.node.Inputs) {
		chunk := connector.Chunk{Table: h.table, Batch: noRows(h.schema)}
		if w.encoder != nil {
			var err error
			if chunk, err = w.encoder.NewEncode()(chunk); err != nil {
				return nodeError(w.node, err)
			}
		}
		if err := w.call(ctx, chunk, []connector.Chunk{chunk}); err != nil {
			return nodeError(w.node, err)
		}
	}
	return nil
}

func noRows(schema *batch.Schema) *batch.Batch {
	columns := make([]*batch.Column, schema.Len())
	for i, f := range schema.Fields() {
		columns[i] = batch.NullColumn(f.Type, 0)
	}
	return batch.New(schema, columns, 0)
}

// headers are what outputs deliver, each found out once: their paths to the sources may be many.
type headers struct {
	workflow *Workflow
	known    map[plan.Input]tables
}

// headerOf returns what the outputs deliver, by asking their sources and applying their operators to
// no rows. What cannot be found out is left out: it is no reason to fail a run.
func (w *Workflow) headerOf(ctx context.Context, outputs []plan.Input) tables {
	known := &headers{w, map[plan.Input]tables{}}
	return known.of(ctx, outputs)
}

func (k *headers) of(ctx context.Context, outputs []plan.Input) tables {
	var all tables
	for _, output := range outputs {
		found, ok := k.known[output]
		if !ok {
			found = k.output(ctx, output)
			k.known[output] = found
		}
		for _, h := range found {
			all = all.with(h)
		}
	}
	return all
}

func (k *headers) output(ctx context.Context, output plan.Input) tables {
	w := k.workflow
	at := slices.IndexFunc(w.plan.Workflow.Nodes, func(n *plan.Node) bool { return n.ID == output.Node })
	found, err := k.node(ctx, w.plan.Workflow.Nodes[at], output.Port)
	if err != nil {
		w.log.Info("columns are not known", "node", output.Node, "error", err)
	}
	return found
}

func (k *headers) node(ctx context.Context, n *plan.Node, port string) (tables, error) {
	if n.Kind == plan.Source {
		return k.workflow.headerOfSource(ctx, n)
	}
	var all tables
	for _, before := range k.of(ctx, n.Inputs) {
		h, err := k.applied(ctx, n, port, before)
		if err != nil {
			return nil, err
		}
		all = all.with(h)
	}
	return all, nil
}

// applied returns what a node makes of a table without rows.
func (k *headers) applied(ctx context.Context, n *plan.Node, port string, before header) (header, error) {
	w := k.workflow
	operator, err := n.NewOperator(w.operatorEnv(ctx, n))
	if err != nil {
		return header{}, err
	}
	defer w.retire(n, operator)
	bound, err := operator.Bind(before.schema)
	if err != nil {
		return header{}, err
	}
	out := op.Output{Empty: true}
	if err := bound.Apply(noRows(before.schema), &out); err != nil {
		return header{}, err
	}
	for _, part := range out.Parts {
		if n.Ports == nil || n.Ports[part.Port] == port {
			return header{before.table, part.Batch.Schema()}, nil
		}
	}
	return header{}, nil
}

func (w *Workflow) headerOfSource(ctx context.Context, n *plan.Node) (tables, error) {
	w.mu.Lock()
	seen := slices.Clone(w.seen[n])
	w.mu.Unlock()
	if len(seen) > 0 {
		return seen, nil
	}
	source, err := n.NewSource(w.env(n, connector.NewBudget(connector.Limits{})))
	if err != nil {
		return nil, err
	}
	var schema *batch.Schema
	if d, ok := source.(connector.Discoverer); ok {
		schema, err = d.Discover(ctx)
	}
	if err := errors.Join(err, source.Close()); err != nil {
		return nil, err
	}
	if schema == nil || schema.Len() == 0 {
		return nil, nil
	}
	return tables{{n.Table, schema}}, nil
}
