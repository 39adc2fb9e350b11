package run

import (
	"errors"
	"sync"
	"testing"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/fault"
	"github.com/tapeline/tapeline/internal/flow/op"
	"github.com/tapeline/tapeline/internal/flow/plan"
	"github.com/tapeline/tapeline/internal/lifecycle"
)

// crashing is a source of 1,000 numbers that fails in their middle, when a checkpoint is committed.
func crashing() *plan.Node {
	committed := make(chan struct{})
	once := sync.OnceFunc(func() { close(committed) })
	return sourceNode("in", func() *counter {
		return &counter{
			to: 1000, step: 10, acked: func(int64) { once() },
			fail: func(next int64) error {
				if next < 500 {
					return nil
				}
				<-committed
				return errCrash
			},
		}
	})
}

var errUnfit = errors.New("no column \"x\"")

// unfit is an operator that fits no schema.
type unfit struct{}

func (unfit) Bind(*batch.Schema) (op.Bound, error) { return nil, errUnfit }

// What no restart can heal fails the run at once, by the name of the node, whatever the strategy.
func TestPermanentFaultsAreNotRestarted(t *testing.T) {
	again := plan.Execution{Restart: lifecycle.Strategy{Kind: lifecycle.FixedDelay, Attempts: 3}}
	once := func(b *bed, name string, execution plan.Execution, nodes ...*plan.Node) (Report, error) {
		return b.run(t, &plan.Workflow{Name: name, Execution: execution, Nodes: nodes}, Options{})
	}
	source := func() *plan.Node { return sourceNode("in", func() *counter { return &counter{to: 10, step: 5} }) }
	sink := func(from string) *plan.Node {
		return sinkNode("out", func() connector.Sink { return &tableSink{table: newTable()} }, from)
	}
	refuse := mapOperator(func(int64) (bool, string) { return false, "refused" })
	limited := again
	limited.MaxDead = &plan.DeadLimit{Count: 3}
	for name, c := range map[string]struct {
		node  string
		class connector.Class
		run   func(b *bed) (Report, error)
	}{
		"an operator that does not fit the rows": {"f", connector.Schema, func(b *bed) (Report, error) {
			return once(b, "w", again, source(), operatorNode("f", unfit{}, "in"), sink("f"))
		}},
		"too many dead letters": {"", connector.Data, func(b *bed) (Report, error) {
			return once(b, "w", limited, source(), operatorNode("f", refuse, "in"), sink("f"))
		}},
		"a source that changed during the run": {"", connector.Permanent, func(b *bed) (Report, error) {
			crash := plan.Execution{CheckpointInterval: 1}
			if _, err := once(b, "w", crash, crashing(), sink("in")); !errors.Is(err, errCrash) {
				t.Fatal(err)
			}
			changed := source()
			changed.Fingerprint = "2"
			return once(b, "w", again, changed, sink("in"))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			report, err := c.run(newBed(t))
			if report.Status != Failed || report.Restarts != 0 {
				t.Errorf("%s after %d restarts, want failed after none: %v", report.Status, report.Restarts, err)
			}
			if got := fault.ClassOf(err); got != c.class {
				t.Errorf("class %s, want %s: %v", got, c.class, err)
			}
			if c.node == "" {
				return
			}
			if failed, ok := errors.AsType[*NodeError](err); !ok || failed.Node.ID != c.node ||
				!errors.Is(err, errUnfit) {
				t.Errorf("%v does not name node %s and the cause", err, c.node)
			}
		})
	}
}

// The report shows the first rows that nobody asked to be dead letters, and how many rows came
// before a resumption.
func TestReportOfResumedRun(t *testing.T) {
	b, table := newBed(t), newTable()
	w := func(in *plan.Node) *plan.Workflow {
		f := operatorNode("f", mapOperator(func(n int64) (bool, string) {
			return true, map[bool]string{true: "odd"}[n%2 == 1]
		}), "in")
		f.OnError = plan.DeadLetterDefault
		out := sinkNode("out", func() connector.Sink { return &decidingSink{tableSink{table: table}} }, "f")
		return &plan.Workflow{
			Name: "w", Execution: plan.Execution{CheckpointInterval: 1}, Nodes: []*plan.Node{in, f, out},
		}
	}
	first, err := b.run(t, w(crashing()), Options{})
	if !errors.Is(err, errCrash) {
		t.Fatal(err)
	}
	if len(first.FirstDead) != maxDeadExamples || first.FirstDead[0] != (DeadExample{"f", "", "column n: odd"}) {
		t.Errorf("first dead letters %+v, want %d of odd n at f", first.FirstDead, maxDeadExamples)
	}
	second, err := b.run(t, w(sourceNode("in", func() *counter { return &counter{to: 1000, step: 10} })), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if first.RowsResumed != 0 || second.RowsResumed < 10 || second.RowsResumed > 500 || second.RowsIn != 1000 {
		t.Errorf("%d and %d of %d rows are called resumed", first.RowsResumed, second.RowsResumed, second.RowsIn)
	}
}
