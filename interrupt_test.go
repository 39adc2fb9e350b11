package tapeline_test

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// endless is a workflow that goes on until it is stopped.
const endless = `name: endless
execution: {checkpoint_interval: 20ms}
sources:
  in: {type: generate, config: {rows: ROWS, rate: 2000, fields: {id: sequence}}}
transformations:
  even: {type: filter, inputs: [in], config: {condition: id % 2 == 0}}
destinations:
  out: {type: csv, inputs: [even], config: {path: out.csv}}
`

// running starts the workflow in a child process and returns when it has committed a checkpoint.
func running(t *testing.T, dir string, rows string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	writeFile(t, filepath.Join(dir, "flow.yaml"), string(bytes.ReplaceAll([]byte(endless), []byte("ROWS"), []byte(rows))))
	c := &child{t: t, args: []string{"run", "flow.yaml", "--json-report", "report.json"}}
	command, output := c.command()
	command.Dir = dir
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Process.Kill() })
	awaitEpoch(t, filepath.Join(dir, ".tapeline"), "endless")
	return command, output
}

// An interrupt commits what was read and ends with 130; the next run goes on there, and nothing is
// lost or twice. It is the same for SIGTERM.
func TestInterruptDrains(t *testing.T) {
	for name, signal := range map[string]os.Signal{"SIGINT": os.Interrupt, "SIGTERM": syscall.SIGTERM} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			command, output := running(t, dir, "20000")
			if err := command.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			_ = command.Wait()
			if code := command.ProcessState.ExitCode(); code != 130 {
				t.Fatalf("exit code %d, want 130\n%s", code, output)
			}
			wantAll(t, output.String(), "stopping: committing what was read", "interrupted; run it again to go on behind checkpoint")
			wantAll(t, readFile(t, filepath.Join(dir, "report.json")), `"status": "stopped"`)
			wantNoFile(t, filepath.Join(dir, "out.csv"))
			wantAll(t, mustRun(t, dir, nil, "history").out, "stopped")
			resumed := mustRun(t, dir, nil, "run", "flow.yaml", "--resume", "--set", "sources.in.config.rate=0")
			wantAll(t, resumed.errors, "endless completed: 20,000 rows in (", " before), 10,000 out")
			wantEven(t, filepath.Join(dir, "out.csv"), 10_000)
		})
	}
}

// The second interrupt ends at once, without an error message of the engine's own.
func TestSecondInterruptEndsAtOnce(t *testing.T) {
	dir := t.TempDir()
	command, output := running(t, dir, "0")
	// Both are there before the first is handled, or the second comes while it drains.
	_ = command.Process.Signal(os.Interrupt)
	_ = command.Process.Signal(syscall.SIGTERM)
	_ = command.Wait()
	if code := command.ProcessState.ExitCode(); code != 130 {
		t.Errorf("exit code %d, want 130", code)
	}
	wantAll(t, output.String(), "tapeline: interrupted; run it again to go on behind checkpoint")
}

// Only one process at a time runs a workflow. A second one is refused and told who does; once that
// one is killed it takes over, without waiting for the lease to end.
func TestSecondProcess(t *testing.T) {
	dir := t.TempDir()
	first, output := running(t, dir, "60000")
	second := func() outcome {
		return tapelineIn(t, dir, nil, "run", "flow.yaml", "--resume", "--set", "sources.in.config.rate=0")
	}
	refused := second()
	if refused.code != 1 {
		t.Errorf("exit code %d, want 1\n%s", refused.code, refused.all())
	}
	wantAll(t, refused.errors, "workflow endless is running",
		fmt.Sprintf("process %d on host", first.Process.Pid), "holds its lease until",
		"stop that process, or wait until its lease ends")
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()
	if first.ProcessState.Exited() {
		t.Fatalf("the first ended before it was killed: exit code %d\n%s",
			first.ProcessState.ExitCode(), output)
	}
	taken := second()
	if taken.code != 0 {
		t.Fatalf("exit code %d after the first was killed\n%s", taken.code, taken.all())
	}
	wantAll(t, taken.errors, "endless completed: 60,000 rows in (", " before), 30,000 out")
	wantEven(t, filepath.Join(dir, "out.csv"), 30_000)
}

// A killed run is shown as interrupted, and refuses to go on with another source.
func TestKilledRunInHistory(t *testing.T) {
	dir := t.TempDir()
	command, _ := running(t, dir, "0")
	wantAll(t, mustRun(t, dir, nil, "history").out, "running", "so far")
	_ = command.Process.Kill()
	_ = command.Wait()
	wantAll(t, mustRun(t, dir, nil, "history").out, "interrupted")
	changed := tapelineIn(t, dir, nil, "run", "flow.yaml", "--set", "sources.in.config.seed=7")
	if changed.code != 1 {
		t.Errorf("exit code %d with another seed, want 1", changed.code)
	}
	wantAll(t, changed.errors, "node in has changed since the unfinished run began", "--fresh")
	mustRun(t, dir, nil, "run", "flow.yaml", "--fresh", "--set", "sources.in.config.rows=10")
	wantEven(t, filepath.Join(dir, "out.csv"), 5)
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// wantEven wants the even numbers from 2 in order.
func wantEven(t *testing.T, name string, rows int) {
	t.Helper()
	records, err := csv.NewReader(bytes.NewReader([]byte(readFile(t, name)))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(records) != rows+1 {
		t.Fatalf("%d lines, want %d and a header", len(records), rows)
	}
	for i, record := range records[1:] {
		if want := strconv.Itoa(2 * (i + 1)); record[0] != want {
			t.Fatalf("row %d is %s, want %s", i, record[0], want)
		}
	}
}
