package app

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/flow/plan"
	"github.com/tapeline/tapeline/internal/flow/run"
)

// idle is a source that never delivers and a sink that nothing reaches.
type idle struct{ reading *sync.WaitGroup }

func (idle) Open(context.Context, connector.Partition, connector.Position) error { return nil }

func (s idle) Read(ctx context.Context) (connector.Chunk, error) {
	s.reading.Done()
	<-ctx.Done()
	return connector.Chunk{}, ctx.Err()
}

func (idle) Ack(context.Context, connector.Position) error { return nil }

func (idle) Close() error { return nil }

type idleSink struct{}

func (idleSink) Open(context.Context, connector.Task) error { return nil }

func (idleSink) Write(context.Context, connector.Chunk) error { return nil }

func (idleSink) Close() error { return nil }

const idleSources, idleTasks = 5, 10

// idleWorkflow has five sources that never deliver and five sinks with two inputs each, so that
// nothing fuses.
func idleWorkflow(name string, reading *sync.WaitGroup) *plan.Workflow {
	w := &plan.Workflow{Name: name, Execution: plan.Execution{CheckpointInterval: time.Second}}
	for i := range idleSources {
		w.Nodes = append(w.Nodes, &plan.Node{
			ID: fmt.Sprintf("in%d", i), Type: "idle", Kind: plan.Source, Fingerprint: "1",
			NewSource: func(connector.Env) (connector.Source, error) { return idle{reading}, nil },
		})
	}
	for i := range idleTasks - idleSources {
		w.Nodes = append(w.Nodes, &plan.Node{
			ID: fmt.Sprintf("out%d", i), Type: "idle", Kind: plan.Destination,
			Inputs: []plan.Input{
				{Node: w.Nodes[i].ID}, {Node: w.Nodes[(i+1)%idleSources].ID},
			},
			NewSink: func(connector.Env) (connector.Sink, error) { return idleSink{}, nil },
		})
	}
	return w
}

// Many idle workflows on the real catalog, each task with its mailbox and meter, share one process.
// TAPELINE_SOAK=1 takes 5,000 of ten tasks. The time is logged, not asserted: it says as much about
// the machine.
func TestIdleWorkflowsAreCheap(t *testing.T) {
	workflows := 500
	if os.Getenv("TAPELINE_SOAK") == "1" {
		workflows = 5000
	}
	parts, err := NewParts()
	if err != nil {
		t.Fatal(err)
	}
	engine, err := OpenEngine(parts, t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	before, resident, cpu := memoryInUse(), residentBytes(t), cpuTime(t)
	var reading sync.WaitGroup
	reading.Add(workflows * idleSources)
	begun := time.Now()
	var started []*run.Workflow
	for i := range workflows {
		w, err := engine.StartPlan(ctx, idleWorkflow(fmt.Sprintf("idle%d", i), &reading), run.Options{})
		if err != nil {
			t.Fatal(err)
		}
		started = append(started, w)
	}
	all := make(chan struct{})
	go func() {
		defer close(all)
		reading.Wait()
	}()
	select {
	case <-all:
	case <-time.After(2 * time.Minute):
		t.Fatalf("not all sources read after %v", time.Since(begun))
	}
	took := time.Since(begun)
	cpu = cpuTime(t) - cpu
	grown := residentBytes(t) - resident
	used := memoryInUse() - before
	t.Logf("%d workflows of %d tasks: reading after %v (%v of CPU), %d MB in use, resident memory %d MB "+
		"more, %d goroutines", workflows, idleTasks, took.Round(time.Millisecond),
		cpu.Round(time.Millisecond), used/1e6, grown/1e6, runtime.NumGoroutine())
	const perTask = 500_000_000 / 50_000
	if limit := int64(perTask * idleTasks * workflows); used > limit {
		t.Errorf("%d bytes in use, want at most %d", used, limit)
	}
	if got := len(engine.Metrics.Snapshot()); got < workflows*idleTasks {
		t.Errorf("%d figures of %d tasks", got, workflows*idleTasks)
	}
	cancel()
	for _, w := range started {
		<-w.Done()
	}
}

// memoryInUse returns bytes of heap and stacks in use after a collection.
func memoryInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// cpuTime returns what the process has computed so far, whoever else kept the machine busy.
func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func residentBytes(t *testing.T) int64 {
	t.Helper()
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0 // elsewhere than on Linux
	}
	_, after, _ := strings.Cut(string(data), "VmRSS:")
	var kib int64
	if _, err := fmt.Sscan(after, &kib); err != nil {
		t.Fatal(err)
	}
	return kib << 10
}
