package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/flow/plan"
)

// reader runs Source.Read for one partition in a goroutine of its own, so that a blocked Read
// never delays a barrier. The task takes its chunks one at a time.
type reader struct {
	task      *task
	node      *plan.Node
	index     int
	source    connector.Source
	partition connector.Partition
	budget    *connector.Budget
	meter     *meter
	ended     bool
	cut       bool // a process before this one found that nobody wants more
	finished  atomic.Bool
	position  connector.Position // task loop: after the last chunk taken
	opened    bool
	context   context.Context //nolint:containedctx // ends the reader alone, as the attempt's ends all
	cancel    context.CancelFunc
	decoder   connector.Decoder
	asked     time.Time // loop: when it called Read
}

// openReader opens one partition at its restored position.
func openReader(
	ctx context.Context, t *task, source connector.Source, start partitionPosition, id string,
) (*reader, error) {
	n := t.stage.Source
	r := &reader{
		task: t, node: n, index: len(t.readers), source: source, ended: start.Ended, cut: start.Cut,
		partition: connector.Partition{ID: id, Spec: start.Spec}, position: start.Position,
		meter: t.meters[0], budget: t.attempt.budgetOf(n),
	}
	r.decoder, _ = source.(connector.Decoder)
	if r.ended {
		return r, nil
	}
	if err := source.Open(ctx, r.partition, start.Position); err != nil {
		return nil, nodeError(n, errors.Join(fmt.Errorf("open: %w", err), source.Close()))
	}
	r.opened = true
	return r, nil
}

// prepare makes the context that stop ends; it comes before loop and before any stop.
func (r *reader) prepare(ctx context.Context) { r.context, r.cancel = context.WithCancel(ctx) }

// loop reads until the end, handing each chunk over and waiting until the task took it.
func (r *reader) loop(context.Context) error {
	ctx := r.context
	defer r.cancel()
	for {
		it, err := r.read()
		if err != nil {
			return r.stopped(ctx, err)
		}
		end := it.end
		before := time.Now()
		if err := r.hand(ctx, it); err != nil || end {
			return err
		}
		r.meter.Blocked(before)
	}
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
	r.meter.Busy(r.asked)
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
	it.release = it.grant.release
	return it, nil
}

func (r *reader) hand(ctx context.Context, it *item) error {
	select {
	case r.task.receive() <- it:
		return nil
	case <-ctx.Done():
		it.drop()
		return r.stopped(ctx, context.Cause(ctx))
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
	if p == nil || !r.opened {
		return
	}
	if err := r.source.Ack(ctx, p); err != nil {
		r.task.attempt.log.Warn("source did not take the acknowledgement",
			"node", r.node.ID, "error", err)
	}
}

func (r *reader) close() {
	if err := r.source.Close(); err != nil {
		r.task.attempt.log.Warn("source did not close", "node", r.node.ID, "error", err)
	}
}
