package run

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/flow/plan"
	"github.com/tapeline/tapeline/internal/lifecycle"
	"github.com/tapeline/tapeline/internal/vfs"
)

// bed is a cluster with its fakes.
type bed struct {
	catalog *memoryCatalog
	cluster *Cluster
}

func newBed(t *testing.T) *bed {
	t.Helper()
	catalog := newMemoryCatalog()
	return &bed{catalog, NewCluster(Config{Catalog: catalog, FS: vfs.OS{}, Dir: t.TempDir()})}
}

func (b *bed) run(t *testing.T, w *plan.Workflow, options Options) (Report, error) {
	t.Helper()
	p, err := plan.New(w)
	if err != nil {
		t.Fatal(err)
	}
	started, err := b.cluster.Start(t.Context(), p, options)
	if err != nil {
		t.Fatal(err)
	}
	return started.Wait()
}

func numbers(from, to int64) []int64 {
	var out []int64
	for ; from < to; from++ {
		out = append(out, from)
	}
	return out
}

func even(n int64) (bool, string) { return n%2 == 0, "" }

// invariant: chunks leave in the order they entered
func TestRowsArriveInOrder(t *testing.T) {
	b, rows := newBed(t), newTable()
	report, err := b.run(t, &plan.Workflow{
		Name: "order", Execution: plan.Execution{Parallelism: 4, CheckpointInterval: time.Millisecond},
		Nodes: []*plan.Node{
			sourceNode("in", func() *counter { return &counter{to: 20000, step: 7} }),
			operatorNode("even", mapOperator(even), "in"),
			sinkNode("out", func() connector.Sink {
				return &decidingSink{tableSink{table: rows}}
			}, "even"),
		},
	}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var want []int64
	for n := int64(0); n < 20000; n += 2 {
		want = append(want, n)
	}
	if !slices.Equal(rows.committed, want) {
		t.Errorf("%d rows, want %d in order", len(rows.committed), len(want))
	}
	if report.RowsIn != 20000 || report.RowsOut != 10000 || report.Status != Completed {
		t.Errorf("report %+v", report)
	}
}

// Every step of a checkpoint fails once, before and after it took effect; whatever the point, the
// resumed run ends with each row once.
func TestResumeAfterCrashAtEveryStep(t *testing.T) {
	sinks := map[string]func(*table, func(string) error) connector.Sink{
		"decider": func(rows *table, fail func(string) error) connector.Sink {
			return &decidingSink{tableSink{table: rows, fail: fail}}
		},
		"staging": func(rows *table, fail func(string) error) connector.Sink {
			return &stagingSink{tableSink{table: rows, fail: fail}}
		},
	}
	for name, make := range sinks {
		for point := 1; point < 60; point++ {
			rows, b := newTable(), newBed(t)
			var calls atomic.Int64
			fail := func(string) error {
				if calls.Add(1) == int64(point) {
					return errCrash
				}
				return nil
			}
			b.catalog.fail = fail
			w := &plan.Workflow{
				Name:      "crash",
				Execution: plan.Execution{Parallelism: 2, CheckpointInterval: 100 * time.Microsecond},
				Nodes: []*plan.Node{
					sourceNode("in", func() *counter { return &counter{to: 300, step: 10} }),
					operatorNode("even", mapOperator(even), "in"),
					sinkNode("out", func() connector.Sink { return make(rows, fail) }, "even"),
				},
			}
			_, err := b.run(t, w, Options{})
			crashed := err != nil
			if crashed && !errors.Is(err, errCrash) {
				t.Fatalf("%s, point %d: %v", name, point, err)
			}
			if crashed {
				if _, err := b.run(t, w, Options{}); err != nil {
					t.Fatalf("%s, point %d, resumed: %v", name, point, err)
				}
			}
			if len(rows.committed) != 150 || !slices.IsSorted(rows.committed) ||
				len(slices.Compact(slices.Clone(rows.committed))) != 150 {
				t.Fatalf("%s, point %d: %d rows: %v", name, point, len(rows.committed), rows.committed)
			}
		}
	}
}

func TestRestartStrategyRestoresTheLastCheckpoint(t *testing.T) {
	b, rows := newBed(t), newTable()
	failed := false
	report, err := b.run(t, &plan.Workflow{
		Name: "restart",
		Execution: plan.Execution{
			CheckpointInterval: time.Millisecond,
			Restart:            lifecycle.Strategy{Kind: lifecycle.FixedDelay, Attempts: 1, Delay: time.Millisecond},
		},
		Nodes: []*plan.Node{
			sourceNode("in", func() *counter {
				return &counter{to: 5000, step: 5, fail: func(next int64) error {
					if next == 2500 && !failed {
						failed = true
						return errCrash
					}
					return nil
				}}
			}),
			sinkNode("out", func() connector.Sink { return &decidingSink{tableSink{table: rows}} }, "in"),
		},
	}, Options{})
	if err != nil || report.Restarts != 1 {
		t.Fatalf("report %+v, error %v", report, err)
	}
	if !slices.Equal(rows.committed, numbers(0, 5000)) || report.RowsIn != 5000 {
		t.Errorf("%d rows committed, report %+v", len(rows.committed), report)
	}
}

func TestFanOutAndFanInKeepEveryRow(t *testing.T) {
	b, all, odd := newBed(t), newTable(), newTable()
	isOdd := func(n int64) (bool, string) { return n%2 == 1, "" }
	_, err := b.run(t, &plan.Workflow{
		Name: "dag", Execution: plan.Execution{Parallelism: 3, CheckpointInterval: time.Millisecond},
		Nodes: []*plan.Node{
			sourceNode("a", func() *counter { return &counter{to: 3000, step: 9} }),
			sourceNode("b", func() *counter { return &counter{next: 3000, to: 5000, step: 4} }),
			operatorNode("even", mapOperator(even), "a"),
			operatorNode("odd", mapOperator(isOdd), "a"),
			sinkNode("out", func() connector.Sink {
				return &decidingSink{tableSink{table: all}}
			}, "even", "odd", "b"),
			sinkNode("odds", func() connector.Sink { return &stagingSink{tableSink{table: odd}} }, "odd"),
		},
	}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(all.committed)
	if !slices.Equal(all.committed, numbers(0, 5000)) {
		t.Errorf("union has %d rows", len(all.committed))
	}
	if len(odd.committed) != 1500 || !slices.IsSorted(odd.committed) {
		t.Errorf("odd branch has %d rows", len(odd.committed))
	}
}

func TestDrainCommitsAndResumeContinues(t *testing.T) {
	b, rows := newBed(t), newTable()
	gate := make(chan struct{}, 10)
	for range 10 {
		gate <- struct{}{}
	}
	w := &plan.Workflow{
		Name: "drain", Nodes: []*plan.Node{
			sourceNode("in", func() *counter { return &counter{to: 100, step: 1, gate: gate} }),
			sinkNode("out", func() connector.Sink { return &decidingSink{tableSink{table: rows}} }, "in"),
		},
	}
	p, err := plan.New(w)
	if err != nil {
		t.Fatal(err)
	}
	started, err := b.cluster.Start(t.Context(), p, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for started.Snapshot().RowsOut < 10 {
		<-time.After(time.Millisecond)
	}
	started.Drain()
	report, err := started.Wait()
	if err != nil || report.Status != Stopped || len(rows.committed) != 10 {
		t.Fatalf("report %+v, error %v, %d rows", report, err, len(rows.committed))
	}
	close(gate)
	if report, err = b.run(t, w, Options{Resume: true}); err != nil || report.Status != Completed {
		t.Fatalf("resumed: report %+v, error %v", report, err)
	}
	if !slices.Equal(rows.committed, numbers(0, 100)) {
		t.Errorf("%d rows after resume", len(rows.committed))
	}
	again, err := b.run(t, w, Options{Resume: true})
	if err != nil || len(rows.committed) != 100 {
		t.Errorf("--resume after completion: %+v, %v, %d rows", again, err, len(rows.committed))
	}
}

func TestRejectedRowsFollowTheNodesReaction(t *testing.T) {
	refuse := func(n int64) (bool, string) {
		if n%10 == 0 {
			return false, "multiple of ten"
		}
		return true, ""
	}
	for _, c := range []struct {
		reaction plan.OnError
		limit    *plan.DeadLimit
		dead     int64
		fails    bool
	}{
		{plan.DeadLetter, nil, 10, false},
		{plan.Drop, nil, 0, false},
		{plan.Fail, nil, 0, true},
		{plan.DeadLetter, &plan.DeadLimit{Count: 5}, 0, true},
		{plan.DeadLetter, &plan.DeadLimit{Count: 10}, 10, false},
		{plan.DeadLetter, &plan.DeadLimit{}, 0, true},
		{plan.Drop, &plan.DeadLimit{}, 0, false},
		{plan.DeadLetter, &plan.DeadLimit{Share: 0.09}, 0, true},
		{plan.DeadLetter, &plan.DeadLimit{Share: 0.1}, 10, false},
	} {
		b, rows := newBed(t), newTable()
		node := operatorNode("check", mapOperator(refuse), "in")
		node.OnError = c.reaction
		report, err := b.run(t, &plan.Workflow{
			Name: "dead", Execution: plan.Execution{MaxDead: c.limit}, Nodes: []*plan.Node{
				sourceNode("in", func() *counter { return &counter{to: 100, step: 8} }), node,
				sinkNode("out", func() connector.Sink { return &decidingSink{tableSink{table: rows}} }, "check"),
			},
		}, Options{})
		if (err != nil) != c.fails {
			t.Errorf("%+v: error %v", c, err)
		}
		if !c.fails && (report.DeadLetters != c.dead || len(rows.committed) != 90) {
			t.Errorf("%+v: %d dead letters, %d rows", c, report.DeadLetters, len(rows.committed))
		}
	}
}

func TestChangedFingerprintIsRefused(t *testing.T) {
	b := newBed(t)
	w := func(fingerprint string, fail bool) *plan.Workflow {
		in := sourceNode("in", func() *counter {
			return &counter{to: 1000, step: 1, fail: func(n int64) error {
				if fail && n == 900 {
					return errCrash
				}
				return nil
			}}
		})
		in.Fingerprint = fingerprint
		return &plan.Workflow{
			Name: "fp", Execution: plan.Execution{CheckpointInterval: 50 * time.Microsecond},
			Nodes: []*plan.Node{in, sinkNode("out", func() connector.Sink {
				return &decidingSink{tableSink{table: newTable()}}
			}, "in")},
		}
	}
	if _, err := b.run(t, w("1", true), Options{}); !errors.Is(err, errCrash) {
		t.Fatal(err)
	}
	if len(b.catalog.done) == 0 {
		t.Fatal("no checkpoint was committed before the failure")
	}
	if _, err := b.run(t, w("2", false), Options{}); err == nil {
		t.Error("a changed source was resumed")
	}
	if _, err := b.run(t, w("2", false), Options{Fresh: true}); err != nil {
		t.Errorf("--fresh: %v", err)
	}
}

func TestSendToUnknownOrStoppedTargetIsTyped(t *testing.T) {
	d := newDirectory[int]()
	box := newMailbox[int](Address{"w", "t"}, 1)
	d.add(box)
	if err := d.send(context.Background(), Address{"w", "t"}, 1); err != nil {
		t.Fatal(err)
	}
	d.remove(box)
	var sendError *SendError
	if err := d.send(context.Background(), Address{"w", "t"}, 1); !errors.Is(err, ErrUnknownTarget) ||
		!errors.As(err, &sendError) {
		t.Errorf("unknown target: %v", err)
	}
	if err := box.send(context.Background(), 1); !errors.Is(err, ErrStopped) {
		t.Errorf("stopped target: %v", err)
	}
}

// A crash after the last commit and before the end was recorded leaves nothing to do but publish.
func TestResumeAfterFinalCommitWritesNothing(t *testing.T) {
	b, rows := newBed(t), newTable()
	crashed := false
	w := &plan.Workflow{
		Name: "final", Nodes: []*plan.Node{
			sourceNode("in", func() *counter { return &counter{to: 10, step: 10} }),
			sinkNode("out", func() connector.Sink {
				return &stagingSink{tableSink{table: rows, fail: func(op string) error {
					if op == "published" && !crashed {
						crashed = true
						return errCrash
					}
					if crashed && (op == "prepare" || op == "write") {
						t.Errorf("%s after the last commit", op)
					}
					return nil
				}}}
			}, "in"),
		},
	}
	if _, err := b.run(t, w, Options{}); !errors.Is(err, errCrash) {
		t.Fatal(err)
	}
	if report, err := b.run(t, w, Options{}); err != nil || report.Status != Completed {
		t.Errorf("resumed: %+v, %v", report, err)
	}
	if !slices.Equal(rows.committed, numbers(0, 10)) {
		t.Errorf("rows %v", rows.committed)
	}
}

// The order in which random failures hit must not matter either.
func TestResumeAfterRandomCrashes(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	rows, b := newTable(), newBed(t)
	var mu sync.Mutex
	fail := func(string) error {
		mu.Lock()
		defer mu.Unlock()
		if random.IntN(40) == 0 {
			return errCrash
		}
		return nil
	}
	b.catalog.fail = fail
	w := &plan.Workflow{
		Name: "random", Execution: plan.Execution{CheckpointInterval: time.Millisecond},
		Nodes: []*plan.Node{
			sourceNode("in", func() *counter { return &counter{to: 20000, step: 50} }),
			sinkNode("out", func() connector.Sink {
				return &stagingSink{tableSink{table: rows, fail: func(op string) error {
					if op == "write" {
						return nil
					}
					return fail(op)
				}}}
			}, "in"),
		},
	}
	for tries := 0; ; tries++ {
		_, err := b.run(t, w, Options{})
		if err == nil {
			break
		}
		if !errors.Is(err, errCrash) || tries > 1000 {
			t.Fatal(err)
		}
	}
	if !slices.Equal(rows.committed, numbers(0, 20000)) {
		t.Errorf("%d rows, want 20000 once each", len(rows.committed))
	}
}

// invariant: ack after commit
func TestAckComesAfterCommit(t *testing.T) {
	b, rows := newBed(t), newTable()
	var acks []int64
	source := sourceNode("in", func() *counter {
		return &counter{to: 5000, step: 5, acked: func(next int64) {
			acks = append(acks, next)
			rows.mu.Lock()
			defer rows.mu.Unlock()
			if int64(len(rows.committed)) < next {
				t.Errorf("acked up to %d, committed are %d rows", next, len(rows.committed))
			}
		}}
	})
	_, err := b.run(t, &plan.Workflow{
		Name: "ack", Execution: plan.Execution{CheckpointInterval: time.Millisecond},
		Nodes: []*plan.Node{source, sinkNode("out", func() connector.Sink {
			return &decidingSink{tableSink{table: rows}}
		}, "in")},
	}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(acks) == 0 || acks[len(acks)-1] != 5000 || !slices.IsSorted(acks) {
		t.Errorf("acks %v", acks)
	}
}

// invariant: memory is freed once, after the last user
func TestLeaseFreesAfterTheLastUser(t *testing.T) {
	freed := 0
	l := newLease(nil, func() { freed++ }, nil)
	l.share(2)
	l.drop()
	l.drop()
	if freed != 0 {
		t.Fatal("freed while in use")
	}
	l.drop()
	if freed != 1 {
		t.Fatalf("freed %d times", freed)
	}
	defer func() {
		if recover() == nil {
			t.Error("a drop too many went unnoticed")
		}
	}()
	l.drop()
}

// Several writers of one sink: each row once, whatever step of a checkpoint fails.
func TestParallelWritersKeepEveryRow(t *testing.T) {
	for point := 1; point < 30; point++ {
		b := newBed(t)
		tables := []*table{newTable(), newTable(), newTable()}
		var calls atomic.Int64
		fail := func(op string) error {
			if op != "write" && calls.Add(1) == int64(point) {
				return errCrash
			}
			return nil
		}
		sink := sinkNode("out", func() connector.Sink {
			return &dealtSink{stagingSink{tableSink{fail: fail}}, tables}
		}, "in")
		sink.Parallelism, sink.SinkSpec.Parallel, sink.SinkSpec.PreferredRows = 3, true, 50
		w := &plan.Workflow{
			Name: "lanes", Execution: plan.Execution{CheckpointInterval: 200 * time.Microsecond},
			Nodes: []*plan.Node{
				sourceNode("in", func() *counter { return &counter{to: 2000, step: 20} }), sink,
			},
		}
		if _, err := b.run(t, w, Options{}); err != nil {
			if !errors.Is(err, errCrash) {
				t.Fatal(err)
			}
			if _, err := b.run(t, w, Options{}); err != nil {
				t.Fatalf("point %d, resumed: %v", point, err)
			}
		}
		var all []int64
		for i, rows := range tables {
			if len(rows.committed) == 0 {
				t.Errorf("writer %d wrote nothing", i)
			}
			all = append(all, rows.committed...)
		}
		slices.Sort(all)
		if !slices.Equal(all, numbers(0, 2000)) {
			t.Fatalf("point %d: %d rows", point, len(all))
		}
	}
}

// dealtSink writes to the table of its task's index.
type dealtSink struct {
	stagingSink
	tables []*table
}

func (s *dealtSink) Open(ctx context.Context, task connector.Task) error {
	s.table = s.tables[task.Index]
	return s.stagingSink.Open(ctx, task)
}

// A failure that ends a checkpoint under way is reported, not the checkpoint's cancellation: its
// class decides about a restart.
func TestFailureDuringACheckpointIsTheReason(t *testing.T) {
	b := newBed(t)
	failure := &connector.Error{Op: "read", Class: connector.Data, Err: errCrash}
	failing, failed := make(chan struct{}), make(chan struct{})
	b.catalog.fail = func(op string) error {
		if op == "prepare" {
			close(failing)
			<-failed
			<-time.After(20 * time.Millisecond) // the attempt's context ends meanwhile
			return context.Canceled
		}
		return nil
	}
	report, err := b.run(t, &plan.Workflow{
		Name: "reason", Execution: plan.Execution{
			CheckpointInterval: time.Millisecond,
			Restart:            lifecycle.Strategy{Kind: lifecycle.FixedDelay, Attempts: 3},
		},
		Nodes: []*plan.Node{
			sourceNode("in", func() *counter {
				return &counter{to: 1 << 40, step: 1, fail: func(int64) error {
					select {
					case <-failing:
						close(failed)
						return failure
					default:
						return nil
					}
				}}
			}),
			sinkNode("out", func() connector.Sink { return &stagingSink{tableSink{table: newTable()}} }, "in"),
		},
	}, Options{})
	if !errors.Is(err, errCrash) || report.Restarts != 0 {
		t.Errorf("error %v after %d restarts", err, report.Restarts)
	}
}
