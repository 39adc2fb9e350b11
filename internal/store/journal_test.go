package store

import (
	"errors"
	"testing"
	"time"

	"github.com/tapeline/tapeline/internal/market"
)

func TestReportsCursorsBudgets(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := open(t, t.TempDir(), Config{})
	for _, status := range []string{"running", "ok"} {
		must(t, s.SaveReport(ctx, Report{Run: "a", Kind: "sync", Status: status, Started: time.Unix(1, 0), JSON: []byte(`{}`)}))
	}
	must(t, s.SaveReport(ctx, Report{Run: "b", Kind: "verify", JSON: []byte(`{}`)}))
	reports, err := s.Reports(ctx, "sync", 0)
	must(t, err)
	if len(reports) != 1 || reports[0].Status != "ok" || !reports[0].Finished.IsZero() {
		t.Errorf("reports %+v", reports)
	}
	if reports, err = s.Reports(ctx, "", 1); err != nil || len(reports) != 1 || reports[0].Run != "b" {
		t.Errorf("newest report %+v, %v", reports, err)
	}
	must(t, s.SetCursor(ctx, Cursor{"m", 3, time.Now().Add(time.Hour)}))
	must(t, s.SetCursor(ctx, Cursor{"old", 3, time.Now().Add(-time.Hour)}))
	cursors, err := s.Cursors(ctx)
	must(t, err)
	if len(cursors) != 1 || cursors[0].Name != "m" || cursors[0].Seq != 3 {
		t.Errorf("cursors %+v", cursors)
	}
	must(t, s.DropCursor(ctx, "m"))
	for i, want := range []int64{2, 4, 4} {
		if used, ok, err := s.Take(ctx, "p", "2024-01-02", 2, 5); err != nil || ok != (i < 2) || used != want {
			t.Errorf("take %d: %t, %d used, %v", i, ok, used, err)
		}
	}
	if used, ok, err := s.Take(ctx, "p", "2024-01-03", 100, 0); err != nil || !ok || used != 100 {
		t.Errorf("take without limit: %t, %d used, %v", ok, used, err)
	}
	until := time.Now().Add(time.Hour)
	must(t, s.Ban(ctx, "p", until))
	if used, ok, err := s.Take(ctx, "p", "2024-01-02", 1, 5); err != nil || ok || used != 4 {
		t.Errorf("take while banned: %t, %d used, %v", ok, used, err)
	}
	used, banned, err := s.Budget(ctx, "p", "2024-01-02")
	if err != nil || used != 4 || !banned.Equal(until) {
		t.Errorf("budget %d until %s, %v", used, banned, err)
	}
}

// TestAliasNamesOneInstrument renames a code on a date.
func TestAliasNamesOneInstrument(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := open(t, t.TempDir(), Config{})
	w := lock(t, s)
	_, err := w.Commit(ctx, put(bars(t, bar{"920047.BJSE", day("2024-06-03"), 7, true})))
	must(t, err)
	valid := market.Interval{From: day("2020-01-01"), To: day("2024-05-31")}
	must(t, w.Alias(ctx, "920047.BJSE", "430047.BJSE", valid))
	if err := w.Alias(ctx, "920047.BJSE", "430047.BJSE", valid); err == nil {
		t.Error("an alias was given twice")
	}
	if err := w.Alias(ctx, "600000.XSHG", "430048.BJSE", valid); !errors.Is(err, ErrUnknown) {
		t.Errorf("alias of an unknown instrument: %v", err)
	}
	_, err = w.Commit(ctx, put(bars(t, bar{"430047.BJSE", day("2024-05-31"), 6, true})))
	must(t, err)
	if _, err := w.Commit(ctx, put(bars(t, bar{"430047.BJSE", day("2024-06-04"), 8, true}))); err == nil {
		t.Error("a row under a code of former times was taken")
	}
	for _, r := range []*Store{s, open(t, s.Dir(), Config{})} {
		got := closes(t, view(t, r, 0), Range{Symbols: []string{"920047.BJSE"}})
		if len(got) != 2 || got[0] != "920047.BJSE 2024-05-31 0.0006" {
			t.Errorf("rows %q", got)
		}
	}
	stats, err := s.Stats(ctx)
	must(t, err)
	if len(stats) != 1 || stats[0].Rows != 2 || stats[0].Blobs != 2 {
		t.Errorf("stats %+v", stats)
	}
}
