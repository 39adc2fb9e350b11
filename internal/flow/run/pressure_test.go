package run

import (
	"context"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/flow/plan"
)

// soak reports whether the full acceptance counts are asked for.
func soak() bool { return os.Getenv("TAPELINE_SOAK") == "1" }

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
	// The source has stopped when it made no progress over many looks.
	for same, last := 0, int64(-1); same < 50; {
		if now := produced.Load(); now != last || now == 0 {
			same, last = 0, now
		} else {
			same++
		}
		<-time.After(time.Millisecond)
	}
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
