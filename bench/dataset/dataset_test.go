package dataset

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"strconv"
	"testing"
)

// counted hashes and counts what is written to it.
type counted struct {
	io.Writer

	sizeBytes int64
}

func (c *counted) Write(text []byte) (int, error) {
	c.sizeBytes += int64(len(text))
	return c.Writer.Write(text)
}

// digest returns the sha256 and the size of what write writes.
func digest(t *testing.T, write func(io.Writer, int) error, rows int) (string, int64) {
	t.Helper()
	hash := sha256.New()
	target := &counted{Writer: hash}
	if err := write(target, rows); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(hash.Sum(nil)), target.sizeBytes
}

func TestPrefixBytes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		form  string
		write func(io.Writer, int) error
		want  string
	}{
		{"csv", WriteCSV, "2f74f9e32c4207e1416ffbfccfb1e211a6c8f6ffc3e5e8c8e4fa1b349868aa1e"},
		{"ndjson", WriteNDJSON, "8124186431a95070918cbce56a2fbb97860eab476b406f80678f23d78e3a1ae3"},
	} {
		if got, _ := digest(t, test.write, 10_000); got != test.want {
			t.Errorf("%s of 10,000 rows: sha256 got %s, want %s", test.form, got, test.want)
		}
	}
}

// TestFullBytes takes seconds, so it runs on request; the prefix already fixes every column.
func TestFullBytes(t *testing.T) {
	if os.Getenv("TAPELINE_BENCH_FULL") == "" {
		t.Log("the 5 M rows are hashed only with TAPELINE_BENCH_FULL=1; 10,000 are hashed always")
		return
	}
	const csvSum = "eba1fa14644ef434e60bb2bed00f1575ce4e4b6b1a0ac1fdcfcddc5769e0279a"
	got, sizeBytes := digest(t, WriteCSV, 5_000_000)
	if got != csvSum || sizeBytes != 505_591_801 {
		t.Errorf("csv: got %s, %d bytes, want %s, 505591801 bytes", got, sizeBytes, csvSum)
	}
	const ndjsonSum = "e5e6e9d6479e2cbd0ea49a40774a3ee442c57a2d7fec8477a42587196cda486b"
	got, sizeBytes = digest(t, WriteNDJSON, 5_000_000)
	if got != ndjsonSum || sizeBytes != 1_030_591_730 {
		t.Errorf("ndjson: got %s, %d bytes, want %s, 1030591730 bytes", got, sizeBytes, ndjsonSum)
	}
}

// TestFormsAgree reads both forms back with the standard library and compares every field.
func TestFormsAgree(t *testing.T) {
	t.Parallel()
	const rows = 2000
	var table, objects bytes.Buffer
	if err := WriteCSV(&table, rows); err != nil {
		t.Fatal(err)
	}
	if err := WriteNDJSON(&objects, rows); err != nil {
		t.Fatal(err)
	}
	records, err := csv.NewReader(&table).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(records) != rows+1 {
		t.Fatalf("csv records: got %d, want %d", len(records), rows+1)
	}
	decoder := json.NewDecoder(&objects)
	decoder.UseNumber()
	for n, record := range records[1:] {
		var object map[string]any
		if err := decoder.Decode(&object); err != nil {
			t.Fatalf("object %d: %v", n+1, err)
		}
		for i, column := range records[0] {
			text, isText := object[column].(string)
			if !isText {
				text = object[column].(json.Number).String()
			}
			if text != record[i] {
				t.Errorf("row %d %s: csv %q, ndjson %q", n+1, column, record[i], text)
			}
		}
	}
}

func TestExpectedFromText(t *testing.T) {
	t.Parallel()
	const rows = 2000
	var table bytes.Buffer
	if err := WriteCSV(&table, rows); err != nil {
		t.Fatal(err)
	}
	records, err := csv.NewReader(&table).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var want Outcome
	for _, record := range records[1:] {
		if record[4] != "active" {
			continue
		}
		id := number(t, record[0], 0)
		want.Amounts.add(id, number(t, record[7], 2)*10)
		want.Totals.add(id, number(t, record[5], 3)*number(t, record[6], 0))
	}
	if got := Expected(rows); got != want {
		t.Errorf("expected sums: got %+v, want %+v", got, want)
	}
}

// number reads a decimal with exactly decimals digits after the point as an integer.
func number(t *testing.T, text string, decimals int) int64 {
	t.Helper()
	if decimals > 0 {
		point := len(text) - decimals - 1
		if point < 1 || text[point] != '.' {
			t.Fatalf("number %q: want %d decimals", text, decimals)
		}
		text = text[:point] + text[point+1:]
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// invariant: row n depends on n and the seed alone, so a smaller data set is a prefix of a larger
func TestSmallerIsPrefix(t *testing.T) {
	t.Parallel()
	for _, write := range []func(io.Writer, int) error{WriteCSV, WriteNDJSON} {
		var small, large bytes.Buffer
		if err := write(&small, 700); err != nil {
			t.Fatal(err)
		}
		if err := write(&large, 701); err != nil {
			t.Fatal(err)
		}
		rest, isPrefix := bytes.CutPrefix(large.Bytes(), small.Bytes())
		if !isPrefix || bytes.Count(rest, []byte("\n")) != 1 {
			t.Errorf("701 rows after the first 700: got %q, want one line", rest)
		}
	}
}

func TestKeptRows(t *testing.T) {
	t.Parallel()
	if got, want := Expected(1_000_000).Amounts.Rows, int64(600_185); got != want {
		t.Errorf("active rows of the first million: got %d, want %d", got, want)
	}
}

func BenchmarkAppendCSV(b *testing.B) {
	generator := NewGenerator()
	var line []byte
	b.ReportAllocs()
	for b.Loop() {
		line = generator.Next().AppendCSV(line[:0])
	}
	b.SetBytes(int64(len(line)))
}
