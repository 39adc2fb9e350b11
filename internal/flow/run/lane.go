package run

import "context"

// lane runs one of several parallel writers of a task in a goroutine of its own. The sequencer
// deals chunks to lanes in turn and waits for all of them at a barrier, so an epoch has the same
// rows as with one writer; only their order among lanes is open.
type lane struct {
	writer *writer
	calls  chan func(ctx context.Context) error
}

const laneCalls = 2 // chunks waiting for a lane

func newLane(w *writer) *lane {
	return &lane{writer: w, calls: make(chan func(context.Context) error, laneCalls)}
}

// loop makes the calls and flushes merged chunks that waited long enough.
func (l *lane) loop(ctx context.Context) error {
	linger := newLinger(l.writer.task.attempt.workflow.linger())
	defer linger.Stop()
	for {
		linger.watch(l.writer.pendingRows)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-linger.C:
			if err := l.writer.flush(ctx); err != nil {
				return err
			}
		case call := <-l.calls:
			if err := call(ctx); err != nil {
				return err
			}
			if err := l.writer.idle(ctx, len(l.calls)); err != nil {
				return err
			}
		}
	}
}

// call hands f to the lane; it does not wait for it to be made.
func (l *lane) call(ctx context.Context, f func(ctx context.Context) error) error {
	select {
	case l.calls <- f:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// eachWriter makes f for every writer: directly for a single one, on their lanes, beside each
// other, for several. It returns when all are done; a lane's failure ends the attempt.
func (t *task) eachWriter(ctx context.Context, f func(ctx context.Context, w *writer) error) error {
	if t.lanes == nil {
		for _, w := range t.writers {
			if err := f(ctx, w); err != nil {
				return err
			}
		}
		return nil
	}
	done := make(chan error, len(t.lanes))
	for _, l := range t.lanes {
		err := l.call(ctx, func(ctx context.Context) error {
			err := f(ctx, l.writer)
			done <- err
			return err
		})
		if err != nil {
			return err
		}
	}
	for range t.lanes {
		select {
		case err := <-done:
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
