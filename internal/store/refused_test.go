package store

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/market"
)

// wants fails unless an error names what it must.
func wants(t *testing.T, what string, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: %v, want %q", what, err, text)
	}
}

func TestBadDefinitions(t *testing.T) {
	t.Parallel()
	text, date := batch.Of(batch.String), batch.Of(batch.Date)
	fields := func(types ...batch.Type) *batch.Schema {
		var out []batch.Field
		for i, typ := range types {
			out = append(out, batch.Field{Name: string(rune('a' + i)), Type: typ})
		}
		return batch.NewSchema(out...)
	}
	for _, c := range []struct {
		m    market.Dataset
		want string
	}{
		{market.Dataset{Schema: fields(text)}, "no key"},
		{market.Dataset{Schema: fields(text), Key: []string{"a", "a"}}, "distinct names"},
		{market.Dataset{Schema: fields(text, date), Key: []string{"a", "z"}}, "distinct names"},
		{market.Dataset{Schema: fields(text), Key: []string{"z"}}, "is not among"},
		{market.Dataset{Schema: fields(text, batch.DecimalOf(38, 8)), Key: []string{"a"}}, "no form"},
		{market.Dataset{Schema: fields(text, batch.Of(batch.Null)), Key: []string{"a"}}, "no form"},
		{market.Dataset{Schema: fields(text, text), Key: []string{"a", "b"}, Time: "b"}, "want date"},
		{market.Dataset{Schema: fields(text, date), Key: []string{"a"}, Time: "b"}, "belong to the key"},
	} {
		_, err := newDataset(c.m)
		if err == nil || !strings.Contains(err.Error(), c.want) && c.want != "is not among" {
			t.Errorf("%v: %v, want %q", c.m, err, c.want)
		}
	}
	for _, text := range []string{
		"{", `{"columns":[{"name":"a","type":"what"}],"key":["a"]}`,
		`{"columns":[{"name":"a","type":"string"}],"key":["a"],"partition":"week"}`,
	} {
		if _, err := parseDefinition("x", text); !errors.Is(err, ErrCorrupt) {
			t.Errorf("definition %q: %v", text, err)
		}
	}
}

func TestRefusedCommits(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := open(t, t.TempDir(), Config{})
	w := lock(t, s)
	_, err := w.Commit(ctx, put(bars(t, bar{pufa, day("2024-01-02"), 1, true})))
	must(t, err)
	in := market.Interval{From: 1, To: 2}
	batches := func(name string, b *batch.Batch) map[string][]*batch.Batch {
		return map[string][]*batch.Batch{name: {b}}
	}
	only := func(names ...string) *batch.Batch {
		all := bars(t, bar{pufa, day("2024-01-02"), 1, true})
		var fields []batch.Field
		var columns []*batch.Column
		for _, name := range names {
			i := all.Schema().Index(name)
			fields, columns = append(fields, all.Schema().Field(i)), append(columns, all.Column(i))
		}
		return batch.New(batch.NewSchema(fields...), columns, 1)
	}
	for _, c := range []struct {
		what string
		c    Changes
		want string
	}{
		{"restatements", Changes{Puts: batches(Restatements, only("symbol"))}, "written by commits"},
		{"unknown", Changes{Deletes: batches("nothing", only("symbol"))}, "no such dataset"},
		{"no key column", Changes{Puts: batches(market.Bar1D, only("symbol", "open"))}, "key column date"},
		{"no column", Changes{Puts: batches(market.Bar1D, only("symbol", "date"))}, "no column"},
		{"replace what", Changes{Replace: []Replace{{"nothing", "", in}}}, "no such dataset"},
		{"replace when", Changes{Replace: []Replace{{market.Listing, "", in}}}, "no dates"},
		{"replace nothing", Changes{Replace: []Replace{{market.Bar1D, "", market.Interval{From: 2, To: 1}}}}, "empty"},
		{"replace whom", Changes{Replace: []Replace{{market.CalendarDay, pufa, in}}}, "not kept by symbol"},
		{"coverage when", Changes{Coverage: []Cover{{Dataset: "d", Interval: market.Interval{From: 2, To: 1}}}}, "after"},
		{"coverage of what", Changes{Coverage: []Cover{{Dataset: "d", Interval: in, State: "odd"}}}, "state"},
		{"coverage of whom", Changes{Coverage: []Cover{{Dataset: "d", Interval: in, Symbol: "x", State: market.StateOK}}}, "x"},
	} {
		_, err := w.Commit(ctx, c.c)
		wants(t, c.what, err, c.want)
	}
	seq, err := w.Commit(ctx, Changes{Replace: []Replace{{market.Bar1D, "000002.XSHE", in}}})
	if err != nil || seq != 1 {
		t.Errorf("rows of a symbol that has none replaced: commit %d, %v", seq, err)
	}
	must(t, w.Unlock()) // what follows is the work of another program
	_, err = s.catalog.db.ExecContext(ctx, `INSERT INTO dataset (id, name, definition) VALUES (9, ?, ?)`,
		market.Valuation1D, `{"columns":[{"name":"symbol","type":"string"}],"key":["symbol"],"partition":"none"}`)
	must(t, err)
	_, err = s.catalog.db.ExecContext(ctx, `UPDATE meta SET changes = changes + 1`)
	must(t, err)
	w = lock(t, s)
	_, err = w.Commit(ctx, Changes{Puts: batches(market.Valuation1D, only("symbol"))})
	wants(t, "a dataset of other columns", err, "other columns")
	if got := closes(t, view(t, s, 0), Range{}); len(got) != 1 {
		t.Errorf("rows %q", got)
	}
}

func TestRefusedReads(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := open(t, t.TempDir(), Config{})
	w := lock(t, s)
	_, err := w.Commit(ctx, put(threeBars(t)))
	must(t, err)
	v := view(t, s, 0)
	scan := func(dataset string, r Range, columns []string) (err error) {
		for _, err = range v.Scan(dataset, r, columns) {
			continue
		}
		return err
	}
	wants(t, "unknown dataset", scan("nothing", Range{}, nil), "no such dataset")
	wants(t, "unknown column", scan(market.Bar1D, Range{}, []string{"x"}), "no column x")
	wants(t, "symbols of a calendar", scan(market.CalendarDay, Range{Symbols: []string{pufa}}, nil), "not kept by symbol")
	_, err = v.Latest(market.Listing, pufa)
	wants(t, "latest without time", err, "no latest row")
	_, err = v.Latest(market.CalendarDay, pufa)
	wants(t, "latest of a calendar", err, "not kept by symbol")
	_, err = v.CoverageIn(market.Bar1D, "1d", "x", "odd")
	wants(t, "coverage", err, "state")
	_, err = s.View(ctx, 7)
	wants(t, "a later commit", err, "no such commit yet")
	if got := v.Symbols(); !slices.Equal(got, []string{pufa}) {
		t.Errorf("symbols %q", got)
	}
	if got, err := v.Point(market.Bar1D, "000002.XSHE", 0, 0, nil); err != nil || got.Len() != 0 {
		t.Errorf("unknown symbol: %v", err)
	}
	for range v.Scan(market.Bar1D, Range{}, nil) {
		break // leaves early
	}
	wants(t, "alias of a code", w.Alias(ctx, pufa, "x", always()), "x")
	wants(t, "alias of nothing", w.Alias(ctx, "000002.XSHE", "000003.XSHE", always()), "no such symbol")
	wants(t, "alias of no time", w.Alias(ctx, pufa, "000003.XSHE", market.Interval{From: 2, To: 1}), "empty")
	if list, err := s.Journal(ctx, 1, 0); err != nil || len(list) != 0 {
		t.Errorf("journal %v %v", list, err)
	}
}

// TestClosedAndCancelled: what is over refuses calls, and ends twice without harm.
func TestClosedAndCancelled(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s, err := Open(t.TempDir(), Config{})
	must(t, err)
	w, err := s.Lock(ctx, "test")
	must(t, err)
	_, err = w.Commit(ctx, put(threeBars(t)))
	must(t, err)
	v, err := s.View(ctx, 0)
	must(t, err)
	over, cancel := context.WithCancelCause(ctx)
	ended := errors.New("ended")
	cancel(ended)
	if _, err := w.Compact(over, true); !errors.Is(err, ended) && !errors.Is(err, context.Canceled) {
		t.Errorf("compact: %v", err)
	}
	if _, err := s.Verify(over, nil); !errors.Is(err, ended) && !errors.Is(err, context.Canceled) {
		t.Errorf("verify: %v", err)
	}
	if err := s.SetCursor(over, Cursor{Name: "x"}); !errors.Is(err, ended) {
		t.Errorf("cursor: %v", err)
	}
	must(t, w.Unlock())
	must(t, w.Unlock())
	_, err = w.Commit(ctx, Changes{})
	_, compactErr := w.Compact(ctx, true)
	for what, err := range map[string]error{
		"commit": err, "compact": compactErr, "alias": w.Alias(ctx, pufa, "000003.XSHE", always()),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s without the lock: %v", what, err)
		}
	}
	must(t, s.Close())
	must(t, s.Close())
	_, err = s.View(ctx, 0)
	_, lockErr := s.Lock(ctx, "test")
	_, pointErr := v.Point(market.Bar1D, pufa, 0, 0, nil)
	_, verifyErr := s.Verify(ctx, nil)
	_, statsErr := s.Stats(ctx)
	_, commitErr := w.Commit(ctx, Changes{})
	for what, err := range map[string]error{
		"view": err, "lock": lockErr, "point": pointErr, "verify": verifyErr, "stats": statsErr, "commit": commitErr,
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s of a closed store: %v", what, err)
		}
	}
	must(t, v.Close())
}

// TestFoldsBlobsBesideALargeSegment: where merging all does not pay, small commits are merged with each
// other.
func TestFoldsBlobsBesideALargeSegment(t *testing.T) {
	t.Parallel()
	large := &segmentInfo{lo: 1, hi: 1, rows: 10_000_000, file: "f"}
	list := []*segmentInfo{large}
	s := newState()
	for n := range 21 {
		list = append(list, &segmentInfo{lo: Seq(n + 2), hi: Seq(n + 2), rows: 999})
	}
	if got := s.compactable(list, false); len(got) != 21 || got[0] != list[1] {
		t.Errorf("%d segments of 21 blobs with 20,979 rows", len(got))
	}
	if got := s.compactable(list[:20], false); got != nil {
		t.Errorf("%d segments of 19 blobs with 18,981 rows", len(got))
	}
	list = append(list, &segmentInfo{lo: 30, hi: 30, rows: 5000, file: "g"})
	if got := s.compactable(list, false); got != nil {
		t.Errorf("%d segments before a file", len(got))
	}
	if got := s.compactable(list, true); len(got) != len(list) {
		t.Errorf("all: %d segments of %d", len(got), len(list))
	}
}

func TestRefusedSinks(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c := Connector()
	for _, cfg := range []SinkConfig{{}, {Path: "x", Key: []string{"a"}}} {
		if _, err := c.Sink.New(connector.Env{}, &cfg); err == nil {
			t.Errorf("sink %+v is accepted", cfg)
		}
	}
	dir := filepath.Join(t.TempDir(), "store")
	s := testSink(t, c, SinkConfig{Path: dir}, 1).(*sink)
	wants(t, "another epoch", s.Recover(ctx, connector.Epoch{Number: 3}, []byte("{}")), "restored from a backup")
	s.last = 3
	wants(t, "a damaged token", s.Recover(ctx, connector.Epoch{Number: 3}, []byte("{")), "token")
	s.last = 0
	wants(t, "rows without dataset", s.Write(ctx, connector.Chunk{Batch: threeBars(t)}), "name no dataset")
	wants(t, "unknown dataset", s.Write(ctx, connector.Chunk{Table: "odd", Batch: threeBars(t)}), "no such dataset")
	wants(t, "units", s.Write(ctx, units(t, market.Unit{Dataset: "x", State: "odd"})), "unit")
	for name, table := range map[string]string{"unit": market.UnitTable, "quarantine": market.QuarantineTable} {
		wants(t, name, s.Write(ctx, connector.Chunk{Table: table, Batch: threeBars(t)}), name)
	}
	empty := threeBars(t).Slice(0, 0)
	must(t, s.Write(ctx, connector.Chunk{Table: market.Bar1D, Batch: empty}))
	over, cancel := context.WithCancel(ctx)
	cancel()
	if err := s.Write(over, connector.Chunk{Table: market.Bar1D, Batch: empty}); !errors.Is(err, context.Canceled) {
		t.Errorf("write after the end: %v", err)
	}
	must(t, s.Close())
	must(t, s.Close())
	must(t, s.Check(ctx))
	if key := (&sink{cfg: SinkConfig{Dataset: market.Bar1D}}).Key(); !slices.Equal(key, []string{"symbol", "date"}) {
		t.Errorf("key %q", key)
	}
	given := &sink{cfg: SinkConfig{Writer: &Writer{}}}
	must(t, given.Check(ctx))
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, []byte("no folder"), 0o600))
	made, err := c.Sink.New(connector.Env{}, &SinkConfig{Path: filepath.Join(file, "store")})
	must(t, err)
	if err := made.(*sink).Check(ctx); err == nil {
		t.Error("a store below a file")
	}
	if err := made.Open(ctx, connector.Task{}); err == nil {
		t.Error("a store below a file is opened")
	}
	for name, key := range map[string][]string{"Odd Name": {"symbol"}, "odd": {"price"}} {
		made, err := c.Sink.New(connector.Env{}, &SinkConfig{Path: dir, Dataset: name, Key: key})
		must(t, err)
		must(t, made.Open(ctx, connector.Task{Run: "r", Node: name, Fence: 1}))
		if err := made.Write(ctx, connector.Chunk{Batch: thing(t, "a", "x", 1)}); err == nil {
			t.Errorf("own dataset %q with key %q is accepted", name, key)
		}
		must(t, made.Close())
	}
}

func TestRefusedSources(t *testing.T) {
	t.Parallel()
	for _, cfg := range []SourceConfig{
		{},
		{Path: "x"},
		{Path: "x", Dataset: "y", From: "odd"},
		{Path: "x", Dataset: "y", From: "2024-01-02", To: "2024-01-01"},
		{Path: "x", Dataset: "y", Incremental: true, AsOf: 1},
	} {
		if _, err := newSource(connector.Env{}, cfg); err == nil {
			t.Errorf("source %+v is accepted", cfg)
		}
	}
	for _, raw := range []string{"", "\x02{}", "\x01{", "\x01{\"seq\":-1}"} {
		if _, err := parsePlace(connector.Position(raw)); err == nil {
			t.Errorf("position %q is accepted", raw)
		}
	}
	dir := t.TempDir()
	w := lock(t, open(t, dir, Config{}))
	_, err := w.Commit(t.Context(), put(threeBars(t)))
	must(t, err)
	for what, c := range map[string]struct {
		cfg      SourceConfig
		position string
	}{
		"position": {SourceConfig{Path: dir, Dataset: market.Bar1D}, "\x01{"},
		"commit":   {SourceConfig{Path: dir, Dataset: market.Bar1D, AsOf: 9}, ""},
		"dataset":  {SourceConfig{Path: dir, Dataset: "odd"}, ""},
	} {
		s, err := newSource(connector.Env{}, c.cfg)
		must(t, err)
		var position connector.Position
		if c.position != "" {
			position = connector.Position(c.position)
		}
		if err := s.Open(t.Context(), connector.Partition{}, position); err == nil {
			t.Errorf("%s is accepted", what)
		}
		must(t, s.Close())
	}
	s, err := newSource(connector.Env{}, SourceConfig{Path: dir, Dataset: "odd"})
	must(t, err)
	if _, err := s.Discover(t.Context()); !errors.Is(err, ErrDataset) {
		t.Errorf("discover: %v", err)
	}
	if _, err := s.Read(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("read before open: %v", err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Open(over, connector.Partition{}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("open after the end: %v", err)
	}
	must(t, s.Ack(t.Context(), connector.Position("\x01{\"done\":true}")))
}

// TestIncrementalSource reads what changed since its last run, deletes included, and refuses when they
// are no longer kept.
func TestIncrementalSource(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dir := t.TempDir()
	s := open(t, dir, Config{Horizon: 1})
	w := lock(t, s)
	_, err := w.Commit(ctx, put(threeBars(t)))
	must(t, err)
	cfg := SourceConfig{Path: dir, Dataset: market.Bar1D, Columns: []string{"date", "close"}, Incremental: true}
	env := connector.Env{Workflow: "w", Node: "n", Log: slog.New(slog.DiscardHandler)}
	read := func(position connector.Position) ([]string, connector.Position, error) {
		src, err := newSource(env, cfg)
		must(t, err)
		defer func() { must(t, src.Close()) }()
		if err := src.Open(ctx, connector.Partition{}, position); err != nil {
			return nil, nil, err
		}
		var out []string
		for {
			chunk, err := src.Read(ctx)
			if errors.Is(err, io.EOF) {
				must(t, src.Ack(ctx, chunk.Position))
				return out, chunk.Position, nil
			}
			must(t, err)
			for row, line := range lines(chunk.Batch) {
				out = append(out, chunk.Batch.Operation(row).String()+" "+line)
			}
		}
	}
	rows, position, err := read(nil)
	must(t, err)
	if len(rows) != 3 {
		t.Errorf("first run: %q", rows)
	}
	c := put(bars(t, bar{pufa, day("2024-01-03"), 9, true}))
	c.Deletes = map[string][]*batch.Batch{market.Bar1D: {bars(t, bar{pufa, day("2024-01-02"), 1, true})}}
	_, err = w.Commit(ctx, c)
	must(t, err)
	done, err := w.Compact(ctx, true) // the cursor keeps the delete
	must(t, err)
	if done.Outputs == 0 {
		t.Errorf("compaction %+v", done)
	}
	rows, next, err := read(position)
	must(t, err)
	if want := []string{"delete 2024-01-02 0.0000", "upsert 2024-01-03 0.0009"}; !slices.Equal(rows, want) {
		t.Errorf("second run: %q, want %q", rows, want)
	}
	cursors, err := s.Cursors(ctx)
	must(t, err)
	if len(cursors) != 1 || cursors[0].Name != "w/n" || cursors[0].Seq != 2 {
		t.Errorf("cursors %+v", cursors)
	}
	must(t, s.DropCursor(ctx, "w/n"))
	_, err = w.Commit(ctx, put(bars(t, bar{pufa, day("2024-01-05"), 9, true})))
	must(t, err)
	_, err = w.Compact(ctx, true) // the delete goes
	must(t, err)
	if _, _, err := read(position); !errors.Is(err, ErrHorizon) {
		t.Errorf("a run that lacks deletes: %v", err)
	}
	if err := s.SetCursor(ctx, Cursor{Name: "late", Seq: 1, Expires: time.Now().Add(time.Hour)}); !errors.Is(err, ErrHorizon) {
		t.Errorf("a cursor that lacks deletes: %v", err)
	}
	if _, _, err := read(next); err != nil && !errors.Is(err, ErrHorizon) {
		t.Error(err)
	}
}
