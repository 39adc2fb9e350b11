package ingest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/ingest"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/store"
)

func (v *fakeVendor) gaps() *ingest.Gaps {
	v.t.Helper()
	return must(ingest.FindGaps(context.Background(), v.store, func(string) (market.Provider, error) {
		return v.provider().Provider, nil
	}))
}

// TestKilledSyncHasGaps: what a sync is to fetch is known from before its first request, so that the gaps
// of one that is killed are.
func TestKilledSyncHasGaps(t *testing.T) {
	v := newFakeVendor(t, "2024-04-10T12:00")
	v.config.Sync.Symbols = []string{"600001.XSHG"}
	v.want(ingest.StatusComplete)
	v.config.Sync.Symbols = []string{"600002.XSHG"}
	v.config.Sync.Datasets = []string{market.Bar1D}
	provider := v.provider()
	asked := 0
	provider.Source = func(env connector.Env, units []market.Unit) (connector.Source, error) {
		if units[0].Dataset == market.Bar1D {
			asked++
			if found := v.gaps(); len(found.Missing) != 1 || found.Missing[0].Symbol != "600002.XSHG" {
				t.Errorf("before the first request: %s", found.Text())
			}
		}
		return v.provider().Source(env, units)
	}
	s := &ingest.Sync{Config: v.config, Provider: provider, Store: v.store, Now: v.now, Start: v.start}
	if report := must(s.Run(t.Context())); report.Status != ingest.StatusComplete || asked == 0 {
		t.Errorf("%s after %d workflows", report.Status, asked)
	}
	if found := v.gaps(); len(found.Missing) > 0 {
		t.Errorf("afterwards: %s", found.Text())
	}
}

// TestAsksAreKept: whatever many syncs come after one, what it was asked to keep is looked for; the same
// for days that go on is one ask.
func TestAsksAreKept(t *testing.T) {
	v := newFakeVendor(t, "2024-04-10T12:00")
	v.config.Sync.Symbols = []string{"600001.XSHG"}
	v.want(ingest.StatusComplete)
	v.config.Sync.Symbols = []string{"600002.XSHG"}
	later := v.want(ingest.StatusComplete)
	v.drop("600001.XSHG", "2024-03-13")
	v.commit(store.Changes{Coverage: []store.Cover{{
		Dataset: market.Bar1D, Freq: "1d", Source: "fake", Symbol: "600001.XSHG",
		Interval: market.Interval{From: v.day("2024-03-13"), To: v.day("2024-03-13")},
	}}})
	const syncs = 300
	for i := range syncs {
		later.Run = fmt.Sprintf("sync-%d", i)
		later.Asked.To = (v.day("2024-03-01") + market.Date(i%29)).String()
		text := must(json.Marshal(later))
		if err := v.store.SaveReport(t.Context(), store.Report{
			Run: later.Run, Kind: ingest.ReportKind, Status: "complete", Started: time.Now(), JSON: text,
		}); err != nil {
			t.Fatal(err)
		}
	}
	found := v.gaps()
	if len(found.Asked) != 2 || found.Asked[0].To != "2024-03-29" {
		t.Errorf("asked are %+v", found.Asked)
	}
	if len(found.Missing) != 1 || found.Missing[0].Symbol != "600001.XSHG" {
		t.Errorf("got %s", found.Text())
	}
}

// TestRepairOfAnotherProvider: coverage is not given up for a provider that was asked for nothing.
func TestRepairOfAnotherProvider(t *testing.T) {
	v := newFakeVendor(t, "2024-04-10T12:00")
	v.want(ingest.StatusComplete)
	v.put("600001.XSHG", "2024-03-12", "10", "10", "10.5", "10", "10")
	other := v.provider()
	other.Name = "other"
	r := ingest.Repair{Sync: ingest.Sync{Config: v.config, Provider: other, Now: v.now, Start: v.start}}
	r.Store = v.store
	r.Providers = func(string) (market.Provider, error) { return v.provider().Provider, nil }
	_, err := r.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "nothing was changed") || !strings.Contains(err.Error(), "--provider fake") {
		t.Fatalf("got %v", err)
	}
	v.asked = nil
	if v.want(ingest.StatusComplete); len(v.asked) > 0 {
		t.Errorf("the sync after it asks for %v: coverage was taken back", v.asked)
	}
}

// TestVerifyRefusesUnknownSymbols: nothing is wrong with rows of a misspelt symbol, as there are none.
func TestVerifyRefusesUnknownSymbols(t *testing.T) {
	v := newFakeVendor(t, "2024-04-10T12:00")
	v.want(ingest.StatusComplete)
	symbol := must(market.ParseSymbol("699999.XSHG"))
	_, err := (&ingest.Verify{Store: v.store, Symbols: []market.Symbol{symbol}}).Run(t.Context())
	if wrong, ok := errors.AsType[*ingest.RequestError](err); !ok || !strings.Contains(wrong.Error(), "699999.XSHG") {
		t.Errorf("got %v", err)
	}
}

// spoiling is a source whose answers of bars have a row that is none.
type spoiling struct {
	connector.Source

	bad  market.Quarantine
	next *connector.Chunk
}

func (s *spoiling) Read(ctx context.Context) (connector.Chunk, error) {
	if s.next != nil {
		chunk := *s.next
		s.next = nil
		return chunk, nil
	}
	chunk, err := s.Source.Read(ctx)
	if err != nil || chunk.Table != market.UnitTable {
		return chunk, err
	}
	s.next = &chunk
	b := batch.NewBuilder(market.QuarantineSchema())
	market.AppendQuarantine(b, s.bad)
	return connector.Chunk{Table: market.QuarantineTable, Batch: must(b.Batch())}, nil
}

// TestSampleWithARefusedRow: a row that the provider gives, and gives wrong, is not one that it has no more.
func TestSampleWithARefusedRow(t *testing.T) {
	v := newFakeVendor(t, "2024-04-10T12:00")
	v.config.Sync.Symbols = []string{"600001.XSHG"}
	v.want(ingest.StatusComplete)
	v.omits[v.day("2024-03-20")] = true
	provider := v.provider()
	provider.Source = func(env connector.Env, units []market.Unit) (connector.Source, error) {
		source, err := v.provider().Source(env, units)
		return &spoiling{Source: source, bad: market.Quarantine{
			Dataset: market.Bar1D, Symbol: "600001.XSHG", Date: v.day("2024-03-20"), Source: "fake",
			Rule: market.RulePrice, Message: "close is -1",
		}}, err
	}
	found := v.verify(ingest.Verify{Sample: &ingest.Sample{Provider: provider, Start: v.start}})
	if len(found.Findings) != 1 || !strings.Contains(found.Findings[0].Message, "is refused: "+market.RulePrice+": close is -1") {
		t.Errorf("got %s", found.Text())
	}
}
