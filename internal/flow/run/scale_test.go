package run

import (
	"runtime"
	"testing"
	"time"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/flow/plan"
)

// Two workflows that declare the whole machine run one after the other; the second is queued.
func TestWorkflowsThatDoNotFitWait(t *testing.T) {
	b := newBed(t)
	gate := make(chan struct{})
	start := func(name string) *Workflow {
		p, err := plan.New(&plan.Workflow{
			Name: name, Execution: plan.Execution{CPU: b.cluster.config.Cores},
			Nodes: []*plan.Node{
				sourceNode("in", func() *counter { return &counter{to: 1, step: 1, gate: gate} }),
				sinkNode("out", func() connector.Sink { return &tableSink{table: newTable()} }, "in"),
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		w, err := b.cluster.Start(t.Context(), p, Options{})
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	until := func(w *Workflow, s Status) {
		for w.Status() != s {
			runtime.Gosched()
		}
	}
	first := start("first")
	until(first, Running)
	second := start("second")
	until(second, Queued)
	gate <- struct{}{}
	if _, err := first.Wait(); err != nil {
		t.Fatal(err)
	}
	until(second, Running)
	gate <- struct{}{}
	if _, err := second.Wait(); err != nil {
		t.Fatal(err)
	}
}

// A task to which nothing came has no goroutine but its readers', wherever it stands; a barrier
// wakes it.
func TestIdleTasksHaveNoGoroutine(t *testing.T) {
	b, rows := newBed(t), newTable()
	gate := make(chan struct{})
	before := runtime.NumGoroutine()
	w := startWorkflow(t, b, &plan.Workflow{Name: "idle", Nodes: []*plan.Node{
		sourceNode("in", func() *counter {
			return &counter{to: 1, step: 1, gate: gate}
		}),
		sinkNode("out", func() connector.Sink { return &decidingSink{tableSink{table: rows}} }, "in"),
		sinkNode("more", func() connector.Sink { return &tableSink{table: newTable()} }, "in"),
	}})
	// The run and its reader; the goroutine that waited for its place ends soon.
	const wanted = 2
	for until := time.Now().Add(10 * time.Second); w.Status() != Running ||
		runtime.NumGoroutine() > before+wanted; runtime.Gosched() {
		if time.Now().After(until) {
			t.Fatalf("%s with %d goroutines, want %d", w.Status(), runtime.NumGoroutine()-before, wanted)
		}
	}
	w.Drain()
	if report, err := w.Wait(); err != nil || report.Status != Stopped || report.Checkpoints != 1 {
		t.Errorf("drained: %s with %d checkpoints, %v", report.Status, report.Checkpoints, err)
	}
}
