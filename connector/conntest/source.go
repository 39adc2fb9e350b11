package conntest

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
)

// SourceCase is one configured source and what it must deliver.
type SourceCase struct {
	Connector connector.Connector

	// Config returns the config of a source that ends: a pointer to the connector's config struct, or a map as in
	// a document. It is called once a check; every source made of one config reads the same rows.
	Config func(t testing.TB) any

	// Want are the rows, each value as batch.Column.Value returns it or as text that reads as the
	// column's type. nil: what the first reading returns, of which there must be some.
	Want [][]any

	Rejected  int  // records that are no rows
	Endless   bool // there is no io.EOF: reading stops after the rows of Want, which must be given
	Unordered bool // rows may come in another order each time

	// Blocking returns the config of a source whose Read blocks once its first chunks are read, to
	// test cancel and Close; nil leaves that out.
	Blocking func(t testing.TB) any

	Limits       connector.Limits // of small batches; default 7 rows, 4 KiB
	MaxPositions int              // positions to resume at, evenly chosen; default 40

	// AllocationsPerRow bounds the allocations of reading with usual batches; 0 leaves it out.
	AllocationsPerRow float64
}

// Source runs the conformance suite on a source. A source that is not resumable or not bounded is
// spared the checks that need it.
func Source(t *testing.T, c SourceCase) {
	t.Helper()
	perform(t, c.checks())
}

func (c SourceCase) checks() []check {
	can := c.Connector.Source.Capabilities
	unless := func(ok bool, why string) string {
		if ok {
			return ""
		}
		return why
	}
	resumable := unless(can.Resumable, "not resumable")
	blocking := unless(c.Blocking != nil, "no Blocking config given")
	type run = func(*sourceCheck, testing.TB)
	with := func(name, skip string, f run) check {
		return check{name, skip, func(t testing.TB) { c.run(t, c.Config, f) }}
	}
	return []check{
		with("describe", "", (*sourceCheck).describe),
		with("read all", "", (*sourceCheck).readAll),
		with("budget", "", (*sourceCheck).budget),
		with("decode in parallel", "", (*sourceCheck).decodeParallel),
		with("recycling", "", (*sourceCheck).recycling),
		with("positions", resumable, (*sourceCheck).positions),
		with("resume", resumable, (*sourceCheck).resume),
		with("foreign position", resumable, (*sourceCheck).foreignPosition),
		with("ack", resumable, (*sourceCheck).ack),
		with("partitions", unless(can.ParallelReads, "no parallel reads"), (*sourceCheck).partitions),
		with("filter", unless(can.Filters, "does not filter"), (*sourceCheck).filter),
		with("cancelled", "", (*sourceCheck).cancelled),
		with("close early", "", (*sourceCheck).closeEarly),
		{"cancel while blocked", blocking, func(t testing.TB) {
			c.run(t, c.Blocking, (*sourceCheck).cancelBlocked)
		}},
		{"close while blocked", blocking, func(t testing.TB) {
			c.run(t, c.Blocking, (*sourceCheck).closeBlocked)
		}},
		{"ack while blocked", blocking, func(t testing.TB) {
			c.run(t, c.Blocking, (*sourceCheck).ackBlocked)
		}},
		with("allocations", unless(c.AllocationsPerRow > 0, "no bound given"),
			(*sourceCheck).allocations),
	}
}

// sourceCheck is one check of a source with its config.
type sourceCheck struct {
	SourceCase
	config  any
	offered func(*batch.Schema) []connector.Predicate // to every source opened; nil: none
	applied int                                       // predicates that the last one applies
}

func (c SourceCase) run(
	t testing.TB, config func(testing.TB) any, f func(*sourceCheck, testing.TB),
) {
	t.Helper()
	if c.Limits.Rows == 0 {
		c.Limits = connector.Limits{Rows: 7, Bytes: 4 << 10}
	}
	if c.MaxPositions == 0 {
		c.MaxPositions = 40
	}
	s := &sourceCheck{SourceCase: c, config: config(t)}
	defer leaks(t)()
	f(s, t)
}

// usual are the limits of an engine at work.
func usual() connector.Limits { return connector.Limits{Rows: 16384, Bytes: 1 << 20} }

// stream is an opened source, driven as the engine does.
type stream struct {
	t      testing.TB
	source connector.Source
	decode connector.DecodeFunc
	budget *connector.Budget
	end    connector.Position // given with io.EOF
	left   int                // rows of an endless source still to read; -1: read to the end
}

func (s *sourceCheck) make(t testing.TB, limits connector.Limits) (connector.Source, *connector.Budget) {
	t.Helper()
	budget := connector.NewBudget(limits)
	spec := s.Connector.Source
	source, err := spec.New(environment(t, budget), settings(t, spec.Config, s.config))
	if err != nil {
		t.Fatalf("new source: %v", err)
	}
	return source, budget
}

func (s *sourceCheck) open(
	t testing.TB, limits connector.Limits, p connector.Partition, at connector.Position,
) *stream {
	t.Helper()
	source, budget := s.make(t, limits)
	s.offer(t, source)
	if err := source.Open(t.Context(), p, at); err != nil {
		_ = source.Close()
		t.Fatalf("open at %q: %v", at, err)
	}
	r := &stream{t: t, source: source, budget: budget, left: -1}
	if s.Endless {
		r.left = len(s.Want)
	}
	if d, ok := source.(connector.Decoder); ok {
		r.decode = d.NewDecode()
	}
	return r
}

func (r *stream) close() {
	r.t.Helper()
	if err := r.source.Close(); err != nil {
		r.t.Errorf("close: %v", err)
	}
}

// next returns the next decoded chunk; ok false after the last.
func (r *stream) next() (chunk connector.Chunk, ok bool) {
	r.t.Helper()
	if r.left == 0 {
		return chunk, false
	}
	var err error
	within(r.t, "Read", func() { chunk, err = r.source.Read(r.t.Context()) })
	if errors.Is(err, io.EOF) {
		r.end = chunk.Position
		return chunk, false
	}
	if err == nil {
		chunk, err = r.decoded(chunk, r.decode)
	}
	if err != nil {
		_ = r.source.Close()
		r.t.Fatalf("read: %v", err)
	}
	if r.left > 0 && chunk.Batch != nil {
		if chunk.Batch.Len() > r.left {
			chunk.Batch = chunk.Batch.Slice(0, r.left)
		}
		r.left -= chunk.Batch.Len()
	}
	return chunk, true
}

func (r *stream) decoded(
	chunk connector.Chunk, decode connector.DecodeFunc,
) (connector.Chunk, error) {
	if chunk.Batch != nil || decode == nil {
		return chunk, nil
	}
	position := chunk.Position
	chunk, err := decode(chunk)
	if err == nil && !slices.Equal(chunk.Position, position) {
		r.t.Errorf("decode changed the position from %q to %q", position, chunk.Position)
	}
	return chunk, err
}

// reading is what was read of a stream.
type reading struct {
	rows     [][]string
	ends     []int // rows read with each chunk and those before
	at       []connector.Position
	copies   []connector.Position // of at, made when it was returned
	rejected []connector.Rejected
	end      connector.Position
}

// rest reads to the end and closes.
func (r *stream) rest() reading {
	r.t.Helper()
	var all reading
	for {
		chunk, ok := r.next()
		if !ok {
			all.end = r.end
			r.close()
			return all
		}
		all.add(r.t, chunk)
		release(chunk)
	}
}

func (all *reading) add(t testing.TB, chunk connector.Chunk) {
	t.Helper()
	if chunk.Batch != nil {
		rows, err := cells(chunk.Batch)
		if err != nil {
			t.Errorf("chunk %d: %v", len(all.at), err)
		}
		all.rows = append(all.rows, rows...)
	}
	all.rejected = append(all.rejected, chunk.Rejected...)
	all.ends = append(all.ends, len(all.rows))
	all.at = append(all.at, chunk.Position)
	all.copies = append(all.copies, slices.Clone(chunk.Position))
}

func release(chunk connector.Chunk) {
	if chunk.Release != nil {
		chunk.Release()
	}
}

// all reads everything from the start.
func (s *sourceCheck) all(t testing.TB, limits connector.Limits) reading {
	t.Helper()
	r := s.open(t, limits, connector.Partition{}, nil)
	return r.rest()
}

// want returns the expected rows: those of the case, or of another reading.
func (s *sourceCheck) want(t testing.TB) [][]string {
	t.Helper()
	if s.Want == nil {
		return s.all(t, usual()).rows
	}
	r := s.open(t, usual(), connector.Partition{}, nil)
	defer r.close()
	for {
		chunk, ok := r.next()
		if !ok {
			return boxedCells(s.Want, nil)
		}
		defer release(chunk)
		if chunk.Batch != nil {
			return boxedCells(s.Want, chunk.Batch.Schema())
		}
	}
}

// blocked reads until a Read does not return, and leaves that Read running; wait waits for it.
func (r *stream) blocked(ctx context.Context) (last connector.Position, wait func() error) {
	r.t.Helper()
	type result struct {
		chunk connector.Chunk
		err   error
	}
	for range 10_000 {
		done := make(chan result, 1)
		go func() {
			chunk, err := r.source.Read(ctx)
			done <- result{chunk, err}
		}()
		select {
		case got := <-done:
			if got.err != nil {
				r.t.Fatalf("read: %v; the Blocking config must make Read block", got.err)
			}
			last = got.chunk.Position
			release(got.chunk)
		case <-time.After(150 * time.Millisecond):
			return last, func() error {
				timer := time.NewTimer(soon(r.t))
				defer timer.Stop()
				select {
				case got := <-done:
					return got.err
				case <-timer.C:
					r.t.Fatalf("the blocked Read does not return within %s", soon(r.t))
					return nil
				}
			}
		}
	}
	r.t.Fatal("Read never blocks with the Blocking config")
	return nil, nil
}
