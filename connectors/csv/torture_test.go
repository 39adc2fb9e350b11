package csv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/testenv"
	"github.com/tapeline/tapeline/internal/vfs"
)

func TestSpectrum(t *testing.T) {
	t.Parallel()
	dir := testenv.Data(t, "csv_spectrum")
	files, err := filepath.Glob(dir + "/csvs/*.csv")
	if err != nil || len(files) != 12 {
		t.Fatalf("%d files (%v), want 12", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".csv")
		text, err := os.ReadFile(filepath.Join(dir, "json", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		want := make([]map[string]string, 1)
		if err := json.Unmarshal(text, &want); err != nil {
			if err := json.Unmarshal(text, &want[0]); err != nil { // one row without its list
				t.Fatal(err)
			}
		}
		got, err := read(at(file), usual(), nil)
		if err != nil {
			t.Fatal(err)
		}
		var rows []map[string]string
		for _, cells := range got.rows {
			row := map[string]string{}
			for i, cell := range cells {
				row[got.names[i]] = strings.TrimPrefix(cell, null)
			}
			rows = append(rows, row)
		}
		// The set's answers have \n where the file has \r\n within quotes.
		if strings.HasSuffix(name, "_crlf") {
			for _, row := range rows {
				for key, cell := range row {
					row[key] = strings.ReplaceAll(cell, "\r\n", "\n")
				}
			}
			for _, row := range want {
				for key, cell := range row {
					row[key] = strings.ReplaceAll(cell, "\r\n", "\n")
				}
			}
		}
		if name == "location_coordinates" {
			// The answer has another number than the file, a defect of the set.
			delete(want[0], "Contact Phone Number")
			delete(rows[0], "Contact Phone Number")
		}
		if diff := cmp.Diff(want, rows); diff != "" || len(got.rejected) > 0 {
			t.Errorf("%s: rejected %v, %s", name, got.rejected, diff)
		}
	}
}

func TestRealFiles(t *testing.T) {
	t.Parallel()
	dir := testenv.Data(t, "csv_real")
	for name, want := range map[string]string{
		"birdstrikes.csv.gz": "10000 rows of 14", "airports.csv.gz": "3376 rows of 7",
	} {
		got, err := read(at(filepath.Join(dir, name)), connector.Limits{Rows: 500, Bytes: 64 << 10}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if sum := fmt.Sprintf("%d rows of %d", len(got.rows), len(got.names)); sum != want || len(got.rejected) > 0 {
			t.Errorf("%s: %s, %d rejected, want %s", name, sum, len(got.rejected), want)
		}
	}
	cfg := at(filepath.Join(dir, "birdstrikes.csv.gz"))
	s, err := newSource(connector.Env{FS: vfs.OS{}}, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	schema, err := s.(connector.Discoverer).Discover(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Log(schema)
}

// TestGigabyteLine reads a file of one line of 1 GiB: a clear error in bounded memory.
func TestGigabyteLine(t *testing.T) {
	dir := t.TempDir()
	path := writeFile(t, dir+"/long.csv", []byte("a,b\n1,2\n"))
	if err := os.Truncate(path, 1<<30); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got, err := read(at(path), usual(), nil)
	runtime.ReadMemStats(&after)
	var e *connector.Error
	if !errors.As(err, &e) || e.Class != connector.Data || e.Path != "max_record_bytes" ||
		!strings.Contains(err.Error(), "long.csv line 3") {
		t.Errorf("got %v, want a Data error that names file, line and key", err)
	}
	if len(got.rows) != 1 {
		t.Errorf("%d rows came before the line, want 1", len(got.rows))
	}
	if used := (after.TotalAlloc - before.TotalAlloc) >> 20; used > 200 {
		t.Errorf("%d MB were allocated, want at most 200", used)
	}
}
