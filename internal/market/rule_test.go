package market

import (
	"testing"
)

// TestRulesOnRealBars holds the rules against 156,636 bars that a real exchange made: the row-local
// ones, which keep rows out of the store, find nothing, and nor do the others once listings and
// factors are known.
func TestRulesOnRealBars(t *testing.T) {
	t.Parallel()
	found := map[string]int{}
	suspended, events := 0, 0
	for _, s := range readReal(t) {
		for _, e := range Check(Bar1D, s.bars) {
			t.Errorf("%s %s: %v", s.symbol, s.dates[e.Row], e)
		}
		list, err := DeriveFactors(s.dates, s.closes, s.precloses)
		if err != nil {
			t.Fatal(err)
		}
		events += len(list)
		factors, err := NewFactors(list)
		if err != nil {
			t.Fatal(err)
		}
		calendar, err := CalendarOf(s.symbol.MIC)
		if err != nil {
			t.Fatal(err)
		}
		// The data set says nothing of listings; who is missing on its first day came later.
		instrument := Instrument{Symbol: s.symbol, Class: Stock}
		if s.dates[0] > DateOf(2020, 1, 2) {
			instrument.IPO = s.dates[0]
		}
		v, err := NewVerifier(Bar1D, func(Symbol) Reference {
			return Reference{calendar, &instrument, &factors}
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range v.Batch(s.bars) {
			found[e.Rule]++
			t.Logf("%s %s: %v", s.symbol, s.dates[e.Row], e)
		}
		traded := s.bars.Column(10).Bits()
		suspended += s.bars.Rows() - traded.Count(s.bars.Rows())
	}
	if len(found) > 0 {
		t.Errorf("found %v, want nothing", found)
	}
	if suspended != 101 || events != 658 {
		t.Errorf("%d suspended days and %d ex-right days, want 101 and 658", suspended, events)
	}
}
