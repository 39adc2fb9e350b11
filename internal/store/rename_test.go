package store

import (
	"errors"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/market"
)

// A renamed instrument is read back under its new code as a whole; the old code names it up to the day it
// changed, and a later row under it is refused.
func TestRename(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := open(t, t.TempDir(), Config{})
	w := lock(t, s)
	const old, now = "300114.XSHE", "302132.XSHE"
	_, err := w.Commit(ctx, put(bars(t, bar{old, day("2024-06-03"), 7, true}, bar{"600000.XSHG", day("2024-06-03"), 1, true})))
	must(t, err)
	if _, err := view(t, s, 0).Latest(market.Bar1D, old); err != nil {
		t.Fatal(err)
	}
	until := day("2024-06-03")
	for code, want := range map[string]error{"302133.XSHE": ErrUnknown, "60000": nil} {
		if err := w.Rename(ctx, "300115.XSHE", code, until); err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("rename of an unknown instrument to %s: %v", code, err)
		}
	}
	if err := w.Rename(ctx, old, "600000.XSHG", until); err == nil {
		t.Error("an instrument was given the code of another")
	}
	must(t, w.Rename(ctx, old, now, until))
	if err := w.Rename(ctx, old, "302134.XSHE", until); !errors.Is(err, ErrUnknown) {
		t.Errorf("rename by a former code: %v", err)
	}
	_, err = w.Commit(ctx, put(bars(t, bar{now, day("2024-06-04"), 8, true}, bar{old, day("2024-05-31"), 6, true})))
	must(t, err)
	if _, err := w.Commit(ctx, put(bars(t, bar{old, day("2024-06-05"), 8, true}))); err == nil {
		t.Error("a row under a former code was taken")
	}
	want := []string{now + " 2024-05-31 0.0006", now + " 2024-06-03 0.0007", now + " 2024-06-04 0.0008"}
	for _, r := range []*Store{s, open(t, s.Dir(), Config{})} {
		v := view(t, r, 0)
		for _, code := range []string{old, now} {
			if diff := cmp.Diff(want, closes(t, v, Range{Symbols: []string{code}})); diff != "" {
				t.Errorf("rows of %s (-want +got):\n%s", code, diff)
			}
		}
		wantAlias := []Alias{{now, old, market.Interval{From: market.MinDate, To: until}}}
		if diff := cmp.Diff(wantAlias, v.Aliases()); diff != "" {
			t.Errorf("aliases (-want +got):\n%s", diff)
		}
		last, err := v.Latest(market.Bar1D, now)
		if err != nil || last.Len() != 1 {
			t.Errorf("latest row: %v, %v", last, err)
		}
	}
}

// applied returns rows by their key as a target has them after chunks.
func applied(target map[string]string, chunks []connector.Chunk) map[string]string {
	target = maps.Clone(target)
	for _, chunk := range chunks {
		if chunk.Batch == nil {
			continue
		}
		for row, line := range lines(chunk.Batch) {
			key := line[:strings.LastIndexByte(line, ' ')]
			if target[key] = line; chunk.Batch.Operation(row) == batch.Delete {
				delete(target, key)
			}
		}
	}
	return target
}

// TestIncrementalSourceFollowsCodes: what follows a store by its commits has the same rows under the same codes
// when a code changed in between, wherever its runs are stopped.
func TestIncrementalSourceFollowsCodes(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := open(t, t.TempDir(), Config{})
	w := lock(t, s)
	const old, now, other = "300114.XSHE", "302132.XSHE", "600000.XSHG"
	first, later := day("2023-06-01"), day("2024-06-03")
	_, err := w.Commit(ctx, put(bars(t, bar{old, first, 6, true}, bar{old, later, 7, true}, bar{other, later, 1, true},
		bar{other, later + 1, 2, true})))
	must(t, err)
	env := connector.Env{
		Workflow: "w", Node: "n", Log: slog.New(slog.DiscardHandler),
		Budget: connector.NewBudget(connector.Limits{Rows: 1, Bytes: 1 << 20}),
	}
	read := func(position connector.Position, symbols ...string) (chunks []connector.Chunk) {
		t.Helper()
		src, err := newSource(env, SourceConfig{
			Path: s.Dir(), Dataset: market.Bar1D, Columns: []string{"symbol", "date", "close"}, Incremental: true, Symbols: symbols,
		})
		must(t, err)
		defer func() { must(t, src.Close()) }()
		must(t, src.Open(ctx, connector.Partition{}, position))
		for {
			chunk, err := src.Read(ctx)
			chunks = append(chunks, chunk)
			if errors.Is(err, io.EOF) {
				return chunks
			}
			must(t, err)
		}
	}
	chunks := read(nil)
	before, done := applied(map[string]string{}, chunks), chunks[len(chunks)-1].Position
	must(t, w.Rename(ctx, old, now, later))
	c := put(bars(t, bar{now, later + 1, 8, true}))
	c.Deletes = map[string][]*batch.Batch{market.Bar1D: {bars(t, bar{other, later + 1, 2, true})}}
	_, err = w.Commit(ctx, c)
	must(t, err)
	want := slices.Sorted(slices.Values(closes(t, view(t, s, 0), Range{})))
	chunks = read(done)
	for i := range chunks { // also of a run that was stopped behind one
		target := applied(before, chunks[:i+1])
		if i < len(chunks)-1 {
			target = applied(target, read(chunks[i].Position))
		}
		if diff := cmp.Diff(want, slices.Sorted(maps.Values(target))); diff != "" {
			t.Errorf("stopped behind chunk %d (-want +got):\n%s", i+1, diff)
		}
	}
	if rest := read(chunks[len(chunks)-1].Position); len(rest) != 1 {
		t.Errorf("the run after it reads %d chunks", len(rest)-1)
	}
	plain, err := newSource(env, SourceConfig{Path: s.Dir(), Dataset: market.Bar1D})
	must(t, err)
	defer plain.Close()
	if err := plain.Open(ctx, connector.Partition{}, connector.Position("\x01{\"seq\":1,\"rows\":1}")); err == nil ||
		!strings.Contains(err.Error(), "other codes than when this read began") {
		t.Errorf("a read of one commit that was stopped before the change: %v", err)
	}
	// Of one that was asked for by its former code, rows come under the present one.
	if got := applied(map[string]string{}, read(nil, old)); len(got) != 3 || got[now+" "+first.String()] == "" {
		t.Errorf("by its former code: %v", got)
	}
}

// A source of a symbol that the store has never seen fails, by its name.
func TestSourceOfUnknownSymbols(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), Config{})
	_, err := lock(t, s).Commit(t.Context(), put(bars(t, bar{"600000.XSHG", day("2024-06-03"), 7, true})))
	must(t, err)
	source, err := newSource(connector.Env{}, SourceConfig{
		Path: s.Dir(), Dataset: market.Bar1D, Symbols: []string{"600001.XSHG", "600000.XSHG", "600002.XSHG"},
	})
	must(t, err)
	defer source.Close()
	err = source.Open(t.Context(), connector.Partition{}, nil)
	if !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), "600001.XSHG, 600002.XSHG (") {
		t.Errorf("got %v, want the two unknown symbols", err)
	}
}

// A folder that holds something else is no place for a store; one that is empty is.
func TestForeignFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	open(t, dir, Config{})
	dir = t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "thesis.tex"), []byte("x"), 0o600))
	if _, err := Open(dir, Config{}); !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), "thesis.tex") {
		t.Errorf("got %v, want a refusal that names the file", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("the folder holds %v now, %v", entries, err)
	}
}
