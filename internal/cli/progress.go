package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tapeline/tapeline/internal/flow/run"
)

// progress shows how a run goes on: a panel of one line a node on a terminal, one line every two
// seconds otherwise.
type progress struct {
	session  *session
	workflow *run.Workflow
	note     func() string // what the command knows besides; nil: nothing
	last     run.Report
	begun    time.Time
}

func newProgress(s *session, w *run.Workflow) *progress {
	return &progress{session: s, workflow: w, begun: time.Now()}
}

func (p *progress) interval() time.Duration {
	if p.session.errors.terminal {
		return 200 * time.Millisecond
	}
	return 2 * time.Second
}

const quietStart = 2 * time.Second // of commands that are mostly done before

// watch shows the progress of a run that takes longer than a moment, until stop is called.
func (s *session) watch(w *run.Workflow) (stop func()) {
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		progress := newProgress(s, w)
		defer progress.end()
		wait := time.NewTimer(quietStart)
		defer wait.Stop()
		for {
			select {
			case <-ended:
				return
			case <-wait.C:
				progress.show()
				wait.Reset(progress.interval())
			}
		}
	}()
	return func() {
		close(ended)
		<-done
	}
}

// show prints the state of now.
func (p *progress) show() {
	if p.session.quiet {
		return
	}
	now := p.workflow.Snapshot()
	pace := paceOf(p.last, now, p.begun)
	p.last = now
	if p.note != nil {
		pace.note = ", " + p.note()
	}
	if !p.session.errors.terminal {
		fmt.Fprintln(p.session.errors, pace.line())
		return
	}
	width, height := p.session.errors.size()
	p.session.errors.show(pace.panel(width, height-1))
}

// end removes the panel.
func (p *progress) end() {
	if p.session.errors.terminal {
		p.session.errors.show(nil)
	}
}

// pace is what a run did between two looks at it.
type pace struct {
	run.Report
	note        string
	rows, bytes float64 // per second
	lag         time.Duration
	nodes       []nodePace
}

// nodePace is the part of the time a node worked or waited; several workers count together.
type nodePace struct {
	run.NodeReport
	rows, busy, blocked float64
}

func paceOf(last, now run.Report, begun time.Time) pace {
	seconds := max(now.Seconds-last.Seconds, 1e-3)
	// What processes before this one read is no part of its pace.
	before := max(last.RowsIn, now.RowsResumed)
	p := pace{
		Report: now, rows: max(0, float64(now.RowsIn-before)) / seconds,
		bytes: max(0, float64(now.BytesIn-last.BytesIn)) / seconds,
	}
	committed := now.Checkpoint.Time
	if committed.IsZero() {
		committed = begun
	}
	p.lag = max(0, begun.Add(time.Duration(now.Seconds*float64(time.Second))).Sub(committed))
	workers := map[string]int{}
	for _, stage := range now.Stages {
		for _, id := range stage.Nodes {
			workers[id] = stage.Workers
		}
	}
	for i, n := range now.Nodes {
		before := run.NodeReport{}
		if i < len(last.Nodes) {
			before = last.Nodes[i]
		}
		many := 1.0
		if n.Kind == "transformation" {
			many = float64(max(1, workers[n.ID]))
		}
		share := func(seconds, of float64) float64 { return min(max(0, seconds/of), 1) }
		p.nodes = append(p.nodes, nodePace{
			NodeReport: n, rows: max(0, float64(n.RowsIn-before.RowsIn)) / seconds,
			busy:    share(n.BusySeconds-before.BusySeconds, seconds*many),
			blocked: share(n.BlockedSeconds-before.BlockedSeconds, seconds*many),
		})
	}
	return p
}

// head is the state of the whole run in one line.
func (p *pace) head() string {
	name := p.Workflow
	if p.Status != run.Running {
		name += " " + string(p.Status)
	}
	line := fmt.Sprintf("%s: %s rows in, %s out, %s rows/s, %s/s, lag %.1fs, checkpoint %d",
		name, count(p.RowsIn), count(p.RowsOut), count(int64(p.rows)),
		byteCount(int64(p.bytes)), p.lag.Seconds(), p.Checkpoint.Epoch)
	if p.DeadLetters > 0 {
		line += ", " + plural(p.DeadLetters, "dead letter")
	}
	if p.Restarts > 0 {
		line += ", " + plural(p.Restarts, "restart")
	}
	return line + p.note
}

// line is the head with the node that works most and the one that waits most.
func (p *pace) line() string {
	var line strings.Builder
	line.WriteString(p.head())
	for _, part := range []struct {
		name  string
		share func(n nodePace) float64
	}{
		{"busiest", func(n nodePace) float64 { return n.busy }},
		{"most blocked", func(n nodePace) float64 { return n.blocked }},
	} {
		id, most := "", 0.005
		for _, n := range p.nodes {
			if share := part.share(n); share > most {
				id, most = n.ID, share
			}
		}
		if id != "" {
			fmt.Fprintf(&line, ", %s %s %.0f%%", part.name, id, most*100)
		}
	}
	return line.String()
}

// panel is the head and a line a node, within so many columns and lines; what tells least is left
// out first.
func (p *pace) panel(width, lines int) []string {
	shown := p.nodes
	if most := max(1, lines-2); len(shown) > most {
		shown = shown[:most]
	}
	var nodes []string
	for _, parts := range []struct{ typ, gauge bool }{{true, true}, {false, true}, {false, false}} {
		cells := make([][]string, len(shown))
		for i, n := range shown {
			cells[i] = n.cells(parts.typ, parts.gauge)
		}
		nodes = aligned(cells, len(cells[0])-5)
		if utf8.RuneCountInString(nodes[0]) < width {
			break
		}
	}
	out := append([]string{p.head()}, nodes...)
	if rest := len(p.nodes) - len(shown); rest > 0 {
		out = append(out, fmt.Sprintf("  ... and %d more", rest))
	}
	return out
}

// cells are the columns of a node's line, the last five of them numbers.
func (n *nodePace) cells(typ, withGauge bool) []string {
	cells := []string{n.ID}
	if typ {
		cells = append(cells, n.Type)
	}
	if withGauge {
		cells = append(cells, gauge(n.busy, n.blocked))
	}
	return append(cells, fmt.Sprintf("busy %.0f%%", n.busy*100), fmt.Sprintf("blocked %.0f%%", n.blocked*100),
		count(n.RowsIn)+" in", count(n.RowsOut)+" out", count(int64(n.rows))+"/s")
}

const gaugeWidth = 10

// gauge draws how a node spent its time: working, waiting for others, idle.
func gauge(busy, blocked float64) string {
	full := int(busy*gaugeWidth + 0.5)
	wait := min(int(blocked*gaugeWidth+0.5), gaugeWidth-full)
	return strings.Repeat("█", full) + strings.Repeat("▒", wait) + strings.Repeat("·", gaugeWidth-full-wait)
}

// aligned writes rows of cells as lines, the first left cells aligned left, the others right.
func aligned(rows [][]string, left int) []string {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	lines := make([]string, len(rows))
	for r, row := range rows {
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i < left {
				cell += pad
			} else {
				cell = pad + cell
			}
			lines[r] += "  " + cell
		}
		lines[r] = strings.TrimRight(lines[r], " ")
	}
	return lines
}

// plural prints a count with its noun.
func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return count(n) + " " + noun + "s"
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
