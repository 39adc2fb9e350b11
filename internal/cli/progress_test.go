package cli

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/internal/flow/run"
)

// virtual is a terminal that knows what the screen sends: text, line ends and the erasing of lines.
type virtual struct{ lines []string }

func (v *virtual) Write(p []byte) (int, error) {
	text := string(p)
	for text != "" {
		switch {
		case strings.HasPrefix(text, "\x1b[A"):
			text, v.lines = text[3:], v.lines[:len(v.lines)-1]
		case strings.HasPrefix(text, "\r\x1b[J"):
			text = text[4:]
		default:
			line, rest, _ := strings.Cut(text, "\n")
			text, v.lines = rest, append(v.lines, line)
		}
	}
	return len(p), nil
}

// What is written while a panel is shown stands above it, and the panel leaves nothing behind.
func TestScreenKeepsThePanelAtItsEnd(t *testing.T) {
	terminal := &virtual{}
	s := &screen{terminal: true, out: terminal, size: func() (int, int) { return 20, 4 }}
	want := func(lines ...string) {
		t.Helper()
		if diff := cmp.Diff(lines, terminal.lines); diff != "" {
			t.Errorf("the terminal shows (-want +got)\n%s", diff)
		}
	}
	write := func(text string) {
		t.Helper()
		if n, err := s.Write([]byte(text)); n != len(text) || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
	}
	write("before\n")
	s.show([]string{"head", "node"})
	want("before", "head", "node")
	write("warning\n")
	want("before", "warning", "head", "node")
	write("CREATE TABLE\nt;\n")
	s.show([]string{"head 2", "a line that is wider than the terminal", "third", "a line too much"})
	want("before", "warning", "CREATE TABLE", "t;", "head 2", "a line that is wid…", "third")
	s.show(nil)
	want("before", "warning", "CREATE TABLE", "t;")
	write("end\n")
	want("before", "warning", "CREATE TABLE", "t;", "end")
}

func reports() (last, now run.Report, begun time.Time) {
	begun = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	node := func(id, kind string, rows int64, busy, blocked float64) run.NodeReport {
		return run.NodeReport{
			ID: id, Type: "type of " + id, Kind: kind, RowsIn: rows, RowsOut: rows / 2, BusySeconds: busy,
			BlockedSeconds: blocked,
		}
	}
	last = run.Report{
		Workflow: "w", Status: run.Running, RowsIn: 1000, RowsOut: 500, BytesIn: 10_000, Seconds: 2,
		Nodes: []run.NodeReport{node("in", "source", 1000, 1, 0), node("f", "transformation", 1000, 1, 0), node("out", "destination", 500, 0, 0)},
	}
	now = run.Report{
		Workflow: "w", Status: run.Running, RowsIn: 3000, RowsOut: 1500, BytesIn: 1_010_000, Seconds: 4, DeadLetters: 1,
		Nodes:      []run.NodeReport{node("in", "source", 3000, 1.5, 1), node("f", "transformation", 3000, 4, 0), node("out", "destination", 1500, 0, 0.5)},
		Stages:     []run.StageReport{{ID: "in", Nodes: []string{"in", "f", "out"}, Workers: 2}},
		Checkpoint: run.CheckpointReport{Epoch: 7, Time: begun.Add(2500 * time.Millisecond)},
	}
	return last, now, begun
}

func TestPaceIsThatSinceTheLastLook(t *testing.T) {
	p := paceOf(reports())
	if got, want := p.line(), "w: 3,000 rows in, 1,500 out, 1,000 rows/s, 500.0 kB/s, lag 1.5s, checkpoint 7, "+
		"1 dead letter, busiest f 75%, most blocked in 50%"; got != want {
		t.Errorf("line:\n%s\nwant\n%s", got, want)
	}
	want := []string{
		"w: 3,000 rows in, 1,500 out, 1,000 rows/s, 500.0 kB/s, lag 1.5s, checkpoint 7, 1 dead letter",
		"  in   type of in   ███▒▒▒▒▒··  busy 25%  blocked 50%  3,000 in  1,500 out  1,000/s",
		"  f    type of f    ████████··  busy 75%   blocked 0%  3,000 in  1,500 out  1,000/s",
		"  out  type of out  ▒▒▒·······   busy 0%  blocked 25%  1,500 in    750 out    500/s",
	}
	if diff := cmp.Diff(want, p.panel(120, 20)); diff != "" {
		t.Errorf("panel (-want +got)\n%s", diff)
	}
	for _, width := range []int{80, 60} {
		for _, line := range p.panel(width, 20)[1:] {
			if utf8.RuneCountInString(line) >= width {
				t.Errorf("a node's line is too long for %d columns: %s", width, line)
			}
		}
	}
	small := p.panel(120, 3)
	if len(small) != 3 || small[0] != want[0] || small[2] != "  ... and 2 more" {
		t.Errorf("panel of 3 lines: %q", small)
	}
}

// Rows that processes before this one read are no part of its pace.
func TestPaceAfterResumption(t *testing.T) {
	_, now, begun := reports()
	now.RowsResumed = 2600
	if p := paceOf(run.Report{}, now, begun); p.rows != 100 {
		t.Errorf("%v rows/s of 400 rows in 4 s", p.rows)
	}
}

func TestWordsOfCounts(t *testing.T) {
	for n, want := range map[int64]string{0: "0 rows", 1: "1 row", 2: "2 rows", -1200: "-1,200 rows", 1234567: "1,234,567 rows"} {
		if got := plural(n, "row"); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1500: "1.5 kB", 2e9: "2.0 GB", 5e15: "5000.0 TB"} {
		if got := byteCount(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
