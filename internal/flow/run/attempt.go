package run

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/credit"
	"github.com/tapeline/tapeline/internal/flow/plan"
	"github.com/tapeline/tapeline/internal/lifecycle"
)

// attempt is one try to run a workflow from its last committed checkpoint. It owns every
// goroutine of the try and waits for them.
type attempt struct {
	workflow *Workflow
	log      *slog.Logger
	manifest *manifest // of the last committed epoch
	epoch    uint64    // its number
	tasks    []*task
	inbox    *mailbox[*event]
	memory   *credit.Pool // bytes of rows in flight, and of what is made of them
	dead     *deadLetters
	deadSink *deadSink
	decider  *writer

	group    *lifecycle.Group
	shut     bool // a source or sink could not be opened
	draining atomic.Bool
	active   atomic.Int64  // chunks taken since the last checkpoint
	early    chan struct{} // asks for a checkpoint before its time

	exhausted map[*task]bool
	drained   map[*task]bool
	satisfied map[*task]bool
	failure   error // of a source; what was read before it is to be committed
}

// event is a message of a task to its workflow.
type event struct {
	task      *task
	epoch     connector.Epoch
	positions map[string]partitionPosition // source took the barrier here
	passed    bool                         // the barrier left the task
	prepared  []prepared
	states    []stateSnapshot
	rows      map[string][3]int64 // node -> counters at the barrier
	settled   bool
	exhausted bool // all readers of the task ended
	drained   bool
	satisfied bool  // no later row is wanted
	failure   error // of a source whose rows before it are to be committed
}

// errFinished and errDrained end an attempt that did what it should.
var (
	errFinished = errors.New("finished")
	errDrained  = errors.New("drained")
)

func newAttempt(w *Workflow) *attempt {
	return &attempt{
		workflow: w, log: w.log, dead: w.dead,
		memory:    credit.New(rowBytes(w.plan.Workflow.Execution.MemoryBytes)),
		inbox:     newMailbox[*event](Address{Workflow: w.name}, 64),
		early:     make(chan struct{}, 1),
		exhausted: map[*task]bool{}, drained: map[*task]bool{}, satisfied: map[*task]bool{},
	}
}

// run restores, opens, runs and closes. It returns errFinished, errDrained or what failed.
func (a *attempt) run(ctx context.Context) (err error) {
	a.group = lifecycle.NewGroup(ctx)
	ctx = a.group.Context()
	defer func() {
		a.group.Stop(err)
		a.inbox.close()
		for _, t := range a.tasks {
			a.workflow.cluster.tasks.remove(&t.control)
		}
		if failure := a.group.Wait(); err == nil {
			err = failure
		}
		a.workflow.messages.Add(a.inbox.sent)
		for _, t := range a.tasks {
			a.workflow.messages.Add(t.control.sent)
			t.close()
		}
		if a.deadSink != nil {
			if closeErr := a.deadSink.close(); closeErr != nil {
				a.log.Warn("dead letter sink did not close", "error", closeErr)
			}
		}
	}()
	if err := a.restore(ctx); err != nil {
		return err
	}
	if err := a.open(ctx); err != nil {
		a.shut = true
		return err
	}
	if a.manifest.Final {
		return errFinished // a crash came between the last commit and the record of the end
	}
	for _, t := range a.tasks {
		a.workflow.cluster.tasks.add(&t.control)
		for _, r := range t.readers {
			if !r.ended {
				r.prepare(ctx)
				a.group.Go(t.stage.ID+" reader", r.loop)
			}
		}
	}
	err = a.coordinate(ctx)
	if errors.Is(err, errFinished) || errors.Is(err, errDrained) || ctx.Err() == nil {
		return err
	}
	// What a checkpoint met was the end of the context; the reason is the failure that ended it.
	return context.Cause(ctx)
}

// open makes the tasks, from sinks to sources, so that nothing is read before all can be written.
func (a *attempt) open(ctx context.Context) error {
	byStage := map[*plan.Stage]*task{}
	for _, s := range a.workflow.plan.Stages {
		t := newTask(a, s)
		byStage[s] = t
		a.tasks = append(a.tasks, t)
		for i, p := range s.Inputs {
			e := newEdge(p, i, t)
			t.inputs = append(t.inputs, e)
			from := byStage[p.From]
			from.outputs = append(from.outputs, e)
		}
	}
	if err := a.openDead(ctx); err != nil {
		return err
	}
	for _, t := range slices.Backward(a.tasks) {
		if err := t.open(ctx); err != nil {
			return err
		}
		if t.stage.Source != nil {
			if err := t.openSource(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// openSource opens one source instance per partition at its restored position.
func (t *task) openSource(ctx context.Context) error {
	n := t.stage.Source
	if starts, known := t.attempt.manifest.Positions[n.ID]; known {
		for id, start := range starts {
			if err := t.openPartition(ctx, id, start); err != nil {
				return err
			}
		}
	} else {
		parts, err := t.partitions(ctx)
		if err != nil {
			return nodeError(n, fmt.Errorf("partitions: %w", err))
		}
		for _, part := range parts {
			if err := t.openPartition(ctx, part.ID, partitionPosition{Spec: part.Spec}); err != nil {
				return err
			}
		}
	}
	if t.attempt.workflow.latencyTarget() > 0 {
		t.turns = newTurns(len(t.readers), t.stage.Hands())
	}
	for _, r := range t.readers {
		if r.ended {
			t.ended++
		}
	}
	if t.ended == len(t.readers) {
		t.attempt.exhausted[t] = true
	}
	return nil
}

func (t *task) openPartition(ctx context.Context, id string, start partitionPosition) error {
	r, err := openReader(ctx, t, start, id)
	if err != nil {
		return err
	}
	t.readers = append(t.readers, r)
	return nil
}

// partitions returns what is read beside each other: a single one, without a name, where the source
// cannot be divided.
func (t *task) partitions(ctx context.Context) ([]connector.Partition, error) {
	n := t.stage.Source
	if !n.SourceSpec.ParallelReads || n.Parallelism <= 1 {
		return []connector.Partition{{}}, nil
	}
	source, err := n.NewSource(t.attempt.env(n, nil))
	if err != nil {
		return nil, err
	}
	defer source.Close()
	p, ok := source.(connector.Partitioner)
	if !ok {
		return []connector.Partition{{}}, nil
	}
	return p.Partitions(ctx, n.Parallelism)
}

// openDead opens the dead letter sink and brings it to the restored epoch.
func (a *attempt) openDead(ctx context.Context) error {
	n := a.workflow.plan.Workflow.DeadLetter
	if n == nil {
		return nil
	}
	sink, err := n.NewSink(a.env(n, nil))
	if err != nil {
		return nodeError(n, err)
	}
	a.deadSink = &deadSink{sink: sink}
	a.deadSink.tx, _ = sink.(connector.Transactional)
	if err := sink.Open(ctx, a.sinkTask(n, 0, 1)); err != nil {
		return nodeError(n, fmt.Errorf("open: %w", err))
	}
	if a.deadSink.tx == nil {
		return nil
	}
	epoch := connector.Epoch{Number: a.manifest.Epoch, Final: a.manifest.Final}
	if d, ok := sink.(connector.Decider); ok {
		a.deadSink.follows = a.follower(d, n, 0)
		err = a.deadSink.follows.recover(ctx, epoch, a.manifest.DeadToken, a.manifest.DeadRedo,
			redoWrite(ctx, sink))
	} else {
		err = a.deadSink.tx.Recover(ctx, epoch, a.manifest.DeadToken)
	}
	if err != nil {
		return nodeError(n, fmt.Errorf("recover epoch %d: %w", epoch.Number, err))
	}
	return nil
}

// env is what a connector may use in this attempt.
func (a *attempt) env(n *plan.Node, budget *connector.Budget) connector.Env {
	env := a.workflow.env(n, budget)
	env.Go = func(name string, f func(ctx context.Context) error) {
		a.group.Go(n.ID+" "+name, f)
	}
	return env
}

func (a *attempt) sinkTask(n *plan.Node, index, count int) connector.Task {
	return connector.Task{
		Workflow: a.workflow.name, Run: a.workflow.record.ID, Node: n.ID,
		Index: index, Count: count, Fence: a.workflow.lease.Fence(),
	}
}

func (a *attempt) restoredToken(n *plan.Node, index int) (connector.Epoch, []byte) {
	epoch := connector.Epoch{Number: a.manifest.Epoch, Final: a.manifest.Final}
	tokens := a.manifest.Tokens[n.ID]
	if index >= len(tokens) {
		return epoch, nil
	}
	return epoch, tokens[index]
}

// restoredRedo returns what the manifest says of a follower's rows, nil when it says nothing.
func (a *attempt) restoredRedo(n *plan.Node, index int) *redoObject {
	if redo := a.manifest.Redo[n.ID]; index < len(redo) {
		return redo[index]
	}
	return nil
}

func (a *attempt) budgetOf(n *plan.Node) *connector.Budget { return a.workflow.batcher(n).budget }

// observe feeds the adaptive batch size of the source of a chunk that all sinks have taken.
func (a *attempt) observe(t *task, j *job) {
	if t.stage.Source == nil {
		return
	}
	if most := a.memory.Most(); most > a.workflow.inFlight.Load() {
		a.workflow.inFlight.Store(most)
	}
	t.meters[0].Latency.Record(time.Since(j.read))
	a.workflow.batcher(t.stage.Source).observe(j.chunk.Bytes, j.rows, j.read)
}

// refuse files dead rows and asks for a checkpoint when many wait for one.
func (a *attempt) refuse(epoch uint64, rows []deadRow, rowsIn int64) error {
	if err := a.dead.add(epoch, rows, rowsIn); err != nil {
		return err
	}
	if a.dead.large() {
		a.hurry()
	}
	return nil
}

// hurry asks for a checkpoint before its time.
func (a *attempt) hurry() {
	select {
	case a.early <- struct{}{}:
	default: // one is asked for already
	}
}

// post sends an event to the workflow; after the attempt's end nobody needs it.
func (a *attempt) post(ctx context.Context, e *event) {
	if err := a.inbox.send(ctx, e); err != nil && ctx.Err() == nil {
		a.log.Warn("event was not delivered", "task", e.task.stage.ID, "error", err)
	}
}

// coordinate runs checkpoints until the sources end, the workflow is drained, or something fails.
func (a *attempt) coordinate(ctx context.Context) error {
	var tick <-chan time.Time
	if interval := a.workflow.plan.Workflow.Execution.CheckpointInterval; interval > 0 {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		tick = ticker.C
	}
	drain := a.workflow.drain
	for {
		switch {
		case a.ended(a.exhausted):
			if err := a.checkpoint(ctx, true); err != nil {
				return err
			}
			return errFinished
		case a.failure != nil:
			if err := a.checkpoint(ctx, false); err != nil {
				return errors.Join(a.failure, err)
			}
			return a.failure
		case a.draining.Load() && a.ended(a.drained):
			if err := a.checkpoint(ctx, false); err != nil {
				return err
			}
			return errDrained
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-a.early:
			if err := a.checkpoint(ctx, false); err != nil {
				return err
			}
		case <-tick:
			if a.active.Load() == 0 {
				continue
			}
			if err := a.checkpoint(ctx, false); err != nil {
				return err
			}
		case <-drain:
			drain = nil // closed: it would always be ready
			if err := a.startDrain(ctx); err != nil {
				return err
			}
		case e := <-a.inbox.receive():
			a.note(ctx, e)
		}
	}
}

// ended reports whether every source task is in the set or has nothing left to read.
func (a *attempt) ended(set map[*task]bool) bool {
	for _, t := range a.tasks {
		if t.stage.Source != nil && !set[t] && !a.exhausted[t] {
			return false
		}
	}
	return true
}

// note records what an event says about the end of sources.
func (a *attempt) note(ctx context.Context, e *event) {
	switch {
	case e.exhausted:
		a.exhausted[e.task] = true
	case e.drained:
		a.drained[e.task] = true
	case e.failure != nil && a.failure == nil:
		a.failure = e.failure
	case e.satisfied && !a.satisfied[e.task]:
		a.satisfied[e.task] = true
		a.stopUnwanted(ctx)
	}
}

func (a *attempt) startDrain(ctx context.Context) error {
	if a.draining.Swap(true) {
		return nil
	}
	a.workflow.setStatus(Draining)
	for _, t := range a.tasks {
		if t.stage.Source != nil {
			if err := a.workflow.cluster.tasks.send(ctx, t.address, command{drain: true}); err != nil {
				return err
			}
		}
	}
	return nil
}

// stopUnwanted ends the sources whose rows no task wants any more.
func (a *attempt) stopUnwanted(ctx context.Context) {
	for _, t := range a.tasks {
		if t.stage.Source == nil || t.unwanted || a.exhausted[t] || a.wanted(t.stage) {
			continue
		}
		t.unwanted = true
		if err := a.workflow.cluster.tasks.send(ctx, t.address, command{finish: true}); err != nil {
			a.log.Warn("source was not stopped", "node", t.stage.ID, "error", err)
		}
	}
}

// wanted reports whether some task behind the stage still takes rows.
func (a *attempt) wanted(s *plan.Stage) bool {
	seen := map[*plan.Stage]bool{}
	for t := range a.satisfied {
		seen[t.stage] = true // takes none
	}
	var wants func(s *plan.Stage) bool
	wants = func(s *plan.Stage) bool {
		if seen[s] {
			return false
		}
		seen[s] = true
		return s.Sink != nil || len(s.Outputs) == 0 ||
			slices.ContainsFunc(s.Outputs, func(e *plan.Edge) bool { return wants(e.To) })
	}
	return wants(s)
}
