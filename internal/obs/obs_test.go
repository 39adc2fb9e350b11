package obs_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/tapeline/tapeline/internal/obs"
)

func TestHistogramMatchesSortedList(t *testing.T) {
	t.Parallel()
	const seed = 3
	random := rand.New(rand.NewPCG(seed, seed))
	var h obs.Histogram
	if got := h.Quantiles(); got != (obs.Quantiles{}) {
		t.Errorf("empty: got %+v", got)
	}
	var all []time.Duration
	var sum time.Duration
	for range 20_000 {
		d := time.Duration(math.Exp(random.Float64()*20)) * time.Microsecond // 1 µs to 485 s
		h.Record(d)
		all = append(all, d)
		sum += d
	}
	slices.Sort(all)
	got := h.Quantiles()
	for quantile, value := range map[float64]time.Duration{
		0.5: got.P50, 0.9: got.P90, 0.99: got.P99, 0.999: got.P999, 1: got.Max,
	} {
		want := all[int(math.Ceil(quantile*float64(len(all))))-1]
		if off := math.Abs(float64(value-want)) / float64(want); off > 0.01 {
			t.Errorf("seed %d, quantile %v: got %v, want %v", seed, quantile, value, want)
		}
	}
	if got.Count != 20_000 || got.Sum != sum {
		t.Errorf("got count %d and sum %v, want 20000 and %v", got.Count, got.Sum, sum)
	}
	h.Record(-time.Second)
	h.Record(48 * time.Hour)
	if got := h.Quantiles(); got.Count != 20_002 || got.Max < 59*time.Minute {
		t.Errorf("values out of bounds: got %+v", got)
	}
}

// TestIdleNodeIsSmall counts allocations, which parallel tests would add to.
func TestIdleNodeIsSmall(t *testing.T) {
	if size := reflect.TypeFor[obs.Node]().Size(); size >= 300 {
		t.Errorf("an idle node takes %d bytes, want less than 300", size)
	}
	n := &obs.Node{}
	if allocations := testing.AllocsPerRun(100, func() {
		n.RowsIn.Add(1)
		n.Busy(time.Now())
	}); allocations != 0 {
		t.Errorf("counting allocates %v times", allocations)
	}
}

func TestPhases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p obs.Phases
		for _, step := range []struct {
			name string
			took time.Duration
		}{{"queued", 1}, {"running", 5}, {"", 100}, {"queued", 2}, {"running", 3}} {
			p.Enter(step.name)
			<-time.After(step.took * time.Second)
		}
		want := []obs.Phase{{"queued", 3 * time.Second}, {"running", 8 * time.Second}}
		if diff := cmp.Diff(want, p.Snapshot()); diff != "" {
			t.Errorf("phases (-want +got):\n%s", diff)
		}
	})
}

// filled returns a registry with one figure of each kind.
func filled() *obs.Registry {
	r := obs.NewRegistry()
	r.Counter("tapeline_run_restarts_total", "restarts", obs.Label{"workflow", "b"}).Add(2)
	r.Counter("tapeline_run_restarts_total", "restarts", obs.Label{"workflow", "a"}).Add(1)
	r.Counter("tapeline_run_restarts_total", "restarts", obs.Label{"workflow", "b"}).Add(5)
	r.Gauge("tapeline_run_queue_workflows", "waiting", func() float64 { return 3 })
	r.Histogram("tapeline_catalog_commit_seconds", "commits").Record(time.Second)
	return r
}

func TestSnapshot(t *testing.T) {
	t.Parallel()
	r := filled()
	n := &obs.Node{}
	n.RowsIn.Store(7)
	r.AddNode("orders", "read", n)
	var got []string
	for _, s := range r.Snapshot() {
		if s.Value != 0 {
			got = append(got, fmt.Sprintf("%s%v %v", s.Name, s.Labels, s.Value))
		}
	}
	want := []string{
		"tapeline_catalog_commit_seconds[] 1",
		"tapeline_flow_rows_in_total[{workflow orders} {node read}] 7",
		"tapeline_run_queue_workflows[] 3",
		"tapeline_run_restarts_total[{workflow a}] 1",
		"tapeline_run_restarts_total[{workflow b}] 7",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("snapshot (-want +got):\n%s", diff)
	}
	r.RemoveWorkflow("orders")
	if got := len(r.Snapshot()); got != 4 {
		t.Errorf("after the workflow ended: got %d figures, want 4", got)
	}
}

func TestPrometheus(t *testing.T) {
	t.Parallel()
	r := filled()
	n := &obs.Node{}
	n.BusyNanos.Store(1_500_000_000)
	r.AddNode("orders", "re\xffad", n)
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(r); err != nil {
		t.Fatal(err)
	}
	const want = `
# HELP tapeline_flow_busy_seconds_total time at work
# TYPE tapeline_flow_busy_seconds_total counter
tapeline_flow_busy_seconds_total{node="re?ad",workflow="orders"} 1.5
# HELP tapeline_run_queue_workflows waiting
# TYPE tapeline_run_queue_workflows gauge
tapeline_run_queue_workflows 3
# HELP tapeline_catalog_commit_seconds commits
# TYPE tapeline_catalog_commit_seconds summary
tapeline_catalog_commit_seconds_sum 1
tapeline_catalog_commit_seconds_count 1
# HELP tapeline_run_restarts_total restarts
# TYPE tapeline_run_restarts_total counter
tapeline_run_restarts_total{workflow="a"} 1
tapeline_run_restarts_total{workflow="b"} 7
`
	page := httptest.NewRecorder()
	handler := promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	handler.ServeHTTP(page, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	text := page.Body.String()
	for line := range strings.Lines(strings.TrimPrefix(want, "\n")) {
		if !strings.Contains("\n"+text, "\n"+line) {
			t.Errorf("not on the page: %s", line)
		}
	}
	if t.Failed() {
		t.Logf("page, status %d:\n%s", page.Code, text)
	}
}

func TestLabelsAreBounded(t *testing.T) {
	t.Parallel()
	r := obs.NewRegistry()
	const asked = 3000
	for i := range asked {
		r.Counter("tapeline_run_restarts_total", "restarts",
			obs.Label{"workflow", strconv.Itoa(i)}).Add(1)
	}
	samples := r.Snapshot()
	sum := 0.0
	for _, s := range samples {
		sum += s.Value
	}
	if len(samples) > 1001 || sum != asked {
		t.Errorf("got %d series with sum %v, want at most 1001 with sum %d", len(samples), sum, asked)
	}
}

func TestMisusePanics(t *testing.T) {
	t.Parallel()
	r := filled()
	for name, misuse := range map[string]func(){
		"short name":   func() { r.Counter("tapeline_rows", "") },
		"foreign name": func() { r.Counter("other_run_rows_total", "") },
		"kind changed": func() { r.Histogram("tapeline_run_queue_workflows", "") },
		"kind gauge":   func() { r.Gauge("tapeline_catalog_commit_seconds", "", nil) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			misuse()
		}()
	}
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	r := obs.NewRegistry()
	n := &obs.Node{}
	r.AddNode("orders", "read", n)
	var group sync.WaitGroup
	for worker := range 4 {
		group.Go(func() {
			for i := range 500 {
				r.Counter("tapeline_run_restarts_total", "",
					obs.Label{"workflow", strconv.Itoa(i % 5)}).Add(1)
				n.RowsIn.Add(1)
				n.Latency.Record(time.Duration(i) * time.Millisecond)
				if worker == 0 && i%100 == 0 {
					r.Snapshot()
				}
			}
		})
	}
	group.Wait()
	if got := n.Latency.Quantiles().Count; got != 2000 || n.RowsIn.Load() != 2000 {
		t.Errorf("got %d latencies and %d rows, want 2000 each", got, n.RowsIn.Load())
	}
}

func BenchmarkRecord(b *testing.B) {
	var h obs.Histogram
	b.ReportAllocs()
	for b.Loop() {
		h.Record(time.Millisecond)
	}
}

// BenchmarkScrape is a scrape of 5,000 workflows of ten nodes.
func BenchmarkScrape(b *testing.B) {
	r := obs.NewRegistry()
	for workflow := range 5000 {
		for n := range 10 {
			r.AddNode(fmt.Sprintf("w%d", workflow), fmt.Sprintf("n%d", n), &obs.Node{})
		}
	}
	handler := r.Handler()
	b.ReportAllocs()
	for b.Loop() {
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	}
}
