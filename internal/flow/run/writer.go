package run

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/fault"
	"github.com/tapeline/tapeline/internal/flow/plan"
)

// writer drives one sink instance: merging, retries, row errors, epochs.
type writer struct {
	task    *task
	index   int // among the task's writers
	node    *plan.Node
	meter   *meter
	sink    connector.Sink
	tx      connector.Transactional // nil: not transactional
	decider connector.Decider       // set when this sink decides the workflow's epochs
	follows *follower               // set when it could, and another decides
	encoder connector.Encoder
	merger  connector.Merger // nil: encoded chunks are written as they come
	key     []string
	tokens  map[uint64][]byte // prepared, not yet settled

	pending     []connector.Chunk // small chunks waiting to be merged
	release     []func()
	pendingRows int
	pendingSize int
	resplit     connector.EncodeFunc // made when rows have to be written apart
}

// openWriter makes and opens a sink and brings it to the restored epoch.
func openWriter(ctx context.Context, t *task, index int) (*writer, error) {
	n := t.stage.Sink
	sink, err := n.NewSink(t.attempt.env(n, nil))
	if err != nil {
		return nil, nodeError(n, err)
	}
	w := &writer{
		task: t, index: index, node: n, meter: t.lastMeter(), sink: sink, tokens: map[uint64][]byte{},
	}
	w.tx, _ = sink.(connector.Transactional)
	w.encoder, _ = sink.(connector.Encoder)
	w.merger, _ = sink.(connector.Merger)
	if u, ok := sink.(connector.Upserter); ok {
		w.key = u.Key()
	}
	if err := sink.Open(ctx, t.attempt.sinkTask(n, index, t.stage.Writers)); err != nil {
		return w, nodeError(n, fmt.Errorf("open: %w", err))
	}
	if err := w.recover(ctx); err != nil {
		return w, err
	}
	return w, nodeError(n, t.attempt.workflow.evolveSink(ctx, n, sink))
}

// recover brings the sink to the restored epoch.
func (w *writer) recover(ctx context.Context) error {
	if w.tx == nil {
		return nil
	}
	a := w.task.attempt
	epoch, token := a.restoredToken(w.node, w.index)
	var err error
	if d, ok := w.tx.(connector.Decider); ok {
		follows := a.follower(d, w.node, w.index)
		if w.task.stage.Decides {
			w.decider, a.decider = d, w
		} else {
			w.follows = follows
		}
		err = follows.recover(ctx, epoch, token, a.restoredRedo(w.node, w.index), redoWrite(ctx, d))
	} else {
		err = w.tx.Recover(ctx, epoch, token)
	}
	if err != nil {
		return nodeError(w.node, fmt.Errorf("recover epoch %d: %w", epoch.Number, err))
	}
	return nil
}

// add writes a chunk, or holds it back until enough rows for a good Write are there. done is
// called when the chunk is no longer used.
func (w *writer) add(ctx context.Context, chunk connector.Chunk, done func()) error {
	preferred := w.task.attempt.workflow.merged(w.node.SinkSpec.PreferredRows)
	if (w.encoder != nil && w.merger == nil) || preferred <= 0 ||
		(chunk.Batch.Len() >= preferred && len(w.pending) == 0) {
		defer done()
		return w.writeChunk(ctx, chunk)
	}
	if len(w.pending) > 0 && (w.pending[0].Table != chunk.Table ||
		!w.pending[0].Batch.Schema().Equal(chunk.Batch.Schema())) {
		if err := w.flush(ctx); err != nil {
			done()
			return err
		}
	}
	w.pending = append(w.pending, chunk)
	w.release = append(w.release, done)
	w.pendingRows += chunk.Batch.Len()
	w.pendingSize += chunk.Bytes
	// Held-back chunks keep their credits: with all of them here, none could come.
	few := len(w.task.inputs) == 0 || len(w.pending) < edgeChunks/2
	if few && w.pendingRows < preferred && w.pendingSize < mergedBytes {
		return nil
	}
	return w.flush(ctx)
}

// idle writes what was held back when nothing waits behind it and latency counts.
func (w *writer) idle(ctx context.Context, waiting int) error {
	if waiting > 0 || w.task.attempt.workflow.latencyTarget() <= 0 {
		return nil
	}
	return w.flush(ctx)
}

// mergedBytes of the source's data are a good Write however few the rows.
const mergedBytes = 4 << 20

// flush merges and writes what was held back.
func (w *writer) flush(ctx context.Context) error {
	if len(w.pending) == 0 {
		return nil
	}
	defer func() {
		for _, done := range w.release {
			done()
		}
		clear(w.pending)
		w.pending, w.release = w.pending[:0], w.release[:0]
		w.pendingRows, w.pendingSize = 0, 0
	}()
	if w.merger != nil {
		return w.writeJoined(ctx, w.pending)
	}
	chunk := w.pending[0]
	if len(w.pending) > 1 {
		batches := make([]*batch.Batch, len(w.pending))
		for i, c := range w.pending {
			batches[i] = c.Batch
			chunk.Position, chunk.Bytes = c.Position, chunk.Bytes+c.Bytes
		}
		merged, bad := batch.Concat(batches)
		for _, e := range bad {
			errs := []batch.RowError{e.RowError}
			if err := w.reject(deadErrors(w.node, batches[e.Batch], errs)); err != nil {
				return err
			}
		}
		chunk.Batch = merged
	}
	return w.writeChunk(ctx, chunk)
}

// writeJoined writes encoded chunks by one call, or each alone when they do not go together or the
// sink refuses some row.
func (w *writer) writeJoined(ctx context.Context, chunks []connector.Chunk) error {
	payloads := make([]any, len(chunks))
	for i := range chunks {
		payloads[i] = chunks[i].Payload
	}
	if joined, ok := w.merger.Merge(payloads); ok && len(chunks) > 1 {
		whole := chunks[len(chunks)-1]
		whole.Batch, whole.Payload, whole.Bytes = nil, joined, w.pendingSize
		err := w.call(ctx, whole, chunks)
		if err == nil {
			w.passed(w.pendingRows, 0)
			return nil
		}
		if fault.ClassOf(err) != connector.Data || errors.Is(err, connector.ErrEpochLost) {
			return nodeError(w.node, fmt.Errorf("write: %w", err))
		}
	}
	for _, chunk := range chunks {
		if err := w.write(ctx, chunk); err != nil {
			return err
		}
	}
	return nil
}

// writeChunk prepares a chunk for the sink (dense rows, one upsert a key, maximum size) and writes
// it.
func (w *writer) writeChunk(ctx context.Context, chunk connector.Chunk) error {
	if w.encoder != nil {
		return w.write(ctx, chunk)
	}
	// Keys are compared by their values: a column that holds only text yet has to be parsed.
	if !w.node.SinkSpec.Selection || len(w.key) > 0 {
		dense, bad := chunk.Batch.Dense()
		if err := w.reject(deadErrors(w.node, chunk.Batch, bad)); err != nil {
			return err
		}
		chunk.Batch = dense
	}
	if len(w.key) > 0 {
		collapsed, err := batch.LastPerKey(chunk.Batch, w.key)
		if err != nil {
			return nodeError(w.node, err)
		}
		chunk.Batch = collapsed
	}
	largest := w.node.SinkSpec.MaxRows
	if largest <= 0 || chunk.Batch.Len() <= largest {
		return w.write(ctx, chunk)
	}
	for from := 0; from < chunk.Batch.Len(); from += largest {
		piece := chunk
		piece.Batch = chunk.Batch.Slice(from, min(from+largest, chunk.Batch.Len()))
		if !w.node.SinkSpec.Selection {
			piece.Batch = piece.Batch.Keep()
		}
		if err := w.write(ctx, piece); err != nil {
			return err
		}
	}
	return nil
}

// call makes one Sink.Write under the workflow's retry policy. The rows are those of parts.
func (w *writer) call(ctx context.Context, chunk connector.Chunk, parts []connector.Chunk) error {
	err := w.task.attempt.workflow.retry(ctx, w.node, "write", func(ctx context.Context) error {
		defer w.meter.Busy(time.Now())
		return w.sink.Write(ctx, chunk)
	})
	if b, ok := w.sink.(connector.Bounded); ok && err == nil && b.Full() {
		w.task.attempt.hurry()
	}
	if w.follows == nil {
		return err
	}
	defer w.meter.Busy(time.Now())
	for i := range parts {
		if err = w.follows.keep(parts[i], err); err != nil {
			break
		}
	}
	if w.follows.large() {
		w.task.attempt.hurry()
	}
	return err
}

// write writes a chunk and sends refused rows to the dead letters.
func (w *writer) write(ctx context.Context, chunk connector.Chunk) error {
	if chunk.Batch.Len() == 0 {
		return nil
	}
	err := w.call(ctx, chunk, []connector.Chunk{chunk})
	var partial *connector.PartialError
	switch {
	case err == nil:
		w.passed(chunk.Batch.Len(), 0)
		return nil
	case errors.As(err, &partial):
		w.passed(chunk.Batch.Len(), len(partial.Rows))
		return w.reject(deadErrors(w.node, chunk.Batch, partial.Rows))
	case fault.ClassOf(err) == connector.Data && !errors.Is(err, connector.ErrEpochLost):
		return w.bisect(ctx, chunk, err)
	}
	return nodeError(w.node, fmt.Errorf("write: %w", err))
}

// bisect writes the halves of a chunk that was refused as a whole, down to the row.
func (w *writer) bisect(ctx context.Context, chunk connector.Chunk, cause error) error {
	n := chunk.Batch.Len()
	if n == 1 {
		w.passed(1, 1)
		errs := []batch.RowError{{Row: chunk.Batch.Row(0), Reason: cause.Error()}}
		return w.reject(deadErrors(w.node, chunk.Batch, errs))
	}
	for _, cut := range [][2]int{{0, n / 2}, {n / 2, n}} {
		half := chunk
		half.Batch = chunk.Batch.Slice(cut[0], cut[1])
		if w.encoder != nil {
			if w.resplit == nil {
				w.resplit = w.encoder.NewEncode()
			}
			half.Payload = nil
			encoded, err := w.resplit(half)
			if err != nil {
				return nodeError(w.node, fmt.Errorf("encode: %w", err))
			}
			half = encoded
		} else if !w.node.SinkSpec.Selection {
			half.Batch = half.Batch.Keep()
		}
		if err := w.write(ctx, half); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) passed(rows, refused int) { count{w.meter, rows, rows - refused, refused}.add() }

func (w *writer) reject(rows []deadRow) error {
	if len(rows) == 0 {
		return nil
	}
	return w.task.attempt.refuse(w.task.epoch, rows, w.task.attempt.workflow.sourceRows())
}

// prepared is a sink's answer to a barrier, as the manifest takes it.
type prepared struct {
	connector.Prepared
	redo *redoObject
}

// prepare ends the epoch at the sink.
func (w *writer) prepare(ctx context.Context, epoch connector.Epoch) (prepared, error) {
	if err := w.flush(ctx); err != nil {
		return prepared{}, err
	}
	before := time.Now()
	defer w.meter.Busy(before)
	if epoch.Final && w.index == 0 && w.tookNone() {
		if err := w.writeHeader(ctx); err != nil {
			return prepared{}, err
		}
	}
	if w.tx == nil {
		if f, ok := w.sink.(connector.Flusher); ok {
			if err := f.Flush(ctx); err != nil {
				return prepared{}, nodeError(w.node, fmt.Errorf("flush: %w", err))
			}
		}
		return prepared{}, nil
	}
	answer, err := w.tx.Prepare(ctx, epoch)
	if err != nil {
		return prepared{}, nodeError(w.node, fmt.Errorf("prepare epoch %d: %w", epoch.Number, err))
	}
	w.tokens[epoch.Number] = answer.Token
	if w.follows != nil {
		return w.follows.seal(answer), nil
	}
	return prepared{Prepared: answer}, nil
}

// tookNone reports whether the sink has no row of the whole run: none came, or none was any good,
// which one of several writers cannot tell.
func (w *writer) tookNone() bool {
	if w.task.stage.Writers > 1 {
		return w.task.given == 0 && w.meter.RowsIn.Load() == 0
	}
	return w.meter.RowsOut.Load() == 0
}

// settle decides or publishes a prepared epoch.
func (w *writer) settle(ctx context.Context, s settlement) error {
	if s.decide {
		if w.decider == nil {
			return nil
		}
		if err := w.decider.Decide(ctx, s.epoch); err != nil {
			return nodeError(w.node, fmt.Errorf("commit epoch %d: %w", s.epoch.Number, err))
		}
		return nil
	}
	if w.tx == nil {
		return nil
	}
	token := w.tokens[s.epoch.Number]
	delete(w.tokens, s.epoch.Number)
	publish := w.tx.Commit
	if w.follows != nil {
		publish = w.follows.commit
	}
	if err := publish(ctx, s.epoch, token); err != nil {
		return nodeError(w.node, fmt.Errorf("publish epoch %d: %w", s.epoch.Number, err))
	}
	return nil
}

// waits reports whether rows after a barrier must wait until its epoch is committed, as they belong
// to the next data transaction.
func (w *writer) waits() bool { return w.decider != nil || w.follows != nil }

func (w *writer) close() {
	if w.follows != nil {
		w.follows.log.close()
	}
	if err := w.sink.Close(); err != nil {
		w.task.attempt.log.Warn("sink did not close", "node", w.node.ID, "error", err)
	}
}
