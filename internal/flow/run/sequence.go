package run

import (
	"context"
	"fmt"
	"time"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/flow/op"
	"github.com/tapeline/tapeline/internal/flow/plan"
)

// sequence takes jobs in number order: ordered operators, then the sink or the edges. Between
// jobs it settles epochs and flushes merged chunks that waited long enough.
// invariant: chunks leave in the order they entered
func (t *task) sequence(ctx context.Context) error {
	linger := newLinger(t.attempt.workflow.linger())
	defer linger.Stop()
	for {
		linger.watch(t.pendingRows())
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case s := <-t.settled:
			if err := t.settle(ctx, s); err != nil {
				return err
			}
		case <-linger.C:
			if err := t.writers[0].flush(ctx); err != nil {
				return err
			}
		case j := <-t.order:
			t.take(j)
			if err := t.await(ctx, j); err != nil {
				return err
			}
			if err := t.step(ctx, j); err != nil {
				return err
			}
			if len(t.writers) == 1 {
				if err := t.writers[0].idle(ctx, len(t.order)); err != nil {
					return err
				}
			}
		}
	}
}

// lingerTimer fires when rows have been held back for the linger time.
type lingerTimer struct {
	*time.Timer
	wait    time.Duration
	holding bool
}

func newLinger(wait time.Duration) *lingerTimer {
	l := &lingerTimer{Timer: time.NewTimer(wait), wait: wait}
	l.Stop()
	return l
}

// watch starts the time when the first rows are held back and ends it when none are.
func (l *lingerTimer) watch(rows int) {
	switch {
	case rows > 0 && !l.holding:
		l.Reset(l.wait)
	case rows == 0 && l.holding:
		l.Stop()
	}
	l.holding = rows > 0
}

// take tells the turns whether a chunk for the sink was ready in time.
func (t *task) take(j *job) {
	if t.turns == nil || t.stage.Sink == nil || j.barrier != nil {
		return
	}
	var at time.Time
	select {
	case <-j.ready:
		at = j.at
	default:
	}
	t.turns.take(time.Now(), at)
}

// await waits for a worker to finish the job; epochs may be settled meanwhile.
func (t *task) await(ctx context.Context, j *job) error {
	for {
		select {
		case <-j.ready:
			return j.err
		case s := <-t.settled:
			if err := t.settle(ctx, s); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// step finishes one job.
func (t *task) step(ctx context.Context, j *job) error {
	j.before.Store(nil)
	if j.barrier != nil {
		return t.barrier(ctx, *j.barrier)
	}
	for _, c := range j.counts {
		c.add()
	}
	for _, o := range t.ordered {
		if err := o.apply(j); err != nil {
			return err
		}
	}
	if len(j.rejected) > 0 {
		rowsIn := t.attempt.workflow.sourceRows()
		if err := t.attempt.refuse(t.epoch, j.rejected, rowsIn); err != nil {
			return err
		}
	}
	if j.satisfied {
		t.sated.Store(true) // at once: the message takes its time, and nothing holds the readers back
		t.attempt.post(ctx, &event{task: t, satisfied: true})
	}
	l := newLease(j.grant, func() { t.attempt.observe(t, j) }, j.chunk.Release, j.release)
	defer l.drop()
	for _, p := range j.parts {
		if err := t.emit(ctx, p, l); err != nil {
			return err
		}
	}
	return nil
}

// emit hands one part to the sink or to every edge of its port.
func (t *task) emit(ctx context.Context, p part, l *lease) error {
	if p.chunk.Batch == nil {
		return nil
	}
	if t.writers != nil {
		t.merged++
		t.given += p.chunk.Batch.Len()
		w := t.writers[t.merged%len(t.writers)]
		l.share(1)
		done := l.drop
		if encoded := p.chunk.Release; encoded != nil {
			done = func() {
				encoded()
				l.drop()
			}
		}
		var err error
		if w.encoder == nil {
			p.chunk, err = t.admit(p.chunk)
		}
		if err != nil || p.chunk.Batch.Len() == 0 {
			done()
			return err
		}
		if t.lanes == nil {
			return w.add(ctx, p.chunk, done)
		}
		return t.lanes[t.merged%len(t.lanes)].call(ctx, func(ctx context.Context) error {
			return w.add(ctx, p.chunk, done)
		})
	}
	for _, e := range t.outputs {
		if e.plan.Port != p.port {
			continue
		}
		l.share(1)
		before := time.Now()
		if err := e.send(ctx, p.chunk, l); err != nil {
			return err
		}
		t.lastMeter().Blocked(before)
	}
	return nil
}

// admit returns the chunk as the sink's schema has it, without the rows that are refused.
func (t *task) admit(chunk connector.Chunk) (connector.Chunk, error) {
	aligned, refused, err := t.gate.pass(chunk)
	if n := len(refused); n > 0 && err == nil {
		w := t.writers[0]
		w.passed(n, n)
		err = w.reject(refused)
	}
	return aligned, nodeError(t.gate.node, err)
}

func (t *task) lastMeter() *meter { return t.meters[len(t.meters)-1] }

// barrier ends the epoch in this task: state is taken, the sink prepares, edges pass it on.
func (t *task) barrier(ctx context.Context, epoch connector.Epoch) error {
	report := &event{task: t, epoch: epoch, passed: true, rows: map[string][3]int64{}}
	for _, o := range t.ordered {
		s, err := o.snapshot(t.attempt.stateHistory(o.node))
		if err != nil {
			return nodeError(o.node, fmt.Errorf("snapshot: %w", err))
		}
		if s != nil {
			report.states = append(report.states, *s)
		}
	}
	waits := false
	report.prepared = make([]prepared, len(t.writers))
	for _, w := range t.writers {
		waits = waits || w.waits()
	}
	err := t.eachWriter(ctx, func(ctx context.Context, w *writer) error {
		var err error
		report.prepared[w.index], err = w.prepare(ctx, epoch)
		return err
	})
	if err != nil {
		return err
	}
	t.epoch = epoch.Number + 1
	for _, m := range t.meters {
		report.rows[m.node.ID] = m.rows()
	}
	for _, e := range t.outputs {
		e.barrier(epoch)
	}
	t.attempt.post(ctx, report)
	if !waits {
		return nil
	}
	before := time.Now()
	select {
	case s := <-t.settled:
		t.lastMeter().Blocked(before)
		return t.settle(ctx, s)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// settle decides or publishes an epoch at the sinks.
func (t *task) settle(ctx context.Context, s settlement) error {
	err := t.eachWriter(ctx, func(ctx context.Context, w *writer) error { return w.settle(ctx, s) })
	if err != nil {
		return err
	}
	t.attempt.post(ctx, &event{task: t, epoch: s.epoch, settled: true})
	return nil
}

// pendingRows returns the rows a single writer holds back; lanes look after their own.
func (t *task) pendingRows() int {
	if len(t.writers) != 1 {
		return 0
	}
	return t.writers[0].pendingRows
}

// orderedOperator is an operator run by the sequencer, with its checkpointed state.
type orderedOperator struct {
	boundOperator
	task *task
}

func newOrderedOperator(
	ctx context.Context, t *task, n *plan.Node, at int,
) (*orderedOperator, error) {
	operator, err := n.NewOperator(t.attempt.workflow.operatorEnv(ctx, n))
	if err != nil {
		return nil, nodeError(n, err)
	}
	if t.stage.Source == nil {
		at--
	}
	o := &orderedOperator{
		boundOperator: boundOperator{node: n, operator: operator, meter: t.meters[at]}, task: t,
	}
	stateful, ok := operator.(op.Stateful)
	if !ok {
		return o, nil
	}
	base, increments, err := t.attempt.loadState(n)
	if err != nil {
		return nil, nodeError(n, err)
	}
	if base != nil || len(increments) > 0 {
		if err := stateful.Restore(base, increments); err != nil {
			return nil, nodeError(n, fmt.Errorf("restore state: %w", err))
		}
	}
	return o, nil
}

// apply replaces the job's parts by what the operator makes of them.
func (o *orderedOperator) apply(j *job) error {
	before := time.Now()
	var next []part
	for _, p := range j.parts {
		if p.chunk.Batch == nil {
			continue
		}
		if err := o.boundOperator.apply(p.chunk.Batch); err != nil {
			return nodeError(o.node, err)
		}
		for _, out := range o.output.Parts {
			part := p
			part.port, part.chunk.Batch = out.Port, out.Batch
			next = append(next, part)
		}
		j.rejected = append(j.rejected, deadRows(o.node, &o.output)...)
		j.satisfied = j.satisfied || o.output.Done
		o.count(p.chunk.Batch).add()
	}
	j.parts = next
	o.meter.worked(before)
	return nil
}

// snapshot returns the operator's state change for an epoch, nil for a stateless one. A new base
// is taken when the increments since the last weigh more than half of the state.
func (o *orderedOperator) snapshot(history stateHistory) (*stateSnapshot, error) {
	stateful, ok := o.operator.(op.Stateful)
	if !ok {
		return nil, nil
	}
	size := stateful.StateBytes()
	const increments = 20
	base := history.empty() || len(history.Increments) >= increments ||
		history.incrementBytes() > int64(size)/2
	data, err := stateful.Snapshot(base)
	if err != nil {
		return nil, err
	}
	o.meter.StateBytes.Store(int64(size))
	return &stateSnapshot{node: o.node, base: base, data: data}, nil
}
