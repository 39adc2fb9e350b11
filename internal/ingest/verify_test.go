package ingest_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/ingest"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/store"
)

// put writes a bar past all checks; nil cells are NULL.
func (v *fakeVendor) put(symbol, date string, open, high, low, last, before string) {
	v.t.Helper()
	d, _ := market.DatasetByName(market.Bar1D)
	b := batch.NewBuilder(d.Schema)
	for i, cell := range []any{
		symbol, date, open, high, low, last, before, "100", "1000", nil, true, false, true,
	} {
		if cell == nil {
			b.Column(i).Null()
		} else if err := b.Column(i).Any(cell); err != nil {
			v.t.Fatal(err)
		}
	}
	v.commit(store.Changes{Puts: map[string][]*batch.Batch{market.Bar1D: {must(b.Batch())}}})
}

// drop deletes a bar.
func (v *fakeVendor) drop(symbol, date string) {
	v.t.Helper()
	v.commit(store.Changes{Replace: []store.Replace{{
		Dataset: market.Bar1D, Symbol: symbol, Interval: market.Interval{From: v.day(date), To: v.day(date)},
	}}})
}

func (v *fakeVendor) commit(c store.Changes) {
	v.t.Helper()
	w, err := v.store.Lock(context.Background(), "test")
	if err == nil {
		_, err = w.Commit(context.Background(), c)
		if end := w.Unlock(); err == nil {
			err = end
		}
	}
	if err != nil {
		v.t.Fatal(err)
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func (v *fakeVendor) verify(r ingest.Verify) *ingest.Verification {
	v.t.Helper()
	r.Store = v.store
	r.Providers = func(string) (market.Provider, error) { return v.provider().Provider, nil }
	found, err := r.Run(context.Background())
	if err != nil {
		v.t.Fatal(err)
	}
	return found
}

// short is what a test compares of findings.
func short(v *ingest.Verification) []string {
	list := []string{}
	for _, f := range v.Findings {
		list = append(list, fmt.Sprintf("%s %s %s %s %s", f.Severity, f.Rule, f.Symbol, f.From, f.Column))
	}
	slices.Sort(list)
	return list
}

func TestVerifyFindsWrongRows(t *testing.T) {
	const one = "600001.XSHG"
	for _, test := range []struct {
		name  string
		spoil func(v *fakeVendor)
		want  []string
	}{
		{"clean", func(*fakeVendor) {}, []string{}},
		{"low above close", func(v *fakeVendor) {
			v.put(one, "2024-03-12", "10", "10", "10.5", "10", "10")
		}, []string{"error ohlc_order 600001.XSHG 2024-03-12 "}},
		{"price zero", func(v *fakeVendor) {
			v.put(one, "2024-03-12", "10", "10", "0", "10", "10")
		}, []string{
			"error price_positive 600001.XSHG 2024-03-12 ", "warning limit_band 600001.XSHG 2024-03-12 ",
		}},
		{"close a hundredfold", func(v *fakeVendor) {
			v.put(one, "2024-03-12", "10", "1000", "10", "1000", "10")
		}, []string{
			"error missing 600001.XSHG 2024-03-13 ", // a factor, as the bars show an ex-date
			"error preclose_chain 600001.XSHG 2024-03-13 ", "warning limit_band 600001.XSHG 2024-03-12 ",
		}},
		{"ex-date without a factor", func(v *fakeVendor) {
			v.put(one, "2024-03-12", "9", "9", "9", "10", "9")
		}, []string{
			"error missing 600001.XSHG 2024-03-12 ", "error ohlc_order 600001.XSHG 2024-03-12 ",
			"error preclose_chain 600001.XSHG 2024-03-12 ",
		}},
		{"a Saturday", func(v *fakeVendor) {
			v.put(one, "2024-03-16", "10", "10", "10", "10", "10")
		}, []string{"error not_a_session 600001.XSHG 2024-03-16 "}},
		{"a row is gone", func(v *fakeVendor) {
			v.drop(one, "2024-03-12")
		}, []string{"error missing 600001.XSHG 2024-03-12 "}},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := newFakeVendor(t, "2024-04-10T12:00")
			v.want(ingest.StatusComplete)
			test.spoil(v)
			found := v.verify(ingest.Verify{})
			if diff := cmp.Diff(test.want, short(found)); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			if found.Rows[market.Bar1D] < 60 || found.Segments == 0 {
				t.Errorf("checked %v rows of %d segments", found.Rows, found.Segments)
			}
			for _, f := range found.Findings {
				if f.Remedy == "" || f.Message == "" {
					t.Errorf("%+v names no remedy or no message", f)
				}
			}
		})
	}
}

// TestVerifyLooksWhereItIsAsked: symbols and days bound what is found.
func TestVerifyLooksWhereItIsAsked(t *testing.T) {
	v := newFakeVendor(t, "2024-04-10T12:00")
	v.want(ingest.StatusComplete)
	v.put(stocks[0], "2024-03-12", "10", "10", "10.5", "10", "10")
	v.put(stocks[1], "2024-03-13", "10", "10", "10.5", "10", "10")
	v.drop(stocks[2], "2024-03-13")
	day := market.Interval{From: v.day("2024-03-13"), To: v.day("2024-03-13")}
	two := []market.Symbol{must(market.ParseSymbol(stocks[0])), must(market.ParseSymbol(stocks[1]))}
	for _, test := range []struct {
		verify ingest.Verify
		want   []string
	}{
		{ingest.Verify{Symbols: two}, []string{
			"error ohlc_order 600001.XSHG 2024-03-12 ", "error ohlc_order 600002.XSHG 2024-03-13 ",
		}},
		{ingest.Verify{Span: day}, []string{
			"error missing 600003.XSHG 2024-03-13 ", "error ohlc_order 600002.XSHG 2024-03-13 ",
		}},
		{ingest.Verify{Symbols: two, Span: day}, []string{"error ohlc_order 600002.XSHG 2024-03-13 "}},
	} {
		if diff := cmp.Diff(test.want, short(v.verify(test.verify))); diff != "" {
			t.Errorf("findings (-want +got):\n%s", diff)
		}
	}
}

// TestVerifyComparesWithTheProvider: a sample is compared cell by cell.
func TestVerifyComparesWithTheProvider(t *testing.T) {
	v := newFakeVendor(t, "2024-04-10T12:00")
	v.want(ingest.StatusComplete)
	v.put(stocks[0], "2024-03-12", "10", "10.01", "10", "10", "10") // the provider's high is 10
	v.drop(stocks[1], "2024-03-13")
	v.omits[v.day("2024-03-20")] = true // of the first stock
	sample := &ingest.Sample{Provider: v.provider(), Start: v.start}
	found := v.verify(ingest.Verify{Sample: sample})
	want := []string{
		"error missing 600002.XSHG 2024-03-13 ", // stored less than expected
		"error missing 600002.XSHG 2024-03-13 ", // and than the provider has
		"error restated 600001.XSHG 2024-03-12 high",
		"error vanished 600001.XSHG 2024-03-20 ",
	}
	if diff := cmp.Diff(want, short(found)); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	for _, f := range found.Findings {
		if f.Rule == ingest.RuleRestated && (f.Stored != "10.0100" || f.Provider != "10.0000") {
			t.Errorf("stored %q, the provider says %q", f.Stored, f.Provider)
		}
	}
	if n := found.Sampled; n.Requests != 6 || n.Rows != 61 || n.Cells != 61*10 {
		t.Errorf("compared %+v", n)
	}

	sample.Symbols, sample.Days = 1, 7
	v.asked = nil
	few := v.verify(ingest.Verify{Sample: sample})
	if few.Sampled.Requests != 2 || few.Sampled.Rows > 5 || len(v.asked) != 2 {
		t.Errorf("a sample of one week of one stock compared %+v and asked %v", few.Sampled, v.asked)
	}
}

// TestVerifyFindsDamage: a segment whose bytes changed is found, and what it keeps from being checked
// is named.
func TestVerifyFindsDamage(t *testing.T) {
	v := newFakeVendor(t, "2024-04-10T12:00")
	v.want(ingest.StatusComplete)
	v.many("2020-01-02", "2020-12-31")
	v.spoil("2020")
	found := v.verify(ingest.Verify{})
	if diff := cmp.Diff([]string{"error damage  2020-01-02 "}, short(found)); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	if len(found.Notes) != 2 || found.Rows[market.Bar1D] != 0 {
		t.Errorf("notes %q, rows %v", found.Notes, found.Rows)
	}
}

// many writes so many bars that they get a file.
func (v *fakeVendor) many(from, to string) {
	v.t.Helper()
	d, _ := market.DatasetByName(market.Bar1D)
	b := batch.NewBuilder(d.Schema)
	for i := range 5 {
		v.bars(b, market.Unit{Symbol: fmt.Sprintf("60010%d.XSHG", i), From: v.day(from), To: v.day(to)})
	}
	v.commit(store.Changes{Puts: map[string][]*batch.Batch{market.Bar1D: {must(b.Batch())}}})
}

// spoil flips a byte of every file of a year's bars, and opens the store anew.
func (v *fakeVendor) spoil(year string) {
	v.t.Helper()
	dir := v.store.Dir()
	files, err := filepath.Glob(filepath.Join(dir, "bar_1d", year, "*.parquet"))
	if err != nil || len(files) == 0 {
		v.t.Fatal(files, err)
	}
	for _, name := range files {
		raw := must(os.ReadFile(name))
		raw[len(raw)/2] ^= 1
		if err := os.WriteFile(name, raw, 0o600); err != nil {
			v.t.Fatal(err)
		}
	}
	if err := v.store.Close(); err != nil {
		v.t.Fatal(err)
	}
	v.store = must(store.Open(dir, store.Config{}))
	v.t.Cleanup(func() { _ = v.store.Close() })
}

// TestVerifyOfAnImportedStore: without a sync nothing is expected, and rows are checked all the same.
func TestVerifyOfAnImportedStore(t *testing.T) {
	v := newFakeVendor(t, "2024-04-10T12:00")
	v.put(stocks[0], "2024-03-12", "10", "10", "10.5", "10", "10")
	found := v.verify(ingest.Verify{})
	if diff := cmp.Diff([]string{"error ohlc_order 600001.XSHG 2024-03-12 "}, short(found)); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	if len(found.Notes) != 1 {
		t.Errorf("notes %q, want that nothing was synced", found.Notes)
	}
}
