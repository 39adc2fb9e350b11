package app

import (
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/batch"
)

func TestCanonical(t *testing.T) {
	decimal := batch.DecimalOf(12, 4)
	wall := batch.TimestampOf(batch.Millisecond, "")
	utc := batch.TimestampOf(batch.Nanosecond, "UTC")
	tests := []struct {
		typ   batch.Type
		value any
		want  string
	}{
		{batch.Of(batch.Int64), 2, "2"},
		{batch.Of(batch.Float64), 2.0, "2"},
		{batch.Of(batch.Float64), 1.5, "1.5"},
		{batch.Of(batch.Float64), 1e22, "1" + strings.Repeat("0", 22)},
		{batch.Of(batch.Float64), 1.5e-7, "0.00000015"},
		{batch.Of(batch.Float64), math.Copysign(0, -1), "0"},
		{decimal, "1.50", "1.5"},
		{decimal, "200", "200"},
		{decimal, "0", "0"},
		{batch.Of(batch.String), "1.50", "1.50"},
		{batch.Of(batch.String), "", ""},
		{batch.Of(batch.String), nil, "\x00"},
		{batch.Of(batch.Bool), true, "true"},
		{wall, "2024-01-01T00:00:00.500", "2024-01-01T00:00:00.5"},
		{utc, "2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"},
		{batch.TimestampOf(batch.Second, "Asia/Shanghai"), "2024-01-01T08:00:00+08:00", "2024-01-01T00:00:00Z"},
		{batch.Of(batch.JSON), `{"b": 1.0, "a": 12345678901234567890}`, `{"a":12345678901234567890,"b":1}`},
	}
	for _, test := range tests {
		a := batch.NewAppender(test.typ)
		if err := a.Any(test.value); err != nil {
			t.Fatalf("%v as %s: %v", test.value, test.typ, err)
		}
		if got := string(canonical(nil, a.Column(), 0)); got != test.want {
			t.Errorf("%v as %s is %q, want %q", test.value, test.typ, got, test.want)
		}
	}
}

// A difference is found wherever it stands, also when every bucket differs.
func TestDiffFindsEachDifference(t *testing.T) {
	parts, err := NewParts()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name string, rows ...string) string {
		path := filepath.Join(dir, name)
		text := "id,v\n" + strings.Join(rows, "\n") + "\n"
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	log := slog.New(slog.DiscardHandler)
	a := write("a.csv", "1,x", "2,y", "2,y", "3,z")
	tests := []struct {
		name, b string
		want    DiffCounts
	}{
		{"same", write("1.csv", "3,z", "2,y", "1,x", "2,y"), DiffCounts{}},
		{"one repeat less", write("2.csv", "3,z", "2,y", "1,x"), DiffCounts{OnlyInA: 1}},
		{"changed", write("3.csv", "1,x", "2,y", "2,Y", "3,z"), DiffCounts{Changed: 1}},
		{"all others", write("4.csv", "4,x", "5,y"), DiffCounts{OnlyInA: 4, OnlyInB: 2}},
	}
	for _, test := range tests {
		got, err := parts.Diff(t.Context(), Diff{A: a, B: test.b, Key: []string{"id"}}, log)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(test.want, got.Counts); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
		if got.Equal != (test.want == DiffCounts{}) || !got.Exact {
			t.Errorf("%s: equal %t, exact %t", test.name, got.Equal, got.Exact)
		}
	}
}

func TestPlainNumber(t *testing.T) {
	for text, want := range map[string]string{
		"0.0047269799999999996": "0.0047269799999999996", "9.999999747378752e-05": "0.00009999999747378752",
		"1.50": "1.5", "-0.0": "0", "+12e2": "1200", "007": "7", ".5": "0.5", "5.": "5", "-1.5E-2": "-0.015",
		"": "", "x": "", ".": "", "1e99999": "", "NaN": "",
	} {
		if got, ok := plainNumber(text); got != want || ok != (want != "") {
			t.Errorf("%q is %q (%t), want %q", text, got, ok, want)
		}
	}
}

// Numbers with more digits than a decimal has are compared all the same, and so are moments that
// one side keeps without their zone.
func TestDiffOfWhatOneSideCannotHold(t *testing.T) {
	parts, err := NewParts()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	a := write("a.csv", "at,v\n2024-01-02T08:00:00+08:00,0.5\n2024-01-02T00:00:01Z,0.0000000000000000000047\n")
	for b, want := range map[string]bool{
		write("b.csv", "at,v\n2024-01-02T00:00:00,0.50\n2024-01-02T00:00:01,4.7e-21\n"): true,
		write("c.csv", "at,v\n2024-01-02T08:00:00,0.50\n2024-01-02T00:00:01,4.7e-21\n"): false,
		write("d.csv", "at,v\n2024-01-02T00:00:00,0.50\n2024-01-02T00:00:01,4.8e-21\n"): false,
	} {
		got, err := parts.Diff(t.Context(), Diff{A: a, B: b}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if got.Equal != want {
			t.Errorf("%s: equal %t, want %t: %+v", filepath.Base(b), got.Equal, want, got)
		}
	}
}

// Beyond the rows held in memory only some buckets are looked at.
func TestDifferingBucketsAreBounded(t *testing.T) {
	a, b := &bucketSums{buckets: make([]bucket, diffBuckets)}, &bucketSums{buckets: make([]bucket, diffBuckets)}
	for i := range a.buckets {
		a.buckets[i] = bucket{rowSum{uint64(i), 1}, 1000}
		b.buckets[i] = bucket{rowSum{uint64(i), 2}, 1000}
	}
	found, all := differingBuckets(a, b)
	if all || len(found) != mostDiffRows/2000 {
		t.Errorf("%d buckets, all %t; want %d", len(found), all, mostDiffRows/2000)
	}
	b.buckets = append([]bucket(nil), a.buckets...)
	b.buckets[7].rows++
	if found, all := differingBuckets(a, b); !all || !found[7] || len(found) != 1 {
		t.Errorf("found %v, all %t; want bucket 7", found, all)
	}
}
