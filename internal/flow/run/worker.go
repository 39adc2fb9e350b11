package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/fault"
	"github.com/tapeline/tapeline/internal/flow/op"
	"github.com/tapeline/tapeline/internal/flow/plan"
	"github.com/tapeline/tapeline/internal/lifecycle"
)

// worker runs the parallel part of a stage: decode, operators, encode. It holds scratch of its own.
type worker struct {
	task    *task
	decode  []sourceDecode // per reader
	chain   []*boundOperator
	encode  connector.EncodeFunc
	gate    gate                        // before encode
	seen    map[readTable]*batch.Schema // of the source's last chunk of each table
	current []part                      // scratch
	next    []part
}

// readTable is one table of one reader.
type readTable struct {
	input int
	table string
}

// sourceDecode is the decoding of one reader's chunks, made anew when its source was.
type sourceDecode struct {
	of   *openSource
	call connector.DecodeFunc
}

// boundOperator is one operator of a chain with its binding to the last schema seen.
type boundOperator struct {
	node     *plan.Node
	operator op.Operator
	meter    *meter
	schema   *batch.Schema
	bound    op.Bound
	output   op.Output
}

func newWorker(t *task) *worker {
	w := &worker{
		task: t, decode: make([]sourceDecode, len(t.readers)), seen: map[readTable]*batch.Schema{},
	}
	// Encoding after an ordered operator would have to wait for it, so plan cuts the stage there.
	if len(t.writers) > 0 && t.writers[0].encoder != nil {
		w.encode = t.writers[0].encoder.NewEncode()
		w.gate = gate{workflow: t.attempt.workflow, node: t.writers[0].node}
	}
	return w
}

// loop takes numbered chunks in any order until the attempt ends.
func (w *worker) loop(ctx context.Context) error {
	for i, n := range w.task.stage.Parallel {
		operator, err := n.NewOperator(w.task.attempt.workflow.operatorEnv(ctx, n))
		if err != nil {
			return nodeError(n, err)
		}
		defer w.task.attempt.workflow.retire(n, operator)
		w.chain = append(w.chain, &boundOperator{
			node: n, operator: operator, meter: w.task.meters[w.task.firstOperator()+i],
		})
	}
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case j := <-w.task.work:
			j.err = lifecycle.Guard(w.task.stage.ID, func() error { return w.process(ctx, j) })
			j.at = time.Now()
			close(j.ready)
		}
	}
}

// firstOperator is the meter index of the stage's first operator.
func (t *task) firstOperator() int {
	if t.stage.Source != nil {
		return 1
	}
	return 0
}

// process runs one job; a panic of a connector or operator becomes its error.
func (w *worker) process(ctx context.Context, j *job) (err error) {
	chunk := j.chunk
	if w.task.readers != nil {
		if chunk, err = w.read(j, chunk); err != nil {
			return err
		}
	}
	// The job keeps the chunk's own Release; what is made of the chunk must not call it again.
	j.chunk = chunk
	input := chunk.Batch
	chunk.Release = nil
	w.current = append(w.current[:0], part{chunk: chunk})
	for _, o := range w.chain {
		if err := w.apply(o, j); err != nil {
			return err
		}
	}
	if w.encode != nil {
		if err := w.encodeParts(ctx, j); err != nil {
			return err
		}
	}
	j.parts = append(j.parts, w.current...)
	w.charge(j, input)
	return nil
}

// charge adds what decoding and operators made of a chunk to its grant, until the job is released.
func (w *worker) charge(j *job, input *batch.Batch) {
	made := madeBytes(input, j.parts)
	if w.task.readers != nil {
		// Values take the place of the source's bytes, as far as those go.
		made += max(0, madeBytes(nil, []part{{chunk: j.chunk}})-int64(j.chunk.Bytes))
	}
	j.grant.charge(made)
	grant, release := j.grant, j.release
	j.release = func() {
		grant.uncharge(made)
		release()
	}
}

// read decodes a source's chunk and counts it.
func (w *worker) read(j *job, chunk connector.Chunk) (connector.Chunk, error) {
	r := w.task.readers[j.input]
	before := time.Now()
	if j.source.decoder != nil && chunk.Batch == nil {
		decode := &w.decode[j.input]
		if decode.of != j.source {
			*decode = sourceDecode{j.source, j.source.decoder.NewDecode()}
		}
		var err error
		if chunk, err = decode.call(chunk); err != nil {
			return chunk, nodeError(r.node, fmt.Errorf("decode: %w", err))
		}
		r.meter.worked(before)
	}
	if b := chunk.Batch; b != nil {
		// One name for rows of a source that names none, as most have one table only.
		table := cmp.Or(chunk.Table, r.node.Table)
		if at := (readTable{j.input, table}); b.Schema() != w.seen[at] {
			w.seen[at] = b.Schema()
			w.task.attempt.workflow.saw(r.node, header{table, b.Schema()})
		}
	}
	for _, rejected := range chunk.Rejected {
		j.rejected = append(j.rejected, deadRow{node: r.node, Rejected: rejected})
	}
	rows := 0
	if chunk.Batch != nil {
		rows = chunk.Batch.Len()
	}
	j.rows = rows
	j.counts = append(j.counts,
		count{r.meter, rows + len(chunk.Rejected), rows, len(chunk.Rejected)})
	return chunk, nil
}

// apply runs one operator over the current parts.
func (w *worker) apply(o *boundOperator, j *job) error {
	before := time.Now()
	w.next = w.next[:0]
	for _, p := range w.current {
		if p.chunk.Batch == nil {
			continue
		}
		if err := o.apply(p.chunk.Batch); err != nil {
			return nodeError(o.node, err)
		}
		for _, out := range o.output.Parts {
			next := p
			next.port, next.chunk.Batch = out.Port, out.Batch
			w.next = append(w.next, next)
		}
		j.rejected = append(j.rejected, deadRows(o.node, &o.output)...)
		j.counts = append(j.counts, o.count(p.chunk.Batch))
	}
	w.current, w.next = w.next, w.current
	o.meter.worked(before)
	return nil
}

// apply binds to the batch's schema when it is new and runs the operator once.
func (o *boundOperator) apply(b *batch.Batch) error {
	if schema := b.Schema(); schema != o.schema {
		if o.bound == nil || !schema.Equal(o.schema) {
			bound, err := o.operator.Bind(schema)
			if err != nil {
				return o.unfit(b, err)
			}
			o.bound = bound
		}
		o.schema = schema
	}
	o.output.Reset()
	return o.bound.Apply(b, &o.output)
}

// unfit is the error of rows that the operator cannot take, and will not after a restart either. Rows
// whose columns differ from those before are named by their place.
func (o *boundOperator) unfit(b *batch.Batch, err error) error {
	out := &connector.Error{Class: fault.ClassOf(err), Err: err}
	if out.Class == fault.Unknown {
		out.Class = connector.Schema
	}
	if o.bound != nil && b.Len() > 0 && b.Origin() != nil {
		out.Op = "rows from " + b.Origin().At(b.Row(0)).String()
	}
	return out
}

func (o *boundOperator) count(in *batch.Batch) count {
	out := 0
	for _, p := range o.output.Parts {
		out += p.Batch.Len()
	}
	return count{o.meter, in.Len(), out, len(o.output.Rejected)}
}

// wait waits until all jobs before are ready. Workers take jobs in order, so that each has one.
func (t *turn) wait(ctx context.Context) error {
	for before := t.before.Load(); before != nil; before = before.before.Load() {
		select {
		case <-before.ready:
			if before.err != nil {
				return before.err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// encodeParts formats what the sink will write; rows that cannot be formatted are rejected.
func (w *worker) encodeParts(ctx context.Context, j *job) error {
	writer := w.task.writers[0]
	w.gate.turn = func() error { return j.wait(ctx) }
	before := time.Now()
	for i := range w.current {
		p := &w.current[i]
		if p.chunk.Batch == nil {
			continue
		}
		aligned, refused, err := w.gate.pass(p.chunk)
		if err != nil {
			return nodeError(writer.node, err)
		}
		j.rejected = append(j.rejected, refused...)
		if n := len(refused); n > 0 {
			j.counts = append(j.counts, count{writer.meter, n, 0, n})
		}
		if p.chunk = aligned; aligned.Batch.Len() == 0 {
			p.chunk.Batch = nil
			continue
		}
		chunk, err := w.encode(p.chunk)
		if partial, ok := errors.AsType[*connector.PartialError](err); ok {
			j.rejected = append(j.rejected, deadErrors(writer.node, p.chunk.Batch, partial.Rows)...)
			chunk.Batch = p.chunk.Batch.Without(partial.Rows)
		} else if err != nil {
			return nodeError(writer.node, fmt.Errorf("encode: %w", err))
		}
		p.chunk = chunk
	}
	writer.meter.worked(before)
	return nil
}
