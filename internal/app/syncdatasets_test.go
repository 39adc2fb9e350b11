package app

import (
	"bytes"
	"encoding/csv"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tapeline/tapeline/internal/ingest"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/sim"
)

// table reads an export: rows by column.
func (s *syncer) table(dataset string) (head []string, rows [][]string) {
	s.t.Helper()
	all, err := csv.NewReader(bytes.NewReader(s.export(dataset))).ReadAll()
	if err != nil {
		s.t.Fatal(err)
	}
	return all[0], all[1:]
}

// TestSyncOtherDatasets: everything the provider serves is kept on request, asked for once, and nothing of
// it is missing.
func TestSyncOtherDatasets(t *testing.T) {
	m := synthetic(t, 12)
	v := startVendor(t, sim.Config{Market: m, Seed: 3})
	s := newSyncer(t, v, "2022-01-01", "2022-12-30")
	s.config.Sync.Datasets = []string{
		market.Bar1D, market.AdjFactor, market.CorpAction, market.Fundamental, market.Valuation1D,
		market.Constituent, market.StatusEvent,
	}
	report := s.want(ingest.StatusComplete)
	if len(report.Missing) != 0 {
		t.Errorf("missing %v", report.Missing)
	}
	first := v.take()
	sessions := len(m.Calendar().Open(sim.DateOf(2022, 1, 1), sim.DateOf(2022, 12, 30)))
	for kind, want := range map[string]int{"69": sessions, "67": sessions, "71": sessions, "73": sessions, "61": 1, "63": 1, "65": 1} {
		if first[kind] != want {
			t.Errorf("asked type %s %d times, want %d", kind, first[kind], want)
		}
	}
	s.actions(m)
	s.fundamentals()
	if _, rows := s.table(market.Constituent); len(rows) < 3*8 || len(rows)%3 != 0 {
		t.Errorf("%d members, want all stocks in each of three indices", len(rows))
	}
	if _, rows := s.table(market.StatusEvent); len(rows) == 0 {
		t.Error("no suspension is stored")
	}
	if again := s.want(ingest.StatusComplete); again.Rows.Received != 0 {
		t.Errorf("the second sync received %+v", again.Rows)
	}
	if asked := v.take(); len(asked) != 0 {
		t.Errorf("the second sync asked %v", asked)
	}
}

// actions compares the stored dividends with the market's.
func (s *syncer) actions(m sim.Market) {
	s.t.Helper()
	want := 0
	for _, one := range m.Securities() {
		if one.Renamed != "" {
			continue
		}
		for _, a := range m.Actions(one.Code) {
			if a.Ex >= sim.DateOf(2022, 1, 1) && a.Ex <= sim.DateOf(2022, 12, 31) {
				want++
			}
		}
	}
	_, rows := s.table(market.CorpAction)
	if len(rows) != want || want == 0 {
		s.t.Errorf("%d dividends are stored, want %d", len(rows), want)
	}
}

// fundamentals checks that no amount lost a digit.
func (s *syncer) fundamentals() {
	s.t.Helper()
	head, rows := s.table(market.Fundamental)
	item, amount := slices.Index(head, "item"), slices.Index(head, "amount")
	fine := 0
	for _, row := range rows {
		if row[item] != "netProfit" && row[item] != "MBRevenue" {
			continue
		}
		if _, err := strconv.ParseFloat(row[amount], 64); err != nil {
			s.t.Errorf("%v has no amount", row)
		}
		if _, decimals, _ := strings.Cut(row[amount], "."); len(decimals) == 6 && decimals[4:] != "00" {
			fine++
		}
	}
	if fine == 0 {
		s.t.Errorf("none of %d rows has an amount with more than four decimals", len(rows))
	}
}
