package segment

import (
	"testing"

	"github.com/tapeline/tapeline/internal/market"
)

func TestBars(t *testing.T) {
	t.Parallel()
	block := bars(barSchema(t, "symbol"), 700, tradingDays(market.DateOf(2023, 1, 2), 245), 0)
	for _, c := range []Compression{Snappy, Zstd} {
		r := opened(t, encoded(t, block, c))
		got := NewBlock(r.Schema())
		if err := r.Read(got, nil, Range{0, r.Info().Rows}); err != nil {
			t.Fatal(err)
		}
		if got.Len() != block.Len() {
			t.Fatal(got.Len())
		}
		for i := range block.Len() {
			if CompareKeys(got, i, block, i) != 0 {
				t.Fatal(i, got.key(i), block.key(i))
			}
		}
		if err := r.Verify(); err != nil {
			t.Fatal(err)
		}
	}
}
