package catalog_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tapeline/tapeline/internal/catalog"
)

const ttl = time.Hour

// must fails the test on an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, dir string) *catalog.Catalog {
	t.Helper()
	c, err := catalog.Open(dir)
	must(t, err)
	t.Cleanup(func() { must(t, c.Close()) })
	return c
}

// begin opens a catalog with one running run of the workflow "orders".
func begin(t testing.TB) (*catalog.Catalog, *catalog.Lease, catalog.Run) {
	t.Helper()
	c := open(t, t.TempDir())
	l, err := c.Acquire(t.Context(), "orders", "test", ttl)
	must(t, err)
	r, err := l.Begin(t.Context(), "name: orders", "f1")
	must(t, err)
	return c, l, r
}

func commit(t testing.TB, l *catalog.Lease, run string, epoch uint64) {
	t.Helper()
	must(t, l.Prepare(t.Context(), run, epoch, fmt.Appendf(nil, "%s/%d", run, epoch)))
	must(t, l.Commit(t.Context(), run, epoch))
}

// latest returns "committed prepared" as epochs, "-" for none.
func latest(t testing.TB, c *catalog.Catalog) string {
	t.Helper()
	committed, prepared, err := c.Latest(t.Context(), "orders")
	must(t, err)
	text := func(p *catalog.Checkpoint) string {
		if p == nil {
			return "-"
		}
		if want := fmt.Sprintf("%s/%d", p.Run, p.Epoch); string(p.Manifest) != want {
			t.Errorf("manifest: got %q, want %q", p.Manifest, want)
		}
		return strconv.FormatUint(p.Epoch, 10)
	}
	return text(committed) + " " + text(prepared)
}

// invariant: a committed manifest was prepared before
// invariant: one prepared manifest per workflow
func TestCheckpointLife(t *testing.T) {
	t.Parallel()
	c, l, r := begin(t)
	ctx := t.Context()
	expect := func(want string) {
		t.Helper()
		if got := latest(t, c); got != want {
			t.Errorf("latest: got %q, want %q", got, want)
		}
	}
	refused := func(err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	expect("- -")
	refused(l.Commit(ctx, r.ID, 1), catalog.ErrState)
	must(t, l.Prepare(ctx, r.ID, 1, []byte("old")))
	must(t, l.Prepare(ctx, r.ID, 1, []byte(r.ID+"/1"))) // again, as after an unclear failure
	expect("- 1")
	refused(l.Prepare(ctx, r.ID, 2, nil), catalog.ErrState)
	must(t, l.Commit(ctx, r.ID, 1))
	must(t, l.Commit(ctx, r.ID, 1))
	expect("1 -")
	refused(l.Prepare(ctx, r.ID, 1, nil), catalog.ErrState)
	refused(l.Drop(ctx, r.ID, 1), catalog.ErrState)
	must(t, l.Prepare(ctx, r.ID, 2, []byte(r.ID+"/2")))
	expect("1 2")
	must(t, l.Drop(ctx, r.ID, 2))
	must(t, l.Drop(ctx, r.ID, 2))
	expect("1 -")
	refused(l.Commit(ctx, r.ID, 2), catalog.ErrState)
	commit(t, l, r.ID, 2)
	expect("2 -")
	refused(l.Prepare(ctx, "unknown", 1, nil), catalog.ErrNotFound)
	must(t, l.Discard(ctx, false))
	expect("- -")
}

func TestLatestSpansRuns(t *testing.T) {
	t.Parallel()
	c, l, first := begin(t)
	commit(t, l, first.ID, 7)
	second, err := l.Begin(t.Context(), "name: orders", "f1")
	must(t, err)
	if got := latest(t, c); got != "7 -" {
		t.Errorf("before the second run commits: got %q, want \"7 -\"", got)
	}
	must(t, l.Prepare(t.Context(), second.ID, 1, []byte(second.ID+"/1")))
	if got := latest(t, c); got != "7 1" {
		t.Errorf("prepared in the second run: got %q, want \"7 1\"", got)
	}
	must(t, l.Commit(t.Context(), second.ID, 1))
	if got := latest(t, c); got != "1 -" {
		t.Errorf("committed in the second run: got %q, want \"1 -\"", got)
	}
}

func TestRetentionSparesSavepoints(t *testing.T) {
	t.Parallel()
	c, l, r := begin(t)
	ctx := t.Context()
	if err := l.Keep(ctx, r.ID, 1, "before"); !errors.Is(err, catalog.ErrState) {
		t.Errorf("keep a missing checkpoint: got %v, want ErrState", err)
	}
	commit(t, l, r.ID, 1)
	must(t, l.Keep(ctx, r.ID, 1, "before"))
	for epoch := uint64(2); epoch <= 9; epoch++ {
		commit(t, l, r.ID, epoch)
	}
	p, err := c.Savepoint(ctx, "orders", "before")
	must(t, err)
	if p.Epoch != 1 || string(p.Manifest) != r.ID+"/1" {
		t.Errorf("savepoint: got epoch %d, manifest %q", p.Epoch, p.Manifest)
	}
	// Whether an epoch is still there shows in what a second commit says.
	for epoch := uint64(1); epoch <= 9; epoch++ {
		err := l.Commit(ctx, r.ID, epoch)
		if want := epoch == 1 || epoch >= 7; (err == nil) != want {
			t.Errorf("epoch %d: kept %v, want %v", epoch, err == nil, want)
		}
	}
	must(t, l.Keep(ctx, r.ID, 9, "before"))
	if p, err = c.Savepoint(ctx, "orders", "before"); err != nil || p.Epoch != 9 {
		t.Errorf("moved savepoint: got epoch %d, %v; want 9", p.Epoch, err)
	}
	must(t, l.Discard(ctx, false))
	if got := latest(t, c); got != "- -" {
		t.Errorf("after discarding all but savepoints: got %q, want nothing", got)
	}
	if p, err = c.Savepoint(ctx, "orders", "before"); err != nil || p.State != catalog.Kept {
		t.Errorf("savepoint after discarding the rest: got %s, %v; want it kept", p.State, err)
	}
	if err := l.Prepare(ctx, r.ID, 9, nil); !errors.Is(err, catalog.ErrState) {
		t.Errorf("prepare over a savepoint: got %v, want ErrState", err)
	}
	must(t, l.Discard(ctx, true))
	if _, err := c.Savepoint(ctx, "orders", "before"); !errors.Is(err, catalog.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}

func TestRuns(t *testing.T) {
	t.Parallel()
	c, l, first := begin(t)
	ctx := t.Context()
	result := catalog.Result{
		RowsIn: 5, RowsOut: 4, DeadLetters: 1, Error: "disk full", Report: json.RawMessage(`{"a":1}`),
	}
	must(t, l.Finish(ctx, first.ID, catalog.Failed, result))
	got, err := c.FindRun(ctx, strings.ToUpper(first.ID[:8]))
	must(t, err)
	if got.Finished.Before(got.Started) {
		t.Errorf("finished %v before it started %v", got.Finished, got.Started)
	}
	want := first
	want.Status, want.Finished, want.Result = catalog.Failed, got.Finished, result
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("finished run (-want +got):\n%s", diff)
	}

	resumed, err := l.Resume(ctx, first.ID)
	must(t, err)
	if resumed.Attempt != 2 || resumed.Status != catalog.Running || !resumed.Finished.IsZero() {
		t.Errorf("resumed run: got %+v", resumed)
	}
	must(t, l.Finish(ctx, first.ID, catalog.Completed, catalog.Result{}))
	if _, err := l.Resume(ctx, first.ID); !errors.Is(err, catalog.ErrNotFound) {
		t.Errorf("resume a completed run: got %v, want ErrNotFound", err)
	}

	second, err := l.Begin(ctx, "name: orders # 2", "f2")
	must(t, err)
	history, err := c.History(ctx, "", 10)
	must(t, err)
	ids := []string{}
	for _, r := range history {
		ids = append(ids, r.ID)
	}
	if diff := cmp.Diff([]string{second.ID, first.ID}, ids); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	if history[1].Report != nil {
		t.Errorf("no report: got %q", history[1].Report)
	}
	if other, err := c.History(ctx, "customers", 10); err != nil || len(other) != 0 {
		t.Errorf("history of another workflow: got %v, %v", other, err)
	}
	w, err := c.Workflow(ctx, "orders")
	must(t, err)
	if w.Document != "name: orders # 2" || w.Fingerprint != "f2" || !w.Created.Equal(first.Started) {
		t.Errorf("workflow: got %+v", w)
	}
}

func TestLookUpErrors(t *testing.T) {
	t.Parallel()
	c, l, r := begin(t)
	ctx := t.Context()
	for range 16 { // more than the first digits: some two ids begin alike
		_, err := l.Begin(ctx, "", "")
		must(t, err)
	}
	if _, err := c.FindRun(ctx, ""); err == nil || errors.Is(err, catalog.ErrNotFound) {
		t.Errorf("ambiguous prefix: got %v", err)
	}
	_, findErr := c.FindRun(ctx, r.ID+"0")
	_, workflowErr := c.Workflow(ctx, "customers")
	for name, err := range map[string]error{
		"find": findErr, "workflow": workflowErr,
		"finish": l.Finish(ctx, "unknown", catalog.Failed, catalog.Result{}),
	} {
		if !errors.Is(err, catalog.ErrNotFound) {
			t.Errorf("%s: got %v, want ErrNotFound", name, err)
		}
	}
}

func TestOpenTogether(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "odd ?#%20 name", "state")
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			c, err := catalog.Open(dir)
			if err != nil {
				t.Errorf("open: %v", err)
				return
			}
			l, err := c.Acquire(t.Context(), fmt.Sprintf("w%d", i), "test", ttl)
			if err != nil {
				t.Errorf("acquire: %v", err)
			} else if _, err = l.Begin(t.Context(), "", ""); err != nil {
				t.Errorf("begin: %v", err)
			}
			if err := c.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
	group.Wait()
	history, err := open(t, dir).History(t.Context(), "", 10)
	if err != nil || len(history) != 4 {
		t.Errorf("got %d runs, %v; want 4", len(history), err)
	}
}

func TestCancelledContextChangesNothing(t *testing.T) {
	t.Parallel()
	c, l, r := begin(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Prepare(ctx, r.ID, 1, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if got := latest(t, c); got != "- -" {
		t.Errorf("got %q, want nothing", got)
	}
}

func BenchmarkPrepareCommit(b *testing.B) {
	_, l, r := begin(b)
	manifest := make([]byte, 4096)
	for epoch := uint64(1); b.Loop(); epoch++ {
		must(b, l.Prepare(b.Context(), r.ID, epoch, manifest))
		must(b, l.Commit(b.Context(), r.ID, epoch))
	}
}
