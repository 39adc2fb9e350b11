package cli

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/tapeline/tapeline/internal/flow/run"
	"golang.org/x/term"
)

// progress shows how a run goes on: one line rewritten on a terminal, a line every few seconds
// otherwise.
type progress struct {
	session  *session
	workflow *run.Workflow
	terminal bool
	shown    bool
	last     run.Report
	begun    time.Time
}

func newProgress(s *session, w *run.Workflow) *progress {
	file, ok := s.errors.(*os.File)
	return &progress{
		session: s, workflow: w, begun: time.Now(),
		terminal: ok && term.IsTerminal(int(file.Fd())),
	}
}

func (p *progress) interval() time.Duration {
	if p.terminal {
		return 200 * time.Millisecond
	}
	return 2 * time.Second
}

func (p *progress) show() {
	if p.session.quiet {
		return
	}
	now := p.workflow.Snapshot()
	seconds := now.Seconds - p.last.Seconds
	rows := float64(now.RowsIn-p.last.RowsIn) / max(seconds, 1e-9)
	bytes := float64(now.BytesIn-p.last.BytesIn) / max(seconds, 1e-9)
	slowest, busiest := "", 0.0
	for i, n := range now.Nodes {
		busy := n.BusySeconds
		if i < len(p.last.Nodes) {
			busy -= p.last.Nodes[i].BusySeconds
		}
		if busy > busiest {
			slowest, busiest = n.ID, busy
		}
	}
	line := fmt.Sprintf("%s %s: %s rows in, %s out, %s rows/s, %s/s, busiest %s, checkpoint %d",
		now.Workflow, now.Status, count(now.RowsIn), count(now.RowsOut), count(int64(rows)),
		byteCount(int64(bytes)), slowest, now.Checkpoint.Epoch)
	if p.terminal {
		line = "\r\x1b[K" + line
	} else {
		line += "\n"
	}
	fmt.Fprint(p.session.errors, line)
	p.last, p.shown = now, true
}

// end leaves the cursor on a fresh line.
func (p *progress) end() {
	if p.terminal && p.shown {
		fmt.Fprint(p.session.errors, "\r\x1b[K")
	}
}

// count prints an integer with thousands separators.
func count(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// byteCount prints bytes with a decimal unit.
func byteCount(n int64) string {
	value, unit := float64(n), 0
	units := [...]string{"B", "kB", "MB", "GB", "TB"}
	for value >= 1000 && unit < len(units)-1 {
		value /= 1000
		unit++
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", value, units[unit])
}
