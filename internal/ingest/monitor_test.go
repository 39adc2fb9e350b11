package ingest

import (
	"encoding/json"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tapeline/tapeline/internal/obs"
)

// TestPhasesAreMeasured drives the monitor by a clock and readings that are made up.
func TestPhasesAreMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var u obs.Usage
		read := func() (obs.Usage, error) { return u, nil }
		m := newMonitor(Defaults().Performance.Monitor, slog.New(slog.DiscardHandler), read)
		spend := func(seconds int, cpu time.Duration, memory, written int64) {
			<-time.After(time.Duration(seconds) * time.Second)
			u.CPU, u.MemoryBytes, u.WriteBytes = u.CPU+cpu, memory, u.WriteBytes+written
		}
		m.enter("plan")
		spend(1, time.Second, 10e6, 0)
		m.enter("fetch")
		spend(3, 3*time.Second, 70e6, 500)
		m.sample() // the peak within the phase
		m.add(600)
		spend(3, 3*time.Second, 30e6, 500)
		m.enter("plan")
		spend(1, 0, 20e6, 0)
		m.enter("")
		spend(2, 0, 20e6, 0)
		s := m.summary(obs.Machine{Cores: 2}, 10*time.Second)
		want := []Phase{
			{Name: "plan", Duration: 2, Share: 0.2, CPU: 25, Memory: 30},
			{Name: "fetch", Duration: 6, Share: 0.6, Records: 600, Throughput: 100, CPU: 50, Memory: 70, WriteBytes: 1000},
		}
		if diff := cmp.Diff(want, s.phases); diff != "" {
			t.Errorf("phases (-want +got):\n%s", diff)
		}
		if math.Abs(s.cores-0.35) > 1e-9 || s.peak != 70e6 || !s.measures {
			t.Errorf("got %+v, want 35 %% of two cores and 70 MB", s)
		}
		judge := seen{config: Defaults(), cores: 2, used: s, total: 10}
		if got := judge.bottlenecks(); !slices.Equal(got, []string{"fetch"}) {
			t.Errorf("bottlenecks %v, want fetch, which took 60 %%", got)
		}
		judge.config.Performance.Monitor.BottleneckThreshold = 0.6
		if got := judge.bottlenecks(); len(got) != 0 {
			t.Errorf("bottlenecks %v over a threshold of 60 %%, want none", got)
		}
	})
}

// TestIndicators judges made-up runs; each indicator is met in the first and not in the second.
func TestIndicators(t *testing.T) {
	good := seen{
		config: Defaults(), cores: 2, used: summary{cores: 0.7, peak: 400e6, measures: true}, units: 1000,
		rows:    RowCounts{Received: 10_000, Quarantined: 9},
		traffic: Traffic{Requests: 10, Utilisation: 0.81, MeanWaitMS: 9},
		caches:  &CacheStatistics{Hits: 71, Misses: 29},
		writing: WriterStatistics{Alone: 101, AloneSeconds: 1},
	}
	bad := good
	bad.used = summary{cores: 0.5, peak: 600e6, measures: true}
	bad.rows.Quarantined = 10
	bad.traffic = Traffic{Requests: 10, Utilisation: 0.8, MeanWaitMS: 10}
	bad.caches = &CacheStatistics{Hits: 70, Misses: 30}
	bad.writing = WriterStatistics{Alone: 100, AloneSeconds: 1}
	nothing := seen{config: Defaults(), cores: 2}
	for name, c := range map[string]struct {
		seen seen
		want string
	}{"met": {good, "met"}, "not met": {bad, "not met"}, "not measured": {nothing, "not measured"}} {
		for _, i := range c.seen.indicators() {
			got := "not measured"
			if i.Met != nil {
				got = map[bool]string{true: "met", false: "not met"}[*i.Met]
			}
			want := c.want
			if name == "not measured" && i.Name == "error_rate" {
				want = "met" // nothing went wrong with nothing
			}
			if got != want || (want != "met") != (i.Reason != "") {
				t.Errorf("%s: %s", name, i)
			}
		}
	}
	busy := good
	busy.used.cores = 0.95
	if i := busy.processor(); *i.Met || !strings.Contains(i.Reason, "cores are the limit") {
		t.Errorf("CPU at 95 %%: %s", i)
	}
}

func TestRecommendations(t *testing.T) {
	quiet := seen{config: Defaults(), cores: 2, used: summary{cores: 0.7, measures: true}, total: 100}
	if got := quiet.recommendations(nil); len(got) != 0 {
		t.Errorf("advice without a reason: %v", got)
	}
	for word, change := range map[string]func(s *seen) (bottleneck string){
		"provider is the limit":    func(s *seen) string { s.traffic.Utilisation = 0.9; return "fetch" },
		"raise sync.max_workers":   func(s *seen) string { s.used.cores, s.cores = 0.9, 8; return "fetch" },
		"more workers do not help": func(s *seen) string { s.used.cores = 0.9; return "fetch" },
		"later sync.from":          func(s *seen) string { s.rows.Received = 1; return "prove" },
		"enable_keepalive": func(s *seen) string {
			s.config.Performance.ConnectionManager.EnableKeepalive = false
			s.traffic.Reconnects = 1
			return ""
		},
		"lock_timeout":       func(s *seen) string { s.traffic.LockTimeouts = 1; return "" },
		"cache.max_size_mb":  func(s *seen) string { s.caches = &CacheStatistics{Evictions: 1}; return "" },
		"memory_limit_gb":    func(s *seen) string { s.used.peak = 1.4e9; return "" },
		"commit_interval_ms": func(s *seen) string { s.commits, s.rows.New = 20, 200; return "" },
		"refused 2 batches":  func(s *seen) string { s.writing.Refused = 2; return "" },
	} {
		s := quiet
		bottlenecks := []string{change(&s)}
		got := s.recommendations(bottlenecks)
		if len(got) != 1 || !strings.Contains(got[0], word) {
			t.Errorf("got %q, want one with %q", got, word)
		}
	}
}

// TestReportNamesItsFields holds the fields that requirements name.
func TestReportNamesItsFields(t *testing.T) {
	r := Report{Performance: Performance{Phases: []Phase{{Name: "fetch"}}}}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatal(err)
	}
	var phases []map[string]any
	if err := json.Unmarshal(fields["phases"], &phases); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"total_duration", "total_records", "overall_throughput", "phases", "bottlenecks", "recommendations",
	} {
		if _, ok := fields[name]; !ok {
			t.Errorf("the report lacks %s", name)
		}
	}
	for _, name := range []string{"name", "duration", "records_count", "throughput", "cpu_usage", "memory_usage"} {
		if _, ok := phases[0][name]; !ok {
			t.Errorf("a phase lacks %s", name)
		}
	}
}
