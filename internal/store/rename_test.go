package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
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
