package filesink

import (
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/vfs"
	"github.com/tapeline/tapeline/internal/vfs/simfs"
)

// process is a stage of one process of a workflow.
type process struct {
	state, path, run string
	fence            uint64
}

func (p process) start(system *simfs.FS) (*Stage, error) {
	s, err := NewStage(StageConfig{
		Env: connector.Env{FS: system, Dir: p.state}, Sink: SinkConfig{Path: p.path}, Suffix: ".csv",
	})
	if err == nil {
		err = s.Open(context.Background(), connector.Task{Run: p.run, Node: "out", Count: 1, Fence: p.fence})
	}
	return s, err
}

// stage stages a line and ends without publishing it.
func (p process) stage(t *testing.T, system *simfs.FS) {
	t.Helper()
	s, err := p.start(system)
	if err != nil {
		t.Fatal(err)
	}
	o := owner{s, t}
	o.write("line of "+p.run+"\n", connector.Epoch{Number: 1})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// hiddenParts lists the hidden parts of folders.
func hiddenParts(t *testing.T, system *simfs.FS, folders ...string) string {
	t.Helper()
	var names []string
	for _, folder := range folders {
		entries, err := system.List(folder)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		for _, entry := range entries {
			if strings.HasPrefix(entry.Name(), ".") {
				names = append(names, entry.Name())
			}
		}
	}
	return strings.Join(names, " ")
}

// TestAbandonedPartsAreRemoved: the next run of the workflow removes what a run left that nobody
// will take up, also where it writes somewhere else, and nothing of others.
func TestAbandonedPartsAreRemoved(t *testing.T) {
	t.Parallel()
	for name, next := range map[string]process{
		"fresh":          {"/state/w", "/out/a.csv", "r2", 2},
		"another target": {"/state/w", "/other/b.csv", "r2", 2},
		"a folder":       {"/state/w", "/out/", "r2", 2},
	} {
		system := simfs.New()
		process{"/state/w", "/out/a.csv", "r1", 1}.stage(t, system)
		process{"/state/v", "/out/a.csv", "other", 9}.stage(t, system)
		process{"", "/out/a.csv", "nobody", 1}.stage(t, system)
		s, err := next.start(system)
		if err != nil {
			t.Fatal(err)
		}
		left := hiddenParts(t, system, "/out")
		if strings.Contains(left, ".r1.") || strings.Count(left, " ") != 1 ||
			!strings.Contains(left, ".other.") || !strings.Contains(left, ".nobody.") {
			t.Errorf("%s: left are %s", name, left)
		}
		final := connector.Epoch{Number: 1, Final: true}
		if err := s.Commit(t.Context(), final, owner{s, t}.write("text", final)); err != nil {
			t.Fatal(err)
		}
		records, err := system.List("/state/w/staged")
		if err != nil || len(records) > 0 {
			t.Errorf("%s: records %v are left (%v)", name, records, err)
		}
	}
}

// TestResumedRunKeepsItsParts: a run that is taken up is not abandoned.
func TestResumedRunKeepsItsParts(t *testing.T) {
	t.Parallel()
	system := simfs.New()
	first := process{"/state/w", "/out/a.csv", "r1", 1}
	first.stage(t, system)
	before := hiddenParts(t, system, "/out")
	first.fence = 2
	if _, err := first.start(system); err != nil {
		t.Fatal(err)
	}
	if after := hiddenParts(t, system, "/out"); after != before || after == "" {
		t.Errorf("got %s, before %s", after, before)
	}
}

// TestLateProcessRemovesNothing: a process that lost its lease to another run stops, and leaves that
// run's parts alone.
func TestLateProcessRemovesNothing(t *testing.T) {
	t.Parallel()
	system := simfs.New()
	process{"/state/w", "/out/a.csv", "r2", 2}.stage(t, system)
	var e *connector.Error
	if _, err := (process{"/state/w", "/out/a.csv", "r1", 1}).start(system); !errors.As(err, &e) || e.Code != "fenced" {
		t.Errorf("got %v, want fenced", err)
	}
	if left := hiddenParts(t, system, "/out"); !strings.Contains(left, ".r2.") {
		t.Errorf("left are %q", left)
	}
}

// TestAbandonedPartsOutOfReach: they do not keep the next run from its work, and are removed once
// they can be.
func TestAbandonedPartsOutOfReach(t *testing.T) {
	t.Parallel()
	system := simfs.New()
	process{"/state/w", "/mount/a.csv", "r1", 1}.stage(t, system)
	system.Inject(func(_ simfs.Op, name string) error {
		if strings.HasPrefix(name, "/mount") {
			return syscall.EIO
		}
		return nil
	})
	process{"/state/w", "/out/b.csv", "r2", 2}.stage(t, system)
	system.Inject(nil)
	if left := hiddenParts(t, system, "/mount"); !strings.Contains(left, ".r1.") {
		t.Fatalf("left are %q", left)
	}
	process{"/state/w", "/out/b.csv", "r3", 3}.stage(t, system)
	if left := hiddenParts(t, system, "/mount", "/out"); strings.Contains(left, ".r1.") ||
		strings.Contains(left, ".r2.") || !strings.Contains(left, ".r3.") {
		t.Errorf("left are %q", left)
	}
}

// TestDamagedRecordRemovesNothing: what is no record, or names no run, is left alone.
func TestDamagedRecordRemovesNothing(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "{", `{"v":1,"run":"r1","dir":"/out","prefix":""}`, `{"v":1,"run":"","dir":"/out","prefix":"."}`,
		`{"v":1,"run":"r1","dir":"/out","prefix":"."}`, `{"v":2,"run":"r1","dir":"/out","prefix":".a.csv.r1."}`,
	} {
		system := simfs.New()
		process{"", "/out/a.csv", "r1", 1}.stage(t, system)
		if err := system.MkdirAll("/state/w/staged"); err != nil {
			t.Fatal(err)
		}
		if err := vfs.Replace(system, "/state/w/staged/r1.out-00.json", []byte(text)); err != nil {
			t.Fatal(err)
		}
		if _, err := (process{"/state/w", "/out/a.csv", "r2", 2}).start(system); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if left := hiddenParts(t, system, "/out"); !strings.Contains(left, ".r1.") {
			t.Errorf("%q: left are %q", text, left)
		}
	}
}

// TestAbandonedAtEveryCrash: wherever a run is cut off, the next one finds all of its parts.
func TestAbandonedAtEveryCrash(t *testing.T) {
	t.Parallel()
	for name, j := range jobs() {
		j.cfg.Env.Dir, j.cfg.Sink.Path = "/state/w", "/"+j.cfg.Sink.Path // simulated names are absolute
		whole := newSystem(t, j)
		start := whole.Operations()
		if err := j.run(whole, &manifest{}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for n := start; n < whole.Operations(); n++ {
			system := newSystem(t, j)
			system.StopAt(n)
			if err := j.run(system, &manifest{}); !errors.Is(err, simfs.ErrStopped) {
				t.Fatalf("%s stopped at %d: got %v", name, n, err)
			}
			clone := system.CrashClone(rand.New(rand.NewPCG(uint64(n), 7)))
			next := j
			next.name = "r2"
			if err := next.run(clone, &manifest{fence: 1}); err != nil {
				t.Fatalf("%s stopped at %d: the next run: %v", name, n, err)
			}
			noneHidden(t, clone)
			if t.Failed() {
				t.Fatalf("%s stopped at %d", name, n)
			}
		}
	}
}
