package app

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tapeline/tapeline/internal/ingest"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/sim"
)

// TestSyncFollowsCodeChange: when the provider's list has another code in the place of one, its history
// stays one instrument, nothing is fetched again, nothing is missing, and the old code still names it.
func TestSyncFollowsCodeChange(t *testing.T) {
	m := synthetic(t, 20)
	var before, after sim.Security
	for _, one := range m.Securities() {
		if one.Renamed != "" {
			before = one
		}
		if one.Since != 0 {
			after = one
		}
	}
	if before.Code == "" || before.Renamed != after.Code {
		t.Fatalf("no code changes among %d", len(m.Securities()))
	}
	canonical := func(code string) string { return code[3:] + ".XSHE" }
	old, now := canonical(before.Code), canonical(after.Code)
	earlier := before.Until.Time().AddDate(0, 0, -20).Add(20 * time.Hour)
	v := startVendor(t, sim.Config{Market: m, Now: earlier})
	s := newSyncer(t, v, "2021-01-01", earlier.Format(time.DateOnly))
	s.config.Performance.Cache.Enable = false // the list is fetched by each sync
	s.want(ingest.StatusComplete)
	if !bytes.Contains(s.export(market.Bar1D), []byte(old+",")) {
		t.Fatalf("%s is not stored", old)
	}
	v.SetNow(time.Date(2022, 12, 31, 20, 0, 0, 0, time.UTC))
	v.take()
	s.config.Sync.To = "2022-12-31"
	report := s.want(ingest.StatusComplete)
	if !strings.Contains(strings.Join(report.Warnings, "\n"), old+" is "+now+" now") {
		t.Errorf("warnings %v, want the code change", report.Warnings)
	}
	whole := newSyncer(t, v, "2021-01-01", "2022-12-31")
	whole.want(ingest.StatusComplete)
	for _, dataset := range []string{market.Bar1D, market.AdjFactor, market.Listing} {
		if !bytes.Equal(sorted(s.export(dataset)), sorted(whole.export(dataset))) {
			t.Errorf("%s differs from that of a store that never knew the old code", dataset)
		}
	}
	v.take()
	s.want(ingest.StatusComplete)
	if asked := v.take(); asked[askBars]+asked[askFactors] != 0 {
		t.Errorf("the third sync asked %v", asked)
	}
	gaps, err := Gaps(t.Context(), s.config.Sync.Store, slog.New(slog.DiscardHandler))
	if err != nil || len(gaps.Missing) != 0 {
		t.Errorf("gaps: %v, %+v", err, gaps)
	}
	s.config.Sync.Symbols = []string{before.Code}
	if report := s.want(ingest.StatusComplete); report.Symbols != 1 || v.take()[askBars] != 0 {
		t.Errorf("a sync of the old code has %d symbols", report.Symbols)
	}
}

// renaming is a market in which the code that changes changes its name with it.
type renaming struct{ sim.Market }

func (m renaming) Securities() []sim.Security {
	all := slices.Clone(m.Market.Securities())
	for i := range all {
		if all[i].Since != 0 {
			all[i].Name = "Another"
		}
	}
	return all
}

// TestSyncKeepsCodeAndNameChange: a code and a name that change together leave no evidence that it is one
// instrument: there are two, nothing of the old one is lost, the new one has its whole history, and it is said.
func TestSyncKeepsCodeAndNameChange(t *testing.T) {
	m := renaming{synthetic(t, 20)}
	var before, after sim.Security
	for _, one := range m.Securities() {
		if one.Renamed != "" {
			before = one
		}
		if one.Since != 0 {
			after = one
		}
	}
	old, now := before.Code[3:]+".XSHE", after.Code[3:]+".XSHE"
	earlier := before.Until.Time().AddDate(0, 0, -20).Add(20 * time.Hour)
	v := startVendor(t, sim.Config{Market: m, Now: earlier})
	s := newSyncer(t, v, "2021-01-01", earlier.Format(time.DateOnly))
	s.config.Performance.Cache.Enable = false
	s.want(ingest.StatusComplete)
	rows := func(symbol string) int { return bytes.Count(s.export(market.Bar1D), []byte("\n"+symbol+",")) }
	kept := rows(old)
	v.SetNow(time.Date(2022, 12, 31, 20, 0, 0, 0, time.UTC))
	s.config.Sync.To = "2022-12-31"
	report, err := s.run()
	if err != nil || !strings.Contains(strings.Join(report.Warnings, "\n"), old+" is not listed any more, and "+now) {
		t.Fatalf("%v, warnings %v", err, report.Warnings)
	}
	if rows(old) != kept || kept == 0 || rows(now) <= kept {
		t.Errorf("%d rows of the old code, %d before, %d of the new one", rows(old), kept, rows(now))
	}
}
