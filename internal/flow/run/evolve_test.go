package run

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/fault"
	"github.com/tapeline/tapeline/internal/flow/plan"
)

var wideSchema = batch.NewSchema(
	batch.Field{Name: "n", Type: batch.Of(batch.Int64)},
	batch.Field{Name: "note", Type: batch.Of(batch.String), Nullable: true},
)

// growing delivers a second column from row 500 on.
type growing struct{ counter }

func (s *growing) Read(ctx context.Context) (connector.Chunk, error) {
	chunk, err := s.counter.Read(ctx)
	if err == nil && s.next > 500 {
		b := chunk.Batch
		notes := batch.NewAppender(batch.Of(batch.String))
		for i := range b.Rows() {
			if i%2 == 0 {
				notes.Text("seen")
			} else {
				notes.Null()
			}
		}
		chunk.Batch = b.WithColumns(wideSchema, []*batch.Column{b.Column(0), notes.Column()}).
			WithOrigin(&batch.Origin{Name: "later.csv"})
	}
	return chunk, err
}

// evolvingSink refuses rows of a schema it did not evolve to.
type evolvingSink struct {
	decidingSink
	columns *int // of the table
}

func (s *evolvingSink) Write(ctx context.Context, c connector.Chunk) error {
	if got := c.Batch.Schema().Len(); got != *s.columns {
		return errors.New("rows have another shape than the table")
	}
	return s.decidingSink.Write(ctx, c)
}

func (s *evolvingSink) Evolve(_ context.Context, _, to *batch.Schema) error {
	*s.columns = to.Len()
	return nil
}

func growingWorkflow(rows *table, columns *int, reaction plan.SchemaChange, evolves bool) *plan.Workflow {
	source := sourceNode("in", nil)
	source.NewSource = func(connector.Env) (connector.Source, error) {
		return &growing{counter{to: 1000, step: 10}}, nil
	}
	sink := sinkNode("out", func() connector.Sink {
		return &evolvingSink{decidingSink{tableSink{table: rows}}, columns}
	}, "in")
	sink.OnSchema, sink.OnError = reaction, plan.DeadLetter
	sink.SinkSpec.SchemaEvolution = evolves
	return &plan.Workflow{
		Name: "grow", Execution: plan.Execution{CheckpointInterval: time.Millisecond},
		Nodes: []*plan.Node{source, sink},
	}
}

func TestEvolveFollowsANewColumn(t *testing.T) {
	b, rows, columns := newBed(t), newTable(), 1
	report, err := b.run(t, growingWorkflow(rows, &columns, plan.Evolve, true), Options{})
	if err != nil || columns != 2 || report.Restarts != 0 {
		t.Fatalf("error %v, %d columns, report %+v", err, columns, report)
	}
	if !slices.Equal(rows.committed, numbers(0, 1000)) {
		t.Errorf("%d rows", len(rows.committed))
	}
}

func TestEvolveIsRefusedWhereTheSinkCannot(t *testing.T) {
	b, columns := newBed(t), 1
	_, err := b.run(t, growingWorkflow(newTable(), &columns, plan.Evolve, false), Options{})
	if fault.ClassOf(err) != connector.Schema || !strings.Contains(err.Error(), "column note string is new") {
		t.Errorf("error %v", err)
	}
}

func TestSchemaChangeHaltsOrGoesToTheDeadLetters(t *testing.T) {
	b, columns := newBed(t), 1
	_, err := b.run(t, growingWorkflow(newTable(), &columns, plan.Halt, true), Options{})
	if fault.ClassOf(err) != connector.Schema || !strings.Contains(err.Error(), "note string is new, first at later.csv") {
		t.Errorf("halt: error %v", err)
	}
	b, rows := newBed(t), newTable()
	w := growingWorkflow(rows, &columns, plan.DeadLetterChanged, true)
	report, err := b.run(t, w, Options{})
	// A row without a note loses nothing.
	if err != nil || report.DeadLetters != 250 || len(rows.committed) != 750 {
		t.Errorf("dead letter: error %v, report %+v, %d rows", err, report, len(rows.committed))
	}
}

// chunkOf is one row of NULLs.
func chunkOf(fields ...batch.Field) connector.Chunk {
	columns := make([]*batch.Column, len(fields))
	for i, f := range fields {
		columns[i] = batch.NullColumn(f.Type, 1)
	}
	return connector.Chunk{Batch: batch.New(batch.NewSchema(fields...), columns, 1)}
}

// TestFirstRowsInOrderFixTheSchema: a worker that is done with the second chunk before another is with
// the first waits for it.
// invariant: the first rows in order fix a target's schema
func TestFirstRowsInOrderFixTheSchema(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := batch.Field{Name: "a", Type: batch.Of(batch.Int64), Nullable: true}
		b := batch.Field{Name: "b", Type: batch.Of(batch.Int64), Nullable: true}
		node := sinkNode("out", func() connector.Sink { return nil }, "in")
		node.OnSchema = plan.Halt
		w := newWorkflow(NewCluster(Config{Log: slog.New(slog.DiscardHandler)}), &plan.Plan{Workflow: &plan.Workflow{}}, Options{})
		jobs := [3]turn{}
		for i := range jobs {
			jobs[i].ready = make(chan struct{})
			if i > 0 {
				jobs[i].before.Store(&jobs[i-1])
			}
		}
		pass := func(j *turn, fields ...batch.Field) error {
			g := gate{workflow: w, node: node, turn: func() error { return j.wait(t.Context()) }}
			_, _, err := g.pass(chunkOf(fields...))
			return err
		}
		last := make(chan error, 1)
		go func() { last <- pass(&jobs[2], a, b) }()
		close(jobs[1].ready) // it had no rows for the sink
		synctest.Wait()
		if err := pass(&jobs[0], a); err != nil {
			t.Error(err)
		}
		close(jobs[0].ready)
		if err := <-last; fault.ClassOf(err) != connector.Schema {
			t.Errorf("the wider rows were taken for the first: %v", err)
		}
	})
}

// TestNullsWiden: where all values were there, a NULL is a change that the sink has to follow.
func TestNullsWiden(t *testing.T) {
	w := newWorkflow(NewCluster(Config{Log: slog.New(slog.DiscardHandler)}), &plan.Plan{Workflow: &plan.Workflow{}}, Options{})
	node := sinkNode("out", func() connector.Sink { return nil }, "in")
	node.SinkSpec.SchemaEvolution = true
	g := gate{workflow: w, node: node}
	a, b := batch.Field{Name: "a", Type: batch.Of(batch.Int64)}, batch.Field{Name: "b", Type: batch.Of(batch.Int64), Nullable: true}
	if _, _, err := g.pass(chunkOf(a, b)); err != nil {
		t.Fatal(err)
	}
	for _, later := range []connector.Chunk{chunkOf(b), chunkOf(batch.Field{Name: "a", Type: a.Type, Nullable: true}, b)} {
		_, _, err := g.pass(later)
		change, ok := errors.AsType[*schemaChange](err)
		if !ok {
			t.Fatalf("NULLs went where there are none: %v", err)
		}
		t.Log(change)
	}
}
