package app

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tapeline/tapeline/internal/ingest"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/sim"
)

const (
	askDay  = "35"
	askList = "45"
)

// TestSyncProvesList: a list of instruments that is short, or lacks one, does not shrink the universe
// unnoticed: the sync is short, names what it lacks, and the next one fetches the list again.
func TestSyncProvesList(t *testing.T) {
	m := synthetic(t, 20)
	for _, test := range []struct{ rule, universe string }{
		{"at 1 on 45: short", "all"},
		{"at 1 on 45: missing", "all"},
		{"at 1 on 45: short", "hs300"},
	} {
		t.Run(test.rule+" "+test.universe, func(t *testing.T) {
			clean := newSyncer(t, startVendor(t, sim.Config{Market: m}), "2021-01-01", "2022-12-30")
			clean.config.Sync.Universe = test.universe
			want := clean.want(ingest.StatusComplete).Symbols
			rules, err := sim.ParseFaults(test.rule)
			if err != nil {
				t.Fatal(err)
			}
			v := startVendor(t, sim.Config{Market: m, Faults: rules})
			s := newSyncer(t, v, "2021-01-01", "2022-12-30")
			s.config.Sync.Universe = test.universe
			report := s.want(ingest.StatusShort)
			if report.Symbols >= want || len(report.Missing) == 0 {
				t.Errorf("%d symbols of %d are synced, %d missing", report.Symbols, want, len(report.Missing))
			}
			const why = "traded on 2022-12-30 by the provider's list of the day, but its instrument list lacks it"
			for _, one := range report.Missing {
				if one.Dataset != market.Listing || one.Symbol == "" || one.From != "2022-12-30" || one.Why != why {
					t.Errorf("missing %s", one)
				}
			}
			v.take()
			if again := s.want(ingest.StatusComplete); again.Symbols != want {
				t.Errorf("the second sync has %d symbols, want %d", again.Symbols, want)
			}
			// The last open day's list proves it, and those of the first days of two years have what was delisted.
			if asked := v.take(); asked[askList] != 1 || asked[askDay] != 3 {
				t.Errorf("the second sync asked %v, want the list once and those of three days", asked)
			}
			if !bytes.Equal(sorted(s.export(market.Bar1D)), sorted(clean.export(market.Bar1D))) {
				t.Error("after the second sync the bars differ from those without faults")
			}
			s.want(ingest.StatusComplete)
			asked := v.take()
			if news := asked[askList] + asked[askDay] + asked[askBars]; news != 0 || test.universe == "all" && len(asked) != 0 {
				t.Errorf("the third sync asked %v, want nothing but members of an index", asked)
			}
		})
	}
}

// TestSyncNoticesLostInstruments: a list that lost more than a hundredth of what was held is short, and
// what was held stays.
func TestSyncNoticesLostInstruments(t *testing.T) {
	v := startVendor(t, sim.Config{Market: synthetic(t, 20)})
	s := newSyncer(t, v, "2021-01-01", "2022-12-30")
	s.config.Performance.Cache.Enable = false
	before := s.want(ingest.StatusComplete)
	rules, err := sim.ParseFaults("at 1 on 45: missing")
	if err != nil {
		t.Fatal(err)
	}
	v.SetFaults(rules)
	report := s.want(ingest.StatusShort)
	wrong := fmt.Sprintf("got\n%swant one instrument lost", report.Text())
	if len(report.Missing) != 1 || report.Symbols != before.Symbols {
		t.Fatal(wrong)
	}
	if one := report.Missing[0]; one.Dataset != market.Listing || !strings.Contains(one.Why, "it lost 1 of") {
		t.Error(wrong)
	}
	v.SetFaults(nil)
	s.want(ingest.StatusComplete)
}

// sorted returns lines in order: a later listing stands last.
func sorted(csv []byte) []byte {
	lines := bytes.Split(csv, []byte("\n"))
	slices.SortFunc(lines, bytes.Compare)
	return bytes.Join(lines, []byte("\n"))
}
