package ingest

import (
	"fmt"
	"strings"
)

// Performance is how fast a sync was, and what it took. Its fields in JSON are those that requirements
// name, with more beside them.
type Performance struct {
	TotalDuration     float64  `json:"total_duration"` // seconds
	TotalRecords      int64    `json:"total_records"`
	OverallThroughput float64  `json:"overall_throughput"` // records a second
	Phases            []Phase  `json:"phases"`
	Bottlenecks       []string `json:"bottlenecks"`     // phases that take more of the time than the threshold
	Recommendations   []string `json:"recommendations"` // what was seen, and what can be done about it

	// CatalogQueries counts what the store's catalog was asked, transactions as one each.
	CatalogQueries int64 `json:"catalog_queries"`
	// StoreReads counts how often rows of the store were read: points, dates and scans, each as one.
	StoreReads int64 `json:"store_reads"`

	Indicators   []Indicator      `json:"indicators"`
	Cache        *CacheStatistics `json:"cache_statistics,omitempty"`
	Writer       WriterStatistics `json:"batch_writer_statistics"`
	Memory       MemoryStatistics `json:"memory_limit_statistics"`
	Cores        int              `json:"cores"`                   // that the process may use
	Tuned        []Tuned          `json:"tuned,omitempty"`         // settings that auto_tune changed
	MonitorError string           `json:"monitor_error,omitempty"` // why it was not measured to the end
}

// Phase is one part of a sync.
type Phase struct {
	Name       string  `json:"name"`
	Duration   float64 `json:"duration"` // seconds
	Share      float64 `json:"share"`    // of the whole, 0 to 1
	Records    int64   `json:"records_count"`
	Throughput float64 `json:"throughput"`   // records a second
	CPU        float64 `json:"cpu_usage"`    // percent of all cores the process may use
	Memory     float64 `json:"memory_usage"` // MB, the most that was resident
	ReadBytes  int64   `json:"io_read_bytes"`
	WriteBytes int64   `json:"io_written_bytes"`
}

// Indicator is a figure with the target that it should meet.
type Indicator struct {
	Name   string   `json:"name"`
	Value  *float64 `json:"value"` // null: not measured in this run
	Unit   string   `json:"unit"`
	Target string   `json:"target"`
	Met    *bool    `json:"met"`              // null: not measured
	Reason string   `json:"reason,omitempty"` // why it is not met, or not measured
}

// String is a line for people.
func (i Indicator) String() string {
	value, verdict := "not measured", ""
	if i.Value != nil {
		value = fmt.Sprintf("%.4g %s", *i.Value, i.Unit)
		verdict = ", not met"
		if *i.Met {
			verdict = ", met"
		}
	}
	text := fmt.Sprintf("%s: %s (target %s%s)", i.Name, value, i.Target, verdict)
	if i.Reason != "" {
		text += ": " + i.Reason
	}
	return text
}

// judged is an indicator that was measured; reason says why it is not met.
func judged(name string, value float64, unit, target string, met bool, reason string) Indicator {
	if met {
		reason = ""
	}
	return Indicator{Name: name, Value: &value, Unit: unit, Target: target, Met: &met, Reason: reason}
}

// unmeasured is an indicator that this run says nothing of.
func unmeasured(name, unit, target, why string) Indicator {
	return Indicator{Name: name, Unit: unit, Target: target, Reason: why}
}

// seen is what the judgement of a run rests on.
type seen struct {
	config  Config
	cores   int
	used    summary
	total   float64 // seconds
	rows    RowCounts
	traffic Traffic
	caches  *CacheStatistics // nil: no caches
	writing WriterStatistics
	refused int   // units that failed
	units   int   // that were answered
	commits int64 // of the store
}

// Targets of requirements 1.
const (
	wantUtilisation = 0.80
	wantHits        = 0.70
	wantLockWaitMS  = 10
	wantCPULeast    = 60 // percent
	wantCPUMost     = 80
	wantMemoryMB    = 500
	wantRowRate     = 100 // rows a second, each handed over alone
	wantErrors      = 0.1 // percent
)

// indicators judges a run by the targets.
func (s seen) indicators() []Indicator {
	return []Indicator{
		s.utilisation(), s.hits(), s.lockWait(), s.processor(), s.memory(), s.byRow(), s.errors(),
	}
}

func (s seen) utilisation() Indicator {
	const name, unit, target = "session_utilisation", "%", "> 80 %"
	t := s.traffic
	if t.Requests == 0 {
		return unmeasured(name, unit, target, "no session was opened: nothing had to be asked")
	}
	reason := fmt.Sprintf("an answer takes %.1f ms, less than its rows take to be decoded and written: the provider waits "+
		"for this machine, not the sync for the provider", t.MeanRequestMS)
	return judged(name, 100*t.Utilisation, unit, target, t.Utilisation > wantUtilisation, reason)
}

func (s seen) hits() Indicator {
	const name, unit, target = "cache_hit_ratio", "%", "> 70 % in an increment"
	if s.caches == nil {
		return unmeasured(name, unit, target, "performance.cache.enable is false")
	}
	if s.caches.Hits+s.caches.Misses == 0 {
		return unmeasured(name, unit, target, "nothing was looked up")
	}
	ratio := s.caches.Ratio()
	reason := fmt.Sprintf("%d of %d lookups missed: what is new to the store cannot be remembered yet",
		s.caches.Misses, s.caches.Hits+s.caches.Misses)
	return judged(name, 100*ratio, unit, target, ratio > wantHits, reason)
}

func (s seen) lockWait() Indicator {
	const name, unit, target = "lock_wait", "ms", "< 10 ms"
	if s.traffic.Requests == 0 {
		return unmeasured(name, unit, target, "no session was opened: nothing had to be asked")
	}
	reason := fmt.Sprintf("the session was busy; %d waits went beyond lock_timeout", s.traffic.LockTimeouts)
	return judged(name, s.traffic.MeanWaitMS, unit, target, s.traffic.MeanWaitMS < wantLockWaitMS, reason)
}

func (s seen) processor() Indicator {
	const name, unit, target = "cpu_usage", "%", "60-80 %"
	if !s.used.measures {
		return unmeasured(name, unit, target, s.unmeasuredWhy())
	}
	used := 100 * s.used.cores
	reason := fmt.Sprintf("the %d cores are the limit, not the provider", s.cores)
	if used < wantCPULeast {
		reason = fmt.Sprintf("the sync waited for other things than the %d cores: a request was under way in %.0f %% "+
			"of the session's time", s.cores, 100*s.traffic.Utilisation)
		if s.traffic.Requests == 0 {
			reason = "nothing had to be fetched: the time went into reading the store"
		}
	}
	return judged(name, used, unit, target, used >= wantCPULeast && used <= wantCPUMost, reason)
}

func (s seen) memory() Indicator {
	const name, unit, target = "memory", "MB", "< 500 MB"
	if !s.used.measures {
		return unmeasured(name, unit, target, s.unmeasuredWhy())
	}
	megabytes := float64(s.used.peak) / 1e6
	reason := fmt.Sprintf("sync.memory_limit_gb allows %.1f GB", s.config.Sync.MemoryLimitGB)
	return judged(name, megabytes, unit, target, megabytes < wantMemoryMB, reason)
}

func (s seen) byRow() Indicator {
	const name, unit, target = "row_by_row", "rows/s", "> 100 rows/s"
	if s.writing.Alone == 0 || s.writing.AloneSeconds <= 0 {
		return unmeasured(name, unit, target, fmt.Sprintf(
			"no row was handed over alone: batches have %d; make bench-sync measures performance.batch_writer.enable false",
			s.writing.BatchSize))
	}
	rate := float64(s.writing.Alone) / s.writing.AloneSeconds
	return judged(name, rate, unit, target, rate > wantRowRate, "the store takes the rows more slowly than that")
}

func (s seen) errors() Indicator {
	const name, unit, target = "error_rate", "%", "< 0.1 %"
	of := func(bad, all int64) float64 { return 100 * float64(bad) / float64(max(1, all)) }
	rate := max(of(s.rows.Quarantined, s.rows.Received), of(int64(s.refused), int64(s.units)))
	reason := fmt.Sprintf("%d of %d rows were quarantined, %d of %d requests were refused", s.rows.Quarantined,
		s.rows.Received, s.refused, s.units)
	return judged(name, rate, unit, target, rate < wantErrors, reason)
}

func (s seen) unmeasuredWhy() string {
	if s.used.failure != "" {
		return "the monitor failed: " + s.used.failure
	}
	return "performance.monitor.enable is false"
}

// bottlenecks names the phases that took more of the time than the threshold.
func (s seen) bottlenecks() []string {
	names := []string{}
	for _, p := range s.used.phases {
		if p.Share > s.config.Performance.Monitor.BottleneckThreshold {
			names = append(names, p.Name)
		}
	}
	return names
}

// recommendations says what was seen that can be done better.
func (s seen) recommendations(bottlenecks []string) []string {
	list := []string{}
	advise := func(when bool, format string, values ...any) {
		if when {
			list = append(list, fmt.Sprintf(format, values...))
		}
	}
	names := strings.Join(bottlenecks, " ")
	fetches := strings.Contains(names, "fetch")
	t, sync := s.traffic, s.config.Sync
	advise(fetches && t.Utilisation > wantUtilisation,
		"the provider is the limit: %.1f ms a request on its one session; ask for longer spans at once "+
			"(sync.join_sessions), or use a provider that answers by date", t.MeanRequestMS)
	advise(fetches && 100*s.used.cores > wantCPUMost && sync.Workers() < s.cores,
		"decoding is the limit and cores are free: raise sync.max_workers from %d to %d", sync.Workers(), s.cores)
	advise(fetches && 100*s.used.cores > wantCPUMost && sync.Workers() >= s.cores,
		"the %d cores are the limit: more workers do not help", s.cores)
	advise(strings.Contains(names, "prove") && s.rows.Received > 0,
		"most of the time is the proof, which reads all rows from sync.from on: a later sync.from proves less")
	advise(t.Reconnects > 0 && !s.config.Performance.ConnectionManager.EnableKeepalive,
		"%d logins: performance.connection_manager.enable_keepalive keeps the session", t.Logins)
	advise(t.LockTimeouts > 0, "%d waits for the session went beyond lock_timeout: another part of the process holds it "+
		"for long", t.LockTimeouts)
	if c := s.caches; c != nil {
		advise(c.Evictions > 0, "the caches gave up %d entries for want of room: raise performance.cache.max_size_mb "+
			"from %d", c.Evictions, s.config.Performance.Cache.MaxSizeMB)
	}
	advise(s.used.measures && float64(s.used.peak) > 0.9*sync.MemoryLimitGB*1e9,
		"%.0f MB were resident, near sync.memory_limit_gb %.1f: raise it, or lower sync.max_workers",
		float64(s.used.peak)/1e6, sync.MemoryLimitGB)
	const fewRows = 1000
	advise(s.commits > 10 && s.rows.New/s.commits < fewRows && s.total > 10,
		"a commit had %d rows: a longer sync.commit_interval_ms makes fewer of them", s.rows.New/max(1, s.commits))
	advise(s.writing.Refused > 0, "the store refused %d batches; %d of their rows are in quarantine with the reason",
		s.writing.Refused, s.writing.Quarantined)
	return list
}

// Text returns the figures for people.
func (p *Performance) Text() string {
	var b strings.Builder
	for _, phase := range p.Phases {
		fmt.Fprintf(&b, "  phase     %-9s %7.2f s %3.0f %%, %d records", phase.Name, phase.Duration, 100*phase.Share, phase.Records)
		if phase.Records > 0 {
			fmt.Fprintf(&b, " (%.0f/s)", phase.Throughput)
		}
		fmt.Fprintf(&b, ", CPU %.0f %%, %.0f MB, read %s, written %s\n", phase.CPU, phase.Memory, size(phase.ReadBytes), size(phase.WriteBytes))
	}
	if len(p.Bottlenecks) > 0 {
		fmt.Fprintf(&b, "  slowest   %s\n", strings.Join(p.Bottlenecks, ", "))
	}
	for _, t := range p.Tuned {
		fmt.Fprintf(&b, "  tuned     %s: %g (%s)\n", t.Key, t.Value, t.Why)
	}
	if m := p.Memory; m.Steps > 0 {
		fmt.Fprintf(&b, "  memory    the limit of %s was reached: %d steps taken, %d taken back\n", size(m.LimitBytes), m.Steps, m.Restored)
	}
	for _, i := range p.Indicators {
		fmt.Fprintf(&b, "  indicator %s\n", i)
	}
	for _, text := range p.Recommendations {
		fmt.Fprintf(&b, "  advice    %s\n", text)
	}
	if p.MonitorError != "" {
		fmt.Fprintf(&b, "  monitor   not measured to the end: %s\n", p.MonitorError)
	}
	return b.String()
}

func size(bytes int64) string {
	const kilo, mega = 1e3, 1e6
	if bytes < mega {
		return fmt.Sprintf("%.0f KB", float64(bytes)/kilo)
	}
	return fmt.Sprintf("%.1f MB", float64(bytes)/mega)
}
