package store

import (
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/market"
)

// testSink is an opened sink of a stream of units.
func testSink(t testing.TB, c connector.Connector, cfg SinkConfig, fence uint64) connector.Decider {
	t.Helper()
	made, err := c.Sink.New(connector.Env{Log: slog.New(slog.DiscardHandler)}, &cfg)
	must(t, err)
	s, ok := made.(connector.Decider)
	if !ok {
		t.Fatal("the sink does not decide")
	}
	must(t, s.Open(t.Context(), connector.Task{Run: "run", Node: "store", Fence: fence}))
	return s
}

func units(t testing.TB, list ...market.Unit) connector.Chunk {
	t.Helper()
	b := batch.NewBuilder(market.UnitSchema())
	for _, u := range list {
		market.AppendUnit(b, u)
	}
	out, err := b.Batch()
	must(t, err)
	return connector.Chunk{Table: market.UnitTable, Batch: out}
}

func unit(rows int64) market.Unit {
	return market.Unit{
		Dataset: market.Bar1D, Symbol: "600000.XSHG", Freq: "1d", Source: "sim",
		From: day("2024-01-02"), To: day("2024-01-04"), Rows: rows, State: market.StateOK,
	}
}

func threeBars(t testing.TB) *batch.Batch {
	return bars(t, bar{"600000.XSHG", day("2024-01-02"), 1, true}, bar{"600000.XSHG", day("2024-01-03"), 2, true},
		bar{"600000.XSHG", day("2024-01-04"), 3, true})
}

func decide(t testing.TB, s connector.Decider, number uint64) []byte {
	t.Helper()
	prepared, err := s.Prepare(t.Context(), connector.Epoch{Number: number})
	must(t, err)
	must(t, s.Decide(t.Context(), connector.Epoch{Number: number}))
	return prepared.Token
}

// TestUnitsBecomeCoverage sends a unit whole, short, and cut by a checkpoint and a new process.
// invariant: a unit of which rows are missing never becomes coverage
func TestUnitsBecomeCoverage(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for _, c := range []struct {
		name  string
		rows  int64
		state market.State
	}{{"whole", 3, market.StateOK}, {"short", 4, market.StatePartial}} {
		dir := filepath.Join(t.TempDir(), "store")
		cfg := SinkConfig{Path: dir, Source: "sim"}
		s := testSink(t, Connector(), cfg, 1)
		must(t, s.Recover(ctx, connector.Epoch{}, nil))
		all := threeBars(t)
		must(t, s.Write(ctx, connector.Chunk{Table: market.Bar1D, Batch: all.Slice(0, 2)}))
		token := decide(t, s, 1)
		must(t, s.Close())
		s = testSink(t, Connector(), cfg, 2)
		must(t, s.Recover(ctx, connector.Epoch{Number: 1}, token))
		must(t, s.Write(ctx, connector.Chunk{Table: market.Bar1D, Batch: all.Slice(2, 3)}))
		must(t, s.Write(ctx, units(t, unit(c.rows))))
		decide(t, s, 2)
		v := view(t, open(t, dir, Config{}), 0)
		covered, err := v.CoverageIn(market.Bar1D, "1d", "sim", c.state)
		must(t, err)
		if got := covered["600000.XSHG"].String(); got != "2024-01-02..2024-01-04" {
			t.Errorf("%s: covered %q", c.name, got)
		}
		if got := closes(t, v, Range{}); len(got) != 3 {
			t.Errorf("%s: rows %q", c.name, got)
		}
		must(t, s.Close())
	}
}

// TestUnknownColumnsStay: rows of a source that knows less than the store bring what they know and nothing else.
// invariant: a source replaces no value of a column of which it knows nothing
func TestUnknownColumnsStay(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "store")
	listing, _ := market.DatasetByName(market.Listing)
	write := func(fence uint64, unknown []string, rows ...[]string) {
		s := testSink(t, Connector(), SinkConfig{
			Path: dir, Source: "sim", Unknown: map[string][]string{market.Listing: unknown},
		}, fence)
		b := batch.NewBuilder(listing.Schema)
		for _, row := range rows {
			for i, text := range row {
				if text == "" {
					b.Column(i).Null()
				} else {
					must(t, b.Column(i).Any(text))
				}
			}
		}
		out, err := b.Batch()
		must(t, err)
		must(t, s.Write(t.Context(), connector.Chunk{Table: market.Listing, Batch: out}))
		decide(t, s, fence)
		must(t, s.Close())
	}
	write(1, nil, []string{"600000.XSHG", "A", "stock", "1999-11-10", "", "listed"},
		[]string{"600003.XSHG", "C", "stock", "2000-01-04", "2010-01-29", "delisted"})
	write(2, []string{"class", "ipo_date", "out_date", "status"},
		[]string{"600000.XSHG", "A2", "unknown", "", "", "listed"}, // known already, but for its name
		[]string{"600002.XSHG", "B", "unknown", "", "", "listed"},  // new
		[]string{"600003.XSHG", "C", "unknown", "", "", "listed"})  // says nothing new
	st := open(t, dir, Config{})
	var got []string
	for b, err := range view(t, st, 0).Scan(market.Listing, Range{}, nil) {
		must(t, err)
		got = append(got, lines(b)...)
	}
	want := []string{
		"600000.XSHG A2 stock 1999-11-10 NULL listed", "600003.XSHG C stock 2000-01-04 2010-01-29 delisted",
		"600002.XSHG B unknown NULL NULL listed",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	entries, err := st.Journal(t.Context(), 1, 0)
	must(t, err)
	if len(entries) != 1 || len(entries[0].Changed) != 2 ||
		entries[0].Changed[0] != (DatasetChange{Dataset: market.Listing, New: 1, Changed: 1}) {
		t.Errorf("the second commit says %+v", entries)
	}
}

func TestBadRowsGoToQuarantine(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dir := filepath.Join(t.TempDir(), "store")
	s := testSink(t, Connector(), SinkConfig{Path: dir, Source: "sim"}, 1)
	must(t, s.Recover(ctx, connector.Epoch{}, nil))
	good := threeBars(t)
	low := batch.NewAppender(good.Column(4).Type())
	for _, text := range []string{"0.0001", "9.0000", "0.0003"} { // above its own high
		must(t, low.Any(text))
	}
	must(t, s.Write(ctx, connector.Chunk{Table: market.Bar1D, Batch: good.Replace(4, low.Column())}))
	q := batch.NewBuilder(market.QuarantineSchema())
	market.AppendQuarantine(q, market.Quarantine{
		Dataset: market.Bar1D, Symbol: "600000.XSHG", Source: "sim", Rule: "type", Raw: "a,b", Place: "page 1", Message: "no",
	})
	held, err := q.Batch()
	must(t, err)
	must(t, s.Write(ctx, connector.Chunk{Table: market.QuarantineTable, Batch: held}))
	must(t, s.Write(ctx, units(t, unit(4))))
	decide(t, s, 1)
	v := view(t, open(t, dir, Config{}), 0)
	if got := closes(t, v, Range{}); len(got) != 2 {
		t.Errorf("rows %q", got)
	}
	covered, err := v.Coverage(market.Bar1D, "1d", "sim")
	must(t, err)
	if len(covered) != 1 {
		t.Errorf("coverage %v", covered)
	}
	var got []string
	for b, err := range v.Scan(Quarantined, Range{}, []string{"symbol", "date", "source", "rule", "raw"}) {
		must(t, err)
		got = append(got, lines(b)...)
	}
	if len(got) != 2 || !strings.HasPrefix(got[0], "600000.XSHG 2024-01-03 sim ") ||
		!strings.Contains(got[0], `"low":"9.0000"`) && !strings.Contains(got[0], `"low":9.0000`) ||
		got[1] != "600000.XSHG NULL sim type a,b" {
		t.Errorf("quarantine %q", got)
	}
	must(t, s.Close())
}

// TestEpochIsCommittedOnce fences a process that lost its lease.
// invariant: an epoch is committed once, by the newest owner of its task
func TestEpochIsCommittedOnce(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dir := filepath.Join(t.TempDir(), "store")
	c := Connector()
	old := testSink(t, c, SinkConfig{Path: dir}, 1)
	must(t, old.Recover(ctx, connector.Epoch{}, nil))
	must(t, old.Write(ctx, connector.Chunk{Table: market.Bar1D, Batch: threeBars(t)}))
	newer := testSink(t, c, SinkConfig{Path: dir}, 2)
	must(t, newer.Recover(ctx, connector.Epoch{}, nil))
	if err := old.Decide(ctx, connector.Epoch{Number: 1}); !errors.Is(err, ErrFenced) {
		t.Errorf("the older process decides: %v", err)
	}
	decide(t, newer, 1)
	if err := newer.Decide(ctx, connector.Epoch{Number: 1}); err == nil {
		t.Error("an epoch is decided twice")
	}
	must(t, old.Close())
	must(t, newer.Close())
	if got := closes(t, view(t, open(t, dir, Config{}), 0), Range{}); len(got) != 0 {
		t.Errorf("rows of the fenced process: %q", got)
	}
}

// TestSecondWriterIsRefused names the holder of the lock.
func TestSecondWriterIsRefused(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "store")
	first := testSink(t, Connector(), SinkConfig{Path: dir}, 1)
	made, err := Connector().Sink.New(connector.Env{}, &SinkConfig{Path: dir})
	must(t, err)
	err = made.Open(t.Context(), connector.Task{Workflow: "w"})
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "run run") {
		t.Errorf("second writer: %v", err)
	}
	must(t, made.Close())
	must(t, first.Close())
}

// TestSinkIsFull asks for a commit when many rows wait, once until more came.
func TestSinkIsFull(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	made, err := Connector().Sink.New(connector.Env{}, &SinkConfig{Path: filepath.Join(t.TempDir(), "store")})
	must(t, err)
	s := made.(connector.Decider)
	must(t, s.Open(ctx, connector.Task{Run: "run", Node: "n", Fence: 1}))
	must(t, s.Recover(ctx, connector.Epoch{}, nil))
	rows := benchBars(t, 0, 128, day("2021-01-01"), fullRows/128/2)
	for i, want := range []bool{false, true, false, true} {
		must(t, s.Write(ctx, connector.Chunk{Table: market.Bar1D, Batch: rows}))
		if got := s.(connector.Bounded).Full(); got != want {
			t.Errorf("after %d times half of what may wait: %t", i+1, got)
		}
	}
	must(t, s.Write(ctx, connector.Chunk{Table: market.Bar1D, Batch: rows}))
	must(t, s.Decide(ctx, connector.Epoch{Number: 1}))
	must(t, s.Write(ctx, connector.Chunk{Table: market.Bar1D, Batch: rows}))
	if s.(connector.Bounded).Full() {
		t.Error("rows that are committed wait still")
	}
	must(t, s.Close())
}
