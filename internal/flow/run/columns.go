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
	schema *batch.Schema // nil: not known
}

// saw notes the columns that a source delivers, in case none of its rows reaches a sink.
func (w *Workflow) saw(source *plan.Node, schema *batch.Schema) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if before, ok := w.seen[source]; ok && before.schema.Equal(schema) {
		return
	}
	w.seen[source] = header{source.Table, schema}.with(w.seen[source])
}

// with adds the columns of another input of the same node, where they go together.
func (h header) with(other header) header {
	switch {
	case h.schema == nil:
		return header{other.table, other.schema}
	case other.schema == nil || h.schema == other.schema:
		return h
	}
	if merged, ok := drift.Merge(other.schema, h.schema); ok {
		h.schema = merged
	}
	return h
}

// writeHeader tells a sink that got no row in the whole run which columns there would have been, by
// a chunk without rows: its file or table shall come into being, or be replaced, all the same.
func (w *writer) writeHeader(ctx context.Context) error {
	h := w.task.attempt.workflow.headerOf(ctx, w.node.Inputs)
	if h.schema == nil {
		return nil
	}
	chunk := connector.Chunk{Table: h.table, Batch: noRows(h.schema)}
	if w.encoder != nil {
		var err error
		if chunk, err = w.encoder.NewEncode()(chunk); err != nil {
			return nodeError(w.node, err)
		}
	}
	return nodeError(w.node, w.call(ctx, chunk, []connector.Chunk{chunk}))
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
	known    map[plan.Input]header
}

// headerOf returns what the outputs deliver, by asking their sources and applying their operators to
// no rows. What cannot be found out is left out: it is no reason to fail a run.
func (w *Workflow) headerOf(ctx context.Context, outputs []plan.Input) header {
	known := &headers{w, map[plan.Input]header{}}
	return known.of(ctx, outputs)
}

func (k *headers) of(ctx context.Context, outputs []plan.Input) header {
	var h header
	for _, output := range outputs {
		found, ok := k.known[output]
		if !ok {
			found = k.output(ctx, output)
			k.known[output] = found
		}
		h = h.with(found)
	}
	return h
}

func (k *headers) output(ctx context.Context, output plan.Input) header {
	w := k.workflow
	at := slices.IndexFunc(w.plan.Workflow.Nodes, func(n *plan.Node) bool { return n.ID == output.Node })
	found, err := k.node(ctx, w.plan.Workflow.Nodes[at], output.Port)
	if err != nil {
		w.log.Info("columns are not known", "node", output.Node, "error", err)
	}
	return found
}

func (k *headers) node(ctx context.Context, n *plan.Node, port string) (header, error) {
	w := k.workflow
	if n.Kind == plan.Source {
		return w.headerOfSource(ctx, n)
	}
	before := k.of(ctx, n.Inputs)
	if before.schema == nil {
		return header{}, nil
	}
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

func (w *Workflow) headerOfSource(ctx context.Context, n *plan.Node) (header, error) {
	w.mu.Lock()
	seen, ok := w.seen[n]
	w.mu.Unlock()
	if ok {
		return seen, nil
	}
	source, err := n.NewSource(w.env(n, connector.NewBudget(connector.Limits{})))
	if err != nil {
		return header{}, err
	}
	var schema *batch.Schema
	if d, ok := source.(connector.Discoverer); ok {
		schema, err = d.Discover(ctx)
	}
	if err := errors.Join(err, source.Close()); err != nil {
		return header{}, err
	}
	if schema != nil && schema.Len() == 0 {
		schema = nil
	}
	return header{n.Table, schema}, nil
}
