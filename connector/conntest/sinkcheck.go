package conntest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
)

// The epochs most checks use.
func firstEpoch() connector.Epoch { return connector.Epoch{Number: 1} }
func lastEpoch() connector.Epoch  { return connector.Epoch{Number: 2, Final: true} }
func onlyEpoch() connector.Epoch  { return connector.Epoch{Number: 1, Final: true} }

// describe: names, docs and capabilities are what the sink is.
func (s *sinkCheck) describe(t testing.TB) {
	spec := s.Connector.Sink
	describe(t, s.Connector, spec.Config)
	w := s.make(t)
	can := spec.Capabilities
	_, evolves := w.sink.(connector.SchemaEvolver)
	_, upserts := w.sink.(connector.Upserter)
	for _, c := range []struct {
		name          string
		stated, found bool
	}{
		{"Transactions", can.Transactions, w.tx != nil},
		{"Decides", can.Decides, w.decider != nil},
		{"SchemaEvolution", can.SchemaEvolution, evolves},
		{"Upsert", can.Upsert, upserts},
	} {
		if c.stated != c.found {
			t.Errorf("capability %s is %t, its interface implemented: %t", c.name, c.stated, c.found)
		}
	}
	if can.MaxRows > 0 && can.PreferredRows > can.MaxRows {
		t.Errorf("PreferredRows %d is above MaxRows %d", can.PreferredRows, can.MaxRows)
	}
	if c, ok := w.sink.(connector.Checker); ok {
		if err := c.Check(t.Context()); err != nil {
			t.Errorf("check: %v", err)
		}
	}
	if err := w.sink.Close(); err != nil {
		t.Errorf("close without open: %v", err)
	}
}

// write: the rows of two epochs are read back as written, Sync running beside the next Write.
func (s *sinkCheck) write(t testing.TB) {
	w := s.restore(t, connector.Epoch{}, nil)
	w.write(s.rows(0, 40, 0))
	w.write(s.rows(40, 41, 0))
	switch {
	case w.tx != nil && w.decider == nil:
		prepared, err := w.tx.Prepare(t.Context(), firstEpoch())
		if err != nil {
			t.Fatalf("prepare: %v", err)
		}
		var syncing sync.WaitGroup
		if prepared.Sync != nil {
			syncing.Go(func() {
				if err := prepared.Sync(t.Context()); err != nil {
					t.Errorf("sync: %v", err)
				}
			})
		}
		w.write(s.rows(41, 80, 0))
		syncing.Wait()
		w.publish(firstEpoch(), prepared.Token)
	default:
		w.commit(firstEpoch())
		w.write(s.rows(41, 80, 0))
	}
	w.write(s.rows(80, 100, 0))
	w.commit(lastEpoch())
	w.close()
	s.expect(t, "rows of two epochs", 100)
}

// noRows: epochs without rows do no harm, nor does the chunk that ends a run without rows by telling
// its columns.
func (s *sinkCheck) noRows(t testing.TB) {
	w := s.restore(t, connector.Epoch{}, nil)
	w.commit(firstEpoch())
	for _, b := range []*batch.Batch{s.rows(0, 0, 0), s.rows(0, 5, 0).Select(nil)} {
		chunk, err := w.chunk(b, w.encode)
		if err == nil {
			err = w.sink.Write(t.Context(), chunk)
		}
		if err != nil {
			t.Errorf("chunk without rows: %v", err)
		}
	}
	token := w.commit(lastEpoch())
	w.close()
	s.expect(t, "after epochs without rows", 0)
	s.restore(t, lastEpoch(), token).close()
	s.expect(t, "after recovering an epoch without rows", 0)
}

// selection: of batches with a selection and lazy columns exactly the selected rows are written.
func (s *sinkCheck) selection(t testing.TB) {
	w := s.restore(t, connector.Epoch{}, nil)
	var want []*batch.Batch
	for k, b := range []*batch.Batch{s.rows(0, 30, 0), lazy(s.rows(30, 60, 0)), lazy(s.rows(60, 70, 0))} {
		if k < 2 {
			var rows []int32
			for i := k; i < b.Rows(); i += 3 {
				rows = append(rows, int32(i))
			}
			b = b.Select(rows)
		}
		want = append(want, b)
		w.write(b)
	}
	w.commit(onlyEpoch())
	w.close()
	s.expectRows(t, "selected and lazy rows", want...)
}

// lazy returns the batch with its columns as text of a source; nested ones, and binary, whose text
// has no escapes, are left dense.
func lazy(b *batch.Batch) *batch.Batch {
	const null = "\x00"
	var at []int
	for i, c := range b.Columns() {
		if !c.Type().Nested() && c.Type().Kind != batch.Binary {
			at = append(at, i)
		}
	}
	spans := &batch.Spans{Stride: 2 * len(at), Step: 2, Nulls: []string{null}}
	for row := range b.Rows() {
		for _, i := range at {
			spans.Offsets = append(spans.Offsets, uint32(len(spans.Data)))
			if c := b.Column(i); c.IsNull(row) {
				spans.Data = append(spans.Data, null...)
			} else {
				spans.Data = batch.AppendText(spans.Data, c, row)
			}
			spans.Offsets = append(spans.Offsets, uint32(len(spans.Data)))
		}
	}
	columns := slices.Clone(b.Columns())
	for cell, i := range at {
		columns[i] = batch.LazyColumn(b.Schema().Field(i).Type, spans, cell)
	}
	return batch.New(b.Schema(), columns, b.Rows()).WithOrigin(b.Origin())
}

// memory: batches are not altered by Encode and Write, and nothing of them is used afterwards.
func (s *sinkCheck) memory(t testing.TB) {
	w := s.restore(t, connector.Epoch{}, nil)
	want := s.rows(0, 60, 0)
	for from := 0; from < 60; from += 20 {
		b := s.rows(from, from+20, 0)
		if from == 40 {
			b = lazy(b)
		}
		before := digest(b)
		w.write(b)
		if digest(b) != before {
			t.Errorf("rows %d to %d were altered by the sink", from, from+19)
		}
		poison(b)
	}
	w.commit(onlyEpoch())
	w.close()
	s.expectRows(t, "rows whose memory was overwritten after Write", want)
}

// encodeParallel: EncodeFuncs of several workers run beside each other.
func (s *sinkCheck) encodeParallel(t testing.TB) {
	w := s.restore(t, connector.Epoch{}, nil)
	e, ok := w.sink.(connector.Encoder)
	if !ok {
		w.close()
		return
	}
	const workers, each = 4, 10
	chunks, errs := make([]connector.Chunk, workers), make([]error, workers)
	var encoding sync.WaitGroup
	for i := range workers {
		encode := e.NewEncode()
		encoding.Go(func() { chunks[i], errs[i] = w.chunk(s.rows(i*each, (i+1)*each, 0), encode) })
	}
	encoding.Wait()
	for i, chunk := range chunks {
		err := errs[i]
		if err == nil {
			err = w.sink.Write(t.Context(), chunk)
		}
		if err != nil {
			t.Errorf("chunk of worker %d: %v", i, err)
		}
	}
	w.commit(onlyEpoch())
	w.close()
	s.expect(t, "rows of 4 encoders", workers*each)
}

// merge: a Merger's joined payload holds the rows of all chunks, which may be written alone later.
func (s *sinkCheck) merge(t testing.TB) {
	w := s.restore(t, connector.Epoch{}, nil)
	defer w.close()
	m, ok := w.sink.(connector.Merger)
	if !ok {
		return
	}
	const chunks, each = 3, 10
	payloads, errs := make([]any, chunks), make([]error, chunks)
	for i := range payloads {
		var chunk connector.Chunk
		chunk, errs[i] = w.chunk(s.rows(i*each, (i+1)*each, 0), m.NewEncode())
		payloads[i] = chunk.Payload
	}
	if err := errors.Join(errs...); err != nil {
		t.Fatalf("encode: %v", err)
	}
	joined, ok := m.Merge(payloads)
	if !ok {
		return // each is written alone then, as in the other checks
	}
	for _, payload := range []any{joined, payloads[1]} {
		if err := w.sink.Write(t.Context(), connector.Chunk{Payload: payload}); err != nil {
			t.Fatalf("write: %v", err)
		}
	}
	w.commit(onlyEpoch())
	s.expectRows(t, "joined rows, and those of one chunk again",
		s.rows(0, chunks*each, 0), s.rows(each, 2*each, 0))
}

// cancelled: Write returns soon when its context has ended and took the chunk whole or not at all.
func (s *sinkCheck) cancelled(t testing.TB) {
	w := s.restore(t, connector.Epoch{}, nil)
	w.write(s.rows(0, 10, 0))
	chunk, err := w.chunk(s.rows(10, 20, 0), w.encode)
	if err != nil {
		t.Fatalf("chunk: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	within(t, "Write with an ended context", func() { err = w.sink.Write(ctx, chunk) })
	if errors.Is(err, connector.ErrEpochLost) {
		_ = w.sink.Close() // it has lost what it wrote
		w = s.restore(t, connector.Epoch{}, nil)
		w.write(s.rows(0, 10, 0))
	}
	if err != nil {
		w.write(s.rows(10, 20, 0))
	}
	w.commit(onlyEpoch())
	w.close()
	s.expect(t, "rows around a cancelled Write", 20)
}

// closeEarly: Close is clean at any time and shows no rows of an epoch that was not committed.
func (s *sinkCheck) closeEarly(t testing.TB) {
	s.open(t).close()
	s.restore(t, connector.Epoch{}, nil).close()
	w := s.restore(t, connector.Epoch{}, nil)
	w.write(s.rows(0, 10, 0))
	within(t, "Close", w.close)
	if w.tx != nil && w.spec.Capabilities.Staged {
		s.expect(t, "after Close in an open epoch", 0)
	}
}

// upsert: with a key, rows are replaced, repeated writes do no harm and deletes are honoured.
func (s *sinkCheck) upsert(t testing.TB) {
	w := s.restore(t, connector.Epoch{}, nil)
	if !slices.Equal(w.key, []string{"id"}) {
		t.Errorf("the keyed target's Key is %q, want id", w.key)
	}
	w.write(s.rows(0, 30, 0))
	w.write(s.rows(0, 30, 0))
	w.commit(firstEpoch())
	w.write(s.rows(0, 30, 0)) // an epoch that is written again
	w.write(s.rows(10, 20, 1))
	twice, _ := batch.Concat([]*batch.Batch{s.rows(20, 25, 3), s.rows(20, 25, 2)})
	w.write(twice)
	operations := slices.Repeat([]batch.Operation{batch.Upsert, batch.Delete}, 5)
	w.write(s.rows(25, 35, 4).WithOperations(operations))
	w.commit(lastEpoch())
	w.close()
	s.Unordered = true
	s.expectRows(t, "rows written repeatedly under a key", s.rows(0, 10, 0), s.rows(10, 20, 1),
		s.rows(20, 25, 2),
		s.rows(25, 35, 4).Select([]int32{0, 2, 4, 6, 8}))
}

// refused: rows that cannot be written are named by PartialError and all others are written.
func (s *sinkCheck) refused(t testing.TB) {
	b, rows := s.Refused(t)
	w := s.restore(t, connector.Epoch{}, nil)
	if w.encode == nil && !w.spec.Capabilities.Selection {
		dense, bad := b.Dense()
		if len(bad) > 0 {
			t.Fatalf("the refused rows must read as their types: %v", bad[0])
		}
		for i := 0; i < len(rows) && b.Selection() != nil; i++ {
			rows[i] = slices.IndexFunc(b.Selection(), func(row int32) bool { return int(row) == rows[i] })
		}
		b = dense
	}
	err := w.try(b)
	var partial *connector.PartialError
	if !errors.As(err, &partial) {
		_ = w.sink.Close()
		t.Fatalf("write of rows that must be refused returned %v, want a PartialError", err)
	}
	var got []int
	for _, e := range partial.Rows {
		got = append(got, e.Row)
		if e.Reason == "" {
			t.Errorf("row %d is refused without a reason", e.Row)
		}
	}
	if !slices.Equal(got, rows) {
		t.Errorf("refused rows are %d, want %d (physical rows, ascending)", got, rows)
	}
	w.commit(onlyEpoch())
	w.close()
	if s.Lossy {
		return
	}
	want, err := cells(b.Without(partial.Rows))
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "rows beside the refused ones", boxedCells(s.target.ReadBack(t), b.Schema()), want,
		!s.Unordered)
}

// evolve: a column more is followed, and Evolve may be repeated.
func (s *sinkCheck) evolve(t testing.TB) {
	w := s.restore(t, connector.Epoch{}, nil)
	evolver, ok := w.sink.(connector.SchemaEvolver)
	if !ok {
		t.Fatal("does not implement SchemaEvolver")
	}
	w.write(s.rows(0, 10, 0))
	w.commit(firstEpoch())
	fields := append(slices.Clone(s.schema.Fields()),
		batch.Field{Name: "added", Type: batch.Of(batch.Int64), Nullable: true})
	wider := batch.NewSchema(fields...)
	for range 2 {
		if err := evolver.Evolve(t.Context(), s.schema, wider); err != nil {
			t.Errorf("evolve: %v", err)
		}
	}
	w.write(Rows(wider, 10, 15, 0))
	w.commit(connector.Epoch{Number: 2})
	w.write(Rows(wider, 15, 20, 0))
	w.commit(connector.Epoch{Number: 3, Final: true})
	w.close()
	if s.Lossy {
		return
	}
	got := boxedCells(s.target.ReadBack(t), wider)
	for i, row := range got {
		if want := s.schema.Len(); len(row) > want {
			got[i] = row[:want]
		}
	}
	want, err := cells(s.rows(0, 20, 0))
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "the columns of before", got, want, !s.Unordered)
}

// parallel: two writers of one sink share the target.
func (s *sinkCheck) parallel(t testing.TB) {
	var writers []*writer
	for i := range 2 {
		w := s.make(t)
		if err := w.sink.Open(t.Context(), s.task(i, 2)); err != nil {
			t.Fatalf("open writer %d: %v", i, err)
		}
		w.recover(connector.Epoch{}, nil)
		writers = append(writers, w)
	}
	for from := 0; from < 40; from += 10 {
		writers[from/10%2].write(s.rows(from, from+10, 0))
	}
	var tokens [][]byte
	for _, w := range writers {
		tokens = append(tokens, w.prepare(onlyEpoch()))
	}
	for i, w := range writers {
		w.publish(onlyEpoch(), tokens[i])
		w.close()
	}
	s.Unordered = true
	s.expect(t, "rows of two writers", 40)
}

func (s *sinkCheck) allocations(t testing.TB) {
	const rows = 4096
	w := s.restore(t, connector.Epoch{}, nil)
	b := s.rows(0, rows, 0)
	each := testing.AllocsPerRun(3, func() { w.write(b) })
	w.commit(onlyEpoch())
	w.close()
	t.Logf("%.4f allocations a row", each/rows)
	if each/rows > s.AllocationsPerRow {
		t.Errorf("%.4f allocations a row, want at most %g", each/rows, s.AllocationsPerRow)
	}
}
