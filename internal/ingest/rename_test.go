package ingest

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tapeline/tapeline/internal/market"
)

// TestCodeChanges: one instrument needs market, class, listing day and name, and no second candidate; the
// day alone is told of.
func TestCodeChanges(t *testing.T) {
	t.Parallel()
	stock := func(code int, name, ipo string) market.Instrument {
		one := instrument(code)
		one.Name = name
		if ipo != "" {
			one.IPO = day(t, ipo)
		}
		return one
	}
	old, stays := stock(1, "ST Old", "2001-05-10"), stock(2, "Stays", "2001-05-10")
	for _, c := range []struct {
		name           string
		listed         []market.Instrument
		linked, warned int
	}{
		{"nothing changed", []market.Instrument{old, stays}, 0, 0},
		{"another code", []market.Instrument{stays, stock(9, "*ST Old", "2001-05-10")}, 1, 1},
		{"another code and name", []market.Instrument{stays, stock(9, "New", "2001-05-10")}, 0, 1},
		{"another listing day", []market.Instrument{stays, stock(9, "Old", "2024-05-10")}, 0, 0},
		{"no listing day", []market.Instrument{stays, stock(9, "Old", "")}, 0, 0},
		{"two candidates", []market.Instrument{stays, stock(8, "Old", "2001-05-10"), stock(9, "Old", "2001-05-10")}, 0, 0},
		{"gone", []market.Instrument{stays}, 0, 0},
	} {
		before := []market.Instrument{old, stays}
		linked, warned := codeChanges(before, c.listed, byName), codeChanges(before, c.listed, byListing)
		if diff := cmp.Diff([2]int{c.linked, c.warned}, [2]int{len(linked), len(warned)}); diff != "" {
			t.Errorf("%s: linked and told of (-want +got):\n%s", c.name, diff)
		}
	}
}
