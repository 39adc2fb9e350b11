package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/fault"
	"github.com/tapeline/tapeline/internal/flow/op"
	"github.com/tapeline/tapeline/internal/flow/plan"
	"github.com/tapeline/tapeline/internal/lifecycle"
	"github.com/tapeline/tapeline/internal/retry"
)

// Status is where a workflow is in its life.
type Status string

// The states of a run.
const (
	Created   Status = "created"
	Queued    Status = "queued" // waiting for cores or memory
	Running   Status = "running"
	Draining  Status = "draining"
	Stopped   Status = "stopped" // drained; the next run continues
	Failed    Status = "failed"  // the next run continues from the last checkpoint
	Completed Status = "completed"
)

// Workflow is one run of a plan: attempts, restarts, and what is measured over them.
type Workflow struct {
	cluster  *Cluster
	plan     *plan.Plan
	name     string
	options  Options
	log      *slog.Logger
	drain    chan struct{} // closed when the workflow shall stop
	drainOne sync.Once
	done     chan struct{}
	lease    Lease

	meters      map[*plan.Node]*meter
	batchers    map[*plan.Node]*batcher
	status      atomic.Pointer[Status]
	checkpoints atomic.Int64
	restarts    atomic.Int64
	messages    atomic.Int64 // through the mailboxes of ended attempts
	inFlight    atomic.Int64 // most bytes of rows held at once
	// resumedRows were read by the processes before this one, up to the checkpoint it began from.
	resumedRows  atomic.Int64
	restoredOnce sync.Once
	begun        time.Time

	mu     sync.Mutex // written under it; the run's own goroutines read record and dead freely
	record Record
	dead   *deadLetters
	last   CheckpointReport
	report Report
	err    error
	// lastReport is that of the run before: what the workflow was measured to need.
	lastReport Report
	// warnings count rows that passed though a rule warned, by node and rule.
	warnings map[string]map[string]int64
	// schemas are what each target has held, oldest first.
	schemas  map[target][]*batch.Schema
	restored map[target]bool // its first schema comes from an earlier process
	change   string          // the newest, for people
	seen     map[*plan.Node]tables
}

func newWorkflow(c *Cluster, p *plan.Plan, options Options) *Workflow {
	w := &Workflow{
		cluster: c, plan: p, name: p.Workflow.Name, options: options,
		log:   c.config.Log.With("workflow", p.Workflow.Name),
		drain: make(chan struct{}), done: make(chan struct{}), begun: time.Now(),
		meters: map[*plan.Node]*meter{}, batchers: map[*plan.Node]*batcher{},
		schemas: map[target][]*batch.Schema{}, restored: map[target]bool{}, seen: map[*plan.Node]tables{},
		warnings: map[string]map[string]int64{},
	}
	for _, n := range p.Workflow.Nodes {
		w.meters[n] = &meter{node: n}
		if n.Kind == plan.Source {
			w.batchers[n] = newBatcher(batching(p.Workflow.Execution), n.BatchSize)
		}
	}
	w.setStatus(Created)
	return w
}

// Name returns the workflow's name.
func (w *Workflow) Name() string { return w.name }

// Status returns where the workflow is in its life.
func (w *Workflow) Status() Status { return *w.status.Load() }

func (w *Workflow) setStatus(s Status) { w.status.Store(&s) }

// Drain asks the workflow to stop reading, commit what was read and end as stopped. It returns at
// once; Wait tells when it is done.
func (w *Workflow) Drain() { w.drainOne.Do(func() { close(w.drain) }) }

// Wait returns the report when the run has ended, and why it failed.
func (w *Workflow) Wait() (Report, error) {
	<-w.done
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.report, w.err
}

// Done is closed when the run has ended.
func (w *Workflow) Done() <-chan struct{} { return w.done }

// run takes the workflow through lease, placement and attempts.
func (w *Workflow) run(ctx context.Context) {
	err := w.supervise(ctx)
	w.mu.Lock()
	w.err = err
	w.mu.Unlock()
}

func (w *Workflow) supervise(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	lease, err := w.cluster.config.Catalog.Acquire(ctx, w.name, cancel)
	if err != nil {
		w.finishWith(err)
		return err
	}
	defer lease.Release()
	w.lease = lease
	nothing, err := w.begin(ctx)
	if err != nil || nothing {
		w.finishWith(err)
		return err
	}
	w.setStatus(Queued)
	free, err := w.placed(ctx)
	if err == nil {
		defer free()
		err = w.attempts(ctx)
	}
	if errors.Is(err, errDrained) {
		w.setStatus(Stopped)
		err = nil
	}
	w.finishWith(err)
	// The record is written even when ctx has ended.
	ctx = context.WithoutCancel(ctx)
	if finishErr := w.lease.Finish(ctx, w.record); finishErr != nil {
		err = errors.Join(err, fmt.Errorf("record the end of run %s: %w", w.record.ID, finishErr))
	}
	return err
}

// placed waits for cores and memory, unless the workflow is drained first.
func (w *Workflow) placed(ctx context.Context) (free func(), err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	waiting := make(chan struct{})
	defer close(waiting)
	go func() {
		select {
		case <-w.drain:
			cancel(errDrained)
		case <-waiting:
		}
	}()
	return w.cluster.place(ctx, w.needs())
}

// begin finds the unfinished run to take up, or begins a new one. nothing: there is nothing to do.
func (w *Workflow) begin(ctx context.Context) (nothing bool, err error) {
	last, found, err := w.cluster.config.Catalog.LastRun(ctx, w.name)
	if err != nil {
		return false, fmt.Errorf("find the last run of %s: %w", w.name, err)
	}
	unfinished := found && last.Status != Completed
	if found {
		// An unreadable report only means that nothing is known about the workflow's needs.
		_ = json.Unmarshal(last.Report, &w.lastReport)
	}
	if w.options.Resume && !unfinished {
		w.take(last)
		w.setStatus(Completed)
		return true, nil
	}
	record := Record{Workflow: w.name, Document: w.options.Document}
	if unfinished && !w.options.Fresh {
		record.ID = last.ID
		w.log.Info("taking up unfinished run", "run", last.ID, "status", last.Status)
	}
	if w.options.Fresh {
		if err := w.lease.Discard(ctx); err != nil {
			return false, err
		}
	}
	if record, err = w.lease.Begin(ctx, record); err != nil {
		return false, err
	}
	w.take(record)
	return false, nil
}

// take makes record the workflow's run.
func (w *Workflow) take(record Record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.record = record
	w.dead = newDeadLetters(record.ID, w.plan.Workflow.Execution)
}

// startManifest is the state before the first epoch of a run: incremental sources, and operators that
// remember their rows, continue where the run before, whose last manifest is previous, ended.
func (w *Workflow) startManifest(previous *manifest) *manifest {
	m := &manifest{Version: manifestVersion, Positions: map[string]map[string]partitionPosition{}}
	defer func() {
		m.States = w.continued(previous, m.Positions)
		m.Began, m.BeganStates = m.Positions, m.States
	}()
	now := w.fingerprints()
	for _, n := range w.plan.Workflow.Nodes {
		positions := previous.Positions[n.ID]
		if n.Kind != plan.Source || !n.SourceSpec.Incremental || positions == nil {
			continue
		}
		if previous.Fingerprints[n.ID] != now[n.ID] {
			w.log.Warn("source has changed since the last run; it starts anew", "node", n.ID)
			continue
		}
		if isCut(positions) {
			positions = previous.Began[n.ID]
		}
		if len(positions) == 0 {
			continue
		}
		m.Positions[n.ID] = map[string]partitionPosition{}
		for id, p := range positions {
			p.Ended = false
			m.Positions[n.ID][id] = p
		}
	}
	return m
}

func isCut(positions map[string]partitionPosition) bool {
	for _, p := range positions {
		if p.Cut {
			return true
		}
	}
	return false
}

// continued returns the states of the run before that belong to the positions its sources go on
// from: of operators all of whose sources do.
// invariant: state and positions that a run begins with are of one moment
func (w *Workflow) continued(
	previous *manifest, positions map[string]map[string]partitionPosition,
) map[string]stateHistory {
	states, now := map[string]stateHistory{}, w.fingerprints()
	for _, n := range w.plan.Workflow.Nodes {
		if !n.Continues || !n.Ordered {
			continue
		}
		goesOn, cut := true, false
		for _, source := range w.sourcesOf(n, map[string]bool{}) {
			goesOn = goesOn && positions[source] != nil
			cut = cut || isCut(previous.Positions[source])
		}
		history := previous.States[n.ID]
		if cut {
			history = previous.BeganStates[n.ID]
		}
		switch {
		case !goesOn || history.empty():
		case previous.Fingerprints[n.ID] != now[n.ID]:
			w.log.Warn("operator has changed since the last run; its state starts anew", "node", n.ID)
		default:
			states[n.ID] = history
		}
	}
	return states
}

// sourcesOf returns the ids of the sources whose rows reach a node.
func (w *Workflow) sourcesOf(n *plan.Node, visited map[string]bool) []string {
	if n.Kind == plan.Source {
		return []string{n.ID}
	}
	var sources []string
	for _, in := range n.Inputs {
		for _, from := range w.plan.Workflow.Nodes {
			if from.ID == in.Node && !visited[from.ID] {
				visited[from.ID] = true
				sources = append(sources, w.sourcesOf(from, visited)...)
			}
		}
	}
	return sources
}

func (w *Workflow) fingerprints() map[string]string {
	out := map[string]string{}
	for _, n := range w.plan.Workflow.Nodes {
		// Rows staged beside a target belong to that target and its format.
		staged := n.SinkSpec.Staged && !n.SinkSpec.Decides
		if n.Kind == plan.Source || n.Ordered || staged {
			out[n.ID] = n.Fingerprint
		}
	}
	return out
}

// attempts runs the plan, restarting by the declared strategy.
func (w *Workflow) attempts(ctx context.Context) error {
	restarts := w.plan.Workflow.Execution.Restart.Start(rand.Float64)
	for {
		w.setStatus(Running)
		a := newAttempt(w)
		err := lifecycle.Guard(w.name, func() error { return a.run(ctx) })
		switch {
		case errors.Is(err, errFinished):
			w.setStatus(Completed)
			return nil
		case errors.Is(err, errDrained):
			w.setStatus(Stopped)
			return nil
		case ctx.Err() != nil:
			w.setStatus(Failed)
			return err
		}
		if change, ok := errors.AsType[*schemaChange](err); ok {
			if refused := errors.Join(w.evolve(change), w.repeatable(err)); refused != nil {
				w.setStatus(Failed)
				return refused
			}
			w.log.Info("evolving from the last checkpoint", "change", change.Error())
			continue
		}
		if a.shut && a.epoch == 0 && !w.plan.Workflow.Execution.Patient {
			w.setStatus(Failed)
			return unopened(err)
		}
		delay, again := restarts.Next(time.Now(), err)
		if !again {
			w.setStatus(Failed)
			return err
		}
		if err := w.repeatable(err); err != nil {
			w.setStatus(Failed)
			return err
		}
		w.restarts.Add(1)
		w.log.Warn("restarting from the last checkpoint", "restart", w.restartNumber(),
			"delay", delay.Round(time.Millisecond), "error", err)
		select {
		case <-time.After(delay):
		case <-w.drain:
			w.setStatus(Stopped)
			return err
		case <-ctx.Done():
			w.setStatus(Failed)
			return context.Cause(ctx)
		}
	}
}

// unopened is the failure of a run that never began: whoever started it is likely still there.
func unopened(err error) error {
	if !fault.ClassOf(err).Retryable() {
		return err
	}
	return fmt.Errorf("%w (set execution.restart_strategy to wait for a system that is not there yet)", err)
}

// restartNumber returns which restart comes now, and of how many where that is bounded.
func (w *Workflow) restartNumber() string {
	number, s := strconv.FormatInt(w.restarts.Load(), 10), w.plan.Workflow.Execution.Restart
	if s.Kind == lifecycle.FailureRate || s.Attempts < 0 {
		return number
	}
	return fmt.Sprintf("%s of %d", number, s.Attempts)
}

// repeatable refuses a restart when a source that gave rows cannot give them again: those that are
// not committed would be lost.
func (w *Workflow) repeatable(cause error) error {
	for n, m := range w.meters {
		if n.Kind == plan.Source && n.SourceSpec.Bounded && !n.SourceSpec.Resumable && m.Bytes.Load() > 0 {
			return nodeError(n, &connector.Error{
				Op: "restart", Class: connector.Permanent, Err: cause,
				Hint: "this source cannot be read again from a position",
			})
		}
	}
	return nil
}

// finishWith makes the report of the run's end.
func (w *Workflow) finishWith(err error) {
	if err != nil && w.Status() != Stopped {
		w.setStatus(Failed)
	}
	report := w.Snapshot()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.record.Status = report.Status
	w.record.RowsIn, w.record.RowsOut = report.RowsIn, report.RowsOut
	w.record.DeadLetters = report.DeadLetters
	if err != nil {
		w.record.Error, report.Error = err.Error(), err.Error()
	}
	w.record.Report, _ = json.Marshal(report) // a struct of numbers and text always encodes
	w.report = report
}

// env is what a connector of node n may use.
func (w *Workflow) env(n *plan.Node, budget *connector.Budget) connector.Env {
	return connector.Env{
		Log: w.log.With("node", n.ID), Workflow: w.name, Run: w.record.ID, Node: n.ID,
		Dir: w.stateDir(), FS: w.cluster.config.FS, Budget: budget,
	}
}

func (w *Workflow) stateDir() string { return filepath.Join(w.cluster.config.Dir, "state", w.name) }

func (w *Workflow) meter(n *plan.Node) *meter { return w.meters[n] }

func (w *Workflow) batcher(n *plan.Node) *batcher { return w.batchers[n] }

// linger is how long rows may wait to be merged before a sink.
func (w *Workflow) linger() time.Duration {
	linger := 50 * time.Millisecond
	if b := w.plan.Workflow.Execution.Batching; b.Linger > 0 {
		linger = b.Linger
	}
	return linger
}

// latencyTarget is what the latency of batches is to stay below, 0 for no bound. With it a source has
// no more chunks under way than can be worked on, and rows are merged only while a sink is busy:
// what waits in queues makes latency without making anything faster.
func (w *Workflow) latencyTarget() time.Duration {
	return w.plan.Workflow.Execution.Batching.LatencyTarget
}

// merged returns how many rows small chunks are merged to before a sink that likes so many. Where
// latency counts it is the size that the batches were found to need.
func (w *Workflow) merged(preferred int) int {
	if w.latencyTarget() <= 0 {
		return preferred
	}
	largest := 0
	for _, b := range w.batchers {
		largest = max(largest, b.size())
	}
	return min(preferred, largest)
}

// sourceRows returns how many rows the sources delivered.
func (w *Workflow) sourceRows() int64 {
	rows := int64(0)
	for n, m := range w.meters {
		if n.Kind == plan.Source {
			rows += m.RowsIn.Load()
		}
	}
	return rows
}

func (w *Workflow) restoreRows(rows map[string][3]int64) {
	w.restoredOnce.Do(func() {
		for n := range w.meters {
			if n.Kind == plan.Source {
				w.resumedRows.Add(rows[n.ID][0])
			}
		}
	})
	for n, m := range w.meters {
		m.RowsIn.Store(rows[n.ID][0])
		m.RowsOut.Store(rows[n.ID][1])
		m.Rejected.Store(rows[n.ID][2])
	}
}

func (w *Workflow) noteCheckpoint(epoch connector.Epoch, manifestBytes int, m *manifest) {
	w.checkpoints.Add(1)
	last := CheckpointReport{
		Epoch: epoch.Number, Time: time.Now().UTC(), ManifestBytes: manifestBytes,
		StateBytes: map[string]int64{},
	}
	for node, h := range m.States {
		written := h.Base.Bytes
		if n := len(h.Increments); n > 0 {
			written = h.Increments[n-1].Bytes
		}
		last.StateBytes[node] = written
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = last
}

// retry repeats a call of a connector, "read" or "write", while its error's class allows. The waits
// count as blocked, by the other system.
func (w *Workflow) retry(
	ctx context.Context, n *plan.Node, op string, call func(context.Context) error,
) error {
	m := w.meters[n]
	var waiting time.Time
	waited := func() {
		if !waiting.IsZero() {
			m.Blocked(waiting)
			waiting = time.Time{}
		}
	}
	defer waited()
	policy := retry.Policy{OnRetry: func(a retry.Attempt) {
		m.Retries.Add(1)
		w.log.Warn("call failed, will repeat", "node", n.ID, "call", op, "attempt", a.Number,
			"wait", a.Wait, "error", a.Err)
		waiting = time.Now()
	}}
	return policy.Do(ctx, func(ctx context.Context) error {
		waited()
		return call(ctx)
	})
}

// retire frees an operator and keeps its warnings.
func (w *Workflow) retire(n *plan.Node, operator op.Operator) {
	if warner, ok := operator.(op.Warner); ok {
		w.mu.Lock()
		for _, warning := range warner.Warnings() {
			if w.warnings[n.ID] == nil {
				w.warnings[n.ID] = map[string]int64{}
			}
			w.warnings[n.ID][warning.Rule] += warning.Rows
		}
		w.mu.Unlock()
	}
	if c, ok := operator.(op.Closer); ok {
		if err := c.Close(); err != nil {
			w.log.Warn("operator did not close", "node", n.ID, "error", err)
		}
	}
}
