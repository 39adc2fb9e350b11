package export_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/export"
	"github.com/tapeline/tapeline/internal/store"
)

// TestSecondExportIsRefused begins one in the folder while another writes its first file.
func TestSecondExportIsRefused(t *testing.T) {
	t.Parallel()
	v := newVendor(t, 3)
	v.commit()
	out := filepath.Join(t.TempDir(), "bars")
	r := export.Request{Store: v.store, Out: out, Layout: export.Hive, Dataset: "bar_1d", Format: "csv", Sink: fileSinks("csv")}
	second, met := r, false
	r.Sink = func(path string) (connector.Sink, error) {
		if !met {
			met = true
			report, err := export.Run(t.Context(), second)
			if report != nil || !errors.Is(err, export.ErrLocked) ||
				!strings.Contains(err.Error(), "the export of "+v.store.Dir()+" (process ") {
				t.Errorf("the second: %+v, %v", report, err)
			}
		}
		return fileSinks("csv")(path)
	}
	report, err := export.Run(t.Context(), r)
	must(t, err)
	if !met || !report.Completed || report.Written == 0 {
		t.Fatalf("the first: %+v", report)
	}
	report, err = export.Run(t.Context(), second)
	must(t, err)
	if report.Written != 0 {
		t.Errorf("after the first: %+v", report)
	}
}

// TestNoLockAmongFilesOfOthers: a folder that is refused gets no lock.
func TestNoLockAmongFilesOfOthers(t *testing.T) {
	t.Parallel()
	v := newVendor(t, 4)
	v.commit()
	out := t.TempDir()
	must(t, os.WriteFile(filepath.Join(out, "precious.txt"), nil, 0o600))
	_, err := export.Run(t.Context(), export.Request{
		Store: v.store, Out: out, Layout: export.Hive, Dataset: "bar_1d", Format: "csv", Sink: fileSinks("csv"),
	})
	if err == nil {
		t.Error("the folder was taken")
	}
	entries, err := os.ReadDir(out)
	must(t, err)
	if len(entries) != 1 {
		t.Errorf("%d entries", len(entries))
	}
}

// TestForgottenCommitTellsNoStore: a folder goes on when the store has forgotten when the commit was made
// that it shows, and is told from that of another store by the first commit.
func TestForgottenCommitTellsNoStore(t *testing.T) {
	t.Parallel()
	v, other := newVendor(t, 5), newVendor(t, 6)
	for range 3 {
		v.commit()
		other.commit()
	}
	out := filepath.Join(t.TempDir(), "bars")
	r := export.Request{Store: v.store, Out: out, Layout: export.Hive, Dataset: "bar_1d", Format: "csv", Sink: fileSinks("csv")}
	_, err := export.Run(t.Context(), r)
	must(t, err)
	v.commit()
	for _, s := range []*store.Store{v.store, other.store} {
		db, err := sql.Open("sqlite", filepath.Join(s.Dir(), store.CatalogName))
		must(t, err)
		for _, change := range []string{
			`DELETE FROM change WHERE seq IN (2, 3)`, `DELETE FROM journal WHERE seq IN (2, 3)`,
		} {
			_, err = db.ExecContext(t.Context(), change)
			must(t, err)
		}
		must(t, db.Close())
	}
	report, err := export.Run(t.Context(), r)
	must(t, err)
	if !report.Completed || report.Before != 3 || report.Sequence != 4 {
		t.Errorf("the same store: %+v", report)
	}
	r.Store = other.store
	if _, err := export.Run(t.Context(), r); err == nil || !strings.Contains(err.Error(), "was exported from another store") {
		t.Errorf("another store: %v", err)
	}
}
