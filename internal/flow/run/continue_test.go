package run

import (
	"context"
	"slices"
	"testing"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/flow/op"
	"github.com/tapeline/tapeline/internal/flow/plan"
)

// rounds delivers the numbers below 60 again and again.
type rounds struct{ counter }

func (s *rounds) Read(ctx context.Context) (connector.Chunk, error) {
	chunk, err := s.counter.Read(ctx)
	if err == nil {
		values := batch.Values[int64](chunk.Batch.Column(0))
		for i := range values {
			values[i] %= 60
		}
	}
	return chunk, err
}

// remembering reads up to a position through dedupe, and limit rows of what that lets pass.
func remembering(to int64, rows *table, limit int, incremental bool) *plan.Workflow {
	in := sourceNode("in", nil)
	in.NewSource = func(connector.Env) (connector.Source, error) { return &rounds{counter{to: to, step: 10}}, nil }
	in.SourceSpec = connector.SourceCapabilities{Bounded: true, Resumable: true, Incremental: incremental}
	first := operatorNode("first", nil, "in")
	first.Ordered, first.Continues, first.Fingerprint = true, true, "1"
	first.NewOperator = func(env op.Env) (op.Operator, error) {
		return op.Dedupe().New(env, &op.DedupeConfig{Key: []string{"n"}})
	}
	last := operatorNode("some", nil, "first")
	last.Ordered = true
	last.NewOperator = func(op.Env) (op.Operator, error) { return &limiter{left: limit}, nil }
	return &plan.Workflow{Name: "remember", Nodes: []*plan.Node{
		in, first, last,
		sinkNode("out", func() connector.Sink { return &decidingSink{tableSink{table: rows}} }, "some"),
	}}
}

// TestStateGoesOnWithItsSources: a repetition of a row of a finished run does not pass, unless the
// source starts anew too.
// invariant: state and positions that a run begins with are of one moment
func TestStateGoesOnWithItsSources(t *testing.T) {
	const all = 1000
	for name, c := range map[string]struct {
		incremental bool
		between     func(*plan.Workflow) // the second of three runs
		limit       int                  // of the second run
		want        []int64              // beside 0 to 59: what comes twice
	}{
		"incremental": {true, nil, all, nil},
		"bounded":     {false, nil, all, slices.Concat(numbers(0, 50), numbers(0, 60))},
		// The source goes back to where the second run began, and so do the keys.
		"cut":              {true, nil, 5, numbers(50, 55)},
		"operator changed": {true, func(w *plan.Workflow) { w.Nodes[1].Fingerprint = "2" }, all, numbers(0, 50)},
	} {
		b, rows := newBed(t), newTable()
		for i, to := range []int64{50, 100, 150} {
			w := remembering(to, rows, all, c.incremental)
			if i > 0 && c.between != nil {
				c.between(w)
			}
			if i == 1 {
				w = remembering(to, rows, c.limit, c.incremental)
				if c.between != nil {
					c.between(w)
				}
			}
			if _, err := b.run(t, w, Options{}); err != nil {
				t.Fatalf("%s, run %d: %v", name, i, err)
			}
		}
		got := slices.Sorted(slices.Values(rows.committed))
		if want := slices.Sorted(slices.Values(slices.Concat(numbers(0, 60), c.want))); !slices.Equal(got, want) {
			t.Errorf("%s: %d rows, want %d: %v", name, len(got), len(want), got)
		}
	}
}
