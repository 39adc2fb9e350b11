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

const childFolder = "TAPELINE_TEST_CATALOG" // set in the child that is to be killed

// checkpointForever commits epochs and prints each number once Commit returned.
func checkpointForever(dir string) error {
	ctx := context.Background()
	c, err := catalog.Open(dir)
	if err != nil {
		return err
	}
	l, err := c.Acquire(ctx, "orders", "child", ttl)
	if err != nil {
		return err
	}
	r, err := l.Begin(ctx, "", "")
	if err != nil {
		return err
	}
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
	if dir := os.Getenv(childFolder); dir != "" {
		t.Fatal(checkpointForever(dir))
	}
	dir := t.TempDir()
	for round := range 5 {
		child := exec.Command(os.Args[0], "-test.run=^TestKilledProcess$")
		child.Env = append(os.Environ(), childFolder+"="+dir)
		output, err := child.StdoutPipe()
		must(t, err)
		must(t, child.Start())
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
				must(t, child.Process.Kill()) // it goes on until the signal arrives
			}
		}
		_ = child.Wait() // killed
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
