package run

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/drift"
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
	place    string // of the first row of the new schema; "" not known
}

// Error says what is new, and where it came from.
func (c *schemaChange) Error() string {
	if c.place == "" {
		return c.news()
	}
	return c.news() + ", first at " + c.place
}

func (c *schemaChange) news() string {
	var news []string
	for _, f := range c.to.Fields() {
		at := c.from.Index(f.Name)
		switch {
		case at < 0:
			news = append(news, fmt.Sprintf("column %s %s is new", f.Name, f.Type))
		case !f.Type.Equal(c.from.Field(at).Type):
			news = append(news, fmt.Sprintf("column %s is %s, was %s", f.Name, f.Type,
				c.from.Field(at).Type))
		case f.Nullable && !c.from.Field(at).Nullable:
			news = append(news, fmt.Sprintf("column %s may be NULL", f.Name))
		}
	}
	for _, f := range c.from.Fields() {
		if !f.Nullable && c.to.Index(f.Name) < 0 {
			news = append(news, fmt.Sprintf("column %s is missing and not nullable", f.Name))
		}
	}
	return fmt.Sprintf("schema of %s changed: %s", c.target.node.ID, strings.Join(news, ", "))
}

// gate lets only rows of the target's schema through to a sink, aligned to it. A target's schema is
// that of the rows that come first, so admit has to see schemas in the order of the rows.
// invariant: the first rows in order fix a target's schema
type gate struct {
	workflow *Workflow
	node     *plan.Node
	last     map[string]*gateState // by table
	turn     func() error          // waits until all rows before have been admitted; nil: they were
}

type gateState struct {
	schema *batch.Schema // last seen
	align  op.Bound      // nil: schema is the target's
	refuse string        // why its rows are refused; "" lets them pass
	// fresh are the columns that the target lacks where nothing else is refused: rows without a value
	// in any of them lose nothing and pass.
	fresh []int
}

// pass returns the chunk aligned to the target's schema, or the rows it refuses.
func (g *gate) pass(chunk connector.Chunk) (connector.Chunk, []deadRow, error) {
	state := g.last[chunk.Table]
	if state == nil || state.schema != chunk.Batch.Schema() {
		var err error
		if g.turn != nil {
			if err = g.turn(); err != nil {
				return chunk, nil, err
			}
		}
		if state, err = g.admit(chunk); err != nil {
			return chunk, nil, err
		}
		if g.last == nil {
			g.last = map[string]*gateState{}
		}
		g.last[chunk.Table] = state
	}
	var rows []deadRow
	if state.refuse != "" {
		var refused *batch.Batch
		chunk.Batch, refused = state.part(chunk.Batch)
		rows = refuseAll(g.node, refused, state.refuse)
	}
	if state.align == nil || chunk.Batch.Len() == 0 {
		return chunk, rows, nil
	}
	var out op.Output
	if err := state.align.Apply(chunk.Batch, &out); err != nil {
		return chunk, nil, err
	}
	rows = append(rows, deadRows(g.node, &out)...)
	if len(out.Parts) == 0 {
		chunk.Batch = chunk.Batch.Select(nil)
		return chunk, rows, nil
	}
	chunk.Batch = out.Parts[0].Batch
	return chunk, rows, nil
}

// part divides rows into those that the target holds, without its fresh columns, and the refused.
func (s *gateState) part(b *batch.Batch) (held, refused *batch.Batch) {
	if len(s.fresh) == 0 {
		return b.Select(nil), b
	}
	typed, valued := b, map[int]bool{}
	for _, at := range s.fresh {
		var bad []batch.RowError
		typed, bad = typed.Typed(at)
		for _, e := range bad {
			valued[e.Row] = true
		}
	}
	var without, with []int32
	for i := range b.Len() {
		row := b.Row(i)
		for _, at := range s.fresh {
			if valued[row] = valued[row] || !typed.Column(at).IsNull(row); valued[row] {
				break
			}
		}
		if valued[row] {
			with = append(with, int32(row))
		} else {
			without = append(without, int32(row))
		}
	}
	return withoutColumns(b, s.fresh).Select(without), b.Select(with)
}

func withoutColumns(b *batch.Batch, columns []int) *batch.Batch {
	var fields []batch.Field
	var kept []*batch.Column
	for i, f := range b.Schema().Fields() {
		if !slices.Contains(columns, i) {
			fields, kept = append(fields, f), append(kept, b.Column(i))
		}
	}
	return b.WithColumns(batch.NewSchema(fields...), kept)
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
	// A sink that cannot follow takes NULLs in any column, or refuses their rows by itself.
	fits := drift.Fits(schema, current)
	if fits && (!g.node.SinkSpec.SchemaEvolution || !drift.Loosens(schema, current)) {
		var err error
		state.align, err = op.Align(current).Bind(schema)
		return state, err
	}
	change := &schemaChange{target: to, from: current, to: schema}
	if b := chunk.Batch; b.Len() > 0 && b.Origin() != nil {
		change.place = b.Origin().At(b.Row(0)).String()
	}
	switch g.node.OnSchema {
	case plan.Halt:
		return nil, &connector.Error{
			Op: "write", Class: connector.Schema, Err: errors.New(change.Error()),
			Hint: "schema.on_change is halt; evolve and dead_letter are the other choices",
		}
	case plan.DeadLetterChanged:
		state.refuse = change.news()
		for i, f := range schema.Fields() {
			if current.Index(f.Name) < 0 {
				state.fresh = append(state.fresh, i)
			}
		}
		known := withoutColumns(chunk.Batch, state.fresh).Schema()
		if known.Len() == 0 || !drift.Fits(known, current) || drift.Loosens(known, current) {
			state.fresh = nil
			return state, nil
		}
		var err error
		state.align, err = op.Align(current).Bind(known)
		return state, err
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
	merged, ok := drift.Merge(c.from, c.to)
	if !ok {
		return refuse("the types have no common one: cast the column before the sink")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.schemas[c.target] = append(w.schemas[c.target], merged)
	w.change = c.Error()
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
	change := w.change
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
		switch err := evolver.Evolve(ctx, step[0], step[1]); {
		case err != nil && change != "":
			return fmt.Errorf("evolve, as the %s: %w", change, err)
		case err != nil:
			return fmt.Errorf("evolve: %w", err)
		}
	}
	return nil
}
