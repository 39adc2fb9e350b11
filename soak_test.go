package tapeline_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/tapeline/tapeline/internal/flow/run"
	"github.com/tapeline/tapeline/internal/testenv"
)

// measured runs a workflow in a folder of its own and returns its report, its peak resident memory
// in bytes and what it printed.
func measured(t *testing.T, text string) (report run.Report, peak int64, output string) {
	t.Helper()
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "flow.yaml"), text)
	product, err := buildProduct()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(product, "run", "flow.yaml", "--verbose", "--json-report", "report.json")
	command.Dir = dir
	output, peak, err = runMeasured(t, command)
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	return readReport(t, filepath.Join(dir, "report.json")), peak, output
}

// buildProduct makes the binary that users run. The tests' own would not do to measure: it carries the
// tests, what they need and, with the race detector, two bytes for each of the program's.
var buildProduct = sync.OnceValues(func() (string, error) {
	name := filepath.Join(os.Getenv(productDir), "tapeline")
	build := exec.Command("go", "build", "-o", name, "./cmd/tapeline")
	build.Dir, build.Env = testenv.Root(), append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build ./cmd/tapeline: %w\n%s", err, out)
	}
	return name, nil
})

var latencies = regexp.MustCompile(`msg="latency of discarded rows".*`)

// Latency from the intended emission of a row to the return of the Write that took it. The figure
// is measured, not asserted, since it says as much about the machine as about the engine.
func TestLatencyAt100kRowsPerSecond(t *testing.T) {
	rows := 200_000
	if os.Getenv("TAPELINE_SOAK") == "1" {
		rows = 2_000_000
	}
	document, err := os.ReadFile(filepath.Join(testenv.Root(), "bench", "workflows", "latency.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	report, _, output := measured(t, strings.Replace(string(document), "rows: 1000000",
		fmt.Sprintf("rows: %d", rows), 1))
	if report.RowsIn != int64(rows) {
		t.Errorf("%d rows in, want %d", report.RowsIn, rows)
	}
	found := latencies.FindString(output)
	if found == "" {
		t.Fatalf("the sink logged no latencies:\n%s", output)
	}
	t.Logf("%d rows/s for %.1f s, linger 2 ms: %s", 100_000, report.Seconds, found)
}

// processBytes is what a process takes beside its workflow's memory_limit: program text, catalog,
// runtime.
const processBytes = 64_000_000

// A fast source in front of a slow sink is held back: memory stays within bounds, nothing is lost.
func TestBackPressure(t *testing.T) {
	for name, destinations := range map[string]string{
		"slow sink": "  slow: {type: discard, inputs: [wide], config: {rate: 1000}}\n",
		"stalled branch": "  slow: {type: discard, inputs: [wide], config: {rate: 1000}}\n" +
			"  fast: {type: discard, inputs: [wide]}\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it mostly waits
			const rows = 6000
			const limit = 32_000_000
			report, peak, _ := measured(t, fmt.Sprintf(`name: pressure
execution: {memory_limit: %d, batch_size: 500, checkpoint_interval: 500ms}
sources:
  rows:
    type: generate
    config: {rows: %d, seed: 1, fields: {id: sequence, text: {type: string, length: 20000}}}
transformations:
  wide: {type: compute, inputs: [rows], config: {columns: {twice: "text + text"}}}
destinations:
%s`, limit, rows, destinations))
			for _, n := range report.Nodes {
				if n.RowsIn != rows {
					t.Errorf("%s: %d rows in, want %d", n.ID, n.RowsIn, rows)
				}
			}
			source := report.Nodes[0]
			if source.BlockedSeconds < report.Seconds/2 {
				t.Errorf("the source was blocked %.1f of %.1f s, want most of them",
					source.BlockedSeconds, report.Seconds)
			}
			t.Logf("%.1f s, source blocked %.1f s, peak memory %d MB for %d MB of rows", report.Seconds,
				source.BlockedSeconds, peak/1e6, rows*60_000/1_000_000)
			if report.InFlightBytes > limit {
				t.Errorf("%d bytes of rows in flight, the limit is %d", report.InFlightBytes, limit)
			}
			if peak > processBytes+limit {
				t.Errorf("peak memory %d bytes, want at most %d and the memory_limit of %d",
					peak, processBytes, limit)
			}
		})
	}
}

// A checkpoint of a million keys after one in a hundred is new writes the new ones, not all.
func TestDedupeIncrement(t *testing.T) {
	const rows, change = 1_000_000, 10_000
	// The second source hands all of its rows over at once, in 2.5 s: after the second checkpoint.
	report, _, _ := measured(t, fmt.Sprintf(`name: dedupe
execution: {checkpoint_interval: 1s, batch_size: %[2]d}
sources:
  base:
    type: generate
    config: {rows: %[1]d, fields: {key: {type: string, kind: sequence, prefix: key-}}}
  change:
    type: generate
    config:
      rows: %[2]d
      rate: 4000
      linger: 1m
      fields: {key: {type: string, kind: sequence, prefix: key-, start: %[3]d}}
transformations:
  both: {type: union, inputs: [base, change], config: {columns: {key: string}}}
  first: {type: dedupe, inputs: [both], config: {key: [key]}}
destinations:
  nothing: {type: discard, inputs: [first]}
`, rows, change, rows+1))
	if report.RowsOut != rows+change {
		t.Fatalf("%d distinct rows, want %d", report.RowsOut, rows+change)
	}
	var whole int64
	for _, n := range report.Nodes {
		if n.ID == "first" {
			whole = n.StateBytes
		}
	}
	increment := report.Checkpoint.StateBytes["first"]
	t.Logf("state of %d keys %d bytes; %d new keys wrote %d bytes at checkpoint %d", rows+change, whole,
		change, increment, report.Checkpoint.Epoch)
	share := whole * change / (rows + change)
	if increment == 0 || increment > 3*share {
		t.Errorf("the increment is %d bytes, want at most 3 times %d", increment, share)
	}
}

// Keys survive kills: base and increments restore to the same set.
func TestKillDedupe(t *testing.T) {
	dir := t.TempDir()
	flow := filepath.Join(dir, "flow.yaml")
	out := filepath.Join(dir, "out.csv")
	writeFile(t, flow, fmt.Sprintf(`name: dedupe
execution: {checkpoint_interval: 20ms, batch_size: 2000, memory_limit: 2MB, restart_strategy: {type: none}}
sources:
  rows:
    type: generate
    config: {rows: 1000000, seed: 7, fields: {key: {type: int64, min: 1, max: 400000}, at: sequence}}
transformations:
  first: {type: dedupe, inputs: [rows], config: {key: [key]}}
destinations:
  out: {type: csv, inputs: [first], config: {path: %q}}
`, out))
	killAtRandomPoints(t, &child{
		t: t, args: []string{"run", flow, "--quiet", "--state", t.TempDir()},
	}, func() string { return fileDigest(t, out) })
}
