package catalog_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/tapeline/tapeline/internal/catalog"
)

const childFolder = "TAPELINE_TEST_CATALOG" // set in a child: the state folder it works in

// child returns a process, not started, in which the test calls inChild.
func child(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	command := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	command.Env = append(os.Environ(), childFolder+"="+dir)
	return command
}

// inChild calls f with a new run in the child's folder; it reports whether this is the child.
func inChild(
	t *testing.T, f func(dir string, c *catalog.Catalog, l *catalog.Lease, r catalog.Run) error,
) bool {
	t.Helper()
	dir := os.Getenv(childFolder)
	if dir == "" {
		return false
	}
	c, err := catalog.Open(dir)
	must(t, err)
	l, err := c.Acquire(t.Context(), "orders", "child", ttl)
	must(t, err)
	r, err := l.Begin(t.Context(), "", "")
	must(t, err)
	must(t, f(dir, c, l, r))
	return true
}

// checkpointForever commits epochs and prints each number once Commit returned.
func checkpointForever(_ string, _ *catalog.Catalog, l *catalog.Lease, r catalog.Run) error {
	ctx := context.Background()
	for epoch := uint64(1); ; epoch++ {
		if err := l.Prepare(ctx, r.ID, epoch, fmt.Appendf(nil, "%s/%d", r.ID, epoch)); err != nil {
			return err
		}
		if err := l.Commit(ctx, r.ID, epoch); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(os.Stdout, "epoch %d\n", epoch); err != nil {
			return err
		}
	}
}

func TestKilledProcess(t *testing.T) {
	t.Parallel()
	if inChild(t, checkpointForever) {
		return
	}
	dir := t.TempDir()
	for round := range 5 {
		command := child(t, dir)
		output, err := command.StdoutPipe()
		must(t, err)
		must(t, command.Start())
		last := uint64(0)
		lines := bufio.NewScanner(output)
		for lines.Scan() {
			number, ok := strings.CutPrefix(lines.Text(), "epoch ")
			if !ok {
				t.Errorf("child: %s", lines.Text())
				continue
			}
			last, err = strconv.ParseUint(number, 10, 64)
			must(t, err)
			if last == uint64(3*round+2) {
				must(t, command.Process.Kill()) // it goes on until the signal arrives
			}
		}
		_ = command.Wait() // killed
		c := open(t, dir)
		committed, _, err := c.Latest(t.Context(), "orders")
		must(t, err)
		if committed == nil || committed.Epoch < last || committed.Epoch > last+1 ||
			string(committed.Manifest) != fmt.Sprintf("%s/%d", committed.Run, committed.Epoch) {
			t.Fatalf("round %d: got %+v, want epoch %d or the next", round, committed, last)
		}
		// The next child takes the lease at once, since its holder is dead; so it has to drop
		// nothing but what is prepared.
		l, err := c.Acquire(t.Context(), "orders", "parent", ttl)
		must(t, err)
		must(t, l.Discard(t.Context(), false))
		must(t, l.Release(t.Context()))
	}
}

// TestTornLog loses power in the middle of each change: what the change appended to the log is cut
// anywhere. The catalog then is as before the change, or as after it.
func TestTornLog(t *testing.T) {
	t.Parallel()
	const seed = 11
	random := rand.New(rand.NewPCG(seed, seed))
	dir := t.TempDir()
	c := open(t, dir)
	l, err := c.Acquire(t.Context(), "orders", "test", ttl)
	must(t, err)
	r, err := l.Begin(t.Context(), "", "")
	must(t, err)
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(dir, name))
		must(t, err)
		return data
	}
	steps := []func(epoch uint64) error{
		func(epoch uint64) error {
			return l.Prepare(t.Context(), r.ID, epoch, fmt.Appendf(nil, "%s/%d", r.ID, epoch))
		},
		func(epoch uint64) error { return l.Commit(t.Context(), r.ID, epoch) },
	}
	seen := map[string]bool{}
	for i := range 20 {
		before, size := latest(t, c), len(read(catalog.FileName+"-wal"))
		must(t, steps[i%2](uint64(i/2+1)))
		after, log := latest(t, c), read(catalog.FileName+"-wal")
		if len(log) <= size {
			t.Fatalf("step %d: the log did not grow", i)
		}
		for _, cut := range []int{size, size + random.IntN(len(log)-size), len(log) - 1, len(log)} {
			copied := t.TempDir()
			must(t, os.WriteFile(filepath.Join(copied, catalog.FileName), read(catalog.FileName), 0o600))
			must(t, os.WriteFile(filepath.Join(copied, catalog.FileName+"-wal"), log[:cut], 0o600))
			got := latest(t, open(t, copied))
			if want := cut == len(log); (got == after) != want || got != before && got != after {
				t.Errorf("seed %d, step %d, log cut at %d of %d: got %q; before %q, after %q",
					seed, i, cut, len(log), got, before, after)
			}
			seen[got] = true
		}
	}
	if len(seen) < 10 {
		t.Errorf("only %d different states were seen", len(seen))
	}
}
