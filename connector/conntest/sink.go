package conntest

import (
	"errors"
	"slices"
	"testing"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
)

// runID is the run that sinks work for.
const runID = "c0ffee00c0de"

// SinkCase is one configured sink and a way to see what became visible.
type SinkCase struct {
	Connector connector.Connector

	// Target makes a fresh target (folder, table, topic). A check may ask for several.
	Target func(t testing.TB) Target

	// Types are the columns to write beside the int64 column id; nil: AllTypes without Without.
	Types   []batch.Type
	Without []batch.Kind // kinds that the system has no form for; documented limits

	Unordered bool // rows may be read back in another order

	// Keyed makes a target whose config names id as key; needed where the capability Upsert is
	// stated.
	Keyed func(t testing.TB) Target

	// Refused returns a batch with rows that the sink must refuse one by one, and their physical
	// rows; nil leaves that out.
	Refused func(t testing.TB) (b *batch.Batch, rows []int)

	// FixedColumns says that this target keeps its first columns, though others of the connector
	// follow a changed schema.
	FixedColumns bool

	// Lossy sinks show no rows (ReadBack nil): only errors, memory and life cycle are checked.
	Lossy bool

	// AllocationsPerRow bounds the allocations of encoding and writing; 0 leaves it out.
	AllocationsPerRow float64
	AllocationTypes   []batch.Type // columns of that check; nil: those of Types
}

// Target is one place to write to.
type Target struct {
	Config any // pointer to the connector's config struct, or a map as in a document
	// ReadBack returns the visible rows, columns in the order written; none when the target does
	// not exist. Values are boxed as by batch.Column.Value, or text that reads as the column's type.
	ReadBack func(t testing.TB) [][]any
}

// Sink runs the conformance suite on a sink.
func Sink(t *testing.T, c SinkCase) {
	t.Helper()
	perform(t, c.checks())
}

func (c SinkCase) checks() []check {
	can := c.Connector.Sink.Capabilities
	unless := func(ok bool, why string) string {
		if ok {
			return ""
		}
		return why
	}
	type run = func(*sinkCheck, testing.TB)
	with := func(name, skip string, f run) check {
		return check{name, skip, func(t testing.TB) { c.run(t, c.Target, 1, f) }}
	}
	visible := unless(!c.Lossy, "its rows cannot be seen")
	transactional := unless(can.Transactions, "not transactional")
	lossless := unless(can.Transactions && !c.Lossy, "not transactional")
	return []check{
		with("describe", "", (*sinkCheck).describe),
		with("write", "", (*sinkCheck).write),
		with("no rows", "", (*sinkCheck).noRows),
		with("selection and lazy columns", visible, (*sinkCheck).selection),
		with("memory", "", (*sinkCheck).memory),
		with("encode in parallel", visible, (*sinkCheck).encodeParallel),
		with("merge payloads", visible, (*sinkCheck).merge),
		with("cancelled", "", (*sinkCheck).cancelled),
		with("close early", "", (*sinkCheck).closeEarly),
		with("invisible before commit", unless(can.Staged && !c.Lossy, "not staged"),
			(*sinkCheck).invisible),
		{"crash at every step", lossless, func(t testing.TB) {
			c.run(t, c.Target, len(crashPoints()), (*sinkCheck).crashes)
		}},
		with("repeated commit", lossless, (*sinkCheck).repeatedCommit),
		with("tokens", transactional, (*sinkCheck).tokens),
		with("decide", unless(can.Decides, "does not decide"), (*sinkCheck).decide),
		with("zombie", unless(can.Decides, "does not decide"), (*sinkCheck).zombie),
		{"upsert", unless(can.Upsert, "no upsert"), func(t testing.TB) {
			if c.Keyed == nil {
				t.Fatal("the capability Upsert is stated and the case has no Keyed target")
			}
			c.run(t, c.Keyed, 1, (*sinkCheck).upsert)
		}},
		with("refused rows", unless(c.Refused != nil, "no Refused rows given"), (*sinkCheck).refused),
		with("schema evolution", unless(can.SchemaEvolution && !c.FixedColumns, "no schema evolution"),
			(*sinkCheck).evolve),
		with("parallel writers", unless(can.Parallel && !can.Decides && !c.Lossy, "one writer"),
			(*sinkCheck).parallel),
		{"allocations", unless(c.AllocationsPerRow > 0, "no bound given"), func(t testing.TB) {
			fast := c
			if c.AllocationTypes != nil {
				fast.Types = c.AllocationTypes
			}
			fast.run(t, c.Target, 1, (*sinkCheck).allocations)
		}},
	}
}

// sinkCheck is one check of a sink with its target.
type sinkCheck struct {
	SinkCase
	target  Target
	targets []Target // fresh ones, target being the first
	schema  *batch.Schema
	fence   uint64
}

func (c SinkCase) run(
	t testing.TB, target func(testing.TB) Target, targets int, f func(*sinkCheck, testing.TB),
) {
	t.Helper()
	types := c.Types
	if types == nil {
		types = slices.DeleteFunc(AllTypes(), func(typ batch.Type) bool {
			return slices.Contains(c.Without, typ.Kind)
		})
	}
	s := &sinkCheck{SinkCase: c, schema: Schema(types...)}
	// Targets come first, so that what they start is not counted as a leak of the sink.
	for range targets {
		s.targets = append(s.targets, target(t))
	}
	s.target = s.targets[0]
	defer leaks(t)()
	f(s, t)
}

// writer is an opened sink, driven as the engine does.
type writer struct {
	t       testing.TB
	spec    *connector.SinkSpec
	sink    connector.Sink
	tx      connector.Transactional // nil: not transactional
	decider connector.Decider
	encode  connector.EncodeFunc
	key     []string
}

func (s *sinkCheck) make(t testing.TB) *writer {
	t.Helper()
	spec := s.Connector.Sink
	sink, err := spec.New(environment(t, nil), settings(t, spec.Config, s.target.Config))
	if err != nil {
		t.Fatalf("new sink: %v", err)
	}
	w := &writer{t: t, spec: spec, sink: sink}
	w.tx, _ = sink.(connector.Transactional)
	w.decider, _ = sink.(connector.Decider)
	if e, ok := sink.(connector.Encoder); ok {
		w.encode = e.NewEncode()
	}
	if u, ok := sink.(connector.Upserter); ok {
		w.key = u.Key()
	}
	return w
}

// task is the one of a new process: its fence is above all before.
func (s *sinkCheck) task(index, count int) connector.Task {
	s.fence++
	return connector.Task{
		Workflow: "conntest", Run: runID, Node: "node", Index: index, Count: count, Fence: s.fence,
	}
}

// open returns a sink opened without recovery.
func (s *sinkCheck) open(t testing.TB) *writer {
	t.Helper()
	w := s.make(t)
	if err := w.sink.Open(t.Context(), s.task(0, 1)); err != nil {
		_ = w.sink.Close()
		t.Fatalf("open: %v", err)
	}
	return w
}

// restore returns a sink opened and brought to a committed epoch; number 0 is the start.
func (s *sinkCheck) restore(t testing.TB, epoch connector.Epoch, token []byte) *writer {
	t.Helper()
	w := s.open(t)
	w.recover(epoch, token)
	return w
}

func (w *writer) recover(epoch connector.Epoch, token []byte) {
	w.t.Helper()
	if w.tx == nil {
		return
	}
	if err := w.tx.Recover(w.t.Context(), epoch, token); err != nil {
		_ = w.sink.Close()
		w.t.Fatalf("recover epoch %d: %v", epoch.Number, err)
	}
}

func (w *writer) close() {
	w.t.Helper()
	if err := w.sink.Close(); err != nil {
		w.t.Errorf("close: %v", err)
	}
}

// chunk prepares a batch as the engine does before Write.
func (w *writer) chunk(b *batch.Batch, encode connector.EncodeFunc) (connector.Chunk, error) {
	chunk := connector.Chunk{Batch: b}
	if encode != nil {
		return encode(chunk)
	}
	if !w.spec.Capabilities.Selection {
		dense, bad := b.Dense()
		if len(bad) > 0 {
			return chunk, &connector.PartialError{Rows: bad}
		}
		chunk.Batch = dense
	}
	if len(w.key) > 0 {
		last, err := batch.LastPerKey(chunk.Batch, w.key)
		if err != nil {
			return chunk, err
		}
		chunk.Batch = last
	}
	return chunk, nil
}

// write writes a batch, or ends the check.
func (w *writer) write(b *batch.Batch) {
	w.t.Helper()
	if err := w.try(b); err != nil {
		_ = w.sink.Close()
		w.t.Fatalf("write: %v", err)
	}
}

func (w *writer) try(b *batch.Batch) error {
	w.t.Helper()
	largest := w.spec.Capabilities.MaxRows
	for largest > 0 && b.Len() > largest {
		if err := w.try(b.Slice(0, largest)); err != nil {
			return err
		}
		b = b.Slice(largest, b.Len())
	}
	chunk, err := w.chunk(b, w.encode)
	if partial, ok := errors.AsType[*connector.PartialError](err); ok {
		chunk.Batch = b.Without(partial.Rows)
	} else if err != nil {
		return err
	}
	if chunk.Batch.Len() > 0 {
		if writeErr := w.sink.Write(w.t.Context(), chunk); writeErr != nil {
			return writeErr
		}
	}
	return err
}

// prepare ends an epoch and makes it durable.
func (w *writer) prepare(epoch connector.Epoch) []byte {
	w.t.Helper()
	if w.tx == nil {
		if f, ok := w.sink.(connector.Flusher); ok {
			if err := f.Flush(w.t.Context()); err != nil {
				w.t.Fatalf("flush: %v", err)
			}
		}
		return nil
	}
	prepared, err := w.tx.Prepare(w.t.Context(), epoch)
	if err == nil && prepared.Sync != nil {
		err = prepared.Sync(w.t.Context())
	}
	if err != nil {
		_ = w.sink.Close()
		w.t.Fatalf("prepare epoch %d: %v", epoch.Number, err)
	}
	return slices.Clone(prepared.Token)
}

func (w *writer) decide(epoch connector.Epoch) {
	w.t.Helper()
	if w.decider == nil {
		return
	}
	if err := w.decider.Decide(w.t.Context(), epoch); err != nil {
		_ = w.sink.Close()
		w.t.Fatalf("decide epoch %d: %v", epoch.Number, err)
	}
}

func (w *writer) publish(epoch connector.Epoch, token []byte) {
	w.t.Helper()
	if w.tx == nil {
		return
	}
	if err := w.tx.Commit(w.t.Context(), epoch, token); err != nil {
		_ = w.sink.Close()
		w.t.Fatalf("commit epoch %d: %v", epoch.Number, err)
	}
}

// commit takes an epoch through all steps and returns its token.
func (w *writer) commit(epoch connector.Epoch) []byte {
	w.t.Helper()
	token := w.prepare(epoch)
	w.decide(epoch)
	w.publish(epoch, token)
	return token
}

// rows is Rows with the check's schema.
func (s *sinkCheck) rows(from, to, version int) *batch.Batch {
	return Rows(s.schema, from, to, version)
}

// expect compares what is visible with rows 0..n-1.
func (s *sinkCheck) expect(t testing.TB, what string, n int) {
	t.Helper()
	s.expectRows(t, what, s.rows(0, n, 0))
}

func (s *sinkCheck) expectRows(t testing.TB, what string, parts ...*batch.Batch) {
	t.Helper()
	if s.Lossy {
		return
	}
	var want [][]string
	for _, b := range parts {
		rows, err := cells(b)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, rows...)
	}
	got := boxedCells(s.target.ReadBack(t), s.schema)
	compare(t, what, got, want, !s.Unordered)
}
