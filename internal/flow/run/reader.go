package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/fault"
	"github.com/tapeline/tapeline/internal/flow/op"
	"github.com/tapeline/tapeline/internal/flow/plan"
)

// reader runs Source.Read for one partition in a goroutine of its own, so that a blocked Read
// never delays a barrier. The task takes its chunks one at a time.
type reader struct {
	task      *task
	node      *plan.Node
	index     int
	partition connector.Partition
	meter     *meter
	ended     bool
	cut       bool // a process before this one found that nobody wants more
	finished  atomic.Bool
	position  connector.Position // task loop: after the last chunk taken
	context   context.Context    //nolint:containedctx // ends the reader alone, as the attempt's ends all
	cancel    context.CancelFunc

	// The reader's own:
	source *openSource        // nil: closed
	handed connector.Position // after the last chunk handed over
	begun  bool               // there was one in this attempt
	asked  time.Time          // when it called Read
	idled  atomic.Int64       // ns that Read waited for rows to come into being

	mu    sync.Mutex
	acked *openSource    // takes acknowledgements: source, but not while it closes
	acks  sync.WaitGroup // under way, begun under mu
}

// openSource is one opening of a reader's source. What it delivered, its own decoder decodes.
type openSource struct {
	connector.Source
	decoder connector.Decoder // nil: it delivers batches
}

// openReader opens one partition at its restored position.
func openReader(
	ctx context.Context, t *task, start partitionPosition, id string,
) (*reader, error) {
	n := t.stage.Source
	r := &reader{
		task: t, node: n, index: len(t.readers), ended: start.Ended, cut: start.Cut,
		partition: connector.Partition{ID: id, Spec: start.Spec}, position: start.Position,
		handed: start.Position, meter: t.meters[0],
	}
	if r.ended {
		return r, nil
	}
	if err := r.open(ctx); err != nil {
		return nil, nodeError(n, err)
	}
	return r, nil
}

// open makes the source and opens it behind the last chunk handed over.
func (r *reader) open(ctx context.Context) error {
	env := r.task.attempt.env(r.node, r.task.attempt.budgetOf(r.node))
	env.Idle = func(waited time.Duration) { r.idled.Add(int64(waited)) }
	source, err := r.node.NewSource(env)
	if err != nil {
		return err
	}
	if err := r.task.narrow(ctx, source); err != nil {
		return errors.Join(fmt.Errorf("open: %w", err), source.Close())
	}
	if err := source.Open(ctx, r.partition, r.handed); err != nil {
		return errors.Join(fmt.Errorf("open: %w", err), source.Close())
	}
	r.source = &openSource{Source: source}
	r.source.decoder, _ = source.(connector.Decoder)
	r.mu.Lock()
	r.acked = r.source
	r.mu.Unlock()
	return nil
}

// narrow offers the source what the filter behind it asks of a row.
func (t *task) narrow(ctx context.Context, source connector.Source) error {
	filterer, ok := source.(connector.Filterer)
	if t.stage.Filter == nil || !ok {
		return nil
	}
	w := t.attempt.workflow
	operator, err := t.stage.Filter.NewOperator(w.operatorEnv(ctx, t.stage.Filter))
	if err != nil {
		return nodeError(t.stage.Filter, err)
	}
	defer w.retire(t.stage.Filter, operator)
	predicative, ok := operator.(op.Predicative)
	if !ok {
		return nil
	}
	_, err = filterer.Filter(ctx, func(schema *batch.Schema) []connector.Predicate {
		return op.Predicates(predicative.Conjuncts(schema))
	})
	return err
}

// shut closes the source once no acknowledgement is on its way to it.
func (r *reader) shut() error {
	r.mu.Lock()
	r.acked = nil
	r.mu.Unlock()
	r.acks.Wait()
	if r.source == nil {
		return nil
	}
	source := r.source
	r.source = nil
	return source.Close()
}

// prepare makes the context that stop ends; it comes before loop and before any stop.
func (r *reader) prepare(ctx context.Context) { r.context, r.cancel = context.WithCancel(ctx) }

// loop reads until the end, handing each chunk over and waiting until the task took it.
func (r *reader) loop(context.Context) error {
	ctx := r.context
	defer r.cancel()
	for {
		before := time.Now()
		if err := r.task.turns.acquire(ctx); err != nil {
			return r.stopped(ctx, err)
		}
		if r.task.sated.Load() {
			<-ctx.Done() // it is about to be told to finish
			r.task.turns.release()
			return r.stopped(ctx, context.Cause(ctx))
		}
		r.meter.Blocked(before)
		it, err := r.read()
		if err != nil || it.end {
			r.task.turns.release()
		}
		if err != nil {
			return r.fail(ctx, err)
		}
		end := it.end
		before = time.Now()
		if handed, err := r.hand(ctx, it); !handed || end {
			return err
		}
		r.meter.Blocked(before)
	}
}

// fail ends the loop by an error of the source. Where rows that were read are to be committed, it goes
// the way of the rows, behind them.
func (r *reader) fail(ctx context.Context, err error) error {
	if ctx.Err() != nil || !r.task.attempt.workflow.plan.Workflow.Execution.CommitRead {
		return r.stopped(ctx, err)
	}
	_, err = r.hand(ctx, &item{input: r.index, failure: err})
	return err
}

// read takes one chunk from the source. An idle reader waits here: what else there is to do stands in
// took, to keep its stack small.
//
//go:noinline
func (r *reader) read() (*item, error) {
	r.asked = time.Now()
	return r.took(r.source.Read(r.context))
}

// took waits until the workflow's memory has room for what was read; an idle source holds none.
//
//go:noinline
func (r *reader) took(chunk connector.Chunk, err error) (*item, error) {
	r.worked()
	if fault.ClassOf(err).Retryable() && r.repeatable() {
		chunk, err = r.readAgain(r.context, err)
	}
	it := &item{input: r.index, chunk: chunk}
	switch {
	case errors.Is(err, io.EOF):
		it.end = true
		return it, nil
	case err != nil:
		return nil, nodeError(r.node, fmt.Errorf("read: %w", err))
	}
	it.chunk.Bytes = max(it.chunk.Bytes, 1)
	size := int64(it.chunk.Bytes)
	it.read = time.Now()
	it.grant, err = acquire(r.context, r.task.attempt.memory, &r.task.growth, size)
	if err != nil {
		if it.chunk.Release != nil {
			it.chunk.Release()
		}
		return nil, err
	}
	r.meter.Blocked(it.read)
	r.meter.Bytes.Add(size)
	grant := it.grant
	it.release = func() {
		grant.release()
		r.task.turns.release()
	}
	it.source = r.source
	r.handed, r.begun = it.chunk.Position, true
	return it, nil
}

// worked counts the last Read. Waiting for rows that are not there yet is no work.
func (r *reader) worked() {
	r.meter.BusyNanos.Add(int64(time.Since(r.asked)) - r.idled.Swap(0))
}

// repeatable reports whether a new source can go on behind what was handed over.
func (r *reader) repeatable() bool {
	return !r.begun || r.handed != nil && r.node.SourceSpec.Resumable
}

// readAgain repeats a Read that failed. The source may have lost its place with its connection, so
// each repetition opens a new one behind the last chunk handed over.
func (r *reader) readAgain(ctx context.Context, failure error) (chunk connector.Chunk, err error) {
	err = r.task.attempt.workflow.retry(ctx, r.node, "read", func(ctx context.Context) error {
		if err := failure; err != nil {
			failure = nil
			return err
		}
		if err := r.shut(); err != nil {
			r.task.attempt.log.Warn("source did not close", "node", r.node.ID, "error", err)
		}
		if err := r.open(ctx); err != nil {
			return err
		}
		r.asked = time.Now()
		chunk, err = r.source.Read(ctx)
		r.worked()
		return err
	})
	return chunk, err
}

// hand hands an item over, or drops it where the reader is stopped. Nothing may be read behind an item that
// was dropped: its position would cover what was never taken.
// invariant: nothing is handed over behind a chunk that was not
func (r *reader) hand(ctx context.Context, it *item) (handed bool, err error) {
	select {
	case r.task.receive() <- it:
		return true, nil
	case <-ctx.Done():
		it.drop()
		return false, r.stopped(ctx, context.Cause(ctx))
	}
}

// stopped turns the end by drain or finish into a clean one.
func (r *reader) stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil && (r.finished.Load() || r.task.attempt.draining.Load()) {
		return nil
	}
	return err
}

// finish ends the reader for good: its partition counts as read to the end.
func (r *reader) finish() {
	if r.ended || r.finished.Swap(true) {
		return
	}
	r.stop()
	// The task's loop sends this, so the hand-over must not wait for the task's loop.
	r.task.attempt.group.Go(r.node.ID+" end", func(ctx context.Context) error {
		select {
		case r.task.receive() <- &item{input: r.index, end: true}:
		case <-ctx.Done():
		}
		return nil
	})
}

// taken notes that the task numbered a chunk: a checkpoint now covers it.
func (r *reader) taken(p connector.Position) {
	if p != nil {
		r.position = p
	}
}

func (r *reader) stop() {
	if r.cancel != nil {
		r.cancel()
	}
}

// ack tells the source what is committed.
// invariant: ack after commit
func (r *reader) ack(ctx context.Context, p connector.Position) {
	r.mu.Lock()
	source := r.acked
	if p == nil || source == nil {
		r.mu.Unlock()
		return
	}
	r.acks.Add(1)
	r.mu.Unlock()
	defer r.acks.Done()
	if err := source.Ack(ctx, p); err != nil {
		r.task.attempt.log.Warn("source did not take the acknowledgement",
			"node", r.node.ID, "error", err)
	}
}

func (r *reader) close() {
	if err := r.shut(); err != nil {
		r.task.attempt.log.Warn("source did not close", "node", r.node.ID, "error", err)
	}
}
