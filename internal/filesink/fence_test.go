package filesink

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/vfs/simfs"
)

// owner is a stage of a process with a lease.
type owner struct {
	*Stage
	t *testing.T
}

func own(t *testing.T, cfg StageConfig, m manifest) owner {
	t.Helper()
	s, err := NewStage(cfg)
	if err == nil {
		err = s.Open(t.Context(), connector.Task{Run: "r", Count: 1, Fence: m.fence})
	}
	if err == nil {
		err = s.Recover(t.Context(), m.epoch, m.token)
	}
	if err != nil {
		t.Fatal(err)
	}
	return owner{s, t}
}

// write ends an epoch with the text and returns its token.
func (o owner) write(text string, epoch connector.Epoch) []byte {
	o.t.Helper()
	_, err := o.Write([]byte(text))
	if err != nil {
		o.t.Fatal(err)
	}
	prepared, err := o.Prepare(o.t.Context(), epoch)
	if err == nil {
		err = prepared.Sync(o.t.Context())
	}
	if err != nil {
		o.t.Fatal(err)
	}
	return prepared.Token
}

// TestLateOwnerReachesNothing: a process that lost its lease and wakes up at any time leaves the
// output of the next owner alone.
func TestLateOwnerReachesNothing(t *testing.T) {
	t.Parallel()
	want := map[string]string{"stream file": "one\ntwo\nthree\n", "parts file": "one\ntwo\nthree\n"}
	for name, want := range want {
		for late := range 4 {
			cfg := jobs()[name].cfg
			system := simfs.New()
			cfg.Env.FS = system
			zombie := own(t, cfg, manifest{fence: 1})
			token := zombie.write("one\n", connector.Epoch{Number: 1})
			wake := func(at int) {
				if at == late {
					zombie.write("BAD\n", connector.Epoch{Number: 2})
				}
			}
			wake(0)
			next := own(t, cfg, manifest{epoch: connector.Epoch{Number: 1}, token: token, fence: 2})
			wake(1)
			second := connector.Epoch{Number: 2}
			token = next.write("two\n", second)
			wake(2)
			if err := next.Commit(t.Context(), second, token); err != nil {
				t.Fatal(err)
			}
			wake(3)
			final := connector.Epoch{Number: 3, Final: true}
			token = next.write("three\n", final)
			if err := next.Commit(t.Context(), final, token); err != nil {
				t.Fatalf("%s: publish: %v", name, err)
			}
			if got, _, err := visible(system, "out"); err != nil || got != want {
				t.Errorf("%s, late at %d: got %q (%v), want %q", name, late, got, err, want)
			}
		}
	}
}

// TestLateRecoverIsRefused: a late process cannot sweep away what the next owner wrote.
func TestLateRecoverIsRefused(t *testing.T) {
	t.Parallel()
	cfg := jobs()["stream file"].cfg
	system := simfs.New()
	cfg.Env.FS = system
	next := own(t, cfg, manifest{fence: 2})
	next.write("one\n", connector.Epoch{Number: 1})
	late, err := NewStage(cfg)
	if err == nil {
		err = late.Open(t.Context(), connector.Task{Run: "r", Count: 1, Fence: 1})
	}
	if err != nil {
		t.Fatal(err)
	}
	var e *connector.Error
	if err := late.Recover(t.Context(), connector.Epoch{}, nil); !errors.As(err, &e) || e.Code != "fenced" {
		t.Errorf("got %v, want fenced", err)
	}
	final := connector.Epoch{Number: 2, Final: true}
	if err := next.Commit(t.Context(), final, next.write("two\n", final)); err != nil {
		t.Fatal(err)
	}
	if got, _, _ := visible(system, "out"); got != "one\ntwo\n" {
		t.Errorf("got %q", got)
	}
}

// TestRecoveryCrashes crashes a run, then at every operation of the next owner, and lets a third
// one finish.
func TestRecoveryCrashes(t *testing.T) {
	t.Parallel()
	for name, j := range jobs() {
		whole := newSystem(t, j)
		start := whole.Operations()
		if err := j.run(whole, &manifest{}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		step := max(1, (whole.Operations()-start)/8)
		for n := start; n < whole.Operations(); n += step {
			for k := range 40 {
				j.crashTwice(t, name, n, k)
			}
		}
	}
}

func (j job) crashTwice(t *testing.T, name string, n, k int) {
	t.Helper()
	random := rand.New(rand.NewPCG(uint64(n), uint64(k)))
	system := newSystem(t, j)
	system.StopAt(n)
	m := &manifest{fence: 1}
	if err := j.run(system, m); !errors.Is(err, simfs.ErrStopped) {
		t.Fatalf("%s stopped at %d: got %v", name, n, err)
	}
	second := system.CrashClone(random)
	second.StopAt(k)
	m.fence++
	if err := j.run(second, m); err != nil && !errors.Is(err, simfs.ErrStopped) {
		t.Fatalf("%s stopped at %d and %d: got %v", name, n, k, err)
	}
	third := second.CrashClone(random)
	m.fence++
	if err := j.run(third, m); err != nil {
		t.Fatalf("%s stopped at %d and %d, epoch %d: recovery: %v", name, n, k, m.epoch.Number, err)
	}
	got, _, err := visible(third, "out")
	if err != nil || got != j.want() {
		t.Fatalf("%s stopped at %d and %d: %v\ngot  %q\nwant %q", name, n, k, err, got, j.want())
	}
	noneHidden(t, third)
}

// TestKeptPartsStayInOrder: names of seven digits sort before those of six.
func TestKeptPartsStayInOrder(t *testing.T) {
	t.Parallel()
	cfg := jobs()["parts file"].cfg
	system := simfs.New()
	cfg.Env.FS = system
	o := own(t, cfg, manifest{})
	want := ""
	var wantSb174 strings.Builder
	for number := uint64(999_998); number <= 1_000_002; number++ {
		o.epoch = number - 1
		text := fmt.Sprintln("epoch", number)
		wantSb174.WriteString(text)
		epoch := connector.Epoch{Number: number, Final: number == 1_000_002}
		if err := o.Commit(t.Context(), epoch, o.write(text, epoch)); err != nil {
			t.Fatal(err)
		}
	}
	want += wantSb174.String()
	if got, _, err := visible(system, "out"); err != nil || got != want {
		t.Errorf("got %q (%v), want %q", got, err, want)
	}
}

// TestHiddenNamesOfOthers: runs and tasks whose names begin alike leave each other's parts alone.
func TestHiddenNamesOfOthers(t *testing.T) {
	t.Parallel()
	cfg := jobs()["stream folder"].cfg
	system := simfs.New()
	cfg.Env.FS = system
	open := func(run, node string, index int) *Stage {
		s, err := NewStage(cfg)
		if err == nil {
			err = s.Open(context.Background(), connector.Task{Run: run, Node: node, Index: index, Count: 9})
		}
		if err == nil {
			err = s.Recover(context.Background(), connector.Epoch{}, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	others := []*Stage{
		open("r-00", "n", 5), open("r-00-5", "n", 0), open("r.1", "n", 0), open("r", "n", 1),
		open("r", "m", 0), open("r", "n-00-1", 0), open("r", "上海", 0), open("r", "深圳", 0),
		open("r", strings.Repeat("n", 128), 0), open("r", strings.Repeat("n", 127), 0),
	}
	for _, other := range others {
		if _, err := other.Write([]byte("text\n")); err != nil {
			t.Fatal(err)
		}
	}
	hidden := func() string {
		entries, err := system.List("out")
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, entry := range entries {
			names = append(names, entry.Name())
		}
		return strings.Join(names, " ")
	}
	before := hidden()
	open("r", "n", 0)
	if after := hidden(); before != after || strings.Count(after, ".part.") != len(others) {
		t.Errorf("got %s, before %s", after, before)
	}
}
