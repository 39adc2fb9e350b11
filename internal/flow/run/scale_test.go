package run

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/flow/plan"
)

// idleWorkflow has ten tasks: five sources that never deliver, five sinks, joined all to all so
// that nothing fuses.
func idleWorkflow(name string, gate chan struct{}) *plan.Workflow {
	w := &plan.Workflow{Name: name, Execution: plan.Execution{CheckpointInterval: time.Second}}
	var sources []string
	for i := range 5 {
		id := fmt.Sprintf("in%d", i)
		sources = append(sources, id)
		w.Nodes = append(w.Nodes, sourceNode(id, func() *counter {
			return &counter{to: 1, step: 1, gate: gate}
		}))
	}
	for i := range 5 {
		w.Nodes = append(w.Nodes, sinkNode(fmt.Sprintf("out%d", i), func() connector.Sink {
			return &tableSink{table: newTable()}
		}, sources[i], sources[(i+1)%5]))
	}
	return w
}

// Many idle workflows start and stop, each task with its mailbox and meters. The figures are
// logged; `make soak` runs the full count.
func TestIdleWorkflowsAreCheap(t *testing.T) {
	workflows := 200
	if soak() {
		workflows = 5000
	}
	b := newBed(t)
	gate := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	before := memory()
	begun := time.Now()
	var started []*Workflow
	for i := range workflows {
		p, err := plan.New(idleWorkflow(fmt.Sprintf("idle%d", i), gate))
		if err != nil {
			t.Fatal(err)
		}
		w, err := b.cluster.Start(ctx, p, Options{})
		if err != nil {
			t.Fatal(err)
		}
		started = append(started, w)
	}
	tasks := func() int {
		b.cluster.tasks.mu.RLock()
		defer b.cluster.tasks.mu.RUnlock()
		return len(b.cluster.tasks.boxes)
	}
	for tasks() < 10*workflows {
		runtime.Gosched()
	}
	took := time.Since(begun)
	used := memory() - before
	t.Logf("%d workflows, %d tasks: started in %v, %d MiB, %d goroutines", workflows, tasks(), took,
		used>>20, runtime.NumGoroutine())
	perTask := int64(10 << 10)
	if raceDetector {
		perTask *= 2 // it keeps shadow state
	}
	if bytes := used / int64(10*workflows); bytes > perTask {
		t.Errorf("%d bytes a task, want at most %d", bytes, perTask)
	}
	cancel()
	for _, w := range started {
		<-w.Done()
	}
	if left := tasks(); left != 0 {
		t.Errorf("%d mailboxes are left", left)
	}
}

// memory returns bytes of heap and stacks in use after a collection.
func memory() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

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
