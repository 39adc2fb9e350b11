package run

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/flow/op"
	"github.com/tapeline/tapeline/internal/flow/plan"
	"github.com/tapeline/tapeline/internal/vfs/simfs"
)

// dedupeWorkflow sends the numbers below rows twice through a dedupe, slowly enough for several
// checkpoints.
func dedupeWorkflow(rows int64, to *table) *plan.Workflow {
	source := func() *counter {
		return &counter{to: rows, step: 10, fail: func(int64) error {
			<-time.After(100 * time.Microsecond)
			return nil
		}}
	}
	first := operatorNode("first", nil, "a", "b")
	first.Ordered, first.Fingerprint = true, "1"
	first.NewOperator = func(env op.Env) (op.Operator, error) {
		return op.Dedupe().New(env, &op.DedupeConfig{Key: []string{"n"}})
	}
	return &plan.Workflow{
		Name: "dedupe", Execution: plan.Execution{CheckpointInterval: 200 * time.Microsecond},
		Nodes: []*plan.Node{
			sourceNode("a", source), sourceNode("b", source), first,
			sinkNode("out", func() connector.Sink { return &decidingSink{tableSink{table: to}} }, "first"),
		},
	}
}

// The machine stops at each operation on the state's files in turn; what a disk may hold then is
// enough to go on, and no row comes twice or not at all.
func TestStateSurvivesACrashAtEveryOperation(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	// More than two epochs: folder, object, its sync, the folder's sync, the sweep. How many a run has
	// is a matter of time.
	const atLeast, most = 15, 100_000
	rows, operations := int64(300), 0
	for operations < atLeast && rows < most {
		operations = crashEverywhere(t, random, rows)
		rows *= 4
	}
	if operations < atLeast {
		t.Errorf("the run had only %d operations to stop at", operations)
	}
	t.Logf("stopped at each of %d operations", operations)
}

// crashEverywhere stops a run of so many rows at each operation and returns their number.
func crashEverywhere(t *testing.T, random *rand.Rand, rows int64) int {
	stop := 0
	for crashed := true; crashed; stop++ {
		to, catalog, disk := newTable(), newMemoryCatalog(), simfs.New()
		b := &bed{catalog, NewCluster(Config{Catalog: catalog, FS: disk, Dir: "/state"})}
		disk.StopAt(stop)
		_, err := b.run(t, dedupeWorkflow(rows, to), Options{})
		if crashed = err != nil; crashed {
			disk = disk.CrashClone(random)
			b.cluster = NewCluster(Config{Catalog: catalog, FS: disk, Dir: "/state"})
			if _, err := b.run(t, dedupeWorkflow(rows, to), Options{}); err != nil {
				t.Fatalf("stopped at operation %d, resumed: %v", stop, err)
			}
		}
		slices.Sort(to.committed)
		if !slices.Equal(to.committed, numbers(0, rows)) {
			t.Fatalf("stopped at operation %d: %d rows, want %d once each", stop, len(to.committed), rows)
		}
		if stop > 10_000 {
			t.Fatal("the run never got through")
		}
	}
	return stop - 1
}

// State objects that no manifest names are swept: those of a finished run when the next one commits,
// those of an epoch that was not committed when it is taken up again.
func TestOldStateIsSwept(t *testing.T) {
	b, disk := newBed(t), simfs.New()
	b.cluster = NewCluster(Config{Catalog: b.catalog, FS: disk, Dir: "/state"})
	objects := func() (names []string) {
		list, err := disk.List("/state/state/dedupe")
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range list {
			names = append(names, o.Name())
		}
		return names
	}
	failing := true
	b.catalog.fail = func(op string) error {
		if op == "prepare" && failing {
			return errCrash
		}
		return nil
	}
	if _, err := b.run(t, dedupeWorkflow(100, newTable()), Options{}); err == nil {
		t.Fatal("the failing checkpoint went unnoticed")
	}
	if got := objects(); len(got) != 1 {
		t.Fatalf("objects %v, want the one of the epoch that failed", got)
	}
	failing = false
	report, err := b.run(t, dedupeWorkflow(100, newTable()), Options{})
	if err != nil {
		t.Fatal(err)
	}
	kept := objects()
	named, err := decodeManifest(b.catalog.done[report.Run].Manifest)
	if err != nil {
		t.Fatal(err)
	}
	history := named.States["first"]
	want := []string{history.Base.Name}
	for _, o := range history.Increments {
		want = append(want, o.Name)
	}
	slices.Sort(want)
	if !slices.Equal(kept, want) {
		t.Errorf("objects %v, the manifest names %v", kept, want)
	}
	if _, err := b.run(t, dedupeWorkflow(100, newTable()), Options{}); err != nil {
		t.Fatal(err)
	}
	for _, name := range objects() {
		if slices.Contains(kept, name) {
			t.Errorf("%s of the finished run stays", name)
		}
	}
}

// The report says of each checkpoint its number, time and the state bytes written per node.
func TestReportTellsTheCheckpoint(t *testing.T) {
	b := newBed(t)
	report, err := b.run(t, dedupeWorkflow(1000, newTable()), Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := report.Checkpoint
	if c.Epoch != uint64(report.Checkpoints) || c.Epoch == 0 || time.Since(c.Time) > time.Hour ||
		c.ManifestBytes == 0 || c.StateBytes["first"] == 0 {
		t.Errorf("checkpoint %+v of %d", c, report.Checkpoints)
	}
}
