package run

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/flow/op"
	"github.com/tapeline/tapeline/internal/flow/plan"
)

// deadRow is one row that a node could not use.
type deadRow struct {
	node *plan.Node
	connector.Rejected
	column string
	asked  bool            // a rule of the document sends it here, whatever the node's reaction
	row    json.RawMessage // the row as an object; nil when the record never became one
}

func deadRows(n *plan.Node, out *op.Output) []deadRow {
	var rows []deadRow
	for _, r := range out.Rejected {
		dead := deadErrors(n, r.Batch, []batch.RowError{r.RowError})
		dead[0].asked = r.Asked
		rows = append(rows, dead...)
	}
	return rows
}

// deadErrors copies the named rows of b out of its memory.
func deadErrors(n *plan.Node, b *batch.Batch, errs []batch.RowError) []deadRow {
	rows := make([]deadRow, 0, len(errs))
	for _, e := range errs {
		rows = append(rows, deadRow{
			node: n, column: e.Column, row: batch.AppendRow(nil, b, e.Row),
			Rejected: connector.Rejected{Place: b.Origin().At(e.Row), Reason: e.Reason},
		})
	}
	return rows
}

// DeadSchema is the schema of dead letters.
var deadFields = []batch.Field{
	{Name: "time", Type: batch.TimestampOf(batch.Millisecond, "UTC")},
	{Name: "run", Type: batch.Of(batch.String)},
	{Name: "node", Type: batch.Of(batch.String)},
	{Name: "reason", Type: batch.Of(batch.String)},
	{Name: "column", Type: batch.Of(batch.String), Nullable: true},
	{Name: "origin", Type: batch.Of(batch.String), Nullable: true},
	{Name: "line", Type: batch.Of(batch.Int64), Nullable: true},
	{Name: "record", Type: batch.Of(batch.Int64), Nullable: true},
	{Name: "row", Type: batch.Of(batch.JSON), Nullable: true},
	{Name: "text", Type: batch.Of(batch.String), Nullable: true},
}

const (
	deadRowBytes = 200     // of a row beside its texts
	maxDeadBytes = 8 << 20 // waiting for a checkpoint
)

// deadLetters gathers refused rows per epoch and writes them to a sink under the same barriers.
// Rows of epoch n are written when epoch n is prepared: what a crash drops is read again.
type deadLetters struct {
	run    string
	schema *batch.Schema
	limit  *plan.DeadLimit // nil: none

	mu     sync.Mutex
	epochs map[uint64]*deadEpoch
	before deadCounts    // of epochs that were taken
	first  []DeadExample // rows nobody asked for, the first few
	last   string        // why the last row was refused
}

const maxDeadExamples = 3

// DeadExample is one of the first rows that could not be used though no node asked for dead letters.
type DeadExample struct {
	Node   string `json:"node"`
	Place  string `json:"place,omitempty"` // file:line, or what the source calls a place
	Reason string `json:"reason"`
}

// deadEpoch are the dead rows of one epoch.
type deadEpoch struct {
	rows  []deadRow
	bytes int
	deadCounts
}

type deadCounts struct {
	asked int64 // rows some node asked to dead-letter
	other int64 // rows nobody asked for: the run is partial
}

func newDeadLetters(run string, e plan.Execution) *deadLetters {
	return &deadLetters{
		run: run, schema: batch.NewSchema(deadFields...), epochs: map[uint64]*deadEpoch{},
		limit: e.MaxDead,
	}
}

// add files rows under an epoch, following each node's reaction. It fails when a node asks to
// fail, or when there are more than the workflow allows; rowsIn is what sources delivered so far.
func (d *deadLetters) add(epoch uint64, rows []deadRow, rowsIn int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.epochs[epoch]
	if e == nil {
		e = &deadEpoch{}
		d.epochs[epoch] = e
	}
	for _, r := range rows {
		reaction := r.node.OnError
		if r.asked {
			reaction = plan.DeadLetter
		}
		switch reaction {
		case plan.Fail:
			return nodeError(r.node, &connector.Error{
				Op: r.at(), Class: connector.Data, Err: fmt.Errorf("%s", r.why()),
				Hint: "set on_error: dead_letter on the node to go on without such rows",
			})
		case plan.Drop:
			continue
		case plan.DeadLetter:
			e.asked++
		default:
			e.other++
			if len(d.first) < maxDeadExamples {
				d.first = append(d.first, DeadExample{r.node.ID, r.Place.String(), r.why()})
			}
		}
		e.rows = append(e.rows, r)
		e.bytes += len(r.row) + len(r.Record) + len(r.Reason) + deadRowBytes
	}
	d.last = rows[len(rows)-1].why()
	const enough = 1000 // a share means nothing on the first rows
	if d.limit == nil || d.limit.Share > 0 && rowsIn < enough {
		return nil
	}
	return d.exceeded(rowsIn)
}

// check holds a run whose sources have ended to its limit.
func (d *deadLetters) check(rowsIn int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.limit == nil {
		return nil
	}
	return d.exceeded(rowsIn)
}

// exceeded returns an error when there are more dead letters than the limit. Needs mu.
func (d *deadLetters) exceeded(rowsIn int64) error {
	asked, other := d.sum()
	total := asked + other
	switch share := d.limit.Share; {
	case share > 0 && float64(total) > share*float64(rowsIn):
		return tooManyDead("%d of %d rows, max_dead_letters is %g%%%s",
			total, rowsIn, share*100, d.lastReason())
	case share == 0 && total > d.limit.Count:
		return tooManyDead("%d rows, max_dead_letters is %d%s", total, d.limit.Count, d.lastReason())
	}
	return nil
}

// lastReason is empty where only a process before this one refused rows.
func (d *deadLetters) lastReason() string {
	if d.last == "" {
		return ""
	}
	return "; the last: " + d.last
}

// tooManyDead is no failure that a restart could heal: the same rows would come again.
func tooManyDead(format string, args ...any) error {
	return &connector.Error{
		Op: "dead letters", Class: connector.Data, Err: fmt.Errorf(format, args...),
	}
}

func (r deadRow) at() string {
	if place := r.Place.String(); place != "" {
		return "row at " + place
	}
	return "row"
}

func (r deadRow) why() string {
	if r.column != "" {
		return "column " + r.column + ": " + r.Reason
	}
	return r.Reason
}

// take returns and forgets the rows of all epochs up to and including n, as one batch; nil when
// there are none.
func (d *deadLetters) take(n uint64) (*batch.Batch, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	b := batch.NewBuilder(d.schema)
	now := time.Now()
	for _, epoch := range slices.Sorted(maps.Keys(d.epochs)) {
		if epoch > n {
			break
		}
		for _, r := range d.epochs[epoch].rows {
			d.append(b, r, now)
		}
		d.before.asked += d.epochs[epoch].asked
		d.before.other += d.epochs[epoch].other
		delete(d.epochs, epoch)
	}
	if b.Len() == 0 {
		return nil, nil
	}
	return b.Batch()
}

func (d *deadLetters) append(b *batch.Builder, r deadRow, now time.Time) {
	b.Column(0).Time(now)
	b.Column(1).Text(d.run)
	b.Column(2).Text(r.node.ID)
	b.Column(3).Text(r.Reason)
	textOrNull(b.Column(4), r.column)
	textOrNull(b.Column(5), r.Place.Name)
	intOrNull(b.Column(6), r.Place.Line)
	intOrNull(b.Column(7), r.Place.Record)
	textOrNull(b.Column(8), string(r.row))
	textOrNull(b.Column(9), r.Record)
}

func textOrNull(a *batch.Appender, text string) {
	if text == "" {
		a.Null()
		return
	}
	a.Text(text)
}

func intOrNull(a *batch.Appender, v int64) {
	if v == 0 {
		a.Null()
		return
	}
	a.Int(v)
}

// reset forgets rows that no epoch covered: they are read again. counts are those of the manifest.
func (d *deadLetters) reset(asked, other int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.epochs)
	d.first = nil
	d.before = deadCounts{asked, other}
}

// large reports whether so much waits for a checkpoint that one should come early.
func (d *deadLetters) large() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	bytes := 0
	for _, e := range d.epochs {
		bytes += e.bytes
	}
	return bytes > maxDeadBytes
}

// examples returns the first rows nobody asked for.
func (d *deadLetters) examples() []DeadExample {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.first)
}

func (d *deadLetters) counts() (asked, other int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.sum()
}

func (d *deadLetters) sum() (asked, other int64) {
	asked, other = d.before.asked, d.before.other
	for _, e := range d.epochs {
		asked, other = asked+e.asked, other+e.other
	}
	return asked, other
}

// covered returns the counts up to and including an epoch.
func (d *deadLetters) covered(n uint64) (asked, other int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	asked, other = d.before.asked, d.before.other
	for epoch, e := range d.epochs {
		if epoch <= n {
			asked, other = asked+e.asked, other+e.other
		}
	}
	return asked, other
}

// deadSink is the sink of dead letters, driven by the workflow instead of a task.
type deadSink struct {
	sink    connector.Sink
	tx      connector.Transactional
	follows *follower // it could decide
}

// prepare writes an epoch's rows and returns the sink's answer.
func (s *deadSink) prepare(
	ctx context.Context, d *deadLetters, epoch connector.Epoch,
) (prepared, error) {
	rows, err := d.take(epoch.Number)
	if err == nil && rows != nil {
		err = s.write(ctx, connector.Chunk{Batch: rows})
	}
	if err != nil {
		return prepared{}, err
	}
	if s.tx != nil {
		answer, err := s.tx.Prepare(ctx, epoch)
		if s.follows != nil && err == nil {
			return s.follows.seal(answer), nil
		}
		return prepared{Prepared: answer}, err
	}
	if f, ok := s.sink.(connector.Flusher); ok {
		return prepared{}, f.Flush(ctx)
	}
	return prepared{}, nil
}

func (s *deadSink) write(ctx context.Context, chunk connector.Chunk) error {
	if encoder, ok := s.sink.(connector.Encoder); ok {
		var err error
		if chunk, err = encoder.NewEncode()(chunk); err != nil {
			return fmt.Errorf("encode dead letters: %w", err)
		}
	}
	err := s.sink.Write(ctx, chunk)
	if s.follows != nil {
		err = s.follows.keep(chunk, err)
	}
	if err != nil {
		return fmt.Errorf("write dead letters: %w", err)
	}
	return nil
}

// publish makes a committed epoch's dead letters visible.
func (s *deadSink) publish(ctx context.Context, epoch connector.Epoch, token []byte) error {
	switch {
	case s.follows != nil:
		return s.follows.commit(ctx, epoch, token)
	case s.tx != nil:
		return s.tx.Commit(ctx, epoch, token)
	}
	return nil
}

func (s *deadSink) close() error {
	if s.follows != nil {
		s.follows.log.close()
	}
	return s.sink.Close()
}
