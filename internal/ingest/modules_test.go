package ingest_test

import (
	"errors"
	"log/slog"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tapeline/tapeline/internal/ingest"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/obs"
	"github.com/tapeline/tapeline/internal/store"
)

// TestMonitorFails lets each reading of the process fail, by an error and by a panic.
// invariant: the monitor never changes what a sync does
func TestMonitorFails(t *testing.T) {
	reference := newFakeVendor(t, "2024-04-10T12:00").want(ingest.StatusComplete)
	if len(reference.Phases) == 0 || reference.MonitorError != "" {
		t.Fatalf("measured %+v, want phases", reference.Performance)
	}
	for at := range 5 {
		for _, fail := range []func() (obs.Usage, error){
			func() (obs.Usage, error) { return obs.Usage{}, errors.New("no reading") },
			func() (obs.Usage, error) { panic("no reading") },
		} {
			v := newFakeVendor(t, "2024-04-10T12:00")
			n := 0
			v.usage = func() (obs.Usage, error) {
				if n++; n > at {
					return fail()
				}
				return obs.Usage{}, nil
			}
			report := v.want(ingest.StatusComplete)
			if report.MonitorError == "" || len(report.Phases) != 0 {
				t.Errorf("after %d readings: measured %+v, want the failure alone", at, report.Performance)
			}
			if diff := cmp.Diff(reference.Datasets, report.Datasets); diff != "" || report.Rows != reference.Rows {
				t.Errorf("after %d readings: rows %+v, datasets (-want +got):\n%s", at, report.Rows, diff)
			}
		}
	}
}

// TestMonitorIsOff: what is not measured is not in the report.
func TestMonitorIsOff(t *testing.T) {
	v := newFakeVendor(t, "2024-04-10T12:00")
	v.config.Performance.Monitor.Enable = false
	if report := v.want(ingest.StatusComplete); len(report.Phases) != 0 || report.TotalRecords == 0 {
		t.Errorf("got %+v, want totals and no phases", report.Performance)
	}
}

// TestCacheKnowsOfCommits: what others commit into the store is seen, though a cache holds how it was.
// invariant: a cache never changes what a sync finds
func TestCacheKnowsOfCommits(t *testing.T) {
	v := newFakeVendor(t, "2024-04-10T12:00")
	v.cache = ingest.NewCache(v.config.Performance.Cache, slog.New(slog.DiscardHandler))
	v.want(ingest.StatusComplete)
	report := v.want(ingest.StatusComplete)
	if len(v.asked) != 0 || report.Cache.Misses != 0 || report.Cache.Hits == 0 {
		t.Fatalf("asked %v with %+v, want all from the cache", v.asked, report.Cache)
	}
	// Somebody takes two days of a stock out of the store.
	writer, err := v.store.Lock(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	lost := market.Interval{From: v.day("2024-03-12"), To: v.day("2024-03-13")}
	_, err = writer.Commit(t.Context(), store.Changes{
		Run: "repair", Replace: []store.Replace{{Dataset: market.Bar1D, Symbol: stocks[1], Interval: lost}},
	})
	if err := errors.Join(err, writer.Unlock()); err != nil {
		t.Fatal(err)
	}
	report = v.want(ingest.StatusComplete)
	want := []string{"bar_1d " + stocks[1] + " 2024-03-12..2024-03-13"}
	if diff := cmp.Diff(want, v.asked); diff != "" || report.Rows.New != 2 {
		t.Errorf("rows %+v, asked (-want +got):\n%s", report.Rows, diff)
	}
	if report.Cache.Dropped == 0 {
		t.Errorf("cache %+v, want entries dropped by the commits", report.Cache)
	}
}

// TestIncrementHitsTheCache: in an increment most of what is looked up is there, and the catalog and the
// segments are asked less.
func TestIncrementHitsTheCache(t *testing.T) {
	queries := map[bool]int64{}
	for _, enable := range []bool{true, false} {
		v := newFakeVendor(t, "2024-04-10T12:00")
		v.config.Performance.Cache.Enable = enable
		if enable {
			v.cache = ingest.NewCache(v.config.Performance.Cache, slog.New(slog.DiscardHandler))
		}
		v.want(ingest.StatusComplete)
		v.config.Sync.To = "2024-04-01"
		report := v.want(ingest.StatusComplete)
		if report.Rows.New != int64(len(stocks)) {
			t.Errorf("rows %+v, want one more of each stock", report.Rows)
		}
		queries[enable] = report.CatalogQueries
		if !enable {
			if report.Cache != nil {
				t.Errorf("without a cache there are statistics of one: %+v", report.Cache)
			}
			continue
		}
		if report.Cache.Ratio() <= 0.7 {
			t.Errorf("hit ratio %.2f of %+v, want more than 0.7", report.Cache.Ratio(), report.Cache)
		}
	}
	t.Logf("queries of the catalog in an increment: %d with the cache, %d without", queries[true], queries[false])
	if queries[true] > queries[false] {
		t.Errorf("%d queries with the cache, %d without", queries[true], queries[false])
	}
}

// TestMemoryLimitChangesNothing: a process over its limit syncs with less, and syncs the same.
func TestMemoryLimitChangesNothing(t *testing.T) {
	reference := newFakeVendor(t, "2024-04-10T12:00").want(ingest.StatusComplete)
	v := newFakeVendor(t, "2024-04-10T12:00")
	v.usage = func() (obs.Usage, error) { return obs.Usage{MemoryBytes: 2e9}, nil }
	report := v.want(ingest.StatusComplete)
	if report.Memory.Steps == 0 || reference.Memory.Steps != 0 {
		t.Errorf("%+v over the limit, %+v below it", report.Memory, reference.Memory)
	}
	if diff := cmp.Diff(reference.Datasets, report.Datasets); diff != "" || report.Rows != reference.Rows {
		t.Errorf("rows %+v, datasets (-want +got):\n%s", report.Rows, diff)
	}
}
