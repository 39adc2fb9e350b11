package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// bench is what all measurements share.
type bench struct {
	tapeline string // the binary
	from, to string // days that are synced
	late     string // from, of large markets
	rounds   int
	dir      string // scratch
	out      io.Writer
}

// modules are the switches of one configuration, as environment variables of a sync.
type modules struct {
	name string
	env  []string
}

func off(names ...string) []string {
	var env []string
	for _, name := range names {
		env = append(env, "TAPELINE_PERFORMANCE_"+name+"_ENABLE=false")
	}
	return append(env, "TAPELINE_SYNC_AUTO_TUNE=false")
}

func configurations() []modules {
	return []modules{
		{"no module", off("CONNECTION_MANAGER", "BATCH_WRITER", "CACHE", "MONITOR")},
		{"session only", off("BATCH_WRITER", "CACHE", "MONITOR")},
		{"+ batch", off("CACHE", "MONITOR")},
		{"all", off()},
	}
}

// sample is one sync: a first one, and an increment behind it.
type sample struct {
	rows      int64
	seconds   float64
	logins    int64
	commits   int64
	queries   int64
	increment int64 // queries of the catalog in the increment
	reads     int64 // of the store's rows in the increment
	cpu       float64
	rss       int64
	hits      float64 // in the increment, 0 to 1; 0 without a cache
	alone     float64 // rows a second, each handed over alone; 0: in batches
}

func (s sample) rate() float64 { return float64(s.rows) / max(s.seconds, 1e-9) }

// report is what is read of a sync's report.
type report struct {
	Status   string  `json:"status"`
	Seconds  float64 `json:"total_duration"`
	Records  int64   `json:"total_records"`
	Queries  int64   `json:"catalog_queries"`
	Reads    int64   `json:"store_reads"`
	Before   int64   `json:"sequence_before"`
	After    int64   `json:"sequence_after"`
	Provider struct {
		Logins int64 `json:"logins"`
	} `json:"provider_statistics"`
	Writer struct {
		Alone   int64   `json:"rows_alone"`
		Seconds float64 `json:"rows_alone_seconds"`
	} `json:"batch_writer_statistics"`
	Cache *struct {
		Hits   int64 `json:"hits"`
		Misses int64 `json:"misses"`
	} `json:"cache_statistics"`
}

// simulator is a provider in a process of its own.
type simulator struct {
	command *exec.Cmd
	address string
}

// simulate starts a market of so many instruments.
func (b *bench) simulate(symbols int) (*simulator, error) {
	command := exec.CommandContext(context.Background(), b.tapeline, "sim", "baostock", "--listen", "127.0.0.1:0", //nolint:gosec // our own binary
		"--seed", "1", "--symbols", strconv.Itoa(symbols), "--from", "2020-01-01", "--to", "2023-12-31")
	out, err := command.StderrPipe()
	if err != nil {
		return nil, err
	}
	command.Stdout = command.Stderr
	if err := command.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		for word := range strings.FieldsSeq(lines.Text()) {
			if word = strings.Trim(word, "\"',;."); strings.HasPrefix(word, "127.0.0.1:") {
				go io.Copy(io.Discard, out) //nolint:errcheck // what it says further is of no interest
				return &simulator{command, word}, nil
			}
		}
	}
	return nil, fmt.Errorf("the simulator of %d symbols did not say where it listens", symbols)
}

func (s *simulator) stop() {
	_ = s.command.Process.Signal(syscall.SIGTERM)
	_ = s.command.Wait() // ended by the signal
}

// sync runs one sync as a child.
func (b *bench) sync(s *simulator, store, from, to string, env []string) (report, *os.ProcessState, error) {
	var r report
	command := exec.CommandContext(context.Background(), b.tapeline, "sync", "--endpoint", s.address, "--store", store, //nolint:gosec // our own binary
		"--from", from, "--to", to, "--json", "--state", filepath.Join(b.dir, "state"))
	command.Env = append(os.Environ(), env...)
	var out, errs bytes.Buffer
	command.Stdout, command.Stderr = &out, &errs
	if err := command.Run(); err != nil {
		return r, nil, fmt.Errorf("sync: %w\n%s", err, errs.String())
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		return r, nil, fmt.Errorf("report of a sync: %w", err)
	}
	if r.Status != "complete" {
		return r, nil, fmt.Errorf("the sync is %s\n%s", r.Status, errs.String())
	}
	return r, command.ProcessState, nil
}

// begin is the first day that is synced of a market.
func (b *bench) begin(symbols int) string {
	const large = 1000
	if symbols > large {
		return b.late
	}
	return b.from
}

// measure fills an empty store up to a month before the end, and then the month.
func (b *bench) measure(s *simulator, symbols int, env []string) (sample, error) {
	store := filepath.Join(b.dir, "store")
	if err := os.RemoveAll(store); err != nil {
		return sample{}, err
	}
	from := b.begin(symbols)
	first, process, err := b.sync(s, store, from, b.to, env)
	if err != nil {
		return sample{}, err
	}
	year, _, _ := strings.Cut(b.to, "-")
	second, _, err := b.sync(s, store, from, year+"-12-29", env)
	if err != nil {
		return sample{}, err
	}
	m := sample{
		rows: first.Records, seconds: first.Seconds, logins: first.Provider.Logins, commits: first.After - first.Before,
		queries: first.Queries, increment: second.Queries, reads: second.Reads,
		alone: float64(first.Writer.Alone) / max(first.Writer.Seconds, 1e-9),
		cpu:   (process.UserTime() + process.SystemTime()).Seconds(),
	}
	if usage, ok := process.SysUsage().(*syscall.Rusage); ok {
		m.rss = usage.Maxrss << 10
	}
	if c := second.Cache; c != nil && c.Hits+c.Misses > 0 {
		m.hits = float64(c.Hits) / float64(c.Hits+c.Misses)
	}
	return m, nil
}

// median returns the sample with the median rate.
func median(samples []sample) sample {
	sorted := slices.Clone(samples)
	slices.SortFunc(sorted, func(a, b sample) int {
		if a.rate() < b.rate() {
			return -1
		}
		return 1
	})
	return sorted[len(sorted)/2]
}
