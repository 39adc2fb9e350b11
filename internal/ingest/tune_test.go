package ingest

import (
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tapeline/tapeline/internal/flow/spec"
	"github.com/tapeline/tapeline/internal/obs"
)

func recommended(machine obs.Machine, measured *Measured) map[string]float64 {
	values := map[string]float64{}
	for _, s := range Recommend(machine, measured, Defaults()).Settings {
		values[s.Key] = s.Value
	}
	return values
}

func TestRecommend(t *testing.T) {
	const gb = 1 << 30
	fast := &Measured{Syncs: 3, RequestMS: 2, ComputingMS: 9, PeakMB: 200}
	slow := &Measured{Syncs: 3, RequestMS: 120, ComputingMS: 9, PeakMB: 200}
	full := &Measured{Syncs: 3, RequestMS: 2, ComputingMS: 9, PeakMB: 1400}
	for name, c := range map[string]struct {
		machine  obs.Machine
		measured *Measured
		workers  float64
		unit     float64
		batch    float64
		cache    float64
		limit    float64
	}{
		"one core":           {obs.Machine{Cores: 1, MemoryBytes: 8 * gb}, slow, 1, 100, 200, 375, 1.5},
		"nothing measured":   {obs.Machine{Cores: 2, MemoryBytes: 2 * gb}, nil, 3, 50, 100, 250, 1},
		"little memory":      {obs.Machine{Cores: 8, MemoryBytes: gb / 2}, slow, 4, 12, 25, 50, 0.2},
		"memory not known":   {obs.Machine{Cores: 2}, slow, 1, 50, 100, 250, 1},
		"many cores":         {obs.Machine{Cores: 64, MemoryBytes: 256 * gb}, slow, 4, 100, 200, 375, 1.5},
		"decoding is slow":   {obs.Machine{Cores: 8, MemoryBytes: 2 * gb}, fast, 5, 100, 100, 250, 1},
		"no more than cores": {obs.Machine{Cores: 2, MemoryBytes: 2 * gb}, fast, 2, 100, 100, 250, 1},
		"memory is full":     {obs.Machine{Cores: 8, MemoryBytes: 8 * gb}, full, 1, 100, 200, 375, 1.5},
	} {
		got := recommended(c.machine, c.measured)
		want := map[string]float64{
			"performance.connection_manager.session_timeout": 600, "performance.connection_manager.heartbeat_interval": 60,
			"sync.max_workers": c.workers, "sync.batch_size": c.unit, "performance.batch_writer.batch_size": c.batch,
			"performance.cache.max_size_mb": c.cache, "sync.memory_limit_gb": c.limit,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestTuningIsAFile: what is printed is read by --config, and is what was recommended.
func TestTuningIsAFile(t *testing.T) {
	tuning := Recommend(obs.Machine{Cores: 8, MemoryBytes: 4 << 30}, &Measured{Syncs: 1, RequestMS: 3, ComputingMS: 20}, Defaults())
	name := filepath.Join(t.TempDir(), "tuned.yaml")
	if err := os.WriteFile(name, []byte(tuning.YAML()), 0o600); err != nil {
		t.Fatal(err)
	}
	c, problems := Load([]string{name}, spec.Options{Lookup: noVariables})
	if len(problems) > 0 {
		t.Fatalf("%v in\n%s", problems, tuning.YAML())
	}
	for _, s := range tuning.Settings {
		if to, ok := tunable(&c)[s.Key]; ok && (float64(*to) != s.Value || !c.Given[s.Key]) {
			t.Errorf("%s is %d, want %g", s.Key, *to, s.Value)
		}
	}
	if c.Sync.MemoryLimitGB != 1.5 {
		t.Errorf("memory_limit_gb is %g, want 1.5", c.Sync.MemoryLimitGB)
	}
}

// TestTuningLeavesWhatIsGiven: a setting that somebody wrote stays, even where it is the default.
func TestTuningLeavesWhatIsGiven(t *testing.T) {
	c, problems := Load([]string{settingsFile(t, "sync:\n  batch_size: 50\n")}, spec.Options{Lookup: noVariables})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	c.Sync.MaxWorkers = 7 // by a program
	changed := Recommend(obs.Machine{Cores: 16, MemoryBytes: 64 << 30}, nil, c).Apply(&c)
	if c.Sync.BatchSize != 50 || c.Sync.MaxWorkers != 7 || c.Performance.BatchWriter.BatchSize != 200 {
		t.Errorf("tuned to %+v", c)
	}
	if len(changed) != 2 || changed[0].Key != "performance.batch_writer.batch_size" ||
		changed[1].Key != "performance.cache.max_size_mb" {
		t.Errorf("changed %+v, want the rows of a batch and the room of the caches", changed)
	}
}

// TestMemoryLimit drives the governor by readings that are made up.
func TestMemoryLimit(t *testing.T) {
	settings := Defaults()
	settings.Sync.MaxWorkers, settings.Sync.MemoryLimitGB = 8, 1
	log := slog.New(slog.DiscardHandler)
	s := &Sync{Config: settings, Cache: NewCache(settings.Performance.Cache, log)}
	rows := newWriting(settings.Performance.BatchWriter, "fake", log)
	g := s.governor(rows)
	fill := func() { s.Cache.put(cacheKey{cachedDays, "bar_1d", "600001.XSHG"}, 1, 1000) }
	fill()
	type state struct {
		entries, batch, workers int
	}
	now := func() state { return state{s.Cache.statistics().Entries, rows.batchSize(), g.gate.most} }
	for i, c := range []struct {
		used int64
		want state
	}{
		{999e6, state{1, 100, 8}},
		{1001e6, state{0, 100, 8}}, // first the caches
		{1001e6, state{0, 25, 8}},  // then batches
		{1001e6, state{0, 25, 4}},  // then workers
		{1001e6, state{0, 25, 1}},  // never below one
		{2000e6, state{0, 25, 1}},
		{900e6, state{0, 25, 1}}, // not much below the limit yet
		{799e6, state{0, 25, 4}},
		{799e6, state{0, 25, 8}},
		{799e6, state{0, 100, 8}},
		{799e6, state{0, 100, 8}},
		{799e6, state{0, 100, 8}},
	} {
		g.adjust(c.used)
		if got := now(); got != c.want {
			t.Errorf("step %d at %d bytes: %+v, want %+v", i, c.used, got, c.want)
		}
	}
	fill()
	if got := now(); got.entries != 1 {
		t.Errorf("the caches take nothing after the limit: %+v", got)
	}
	if got := g.statistics(); got != (MemoryStatistics{LimitBytes: 1e9, Steps: 4, Restored: 4}) {
		t.Errorf("statistics %+v", got)
	}
}

// TestGate lets as many compute at once as it is open for.
func TestGate(t *testing.T) {
	g := newGate(0)
	g.enter()
	entered := make(chan int, 3)
	var group sync.WaitGroup
	for i := range 3 {
		group.Go(func() {
			g.enter()
			entered <- i
		})
	}
	select {
	case <-entered:
		t.Error("two compute where one may")
	case <-time.After(20 * time.Millisecond):
	}
	g.open(3)
	<-entered
	<-entered
	select {
	case <-entered:
		t.Error("four compute where three may")
	case <-time.After(20 * time.Millisecond):
	}
	g.leave()
	<-entered
	group.Wait()
}
