package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tapeline/tapeline/bench/dataset"
)

// active returns the rows of a form that the benchmark's filter keeps, with the header of CSV.
func active(t *testing.T, write func(io.Writer, int) error, rows int) []byte {
	t.Helper()
	var all, kept bytes.Buffer
	if err := write(&all, rows); err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(all.Bytes()) {
		text := string(line)
		if strings.HasPrefix(text, "customer_id") || strings.Contains(text, ",active,") ||
			strings.Contains(text, `"status":"active"`) {
			kept.Write(line)
		}
	}
	return kept.Bytes()
}

func TestSumReachesExpected(t *testing.T) {
	t.Parallel()
	const rows = 3000
	want := dataset.Expected(rows).Amounts
	for _, test := range []struct {
		form   format
		text   []byte
		header bool
	}{
		{formatCSV, active(t, dataset.WriteCSV, rows), true},
		{formatNDJSON, active(t, dataset.WriteNDJSON, rows), false},
	} {
		got, err := sum(bytes.NewReader(test.text), test.form, "amount")
		if err != nil {
			t.Fatalf("%s: %v", test.form, err)
		}
		if err := verify(got, want); err != nil {
			t.Errorf("%s: %v", test.form, err)
		}
		if !got.Ordered || got.Header != test.header || got.SizeBytes != int64(len(test.text)) {
			t.Errorf("%s: got %+v, want ordered, header %t, %d bytes", test.form, got,
				test.header, len(test.text))
		}
	}
}

func TestSumReadsOtherWriters(t *testing.T) {
	t.Parallel()
	want := dataset.Sums{Rows: 2, IDs: 3, Values: 861_132_524 + 1_500}
	for name, text := range map[string]string{
		"blanks": `{"customer_id": 1, "total": 861132.524}` + "\n" +
			`{"customer_id": 2, "total": 1.5}` + "\n",
		"strings": `{"total":"861132.524","customer_id":"1"}` + "\n" +
			`{"total":"1.5","customer_id":"2"}` + "\n",
		"binary": `{"customer_id":1,"total":861132.5240000001}` + "\n" +
			`{"customer_id":2,"total":1.5e0}`,
	} {
		got, err := sum(strings.NewReader(text), formatNDJSON, "total")
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got.Sums != want {
			t.Errorf("%s: got %+v, want %+v", name, got.Sums, want)
		}
	}
}

func TestSumFindsFaults(t *testing.T) {
	t.Parallel()
	text := active(t, dataset.WriteCSV, 100)
	want := dataset.Expected(100).Amounts
	lines := bytes.SplitAfter(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
	whole, err := sum(bytes.NewReader(text), formatCSV, "amount")
	if err != nil {
		t.Fatal(err)
	}

	lost := bytes.Join(lines[:len(lines)-1], nil)
	got, err := sum(bytes.NewReader(lost), formatCSV, "amount")
	if err != nil {
		t.Fatal(err)
	}
	if verify(got, want) == nil {
		t.Error("output without its last row: got no mismatch")
	}

	lines[1], lines[2] = lines[2], lines[1]
	got, err = sum(bytes.NewReader(append(bytes.Join(lines, nil), '\n')), formatCSV, "amount")
	if err != nil {
		t.Fatal(err)
	}
	if got.Ordered || got.Digest == whole.Digest || verify(got, want) != nil {
		t.Errorf("swapped rows: got %+v, want equal sums, another digest, out of order", got)
	}

	if _, err := sum(strings.NewReader("1,2\n"), formatCSV, "amount"); err == nil {
		t.Error("row without the value: got no error")
	}
	if _, err := sum(strings.NewReader("{\"customer_id\":1}\n"), formatNDJSON, "total"); err == nil {
		t.Error("object without the value: got no error")
	}
}

func TestAccount(t *testing.T) {
	t.Parallel()
	for text, good := range map[string]bool{
		`{"status":"completed","rows_in":1000000,"rows_out":500321}`: true,
		`{"status":"completed","rows_in":999999,"rows_out":500321}`:  false,
		`{"status":"completed","rows_in":1000000,"rows_out":0}`:      false,
		`{"status":"completed","rows_in":1000000`:                    false,
	} {
		path := filepath.Join(t.TempDir(), reportFile)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := readAccount(path)
		if err == nil {
			err = got.verify(1_000_000)
		}
		if (err == nil) != good {
			t.Errorf("report %s: got %v, want correct %t", text, err, good)
		}
	}
}
