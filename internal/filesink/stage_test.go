package filesink

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/klauspost/compress/gzip"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/vfs"
	"github.com/tapeline/tapeline/internal/vfs/simfs"
)

// job is a small run of a file sink: epochs of lines, with a commit after each.
type job struct {
	cfg    StageConfig
	epochs int
	name   string // of the run; "": r1
}

// manifest is what an engine keeps durable: the newest committed epoch and its token.
type manifest struct {
	epoch connector.Epoch
	token []byte
	fence uint64 // of the lease
}

func line(epoch, i int) string {
	return fmt.Sprintf("epoch %d line %d %s\n", epoch, i, strings.Repeat("x", 40))
}

const linesPerEpoch = 20

// run continues after m and reports each newly committed epoch to it.
func (j job) run(system vfs.FS, m *manifest) error {
	ctx := context.Background()
	cfg := j.cfg
	cfg.Env.FS = system
	s, err := NewStage(cfg)
	if err != nil {
		return err
	}
	run := cmp.Or(j.name, "r1")
	if err := s.Open(ctx, connector.Task{Run: run, Node: "out", Count: 1, Fence: m.fence}); err != nil {
		return err
	}
	if err := s.Recover(ctx, m.epoch, m.token); err != nil {
		return err
	}
	for epoch := int(m.epoch.Number) + 1; epoch <= j.epochs; epoch++ {
		for i := range linesPerEpoch {
			if _, err := s.Write([]byte(line(epoch, i))); err != nil {
				return err
			}
		}
		next := connector.Epoch{Number: uint64(epoch), Final: epoch == j.epochs}
		prepared, err := s.Prepare(ctx, next)
		if err != nil {
			return err
		}
		if prepared.Sync != nil {
			if err := prepared.Sync(ctx); err != nil {
				return err
			}
		}
		m.epoch, m.token = next, prepared.Token
		if err := s.Commit(ctx, next, prepared.Token); err != nil {
			return err
		}
	}
	return s.Close()
}

// want is the undisturbed result.
func (j job) want() string {
	var b strings.Builder
	for epoch := 1; epoch <= j.epochs; epoch++ {
		for i := range linesPerEpoch {
			b.WriteString(line(epoch, i))
		}
	}
	return b.String()
}

// visible returns the joined content of the visible files in a folder, and how many there are.
func visible(system vfs.FS, dir string) (content string, files int, err error) {
	entries, err := system.List(dir)
	if err != nil {
		return "", 0, err
	}
	var contentSb98 strings.Builder
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") || entry.IsDir() {
			continue
		}
		f, err := system.Open(dir + "/" + entry.Name())
		if err != nil {
			return "", 0, err
		}
		var r io.Reader = f
		if strings.HasSuffix(entry.Name(), ".gz") {
			if r, err = gzip.NewReader(f); err != nil {
				return "", 0, err
			}
		}
		data, err := io.ReadAll(r)
		if err != nil {
			return "", 0, err
		}
		contentSb98.WriteString(string(data))
		files++
	}
	content += contentSb98.String()
	return content, files, nil
}

func mergeText(_ context.Context, target io.Writer, parts iter.Seq2[vfs.File, error]) error {
	for part, err := range parts {
		if err != nil {
			return err
		}
		if _, err := io.Copy(target, struct{ io.Reader }{part}); err != nil {
			return err
		}
	}
	return nil
}

func jobs() map[string]job {
	folder := SinkConfig{Path: "out/", MinPartBytes: 2000}
	stream := func(sink SinkConfig, epochs int) job {
		return job{cfg: StageConfig{Sink: sink, Suffix: ".csv"}, epochs: epochs}
	}
	parts := func(sink SinkConfig, epochs int) job {
		return job{
			cfg:    StageConfig{Sink: sink, Suffix: ".dat", PerEpoch: true, Merge: mergeText},
			epochs: epochs,
		}
	}
	return map[string]job{
		"stream file":     stream(SinkConfig{Path: "out/a.csv"}, 4),
		"stream folder":   stream(folder, 4),
		"gzip file":       stream(SinkConfig{Path: "out/a.csv.gz"}, 3),
		"parts file":      parts(SinkConfig{Path: "out/a.dat"}, 3),
		"parts file once": parts(SinkConfig{Path: "out/a.dat"}, 1),
		"parts folder":    parts(folder, 5),
	}
}

// newSystem has a folder with an older target.
func newSystem(t *testing.T, j job) *simfs.FS {
	t.Helper()
	system := simfs.New()
	if err := system.MkdirAll("out"); err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(j.cfg.Sink.Path, "/") || strings.HasSuffix(j.cfg.Sink.Path, ".gz") {
		return system
	}
	f, err := system.Create(j.cfg.Sink.Path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("old\n")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), f.Close(), system.SyncDir("out")); err != nil {
		t.Fatal(err)
	}
	return system
}

func TestStageUndisturbed(t *testing.T) {
	t.Parallel()
	for name, j := range jobs() {
		system := newSystem(t, j)
		if err := j.run(system, &manifest{}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, _, err := visible(system, "out")
		if err != nil || got != j.want() {
			t.Errorf("%s: %v\ngot  %q\nwant %q", name, err, got, j.want())
		}
		noneHidden(t, system)
	}
}

func noneHidden(t *testing.T, system vfs.FS) {
	t.Helper()
	entries, err := system.List("out")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") {
			t.Errorf("%s is left over", entry.Name())
		}
	}
}

// TestStageCrashes crashes at every operation, recovers and goes on: the result equals the
// undisturbed one, and a visible file is never a part of it.
func TestStageCrashes(t *testing.T) {
	t.Parallel()
	for name, j := range jobs() {
		whole := newSystem(t, j)
		start := whole.Operations()
		if err := j.run(whole, &manifest{}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		step := max(1, (whole.Operations()-start)/150)
		for n := start; n < whole.Operations(); n += step {
			for seed := range uint64(3) {
				j.crashAt(t, name, n, seed, uint64(n)%2)
			}
		}
	}
}

// crashAt crashes at operation n; the recovering owner's fence is larger by fences, 0: the same
// process tries again.
func (j job) crashAt(t *testing.T, name string, n int, seed, fences uint64) {
	t.Helper()
	system := newSystem(t, j)
	system.StopAt(n)
	m := &manifest{}
	if err := j.run(system, m); !errors.Is(err, simfs.ErrStopped) {
		t.Fatalf("%s stopped at %d: got %v", name, n, err)
	}
	clone := system.CrashClone(rand.New(rand.NewPCG(uint64(n), seed)))
	got, files, err := visible(clone, "out")
	if err != nil {
		t.Fatalf("%s stopped at %d: %v", name, n, err)
	}
	// Before recovery: the old target or a complete new one; a folder holds whole epochs.
	if got != "old\n" && files > 0 && !strings.HasSuffix(name, "folder") && got != j.want() {
		t.Fatalf("%s stopped at %d seed %d: the target is partial: %q", name, n, seed, got)
	}
	if strings.HasSuffix(name, "folder") && strings.Count(got, "\n")%linesPerEpoch != 0 {
		t.Fatalf("%s stopped at %d seed %d: a part is partial: %q", name, n, seed, got)
	}
	m.fence += fences
	if err := j.run(clone, m); err != nil {
		t.Fatalf("%s stopped at %d seed %d, epoch %d: recovery: %v", name, n, seed, m.epoch.Number, err)
	}
	got, _, err = visible(clone, "out")
	if err != nil || got != j.want() {
		t.Fatalf("%s stopped at %d seed %d: %v\ngot  %q\nwant %q", name, n, seed, err, got, j.want())
	}
}

// TestStageDiskFull fails one write after another: the write may be repeated and nothing doubles.
func TestStageDiskFull(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"out/a.csv", "out/a.csv.gz"} {
		system := newSystem(t, job{cfg: StageConfig{Sink: SinkConfig{Path: "out/"}}})
		s, err := NewStage(StageConfig{Env: connector.Env{FS: system}, Sink: SinkConfig{Path: path}})
		if err != nil {
			t.Fatal(err)
		}
		ctx := context.Background()
		if err := errors.Join(s.Open(ctx, connector.Task{Run: "r", Count: 1}),
			s.Recover(ctx, connector.Epoch{}, nil)); err != nil {
			t.Fatal(err)
		}
		var want bytes.Buffer
		failed := 0
		r := rand.New(rand.NewPCG(1, 2))
		for i := range 40 {
			text := bytes.Repeat([]byte{byte('a' + i%26)}, r.IntN(200<<10))
			want.Write(text)
			full := i%2 == 0
			system.Inject(func(op simfs.Op, _ string) error {
				if full && op == simfs.OpWrite {
					return syscall.ENOSPC
				}
				return nil
			})
			_, err := s.Write(text)
			full = false
			if err == nil {
				continue
			}
			failed++
			var e *connector.Error
			if !errors.As(err, &e) || e.Class != connector.Transient || e.Hint == "" ||
				!strings.Contains(err.Error(), "out/.a.csv") {
				t.Fatalf("%s: got %v, want a Transient error that names file and remedy", path, err)
			}
			if _, err := s.Write(text); err != nil {
				t.Fatal(err)
			}
		}
		system.Inject(nil)
		end := connector.Epoch{Number: 1, Final: true}
		prepared, err := s.Prepare(ctx, end)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(prepared.Sync(ctx), s.Commit(ctx, end, prepared.Token)); err != nil {
			t.Fatal(err)
		}
		got, _, err := visible(system, "out")
		if err != nil || got != want.String() || failed == 0 {
			t.Errorf("%s: %d failed writes, %d bytes, want %d (%v)", path, failed, len(got), want.Len(), err)
		}
	}
}

func TestStageIfExists(t *testing.T) {
	t.Parallel()
	for policy, want := range map[string]string{"replace": "new\n", "append": "old\nnew\n", "error": "old\n"} {
		j := job{cfg: StageConfig{Sink: SinkConfig{Path: "out/a.csv", IfExists: policy}}}
		system := newSystem(t, j)
		j.cfg.Env.FS = system
		s, err := NewStage(j.cfg)
		if err != nil {
			t.Fatal(err)
		}
		ctx, end := context.Background(), connector.Epoch{Number: 1, Final: true}
		if err := s.Open(ctx, connector.Task{Run: "r", Count: 1}); err != nil {
			t.Fatal(err)
		}
		err = s.Recover(ctx, connector.Epoch{}, nil)
		if policy == "error" {
			if !errors.Is(err, fs.ErrExist) {
				t.Errorf("error: got %v, want one about the existing file", err)
			}
			continue
		}
		fresh, freshErr := s.Fresh()
		if freshErr != nil || fresh != (policy == "replace") {
			t.Errorf("%s: fresh %t (%v)", policy, fresh, freshErr)
		}
		_, writeErr := s.Write([]byte("new\n"))
		prepared, prepareErr := s.Prepare(ctx, end)
		if err := errors.Join(err, writeErr, prepareErr); err != nil {
			t.Fatal(err)
		}
		// Publishing is repeatable.
		for range 2 {
			if err := s.Commit(ctx, end, prepared.Token); err != nil {
				t.Fatal(err)
			}
		}
		if got, _, _ := visible(system, "out"); got != want {
			t.Errorf("%s: got %q, want %q", policy, got, want)
		}
	}
}

func TestStageLosesNothingSilently(t *testing.T) {
	t.Parallel()
	j := jobs()["stream file"]
	system := newSystem(t, j)
	system.StopAt(system.Operations() + 10)
	m := &manifest{}
	if err := j.run(system, m); !errors.Is(err, simfs.ErrStopped) || m.token == nil {
		t.Fatalf("got %v, token %s", err, m.token)
	}
	clone := system.CrashClone(rand.New(rand.NewPCG(1, 1)))
	entries, err := clone.List("out")
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(entries, func(e fs.FileInfo) bool { return strings.HasSuffix(e.Name(), ".part") })
	if err := clone.Remove("out/" + entries[at].Name()); err != nil {
		t.Fatal(err)
	}
	var e *connector.Error
	if err := j.run(clone, m); !errors.As(err, &e) || e.Code != "stage_vanished" {
		t.Errorf("got %v, want stage_vanished", err)
	}
}
