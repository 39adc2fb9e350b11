package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// result returns a table in which Tapeline runs at the given wall seconds beside a rival.
func result(seconds, rivalSeconds []float64) *workloadResult {
	samples := func(walls []float64) []sample {
		list := make([]sample, len(walls))
		for i, wall := range walls {
			list[i] = sample{WallSeconds: wall, CPUSeconds: 2 * wall, MaxRSSBytes: 10 << 20}
		}
		return list
	}
	w := &workloadResult{
		Name: csvToCSV,
		Tools: []*toolResult{
			{Tool: ours, Rows: 1000, Samples: samples(seconds)},
			{Tool: "mawk", Rows: 500, Samples: samples(rivalSeconds)},
			{Tool: "miller", Reason: "command mlr is not installed"},
		},
		goal: goal{RowsPerSecond: 400, MaxRSSBytes: 1 << 20, Ratios: map[string]float64{"mawk": 3}},
	}
	w.summarize()
	return w
}

func TestSummarizePairsRounds(t *testing.T) {
	t.Parallel()
	// Round 2 is disturbed for both, so the paired ratio stays what the quiet rounds say.
	w := result([]float64{1, 5, 1}, []float64{2, 10, 2})
	if got, want := w.Tools[0].RowsPerSecond, 1000.0; got != want {
		t.Errorf("rate: got %v, want %v", got, want)
	}
	if diff := cmp.Diff(&ratio{Wall: 4, CPU: 4}, w.Tools[1].Ratio); diff != "" {
		t.Errorf("ratio (-want +got):\n%s", diff)
	}
	if w.Tools[2].Ratio != nil {
		t.Errorf("ratio to a tool that did not run: got %+v, want none", w.Tools[2].Ratio)
	}
}

func TestMedian(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{4, 1}, 2.5}, {[]float64{9, 1, 2}, 2}} {
		if got := median(test.values); got != test.want {
			t.Errorf("median of %v: got %v, want %v", test.values, got, test.want)
		}
	}
}

func TestPrintNamesToolsNotRun(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	result([]float64{1}, []float64{2}).print(&text)
	for _, want := range []string{
		"not run: command mlr is not installed", "4.00x", "1 k rec/s, at least 400: met",
		"RSS 10 MB, at most 1 MB: missed", "4.00x of mawk, at least 3.00x: met",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("table: got\n%s\nwant a part %q", &text, want)
		}
	}
}

func TestBaseline(t *testing.T) {
	t.Parallel()
	o := options{root: t.TempDir(), updateBaseline: true}
	path := filepath.Join(o.root, "bench", "baseline.json")
	if err := writeJSON(path, baseline{}); err != nil {
		t.Fatal(err)
	}
	compare := func(r *report) string {
		t.Helper()
		var text bytes.Buffer
		if err := compareBaseline(&text, r, o); err != nil {
			t.Fatal(err)
		}
		return text.String()
	}
	compare(&report{Workloads: []*workloadResult{result([]float64{1}, []float64{2})}})

	o.updateBaseline = false
	slightly := &report{Workloads: []*workloadResult{result([]float64{1.05}, []float64{2})}}
	if got := compare(slightly); got != "" {
		t.Errorf("5 %% slower: got %q, want no warning", got)
	}
	slower := &report{Workloads: []*workloadResult{result([]float64{1.2}, []float64{2})}}
	want := "3.33x of mawk, the baseline is 4.00x"
	if got := compare(slower); !strings.Contains(got, want) {
		t.Errorf("20 %% slower: got %q, want %q", got, want)
	}
	slower.Subset = true
	want = "no baseline against mawk"
	if got := compare(slower); !strings.Contains(got, want) {
		t.Errorf("subset without a baseline: got %q, want %q", got, want)
	}
}
