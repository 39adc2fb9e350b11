package ingest_test

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/flow/run"
	"github.com/tapeline/tapeline/internal/ingest"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/store"
)

// contains fails the test for each part that a text lacks.
func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in\n%s", part, text)
		}
	}
}

// TestReasonsOfWhatIsMissing: each gap that a sync leaves has its reason, in the report and in the gaps.
func TestReasonsOfWhatIsMissing(t *testing.T) {
	for _, test := range []struct {
		name        string
		spoil       func(v *fakeVendor)
		follow      func(w *run.Workflow, _ func() ingest.Progress) bool
		status      ingest.Status
		why, inGaps string // inGaps "": the same
	}{
		{"a refused row", func(v *fakeVendor) {
			day := v.day("2024-03-12")
			v.omits[day] = true
			v.wrap = func(s connector.Source) connector.Source {
				return &spoiling{Source: s, bad: market.Quarantine{
					Dataset: market.Bar1D, Symbol: stocks[0], Date: day, Source: "fake", Rule: market.RulePrice,
					Message: "close is -1",
				}}
			}
		}, nil, ingest.StatusShort, "quarantined: " + market.RulePrice, ""},
		{"a refused request", func(v *fakeVendor) {
			v.states = map[string]market.State{stocks[0]: market.StateFailed}
		}, nil, ingest.StatusShort, "the provider refused the request", ""},
		{"a short answer", func(v *fakeVendor) {
			v.states = map[string]market.State{stocks[0]: market.StatePartial}
		}, nil, ingest.StatusShort, "the provider's answer was short; the next sync asks again", ""},
		{"an interrupt", func(*fakeVendor) {}, func(w *run.Workflow, _ func() ingest.Progress) bool {
			w.Drain()
			<-w.Done()
			return true
		}, ingest.StatusInterrupted, "not fetched: interrupted", "not fetched"},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := newFakeVendor(t, "2024-04-10T12:00")
			if test.follow != nil {
				v.want(ingest.StatusComplete) // so that the first workflow is that of bars
				v.config.Sync.To = "2024-04-09"
			}
			test.spoil(v)
			report, err := v.sync(test.follow)
			if report == nil || report.Status != test.status || (err != nil) != (test.follow != nil) {
				t.Fatalf("got %v and %+v, want a sync that is %s", err, report, test.status)
			}
			for _, m := range report.Missing {
				if m.Dataset == market.Bar1D && m.Why != test.why {
					t.Errorf("missing %s, want %q", m, test.why)
				}
			}
			contains(t, report.Text(), "sync fake "+string(test.status), "  missing   ", test.why)
			gaps := v.gaps()
			if test.inGaps == "" {
				test.inGaps = test.why
			}
			contains(t, gaps.Text(), " gaps\n  bar_1d: 3 symbols, ", "  missing  ", test.inGaps)
		})
	}
}

// TestListsThatAreNotProved: where the provider's lists contradict each other or cannot be read, a universe is
// short by what may be missing, and complete when they can and agree.
func TestListsThatAreNotProved(t *testing.T) {
	symbols := func(texts ...string) (list []market.Symbol) {
		for _, text := range texts {
			list = append(list, must(market.ParseSymbol(text)))
		}
		return list
	}
	for _, test := range []struct {
		name   string
		listed func(v *fakeVendor, day market.Date) ([]market.Symbol, error)
		want   string
	}{
		{"refused", func(*fakeVendor, market.Date) ([]market.Symbol, error) {
			return nil, errors.New("no such query\nand more")
		}, "the instrument list is not proved: the provider's list of the day was refused: no such query"},
		{"empty", func(*fakeVendor, market.Date) ([]market.Symbol, error) {
			return nil, nil
		}, "the instrument list is not proved: the provider's list of the day is empty"},
		{"another stock", func(*fakeVendor, market.Date) ([]market.Symbol, error) {
			return symbols(append([]string{"600099.XSHG", "000001.XSHE"}, stocks...)...), nil
		}, "traded on 2024-03-29 by the provider's list of the day, but its instrument list lacks it"},
		{"refused of before", func(v *fakeVendor, day market.Date) ([]market.Symbol, error) {
			if day < v.day("2024-03-29") {
				return nil, errors.New("no such query")
			}
			return symbols(stocks...), nil
		}, "whether delisted instruments are missing is not proved: the provider's list of the day: no such query"},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := newFakeVendor(t, "2024-04-10T12:00")
			v.onDay = func(day market.Date) ([]market.Symbol, error) { return test.listed(v, day) }
			report := v.want(ingest.StatusShort)
			if len(report.Missing) != 1 || report.Missing[0].Dataset != market.Listing || report.Missing[0].Why != test.want {
				t.Fatalf("missing %v, want that %s", report.Missing, test.want)
			}
			v.onDay = func(market.Date) ([]market.Symbol, error) { return symbols(stocks...), nil }
			v.want(ingest.StatusComplete)
		})
	}
}

// TestListThatLosesInstruments: a list that lacks what it held before is not believed, and what was held stays.
func TestListThatLosesInstruments(t *testing.T) {
	v := newFakeVendor(t, "2024-04-10T12:00")
	v.dead = v.day("2020-01-02") // there are lists of days
	v.want(ingest.StatusComplete)
	v.listed = []string{stocks[0], stocks[2]}
	v.at("2024-04-12T12:00")
	report := v.want(ingest.StatusShort)
	const why = "held before, and the provider's instrument list lacks it: it lost 1 of 3"
	if len(report.Missing) != 1 || report.Missing[0].Symbol != stocks[1] || report.Missing[0].Why != why {
		t.Errorf("missing %v, want %s", report.Missing, why)
	}
	if bars := report.Datasets[0]; bars.Symbols != 3 || bars.Stored != bars.Expected {
		t.Errorf("bars %+v, want those of all three", bars)
	}
	v.listed = nil
	v.want(ingest.StatusComplete)
}

// TestReportsThatDoNotRead: a report that this program cannot read is named by its run, not taken for none.
func TestReportsThatDoNotRead(t *testing.T) {
	ctx := context.Background()
	providers := func(string) (market.Provider, error) { return market.Provider{}, nil }
	for _, test := range []struct{ name, text, want string }{
		{"of another form", `{"asked": 5, "symbols": "many"}`, "report "},
		{"of no days", `{"asked": {"provider": "fake", "from": "today", "to": "today"}}`, "today"},
	} {
		v := newFakeVendor(t, "2024-04-10T12:00")
		for _, run := range []string{"sync-1", "sync-2"} {
			if err := v.store.SaveReport(ctx, store.Report{
				Run: run, Kind: ingest.ReportKind, Status: "complete", Started: time.Now(),
				JSON: json.RawMessage(test.text),
			}); err != nil {
				t.Fatal(err)
			}
		}
		_, gaps := ingest.FindGaps(ctx, v.store, providers)
		for name, err := range map[string]error{"gaps": gaps} {
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: %s says %v, want %q", test.name, name, err, test.want)
			}
		}
		if test.want == "today" {
			continue
		}
		_, status := ingest.ReadStatus(ctx, v.store, 0)
		_, trend := ingest.ReadTrend(ctx, v.store)
		_, tune := ingest.ReadMeasured(ctx, v.store, "fake")
		for name, err := range map[string]error{"status": status, "trend": trend, "tune": tune} {
			if err == nil || !strings.Contains(err.Error(), "report of run sync-2 in "+v.store.Dir()) {
				t.Errorf("%s says %v, want the run named", name, err)
			}
		}
	}
}

// TestTextsOfAStore: what people read of a store says what it holds, what is missing and what was done.
func TestTextsOfAStore(t *testing.T) {
	v := newFakeVendor(t, "2024-04-10T12:00")
	ctx := context.Background()
	v.omits[v.day("2024-03-12")] = true
	plan := func() string { return must(v.preview()).Text() }
	contains(t, plan(), "plan for "+v.store.Dir()+" from fake, 2024-03-01..2024-03-29", "first    instrument   all",
		"note: the provider's list of instruments is not stored yet: what is asked of each follows when it is")
	v.config.Sync.Symbols = []string{"sh.600001"}
	contains(t, plan(), "bar_1d: 1 requests for 1 symbols, 21 rows to expect", "in all 2 requests in 1 work units",
		"bar_1d       600001.XSHG  2024-03-01..2024-03-29, 21 sessions", "taken for listed throughout")
	v.config.Sync.Symbols = nil
	v.want(ingest.StatusShort)
	report := v.want(ingest.StatusComplete)
	contains(t, report.Text(), "coverage  bar_1d: 3 symbols, 62 of 63 expected rows stored (100.00 %), 1 confirmed to have none",
		"phase     fetch", "indicator error_rate: 0 % (target < 0.1 %, met)")
	contains(t, v.gaps().Text(), "at commit "+strconv.FormatInt(report.After, 10)+": 0 gaps",
		"none     bar_1d 600001.XSHG 2024-03-12 (1): the provider has none")
	contains(t, must(ingest.ReadStatus(ctx, v.store, 1)).Text(), "bar_1d       62 rows, ", "2024-03-01..2024-03-29",
		" complete: 3 symbols, 0 rows received, 0 new, 0 changed", " 0 missing")
	if n := len(must(ingest.ReadStatus(ctx, v.store, 0)).Runs); n != 2 {
		t.Errorf("%d runs, want both", n)
	}
}
