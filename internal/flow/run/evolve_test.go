package run

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
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
		note := batch.NullColumn(batch.Of(batch.String), b.Rows())
		chunk.Batch = b.WithColumns(wideSchema, []*batch.Column{b.Column(0), note})
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
	if fault.ClassOf(err) != connector.Schema {
		t.Errorf("halt: error %v", err)
	}
	b, rows := newBed(t), newTable()
	w := growingWorkflow(rows, &columns, plan.DeadLetterChanged, true)
	report, err := b.run(t, w, Options{})
	if err != nil || report.DeadLetters != 500 || len(rows.committed) != 500 {
		t.Errorf("dead letter: error %v, report %+v, %d rows", err, report, len(rows.committed))
	}
}
