package ingest

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/google/go-cmp/cmp"
	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/market"
)

// refusingSink takes batches whole or not at all: not those with a factor of some dates.
type refusingSink struct {
	connector.Decider

	refuses map[market.Date]bool
	broken  error // of every Write
	sizes   []int
	dates   []market.Date
	held    []market.Quarantine
	units   int
}

func (s *refusingSink) Write(_ context.Context, chunk connector.Chunk) error {
	if s.broken != nil {
		return s.broken
	}
	b := chunk.Batch
	switch chunk.Table {
	case market.UnitTable:
		s.units++
		return nil
	case market.QuarantineTable:
		q, err := market.QuarantineAt(b, 0)
		s.held = append(s.held, q)
		return err
	}
	column := b.Column(b.Schema().Index("ex_date"))
	var dates []market.Date
	for i := range b.Len() {
		d := market.Date(column.Int(b.Row(i)))
		if s.refuses[d] {
			return &connector.Error{Op: "write", Class: connector.Data, Err: errors.New("the factor of " + d.String() + " is odd")}
		}
		dates = append(dates, d)
	}
	s.sizes, s.dates = append(s.sizes, b.Len()), append(s.dates, dates...)
	return nil
}

// factorChunk is a chunk of factors on the dates from..to-1.
func factorChunk(t *testing.T, from, to int) connector.Chunk {
	t.Helper()
	d, _ := market.DatasetByName(market.AdjFactor)
	b := batch.NewBuilder(d.Schema)
	for i := from; i < to; i++ {
		b.Column(0).Text("600001.XSHG")
		b.Column(1).Int(int64(i))
		b.Column(2).Null()
		b.Column(3).Decimal(decimal128.FromI64(1))
		b.Column(4).Null()
	}
	rows, err := b.Batch()
	if err != nil {
		t.Fatal(err)
	}
	return connector.Chunk{Table: market.AdjFactor, Batch: rows}
}

func unitChunk(t *testing.T) connector.Chunk {
	t.Helper()
	b := batch.NewBuilder(market.UnitSchema())
	market.AppendUnit(b, market.Unit{Dataset: market.AdjFactor, Symbol: "600001.XSHG", From: 1, To: 2, State: market.StateOK})
	rows, err := b.Batch()
	if err != nil {
		t.Fatal(err)
	}
	return connector.Chunk{Table: market.UnitTable, Batch: rows}
}

func dates(from, to int) (list []market.Date) {
	for i := from; i < to; i++ {
		list = append(list, market.Date(i))
	}
	return list
}

func newTestWriter(settings BatchWriterConfig, sink *refusingSink) *batchWriter {
	return &batchWriter{Decider: sink, writing: newWriting(settings, "fake", slog.New(slog.DiscardHandler))}
}

func TestBatchesHaveTheirSize(t *testing.T) {
	for _, c := range []struct {
		enable bool
		want   []int
	}{{true, []int{100, 100, 50}}, {false, slices.Repeat([]int{1}, 250)}} {
		settings := Defaults().Performance.BatchWriter
		settings.Enable = c.enable
		sink := &refusingSink{}
		w := newTestWriter(settings, sink)
		if err := w.Write(t.Context(), factorChunk(t, 0, 250)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, sink.sizes); diff != "" {
			t.Errorf("enable %t: sizes (-want +got):\n%s", c.enable, diff)
		}
		if diff := cmp.Diff(dates(0, 250), sink.dates); diff != "" {
			t.Errorf("enable %t: rows (-want +got):\n%s", c.enable, diff)
		}
		if s := w.statistics(); s.Batches != int64(len(c.want)) || (s.Alone == 250) == c.enable || s.Refused != 0 {
			t.Errorf("enable %t: statistics %+v", c.enable, s)
		}
	}
}

// TestRefusedBatch: of the rows of a refused batch only those at fault are not written, and the other
// batches are.
// invariant: a refused batch takes no other row with it
func TestRefusedBatch(t *testing.T) {
	sink := &refusingSink{refuses: map[market.Date]bool{103: true, 177: true}}
	w := newTestWriter(Defaults().Performance.BatchWriter, sink)
	if err := w.Write(t.Context(), factorChunk(t, 0, 250)); err != nil {
		t.Fatal(err)
	}
	want := slices.DeleteFunc(dates(0, 250), func(d market.Date) bool { return sink.refuses[d] })
	if diff := cmp.Diff(want, sink.dates); diff != "" {
		t.Errorf("written (-want +got):\n%s", diff)
	}
	if len(sink.held) != 2 {
		t.Fatalf("quarantined %v, want two rows", sink.held)
	}
	q := sink.held[0]
	if q.Dataset != market.AdjFactor || q.Symbol != "600001.XSHG" || q.Date != 103 || q.Rule != "refused" ||
		q.Source != "fake" || q.Message != "write: the factor of 1970-04-14 is odd" || q.Raw == "" {
		t.Errorf("quarantined %+v, want the row and the reason", q)
	}
	// 100 rows were refused, then two tens of them, then two rows.
	if s := w.statistics(); s.Refused != 3 || s.Quarantined != 2 || s.Alone != 20 || s.Batches != 2+8+18 {
		t.Errorf("statistics %+v", s)
	}
}

// TestBrokenStoreIsNoRefusal: where the store is at fault nothing goes to quarantine.
func TestBrokenStoreIsNoRefusal(t *testing.T) {
	for _, broken := range []error{
		errors.New("disk full"), &connector.Error{Op: "write", Class: connector.Schema, Err: errors.New("no such column")},
	} {
		sink := &refusingSink{broken: broken}
		w := newTestWriter(Defaults().Performance.BatchWriter, sink)
		if err := w.Write(t.Context(), factorChunk(t, 0, 250)); !errors.Is(err, broken) || len(sink.held) != 0 {
			t.Errorf("got %v, and quarantined %v", err, sink.held)
		}
	}
}

// TestRowsWaitForTheirUnit: with auto_flush false the store gets the rows of a unit when it ends.
func TestRowsWaitForTheirUnit(t *testing.T) {
	settings := Defaults().Performance.BatchWriter
	settings.AutoFlush = false
	sink := &refusingSink{}
	w := newTestWriter(settings, sink)
	for _, chunk := range []connector.Chunk{factorChunk(t, 0, 150), factorChunk(t, 150, 160)} {
		if err := w.Write(t.Context(), chunk); err != nil || len(sink.sizes) != 0 {
			t.Fatalf("got %v, and %v were handed over before the unit's end", err, sink.sizes)
		}
	}
	if err := w.Write(t.Context(), unitChunk(t)); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(sink.sizes, []int{100, 50, 10}) || sink.units != 1 || !slices.Equal(sink.dates, dates(0, 160)) {
		t.Errorf("handed over %v of %v, %d units", sink.sizes, sink.dates, sink.units)
	}
}

// chunks is a source of chunks that were made before, each at a position of its own.
type chunks struct {
	connector.Source

	list []connector.Chunk
	at   int
}

func (c *chunks) Open(_ context.Context, _ connector.Partition, at connector.Position) error {
	c.at = 0
	if at != nil {
		c.at = int(at[0])
	}
	return nil
}

func (c *chunks) Read(context.Context) (connector.Chunk, error) {
	if c.at == len(c.list) {
		return connector.Chunk{Position: connector.Position{byte(c.at)}}, io.EOF
	}
	chunk := c.list[c.at]
	c.at++
	chunk.Position = connector.Position{byte(c.at)}
	return chunk, nil
}

// TestPositionsLieBetweenUnits: where rows wait for their unit, a restart reads the unit from its start.
func TestPositionsLieBetweenUnits(t *testing.T) {
	rows, end := factorChunk(t, 0, 1), unitChunk(t)
	s := &wholeUnits{Source: &chunks{list: []connector.Chunk{rows, rows, end, rows, end, rows}}}
	read := func(start connector.Position) (got []string) {
		if err := s.Open(t.Context(), connector.Partition{}, start); err != nil {
			t.Fatal(err)
		}
		for {
			chunk, err := s.Read(t.Context())
			got = append(got, string(chunk.Position))
			if err != nil {
				return got
			}
		}
	}
	if diff := cmp.Diff([]string{"", "", "\x03", "\x03", "\x05", "\x05", "\x06"}, read(nil)); diff != "" {
		t.Errorf("positions (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"\x03", "\x05", "\x05", "\x06"}, read(connector.Position{3})); diff != "" {
		t.Errorf("positions after a restart (-want +got):\n%s", diff)
	}
}
