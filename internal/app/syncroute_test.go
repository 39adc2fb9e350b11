package app

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tapeline/tapeline/internal/flow/run"
	"github.com/tapeline/tapeline/internal/ingest"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/sim"
)

// tushareVendor is the simulated Tushare and what it was asked.
type tushareVendor struct {
	*sim.Web

	mu    sync.Mutex
	asked map[string]int // by table
}

func startTushare(t *testing.T, m sim.Market, config sim.WebConfig) *tushareVendor {
	t.Helper()
	v := &tushareVendor{asked: map[string]int{}}
	config.OnRequest = func(r sim.WebRequest) {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.asked[r.Kind]++
	}
	server, err := sim.StartTushare(t.Context(), "127.0.0.1:0", m, config)
	if err != nil {
		t.Fatal(err)
	}
	v.Web = server
	t.Cleanup(func() { _ = server.Close() })
	return v
}

// take returns what was asked since the last call, by table, and in all.
func (v *tushareVendor) take() (asked map[string]int, all int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	asked, v.asked = v.asked, map[string]int{}
	for _, n := range asked {
		all += n
	}
	return asked, all
}

func (v *tushareVendor) syncer(t *testing.T, from, to string, route ingest.Route) *syncer {
	t.Helper()
	s := newSyncer(t, v, from, to)
	s.config.Sync.Provider, s.config.Sync.Endpoint, s.config.Sync.Route = "tushare", "http://"+v.Address(), route
	return s
}

// both exports bars and factors.
func (s *syncer) both() []byte {
	return append(s.export(market.Bar1D), s.export(market.AdjFactor)...)
}

// sortedLines lets exports be compared of stores that came to know their instruments in another order.
func sortedLines(data []byte) string {
	lines := strings.Split(string(data), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// TestSyncRoutes: history by stock and then each day of all stocks by its date, or all by stock, or all by
// date: the same store, and the daily increment takes a handful of requests whatever the number of stocks.
func TestSyncRoutes(t *testing.T) {
	v := startTushare(t, synthetic(t, 60), sim.WebConfig{})
	whole := v.syncer(t, "2022-01-01", "2022-07-15", ingest.RouteBySymbol)
	report := whole.want(ingest.StatusComplete)
	asked, _ := v.take()
	if report.Datasets[0].None == 0 || asked["daily"] < 55 || asked["adj_factor"] < 55 {
		t.Errorf("by stock %v was asked, and %d sessions confirmed to be suspended", asked, report.Datasets[0].None)
	}
	want := sortedLines(whole.both())
	if strings.Count(want, "\n") < 6000 {
		t.Fatalf("only %d rows", strings.Count(want, "\n"))
	}

	daily := v.syncer(t, "2022-01-01", "2022-06-30", ingest.RouteFewest)
	daily.want(ingest.StatusComplete)
	v.take()
	for _, day := range []string{"2022-07-01", "2022-07-04", "2022-07-06", "2022-07-15"} {
		daily.config.Sync.To = day
		report := daily.want(ingest.StatusComplete)
		asked, all := v.take()
		// A page of bars and one that says who was suspended for each day, and factors where bars show events.
		if asked["daily"] > 1+2*9 || all > 70 || asked["daily"] < 1 {
			t.Errorf("up to %s %v was asked", day, asked)
		}
		if report.Traffic.Requests != int64(all) {
			t.Errorf("the report counts %d requests, the provider %d", report.Traffic.Requests, all)
		}
	}
	if got := sortedLines(daily.both()); got != want {
		t.Errorf("by day %d rows, by stock %d, and they differ", strings.Count(got, "\n"), strings.Count(want, "\n"))
	}
	daily.want(ingest.StatusComplete)
	if asked, _ := v.take(); asked["daily"]+asked["adj_factor"] != 0 {
		t.Errorf("again %v was asked; want no data", asked)
	}

	byDate := v.syncer(t, "2022-06-01", "2022-06-30", ingest.RouteByDate)
	byDate.want(ingest.StatusComplete)
	dated, _ := v.take()
	bySymbol := v.syncer(t, "2022-06-01", "2022-06-30", ingest.RouteBySymbol)
	bySymbol.want(ingest.StatusComplete)
	alone, _ := v.take()
	// The factors of before the span are asked for by stock in any case, unless it was listed within.
	before := dated["adj_factor"] - 2*2*21
	if dated["daily"] != 21+2*2 || before <= 0 || before > alone["adj_factor"] {
		t.Errorf("by date alone %v was asked, by stock %v; want each of 21 sessions once, the factors of two days to their "+
			"last page, and the pages of two days that prove the list", dated, alone)
	}
	if sortedLines(byDate.both()) != sortedLines(bySymbol.both()) {
		t.Error("a month by date and by stock differ")
	}
}

// TestSyncRouteUnderFaults: an answer for a whole day that is short is a success by its own words; each
// stock it lacks is missing, and the next sync completes it.
func TestSyncRouteUnderFaults(t *testing.T) {
	m := synthetic(t, 30)
	clean := startTushare(t, m, sim.WebConfig{}).syncer(t, "2022-06-01", "2022-06-10", ingest.RouteByDate)
	clean.want(ingest.StatusComplete)
	want := clean.both()
	for rule, first := range map[string]ingest.Status{
		"every 3: reset": ingest.StatusComplete, "every 3: truncate": ingest.StatusComplete, "every 4: fail": ingest.StatusComplete,
		"every 3: garbage": ingest.StatusComplete, "every 2 on daily: unsorted": ingest.StatusComplete,
		"every 2 on daily: missing": ingest.StatusShort, "every 3 on daily: short": ingest.StatusShort,
		"from 3 on daily: pagecap 7": ingest.StatusShort,
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			rules, err := sim.ParseWebFaults(rule, sim.TushareKinds())
			if err != nil {
				t.Fatal(err)
			}
			v := startTushare(t, m, sim.WebConfig{Faults: rules})
			s := v.syncer(t, "2022-06-01", "2022-06-10", ingest.RouteByDate)
			report, err := s.run()
			if err != nil || report.Status != first {
				t.Fatalf("%v, want %s\n%s", err, first, text(report))
			}
			if same := bytes.Equal(s.both(), want); same != (first == ingest.StatusComplete) {
				t.Errorf("the first sync is %s, and all is there: %t", report.Status, same)
			}
			v.SetFaults(nil)
			s.config.Sync.Route = ingest.RouteFewest
			s.want(ingest.StatusComplete)
			if got := s.both(); !bytes.Equal(got, want) {
				t.Errorf("after the second sync the store differs from one without faults (-want +got):\n%s",
					cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(got), "\n")))
			}
		})
	}
}

// TestSyncRouteInterrupted: a sync that is stopped in the middle of its days goes on with the rest, and ends
// with the same store.
func TestSyncRouteInterrupted(t *testing.T) {
	m := synthetic(t, 30)
	clean := startTushare(t, m, sim.WebConfig{}).syncer(t, "2022-06-01", "2022-06-30", ingest.RouteByDate)
	clean.want(ingest.StatusComplete)
	rules, err := sim.ParseWebFaults("at 12 on daily: stall 1h", sim.TushareKinds())
	if err != nil {
		t.Fatal(err)
	}
	v := startTushare(t, m, sim.WebConfig{Faults: rules})
	s := v.syncer(t, "2022-06-01", "2022-06-30", ingest.RouteByDate)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s.config.Sync.CommitInterval = 50
	_, err = s.engine.Sync(ctx, s.config, slog.New(slog.DiscardHandler), func(w *run.Workflow, progress func() ingest.Progress) bool {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-w.Done():
				return false
			case <-tick.C:
				if p := progress(); p.RequestsDone >= 9 {
					cancel()
				}
			}
		}
	})
	if err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("the sync that was stopped: %v", err)
	}
	v.SetFaults(nil)
	v.take()
	s.want(ingest.StatusComplete)
	if asked, _ := v.take(); asked["daily"] > 21 {
		t.Errorf("%v was asked again", asked)
	}
	if !bytes.Equal(s.both(), clean.both()) {
		t.Error("the store differs from that of a sync that was not stopped")
	}
}
