package run

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/flow/op"
	"github.com/tapeline/tapeline/internal/flow/plan"
)

// target is where rows go: a sink node and, for many-table streams, a table of it.
type target struct {
	node  *plan.Node
	table string
}

// schemaChange ends an attempt: rows came that the target's schema does not hold. The next attempt
// evolves the target after restoring the last checkpoint, so that no epoch has two schemas.
type schemaChange struct {
	target   target
	from, to *batch.Schema
}

// Error says what is new.
func (c *schemaChange) Error() string {
	var news []string
	for _, f := range c.to.Fields() {
		at := c.from.Index(f.Name)
		switch {
		case at < 0:
			news = append(news, fmt.Sprintf("column %s %s is new", f.Name, f.Type))
		case !f.Type.Equal(c.from.Field(at).Type):
			news = append(news, fmt.Sprintf("column %s is %s, was %s", f.Name, f.Type,
				c.from.Field(at).Type))
		}
	}
	return fmt.Sprintf("schema of %s changed: %s", c.target.node.ID, strings.Join(news, ", "))
}

// gate lets only rows of the target's schema through to one writer or worker, aligned to it.
type gate struct {
	workflow *Workflow
	node     *plan.Node
	last     map[string]*gateState // by table
}

type gateState struct {
	schema *batch.Schema // last seen
	align  op.Bound      // nil: schema is the target's
	refuse string        // why its rows are refused; "" lets them pass
}

// pass returns the chunk aligned to the target's schema, or the rows it refuses.
func (g *gate) pass(chunk connector.Chunk) (connector.Chunk, []deadRow, error) {
	state := g.last[chunk.Table]
	if state == nil || state.schema != chunk.Batch.Schema() {
		var err error
		if state, err = g.admit(chunk); err != nil {
			return chunk, nil, err
		}
		if g.last == nil {
			g.last = map[string]*gateState{}
		}
		g.last[chunk.Table] = state
	}
	switch {
	case state.refuse != "":
		rows := refuseAll(g.node, chunk.Batch, state.refuse)
		chunk.Batch = chunk.Batch.Select(nil)
		return chunk, rows, nil
	case state.align == nil:
		return chunk, nil, nil
	}
	var out op.Output
	if err := state.align.Apply(chunk.Batch, &out); err != nil {
		return chunk, nil, err
	}
	rows := deadRows(g.node, &out)
	if len(out.Parts) == 0 {
		chunk.Batch = chunk.Batch.Select(nil)
		return chunk, rows, nil
	}
	chunk.Batch = out.Parts[0].Batch
	return chunk, rows, nil
}

func refuseAll(n *plan.Node, b *batch.Batch, reason string) []deadRow {
	errs := make([]batch.RowError, b.Len())
	for i := range errs {
		errs[i] = batch.RowError{Row: b.Row(i), Reason: reason}
	}
	return deadErrors(n, b, errs)
}

// admit decides about a schema not seen before.
func (g *gate) admit(chunk connector.Chunk) (*gateState, error) {
	to := target{g.node, chunk.Table}
	schema := chunk.Batch.Schema()
	current := g.workflow.schemaOf(to, schema)
	state := &gateState{schema: schema}
	if schema.Equal(current) {
		return state, nil
	}
	if op.Fits(schema, current) {
		var err error
		state.align, err = op.Align(current).Bind(schema)
		return state, err
	}
	change := &schemaChange{target: to, from: current, to: schema}
	switch g.node.OnSchema {
	case plan.Halt:
		return nil, &connector.Error{
			Op: "write", Class: connector.Schema, Err: errors.New(change.Error()),
			Hint: "schema.on_change is halt; evolve and dead_letter are the other choices",
		}
	case plan.DeadLetterChanged:
		state.refuse = change.Error()
		return state, nil
	}
	return nil, change
}

// schemaOf returns the target's schema; the first rows fix it.
func (w *Workflow) schemaOf(to target, first *batch.Schema) *batch.Schema {
	w.mu.Lock()
	defer w.mu.Unlock()
	history := w.schemas[to]
	if len(history) == 0 {
		w.schemas[to] = []*batch.Schema{first}
		return first
	}
	return history[len(history)-1]
}

// evolve extends the target's schema by what the change brought.
func (w *Workflow) evolve(c *schemaChange) error {
	refuse := func(hint string) error {
		return nodeError(c.target.node, &connector.Error{
			Op: "evolve", Class: connector.Schema, Err: errors.New(c.Error()), Hint: hint,
		})
	}
	if !c.target.node.SinkSpec.SchemaEvolution {
		return refuse("this sink cannot follow: cast, drop or select columns before it, or set " +
			"schema.on_change: dead_letter")
	}
	merged, ok := op.Merge(c.from, c.to)
	if !ok {
		return refuse("the types have no common one: cast the column before the sink")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.schemas[c.target] = append(w.schemas[c.target], merged)
	return nil
}

// targetSchemas returns what each target holds now, for the manifest.
func (w *Workflow) targetSchemas() []targetSchema {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []targetSchema
	for to, history := range w.schemas {
		if s, ok := newTargetSchema(to, history[len(history)-1]); ok {
			out = append(out, s)
		}
	}
	return out
}

// restoreSchemas takes over what targets held at a checkpoint of an earlier process.
func (w *Workflow) restoreSchemas(saved []targetSchema) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range saved {
		schema, err := s.schema()
		if err != nil {
			return err
		}
		for n := range w.meters {
			if to := (target{n, s.Table}); n.ID == s.Node && w.schemas[to] == nil {
				w.schemas[to] = []*batch.Schema{schema}
				w.restored[to] = true
			}
		}
	}
	return nil
}

// evolveSink takes a sink through the changes of this process's earlier attempts; repeating them
// does no harm.
func (w *Workflow) evolveSink(ctx context.Context, n *plan.Node, sink connector.Sink) error {
	w.mu.Lock()
	var steps [][2]*batch.Schema
	for to, history := range w.schemas {
		if to.node != n {
			continue
		}
		if w.restored[to] {
			// The process before may have ended between merging and altering.
			steps = append(steps, [2]*batch.Schema{history[0], history[0]})
		}
		for i := 1; i < len(history); i++ {
			steps = append(steps, [2]*batch.Schema{history[i-1], history[i]})
		}
	}
	w.mu.Unlock()
	for _, step := range steps {
		evolver, ok := sink.(connector.SchemaEvolver)
		if !ok && step[0] == step[1] {
			continue
		}
		if !ok {
			return fmt.Errorf("evolve: the sink declares schema evolution and has none")
		}
		if err := evolver.Evolve(ctx, step[0], step[1]); err != nil {
			return fmt.Errorf("evolve: %w", err)
		}
	}
	return nil
}
