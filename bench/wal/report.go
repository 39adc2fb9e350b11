//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// report is one run, as written to the JSON file.
type report struct {
	Command    string            `json:"command"`
	Cores      int               `json:"cores"`
	Rounds     int               `json:"rounds"`
	Record     int               `json:"record_bytes"`
	LoadBefore string            `json:"load_before"` // 1, 5 and 15 minutes
	LoadAfter  string            `json:"load_after"`
	Versions   map[string]string `json:"versions"`
	Durability map[string]string `json:"durability"`
	Samples    []sample          `json:"samples"`

	engines []string
	batches []int
}

// sample is what one engine did in one round.
type sample struct {
	Engine           string  `json:"engine"`
	Batch            int     `json:"batch"` // records
	Round            int     `json:"round"`
	RecordsPerSecond float64 `json:"records_per_second"`
	CommitsPerSecond float64 `json:"commits_per_second"`
	P50              float64 `json:"commit_p50_seconds"`
	P99              float64 `json:"commit_p99_seconds"`
	CPUPerRecord     float64 `json:"cpu_seconds_per_record"` // user and system, all threads
	WrittenPerRecord float64 `json:"written_bytes_per_record"`
}

// goals say how many times the best of the others' records a second, by records of a batch.
func goals() map[int]float64 { return map[int]float64{100: 2, 2000: 3} }

func newReport(o options) *report {
	r := &report{
		Command: "go run ./bench/wal " + strings.Join(os.Args[1:], " "), Cores: runtime.NumCPU(), Rounds: o.rounds,
		Record: recordBytes, LoadBefore: load(), Versions: map[string]string{}, Durability: map[string]string{},
		engines: append(slices.Clone(o.engines), "probe"), batches: o.batches,
	}
	for _, name := range r.engines {
		r.Durability[name] = durabilities()[name]
		if !slices.Contains(names(), name) {
			text, _ := exec.Command(o.peers, "-engine", name, "-version").Output() // start says what is wrong
			r.Versions[name] = strings.TrimSpace(string(text))
		}
	}
	return r
}

func (r *report) add(name string, records, round int, t turn) {
	slices.Sort(t.CommitNS)
	commits := len(t.CommitNS)
	at := func(share float64) float64 { return float64(t.CommitNS[int(share*float64(commits-1))]) / 1e9 }
	total, seconds := float64(commits*records), float64(t.WallNS)/1e9
	r.Samples = append(r.Samples, sample{
		Engine: name, Batch: records, Round: round,
		RecordsPerSecond: total / seconds, CommitsPerSecond: float64(commits) / seconds, P50: at(0.5), P99: at(0.99),
		CPUPerRecord: float64(t.CPUNS) / 1e9 / total, WrittenPerRecord: float64(t.Written) / total,
	})
}

// of returns the samples of an engine, by round.
func (r *report) of(name string, records int) (found []sample) {
	for _, s := range r.Samples {
		if s.Engine == name && s.Batch == records {
			found = append(found, s)
		}
	}
	return found
}

func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// each returns the median of one figure.
func each(samples []sample, figure func(s sample) float64) float64 {
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = figure(s)
	}
	return median(values)
}

// ratio returns the median of the ratios inside the rounds.
func ratio(first, other []sample) float64 {
	values := make([]float64, len(first))
	for i := range first {
		values[i] = first[i].RecordsPerSecond / other[i].RecordsPerSecond
	}
	return median(values)
}

func (r *report) print(target io.Writer) {
	first := r.engines[0]
	fmt.Fprintf(target, "%s\nrecords of %d bytes, medians of %d interleaved rounds, %d cores, load %s before and %s after\n\n",
		r.Command, r.Record, r.Rounds, r.Cores, r.LoadBefore, r.LoadAfter)
	out := tabwriter.NewWriter(target, 0, 0, 1, ' ', 0)
	fmt.Fprintf(out, "| batch\t| engine\t| records/s\t| commits/s\t| p50\t| p99\t| CPU a record\t| bytes a record\t| %s is times as fast\t|\n", first)
	fmt.Fprintf(out, "|%s\n", strings.Repeat("---\t|", 9))
	for _, records := range r.batches {
		for _, name := range r.engines {
			r.line(out, name, records)
		}
	}
	_ = out.Flush()
	fmt.Fprintln(target)
	if first == "tapeline" {
		r.judge(target)
	}
	for _, name := range r.engines {
		fmt.Fprintf(target, "%s %s: %s\n", name, r.Versions[name], r.Durability[name])
	}
}

func (r *report) line(out io.Writer, name string, records int) {
	samples := r.of(name, records)
	duration := func(figure func(s sample) float64) time.Duration { return time.Duration(1e9 * each(samples, figure)) }
	rate, times := "", ""
	if name != "probe" {
		rate = fmt.Sprintf("%.0f", each(samples, func(s sample) float64 { return s.RecordsPerSecond }))
		times = fmt.Sprintf("%.2f", ratio(r.of(r.engines[0], records), samples))
	}
	fmt.Fprintf(out, "| %d\t| %s\t| %s\t| %.0f\t| %s\t| %s\t| %s\t| %.0f\t| %s\t|\n", records, name, rate,
		each(samples, func(s sample) float64 { return s.CommitsPerSecond }),
		duration(func(s sample) float64 { return s.P50 }).Round(time.Microsecond),
		duration(func(s sample) float64 { return s.P99 }).Round(time.Microsecond),
		duration(func(s sample) float64 { return s.CPUPerRecord }),
		each(samples, func(s sample) float64 { return s.WrittenPerRecord }), times)
}

// judge compares ours with the one of the others that comes closest.
func (r *report) judge(target io.Writer) {
	for _, records := range r.batches {
		goal, ok := goals()[records]
		times, best := math.Inf(1), ""
		for _, name := range r.engines {
			if slices.Contains(names(), name) {
				continue
			}
			if n := ratio(r.of("tapeline", records), r.of(name, records)); n < times {
				times, best = n, name
			}
		}
		if !ok || best == "" {
			continue
		}
		verdict := "missed"
		if times >= goal {
			verdict = "met"
		}
		fmt.Fprintf(target, "batches of %d: %.2f times the best of the others, %s, goal %.0f: %s\n",
			records, times, best, goal, verdict)
	}
}

func (r *report) write(name string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(text, '\n'), 0o600)
}

func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(text))[:3], " ")
}
