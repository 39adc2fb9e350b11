package ingest

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/tapeline/tapeline/internal/obs"
	"github.com/tapeline/tapeline/internal/store"
)

// Tuning are the settings that suit a machine and what was measured on it.
type Tuning struct {
	Cores    int       `json:"cores"`
	MemoryGB float64   `json:"memory_gb"` // that the process may use; an assumption where it is not known
	Measured *Measured `json:"measured,omitempty"`
	Settings []Tuned   `json:"settings"`
}

// Measured is what earlier syncs say of the provider and of the machine: medians.
type Measured struct {
	Syncs       int     `json:"syncs"`
	RequestMS   float64 `json:"request_ms"`     // until an answer was complete
	ComputingMS float64 `json:"computing_ms"`   // of the processor, for one request
	PeakMB      float64 `json:"peak_memory_mb"` // the most of all
}

// Tuned is one setting.
type Tuned struct {
	Key   string  `json:"key"`
	Value float64 `json:"value"`
	Floor float64 `json:"floor"` // by the requirement's formula
	Why   string  `json:"why"`
}

const (
	assumedMemoryGB = 2
	mostWorkers     = 16
	mostUnit        = 100 // symbols of a work unit
	tuneReports     = 20  // newest reports that are looked at
)

// ReadMeasured reads what earlier syncs of a store say of a provider; nil: nothing was fetched yet.
func ReadMeasured(ctx context.Context, s *store.Store, provider string) (*Measured, error) {
	saved, err := s.Reports(ctx, ReportKind, tuneReports)
	if err != nil {
		return nil, fmt.Errorf("read the reports of %s: %w", s.Dir(), err)
	}
	var m Measured
	var waits, computing []float64
	for _, one := range saved {
		var r Report
		if err := json.Unmarshal(one.JSON, &r); err != nil {
			return nil, fmt.Errorf("report of run %s in %s: %w", one.Run, s.Dir(), err)
		}
		m.PeakMB = max(m.PeakMB, r.indicator("memory"))
		fetch := slices.IndexFunc(r.Phases, func(p Phase) bool { return p.Name == "fetch" })
		if r.Provider != provider || r.DataRequests == 0 || fetch < 0 {
			continue
		}
		m.Syncs++
		waits = append(waits, r.Traffic.MeanRequestMS)
		p := r.Phases[fetch]
		computing = append(computing, 1000*p.Duration*p.CPU/100*float64(r.Cores)/float64(r.DataRequests))
	}
	if m.Syncs == 0 {
		return nil, nil
	}
	m.RequestMS, m.ComputingMS = median(waits), median(computing)
	return &m, nil
}

// Recommend returns the settings for a machine. The requirement's formula is the least of them; what was
// measured raises them, and memory bounds them.
func Recommend(machine obs.Machine, measured *Measured, c Config) *Tuning {
	const gigabyte = 1 << 30
	memory := float64(machine.MemoryBytes) / gigabyte
	if machine.MemoryBytes == 0 {
		memory = assumedMemoryGB
	}
	t := &Tuning{Cores: machine.Cores, MemoryGB: math.Round(memory*100) / 100, Measured: measured}
	whole := func(v float64) float64 { return math.Max(1, math.Floor(v)) }
	t.add("performance.connection_manager.session_timeout", 600, 600, "the formula's")
	t.add("performance.connection_manager.heartbeat_interval", 60, 60, "the formula's")
	floor := whole(min(memory*50, 200))
	t.add("performance.batch_writer.batch_size", floor, floor, "the formula's: 50 rows a GB, at most 200")
	t.workers(whole(min(float64(machine.Cores)-1, 4)), c)
	t.unit(whole(min(memory*25, mostUnit)), c)
	limit := c.Sync.MemoryLimitGB
	why := "as it is set"
	if half := math.Floor(memory*5) / 10; half >= 0.1 && limit > half {
		limit, why = half, "half of the memory there is"
	}
	t.add("sync.memory_limit_gb", limit, limit, why)
	floor = whole(min(memory*200, 1000))
	room, why := floor, "the formula's: 200 MB a GB, at most 1000"
	if quarter := whole(limit * 1000 / 4); room > quarter {
		room, why = quarter, "a quarter of sync.memory_limit_gb"
	}
	t.add("performance.cache.max_size_mb", room, floor, why)
	return t
}

func (t *Tuning) add(key string, value, floor float64, why string) {
	t.Settings = append(t.Settings, Tuned{key, value, floor, why})
}

// workers recommends as many as decode what one session brings.
func (t *Tuning) workers(floor float64, c Config) {
	value, why := floor, "the formula's: the cores but one, at most 4"
	m := t.Measured
	switch {
	case m == nil:
		if usual := float64(Defaults().Sync.MaxWorkers); usual > value {
			value, why = usual, "the default: nothing was measured yet"
		}
	case m.PeakMB > 900*c.Sync.MemoryLimitGB:
		value, why = 1, fmt.Sprintf("%.0f MB were resident, near sync.memory_limit_gb", m.PeakMB)
	case m.RequestMS > 0:
		needed := min(math.Ceil(m.ComputingMS/m.RequestMS), float64(max(t.Cores, 1)), mostWorkers)
		if needed > value {
			value, why = needed, fmt.Sprintf("a request takes %.1f ms, and its rows %.1f ms of computing", m.RequestMS, m.ComputingMS)
		}
	}
	t.add("sync.max_workers", max(1, value), floor, why)
}

// unit recommends the symbols of a work unit: so many that one takes about two commits.
func (t *Tuning) unit(floor float64, c Config) {
	value, why := floor, "the formula's: 25 symbols a GB, at most 100"
	if m := t.Measured; m != nil && m.RequestMS > 0 {
		const commits = 2
		fits := min(math.Ceil(commits*float64(c.Sync.CommitInterval)/m.RequestMS), mostUnit)
		if fits > value {
			value, why = fits, fmt.Sprintf("a request takes %.1f ms, so that a unit takes about two commits", m.RequestMS)
		}
	}
	t.add("sync.batch_size", value, floor, why)
}

// tunable are the settings that tuning changes, by key.
func tunable(c *Config) map[string]*int {
	return map[string]*int{
		"performance.connection_manager.session_timeout":    &c.Performance.ConnectionManager.SessionTimeout,
		"performance.connection_manager.heartbeat_interval": &c.Performance.ConnectionManager.HeartbeatInterval,
		"performance.batch_writer.batch_size":               &c.Performance.BatchWriter.BatchSize,
		"performance.cache.max_size_mb":                     &c.Performance.Cache.MaxSizeMB,
		"sync.max_workers":                                  &c.Sync.MaxWorkers,
		"sync.batch_size":                                   &c.Sync.BatchSize,
	}
}

// Apply sets what the user left as it is by default, and returns what it changed.
func (t *Tuning) Apply(c *Config) []Tuned {
	defaults := Defaults()
	usual, ours := tunable(&defaults), tunable(c)
	var changed []Tuned
	for _, s := range t.Settings {
		to, ok := ours[s.Key]
		if !ok || c.Given[s.Key] || *to != *usual[s.Key] || *to == int(s.Value) {
			continue
		}
		*to = int(s.Value)
		changed = append(changed, s)
	}
	return changed
}

// YAML returns the settings as a file that --config takes, with the reasons.
func (t *Tuning) YAML() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Recommended for %d cores and %.2f GB of memory", t.Cores, t.MemoryGB)
	if m := t.Measured; m != nil {
		fmt.Fprintf(&b, ", by %d syncs: %.1f ms a request, %.1f ms of computing for it, at most %.0f MB", m.Syncs, m.RequestMS,
			m.ComputingMS, m.PeakMB)
	}
	b.WriteString(".\n")
	var path []string
	for _, s := range slices.SortedFunc(slices.Values(t.Settings), func(a, b Tuned) int { return strings.Compare(a.Key, b.Key) }) {
		keys := strings.Split(s.Key, ".")
		same := 0
		for same < len(keys)-1 && same < len(path) && path[same] == keys[same] {
			same++
		}
		for i := same; i < len(keys)-1; i++ {
			fmt.Fprintf(&b, "%s%s:\n", strings.Repeat("  ", i), keys[i])
		}
		path = keys[:len(keys)-1]
		fmt.Fprintf(&b, "%s%s: %g # %s\n", strings.Repeat("  ", len(path)), keys[len(path)], s.Value, s.Why)
	}
	return b.String()
}
