package run

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/flow/op"
	"github.com/tapeline/tapeline/internal/flow/plan"
)

// memoryCatalog is durable at return, as the real one, and keeps everything in memory.
type memoryCatalog struct {
	mu       sync.Mutex
	runs     []Record
	prepared map[string]*Checkpoint
	done     map[string]*Checkpoint
	fence    uint64
	lost     func(error) // of the newest lease
	// fail is asked before every call; an error is returned instead of doing it.
	fail func(op string) error
}

func newMemoryCatalog() *memoryCatalog {
	return &memoryCatalog{prepared: map[string]*Checkpoint{}, done: map[string]*Checkpoint{}}
}

var (
	_ Catalog = (*memoryCatalog)(nil)
	_ Lease   = (*memoryCatalog)(nil)
)

func (c *memoryCatalog) ask(op string) error {
	if c.fail == nil {
		return nil
	}
	return c.fail(op)
}

func (c *memoryCatalog) Acquire(_ context.Context, _ string, lost func(error)) (Lease, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fence++
	c.lost = lost
	return c, nil
}

func (c *memoryCatalog) Release() {}

func (c *memoryCatalog) Fence() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fence
}

func (c *memoryCatalog) Discard(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.done)
	clear(c.prepared)
	return nil
}

func (c *memoryCatalog) LastRun(_ context.Context, workflow string) (Record, bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, v := range slices.Backward(c.runs) {
		if v.Workflow == workflow {
			return v, true, nil
		}
	}
	return Record{}, false, nil
}

func (c *memoryCatalog) store(r Record) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.runs {
		if c.runs[i].ID == r.ID {
			c.runs[i] = r
			return nil
		}
	}
	c.runs = append(c.runs, r)
	return nil
}

func (c *memoryCatalog) Begin(_ context.Context, r Record) (Record, error) {
	if r.ID == "" {
		c.mu.Lock()
		r.ID = fmt.Sprintf("run-%d", len(c.runs)+1)
		c.mu.Unlock()
	}
	r.Status = Running
	return r, c.store(r)
}

func (c *memoryCatalog) Finish(_ context.Context, r Record) error { return c.store(r) }

func (c *memoryCatalog) Prepare(_ context.Context, run string, epoch uint64, m []byte) error {
	if err := c.ask("prepare"); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.prepared[run] = &Checkpoint{Run: run, Epoch: epoch, Manifest: m}
	return nil
}

func (c *memoryCatalog) Commit(_ context.Context, run string, epoch uint64) error {
	if err := c.ask("commit"); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.prepared[run]; p != nil && p.Epoch == epoch {
		c.done[run] = p
		delete(c.prepared, run)
	}
	return nil
}

func (c *memoryCatalog) Drop(_ context.Context, run string, _ uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.prepared, run)
	return nil
}

func (c *memoryCatalog) Checkpoints(
	_ context.Context, workflow string,
) (committed, prepared *Checkpoint, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.runs {
		if r.Workflow != workflow {
			continue
		}
		if done := c.done[r.ID]; done != nil {
			committed, prepared = done, nil
		}
		if p := c.prepared[r.ID]; p != nil {
			prepared = p
		}
	}
	return committed, prepared, nil
}

var numberSchema = batch.NewSchema(batch.Field{Name: "n", Type: batch.Of(batch.Int64)})

// counter is a source of the numbers from..to-1; its position is the next number.
type counter struct {
	next, to, step int64
	gate           chan struct{} // when set, each Read waits for a token
	fail           func(next int64) error
	acked          func(next int64)
}

func (s *counter) Open(ctx context.Context, _ connector.Partition, p connector.Position) error {
	if p != nil {
		s.next = int64(binary.BigEndian.Uint64(p))
	}
	return nil
}

func (s *counter) Read(ctx context.Context) (connector.Chunk, error) {
	if s.next >= s.to {
		return connector.Chunk{}, io.EOF
	}
	if s.gate != nil {
		select {
		case <-s.gate:
		case <-ctx.Done():
			return connector.Chunk{}, ctx.Err()
		}
	}
	if s.fail != nil {
		if err := s.fail(s.next); err != nil {
			return connector.Chunk{}, err
		}
	}
	var values []int64
	for ; s.next < s.to && int64(len(values)) < s.step; s.next++ {
		values = append(values, s.next)
	}
	column := batch.FixedColumn(batch.Of(batch.Int64), values, nil)
	return connector.Chunk{
		Batch:    batch.New(numberSchema, []*batch.Column{column}, len(values)),
		Position: binary.BigEndian.AppendUint64(nil, uint64(s.next)),
		Bytes:    8 * len(values),
	}, nil
}

func (s *counter) Ack(_ context.Context, p connector.Position) error {
	if s.acked != nil {
		s.acked(int64(binary.BigEndian.Uint64(p)))
	}
	return nil
}

func (s *counter) Close() error { return nil }

// table is a fake database: rows of committed epochs, and what a crash leaves.
type table struct {
	mu        sync.Mutex
	committed []int64
	epochs    map[string]uint64
}

func newTable() *table { return &table{epochs: map[string]uint64{}} }

// tableSink writes to a table transactionally and decides; staged makes it publish by token.
type tableSink struct {
	table  *table
	task   connector.Task
	open   []int64
	staged map[uint64][]int64
	fail   func(op string) error
}

func (s *tableSink) ask(op string) error {
	if s.fail == nil {
		return nil
	}
	return s.fail(op)
}

func (s *tableSink) Open(_ context.Context, t connector.Task) error {
	s.task = t
	s.staged = map[uint64][]int64{}
	return s.ask("open")
}

func (s *tableSink) Write(_ context.Context, c connector.Chunk) error {
	if err := s.ask("write"); err != nil {
		return err
	}
	for i := range c.Batch.Len() {
		s.open = append(s.open, c.Batch.Column(0).Int(c.Batch.Row(i)))
	}
	return nil
}

func (s *tableSink) Close() error { return nil }

// decidingSink commits the data transaction with the epoch.
type decidingSink struct{ tableSink }

var _ connector.Decider = (*decidingSink)(nil)

func (s *decidingSink) Prepare(context.Context, connector.Epoch) (connector.Prepared, error) {
	return connector.Prepared{}, s.ask("prepare")
}

func (s *decidingSink) Decide(_ context.Context, e connector.Epoch) error {
	if err := s.ask("decide"); err != nil {
		return err
	}
	s.table.mu.Lock()
	defer s.table.mu.Unlock()
	if got := s.table.epochs[s.task.Run]; got != e.Number-1 {
		return fmt.Errorf("epoch %d follows %d", e.Number, got)
	}
	s.table.epochs[s.task.Run] = e.Number
	s.table.committed = append(s.table.committed, s.open...)
	s.open = nil
	return s.ask("decided")
}

func (s *decidingSink) Decided(context.Context) (uint64, error) {
	s.table.mu.Lock()
	defer s.table.mu.Unlock()
	return s.table.epochs[s.task.Run], nil
}

func (s *decidingSink) Commit(context.Context, connector.Epoch, []byte) error {
	return s.ask("publish")
}

func (s *decidingSink) Recover(context.Context, connector.Epoch, []byte) error {
	return s.ask("recover")
}

// stagingSink keeps epochs in shared staged state until they are published, idempotently.
type stagingSink struct{ tableSink }

var _ connector.Transactional = (*stagingSink)(nil)

func (s *stagingSink) Prepare(_ context.Context, e connector.Epoch) (connector.Prepared, error) {
	if err := s.ask("prepare"); err != nil {
		return connector.Prepared{}, err
	}
	var token []byte
	for _, v := range s.open {
		token = binary.BigEndian.AppendUint64(token, uint64(v))
	}
	s.open = nil
	return connector.Prepared{
		Token: token, Sync: func(context.Context) error { return s.ask("sync") },
	}, nil
}

func (s *stagingSink) Commit(_ context.Context, e connector.Epoch, token []byte) error {
	if err := s.ask("publish"); err != nil {
		return err
	}
	s.publish(e, token)
	return s.ask("published")
}

func (s *stagingSink) publish(e connector.Epoch, token []byte) {
	s.table.mu.Lock()
	defer s.table.mu.Unlock()
	if s.table.epochs[s.task.Run] >= e.Number {
		return
	}
	s.table.epochs[s.task.Run] = e.Number
	for ; len(token) > 0; token = token[8:] {
		s.table.committed = append(s.table.committed, int64(binary.BigEndian.Uint64(token)))
	}
}

func (s *stagingSink) Recover(_ context.Context, e connector.Epoch, token []byte) error {
	if err := s.ask("recover"); err != nil {
		return err
	}
	s.publish(e, token)
	return nil
}

// mapOperator is a stateless operator made of a function over numbers; ok false rejects.
type mapOperator func(n int64) (keep bool, reason string)

func (m mapOperator) Bind(*batch.Schema) (op.Bound, error) { return m, nil }

func (m mapOperator) Apply(b *batch.Batch, out *op.Output) error {
	var rows []int32
	for i := range b.Len() {
		row := b.Row(i)
		keep, reason := m(b.Column(0).Int(row))
		switch {
		case reason != "":
			out.Reject(b, []batch.RowError{{Row: row, Column: "n", Reason: reason}})
		case keep:
			rows = append(rows, int32(row))
		}
	}
	out.Emit(b.Select(rows))
	return nil
}

func sourceNode(id string, make func() *counter) *plan.Node {
	return &plan.Node{
		ID: id, Type: "counter", Kind: plan.Source, Fingerprint: "1",
		NewSource: func(connector.Env) (connector.Source, error) { return make(), nil },
	}
}

func operatorNode(id string, m op.Operator, inputs ...string) *plan.Node {
	n := &plan.Node{
		ID: id, Type: "map", Kind: plan.Transformation, OnError: plan.DeadLetter,
		NewOperator: func(op.Env) (op.Operator, error) { return m, nil },
	}
	for _, in := range inputs {
		n.Inputs = append(n.Inputs, plan.Input{Node: in})
	}
	return n
}

func sinkNode(id string, make func() connector.Sink, inputs ...string) *plan.Node {
	n := &plan.Node{
		ID: id, Type: "table", Kind: plan.Destination,
		NewSink: func(connector.Env) (connector.Sink, error) { return make(), nil },
	}
	_, n.SinkSpec.Decides = make().(connector.Decider)
	for _, in := range inputs {
		n.Inputs = append(n.Inputs, plan.Input{Node: in})
	}
	return n
}

var errCrash = errors.New("crash")
