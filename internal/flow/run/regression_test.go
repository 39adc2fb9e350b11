package run

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/flow/op"
	"github.com/tapeline/tapeline/internal/flow/plan"
	"github.com/tapeline/tapeline/internal/lifecycle"
)

func startWorkflow(t *testing.T, b *bed, w *plan.Workflow) *Workflow {
	t.Helper()
	p, err := plan.New(w)
	if err != nil {
		t.Fatal(err)
	}
	s, err := b.cluster.Start(t.Context(), p, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// an idle source keeps the whole memory.
func TestIdleSourceStarves(t *testing.T) {
	b, rows := newBed(t), newTable()
	gate := make(chan struct{})
	w := startWorkflow(t, b, &plan.Workflow{
		Name: "idle", Execution: plan.Execution{MemoryBytes: 2 << 20},
		Nodes: []*plan.Node{
			sourceNode("idle1", func() *counter { return &counter{to: 10, step: 10, gate: gate} }),
			sourceNode("idle2", func() *counter { return &counter{to: 10, step: 10, gate: gate} }),
			sourceNode("busy", func() *counter { return &counter{next: 100, to: 10000, step: 10} }),
			sinkNode("out", func() connector.Sink { return &decidingSink{tableSink{table: rows}} },
				"idle1", "idle2", "busy"),
		},
	})
	deadline := time.After(3 * time.Second)
	for w.Snapshot().RowsOut < 9900 {
		select {
		case <-deadline:
			t.Fatalf("%d rows while two sources are idle", w.Snapshot().RowsOut)
		case <-time.After(time.Millisecond):
		}
	}
	close(gate)
	_, _ = w.Wait()
}

// dead letter counters of the manifest include rows behind the barrier.
func TestDeadCountsAfterResume(t *testing.T) {
	b, rows, slow := newBed(t), newTable(), newTable()
	var holding, crash atomic.Bool
	hold := make(chan struct{})
	refuse := func(n int64) (bool, string) { return false, "no" }
	doc := func(first bool) *plan.Workflow {
		return &plan.Workflow{
			Name: "dead", Execution: plan.Execution{Parallelism: 1, CheckpointInterval: 5 * time.Millisecond},
			Nodes: []*plan.Node{
				sourceNode("in", func() *counter {
					return &counter{to: 2000, step: 1, fail: func(n int64) error {
						<-time.After(20 * time.Microsecond)
						if first && crash.Load() {
							return errCrash
						}
						return nil
					}}
				}),
				operatorNode("no", mapOperator(refuse), "in"),
				sinkNode("out", func() connector.Sink { return &stagingSink{tableSink{table: rows}} }, "no"),
				sourceNode("in2", func() *counter { return &counter{to: 1, step: 1} }),
				sinkNode("slow", func() connector.Sink {
					return &stagingSink{tableSink{table: slow, fail: func(op string) error {
						if op == "prepare" && first && holding.Swap(true) {
							return errCrash // in the second epoch
						} else if op == "prepare" && first {
							<-hold // the other pipeline passed its barrier and goes on
						}
						return nil
					}}}
				}, "in2"),
			},
		}
	}
	w := startWorkflow(t, b, doc(true))
	for !holding.Load() {
		<-time.After(time.Millisecond)
	}
	<-time.After(20 * time.Millisecond)
	close(hold)
	if _, err := w.Wait(); !errors.Is(err, errCrash) {
		t.Fatal(err)
	}
	report, err := b.run(t, doc(false), Options{})

	if err != nil || report.DeadLetters != 2000 {
		t.Fatalf("%d dead letters, want 2000 (%v)", report.DeadLetters, err)
	}
}

// deadDecider is a decider as dead letter sink: its Commit decides when nobody else did (as the SQL
// sinks do), and its Recover refuses a catalog ahead of it.
type deadDecider struct {
	decidingSink
	last uint64
}

func (s *deadDecider) Open(ctx context.Context, task connector.Task) error {
	s.task = task
	s.table.mu.Lock()
	s.last = s.table.epochs[task.Run]
	s.table.mu.Unlock()
	return nil
}

func (s *deadDecider) Write(_ context.Context, c connector.Chunk) error {
	for i := range c.Batch.Len() {
		s.open = append(s.open, int64(i))
	}
	return nil
}

func (s *deadDecider) Commit(ctx context.Context, e connector.Epoch, _ []byte) error {
	if s.last >= e.Number {
		return nil
	}
	if err := s.ask("deadcommit"); err != nil {
		return err
	}
	s.last = e.Number
	return s.Decide(ctx, e)
}

func (s *deadDecider) Recover(_ context.Context, e connector.Epoch, token []byte) error {
	if s.last < e.Number {
		return fmt.Errorf("the database committed %d, the catalog %d", s.last, e.Number)
	}
	return nil
}

// crash between manifest commit and dead letters' commit.
func TestDecidingDeadLetterSink(t *testing.T) {
	b, rows, dead := newBed(t), newTable(), newTable()
	crashed := false
	refuse := func(n int64) (bool, string) { return n%2 == 0, map[bool]string{true: "odd"}[n%2 == 1] }
	w := &plan.Workflow{
		Name: "dd", Nodes: []*plan.Node{
			sourceNode("in", func() *counter { return &counter{to: 10, step: 10} }),
			operatorNode("no", mapOperator(refuse), "in"),
			sinkNode("out", func() connector.Sink { return &decidingSink{tableSink{table: rows}} }, "no"),
		},
		DeadLetter: sinkNode("dead_letter", func() connector.Sink {
			return &deadDecider{decidingSink: decidingSink{tableSink{table: dead, fail: func(op string) error {
				if op == "deadcommit" && !crashed {
					crashed = true
					return errCrash
				}
				return nil
			}}}}
		}),
	}
	if _, err := b.run(t, w, Options{}); !errors.Is(err, errCrash) {
		t.Fatal(err)
	}
	if _, err := b.run(t, w, Options{}); err != nil {
		t.Fatalf("resume: %v", err)
	}
	if len(dead.committed) != 5 {
		t.Fatalf("%d dead letters, want 5", len(dead.committed))
	}
}

// decider identity across resumes: a deciding sink is added behind the others.
func TestDeciderChangesBetweenRuns(t *testing.T) {
	b, rows, other := newBed(t), newTable(), newTable()
	b.catalog.fail = func(op string) error {
		if op == "commit" {
			return errCrash
		}
		return nil
	}
	in := func() *plan.Node { return sourceNode("in", func() *counter { return &counter{to: 10, step: 10} }) }
	out := func() *plan.Node {
		return sinkNode("out", func() connector.Sink { return &relaxedDecider{decidingSink{tableSink{table: rows}}} }, "in")
	}
	if _, err := b.run(t, &plan.Workflow{Name: "x", Nodes: []*plan.Node{in(), out()}}, Options{}); !errors.Is(err, errCrash) {
		t.Fatal(err)
	}
	b.catalog.fail = nil
	more := sinkNode("more", func() connector.Sink { return &relaxedDecider{decidingSink{tableSink{table: other}}} }, "in")
	_, err := b.run(t, &plan.Workflow{Name: "x", Nodes: []*plan.Node{in(), out(), more}}, Options{})
	if err != nil {
		t.Logf("refused: %v", err)
		return
	}
	if len(rows.committed) != 10 {
		t.Fatalf("%d rows in the exactly-once sink, want 10", len(rows.committed))
	}
}

// relaxedDecider behaves as sqlkit.Epochs: an epoch may be written again after Recover to a lower one.
type relaxedDecider struct{ decidingSink }

func (s *relaxedDecider) Decide(_ context.Context, e connector.Epoch) error {
	s.table.mu.Lock()
	defer s.table.mu.Unlock()
	s.table.epochs[s.task.Run] = e.Number
	s.table.committed = append(s.table.committed, s.open...)
	s.open = nil
	return nil
}

// limiter is an ordered limit.
type limiter struct{ left int }

func (l *limiter) Bind(*batch.Schema) (op.Bound, error) { return l, nil }
func (l *limiter) Apply(b *batch.Batch, out *op.Output) error {
	n := min(b.Len(), l.left)
	l.left -= n
	out.Emit(b.Slice(0, n))
	out.Done = l.left == 0
	return nil
}

// what --limit builds, on an incremental source; the next run without it.
func TestLimitLosesIncrementalRows(t *testing.T) {
	b, rows := newBed(t), newTable()
	in := func() *plan.Node {
		n := sourceNode("in", func() *counter { return &counter{to: 1000, step: 100} })
		n.SourceSpec = connector.SourceCapabilities{Bounded: true, Resumable: true, Incremental: true}
		return n
	}
	out := func(from string) *plan.Node {
		return sinkNode("out", func() connector.Sink { return &decidingSink{tableSink{table: rows}} }, from)
	}
	limit := operatorNode("in limit", nil, "in")
	limit.Ordered = true
	limit.NewOperator = func(op.Env) (op.Operator, error) { return &limiter{left: 5}, nil }
	if _, err := b.run(t, &plan.Workflow{Name: "l", Nodes: []*plan.Node{in(), limit, out("in limit")}}, Options{}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.run(t, &plan.Workflow{Name: "l", Nodes: []*plan.Node{in(), out("in")}}, Options{}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(rows.committed)
	if got := slices.Compact(rows.committed); len(got) != 1000 {
		t.Fatalf("%d of 1000 rows ever arrived", len(got))
	}
}

// A source that a limit ended before the run was taken up again is read from its start by the next
// run, as if nothing had come between.
func TestLimitBeforeAResumption(t *testing.T) {
	b, rows, written := newBed(t), newTable(), make(chan struct{}, 1)
	tell := func(op string) error {
		if op != "write" {
			return nil
		}
		select {
		case written <- struct{}{}:
		default:
		}
		return nil
	}
	// A run takes so many rows of one source, and waits for ever where another has some.
	start := func(to, others int64, limited bool) *Workflow {
		in := sourceNode("in", func() *counter { return &counter{to: to, step: 100} })
		in.SourceSpec = connector.SourceCapabilities{Bounded: true, Resumable: true, Incremental: true}
		nodes, from := []*plan.Node{in, sourceNode("wait", func() *counter {
			return &counter{to: others, gate: make(chan struct{})}
		})}, "in"
		if limited {
			limit := operatorNode("limit", nil, "in")
			limit.Ordered, from = true, "limit"
			limit.NewOperator = func(env op.Env) (op.Operator, error) {
				return op.Limit().New(env, &op.LimitConfig{Rows: 5})
			}
			nodes = append(nodes, limit)
		}
		return startWorkflow(t, b, &plan.Workflow{Name: "l", Nodes: append(nodes,
			sinkNode("out", func() connector.Sink {
				return &decidingSink{tableSink{table: rows, fail: tell}}
			}, from, "wait"))})
	}
	w := start(1000, 1, true)
	<-written
	w.Drain()
	_, err := w.Wait()
	_, resumed := start(100, 0, true).Wait()
	_, next := start(1000, 0, false).Wait()
	err = errors.Join(err, resumed, next)
	slices.Sort(rows.committed)
	if got := slices.Compact(rows.committed); err != nil || len(got) != 1000 {
		t.Errorf("%d of 1000 rows ever arrived: %v", len(got), err)
	}
}

// trickle delivers a row each interval for ever.
type trickle struct {
	counter
	every time.Duration
}

func (s *trickle) Read(ctx context.Context) (connector.Chunk, error) {
	select {
	case <-time.After(s.every):
	case <-ctx.Done():
		return connector.Chunk{}, ctx.Err()
	}
	return s.counter.Read(ctx)
}

// rows that come more often than linger are never flushed by it.
func TestLingerIsMeasuredFromTheOldestRow(t *testing.T) {
	b, rows := newBed(t), newTable()
	sink := sinkNode("out", func() connector.Sink { return &decidingSink{tableSink{table: rows}} }, "in")
	sink.SinkSpec.PreferredRows = 10000
	n := sourceNode("in", nil)
	n.NewSource = func(connector.Env) (connector.Source, error) {
		return &trickle{counter{to: 1 << 40, step: 1}, 5 * time.Millisecond}, nil
	}
	w := startWorkflow(t, b, &plan.Workflow{
		Name: "linger", Execution: plan.Execution{Batching: plan.Batching{Linger: 20 * time.Millisecond}},
		Nodes: []*plan.Node{n, sink},
	})
	<-time.After(time.Second)
	got := w.Snapshot().RowsOut
	w.Drain()
	_, _ = w.Wait()
	if got == 0 {
		t.Fatal("no row was written in 1 s with a linger of 20 ms")
	}
}

// decoded is a Decoder whose decoded memory has a Release of its own.
type decodedSource struct {
	counter
	released, made *atomic.Int64
}

func (s *decodedSource) Read(ctx context.Context) (connector.Chunk, error) {
	c, err := s.counter.Read(ctx)
	c.Payload, c.Batch = c.Batch, nil
	return c, err
}

func (s *decodedSource) NewDecode() connector.DecodeFunc {
	return func(c connector.Chunk) (connector.Chunk, error) {
		c.Batch, c.Payload = c.Payload.(*batch.Batch), nil
		s.made.Add(1)
		before := c.Release
		c.Release = func() {
			s.released.Add(1)
			if before != nil {
				before()
			}
		}
		return c, nil
	}
}

// memory a DecodeFunc took is given back.
func TestDecodedMemoryIsReleased(t *testing.T) {
	b, rows := newBed(t), newTable()
	var released, made atomic.Int64
	n := sourceNode("in", nil)
	n.NewSource = func(connector.Env) (connector.Source, error) {
		return &decodedSource{counter{to: 100, step: 10}, &released, &made}, nil
	}
	if _, err := b.run(t, &plan.Workflow{Name: "rel", Nodes: []*plan.Node{
		n,
		sinkNode("out", func() connector.Sink { return &decidingSink{tableSink{table: rows}} }, "in"),
	}}, Options{}); err != nil {
		t.Fatal(err)
	}
	if released.Load() != made.Load() {
		t.Fatalf("%d chunks decoded, %d released", made.Load(), released.Load())
	}
}

// T8 (-race): drain of a source that never delivered.
func TestDrainRace(t *testing.T) {
	for range 20 {
		b := newBed(t)
		gate := make(chan struct{})
		w := startWorkflow(t, b, &plan.Workflow{Name: "race", Nodes: []*plan.Node{
			sourceNode("in", func() *counter { return &counter{to: 10, step: 10, gate: gate} }),
			sinkNode("out", func() connector.Sink { return &decidingSink{tableSink{table: newTable()}} }, "in"),
		}})
		w.Drain()
		_, _ = w.Wait()
	}
}

// onceSource is standard input: what was read is gone.
type onceSource struct{ *counter }

func (s onceSource) Open(_ context.Context, _ connector.Partition, p connector.Position) error {
	if p != nil {
		return errors.New("cannot resume")
	}
	return nil
}

// a restart before the first checkpoint loses what a not resumable source delivered.
func TestRestartOfNotResumableSource(t *testing.T) {
	b, rows := newBed(t), newTable()
	shared := &counter{to: 1000, step: 10}
	n := sourceNode("in", nil)
	n.SourceSpec.Bounded = true
	n.NewSource = func(connector.Env) (connector.Source, error) { return onceSource{shared}, nil }
	var writes atomic.Int64
	report, err := b.run(t, &plan.Workflow{Name: "once", Execution: plan.Execution{
		Restart: lifecycle.Strategy{Kind: lifecycle.FixedDelay, Attempts: 3},
	}, Nodes: []*plan.Node{n, sinkNode("out", func() connector.Sink {
		return &decidingSink{tableSink{table: rows, fail: func(op string) error {
			if op == "write" && writes.Add(1) == 20 {
				return errCrash
			}
			return nil
		}}}
	}, "in")}}, Options{})
	if err == nil && len(rows.committed) != 1000 {
		t.Fatalf("run %s with %d of 1000 rows", report.Status, len(rows.committed))
	}
}

// fewer writers after a resume leave staged rows of the others behind.
type keepingSink struct {
	tableSink
	shared *sync.Map // index -> rows staged, committed but not published until Final
}

func (s *keepingSink) key() string { return strconv.Itoa(s.task.Index) }
func (s *keepingSink) Prepare(context.Context, connector.Epoch) (connector.Prepared, error) {
	var all []int64
	if v, ok := s.shared.Load(s.key()); ok {
		all = v.([]int64)
	}
	all = append(slices.Clone(all), s.open...)
	s.open = nil
	s.shared.Store(s.key(), all)
	return connector.Prepared{Token: binary.BigEndian.AppendUint64(nil, uint64(len(all)))}, nil
}

func (s *keepingSink) Commit(_ context.Context, e connector.Epoch, token []byte) error {
	if !e.Final {
		return nil
	}
	s.table.mu.Lock()
	defer s.table.mu.Unlock()
	v, _ := s.shared.Load(s.key())
	s.table.committed = append(s.table.committed, v.([]int64)[:binary.BigEndian.Uint64(token)]...)
	return nil
}

func (s *keepingSink) Recover(_ context.Context, e connector.Epoch, token []byte) error {
	if token == nil {
		s.shared.Delete(s.key())
		return nil
	}
	v, _ := s.shared.Load(s.key())
	s.shared.Store(s.key(), v.([]int64)[:binary.BigEndian.Uint64(token)])
	return nil
}

func TestFewerWritersAfterResume(t *testing.T) {
	b, rows := newBed(t), newTable()
	var shared sync.Map
	doc := func(writers int, gate chan struct{}) *plan.Workflow {
		out := sinkNode("out", func() connector.Sink { return &keepingSink{tableSink{table: rows}, &shared} }, "in")
		out.SinkSpec.Parallel, out.Parallelism = true, writers
		return &plan.Workflow{Name: "w", Nodes: []*plan.Node{
			sourceNode("in", func() *counter { return &counter{to: 100, step: 1, gate: gate} }), out,
		}}
	}
	gate := make(chan struct{}, 50)
	for range 50 {
		gate <- struct{}{}
	}
	w := startWorkflow(t, b, doc(4, gate))
	for w.Snapshot().RowsOut < 50 {
		<-time.After(time.Millisecond)
	}
	w.Drain()
	if _, err := w.Wait(); err != nil {
		t.Fatal(err)
	}
	open := make(chan struct{})
	close(open)
	_, err := b.run(t, doc(2, open), Options{})
	if err == nil && len(rows.committed) != 100 {
		t.Fatalf("completed with %d of 100 rows", len(rows.committed))
	}
}

// a panic in Open must not end the process.
type panicking struct{ tableSink }

func (s *panicking) Open(context.Context, connector.Task) error { panic("library") }

func TestPanicInOpen(t *testing.T) {
	defer func() { _ = io.EOF }()
	b := newBed(t)
	if _, err := b.run(t, &plan.Workflow{Name: "p", Nodes: []*plan.Node{
		sourceNode("in", func() *counter { return &counter{to: 10, step: 10} }),
		sinkNode("out", func() connector.Sink { return &panicking{} }, "in"),
	}}, Options{}); err == nil {
		t.Fatal("no error")
	}
}

// small chunks over an edge into a merging sink: it writes when the edge's credits are with it, since no more
// chunks could come. Would it wait for the linger time, this would not end.
func TestSmallChunksIntoMergingSink(t *testing.T) {
	b, rows, other := newBed(t), newTable(), newTable()
	slow := sinkNode("out", func() connector.Sink { return &decidingSink{tableSink{table: rows}} }, "in")
	slow.SinkSpec.PreferredRows = 10000
	execution := plan.Execution{Batching: plan.Batching{Linger: time.Hour}}
	if _, err := b.run(t, &plan.Workflow{Name: "small", Execution: execution, Nodes: []*plan.Node{
		sourceNode("in", func() *counter { return &counter{to: 16000, step: 10} }), slow,
		sinkNode("other", func() connector.Sink { return &stagingSink{tableSink{table: other}} }, "in"),
	}}, Options{}); err != nil {
		t.Fatal(err)
	}
	if len(rows.committed) != 16000 || len(other.committed) != 16000 {
		t.Fatalf("%d and %d rows are committed, want 16,000", len(rows.committed), len(other.committed))
	}
}

// what was opened is closed when Recover refuses.
type closing struct {
	decidingSink
	closed *atomic.Int64
}

func (s *closing) Recover(context.Context, connector.Epoch, []byte) error { return errCrash }
func (s *closing) Close() error                                           { s.closed.Add(1); return nil }

func TestFailedRecoverClosesTheSink(t *testing.T) {
	b := newBed(t)
	var closed atomic.Int64
	_, _ = b.run(t, &plan.Workflow{Name: "c", Nodes: []*plan.Node{
		sourceNode("in", func() *counter { return &counter{to: 1, step: 1} }),
		sinkNode("out", func() connector.Sink { return &closing{closed: &closed} }, "in"),
	}}, Options{})
	if closed.Load() != 1 {
		t.Fatalf("closed %d times", closed.Load())
	}
}

// A run that has no checkpoint fails at once when a sink cannot be opened, unless the document sets
// a restart strategy; later the default strategy holds.
func TestRefusedOpening(t *testing.T) {
	refused := &connector.Error{Op: "connect", Class: connector.Transient, Err: errors.New("refused")}
	for _, c := range []struct {
		name    string
		patient bool
		from    int // opening that is refused the first time
		fails   bool
	}{{"at the start", false, 1, true}, {"patient", true, 1, false}, {"after a checkpoint", false, 2, false}} {
		b, rows := newBed(t), newTable()
		opened := 0
		fail := func(op string) error {
			if op != "open" {
				return nil
			}
			if opened++; opened == c.from {
				return refused
			}
			return nil
		}
		broken := false
		report, err := b.run(t, &plan.Workflow{
			Name: "refused", Execution: plan.Execution{
				CheckpointInterval: time.Millisecond, Patient: c.patient,
				Restart: lifecycle.Strategy{Kind: lifecycle.FixedDelay, Attempts: 2},
			},
			Nodes: []*plan.Node{
				sourceNode("in", func() *counter {
					return &counter{to: 5000, step: 5, fail: func(int64) error {
						rows.mu.Lock()
						defer rows.mu.Unlock()
						if c.from > 1 && len(rows.committed) > 0 && !broken {
							broken = true
							return errCrash
						}
						return nil
					}}
				}),
				sinkNode("out", func() connector.Sink {
					return &decidingSink{tableSink{table: rows, fail: fail}}
				}, "in"),
			},
		}, Options{})
		switch {
		case c.fails && (!errors.Is(err, refused) || report.Restarts != 0):
			t.Errorf("%s: %v after %d restarts, want the refusal at once", c.name, err, report.Restarts)
		case !c.fails && (err != nil || len(rows.committed) != 5000):
			t.Errorf("%s: %d rows, %v", c.name, len(rows.committed), err)
		}
	}
}

// invariant: the data path sends nothing through Workflow or Cluster
func TestMessagesDoNotGrowWithTheData(t *testing.T) {
	messages := func(chunks int64) int64 {
		b := newBed(t)
		w := startWorkflow(t, b, &plan.Workflow{Name: "quiet", Nodes: []*plan.Node{
			sourceNode("in", func() *counter { return &counter{to: chunks, step: 1} }),
			operatorNode("even", mapOperator(even), "in"),
			sinkNode("out", func() connector.Sink { return &decidingSink{tableSink{table: newTable()}} }, "even"),
			sinkNode("more", func() connector.Sink { return &stagingSink{tableSink{table: newTable()}} }, "even"),
		}})
		if report, err := w.Wait(); err != nil || report.Checkpoints != 1 {
			t.Fatalf("%d checkpoints, %v", report.Checkpoints, err)
		}
		return w.messages.Load()
	}
	few, many := messages(10), messages(2000)
	if few != many || few == 0 {
		t.Errorf("%d messages for 10 chunks, %d for 2000: want as many", few, many)
	}
}

// ackless is a source that cannot be told what is committed.
type ackless struct{ counter }

func (s *ackless) Ack(context.Context, connector.Position) error { return errCrash }

// The position was committed all the same.
func TestFailedAckDoesNotFailTheRun(t *testing.T) {
	b, rows := newBed(t), newTable()
	n := sourceNode("in", nil)
	n.NewSource = func(connector.Env) (connector.Source, error) {
		return &ackless{counter{to: 1000, step: 10}}, nil
	}
	report, err := b.run(t, &plan.Workflow{
		Name: "ackless", Execution: plan.Execution{CheckpointInterval: time.Millisecond},
		Nodes: []*plan.Node{
			n, sinkNode("out", func() connector.Sink { return &decidingSink{tableSink{table: rows}} }, "in"),
		},
	}, Options{})
	if err != nil || report.Restarts != 0 || len(rows.committed) != 1000 {
		t.Errorf("%d rows after %d restarts, %v", len(rows.committed), report.Restarts, err)
	}
}

// A reader that came to its end while it was told to finish ends once: the other one still reads.
func TestReaderEndsOnce(t *testing.T) {
	b := newBed(t)
	p, err := plan.New(&plan.Workflow{Name: "ends", Nodes: []*plan.Node{
		sourceNode("in", func() *counter { return &counter{} }),
		sinkNode("out", func() connector.Sink { return &tableSink{} }, "in"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	a := newAttempt(newWorkflow(b.cluster, p, Options{}))
	task := newTask(a, p.Stages[0])
	task.readers = []*reader{{}, {}}
	for _, input := range []int{0, 0} {
		if err := task.accept(t.Context(), &item{input: input, end: true}); err != nil {
			t.Fatal(err)
		}
	}
	if len(a.inbox.receive()) != 0 {
		t.Error("the task is exhausted with a reader that reads")
	}
	if err := task.accept(t.Context(), &item{input: 1, end: true}); err != nil {
		t.Fatal(err)
	}
	if e := <-a.inbox.receive(); !e.exhausted {
		t.Errorf("event %+v, want the end", e)
	}
}

// A run whose lease another process took stops at once and is not restarted.
func TestLostLeaseStopsTheRun(t *testing.T) {
	b, gate := newBed(t), make(chan struct{})
	w := startWorkflow(t, b, &plan.Workflow{
		Name: "lost", Execution: plan.Execution{
			Restart: lifecycle.Strategy{Kind: lifecycle.FixedDelay, Attempts: 3},
		},
		Nodes: []*plan.Node{
			sourceNode("in", func() *counter { return &counter{to: 1, step: 1, gate: gate} }),
			sinkNode("out", func() connector.Sink { return &decidingSink{tableSink{table: newTable()}} }, "in"),
		},
	})
	for w.Status() != Running {
		<-time.After(time.Millisecond)
	}
	taken := errors.New("taken over")
	b.catalog.mu.Lock()
	lost := b.catalog.lost
	b.catalog.mu.Unlock()
	lost(taken)
	report, err := w.Wait()
	if !errors.Is(err, taken) || report.Status != Failed || report.Restarts != 0 {
		t.Errorf("%s after %d restarts, %v; want the loss of the lease", report.Status, report.Restarts, err)
	}
}
