package store

import (
	"context"
	"database/sql"
	"testing"
	"time"
)

// TestTransactionModes: whatever a transaction begins with, one that read before another process wrote
// is repeated and not lost.
func TestTransactionModes(t *testing.T) {
	for _, mode := range []string{"", "deferred", "immediate", "exclusive"} {
		dir := t.TempDir()
		ours, err := Open(dir, Config{TransactionMode: mode})
		must(t, err)
		theirs, err := Open(dir, Config{})
		must(t, err)
		w, err := ours.Lock(t.Context(), "test")
		must(t, err)
		runs := 0
		err = ours.catalog.change(t.Context(), func(ctx context.Context, tx *sql.Conn) error {
			runs++
			var n int
			if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM ban`).Scan(&n); err != nil {
				return err
			}
			if mode == "deferred" && runs == 1 {
				if err := theirs.Ban(ctx, "vendor", time.Now()); err != nil {
					return err
				}
			}
			_, err := tx.ExecContext(ctx, `INSERT INTO budget (provider, window, used) VALUES ('vendor', 'w', ?)`, n)
			return err
		})
		must(t, err)
		used, _, err := ours.Budget(t.Context(), "vendor", "w")
		must(t, err)
		wantRuns, want := 1, int64(0)
		if mode == "deferred" {
			wantRuns, want = 2, 1 // it sees what the other wrote
		}
		if runs != wantRuns || used != want {
			t.Errorf("mode %q: ran %d times and wrote %d, want %d and %d", mode, runs, used, wantRuns, want)
		}
		must(t, w.Unlock())
		must(t, ours.Close())
		must(t, theirs.Close())
	}
}
