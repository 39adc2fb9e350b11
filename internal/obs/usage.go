package obs

import (
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"time"
)

// Usage is what the process took of the machine. What the system does not tell is 0.
type Usage struct {
	CPU         time.Duration // of all threads since the process began
	MemoryBytes int64         // resident now
	PeakBytes   int64         // the most resident at once
	ReadBytes   int64         // from disks
	WriteBytes  int64         // to disks
}

// ReadUsage returns what the process has used so far.
func ReadUsage() (Usage, error) {
	u, err := systemUsage()
	if err != nil {
		return u, err
	}
	u.MemoryBytes = resident()
	u.PeakBytes = max(u.PeakBytes, u.MemoryBytes)
	return u, nil
}

// resident returns the memory that the process occupies, by the system where it tells, or by the
// runtime.
func resident() int64 {
	if text, err := os.ReadFile("/proc/self/statm"); err == nil {
		if fields := strings.Fields(string(text)); len(fields) > 1 {
			if pages, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
				return pages * int64(os.Getpagesize())
			}
		}
	}
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return int64(samples[0].Value.Uint64() - samples[1].Value.Uint64())
}

// Machine is what a process may use.
type Machine struct {
	Cores       int
	MemoryBytes int64 // 0: not known
}

// ReadMachine returns the cores and the memory that the process may use: the container's where it is
// in one.
func ReadMachine() Machine {
	m := Machine{Cores: runtime.GOMAXPROCS(0)}
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "MemTotal:" {
				if n, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
					m.MemoryBytes = n << 10
				}
			}
		}
	}
	for _, name := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		text, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		limit, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err == nil && limit > 0 && (m.MemoryBytes == 0 || limit < m.MemoryBytes) {
			m.MemoryBytes = limit
		}
	}
	return m
}
