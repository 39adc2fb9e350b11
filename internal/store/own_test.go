package store

import (
	"fmt"
	"slices"
	"testing"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/market"
)

// TestCutCoverage refuses every beginning of a coverage, and states and days that are none.
func TestCutCoverage(t *testing.T) {
	t.Parallel()
	whole := appendCoverage(nil, []knowledge{{market.StateOK, unit(0).Interval(), []int32{1, 2, 7}}})
	if got, err := decodeCoverage(whole, 9); err != nil || len(got) != 1 {
		t.Fatalf("%v %v", got, err)
	}
	for n := range whole {
		if got, err := decodeCoverage(whole[:n], 9); err == nil {
			t.Errorf("%d bytes of %d: %v", n, len(whole), got)
		}
	}
	if got, err := decodeCoverage(append(slices.Clone(whole), 0), 9); err == nil {
		t.Errorf("a byte more: %v", got)
	}
	if got, err := decodeCoverage(whole, 3); err == nil {
		t.Errorf("instrument 7 of 3: %v", got)
	}
	odd := slices.Clone(whole)
	odd[1] = 9
	if got, err := decodeCoverage(odd, 9); err == nil {
		t.Errorf("state 9: %v", got)
	}
	if got, err := decodeCoverage([]byte{1, 1, 0xff, 0xff, 0xff, 0xff, 0x7f, 0, 0}, 9); err == nil {
		t.Errorf("a day outside the calendar: %v", got)
	}
}

// dated is rows of an own dataset whose key begins with the date.
func dated(t *testing.T, values bool, rows ...int) *batch.Batch {
	t.Helper()
	fields := []batch.Field{
		{Name: "on", Type: batch.Of(batch.Date)}, {Name: "what", Type: batch.Of(batch.String)},
	}
	if values {
		fields = append(fields, batch.Field{Name: "v", Type: batch.Of(batch.Int64), Nullable: true})
	}
	b := batch.NewBuilder(batch.NewSchema(fields...))
	for _, n := range rows {
		b.Column(0).Int(int64(day("2023-12-28")) + int64(n))
		b.Column(1).Text(fmt.Sprintf("n%d", n))
		if values {
			b.Column(2).Int(int64(n))
		}
	}
	out, err := b.Batch()
	must(t, err)
	return out
}

// TestOwnDatasetByDate writes one with upserts and deletes in one batch, only deletes, and rows that lack
// a column; its dates are read by the page and decoded.
func TestOwnDatasetByDate(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for _, whole := range []int64{-1, wholeRows} {
		s := open(t, t.TempDir(), Config{fileRows: 1, wholeRows: whole})
		w := lock(t, s)
		sink := testSink(t, Connector(), SinkConfig{Writer: w, Dataset: "by_date", Key: []string{"on", "what"}}, 1)
		must(t, sink.Recover(ctx, connector.Epoch{}, nil))
		number := uint64(0)
		write := func(b *batch.Batch, ops ...batch.Operation) {
			if ops != nil {
				b = b.WithOperations(ops)
			}
			must(t, sink.Write(ctx, connector.Chunk{Batch: b}))
			number++
			must(t, sink.Decide(ctx, connector.Epoch{Number: number}))
		}
		up, gone := batch.Upsert, batch.Delete
		write(dated(t, true, 0, 1, 2, 3, 4, 5, 6))
		write(dated(t, true, 1, 2, 3), up, gone, up)
		write(dated(t, true, 4, 5), gone, gone)
		write(dated(t, true, 6, 7), up, up)
		write(dated(t, false, 8))
		v := view(t, s, 0)
		read := func(r Range) (out []string) {
			for b, err := range v.Scan("by_date", r, []string{"what", "v"}) {
				must(t, err)
				out = append(out, lines(b)...)
			}
			return out
		}
		if got := read(Range{}); !slices.Equal(got, []string{"n0 0", "n1 1", "n3 3", "n6 6", "n7 7", "n8 NULL"}) {
			t.Errorf("all: %q", got)
		}
		if got := read(Range{From: day("2023-12-29"), To: day("2024-01-03")}); !slices.Equal(got, []string{"n1 1", "n3 3", "n6 6"}) {
			t.Errorf("a week: %q", got)
		}
		b, err := v.Cross("by_date", day("2024-01-04"), []string{"what"})
		must(t, err)
		if got := lines(b); !slices.Equal(got, []string{"n7"}) {
			t.Errorf("one date: %q", got)
		}
		if _, err := w.Compact(ctx, true); err != nil {
			t.Error(err)
		}
		v = view(t, s, 0)
		if got := read(Range{}); len(got) != 6 {
			t.Errorf("compacted: %q", got)
		}
		must(t, sink.Close())
	}
}

// TestCalendarsAreKeptByText has a key whose first column no segment is searched by.
func TestCalendarsAreKeptByText(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for _, whole := range []int64{-1, wholeRows} {
		s := open(t, t.TempDir(), Config{fileRows: 1, wholeRows: whole})
		w := lock(t, s)
		d, _ := market.DatasetByName(market.CalendarDay)
		for _, mic := range []string{"XSHG", "XNYS", "XSHG"} {
			b := batch.NewBuilder(d.Schema)
			for n := range 5 {
				b.Column(d.Schema.Index("mic")).Text(mic)
				b.Column(d.Schema.Index("date")).Int(int64(day("2024-01-01")) + int64(n))
				b.Column(d.Schema.Index("is_open")).Bool(n > 0)
			}
			rows, err := b.Batch()
			must(t, err)
			c := Changes{Puts: map[string][]*batch.Batch{market.CalendarDay: {rows}}}
			_, err = w.Commit(ctx, c)
			must(t, err)
		}
		b, err := view(t, s, 0).Cross(market.CalendarDay, day("2024-01-01"), nil)
		must(t, err)
		if got := lines(b); !slices.Equal(got, []string{"XNYS 2024-01-01 false", "XSHG 2024-01-01 false"}) {
			t.Errorf("one date: %q", got)
		}
		days := Replace{market.CalendarDay, "", market.Interval{From: day("2024-01-02"), To: day("2024-01-09")}}
		_, err = w.Commit(ctx, Changes{Replace: []Replace{days}})
		must(t, err)
		_, err = w.Compact(ctx, true)
		must(t, err)
		rows := 0
		for b, err := range view(t, s, 0).Scan(market.CalendarDay, Range{}, nil) {
			must(t, err)
			rows += b.Len()
		}
		if rows != 2 {
			t.Errorf("%d rows are left", rows)
		}
	}
}
