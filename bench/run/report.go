package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/tapeline/tapeline/bench/dataset"
)

// report is one run of the benchmarks, as written to bench/out/result.json.
type report struct {
	Subset     bool   `json:"subset"`
	Rows       int    `json:"rows"`
	Rounds     int    `json:"rounds"`
	Cores      int    `json:"cores"`
	CPU        string `json:"cpu"`
	System     string `json:"system"`
	LoadBefore string `json:"load_before"` // 1, 5 and 15 minutes
	LoadAfter  string `json:"load_after"`

	Workloads []*workloadResult `json:"workloads"`
}

// workloadResult is one table.
type workloadResult struct {
	Name  string        `json:"name"`
	Title string        `json:"title"`
	Tools []*toolResult `json:"tools"`

	goal goal
}

// toolResult is one line of a table.
type toolResult struct {
	Tool       string `json:"tool"`
	Version    string `json:"version,omitempty"`
	Command    string `json:"command,omitempty"`
	Durability string `json:"durability"`
	Note       string `json:"note,omitempty"`
	Reason     string `json:"not_run,omitempty"` // why there are no figures

	Rows    int      `json:"rows"`
	Samples []sample `json:"samples,omitempty"`
	Output  *content `json:"output,omitempty"`

	Checkpoints int64 `json:"checkpoints,omitempty"` // taken in the last round, Tapeline only

	// Medians over the rounds; zero without a sample.
	RowsPerSecond    float64 `json:"rows_per_second"`
	RowsPerCPUSecond float64 `json:"rows_per_cpu_second"`
	MaxRSSBytes      int64   `json:"max_rss_bytes"`
	ForeignCores     float64 `json:"foreign_cores"`

	Ratio *ratio `json:"ratio,omitempty"` // of Tapeline to this tool

	want dataset.Sums
}

// ratio is Tapeline's rate over a rival's: the median of the rounds, both measured in the same.
type ratio struct {
	Wall float64 `json:"wall"`
	CPU  float64 `json:"cpu"`
}

func newReport(o options) *report {
	return &report{
		Subset: o.subset, Rows: o.rows, Rounds: o.rounds, Cores: runtime.NumCPU(),
		CPU: cpuModel(), System: kernel(), LoadBefore: loadAverage(),
	}
}

// print writes the heading.
func (r *report) print(target io.Writer) {
	fmt.Fprintf(target, "%d rows, %d rounds interleaved, %d cores %s, %s, load average %s\n",
		r.Rows, r.Rounds, r.Cores, r.CPU, r.System, r.LoadBefore)
}

// summarize computes medians and ratios from the samples.
func (w *workloadResult) summarize() {
	var reference *toolResult
	for _, t := range w.Tools {
		if len(t.Samples) == 0 || t.Reason != "" {
			continue
		}
		t.RowsPerSecond = median(t.rates(wallRate))
		t.RowsPerCPUSecond = median(t.rates(cpuRate))
		for _, s := range t.Samples {
			t.MaxRSSBytes = max(t.MaxRSSBytes, s.MaxRSSBytes)
		}
		t.ForeignCores = median(t.rates(func(_ int, s sample) float64 { return s.ForeignCores }))
		if t.Tool == ours {
			reference = t
		}
	}
	for _, t := range w.Tools {
		if reference == nil || t == reference || len(t.Samples) != len(reference.Samples) {
			continue
		}
		t.Ratio = &ratio{
			Wall: medianRatio(reference.rates(wallRate), t.rates(wallRate)),
			CPU:  medianRatio(reference.rates(cpuRate), t.rates(cpuRate)),
		}
	}
}

func wallRate(rows int, s sample) float64 { return float64(rows) / s.WallSeconds }

func cpuRate(rows int, s sample) float64 { return float64(rows) / max(s.CPUSeconds, 1e-3) }

// rates applies a measure to every sample.
func (t *toolResult) rates(measure func(rows int, s sample) float64) []float64 {
	rates := make([]float64, len(t.Samples))
	for i, s := range t.Samples {
		rates[i] = measure(t.Rows, s)
	}
	return rates
}

// median returns the middle value, or the mean of the two in the middle; 0 for none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// medianRatio pairs the values of equal rounds; both slices have the same length.
func medianRatio(numerators, denominators []float64) float64 {
	ratios := make([]float64, len(numerators))
	for i := range numerators {
		ratios[i] = numerators[i] / denominators[i]
	}
	return median(ratios)
}

// print writes the table, the tools not run, the goals and the command lines.
func (w *workloadResult) print(target io.Writer) {
	fmt.Fprintf(target, "\n%s: %s\n", w.Name, w.Title)
	table := tabwriter.NewWriter(target, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, strings.Join([]string{
		"tool", "rows", "rec/s", "rec/cpu-s", "RSS", "tapeline is", "by cpu-s", "noise", "output",
		"durability",
	}, "\t"))
	for _, t := range w.Tools {
		if t.Reason != "" {
			fmt.Fprintf(table, "%s\tnot run: %s\n", t.Tool, t.Reason)
			continue
		}
		wall, cpu := "", ""
		if t.Ratio != nil {
			wall, cpu = fmt.Sprintf("%.2fx", t.Ratio.Wall), fmt.Sprintf("%.2fx", t.Ratio.CPU)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d MB\t%s\t%s\t%.2f\t%s\t%s\n", t.Tool,
			count(float64(t.Rows)), count(t.RowsPerSecond), count(t.RowsPerCPUSecond),
			t.MaxRSSBytes>>20, wall, cpu, t.ForeignCores, w.describe(t), t.Durability)
	}
	if err := table.Flush(); err != nil {
		fmt.Fprintln(os.Stderr, "bench: print table:", err)
	}
	for _, line := range w.judge() {
		fmt.Fprintln(target, "  goal:", line)
	}
	for _, t := range w.Tools {
		if t.Command != "" {
			fmt.Fprintf(target, "  %s, %s: %s\n", t.Tool, t.Version, t.Command)
		}
	}
}

// describe says how an output compares with Tapeline's, or the first tool's that has one.
func (w *workloadResult) describe(t *toolResult) string {
	if t.Output == nil {
		return "not kept"
	}
	words := []string{"correct"}
	for _, other := range w.Tools {
		if other.Output == nil || other.Rows != t.Rows || other.Output.Digest == "" {
			continue
		}
		if other != t && other.Output.Digest == t.Output.Digest {
			words = append(words, "bytes of "+other.Tool)
		}
		break
	}
	if t.Output.Digest != "" && !t.Output.Ordered {
		words = append(words, "out of order")
	}
	return strings.Join(words, ", ")
}

// judge says for each goal of the workload whether it is met; nothing without Tapeline's figures.
func (w *workloadResult) judge() []string {
	var lines []string
	verdict := func(met bool, format string, args ...any) {
		word := "missed"
		if met {
			word = "met"
		}
		lines = append(lines, fmt.Sprintf(format, args...)+": "+word)
	}
	const leastWithCheckpoints = 0.9
	for _, t := range w.Tools {
		switch {
		case len(t.Samples) == 0:
		case t.Tool == ours && w.goal.RowsPerSecond > 0:
			verdict(t.RowsPerSecond >= w.goal.RowsPerSecond, "%s rec/s, at least %s",
				count(t.RowsPerSecond), count(w.goal.RowsPerSecond))
			if w.goal.MaxRSSBytes > 0 {
				verdict(t.MaxRSSBytes <= w.goal.MaxRSSBytes, "RSS %d MB, at most %d MB",
					t.MaxRSSBytes>>20, w.goal.MaxRSSBytes>>20)
			}
		case t.Ratio == nil:
		case t.Tool == oursCheckpoints:
			share := 1 / t.Ratio.Wall
			verdict(share >= leastWithCheckpoints, "with %d checkpoints %.2fx of the plain "+
				"rate, at least %.2fx", t.Checkpoints, share, leastWithCheckpoints)
		case w.goal.Ratios[t.Tool] > 0:
			verdict(t.Ratio.Wall >= w.goal.Ratios[t.Tool], "%.2fx of %s, at least %.2fx",
				t.Ratio.Wall, t.Tool, w.goal.Ratios[t.Tool])
		}
	}
	return lines
}

// count prints a number with three digits and a unit.
func count(n float64) string {
	switch {
	case n >= 1e6:
		return fmt.Sprintf("%.3g M", n/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.3g k", n/1e3)
	}
	return fmt.Sprintf("%.3g", n)
}

// writeJSON writes value, indented, to path.
func writeJSON(path string, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", filepath.Base(path), err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("create folder: %w", err)
	}
	if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return nil
}

// cpuModel returns the name of the processor.
func cpuModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(text)) {
		if name, model, ok := strings.Cut(line, ":"); ok && strings.HasPrefix(name, "model name") {
			return strings.TrimSpace(model)
		}
	}
	return runtime.GOARCH
}

// kernel returns the operating system and its release.
func kernel() string {
	text, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return runtime.GOOS
	}
	return runtime.GOOS + " " + strings.TrimSpace(string(text))
}
