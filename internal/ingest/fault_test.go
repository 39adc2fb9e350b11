package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
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

// drivers counts the drivers that were registered: each name is taken for ever.
var drivers atomic.Int64

func newFaults(t *testing.T) *faults {
	t.Helper()
	name := fmt.Sprintf("faulty %s %d", t.Name(), drivers.Add(1))
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

// openCopy gives the vendor a copy of the store in a folder; "" is an empty store.
func (v *fakeVendor) openCopy(f *faults, from string) {
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
			return fmt.Errorf("the sync is %s: %v", report.Status, report.Missing)
		}
		return err
	}
	complete := func(v *fakeVendor) { v.want(ingest.StatusComplete) }
	return map[string]faultStory{
		"first sync": {try: sync},
		"increment with an ex-date": {
			before: complete,
			change: func(v *fakeVendor) { v.ex, v.config.Sync.To = v.day("2024-04-03"), "2024-04-09" },
			try:    sync,
		},
		"everything of the members of an index": {
			before: func(v *fakeVendor) {
				v.everything()
				complete(v)
			},
			change: func(v *fakeVendor) {
				v.hollow, v.config.Sync.EnableSmartBackfill, v.config.Sync.To = false, true, "2024-04-09"
			},
			try: sync,
		},
		"change of a code in a proved list": {
			before: func(v *fakeVendor) {
				v.since, v.dead = "2020-01-02", v.day("2020-01-02")
				complete(v)
			},
			change: func(v *fakeVendor) {
				v.listed = []string{stocks[0], stocks[1], "600013.XSHG"}
				v.config.Sync.To = "2024-04-09"
				v.at("2024-04-12T12:00")
			},
			try: sync,
		},
		"repair": {
			before: func(v *fakeVendor) {
				complete(v)
				v.put(stocks[0], "2024-03-12", "10", "10", "10.5", "10", "10")
			},
			change: func(*fakeVendor) {},
			try: func(v *fakeVendor) error {
				report, err := v.tryRepair(ingest.Repair{}, v.provider())
				if err == nil && !report.Whole() {
					return fmt.Errorf("repair left %v", report.Left)
				}
				return err
			},
		},
	}
}

// everything makes the vendor serve all datasets, and the syncs keep them for the members of an index.
func (v *fakeVendor) everything() {
	v.also = []string{market.CalendarDay, market.Constituent, market.Valuation1D, market.Fundamental}
	v.hollow, v.since, v.config.Sync.Universe, v.config.Sync.From = true, "2020-01-02", "sz50", "2023-09-01"
}

// TestEveryStatementFailsOnce: whichever statement of the catalog fails, a sync or a repair says so or is not
// touched by it; nothing wrong is stored, and the next one completes what the undisturbed one does.
func TestEveryStatementFailsOnce(t *testing.T) {
	for name, story := range faultStories() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFaults(t)
			v, base := newFakeVendor(t, "2024-04-10T12:00"), ""
			if story.before != nil {
				v.openCopy(f, "")
				story.before(v)
				v.close()
				base = v.store.Dir()
				story.change(v)
			}
			v.openCopy(f, base)
			before := v.seq()
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
			failed := 0
			for n := 1; n <= statements; n += step {
				f.Inject(nil)
				v.openCopy(f, base)
				f.cut(n)
				err := story.try(v)
				f.Inject(nil)
				if err != nil {
					failed++
				}
				if err != nil && !errors.Is(err, errCut) {
					t.Errorf("statement %d failed, and what is said is %v", n, err)
				}
				if err == nil || v.seq() != before { // else nothing was done
					if err := story.try(v); err != nil {
						t.Errorf("after statement %d failed: %v", n, err)
					}
					if diff := cmp.Diff(want, v.rows()); diff != "" {
						t.Fatalf("after statement %d failed (-want +got):\n%s", n, diff)
					}
				}
				v.close()
			}
			t.Logf("%d statements; %d failures of one were told", statements, failed)
			if failed == 0 {
				t.Error("no failure was noticed")
			}
		})
	}
}

// seq is the newest commit.
func (v *fakeVendor) seq() store.Seq {
	v.t.Helper()
	view := must(v.store.View(context.Background(), 0))
	defer view.Close()
	return view.Seq()
}

// TestEveryReadFailsOnce: what only reads a store says each failure of the catalog: half an answer would look
// like a whole one.
func TestEveryReadFailsOnce(t *testing.T) {
	f := newFaults(t)
	v := newFakeVendor(t, "2024-04-10T12:00")
	v.openCopy(f, "")
	v.everything()
	v.want(ingest.StatusComplete)
	v.listed = []string{stocks[0], stocks[1], "600013.XSHG"}
	v.at("2024-04-12T12:00")
	v.want(ingest.StatusComplete)
	v.commit(store.Changes{Quarantine: []market.Quarantine{{
		Dataset: market.Bar1D, Symbol: stocks[0], Date: v.day("2024-03-12"), Source: "fake", Rule: market.RulePrice,
	}}})
	v.close()
	base := v.store.Dir()
	v.config.Sync.To = "2024-04-09"
	ctx := context.Background()
	providers := func(string) (market.Provider, error) { return v.provider().Provider, nil }
	for name, read := range map[string]func() error{
		"gaps":    func() error { _, err := ingest.FindGaps(ctx, v.store, providers); return err },
		"verify":  func() error { _, err := (&ingest.Verify{Store: v.store, Providers: providers}).Run(ctx); return err },
		"status":  func() error { _, err := ingest.ReadStatus(ctx, v.store, 0); return err },
		"trend":   func() error { _, err := ingest.ReadTrend(ctx, v.store); return err },
		"tune":    func() error { _, err := ingest.ReadMeasured(ctx, v.store, "fake"); return err },
		"preview": func() error { _, err := v.preview(); return err },
	} {
		v.openCopy(f, base)
		count := f.cut(-1)
		if err := read(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		statements, reached := *count, 0
		v.close()
		for n := 1; n <= statements; n++ {
			f.Inject(nil)
			v.openCopy(f, base)
			count := f.cut(n)
			err := read()
			// Of two that read beside each other, one may find what the other has asked for: there are fewer then.
			if failed := *count >= n; failed != errors.Is(err, errCut) || !failed && err != nil {
				t.Errorf("%s: statement %d of %d failed %t, and what is said is %v", name, n, statements, failed, err)
			} else if failed {
				reached++
			}
			f.Inject(nil)
			v.close()
		}
		if reached < statements/2 {
			t.Errorf("%s: only %d of %d statements failed", name, reached, statements)
		}
	}
}
