package store

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/market"
)

const pufa = "600000.XSHG"

// TestRowsWithoutSymbolAreRefused has several of them follow each other.
func TestRowsWithoutSymbolAreRefused(t *testing.T) {
	t.Parallel()
	w := lock(t, open(t, t.TempDir(), Config{}))
	date := day("2024-01-02")
	_, err := w.Commit(t.Context(), put(bars(t, bar{"", date, 1, true}, bar{"", date, 2, true}, bar{pufa, date, 3, true})))
	partial, ok := errors.AsType[*connector.PartialError](err)
	if !ok || len(partial.Rows) != 2 || partial.Rows[1].Row != 1 {
		t.Errorf("two rows without symbol: %v", err)
	}
}

// TestManyUnitsAreReadBack commits one symbol's coverage day by day.
func TestManyUnitsAreReadBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := lock(t, open(t, dir, Config{}))
	c := Changes{Run: "r"}
	from := day("1990-01-01")
	for i := range market.Date(9000) {
		c.Coverage = append(c.Coverage, Cover{
			Dataset: market.Bar1D, Freq: "1d", Source: "sim", Symbol: pufa, State: market.StateOK,
			Interval: market.Interval{From: from + i, To: from + i},
		})
	}
	_, err := w.Commit(t.Context(), c)
	must(t, err)
	covered, err := view(t, open(t, dir, Config{}), 0).Coverage(market.Bar1D, "1d", "sim")
	must(t, err)
	if got := covered[pufa].Days(); got != 9000 {
		t.Errorf("%d days", got)
	}
	c.Coverage = []Cover{{
		Dataset: market.Bar1D, Freq: "1d", Source: "sim", State: market.StateOK,
		Interval: market.Interval{From: from, To: market.MaxDate + 1},
	}}
	if _, err := w.Commit(t.Context(), c); err == nil {
		t.Error("a coverage beyond the calendar was taken, which could not be read back")
	}
}

// TestNumberOfASegmentComesAgain deletes all rows, collects, and writes others: the database gives
// their segment the number of the first.
func TestNumberOfASegmentComesAgain(t *testing.T) {
	t.Parallel()
	for _, fileRows := range []int{1, 1000} {
		dir := t.TempDir()
		w := lock(t, open(t, dir, Config{Horizon: 1, fileRows: fileRows}))
		reader := open(t, dir, Config{})
		date := day("2024-01-02")
		first := bars(t, bar{pufa, date, 1, true})
		_, err := w.Commit(t.Context(), put(first))
		must(t, err)
		if got := closes(t, view(t, reader, 0), Range{}); len(got) != 1 {
			t.Fatalf("rows %q", got)
		}
		_, err = w.Commit(t.Context(), Changes{Deletes: map[string][]*batch.Batch{market.Bar1D: {first}}})
		must(t, err)
		done, err := w.Compact(t.Context(), true)
		must(t, err)
		if done.Collected != 2 {
			t.Fatalf("collected %d segments, the case needs 2", done.Collected)
		}
		_, err = w.Commit(t.Context(), put(bars(t, bar{"000001.XSHE", date, 2, true})))
		must(t, err)
		want := []string{"000001.XSHE 2024-01-02 0.0002"}
		if got := closes(t, view(t, reader, 0), Range{}); !slices.Equal(got, want) {
			t.Errorf("files from %d rows: the other process reads %q, want %q", fileRows, got, want)
		}
	}
}

// TestDeletedRowStaysDeletedAsOf reads a commit whose tombstone is collected, while an older view of
// this process still holds the segment of the row.
func TestDeletedRowStaysDeletedAsOf(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), Config{Horizon: 1})
	w := lock(t, s)
	date := day("2024-01-02")
	first := bars(t, bar{pufa, date, 1, true})
	_, err := w.Commit(t.Context(), put(first))
	must(t, err)
	older := view(t, s, 0)
	deleted, err := w.Commit(t.Context(), Changes{Deletes: map[string][]*batch.Batch{market.Bar1D: {first}}})
	must(t, err)
	done, err := w.Compact(t.Context(), true)
	must(t, err)
	if done.Collected != 1 {
		t.Fatalf("collected %d segments, the case needs 1", done.Collected)
	}
	_, err = w.Commit(t.Context(), put(bars(t, bar{"000001.XSHE", date, 2, true})))
	must(t, err)
	if got := closes(t, view(t, s, deleted), Range{}); len(got) != 0 {
		t.Errorf("as of the delete: %q", got)
	}
	if got := closes(t, older, Range{}); len(got) != 1 {
		t.Errorf("the older view: %q", got)
	}
}

// thing is a row of an own dataset with a column besides the symbol.
func thing(t testing.TB, name, column string, cell int64) *batch.Batch {
	t.Helper()
	b := batch.NewBuilder(batch.NewSchema(
		batch.Field{Name: "symbol", Type: batch.Of(batch.String)}, batch.Field{Name: column, Type: batch.Of(batch.Int64), Nullable: true}))
	b.Column(0).Text(name)
	b.Column(1).Int(cell)
	out, err := b.Batch()
	must(t, err)
	return out
}

// TestTwoSinksMakeOneDataset of different columns: the second is refused, not read as the first's.
func TestTwoSinksMakeOneDataset(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dir := filepath.Join(t.TempDir(), "store")
	c := Connector()
	var sinks []connector.Decider
	for i, rows := range []*batch.Batch{thing(t, "a", "price", 7), thing(t, "b", "volume", 9)} {
		made, err := c.Sink.New(connector.Env{}, &SinkConfig{Path: dir, Dataset: "things", Key: []string{"symbol"}})
		must(t, err)
		s := made.(connector.Decider)
		must(t, s.Open(ctx, connector.Task{Run: "run", Node: string(rune('a' + i)), Fence: 1}))
		must(t, s.Recover(ctx, connector.Epoch{}, nil))
		must(t, s.Write(ctx, connector.Chunk{Batch: rows}))
		sinks = append(sinks, s)
	}
	must(t, sinks[0].Decide(ctx, connector.Epoch{Number: 1}))
	if err := sinks[1].Decide(ctx, connector.Epoch{Number: 1}); err == nil || !strings.Contains(err.Error(), "things") {
		t.Errorf("rows of other columns: %v", err)
	}
	for _, s := range sinks {
		must(t, s.Close())
	}
}

// TestDecideAgain after a transaction that failed.
func TestDecideAgain(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	fails := false
	s := open(t, t.TempDir(), Config{fault: func(stage string) error {
		if fails && stage == "commit" {
			return errors.New("disk full")
		}
		return nil
	}})
	sink := testSink(t, Connector(), SinkConfig{Writer: lock(t, s)}, 1)
	must(t, sink.Recover(ctx, connector.Epoch{}, nil))
	must(t, sink.Write(ctx, connector.Chunk{Table: market.Bar1D, Batch: threeBars(t)}))
	fails = true
	if err := sink.Decide(ctx, connector.Epoch{Number: 1}); err == nil {
		t.Fatal("a failed transaction was acknowledged")
	}
	fails = false
	must(t, sink.Decide(ctx, connector.Epoch{Number: 1}))
	must(t, sink.Close())
	if got := closes(t, view(t, s, 0), Range{}); len(got) != 3 {
		t.Errorf("rows %q", got)
	}
}

// TestFirstDayOf1970 is day 0, which elsewhere says "without bound".
func TestFirstDayOf1970(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, Config{})
	w := lock(t, s)
	_, err := w.Commit(t.Context(), put(bars(t, bar{pufa, day("1969-12-31"), 1, true},
		bar{pufa, day("1970-01-01"), 2, true}, bar{pufa, day("1970-01-02"), 3, true})))
	must(t, err)
	cross, err := view(t, s, 0).Cross(market.Bar1D, 0, []string{"close"})
	must(t, err)
	if got := lines(cross); !slices.Equal(got, []string{"0.0002"}) {
		t.Errorf("cross section of 1970-01-01: %q", got)
	}
	for _, c := range []struct {
		from, to string
		rows     int
	}{{"", "1970-01-01", 2}, {"1970-01-01", "", 2}, {"1969-01-01", "1970-01-01", 2}, {"", "1969-12-31", 1}} {
		made, err := newSource(connector.Env{}, SourceConfig{Path: dir, Dataset: market.Bar1D, From: c.from, To: c.to})
		must(t, err)
		must(t, made.Open(t.Context(), connector.Partition{}, nil))
		v := view(t, s, 0)
		rows := 0
		for b, err := range v.Scan(market.Bar1D, made.span, nil) {
			must(t, err)
			rows += b.Len()
		}
		must(t, made.Close())
		if rows != c.rows {
			t.Errorf("%q to %q: %d rows, want %d", c.from, c.to, rows, c.rows)
		}
	}
}

// TestAliasOfStagedRows is refused: the code has rows that wait for their commit.
func TestAliasOfStagedRows(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := open(t, t.TempDir(), Config{})
	w := lock(t, s)
	_, err := w.Commit(ctx, put(bars(t, bar{"000001.XSHE", day("2024-01-02"), 9, true})))
	must(t, err)
	sink := testSink(t, Connector(), SinkConfig{Writer: w}, 1)
	must(t, sink.Recover(ctx, connector.Epoch{}, nil))
	must(t, sink.Write(ctx, connector.Chunk{Table: market.Bar1D, Batch: threeBars(t)}))
	if err := w.Alias(ctx, "000001.XSHE", pufa, always()); err == nil {
		t.Error("a code with staged rows became an alias")
	}
	must(t, sink.Decide(ctx, connector.Epoch{Number: 1}))
	must(t, sink.Close())
	if got := closes(t, view(t, s, 0), Range{Symbols: []string{pufa}}); len(got) != 3 {
		t.Errorf("rows %q", got)
	}
}

// TestCoverageOfAFormerCode is that of the instrument the code named then.
func TestCoverageOfAFormerCode(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := open(t, t.TempDir(), Config{})
	w := lock(t, s)
	_, err := w.Commit(ctx, put(bars(t, bar{"920047.BJSE", day("2024-06-03"), 7, true})))
	must(t, err)
	valid := market.Interval{From: day("2020-01-01"), To: day("2024-05-31")}
	must(t, w.Alias(ctx, "920047.BJSE", "430047.BJSE", valid))
	_, err = w.Commit(ctx, Changes{Coverage: []Cover{{
		Dataset: market.Bar1D, Freq: "1d", Source: "sim", Symbol: "430047.BJSE", State: market.StateOK, Interval: valid,
	}}})
	must(t, err)
	covered, err := view(t, s, 0).Coverage(market.Bar1D, "1d", "sim")
	must(t, err)
	if got := covered["920047.BJSE"]; !got.Covers(valid) {
		t.Errorf("covered %v", covered)
	}
}

// TestReadingMakesNoStore in a folder that holds none.
func TestReadingMakesNoStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	made, err := newSource(connector.Env{}, SourceConfig{Path: dir, Dataset: market.Bar1D})
	must(t, err)
	if err := made.Open(t.Context(), connector.Partition{}, nil); !errors.Is(err, ErrAbsent) {
		t.Errorf("open: %v", err)
	}
	must(t, made.Close())
	if _, err := made.Discover(t.Context()); !errors.Is(err, ErrAbsent) {
		t.Errorf("discover: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// TestOddSymbols are read back as they were, by another process too.
func TestOddSymbols(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dir := filepath.Join(t.TempDir(), "store")
	c := Connector()
	made, err := c.Sink.New(connector.Env{}, &SinkConfig{Path: dir, Dataset: "things", Key: []string{"symbol"}})
	must(t, err)
	s := made.(connector.Decider)
	must(t, s.Open(ctx, connector.Task{Run: "run", Node: "n", Fence: 1}))
	must(t, s.Recover(ctx, connector.Epoch{}, nil))
	odd := []string{"a", "a\x00b", "a\x00", " a", "'", "\xff", "日本", "../x", "a ", "A"}
	for i, name := range odd {
		must(t, s.Write(ctx, connector.Chunk{Batch: thing(t, name, "v", int64(i))}))
	}
	must(t, s.Decide(ctx, connector.Epoch{Number: 1}))
	must(t, s.Close())
	v := view(t, open(t, dir, Config{}), 0)
	for i, name := range odd {
		b, err := v.Point("things", name, 0, 0, nil)
		must(t, err)
		if got := b.Len(); got != 1 || string(b.Column(0).Bytes(0)) != name || b.Column(1).Int(0) != int64(i) {
			t.Errorf("symbol %q: %d rows %q", name, got, lines(b))
		}
	}
}

// TestDamagedCatalogIsFound flips a bit of a symbol, and one of a coverage.
func TestDamagedCatalogIsFound(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	covers := sealedCoverage([]knowledge{{market.StatePartial, unit(0).Interval(), []int32{1}}})
	damage := func(of []byte, at int) {
		name := filepath.Join(dir, CatalogName)
		raw, err := os.ReadFile(name)
		must(t, err)
		found := bytes.Index(raw, of)
		if found < 0 {
			t.Fatalf("%q is not in the catalog's file", of)
		}
		raw[found+at] ^= 1
		must(t, os.WriteFile(name, raw, 0o600))
	}
	s, err := Open(dir, Config{})
	must(t, err)
	w, err := s.Lock(t.Context(), "test")
	must(t, err)
	c := put(bars(t, bar{pufa, day("2024-01-02"), 1, true}))
	c.Coverage = []Cover{{
		Dataset: market.Bar1D, Freq: "1d", Source: "sim", Symbol: pufa, Interval: unit(0).Interval(),
		State: market.StatePartial,
	}}
	_, err = w.Commit(t.Context(), c)
	must(t, err)
	must(t, w.Unlock())
	must(t, s.Close())
	damage([]byte(pufa), 1)
	s, err = Open(dir, Config{})
	must(t, err)
	problems, err := s.Verify(t.Context(), nil)
	must(t, err)
	if len(problems) == 0 || problems[0].Place != CatalogName {
		t.Errorf("a damaged symbol: %v", problems)
	}
	must(t, s.Close())
	damage(covers, 1)
	if _, err := Open(dir, Config{}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a damaged coverage: %v", err)
	}
}
