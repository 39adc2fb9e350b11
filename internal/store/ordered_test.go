package store

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector/conntest"
	"github.com/tapeline/tapeline/internal/market"
)

// It counts goroutines and so runs alone.
func TestOrderedSourceConforms(t *testing.T) {
	dir, want := filled(t)
	slices.SortFunc(want, func(a, b []any) int {
		return strings.Compare(fmt.Sprint(a[0], a[1]), fmt.Sprint(b[0], b[1]))
	})
	conntest.Source(t, conntest.SourceCase{
		Connector: Connector(), Want: want,
		Config: func(testing.TB) any {
			return map[string]any{
				"path": dir, "dataset": market.Bar1D, "columns": []string{"symbol", "date", "close", "is_st"},
				"order": "key",
			}
		},
	})
}

// Symbols that were stored late, and years stored backwards, come where their texts belong.
func TestOrdered(t *testing.T) {
	const seed = 7
	random := rand.New(rand.NewPCG(seed, seed))
	s := open(t, t.TempDir(), Config{fileRows: 40})
	w := lock(t, s)
	var want []string
	for _, symbol := range random.Perm(3 * groupSymbols) {
		name := fmt.Sprintf("60%04d.XSHG", symbol)
		var rows []bar
		for year := 2024; year > 2020; year-- {
			for d := range 3 {
				date := market.DateOf(year, 3, 1+d)
				rows = append(rows, bar{name, date, int64(10000 + d), true})
				want = append(want, fmt.Sprintf("%d.%04d %s %s", 1, d, date, name))
			}
		}
		_, err := w.Commit(t.Context(), put(bars(t, rows...)))
		must(t, err)
	}
	slices.SortFunc(want, func(a, b string) int {
		x, y := strings.Fields(a), strings.Fields(b)
		return strings.Compare(x[2]+x[1], y[2]+y[1])
	})
	v := view(t, s, 0)
	read := func(o Ordered) (got []string) {
		o.Dataset, o.Columns = market.Bar1D, []string{"close", "date", "symbol"}
		for b, err := range v.Ordered(o) {
			must(t, err)
			got = append(got, lines(b)...)
		}
		return got
	}
	if got := read(Ordered{}); !slices.Equal(got, want) {
		t.Fatalf("seed %d: got\n%s\nwant\n%s", seed, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	some := read(Ordered{Range: Range{
		Symbols: []string{"600007.XSHG", "600003.XSHG", "609999.XSHG"}, From: day("2022-03-02"), To: day("2023-03-01"),
	}})
	var fits []string
	for _, line := range want {
		part := strings.Fields(line)
		if (part[2] == "600003.XSHG" || part[2] == "600007.XSHG") && part[1] >= "2022-03-02" && part[1] <= "2023-03-01" {
			fits = append(fits, line)
		}
	}
	if !slices.Equal(some, fits) {
		t.Fatalf("got %q, want %q", some, fits)
	}
}

// factorRows are events of dataset adj_factor: date and backward factor in millionths.
func factorRows(t testing.TB, symbol string, events ...market.FactorEvent) *batch.Batch {
	t.Helper()
	d, _ := market.DatasetByName(market.AdjFactor)
	b := batch.NewBuilder(d.Schema)
	for _, e := range events {
		b.Column(0).Text(symbol)
		b.Column(1).Int(int64(e.Ex))
		b.Column(2).Null()
		must(t, b.Column(3).Any(market.FormatFixed(e.Back, market.FactorScale)))
		b.Column(4).Null()
	}
	out, err := b.Batch()
	must(t, err)
	return out
}

func TestOrderedAdjusts(t *testing.T) {
	s := open(t, t.TempDir(), Config{})
	w := lock(t, s)
	name, other := "600000.XSHG", "600001.XSHG"
	changes := put(bars(t, bar{name, day("2023-12-29"), 120000, true}, bar{name, day("2024-01-02"), 60000, true},
		bar{other, day("2024-01-02"), 50000, true}))
	changes.Puts[market.AdjFactor] = []*batch.Batch{
		factorRows(t, name, market.FactorEvent{Ex: day("2020-01-02"), Back: 1_500_000}, market.FactorEvent{Ex: day("2024-01-02"), Back: 3_000_001}),
	}
	_, err := w.Commit(t.Context(), changes)
	must(t, err)
	v := view(t, s, 0)
	for how, want := range map[market.Adjustment]string{
		market.Raw:      "2023-12-29 12.0000, 2024-01-02 6.0000, 2024-01-02 5.0000",
		market.Forward:  "2023-12-29 6.0000000000, 2024-01-02 6.0000000000, 2024-01-02 5.0000000000",
		market.Backward: "2023-12-29 18.0000000000, 2024-01-02 18.0000060000, 2024-01-02 5.0000000000",
	} {
		var got []string
		for b, err := range v.Ordered(Ordered{Dataset: market.Bar1D, Columns: []string{"date", "close"}, Adjust: how}) {
			must(t, err)
			got = append(got, lines(b)...)
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("adjustment %d: got %s, want %s", how, strings.Join(got, ", "), want)
		}
	}
	if _, err := v.OrderedSchema(Ordered{Dataset: market.AdjFactor, Adjust: market.Forward}); err == nil {
		t.Error("factors were adjusted")
	}
	// A preclose that is not the close before tells of an event whose factor is not stored.
	_, err = w.Commit(t.Context(), put(bars(t, bar{other, day("2024-01-03"), 25000, true})))
	must(t, err)
	for _, err := range view(t, s, 0).Ordered(Ordered{Dataset: market.Bar1D, Adjust: market.Forward}) {
		if err != nil && strings.Contains(err.Error(), "adjust 600001.XSHG: its preclose of 2024-01-03") {
			return
		}
	}
	t.Error("a symbol without factors was adjusted over an event")
}
