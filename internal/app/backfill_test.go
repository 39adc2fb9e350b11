package app

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/ingest"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/sim"
	"github.com/tapeline/tapeline/internal/store"
)

// blank makes the valuations of some symbols and dates NULL.
func (s *syncer) blank(symbols []string, v market.Interval) {
	s.t.Helper()
	st, err := store.Open(s.config.Sync.Store, store.Config{})
	if err != nil {
		s.t.Fatal(err)
	}
	w, err := st.Lock(context.Background(), "a test")
	if err != nil {
		s.t.Fatal(err)
	}
	d, _ := market.DatasetByName(market.Valuation1D)
	b := batch.NewBuilder(d.Schema)
	view, err := st.View(context.Background(), 0)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, symbol := range symbols {
		rows, err := view.Point(market.Valuation1D, symbol, v.From, v.To, []string{"date"})
		if err != nil || rows.Len() == 0 {
			s.t.Fatalf("%d valuations of %s, %v", rows.Len(), symbol, err)
		}
		for i := range rows.Len() {
			b.Column(0).Text(symbol)
			b.Column(1).Int(rows.Column(0).Int(rows.Row(i)))
			for column := 2; column < 6; column++ {
				b.Column(column).Null()
			}
		}
	}
	rows, err := b.Batch()
	if err != nil {
		s.t.Fatal(err)
	}
	_, err = w.Commit(context.Background(), store.Changes{
		Run: "loss", Source: "baostock", Puts: map[string][]*batch.Batch{market.Valuation1D: {rows}},
	})
	if err := errors.Join(err, view.Close(), w.Unlock(), st.Close()); err != nil {
		s.t.Fatal(err)
	}
}

// TestSmartBackfill: columns that are NULL are fetched again where the bars are complete, once, and only
// when that is asked for.
func TestSmartBackfill(t *testing.T) {
	v := startVendor(t, sim.Config{Market: synthetic(t, 6)})
	s := newSyncer(t, v, "2022-01-01", "2022-06-30")
	s.config.Sync.Datasets = append(s.config.Sync.Datasets, market.Valuation1D)
	s.want(ingest.StatusComplete)
	s.config.Sync.EnableSmartBackfill = true
	s.want(ingest.StatusComplete) // what the provider has not either is asked for once
	s.config.Sync.EnableSmartBackfill = false
	want := s.export(market.Valuation1D)
	lines := bytes.Split(want, []byte("\n"))
	symbols := []string{string(lines[1][:11]), string(lines[len(lines)-2][:11])}

	lost := market.Interval{From: sim.DateOf(2022, 3, 1), To: sim.DateOf(2022, 3, 10)}
	s.blank(symbols, lost)
	v.take()
	s.want(ingest.StatusComplete)
	if asked := v.take(); asked[askBars] != 0 {
		t.Errorf("without the setting %d requests for k-data", asked[askBars])
	}
	s.config.Sync.EnableSmartBackfill = true
	s.want(ingest.StatusComplete)
	if asked := v.take(); asked[askBars] != len(symbols) {
		t.Errorf("%d requests for k-data, want one for each of %v", asked[askBars], symbols)
	}
	if got := s.export(market.Valuation1D); !bytes.Equal(got, want) {
		t.Error("the columns are not what they were")
	}
	s.want(ingest.StatusComplete)
	if asked := v.take(); asked[askBars] != 0 {
		t.Errorf("fetched again: %d requests for k-data", asked[askBars])
	}
	s.blank(symbols, lost) // as if the provider had nothing there
	s.want(ingest.StatusComplete)
	if asked := v.take(); asked[askBars] != 0 {
		t.Errorf("what was fetched again once is asked for again: %d requests", asked[askBars])
	}
}

// TestSmartBackfillStatements: statements of which a number is NULL are asked for again by their quarters, once.
func TestSmartBackfillStatements(t *testing.T) {
	v := startVendor(t, sim.Config{Market: synthetic(t, 3), Seed: 3})
	s := newSyncer(t, v, "2022-01-01", "2022-06-30")
	s.config.Sync.Datasets = append(s.config.Sync.Datasets, market.Fundamental)
	s.want(ingest.StatusComplete)
	quarters := v.take()[askProfit]
	s.config.Sync.EnableSmartBackfill = true
	for run, want := range []bool{true, false} {
		s.want(ingest.StatusComplete)
		if asked := v.take()[askProfit]; want != (asked > 0) || asked > quarters {
			t.Errorf("sync %d asked for %d of %d quarters again", run+1, asked, quarters)
		}
	}
}
