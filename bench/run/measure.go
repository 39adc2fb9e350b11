package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// sample is what one run cost.
type sample struct {
	WallSeconds float64 `json:"wall_seconds"`
	CPUSeconds  float64 `json:"cpu_seconds"` // user and system, of the child and its children
	MaxRSSBytes int64   `json:"max_rss_bytes"`

	// ForeignCores is how many cores the rest of the machine kept busy meanwhile: the noise.
	ForeignCores float64 `json:"foreign_cores"`
}

// measure runs one invocation to its end in dir. Before the measured time, dirty pages of earlier
// runs are synced and memory is fetched from the host, so that no tool pays for another.
func measure(ctx context.Context, run invocation, dir string) (s sample, err error) {
	const longestRun = 15 * time.Minute
	ctx, cancel := context.WithTimeout(ctx, longestRun)
	defer cancel()
	command := exec.CommandContext(ctx, run.args[0], run.args[1:]...)
	command.Dir = dir
	command.Env = append(os.Environ(), run.env...)
	// The child leads a group of its own: a pipeline is killed as a whole.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	var complaint bytes.Buffer
	command.Stderr = &complaint
	if run.stdout != "" {
		file, err := os.Create(run.stdout)
		if err != nil {
			return sample{}, fmt.Errorf("create output: %w", err)
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		command.Stdout = file
	}
	warm, err := takeMemory(run.memoryBytes)
	if err != nil {
		return sample{}, err
	}
	syscall.Sync()
	if err := warm.free(); err != nil {
		return sample{}, fmt.Errorf("free memory: %w", err)
	}

	busyBefore := busySeconds()
	start := time.Now()
	runErr := command.Run()
	s.WallSeconds = time.Since(start).Seconds()
	busy := busySeconds() - busyBefore
	if runErr != nil {
		return s, fmt.Errorf("run %s: %w: %s", run.args[0], runErr, ending(complaint.String()))
	}
	usage, ok := command.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return s, errors.New("read rusage: this system reports none")
	}
	s.CPUSeconds = seconds(usage.Utime) + seconds(usage.Stime)
	s.MaxRSSBytes = usage.Maxrss << 10
	s.ForeignCores = max(0, (busy-s.CPUSeconds)/s.WallSeconds)
	return s, nil
}

func seconds(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }

// ending returns the last lines of what a tool complained about, where the reason stands, as one.
func ending(text string) string {
	const lines, longest = 4, 400
	all := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' })
	joined := strings.Join(all[max(0, len(all)-lines):], " / ")
	return joined[max(0, len(joined)-longest):]
}

// busySeconds returns the CPU time that all processes of the machine have used since it started,
// 0 where the system does not say.
func busySeconds() float64 {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(text), "\n")
	fields := strings.Fields(line)
	const (
		ticksPerSecond = 100 // of /proc/stat, whatever the kernel's own
		idle, ioWait   = 4, 5
		steal          = 8
	)
	var ticks float64
	for i, field := range fields {
		if i == 0 || i == idle || i == ioWait || i > steal {
			continue
		}
		n, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return 0
		}
		ticks += n
	}
	return ticks / ticksPerSecond
}

// loadAverage returns the machine's load averages as text.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	fields := strings.Fields(string(text))
	return strings.Join(fields[:min(3, len(fields))], " ")
}
