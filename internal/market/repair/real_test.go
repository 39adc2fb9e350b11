package repair_test

import (
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tapeline/tapeline/internal/market/repair"
	"github.com/tapeline/tapeline/internal/testenv"
)

func readFile(t *testing.T, name string) *repair.Table {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	plain, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	table, err := repair.Read(plain)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return table
}

// TestRealFiles repairs a vendor's real defects; each file has its repaired twin, or none where it is
// right. Repaired files are right.
func TestRealFiles(t *testing.T) {
	dir := testenv.Data(t, "vendor_bad_prices")
	files, err := filepath.Glob(filepath.Join(dir, "*.csv.gz"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		base := strings.TrimSuffix(filepath.Base(name), ".csv.gz")
		t.Run(base, func(t *testing.T) {
			table := readFile(t, name)
			changes := table.Series.Repair()
			twin := strings.TrimSuffix(name, ".csv.gz") + "-fixed.csv.gz"
			if _, err := os.Stat(twin); err != nil { // a negative, or a twin itself
				if len(changes) > 0 {
					t.Errorf("%d cells changed of a file that is right, the first of row %d: %s %s -> %s (%s)", len(changes),
						changes[0].Row, changes[0].Column, repair.Format(changes[0].Column, changes[0].Old),
						repair.Format(changes[0].Column, changes[0].New), changes[0].Rule)
				}
				return
			}
			table.Apply(changes)
			found, err := repair.Compare(table, readFile(t, twin))
			if err != nil || len(found) > 0 {
				t.Errorf("%v, %d cells differ of %d changed, the first: %+v", err, len(found), len(changes), found[:min(len(found), 6)])
			}
			if again := table.Series.Repair(); len(again) > 0 {
				t.Errorf("repaired again: %+v", again[:1])
			}
		})
	}
}
