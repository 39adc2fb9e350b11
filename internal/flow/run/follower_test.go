package run

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/fault"
	"github.com/tapeline/tapeline/internal/flow/plan"
	"github.com/tapeline/tapeline/internal/vfs/simfs"
)

// crasher ends a process at its n-th step: from then on nothing takes effect.
type crasher struct {
	mu   sync.Mutex
	left int
}

func (c *crasher) fail(string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left--; c.left < 0 {
		return errCrash
	}
	return nil
}

// crashed reports whether the end was reached.
func (c *crasher) crashed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.left < 0
}

// followersBed is what outlives a process: the catalog, the disk and the databases.
type followersBed struct {
	catalog *memoryCatalog
	disk    *simfs.FS
	tables  map[string]*table
}

func (b *followersBed) table(name string) *table {
	if b.tables[name] == nil {
		b.tables[name] = newTable()
	}
	return b.tables[name]
}

// workflow writes even numbers to two deciding sinks, to one with two writers and to one that
// stages; odd ones are dead letters, in a deciding sink too.
func (b *followersBed) workflow(fail func(string) error) *plan.Workflow {
	sink := func(id string) *plan.Node {
		return sinkNode(id, func() connector.Sink {
			return &decidingSink{tableSink{table: b.table(id), fail: fail}}
		}, "even")
	}
	several := sinkNode("several", func() connector.Sink {
		return &dealtDecider{decidingSink{tableSink{fail: fail}}, b}
	}, "even")
	several.Parallelism, several.SinkSpec.Parallel = 2, true
	odd := mapOperator(func(n int64) (bool, string) {
		return n%2 == 0, map[bool]string{true: "odd"}[n%2 == 1]
	})
	return &plan.Workflow{
		Name: "followers", Execution: plan.Execution{CheckpointInterval: 200 * time.Microsecond},
		Nodes: []*plan.Node{
			sourceNode("in", func() *counter { return &counter{to: 100, step: 10} }),
			operatorNode("even", odd, "in"),
			sink("one"), sink("two"), several,
			sinkNode("staging", func() connector.Sink {
				return &stagingSink{tableSink{table: b.table("staging"), fail: fail}}
			}, "even"),
		},
		DeadLetter: sinkNode("dead", func() connector.Sink {
			return &deadNumbers{decidingSink{tableSink{table: b.table("dead"), fail: fail}}}
		}),
	}
}

// run is one process: it ends at the step, with the power, when that is not negative.
func (b *followersBed) run(t *testing.T, steps int, random *rand.Rand) (crashed bool) {
	t.Helper()
	c := &crasher{left: steps}
	if steps < 0 {
		c.left = 1 << 40
	}
	b.catalog.fail = c.fail
	b.disk.Inject(func(op simfs.Op, _ string) error {
		if op == simfs.OpClose {
			return nil
		}
		return c.fail(string(op))
	})
	p, err := plan.New(b.workflow(c.fail))
	if err != nil {
		t.Fatal(err)
	}
	cluster := NewCluster(Config{Catalog: b.catalog, FS: b.disk, Dir: "state"})
	w, err := cluster.Start(t.Context(), p, Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Wait()
	if err != nil && !errors.Is(err, errCrash) {
		t.Fatalf("after %d steps: %v", steps, err)
	}
	if err == nil && c.crashed() {
		t.Fatalf("after %d steps: a run without a working disk succeeded", steps)
	}
	b.disk = b.disk.CrashClone(random)
	return err != nil
}

func (b *followersBed) check(t *testing.T, what string) {
	t.Helper()
	var even, odd []int64
	for n := range int64(100) {
		if n%2 == 0 {
			even = append(even, n)
		} else {
			odd = append(odd, n)
		}
	}
	several := slices.Concat(b.table("several 0").committed, b.table("several 1").committed)
	slices.Sort(several)
	for name, rows := range map[string][]int64{
		"one": b.table("one").committed, "two": b.table("two").committed, "several": several,
		"staging": b.table("staging").committed,
	} {
		if !slices.Equal(rows, even) {
			t.Errorf("%s: %s has %d rows: %v", what, name, len(rows), rows)
		}
	}
	if dead := b.table("dead").committed; !slices.Equal(dead, odd) {
		t.Errorf("%s: dead letters %v", what, dead)
	}
}

// dealtDecider writes to the table of its task's index.
type dealtDecider struct {
	decidingSink
	bed *followersBed
}

func (s *dealtDecider) Open(ctx context.Context, task connector.Task) error {
	s.table = s.bed.table(fmt.Sprint("several ", task.Index))
	return s.decidingSink.Open(ctx, task)
}

// deadNumbers takes the number out of each dead letter's row.
type deadNumbers struct{ decidingSink }

func (s *deadNumbers) Write(_ context.Context, c connector.Chunk) error {
	if err := s.ask("write"); err != nil {
		return err
	}
	for i := range c.Batch.Len() {
		var n int64
		text := string(c.Batch.Column(c.Batch.Schema().Index("row")).Bytes(c.Batch.Row(i)))
		if _, err := fmt.Sscanf(text, `{"n":%d}`, &n); err != nil {
			return err
		}
		s.open = append(s.open, n)
	}
	return nil
}

// TestFollowersCrashAtEveryStep ends the process and the power at every call to catalog, sinks and
// disk, and once more during the resumption. The last run leaves each row once everywhere.
// invariant: a following sink commits only what its manifest has committed
func TestFollowersCrashAtEveryStep(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for point := 0; ; point++ {
		b := &followersBed{newMemoryCatalog(), simfs.New(), map[string]*table{}}
		crashed := b.run(t, point, random)
		if crashed {
			again := random.IntN(120)
			if b.run(t, again, random) {
				b.run(t, -1, random)
			}
			b.check(t, fmt.Sprintf("crash after step %d, again after %d", point, again))
		} else {
			b.check(t, "undisturbed")
		}
		if t.Failed() {
			return
		}
		if !crashed && point > 100 {
			t.Logf("%d crash points", point)
			return
		}
	}
}

// refusingSink refuses numbers that divide by four, at Write and one by one.
type refusingSink struct {
	decidingSink
	refuse func(n int64) bool
}

func (s *refusingSink) Write(ctx context.Context, c connector.Chunk) error {
	var bad []batch.RowError
	for i := range c.Batch.Len() {
		if row := c.Batch.Row(i); s.refuse(c.Batch.Column(0).Int(row)) {
			bad = append(bad, batch.RowError{Row: row, Reason: "refused"})
		}
	}
	c.Batch = c.Batch.Without(bad)
	if err := s.decidingSink.Write(ctx, c); err != nil {
		return err
	}
	if len(bad) > 0 {
		return &connector.PartialError{Rows: bad}
	}
	return nil
}

// refusals is a workflow of two deciding sinks; the process ends before the second commits.
func refusals(first, second *table, refuse func(n int64) bool, fail func(string) error) *plan.Workflow {
	return &plan.Workflow{Name: "refusals", Nodes: []*plan.Node{
		sourceNode("in", func() *counter { return &counter{to: 8, step: 4} }),
		sinkNode("second", func() connector.Sink {
			return &refusingSink{decidingSink{tableSink{table: second, fail: fail}}, refuse}
		}, "in"),
		sinkNode("first", func() connector.Sink { return &decidingSink{tableSink{table: first}} }, "in"),
	}}
}

func crashAtDecide(op string) error {
	if op == "decide" {
		return errCrash
	}
	return nil
}

// What the sink refused is a dead letter, and stays out of what a resumption writes again.
func TestFollowerRedoesWithoutRefusedRows(t *testing.T) {
	b, first, second := newBed(t), newTable(), newTable()
	four := func(n int64) bool { return n%4 == 0 }
	_, err := b.run(t, refusals(first, second, four, crashAtDecide), Options{})
	if !errors.Is(err, errCrash) || len(second.committed) > 0 || len(first.committed) != 8 {
		t.Fatalf("first %v, second %v: %v", first.committed, second.committed, err)
	}
	report, err := b.run(t, refusals(first, second, four, nil), Options{})
	if err != nil || report.DeadLetters != 2 {
		t.Errorf("%d dead letters: %v", report.DeadLetters, err)
	}
	if want := []int64{1, 2, 3, 5, 6, 7}; !slices.Equal(second.committed, want) {
		t.Errorf("second has %v, want %v", second.committed, want)
	}
}

// Rows that were taken and are refused when they are written again end the run and stay where they
// are, until the obstacle is gone.
func TestFollowerSaysWhatStandsInTheWay(t *testing.T) {
	b, first, second := newBed(t), newTable(), newTable()
	none := func(int64) bool { return false }
	_, err := b.run(t, refusals(first, second, none, crashAtDecide), Options{})
	if !errors.Is(err, errCrash) {
		t.Fatal(err)
	}
	five := func(n int64) bool { return n == 5 }
	_, err = b.run(t, refusals(first, second, five, nil), Options{})
	if err == nil || !strings.Contains(err.Error(), "remove what stands in their way") ||
		!strings.Contains(err.Error(), "second") {
		t.Errorf("refused: %v", err)
	}
	if len(second.committed) > 0 {
		t.Errorf("half an epoch was committed: %v", second.committed)
	}
	if _, err := b.run(t, refusals(first, second, none, nil), Options{}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(second.committed, numbers(0, 8)) {
		t.Errorf("second has %v", second.committed)
	}
}

// A sink that went back behind what its rows come after is refused.
func TestFollowerRefusesARestoredSink(t *testing.T) {
	b, first, second := newBed(t), newTable(), newTable()
	none := func(int64) bool { return false }
	decided := 0
	fail := func(op string) error {
		if op == "decide" {
			if decided++; decided == 2 {
				return errCrash
			}
		}
		return nil
	}
	w := refusals(first, second, none, fail)
	w.Execution.CheckpointInterval = time.Microsecond
	w.Nodes[0] = sourceNode("in", func() *counter { return &counter{to: 5000, step: 4} })
	if _, err := b.run(t, w, Options{}); !errors.Is(err, errCrash) {
		t.Fatal(err)
	}
	clear(second.epochs)
	_, err := b.run(t, w, Options{})
	if fault.ClassOf(err) != connector.Permanent || !strings.Contains(err.Error(), "come after epoch 1") {
		t.Errorf("restored sink: %v", err)
	}
}

// A redo file as large as the workflow's memory asks for a checkpoint, where none would come.
func TestLargeRedoFileEndsTheEpoch(t *testing.T) {
	b, first, second := newBed(t), newTable(), newTable()
	w := refusals(first, second, func(int64) bool { return false }, nil)
	w.Execution.MemoryBytes = 64 << 10
	w.Nodes[0] = sourceNode("in", func() *counter { return &counter{to: 200_000, step: 1000} })
	report, err := b.run(t, w, Options{})
	if err != nil || !slices.Equal(second.committed, numbers(0, 200_000)) {
		t.Fatalf("%d rows: %v", len(second.committed), err)
	}
	// 1.6 MB of numbers; a checkpoint takes a moment, so not every 64 KiB has its own.
	if report.Checkpoints < 3 {
		t.Errorf("%d checkpoints", report.Checkpoints)
	}
}

// markingSink notes a chunk without rows, which makes a table, as -1 in its transaction.
type markingSink struct{ decidingSink }

func (s *markingSink) Write(ctx context.Context, c connector.Chunk) error {
	if c.Batch.Len() == 0 {
		s.open = append(s.open, -1)
	}
	return s.decidingSink.Write(ctx, c)
}

// A crash before a follower's commit does not take the table of a run without rows.
func TestFollowerRedoesTheHeader(t *testing.T) {
	b, first, second := newBed(t), newTable(), newTable()
	run := func(fail func(string) error) error {
		source := sourceNode("in", nil)
		source.NewSource = func(connector.Env) (connector.Source, error) { return &known{}, nil }
		_, err := b.run(t, &plan.Workflow{Name: "w", Nodes: []*plan.Node{
			source,
			sinkNode("second", func() connector.Sink {
				return &markingSink{decidingSink{tableSink{table: second, fail: fail}}}
			}, "in"),
			sinkNode("first", func() connector.Sink {
				return &markingSink{decidingSink{tableSink{table: first}}}
			}, "in"),
		}}, Options{})
		return err
	}
	if err := run(crashAtDecide); !errors.Is(err, errCrash) {
		t.Fatal(err)
	}
	if err := run(nil); err != nil {
		t.Fatal(err)
	}
	if want := []int64{-1}; !slices.Equal(first.committed, want) || !slices.Equal(second.committed, want) {
		t.Errorf("first has %v, second %v, want %v in both", first.committed, second.committed, want)
	}
}
