package run

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/flow/op"
	"github.com/tapeline/tapeline/internal/flow/plan"
)

// gatedSink takes a chunk for each token.
type gatedSink struct {
	tableSink
	gate chan struct{}
}

func (s *gatedSink) Write(ctx context.Context, c connector.Chunk) error {
	select {
	case <-s.gate:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return s.tableSink.Write(ctx, c)
}

// waitUntilStill returns when a count has begun and made no progress over many looks.
func waitUntilStill(count *atomic.Int64) {
	for same, last := 0, int64(-1); same < 50; {
		if now := count.Load(); now != last || now == 0 {
			same, last = 0, now
		} else {
			same++
		}
		<-time.After(time.Millisecond)
	}
}

// A stalled branch of a fan-out blocks the source within the memory budget; nothing is lost when
// the branch goes on.
func TestStalledBranchBlocksTheSource(t *testing.T) {
	b, fast, slow := newBed(t), newTable(), newTable()
	gate := make(chan struct{})
	var produced atomic.Int64
	const total = 200_000
	const budget = 1 << 20
	source := sourceNode("in", func() *counter {
		return &counter{to: total, step: 100, fail: func(next int64) error {
			produced.Store(next)
			return nil
		}}
	})
	p, err := plan.New(&plan.Workflow{
		Name: "stall", Execution: plan.Execution{
			MemoryBytes: budget, Batching: plan.Batching{MaxBytes: 64 << 10},
		},
		Nodes: []*plan.Node{
			source,
			sinkNode("fast", func() connector.Sink { return &decidingSink{tableSink{table: fast}} }, "in"),
			sinkNode("slow", func() connector.Sink {
				return &gatedSink{tableSink{table: slow}, gate}
			}, "in"),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	w, err := b.cluster.Start(t.Context(), p, Options{})
	if err != nil {
		t.Fatal(err)
	}
	waitUntilStill(&produced)
	if stalled := produced.Load(); stalled >= total/2 {
		t.Errorf("the source went on to %d rows against a stalled branch", stalled)
	}
	close(gate)
	if _, err := w.Wait(); err != nil {
		t.Fatal(err)
	}
	if len(fast.committed) != total {
		t.Errorf("fast branch has %d rows", len(fast.committed))
	}
	if report := w.Snapshot(); report.RowsOut != 2*total {
		t.Errorf("%d rows out, want %d", report.RowsOut, 2*total)
	}
}

// multiplier makes a column of so many bytes from each row.
type multiplier int

func (m multiplier) Bind(*batch.Schema) (op.Bound, error) { return m, nil }

func (m multiplier) Apply(b *batch.Batch, out *op.Output) error {
	text := batch.TextColumn(batch.Of(batch.String), make([]int32, b.Rows()+1),
		make([]byte, int(m)*b.Rows()), nil)
	schema := batch.NewSchema(numberSchema.Field(0),
		batch.Field{Name: "text", Type: batch.Of(batch.String)})
	out.Emit(b.WithColumns(schema, []*batch.Column{b.Column(0), text}))
	return nil
}

// What operators make of the rows counts too, before it is made: a source whose rows grow a
// hundredfold is held back by what they become.
func TestGrowingRowsStayWithinTheMemory(t *testing.T) {
	b, gate := newBed(t), make(chan struct{})
	var produced atomic.Int64
	const limit, step, grown = 8 << 20, 500, 800
	w := startWorkflow(t, b, &plan.Workflow{
		Name: "grow", Execution: plan.Execution{MemoryBytes: limit, Parallelism: 4},
		Nodes: []*plan.Node{
			sourceNode("in", func() *counter {
				return &counter{to: 100 * step, step: step, fail: func(next int64) error {
					produced.Store(next)
					return nil
				}}
			}),
			operatorNode("grow", multiplier(grown), "in"),
			sinkNode("out", func() connector.Sink {
				return &gatedSink{tableSink{table: newTable()}, gate}
			}, "grow"),
		},
	})
	waitUntilStill(&produced)
	close(gate)
	report, err := w.Wait()
	if err != nil || report.RowsOut != 100*step {
		t.Fatalf("%d rows, %v", report.RowsOut, err)
	}
	if most := report.InFlightBytes; most > rowBytes(limit) || most < rowBytes(limit)/2 {
		t.Errorf("%d bytes were in flight behind a stalled sink, the memory for rows is %d",
			most, rowBytes(limit))
	}
}
