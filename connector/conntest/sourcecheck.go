package conntest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
)

// describe: names, docs and capabilities are what the source is.
func (s *sourceCheck) describe(t testing.TB) {
	spec := s.Connector.Source
	describe(t, s.Connector, spec.Config)
	source, _ := s.make(t, usual())
	if _, ok := source.(connector.Partitioner); ok != spec.Capabilities.ParallelReads {
		t.Errorf("ParallelReads is %t, Partitioner implemented: %t", spec.Capabilities.ParallelReads, ok)
	}
	if _, ok := source.(connector.Filterer); ok != spec.Capabilities.Filters {
		t.Errorf("Filters is %t, Filterer implemented: %t", spec.Capabilities.Filters, ok)
	}
	var discovered *batch.Schema
	if d, ok := source.(connector.Discoverer); ok {
		var err error
		if discovered, err = d.Discover(t.Context()); err != nil {
			t.Errorf("discover: %v", err)
		}
	}
	if c, ok := source.(connector.Checker); ok {
		if err := c.Check(t.Context()); err != nil {
			t.Errorf("check: %v", err)
		}
	}
	if err := source.Close(); err != nil {
		t.Errorf("close without open: %v", err)
	}
	r := s.open(t, s.Limits, connector.Partition{}, nil)
	defer r.close()
	chunk, ok := r.next()
	if !ok || chunk.Batch == nil {
		return
	}
	defer release(chunk)
	if discovered != nil && discovered.String() != chunk.Batch.Schema().String() {
		t.Errorf("discovered (%s), delivered (%s)", discovered, chunk.Batch.Schema())
	}
	if chunk.Batch.Operations() != nil && !spec.Capabilities.Operations {
		t.Error("delivers row operations, and its capabilities say it does not")
	}
}

// readAll: the rows are those wanted, with usual and with small batches; rejects carry a place.
func (s *sourceCheck) readAll(t testing.TB) {
	want := s.want(t)
	if len(want) == 0 && s.Want == nil {
		t.Error("the case reads no rows, so nothing is checked")
	}
	for _, limits := range []connector.Limits{usual(), s.Limits} {
		got := s.all(t, limits)
		compare(t, fmt.Sprintf("batches of %d rows", limits.Rows), got.rows, want, !s.Unordered)
		if len(got.rejected) != s.Rejected {
			t.Errorf("batches of %d rows: %d rejected records, want %d",
				limits.Rows, len(got.rejected), s.Rejected)
		}
		for _, r := range got.rejected {
			if r.Reason == "" || r.Place.Name == "" || r.Place.Line == 0 && r.Place.Record == 0 {
				t.Errorf("rejected record %q carries reason %q and place %+v", r.Record, r.Reason, r.Place)
			}
			if len(r.Record) > 64<<10 {
				t.Errorf("rejected record has %d bytes, at most 64 KiB are kept", len(r.Record))
			}
		}
	}
}

// budget: batches are within the limits in force, also when those change while it reads.
func (s *sourceCheck) budget(t testing.TB) {
	r := s.open(t, s.Limits, connector.Partition{}, nil)
	defer r.close()
	limits, rows := s.Limits, 0
	for n := 0; ; n++ {
		chunk, ok := r.next()
		if !ok {
			break
		}
		got := 0
		if chunk.Batch != nil {
			got = chunk.Batch.Len()
		}
		rows += got
		release(chunk)
		if got > limits.Rows {
			t.Fatalf("chunk %d has %d rows, the budget allows %d", n, got, limits.Rows)
		}
		// The row that reaches the limit may belong to the batch.
		if mean := chunk.Bytes / max(got, 1); got > 1 && chunk.Bytes > limits.Bytes+2*mean {
			t.Fatalf("chunk %d has %d bytes in %d rows, the budget allows %d",
				n, chunk.Bytes, got, limits.Bytes)
		}
		// One chunk may have been begun under the limits before.
		if n%3 == 2 {
			limits.Rows = max(limits.Rows, s.Limits.Rows+n%5)
			r.budget.Set(limits)
		}
	}
	if rows <= s.Limits.Rows && !s.Endless {
		t.Errorf("the case has %d rows, give it more than %d to fill several batches",
			rows, s.Limits.Rows)
	}
}

// decodeParallel: DecodeFuncs of several workers make the same rows as one.
func (s *sourceCheck) decodeParallel(t testing.TB) {
	r := s.open(t, s.Limits, connector.Partition{}, nil)
	d, ok := r.source.(connector.Decoder)
	if !ok {
		r.close()
		return
	}
	want := s.want(t)
	const workers, most = 4, 64
	r.decode = nil // chunks stay undecoded
	var chunks []connector.Chunk
	for len(chunks) < most {
		chunk, ok := r.next()
		if !ok {
			break
		}
		chunks = append(chunks, chunk)
	}
	var wait sync.WaitGroup
	errs := make([]error, len(chunks))
	for worker := range workers {
		decode := d.NewDecode()
		wait.Go(func() {
			for i := worker; i < len(chunks); i += workers {
				if chunks[i].Batch == nil {
					chunks[i], errs[i] = decode(chunks[i])
				}
			}
		})
	}
	wait.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Errorf("decode: %v", err)
	}
	var got reading
	for _, chunk := range chunks {
		got.add(t, chunk)
		release(chunk)
	}
	r.close()
	if !s.Unordered || len(got.rows) == len(want) {
		compare(t, "rows of 4 workers", got.rows, want[:min(len(want), len(got.rows))], !s.Unordered)
	}
}

// recycling: a chunk's memory is untouched until its Release, however far Read goes ahead, and rows
// that were kept survive it.
func (s *sourceCheck) recycling(t testing.TB) {
	r := s.open(t, s.Limits, connector.Partition{}, nil)
	defer r.close()
	type held struct {
		chunk  connector.Chunk
		digest uint64
	}
	const ahead, most = 3, 60
	var open []held
	var keep []*batch.Batch
	var kept []uint64
	drop := func() {
		first := open[0]
		open = open[1:]
		if digest(first.chunk.Batch) != first.digest {
			t.Errorf("the memory of chunk %d changed before its Release", len(keep)-len(open)-1)
		}
		release(first.chunk)
	}
	for len(keep) < most {
		chunk, ok := r.next()
		if !ok {
			break
		}
		if chunk.Batch == nil {
			release(chunk)
			continue
		}
		open = append(open, held{chunk, digest(chunk.Batch)})
		copied := chunk.Batch.Keep()
		keep, kept = append(keep, copied), append(kept, digest(copied))
		if len(open) > ahead {
			drop()
		}
	}
	for len(open) > 0 {
		drop()
	}
	for i, b := range keep {
		if digest(b) != kept[i] {
			t.Errorf("rows kept of chunk %d changed after its Release", i)
		}
	}
}

// positions: every chunk has one, they are bytes of their own, and Decode leaves them alone.
func (s *sourceCheck) positions(t testing.TB) {
	got := s.all(t, s.Limits)
	for i, p := range got.at {
		if len(p) == 0 {
			t.Fatalf("chunk %d has no position; nil is the start", i)
		}
		if !slices.Equal(p, got.copies[i]) {
			t.Fatalf("position %d changed from %q to %q while reading on", i, got.copies[i], p)
		}
	}
}

// resume: from every position the rest follows, and what precedes it was read.
func (s *sourceCheck) resume(t testing.TB) {
	first := s.all(t, s.Limits)
	if s.Unordered {
		first.rows = s.want(t)
	}
	n := len(first.at)
	for k := range min(n, s.MaxPositions) {
		i := k
		if n > s.MaxPositions {
			i = k * (n - 1) / max(s.MaxPositions-1, 1)
		}
		limits := s.Limits
		if k%2 == 1 {
			limits = usual()
		}
		done := first.ends[i]
		r := s.open(t, limits, connector.Partition{}, first.copies[i])
		if s.Endless {
			r.left = len(s.Want) - done
		}
		rest := r.rest()
		if s.Unordered {
			if got, want := done+len(rest.rows), len(first.rows); got != want {
				t.Fatalf("resumed at position %d: %d rows in all, want %d", i, got, want)
			}
			continue
		}
		if diff := difference(rest.rows, first.rows[done:], true); diff != "" {
			t.Fatalf("resumed at position %d (%q) after %d rows: %s", i, first.copies[i], done, diff)
		}
	}
	s.resumeEnd(t, first)
}

// resumeEnd: the end is a position behind which nothing follows.
func (s *sourceCheck) resumeEnd(t testing.TB, first reading) {
	if s.Endless || len(first.at) == 0 {
		return
	}
	ends := []connector.Position{first.copies[len(first.copies)-1]}
	if first.end != nil {
		ends = append(ends, slices.Clone(first.end))
	}
	for _, end := range ends {
		r := s.open(t, s.Limits, connector.Partition{}, end)
		if rest := r.rest(); len(rest.rows) > 0 {
			t.Errorf("resumed at the end (%q): %d rows follow, first %s", end, len(rest.rows),
				show(rest.rows[0]))
		}
	}
}

// foreignPosition: bytes of another version are refused, not read as if they were a position.
func (s *sourceCheck) foreignPosition(t testing.TB) {
	all := s.all(t, s.Limits)
	if len(all.copies) == 0 {
		t.Fatal("the case reads no rows")
	}
	foreign := slices.Clone(all.copies[len(all.copies)/2])
	if len(foreign) == 0 {
		t.Fatal("there is no position")
	}
	foreign[0] ^= 0xff
	for _, p := range []connector.Position{foreign, {0xfe}} {
		source, _ := s.make(t, s.Limits)
		err := source.Open(t.Context(), connector.Partition{}, p)
		if err == nil {
			var chunk connector.Chunk
			if chunk, err = source.Read(t.Context()); err == nil {
				release(chunk)
			}
		}
		if err == nil || errors.Is(err, io.EOF) {
			t.Errorf("position %q of an unknown version is not refused (%v)", p, err)
		}
		_ = source.Close() // an Open that failed may have left nothing to close
	}
}

// ack: Ack of the newest position and ones that skip some change nothing of what follows, and
// resuming at an acknowledged position still works.
func (s *sourceCheck) ack(t testing.TB) {
	want := s.want(t)
	r := s.open(t, s.Limits, connector.Partition{}, nil)
	var got reading
	var acked connector.Position
	at := 0
	for n := 0; ; n++ {
		chunk, ok := r.next()
		if !ok {
			break
		}
		got.add(t, chunk)
		release(chunk)
		if n%3 != 1 {
			continue
		}
		for range 2 { // repeating it does no harm
			if err := r.source.Ack(t.Context(), chunk.Position); err != nil {
				t.Errorf("ack: %v", err)
			}
		}
		if acked == nil || n < 20 {
			acked, at = slices.Clone(chunk.Position), len(got.rows)
		}
	}
	r.close()
	compare(t, "rows read between acknowledgements", got.rows, want, !s.Unordered)
	if acked == nil || s.Unordered || s.Endless {
		return
	}
	rest := s.open(t, s.Limits, connector.Partition{}, acked).rest()
	compare(t, "rows behind an acknowledged position", rest.rows, want[min(at, len(want)):], true)
}

// partitions: parts are at most as many as asked for, have names of their own, and are together
// the whole source; each can be resumed.
func (s *sourceCheck) partitions(t testing.TB) {
	want := s.want(t)
	const limit = 4
	source, _ := s.make(t, s.Limits)
	p, ok := source.(connector.Partitioner)
	if !ok {
		t.Fatal("does not implement Partitioner")
	}
	parts, err := p.Partitions(t.Context(), limit)
	if err != nil {
		t.Fatalf("partitions: %v", err)
	}
	if err := source.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if len(parts) == 0 || len(parts) > limit {
		t.Errorf("%d partitions, want 1 to %d", len(parts), limit)
	}
	seen := map[string]bool{}
	var got [][]string
	for _, part := range parts {
		if seen[part.ID] {
			t.Errorf("partition %q is there twice", part.ID)
		}
		seen[part.ID] = true
		all := s.open(t, s.Limits, part, nil).rest()
		got = append(got, all.rows...)
		if n := len(all.copies); n > 0 && s.Connector.Source.Capabilities.Resumable {
			rest := s.open(t, usual(), part, all.copies[n/2]).rest()
			compare(t, "rest of partition "+part.ID, rest.rows, all.rows[all.ends[n/2]:], !s.Unordered)
		}
	}
	compare(t, "all partitions together", got, want, false)
}

// cancelled: Read returns soon when its context has ended.
func (s *sourceCheck) cancelled(t testing.TB) {
	r := s.open(t, s.Limits, connector.Partition{}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	within(t, "Read with an ended context", func() {
		if chunk, err := r.source.Read(ctx); err == nil {
			release(chunk)
		}
	})
	r.close()
}

// closeEarly: Close before the end, and with chunks not yet released, is clean.
func (s *sourceCheck) closeEarly(t testing.TB) {
	s.open(t, s.Limits, connector.Partition{}, nil).close()
	r := s.open(t, s.Limits, connector.Partition{}, nil)
	chunk, ok := r.next()
	if !ok {
		r.close()
		return
	}
	before := uint64(0)
	if chunk.Batch != nil {
		before = digest(chunk.Batch)
	}
	within(t, "Close", r.close)
	if chunk.Batch != nil && digest(chunk.Batch) != before {
		t.Error("Close changed a chunk that was not released")
	}
	release(chunk)
}

func (s *sourceCheck) cancelBlocked(t testing.TB) {
	r := s.open(t, s.Limits, connector.Partition{}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, wait := r.blocked(ctx)
	cancel()
	if err := wait(); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("Read returned %v after its context ended, want an error", err)
	}
	r.close()
}

func (s *sourceCheck) closeBlocked(t testing.TB) {
	r := s.open(t, s.Limits, connector.Partition{}, nil)
	_, wait := r.blocked(t.Context())
	within(t, "Close while Read blocks", func() { _ = r.source.Close() })
	if err := wait(); err == nil {
		t.Error("Read returned a chunk after Close")
	}
}

// ackBlocked: Ack may come while Read blocks, and returns.
func (s *sourceCheck) ackBlocked(t testing.TB) {
	r := s.open(t, s.Limits, connector.Partition{}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	last, wait := r.blocked(ctx)
	if last != nil {
		within(t, "Ack while Read blocks", func() {
			if err := r.source.Ack(t.Context(), last); err != nil {
				t.Errorf("ack: %v", err)
			}
		})
	}
	cancel()
	_ = wait()
	r.close()
}

func (s *sourceCheck) allocations(t testing.TB) {
	rows := 0
	each := testing.AllocsPerRun(2, func() {
		r := s.open(t, usual(), connector.Partition{}, nil)
		rows = 0
		for {
			chunk, ok := r.next()
			if !ok {
				break
			}
			if chunk.Batch != nil {
				rows += chunk.Batch.Len()
			}
			release(chunk)
		}
		r.close()
	})
	perRow := each / float64(max(rows, 1))
	t.Logf("%.4f allocations a row over %d rows", perRow, rows)
	if perRow > s.AllocationsPerRow {
		t.Errorf("%.4f allocations a row over %d rows, want at most %g", perRow, rows, s.AllocationsPerRow)
	}
}
