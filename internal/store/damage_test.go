package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/internal/market"
)

// TestAbandonedSegmentsAreForgotten: the rows of a damaged segment are gone, what is left reads, and
// commits before, which had them, are refused.
func TestAbandonedSegmentsAreForgotten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, Config{fileRows: 1})
	w := lock(t, s)
	for i, date := range []string{"2023-01-03", "2024-01-02", "2024-01-03"} {
		_, err := w.Commit(t.Context(), put(bars(t, bar{pufa, day(date), int64(i + 1), true})))
		must(t, err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "bar_1d", "2024", "0000000002-*"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	raw, err := os.ReadFile(files[0])
	must(t, err)
	raw[len(raw)/2] ^= 1
	must(t, os.WriteFile(files[0], raw, 0o600))

	told := 0
	problems, err := s.Verify(t.Context(), func(read, all int) { told = max(told, read+1, all) })
	must(t, err)
	if len(problems) != 1 || told != 3 {
		t.Fatalf("problems %v of %d segments, want one of 3", problems, told)
	}
	e := problems[0].Segment
	want := &Extent{
		Dataset: market.Bar1D, Dates: market.Interval{From: day("2024-01-02"), To: day("2024-01-02")},
		Symbols: []string{pufa}, Rows: 1, id: e.id, checksum: e.checksum,
	}
	if diff := cmp.Diff(want, e, cmp.AllowUnexported(Extent{})); diff != "" {
		t.Errorf("damaged (-want +got):\n%s", diff)
	}
	must(t, w.Abandon(t.Context(), []*Extent{e}))
	if _, err := os.Stat(files[0]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file of the damaged segment: %v", err)
	}
	if problems, err = s.Verify(t.Context(), nil); err != nil || len(problems) > 0 {
		t.Errorf("afterwards %v, %v", problems, err)
	}
	b, err := view(t, s, 0).Point(market.Bar1D, pufa, 0, 0, []string{"date"})
	must(t, err)
	if got := lines(b); !slices.Equal(got, []string{"2023-01-03", "2024-01-03"}) {
		t.Errorf("left is %v", got)
	}
	if _, err := s.View(t.Context(), 2); !errors.Is(err, ErrHorizon) {
		t.Errorf("a commit before: %v", err)
	}
	// It is no commit, and further ones go on behind it.
	seq, err := w.Commit(t.Context(), put(bars(t, bar{pufa, day("2024-01-02"), 2, true})))
	if err != nil || seq != 4 {
		t.Errorf("the next commit is %d, %v", seq, err)
	}
	other := open(t, dir, Config{})
	b, err = view(t, other, 0).Point(market.Bar1D, pufa, 0, 0, []string{"date"})
	must(t, err)
	if fmt.Sprint(lines(b)) != "[2023-01-03 2024-01-02 2024-01-03]" {
		t.Errorf("another process reads %v", lines(b))
	}
}
