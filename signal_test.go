package tapeline_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// served is a child whose metrics can be read.
type served struct {
	t       *testing.T
	command *exec.Cmd
	lines   chan string // of its standard error
	url     string
}

func serve(t *testing.T, dir string, args ...string) *served {
	t.Helper()
	command := exec.Command(os.Args[0], append([]string{"run", "flow.yaml", "--metrics", "127.0.0.1:0"}, args...)...)
	command.Dir, command.Env = dir, append(os.Environ(), "TAPELINE_CHILD=1")
	stderr, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	s := &served{t: t, command: command, lines: make(chan string, 1000)}
	t.Cleanup(func() { _ = command.Process.Kill() })
	go func() {
		defer close(s.lines)
		for scanner := bufio.NewScanner(stderr); scanner.Scan(); {
			s.lines <- scanner.Text()
		}
	}()
	s.url = strings.TrimPrefix(s.await("metrics at "), "metrics at ")
	return s
}

// await returns the first line that has the text.
func (s *served) await(text string) string {
	s.t.Helper()
	timeout := time.After(time.Minute)
	for {
		select {
		case line, ok := <-s.lines:
			if !ok {
				s.t.Fatalf("the child ended without a line %q", text)
			}
			if strings.Contains(line, text) {
				return line
			}
		case <-timeout:
			s.t.Fatalf("no line %q within a minute", text)
		}
	}
}

// awaitRows returns when a node of the child has taken rows in.
func (s *served) awaitRows(node string) {
	s.t.Helper()
	figure := regexp.MustCompile(`tapeline_flow_rows_in_total\{node="` + node + `",workflow="signal"\} [1-9]`)
	for until := time.Now().Add(time.Minute); ; <-time.After(10 * time.Millisecond) {
		response, err := http.Get(s.url)
		if err != nil {
			s.t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		if err := errors.Join(err, response.Body.Close()); err != nil {
			s.t.Fatal(err)
		}
		if figure.Match(text) {
			return
		}
		if time.Now().After(until) {
			s.t.Fatalf("node %s took no rows within a minute:\n%s", node, text)
		}
	}
}

func (s *served) terminate() {
	s.t.Helper()
	if err := s.command.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
}

// wantInterrupted waits for the child's end, which has to come with the exit code of an interrupted
// run.
func (s *served) wantInterrupted() {
	s.t.Helper()
	for range s.lines { // to the end: the pipe closes with the child
	}
	_ = s.command.Wait()
	const interrupted = 130
	if code := s.command.ProcessState.ExitCode(); code != interrupted {
		s.t.Errorf("exit code %d, want %d", code, interrupted)
	}
}

// SIGTERM commits what was read and ends the run; the next run goes on behind it.
func TestSigtermDrains(t *testing.T) {
	t.Parallel() // it mostly waits
	const rows = 40_000
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "flow.yaml"), fmt.Sprintf(`name: signal
execution: {checkpoint_interval: 1h, linger: 10ms}
sources:
  rows: {type: generate, config: {rows: %d, rate: 20000, fields: {id: sequence}}}
destinations:
  out: {type: csv, inputs: [rows], config: {path: out.csv}}
`, rows))
	s := serve(t, dir)
	s.awaitRows("out")
	s.terminate()
	s.await("stopping: committing what was read")
	s.wantInterrupted()
	mustRun(t, dir, nil, "run", "flow.yaml", "--quiet", "--resume", "--json-report", "report.json")
	if report := readReport(t, filepath.Join(dir, "report.json")); report.RowsIn != rows {
		t.Errorf("%d rows in over both runs, want %d", report.RowsIn, rows)
	}
	data, err := os.ReadFile(filepath.Join(dir, "out.csv"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Fields(string(data))
	if len(lines) != rows+1 {
		t.Fatalf("%d lines, want %d and the header", len(lines), rows)
	}
	first := lines[1]
	for i, line := range lines[1:] {
		var start, id int
		if _, err := fmt.Sscan(first+" "+line, &start, &id); err != nil || id != start+i {
			t.Fatalf("line %d is %q, %v; want the rows in order, each once", i+2, line, err)
		}
	}
}

// A second SIGTERM ends a run that cannot commit, because its sink takes nothing.
func TestSecondSigtermStopsAtOnce(t *testing.T) {
	t.Parallel() // it mostly waits
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "flow.yaml"), `name: signal
execution: {batch_size: 10}
sources:
  rows: {type: generate, config: {rows: 100000, fields: {id: sequence}}}
destinations:
  stuck: {type: discard, inputs: [rows], config: {stall: 1h}}
`)
	s := serve(t, dir)
	s.awaitRows("rows")
	s.terminate()
	s.await("stopping: committing what was read")
	s.terminate()
	s.wantInterrupted()
}
