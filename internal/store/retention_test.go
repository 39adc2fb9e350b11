package store

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/market"
)

// aged makes all that the catalog says of times older than any horizon.
func aged(t *testing.T, s *Store) {
	t.Helper()
	for _, change := range []string{
		`UPDATE journal SET time = seq`, `UPDATE segment SET retired = 1 WHERE retired <> 0`,
		`UPDATE epoch SET seen = 1`, `UPDATE report SET finished = id`,
	} {
		_, err := s.catalog.write.ExecContext(t.Context(), change)
		must(t, err)
	}
}

// numbers are the commits a journal tells, each with how many datasets it says it changed.
func numbers(t *testing.T, s *Store) (list []string) {
	t.Helper()
	entries, err := s.Journal(t.Context(), 0, 0)
	must(t, err)
	for _, e := range entries {
		list = append(list, fmt.Sprintf("%d:%d", e.Seq, len(e.Changed)))
	}
	return list
}

// TestCatalogForgets has six commits grow old: what no cursor, lease or readable commit needs is forgotten
// by a compaction, and nothing else.
// invariant: the catalog forgets nothing that a readable commit, a cursor or a reader under way needs
func TestCatalogForgets(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := open(t, t.TempDir(), Config{Horizon: time.Hour})
	w := lock(t, s)
	date := day("2024-01-02")
	commit := func(close int64) {
		t.Helper()
		_, err := w.Commit(ctx, put(bars(t, bar{pufa, date, close, true})))
		must(t, err)
	}
	compact := func(want ...string) {
		t.Helper()
		_, err := w.Compact(ctx, true)
		must(t, err)
		if got := numbers(t, s); !slices.Equal(got, want) {
			t.Fatalf("the journal tells %v, want %v", got, want)
		}
	}
	for n := range int64(4) {
		commit(n + 1)
	}
	must(t, s.SetCursor(ctx, Cursor{"mirror", 3, time.Now().Add(time.Hour)}))
	must(t, s.SetCursor(ctx, Cursor{"gone", 1, time.Now().Add(-time.Hour)}))
	compact("1:1", "2:2", "3:2", "4:2") // the rows that changed are restated
	aged(t, s)
	lease, err := s.lease(ctx, 2)
	must(t, err)
	compact("1:1", "2:2", "3:2", "4:2")
	must(t, s.releaseLease(ctx, lease))
	compact("1:1", "3:2", "4:2") // the cursor goes on behind 3
	must(t, s.DropCursor(ctx, "mirror"))
	compact("1:1", "4:2")
	if got := closes(t, view(t, s, 4), Range{}); len(got) != 1 || got[0] != pufa+" 2024-01-02 0.0004" {
		t.Errorf("as of 4: %q", got)
	}
	if _, err := s.View(ctx, 3); !errors.Is(err, ErrHorizon) {
		t.Errorf("as of 3: %v", err)
	}
	var cursors int
	must(t, s.catalog.db.QueryRowContext(ctx, `SELECT count(*) FROM cursor`).Scan(&cursors))
	if cursors != 0 {
		t.Errorf("%d cursors", cursors)
	}
	// What the journal has forgotten is past the horizon: deletes are dropped all the same.
	_, err = w.Commit(ctx, Changes{Deletes: map[string][]*batch.Batch{market.Bar1D: {bars(t, bar{pufa, date, 4, true})}}})
	must(t, err)
	_, err = s.catalog.write.ExecContext(ctx, `DELETE FROM change WHERE seq = 5`)
	must(t, err)
	_, err = s.catalog.write.ExecContext(ctx, `DELETE FROM journal WHERE seq = 5`)
	must(t, err)
	done, err := w.Compact(ctx, true)
	must(t, err)
	if done.Rows != 0 {
		t.Errorf("%+v: the deleted row was kept", done)
	}
}

// TestReportsAreForgotten keeps the newest ones, and what all of them were asked.
func TestReportsAreForgotten(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := open(t, t.TempDir(), Config{Horizon: time.Hour})
	w := lock(t, s)
	save := func(run, kind, asked string) {
		t.Helper()
		must(t, s.SaveReport(ctx, Report{Run: run, Kind: kind, Started: time.Unix(1, 0), JSON: []byte(`{"asked":` + asked + `}`)}))
	}
	ask := func(from, to string) string { return fmt.Sprintf(`{"universe":"all","from":"%s","to":"%s"}`, from, to) }
	save("early", "sync", ask("1999-01-01", "1999-12-31"))
	save("part", "sync", ask("2024-01-01", "2024-01-02"))
	save("other", "sync", `{"universe":"index","from":"2024-01-01","to":"2024-01-02"}`)
	must(t, s.SaveReport(ctx, Report{Run: "none", Kind: "sync", JSON: []byte(`{}`)}))
	save("repair", "repair", ask("2001-01-01", "2001-12-31"))
	for i := range keptReports {
		save(strconv.Itoa(i), "sync", ask("2024-01-01", "2024-06-28"))
	}
	before, err := s.Asked(ctx, "sync")
	must(t, err)
	_, err = w.Compact(ctx, false)
	must(t, err)
	if kept, err := s.Reports(ctx, "", 0); err != nil || len(kept) != keptReports+1 {
		t.Errorf("%d reports are left, %v", len(kept), err)
	}
	after, err := s.Asked(ctx, "sync")
	must(t, err)
	var want [][]byte
	for _, text := range before {
		if string(text) != ask("2024-01-01", "2024-01-02") { // asked again since, over more days
			want = append(want, text)
		}
	}
	if !slices.EqualFunc(after, want, slices.Equal) || len(after) != 3 {
		t.Errorf("asked %q, want %q", after, want)
	}
}

// TestEpochsAndBudgetsAreForgotten keeps those of runs that went on within the horizon.
func TestEpochsAndBudgetsAreForgotten(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := open(t, t.TempDir(), Config{Horizon: 48 * time.Hour})
	w := lock(t, s)
	for _, run := range []string{"old", "waits"} {
		_, err := s.claim(ctx, Epoch{Run: run, Node: "store", Fence: 1})
		must(t, err)
	}
	aged(t, s)
	_, err := s.claim(ctx, Epoch{Run: "waits", Node: "store", Fence: 2})
	must(t, err)
	now := time.Now().UTC()
	for _, at := range []time.Time{now, now.Add(-24 * time.Hour), now.Add(-96 * time.Hour)} {
		_, _, err := s.Take(ctx, "vendor", at.Format(time.DateOnly), 7, 0)
		must(t, err)
	}
	_, _, err = s.Take(ctx, "vendor", "whole life", 7, 0)
	must(t, err)
	_, err = w.Compact(ctx, false)
	must(t, err)
	var runs, windows int
	must(t, s.catalog.db.QueryRowContext(ctx, `SELECT (SELECT group_concat(run) = 'waits' FROM epoch), (SELECT count(*) FROM budget)`).
		Scan(&runs, &windows))
	if runs != 1 || windows != 3 {
		t.Errorf("waits alone is left: %d; %d windows", runs, windows)
	}
	w.store.catalog.fault = func(string) error { return errors.New("nothing is left to forget") }
	must(t, w.forget(ctx))
}
