package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/ingest"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/sqlfault"
	"github.com/tapeline/tapeline/internal/store"
)

var errCut = errors.New("disk i/o error")

// faults opens stores by a driver of which one statement fails.
type faults struct {
	*sqlfault.Driver

	name string
}

func newFaults(t *testing.T) *faults {
	t.Helper()
	name := "faulty " + t.Name()
	return &faults{must(sqlfault.Register(name, "sqlite")), name}
}

// cut lets the n-th statement from now on fail, and counts them. What undoes a transaction does not fail.
func (f *faults) cut(n int) (count *int) {
	count = new(int)
	f.Inject(func(_ sqlfault.Op, statement string) error {
		if strings.HasPrefix(statement, "ROLLBACK") {
			return nil
		}
		if *count++; *count == n {
			return errCut
		}
		return nil
	})
	return count
}

// open gives the vendor a copy of the store in a folder; "" is an empty store.
func (v *fakeVendor) open(f *faults, from string) {
	v.t.Helper()
	dir := filepath.Join(v.t.TempDir(), "store")
	if from != "" {
		if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
			v.t.Fatal(err)
		}
	}
	// Without memory of segments, each read asks the catalog.
	v.store = must(store.Open(dir, store.Config{Driver: f.name, MemoryBytes: 1}))
}

func (v *fakeVendor) close() {
	v.t.Helper()
	if err := v.store.Close(); err != nil {
		v.t.Fatal(err)
	}
}

// rows is all that the vendor's store holds of what syncs keep.
func (v *fakeVendor) rows() string {
	v.t.Helper()
	view := must(v.store.View(context.Background(), 0))
	defer view.Close()
	var out []byte
	for _, d := range market.Datasets() {
		for rows, err := range view.Scan(d.Name, store.Range{}, nil) {
			if err != nil {
				v.t.Fatal(err)
			}
			for i := range rows.Len() {
				out = fmt.Appendf(out, "%s %s\n", d.Name, batch.AppendRow(nil, rows, rows.Row(i)))
			}
		}
	}
	return string(out)
}

// faultStory is something done to a store, while one statement of the store's catalog fails.
type faultStory struct {
	before func(v *fakeVendor) // what was done before; nil: the store is new
	change func(v *fakeVendor) // what is new since
	try    func(v *fakeVendor) error
}

func faultStories() map[string]faultStory {
	sync := func(v *fakeVendor) error {
		report, err := v.sync(nil)
		if err == nil && report.Status != ingest.StatusComplete {
			return fmt.Errorf("the sync is %s", report.Status)
		}
		return err
	}
	return map[string]faultStory{
		"first sync": {try: sync},
		"increment with an ex-date": {
			before: func(v *fakeVendor) { v.want(ingest.StatusComplete) },
			change: func(v *fakeVendor) { v.ex, v.config.Sync.To = v.day("2024-04-03"), "2024-04-09" },
			try:    sync,
		},
	}
}

// TestEveryStatementFailsOnce: whichever statement of the catalog fails, a sync says so or is not touched by
// it; nothing wrong is stored, and the next sync completes what the undisturbed one does.
func TestEveryStatementFailsOnce(t *testing.T) {
	for name, story := range faultStories() {
		t.Run(name, func(t *testing.T) {
			f := newFaults(t)
			v, base := newFakeVendor(t, "2024-04-10T12:00"), ""
			if story.before != nil {
				v.open(f, "")
				story.before(v)
				v.close()
				base = v.store.Dir()
				story.change(v)
			}
			v.open(f, base)
			all := f.cut(-1)
			if err := story.try(v); err != nil {
				t.Fatal(err)
			}
			statements, want := *all, v.rows()
			v.close()
			step := 3
			if os.Getenv("TAPELINE_SOAK") == "1" {
				step = 1
			}
			for n := 1; n <= statements; n += step {
				f.Inject(nil)
				v.open(f, base)
				f.cut(n)
				err := story.try(v)
				f.Inject(nil)
				if err != nil && !errors.Is(err, errCut) {
					t.Errorf("statement %d failed, and the sync says %v", n, err)
				}
				if err := story.try(v); err != nil {
					t.Errorf("after statement %d failed: %v", n, err)
				}
				if diff := cmp.Diff(want, v.rows()); diff != "" {
					t.Fatalf("after statement %d failed (-want +got):\n%s", n, diff)
				}
				v.close()
			}
		})
	}
}
