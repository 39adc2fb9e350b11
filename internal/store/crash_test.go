package store

import (
	"bufio"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/vfs/simfs"
)

// story is a few commits with a compaction between them; each step says what is stored after it.
type story struct {
	t     testing.TB
	dir   string
	disk  *simfs.FS
	fault func(stage string) error
}

func storyRows(commit int) []bar {
	var rows []bar
	for d := range 4 {
		rows = append(rows, bar{"600000.XSHG", day("2023-12-30") + market.Date(d+commit), int64(100*commit + d + 1), true})
	}
	return rows
}

// wanted returns the closes after a number of steps: commits 0, 1, a compaction, commit 2 with a
// delete, a compaction, commit 3.
func wanted(steps int) map[market.Date]int64 {
	out := map[market.Date]int64{}
	for step, commit := range []int{0, 1, -1, 2, -1, 3} {
		if step >= steps || commit < 0 {
			continue
		}
		if commit == 2 {
			delete(out, day("2023-12-30"))
		}
		for _, r := range storyRows(commit) {
			out[r.date] = r.close
		}
	}
	return out
}

// play runs the story and returns how many steps were done when it ended with an error.
func (s *story) play() (steps int, err error) {
	store, err := Open(s.dir, Config{FS: s.disk, fileRows: 1, Horizon: 1, fault: s.fault})
	if err != nil {
		return 0, err
	}
	defer func() { must(s.t, store.Close()) }()
	w, err := store.Lock(s.t.Context(), "story")
	if err != nil {
		return 0, err
	}
	defer func() { must(s.t, w.Unlock()) }()
	for step, commit := range []int{0, 1, -1, 2, -1, 3} {
		if commit < 0 {
			_, err = w.Compact(s.t.Context(), true)
		} else {
			c := put(bars(s.t, storyRows(commit)...))
			if commit == 2 {
				c.Deletes = map[string][]*batch.Batch{
					market.Bar1D: {bars(s.t, bar{"600000.XSHG", day("2023-12-30"), 1, true})},
				}
			}
			_, err = w.Commit(s.t.Context(), c)
		}
		if err != nil {
			return step, err
		}
	}
	return 6, nil
}

// check opens what a crash left: the rows are those of the steps that were done, or of one more; no
// file is left that the catalog does not name; and the store can be written.
func (s *story) check(what string, done int) {
	s.t.Helper()
	store, err := Open(s.dir, Config{FS: s.disk, fileRows: 1, Horizon: 1})
	must(s.t, err)
	defer func() { must(s.t, store.Close()) }()
	w, err := store.Lock(s.t.Context(), "check")
	must(s.t, err)
	defer func() { must(s.t, w.Unlock()) }()
	v, err := store.View(s.t.Context(), 0)
	must(s.t, err)
	got := map[market.Date]int64{}
	for b, err := range v.Scan(market.Bar1D, Range{}, []string{"date", "volume"}) {
		if errors.Is(err, ErrDataset) {
			break
		}
		must(s.t, err)
		for row := range b.Len() {
			got[market.Date(b.Column(0).Int(row))] = b.Column(1).Int(row) / 3
		}
	}
	must(s.t, v.Close())
	if !maps.Equal(got, wanted(done)) && !maps.Equal(got, wanted(done+1)) {
		s.t.Fatalf("%s after %d steps: %v, want %v or %v", what, done, got, wanted(done), wanted(done+1))
	}
	problems, err := store.Verify(s.t.Context(), nil)
	must(s.t, err)
	if len(problems) > 0 {
		s.t.Fatalf("%s: %v", what, problems)
	}
	s.orphans(what, store)
	_, err = w.Commit(s.t.Context(), put(bars(s.t, storyRows(9)...)))
	must(s.t, err)
}

func (s *story) orphans(what string, store *Store) {
	s.t.Helper()
	var files int
	must(s.t, store.catalog.db.QueryRow(`SELECT count(*) FROM segment WHERE file <> ''`).Scan(&files))
	found := 0
	for _, dataset := range store.folders(store.dir) {
		for _, partition := range store.folders(filepath.Join(store.dir, dataset)) {
			entries, err := s.disk.List(filepath.Join(store.dir, dataset, partition))
			must(s.t, err)
			found += len(entries)
		}
	}
	if found != files {
		s.t.Fatalf("%s: %d files, the catalog names %d", what, found, files)
	}
}

// TestCrashAtEveryOperation stops the machine after each operation on files.
// invariant: only files that the catalog never named are swept
func TestCrashAtEveryOperation(t *testing.T) {
	t.Parallel()
	whole := &story{t: t, dir: t.TempDir(), disk: simfs.New()}
	if steps, err := whole.play(); err != nil || steps != 6 {
		t.Fatalf("the story ends after %d steps: %v", steps, err)
	}
	whole.check("the whole story", 6)
	operations := whole.disk.Operations()
	for n := range operations {
		s := &story{t: t, dir: t.TempDir(), disk: simfs.New()}
		s.disk.StopAt(n)
		done, err := s.play()
		if err == nil {
			break
		}
		s.disk = s.disk.CrashClone(rand.New(rand.NewPCG(uint64(n), 1)))
		s.check(fmt.Sprintf("crash at operation %d", n), done)
	}
}

// TestCommitOutcomes cuts each transaction of the catalog, just before and just after it is committed.
// invariant: rows, coverage, journal, sequence and epoch are one transaction
func TestCommitOutcomes(t *testing.T) {
	t.Parallel()
	cut := errors.New("cut")
	for _, stage := range []string{"commit", "committed"} {
		for n := 1; ; n++ {
			count := 0
			s := &story{t: t, dir: t.TempDir(), disk: simfs.New()}
			s.fault = func(at string) error {
				if at != stage {
					return nil
				}
				if count++; count == n {
					return cut
				}
				return nil
			}
			done, err := s.play()
			if count < n {
				break
			}
			if done == 0 && err != nil { // Open or Lock
				continue
			}
			if stage == "committed" && err != nil {
				t.Fatalf("transaction %d is committed, the step fails: %v", n, err)
			}
			if stage == "commit" && !errors.Is(err, cut) {
				t.Fatalf("transaction %d fails: %v", n, err)
			}
			s.disk = s.disk.CrashClone(rand.New(rand.NewPCG(uint64(n), 2)))
			s.check(fmt.Sprintf("transaction %d cut at %s", n, stage), done)
		}
	}
}

// TestEveryOperationFailsOnce: an error is returned, nothing is lost, and the work can be done again.
func TestEveryOperationFailsOnce(t *testing.T) {
	t.Parallel()
	for n := 1; ; n++ {
		s := &story{t: t, dir: t.TempDir(), disk: simfs.New()}
		count := 0
		s.disk.Inject(func(op simfs.Op, _ string) error {
			switch op {
			case simfs.OpOpen, simfs.OpList, simfs.OpStat, simfs.OpRead, simfs.OpClose:
				return nil
			}
			if count++; count == n {
				return syscall.ENOSPC
			}
			return nil
		})
		done, err := s.play()
		s.disk.Inject(nil)
		if count < n {
			break
		}
		if err != nil && !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("operation %d: %v", n, err)
		}
		s.check(fmt.Sprintf("operation %d failed", n), done)
	}
}

const childFolder = "TAPELINE_TEST_STORE" // set in a child: the store it writes

// TestKilledProcess kills a process that commits as fast as it can.
func TestKilledProcess(t *testing.T) {
	t.Parallel()
	if dir := os.Getenv(childFolder); dir != "" {
		s, err := Open(dir, Config{fileRows: 2})
		must(t, err)
		w, err := s.Lock(t.Context(), "child")
		must(t, err)
		v, err := s.View(t.Context(), 0)
		must(t, err)
		for n := int64(v.Seq()) + 1; ; n++ {
			seq, err := w.Commit(t.Context(), put(bars(t, bar{"600000.XSHG", market.Date(n), n, true},
				bar{"000001.XSHE", market.Date(n), n, true})))
			must(t, err)
			if n%7 == 0 {
				_, err = w.Compact(t.Context(), true)
				must(t, err)
			}
			_, err = fmt.Fprintf(os.Stdout, "commit %d\n", seq)
			must(t, err)
		}
	}
	dir := t.TempDir()
	for round := range 4 {
		command := exec.Command(os.Args[0], "-test.run=^TestKilledProcess$")
		command.Env = append(os.Environ(), childFolder+"="+dir)
		output, err := command.StdoutPipe()
		must(t, err)
		must(t, command.Start())
		last, until := 0, 0
		for scanner := bufio.NewScanner(output); scanner.Scan(); {
			text, ok := strings.CutPrefix(scanner.Text(), "commit ")
			if !ok {
				t.Errorf("child: %s", scanner.Text())
				continue
			}
			if last, err = strconv.Atoi(text); err != nil {
				t.Fatal(err)
			}
			if until == 0 {
				until = last + 3 + 4*round
			}
			if last == until {
				must(t, command.Process.Kill())
			}
		}
		_ = command.Wait() // killed
		s, err := Open(dir, Config{})
		must(t, err)
		w, err := s.Lock(t.Context(), "parent")
		must(t, err)
		v, err := s.View(t.Context(), 0)
		must(t, err)
		if got := int(v.Seq()); got < last || got > last+1 {
			t.Errorf("round %d: commit %d, want %d or the next", round, got, last)
		}
		rows := closes(t, v, Range{})
		if len(rows) != 2*int(v.Seq()) || len(slices.Compact(slices.Clone(rows))) != len(rows) {
			t.Errorf("round %d: %d rows of %d commits", round, len(rows), v.Seq())
		}
		problems, err := s.Verify(t.Context(), nil)
		must(t, err)
		if len(problems) > 0 {
			t.Errorf("verify: %v", problems)
		}
		must(t, v.Close())
		must(t, w.Unlock())
		must(t, s.Close())
	}
}
