package run

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/flow/op"
	"github.com/tapeline/tapeline/internal/flow/plan"
)

// task runs one stage for one attempt. Its readers have a goroutine each. Its loop starts with the
// first message, workers and sequencer with the first chunk: a task to which nothing came has no
// goroutine but its readers.
type task struct {
	attempt *attempt
	stage   *plan.Stage
	address Address
	control mailbox[command]
	running sync.Once  // starts the loop
	inbox   chan *item // made by running
	inputs  []*edge
	outputs []*edge
	readers []*reader
	growth  growth // of the readers' chunks
	turns   *turns // the readers' chunks under way
	ordered []*orderedOperator
	writers []*writer
	gate    gate     // before writers without encoder
	lanes   []*lane  // one per writer when there are several
	meters  []*meter // one per node of the stage, in data order

	unwanted bool        // workflow: it was told to finish
	sated    atomic.Bool // sequencer: an operator wants no later row, and the readers are told to finish

	// The loop's own:
	ended   int          // readers at their end
	aligned map[int]bool // inputs that delivered the barrier under way
	waiting []*item      // came behind it on those
	last    *turn        // of the newest job

	work    chan *job // to the workers
	order   chan *job // to the sequencer
	settled chan settlement
	started bool
	epoch   uint64 // sequencer: the epoch its rows belong to
	merged  int    // round robin over writers
	given   int    // rows handed to them
}

// controlCommands may wait for a task's loop: a barrier, a drain and a finish.
const controlCommands = 3

// command is a message to a task's loop.
type command struct {
	barrier *connector.Epoch // sources: emit a barrier
	drain   bool             // sources: stop reading, to be resumed
	finish  bool             // sources: stop reading for good, nobody wants more
}

// settlement tells the sequencer what became of an epoch.
type settlement struct {
	epoch  connector.Epoch
	decide bool // the decider: commit the data transaction now; else publish
}

// job is one numbered item on its way through the workers.
type job struct {
	item
	parts     []part
	rejected  []deadRow
	counts    []count
	satisfied bool // a limit was reached
	*turn
}

// turn is a job's place among the others. It is apart from the job so that it holds no rows.
type turn struct {
	err    error
	at     time.Time // it became ready
	ready  chan struct{}
	before atomic.Pointer[turn] // the one numbered before; nil: all of those are ready
}

// count is what one node did to one job. Workers note it and the sequencer adds it up, so that the
// counters of a barrier hold exactly the rows before it.
type count struct {
	meter             *meter
	in, out, rejected int
}

// part is one output batch of a job.
type part struct {
	port  int
	chunk connector.Chunk
}

func newTask(a *attempt, s *plan.Stage) *task {
	t := &task{
		attempt: a, stage: s,
		address: Address{a.workflow.name, s.ID},
		epoch:   a.epoch + 1,
	}
	t.control = mailbox[command]{address: t.address, capacity: controlCommands, wake: t.run}
	for _, n := range s.Nodes() {
		t.meters = append(t.meters, a.workflow.meter(n))
	}
	return t
}

// run starts the loop when it does not run yet.
func (t *task) run() {
	t.running.Do(func() {
		// Per edge: its chunk credits and one barrier.
		t.inbox = make(chan *item, max(1, len(t.stage.Inputs)*(edgeChunks+1)))
		t.attempt.group.Go(t.stage.ID, t.loop)
	})
}

// receive returns the inbox of a task that runs.
func (t *task) receive() chan<- *item {
	t.run()
	return t.inbox
}

// loop is the task: it numbers what comes in, in one order, and answers control messages.
func (t *task) loop(ctx context.Context) error {
	defer t.dropQueued()
	control := t.control.receive()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case c := <-control:
			if err := t.handle(ctx, c); err != nil {
				return err
			}
		case it := <-t.inbox:
			if err := t.accept(ctx, it); err != nil {
				return err
			}
		}
	}
}

// accept numbers an item, holding back what came behind a barrier that not all inputs reached.
//
//go:noinline
func (t *task) accept(ctx context.Context, it *item) error {
	switch {
	case it.end:
		r := t.readers[it.input]
		if r.ended {
			return nil // it came to its end by itself while it was told to finish
		}
		r.ended = true
		if t.ended++; t.ended == len(t.readers) {
			t.attempt.post(ctx, &event{task: t, exhausted: true})
		}
		return nil
	case it.failure != nil:
		t.attempt.post(ctx, &event{task: t, failure: it.failure})
		return nil //nolint:nilerr // the failure is the source's; the workflow decides what it ends
	case it.barrier != nil:
		if t.aligned == nil {
			t.aligned = make(map[int]bool, len(t.inputs))
		}
		if t.aligned[it.input] = true; len(t.aligned) < len(t.inputs) {
			return nil
		}
		clear(t.aligned)
		if err := t.enqueue(ctx, it); err != nil {
			return err
		}
		behind := t.waiting
		t.waiting = nil
		for _, it := range behind {
			if err := t.enqueue(ctx, it); err != nil {
				return err
			}
		}
		return nil
	case t.aligned[it.input]:
		t.waiting = append(t.waiting, it)
		return nil
	}
	if t.readers != nil {
		t.readers[it.input].taken(it.chunk.Position)
	}
	return t.enqueue(ctx, it)
}

func (t *task) dropQueued() {
	for _, it := range t.waiting {
		it.drop()
	}
}

func (t *task) handle(ctx context.Context, c command) error {
	switch {
	case c.barrier != nil:
		return t.enqueue(ctx, &item{barrier: c.barrier})
	case c.drain:
		for _, r := range t.readers {
			r.stop()
		}
		t.attempt.post(ctx, &event{task: t, drained: true})
	case c.finish:
		for _, r := range t.readers {
			r.finish()
		}
	}
	return nil
}

// enqueue gives an item its number: its place in order. Positions of a barrier are taken here.
func (t *task) enqueue(ctx context.Context, it *item) error {
	t.start()
	j := &job{item: *it, turn: &turn{ready: make(chan struct{})}}
	j.before.Store(t.last)
	t.last = j.turn
	if it.barrier != nil {
		if t.readers != nil {
			t.attempt.post(ctx, &event{task: t, epoch: *it.barrier, positions: t.positions()})
		}
		close(j.ready)
	} else {
		t.attempt.active.Add(1)
	}
	select {
	case t.order <- j:
	case <-ctx.Done():
		j.drop()
		return context.Cause(ctx)
	}
	if it.barrier != nil {
		return nil
	}
	select {
	case t.work <- j:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// drop frees what nobody will take.
func (it *item) drop() {
	for _, free := range []func(){it.chunk.Release, it.release} {
		if free != nil {
			free()
		}
	}
}

func (t *task) positions() map[string]partitionPosition {
	positions := make(map[string]partitionPosition, len(t.readers))
	for _, r := range t.readers {
		positions[r.partition.ID] = partitionPosition{
			Spec: r.partition.Spec, Position: r.position, Ended: r.ended, Cut: r.cut,
		}
	}
	return positions
}

// start makes workers and sequencer on the first use.
func (t *task) start() {
	if t.started {
		return
	}
	t.started = true
	workers := t.stage.Workers
	t.work = make(chan *job, workers)
	t.order = make(chan *job, 2*workers+2) // keeps workers busy beside a sink that takes its time
	t.settled = make(chan settlement, 1)
	for range workers {
		w := newWorker(t)
		t.attempt.group.Go(t.stage.ID+" worker", w.loop)
	}
	if len(t.writers) > 1 {
		for _, w := range t.writers {
			l := newLane(w)
			t.lanes = append(t.lanes, l)
			t.attempt.group.Go(t.stage.ID+" writer", l.loop)
		}
	}
	t.attempt.group.Go(t.stage.ID+" sequencer", t.sequence)
}

// open makes operators and the sink of the stage and restores their state.
func (t *task) open(ctx context.Context) error {
	for i, n := range t.stage.Ordered {
		o, err := newOrderedOperator(ctx, t, n, 1+len(t.stage.Parallel)+i)
		if err != nil {
			return err
		}
		t.ordered = append(t.ordered, o)
	}
	if t.stage.Sink == nil {
		return nil
	}
	t.gate = gate{workflow: t.attempt.workflow, node: t.stage.Sink}
	for i := range t.stage.Writers {
		w, err := openWriter(ctx, t, i)
		if w != nil {
			t.writers = append(t.writers, w)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// close frees what open took.
func (t *task) close() {
	t.control.close()
	for _, r := range t.readers {
		r.close()
	}
	for _, o := range t.ordered {
		t.attempt.workflow.retire(o.node, o.operator)
	}
	for _, w := range t.writers {
		w.close()
	}
}

func (w *Workflow) operatorEnv(ctx context.Context, n *plan.Node) op.Env {
	return op.Env{Node: n.ID, Interpret: n.Interpret, Context: ctx, Lookup: w.cluster.config.Lookup}
}

// NodeError is a failure of one node of a workflow.
type NodeError struct {
	Node *plan.Node
	Err  error
}

// Error returns "kind id (type): cause".
func (e *NodeError) Error() string {
	return fmt.Sprintf("%s %s (%s): %v", e.Node.Kind, e.Node.ID, e.Node.Type, e.Err)
}

// Unwrap returns the cause.
func (e *NodeError) Unwrap() error { return e.Err }

func nodeError(n *plan.Node, err error) error {
	if err == nil {
		return nil
	}
	return &NodeError{Node: n, Err: err}
}
