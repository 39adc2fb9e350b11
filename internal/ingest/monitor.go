package ingest

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/tapeline/tapeline/internal/obs"
)

// monitor measures the phases of a sync. What goes wrong in it, a panic included, ends the measuring
// and is told; the sync goes on as if nothing had been measured. A nil monitor measures nothing. Safe
// for concurrent use.
// invariant: the monitor never changes what a sync does
type monitor struct {
	settings MonitorConfig
	log      *slog.Logger
	read     func() (obs.Usage, error)
	begun    time.Time

	mu      sync.Mutex
	first   obs.Usage
	last    obs.Usage // newest reading
	peak    int64     // the most memory seen, in bytes
	phases  []*measured
	now     *measured // nil: between phases
	since   time.Time // that it goes on
	at      obs.Usage // when it began or went on
	sampled time.Time
	failure error
}

// measured is what one phase took, all its occurrences added up.
type measured struct {
	name        string
	took, cpu   time.Duration
	records     int64
	memory      int64 // the most seen, in bytes
	read, wrote int64 // bytes of disks
}

// newMonitor begins to measure; read nil is the process itself.
func newMonitor(settings MonitorConfig, log *slog.Logger, read func() (obs.Usage, error)) *monitor {
	if !settings.Enable {
		return nil
	}
	if read == nil {
		read = obs.ReadUsage
	}
	m := &monitor{settings: settings, log: log, read: read, begun: time.Now()}
	m.guard("begin", func() error {
		err := m.take()
		m.first = m.last
		return err
	})
	return m
}

// guard runs f unless measuring has failed, and ends the measuring where f fails.
func (m *monitor) guard(what string, f func() error) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failure != nil {
		return
	}
	defer func() {
		if cause := recover(); cause != nil {
			m.failed(what, fmt.Errorf("panic: %v", cause))
		}
	}()
	if err := f(); err != nil {
		m.failed(what, err)
	}
}

func (m *monitor) failed(what string, err error) {
	m.failure = fmt.Errorf("%s: %w", what, err)
	m.log.Warn("the performance of the sync is not measured further", "step", what, "error", err)
}

// take reads the usage. Needs mu.
func (m *monitor) take() error {
	u, err := m.read()
	if err != nil {
		return err
	}
	m.last, m.sampled = u, time.Now()
	m.peak = max(m.peak, u.MemoryBytes)
	if m.now != nil {
		m.now.memory = max(m.now.memory, u.MemoryBytes)
	}
	return nil
}

// enter ends the current phase and begins or continues the named one; "" begins none.
func (m *monitor) enter(name string) {
	m.guard("enter phase "+name, func() error {
		if err := m.take(); err != nil {
			return err
		}
		now := time.Now()
		if m.now != nil {
			m.leave(now)
		}
		if name == "" {
			return nil
		}
		for _, p := range m.phases {
			if p.name == name {
				m.now = p
			}
		}
		if m.now == nil {
			m.now = &measured{name: name}
			m.phases = append(m.phases, m.now)
		}
		m.since, m.at = now, m.last
		m.now.memory = max(m.now.memory, m.last.MemoryBytes)
		return nil
	})
}

// leave ends the current phase. Needs mu.
func (m *monitor) leave(now time.Time) {
	p := m.now
	p.took += now.Sub(m.since)
	p.cpu += m.last.CPU - m.at.CPU
	p.read += m.last.ReadBytes - m.at.ReadBytes
	p.wrote += m.last.WriteBytes - m.at.WriteBytes
	m.now = nil
	if m.settings.DetailedLogging {
		m.log.Info("phase ended", "phase", p.name, "seconds", now.Sub(m.since).Seconds(), "records", p.records,
			"memory_bytes", p.memory)
	}
}

// add counts records of the current phase.
func (m *monitor) add(records int64) {
	m.guard("count records", func() error {
		if m.now != nil {
			m.now.records += records
		}
		return nil
	})
}

// sampleEvery is how often the memory within a phase is read.
const sampleEvery = 100 * time.Millisecond

// sample reads the memory where the last reading is old. It is called from where rows pass, so that
// no goroutine has to.
func (m *monitor) sample() {
	m.guard("read memory", func() error {
		if time.Since(m.sampled) < sampleEvery {
			return nil
		}
		return m.take()
	})
}

// summary is what the report says of the phases and of the process.
type summary struct {
	phases   []Phase
	cores    float64 // share of the machine's time that was computed, 0 to 1
	peak     int64   // bytes
	failure  string
	measures bool
}

// summary ends the measuring. machine is what the process may use.
func (m *monitor) summary(machine obs.Machine, total time.Duration) (s summary) {
	s.phases = []Phase{}
	m.guard("sum up", func() error {
		if err := m.take(); err != nil {
			return err
		}
		if m.now != nil {
			m.leave(time.Now())
		}
		share := func(cpu, took time.Duration) float64 {
			if took <= 0 || machine.Cores == 0 {
				return 0
			}
			return cpu.Seconds() / took.Seconds() / float64(machine.Cores)
		}
		if m.last.PeakBytes > m.first.PeakBytes {
			m.peak = max(m.peak, m.last.PeakBytes) // it was reached during this sync
		}
		s.cores, s.peak, s.measures = share(m.last.CPU-m.first.CPU, time.Since(m.begun)), m.peak, true
		for _, p := range m.phases {
			const percent, megabyte = 100, 1e6
			phase := Phase{
				Name: p.name, Duration: p.took.Seconds(), Records: p.records, CPU: percent * share(p.cpu, p.took),
				Memory: float64(p.memory) / megabyte, ReadBytes: p.read, WriteBytes: p.wrote,
			}
			if total > 0 {
				phase.Share = p.took.Seconds() / total.Seconds()
			}
			if p.took > 0 {
				phase.Throughput = float64(p.records) / p.took.Seconds()
			}
			s.phases = append(s.phases, phase)
		}
		return nil
	})
	if m != nil && m.failure != nil {
		s = summary{phases: []Phase{}, failure: m.failure.Error()}
	}
	return s
}
