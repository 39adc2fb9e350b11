package csv

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/filesink"
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

// unpack extracts a .tar.xz of a data set.
func unpack(t *testing.T, archive string) string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("tar", "-xJf", archive, "-C", dir).CombinedOutput(); err != nil {
		testenv.Skip(t, "tar with xz cannot unpack "+archive+": "+string(out))
	}
	return dir
}

// parameters is the dialect that the Pollock sets state beside each file.
type parameters struct {
	Encoding    string   `json:"encoding"`
	Delimiter   string   `json:"delimiter"`
	Quote       string   `json:"quotechar"`
	Escape      string   `json:"escapechar"`
	RowEnd      string   `json:"row_delimiter"`
	HeaderLines any      `json:"header_lines"`
	Preamble    any      `json:"preamble_lines"`
	Names       []string `json:"column_names"`
	Columns     any      `json:"n_columns"`
}

func number(v any) int {
	n, _ := strconv.Atoi(fmt.Sprint(v))
	return n
}

// config is what a user who knows the dialect would write.
func (p parameters) config(path string) SourceConfig {
	cfg := at(path)
	header := false
	cfg.Header = &header
	cfg.Encoding = p.Encoding
	cfg.Delimiter = p.Delimiter
	cfg.Quote, cfg.Escape = p.Quote, p.Escape
	cfg.SkipRows = number(p.HeaderLines) + number(p.Preamble)
	cfg.Ragged = "fit"
	if p.RowEnd == "\r" {
		cfg.RecordEnd = "cr"
	}
	var columns []filesink.ColumnConfig
	for _, name := range p.Names {
		columns = append(columns, filesink.ColumnConfig{Name: name, Type: "string"})
	}
	if columns != nil {
		cfg.Schema.Columns = columns
	}
	return cfg
}

// configSurvey guesses delimiter and quote, which the survey's parameters often state wrongly, and
// takes the width from the file.
func (p parameters) configSurvey(path string) SourceConfig {
	cfg := p.config(path)
	cfg.Delimiter, cfg.Quote, cfg.Escape, cfg.Dialect, cfg.Schema.Columns = "", "", "", "auto", nil
	return cfg
}

// score is Pollock's ten measures: success, then precision, recall and F1 of header, records and
// cells. Cells are compared exactly; the original folds case, numbers and dates first.
func score(want, got [][]string, ok bool) (total float64) {
	if !ok {
		return 0
	}
	if len(want) == 0 {
		return 10
	}
	var header []string
	if len(got) > 0 {
		header = got[0]
	}
	joined := func(rows [][]string) (records []string) {
		for _, row := range rows[min(1, len(rows)):] {
			records = append(records, strings.Join(row, ""))
		}
		return records
	}
	return 1 + overlap(want[0], header) + overlap(joined(want), joined(got)) +
		overlap(slices.Concat(want...), slices.Concat(got...))
}

// overlap is precision + recall + F1 of two multisets.
func overlap(want, got []string) float64 {
	if len(want) == 0 {
		return 3
	}
	count := map[string]int{}
	for _, text := range want {
		count[text]++
	}
	common := 0
	for _, text := range got {
		if count[text] > 0 {
			count[text]--
			common++
		}
	}
	if common == 0 {
		return 0
	}
	p, r := float64(common)/float64(len(want)), float64(common)/float64(len(got))
	return p + r + 2*p*r/(p+r)
}

// load reads one file of a Pollock set as rows, the header first where there is one.
func load(cfg SourceConfig, p parameters) ([][]string, error) {
	got, err := read(cfg, usual(), nil)
	if err != nil {
		return nil, err
	}
	var rows [][]string
	if len(p.Names) > 0 {
		rows = append(rows, p.Names)
	}
	for _, row := range got.rows {
		for i := range row {
			row[i] = strings.TrimPrefix(row[i], null)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// TestPollock scores the polluted files with their dialects given. DuckDB 1.5.4, with the settings
// of the benchmark's authors, scores 9.957 and 9.915 by the same measure on the same files; its
// published scores over the whole set are 9.961 and 9.599.
func TestPollock(t *testing.T) {
	t.Parallel()
	dir := unpack(t, filepath.Join(testenv.Data(t, "csv_pollock"), "polluted_dev.tar.xz"))
	weights := map[string]float64{}
	text, err := os.ReadFile(dir + "/pollock_weights.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &weights); err != nil {
		t.Fatal(err)
	}
	files, simple, weighted, weight := scoreSet(t, dir+"/polluted_files", parameters.config, weights)
	simple, weighted = simple/float64(files), weighted/weight
	t.Logf("%d files: simple %.3f, weighted %.3f (DuckDB 1.5.4: 9.957, 9.915)", files, simple, weighted)
	if files != 589 || simple < 9.961 || weighted < 9.915 {
		t.Errorf("%d files: simple %.3f, weighted %.3f; want 589, 9.961, 9.915", files, simple, weighted)
	}
}

// TestSurvey scores real open-data files, whose clean versions were made by hand.
func TestSurvey(t *testing.T) {
	t.Parallel()
	dir := unpack(t, filepath.Join(testenv.Data(t, "csv_survey_real"), "survey_dev.tar.xz"))
	files, simple, _, _ := scoreSet(t, dir+"/survey_sample", parameters.configSurvey, nil)
	simple /= float64(files)
	t.Logf("%d files: simple %.3f", files, simple)
	if files != 48 || simple < 9 {
		t.Errorf("%d files: simple %.3f; want 48, at least 9", files, simple)
	}
}

func scoreSet(
	t *testing.T, dir string, config func(parameters, string) SourceConfig, weights map[string]float64,
) (n int, simple, weighted, weight float64) {
	t.Helper()
	files, err := filepath.Glob(dir + "/csv/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		var p parameters
		text, err := os.ReadFile(filepath.Join(dir, "parameters", name+"_parameters.json"))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &p); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(filepath.Join(dir, "clean", name))
		if err != nil {
			t.Fatal(err)
		}
		r := csv.NewReader(f)
		r.FieldsPerRecord, r.LazyQuotes = -1, true
		want, err := r.ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		rows, err := load(config(p, file), p)
		got := score(want, rows, err == nil)
		if got < 9.9 {
			t.Logf("%.3f %s %v (%d rows, want %d)", got, name, err, len(rows), len(want))
		}
		n, simple = n+1, simple+got
		weighted, weight = weighted+got*weights[name], weight+weights[name]
	}
	return n, simple, weighted, weight
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
