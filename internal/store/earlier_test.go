package store

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tapeline/tapeline/internal/market"
)

// unpackEarlier unpacks a store's folder that a program of format 1 wrote: two commits of earlierBars,
// compacted, a segment and a blob above, and a deletion.
func unpackEarlier(t *testing.T) string {
	t.Helper()
	file, err := os.Open(filepath.Join("testdata", "format1.tar.gz"))
	must(t, err)
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	must(t, err)
	dir, in := t.TempDir(), tar.NewReader(unzipped)
	for {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		must(t, err)
		path := filepath.Join(dir, filepath.FromSlash(header.Name))
		if header.Typeflag == tar.TypeDir {
			must(t, os.MkdirAll(path, 0o755))
			continue
		}
		data, err := io.ReadAll(in)
		must(t, err)
		must(t, os.WriteFile(path, data, 0o600))
	}
}

// earlierBars is what the earlier program wrote at first.
func earlierBars() (rows []bar) {
	for i := range 8 {
		for n := range 365 {
			rows = append(rows, bar{
				fmt.Sprintf("%06d.XSHG", 600000+i), day("2022-01-01") + market.Date(n),
				int64(100000 + 10000*i + 100*(n*7%50)), true,
			})
		}
	}
	return rows
}

// TestEarlierFormat reads and continues a store that an earlier program wrote.
func TestEarlierFormat(t *testing.T) {
	t.Parallel()
	for _, whole := range []int64{0, 1} { // segments decoded at once, and read by the page
		s := open(t, unpackEarlier(t), Config{wholeRows: whole})
		w := lock(t, s)
		want := map[string]string{}
		for _, b := range earlierBars() {
			want[b.symbol+" "+b.date.String()] = fmt.Sprintf("%d.%04d", b.close/10000, b.close%10000)
		}
		for n := range 120 {
			want["600000.XSHG "+(day("2023-01-01")+market.Date(n)).String()] = "12.0000"
		}
		want["600000.XSHG 2022-01-05"] = "13.0000"
		delete(want, "600007.XSHG 2022-12-31")
		var all []string
		for key, close := range want {
			all = append(all, key+" "+close)
		}
		slices.Sort(all)
		same := func(when string) {
			t.Helper()
			if got := slices.Sorted(slices.Values(closes(t, view(t, s, 0), Range{}))); !slices.Equal(got, all) {
				t.Fatalf("%s: %d rows, want %d", when, len(got), len(all))
			}
			b, err := view(t, s, 0).Point(market.Bar1D, "600003.XSHG", day("2022-08-01"), day("2022-08-01"), nil)
			must(t, err)
			if got := lines(b); len(got) != 1 ||
				got[0] != "600003.XSHG 2022-08-01 13.3400 13.3400 13.3400 13.3400 13.3400 400200 13.3400 13.340000 true NULL true" {
				t.Fatalf("%s: %q", when, got)
			}
			problems, err := s.Verify(t.Context(), nil)
			must(t, err)
			if len(problems) > 0 {
				t.Fatalf("%s: %v", when, problems)
			}
		}
		same("as it was")
		if got := closes(t, view(t, s, 2), Range{Symbols: []string{"600000.XSHG"}, To: day("2022-01-05")}); got[4] !=
			"600000.XSHG 2022-01-05 10.2800" {
			t.Errorf("as of 2: %q", got)
		}
		known, err := view(t, s, 0).Coverage(market.Bar1D, "d", "vendor")
		must(t, err)
		if got := known["600000.XSHG"]; len(got) == 0 {
			t.Errorf("coverage %v", known)
		}
		_, err = w.Compact(t.Context(), true)
		must(t, err)
		same("compacted")
		_, err = w.Commit(t.Context(), put(bars(t, bar{"600000.XSHG", day("2022-01-05"), 140000, true})))
		must(t, err)
		all[4] = "600000.XSHG 2022-01-05 14.0000"
		same("continued")
	}
}
