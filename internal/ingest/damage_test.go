package ingest_test

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tapeline/tapeline/internal/ingest"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/store"
)

// ruin spoils what the store's catalog holds of a dataset, and opens the store anew.
func (v *fakeVendor) ruin(dataset string) {
	v.t.Helper()
	dir := v.store.Dir()
	v.close()
	db := must(sql.Open("sqlite", filepath.Join(dir, store.CatalogName)))
	spoilt := must(db.Exec(`UPDATE blob SET bytes = zeroblob(length(bytes)) WHERE segment IN (
		SELECT s.id FROM segment s JOIN dataset d ON d.id = s.dataset WHERE d.name = ?)`, dataset))
	if n := must(spoilt.RowsAffected()); n == 0 {
		v.t.Fatalf("the catalog holds no rows of %s", dataset)
	}
	if err := db.Close(); err != nil {
		v.t.Fatal(err)
	}
	v.store = must(store.Open(dir, store.Config{}))
	v.t.Cleanup(func() { _ = v.store.Close() })
}

// TestDamageOfEveryDataset: whatever part of a store is damaged, verify names it and goes on, and repair mends
// what a provider can give again and leaves the rest.
func TestDamageOfEveryDataset(t *testing.T) {
	for dataset, mended := range map[string]bool{
		market.Bar1D: true, market.AdjFactor: true, market.Listing: true, "quarantine": false, store.Restatements: false,
	} {
		t.Run(dataset, func(t *testing.T) {
			v := newFakeVendor(t, "2024-04-10T12:00")
			v.ex = v.day("2024-03-20")
			v.want(ingest.StatusComplete)
			v.commit(store.Changes{Quarantine: []market.Quarantine{{
				Dataset: market.Bar1D, Symbol: stocks[0], Date: v.day("2024-03-12"), Source: "fake", Rule: market.RulePrice,
			}}})
			v.put(stocks[2], "2024-03-13", "10", "10.5", "10", "10", "10") // a restatement
			v.ruin(dataset)
			found := v.verify(ingest.Verify{})
			if found.Errors == 0 || found.Counts[ingest.RuleDamage] == 0 {
				t.Fatalf("verify found %s", found.Text())
			}
			for _, f := range found.Findings {
				if f.Rule == ingest.RuleDamage && (f.Dataset != dataset || f.Remedy == "") {
					t.Errorf("found %+v, want damage of %s with its remedy", f, dataset)
				}
			}
			report := v.repair(ingest.Repair{})
			if mended != report.Whole() || mended != (len(report.Abandoned) > 0) {
				t.Errorf("repaired: %t, gave up %v, want %t\n%s", report.Whole(), report.Abandoned, mended, report.Text())
			}
			after := v.verify(ingest.Verify{})
			if mended && after.Errors > 0 || !mended && after.Counts[ingest.RuleDamage] == 0 {
				t.Errorf("afterwards %s", after.Text())
			}
			if !mended && !strings.Contains(report.Text(), "restore") {
				t.Errorf("the remedy is not named:\n%s", report.Text())
			}
		})
	}
}
