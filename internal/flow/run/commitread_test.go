package run

import (
	"errors"
	"testing"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/flow/plan"
)

// With CommitRead, what a source gave before it failed for good is committed, once, and the next run
// goes on behind it.
func TestCommitRead(t *testing.T) {
	for _, wanted := range []bool{true, false} {
		b, table := newBed(t), newTable()
		run := func(fail func(int64) error) error {
			_, err := b.run(t, &plan.Workflow{
				Name: "w", Execution: plan.Execution{CommitRead: wanted}, Nodes: []*plan.Node{
					sourceNode("in", func() *counter { return &counter{to: 100, step: 10, fail: fail} }),
					sinkNode("out", func() connector.Sink { return &decidingSink{tableSink{table: table}} }, "in"),
				},
			}, Options{})
			return err
		}
		err := run(func(next int64) error {
			if next == 70 {
				return errCrash
			}
			return nil
		})
		if !errors.Is(err, errCrash) {
			t.Fatalf("got %v, want the source's failure", err)
		}
		want := map[bool]int{true: 70, false: 0}[wanted]
		if len(table.committed) != want {
			t.Errorf("commit read %t: %d rows are committed, want %d", wanted, len(table.committed), want)
		}
		if err := run(nil); err != nil {
			t.Fatal(err)
		}
		for i, v := range table.committed {
			if v != int64(i) {
				t.Fatalf("commit read %t: row %d is %d after the second run", wanted, i, v)
			}
		}
		if len(table.committed) != 100 {
			t.Errorf("commit read %t: %d rows after the second run, want 100", wanted, len(table.committed))
		}
	}
}
