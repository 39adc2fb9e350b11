package ingest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/ingest"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/store"
)

func (v *fakeVendor) tryRepair(r ingest.Repair, provider ingest.Provider) (*ingest.RepairReport, error) {
	r.Store = v.store
	r.Providers = func(string) (market.Provider, error) { return provider.Provider, nil }
	r.Sync = ingest.Sync{Config: v.config, Provider: provider, Now: v.now, Start: v.start}
	v.asked = nil
	return r.Run(context.Background())
}

func (v *fakeVendor) repair(r ingest.Repair) *ingest.RepairReport {
	v.t.Helper()
	report, err := v.tryRepair(r, v.provider())
	if err != nil {
		v.t.Fatal(err)
	}
	return report
}

func changes(r *ingest.RepairReport) []string {
	list := []string{}
	for _, c := range r.Changed {
		list = append(list, fmt.Sprintf("%s %s %s -> %s %s", c.Dataset, c.Column, c.Old, c.New, c.Rule))
	}
	slices.Sort(list)
	return list
}

// TestRepairAsksAgain: what breaks a rule or was restated comes from the provider again, nothing else is
// asked for, and each changed value is logged.
func TestRepairAsksAgain(t *testing.T) {
	const one, two = "600001.XSHG", "600002.XSHG"
	for _, test := range []struct {
		name    string
		spoil   func(v *fakeVendor)
		sample  bool
		asked   []string
		changed []string
	}{
		{"nothing is wrong", func(*fakeVendor) {}, false, nil, []string{}},
		{"a row breaks a rule", func(v *fakeVendor) {
			v.put(one, "2024-03-12", "10", "10", "10.5", "10", "10")
		}, false, []string{"bar_1d 600001.XSHG 2024-03-12"}, []string{
			"bar_1d low 10.5000 -> 10.0000 ohlc_order",
		}},
		{"the chain is broken", func(v *fakeVendor) {
			v.put(one, "2024-03-12", "10", "10.1", "10", "10.1", "10")
		}, false, []string{
			"adj_factor 600001.XSHG 1990-12-03..2024-03-29", "bar_1d 600001.XSHG 2024-03-01..2024-03-13",
		}, []string{
			"bar_1d close 10.1000 -> 10.0000 preclose_chain", "bar_1d high 10.1000 -> 10.0000 preclose_chain",
		}},
		{"rows were restated", func(v *fakeVendor) {
			v.put(one, "2024-03-12", "10", "10.01", "10", "10", "10")
		}, true, []string{"bar_1d 600001.XSHG 2024-03-01..2024-03-29"}, []string{
			"bar_1d high 10.0100 -> 10.0000 restated",
		}},
		{"a row is gone", func(v *fakeVendor) {
			v.drop(two, "2024-03-13")
			v.put(one, "2024-03-12", "10", "10", "10.5", "10", "10")
		}, false, []string{"bar_1d 600001.XSHG 2024-03-12", "bar_1d 600002.XSHG 2024-03-13"}, []string{
			"bar_1d low 10.5000 -> 10.0000 ohlc_order",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := newFakeVendor(t, "2024-04-10T12:00")
			v.want(ingest.StatusComplete)
			test.spoil(v)
			r := ingest.Repair{DryRun: true}
			if test.sample {
				r.Sample = &ingest.Sample{Provider: v.provider(), Start: v.start}
			}
			planned := v.repair(r)
			if planned.Before != planned.After || len(planned.Changed) > 0 || planned.Whole() != (test.asked == nil) {
				t.Errorf("a dry run did something: %s", planned.Text())
			}
			r.DryRun = false
			done := v.repair(r)
			if !done.Whole() || len(done.Left) > 0 {
				t.Errorf("left: %s", done.Text())
			}
			if diff := cmp.Diff(planned.Doubts, done.Doubts); diff != "" {
				t.Errorf("doubts (-planned +done):\n%s", diff)
			}
			asked := slices.DeleteFunc(v.asked, func(text string) bool { return test.sample && !strings.Contains(text, one) })
			if test.sample { // the sample asks before and after
				asked = asked[2 : len(asked)-2]
			}
			if diff := cmp.Diff(test.asked, append([]string(nil), asked...)); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.changed, changes(done)); diff != "" {
				t.Errorf("changed (-want +got):\n%s", diff)
			}
			if again := v.repair(r); len(again.Changed) > 0 || again.Before != again.After {
				t.Errorf("repaired again: %s", again.Text())
			}
		})
	}
}

// TestRepairTakesAllFindings: one repair mends more than a report lists.
func TestRepairTakesAllFindings(t *testing.T) {
	v := newFakeVendor(t, "2024-04-10T12:00")
	v.config.Sync.From = "2008-01-01"
	v.want(ingest.StatusComplete)
	d, _ := market.DatasetByName(market.Bar1D)
	b := batch.NewBuilder(d.Schema)
	wrong := 0
	for _, symbol := range stocks {
		v.bars(b, market.Unit{Symbol: symbol, From: v.day("2008-01-01"), To: v.day("2024-03-28")})
		wrong = b.Len()
	}
	rows := must(b.Batch())
	low := batch.NewAppender(rows.Column(d.Schema.Index("low")).Type())
	for range wrong {
		if err := low.Any("11"); err != nil { // above the high of 10
			t.Fatal(err)
		}
	}
	rows = rows.Replace(d.Schema.Index("low"), low.Column())
	v.commit(store.Changes{Puts: map[string][]*batch.Batch{market.Bar1D: {rows}}})
	if wrong <= ingest.MaxFindings {
		t.Fatalf("%d rows are wrong, want more than a report lists", wrong)
	}
	report := v.repair(ingest.Repair{})
	if !report.Whole() || report.Errors != wrong || report.Rows.Changed != int64(wrong) || len(report.Left) > 0 {
		t.Errorf("of %d wrong rows: %s", wrong, report.Text())
	}
	if found := v.verify(ingest.Verify{}); len(found.Findings) > 0 {
		t.Errorf("afterwards: %d errors", found.Errors)
	}
}

// TestRepairLeavesWhatTheProviderInsistsOn: a row that the provider has no more stays, and is named.
func TestRepairLeavesWhatTheProviderInsistsOn(t *testing.T) {
	v := newFakeVendor(t, "2024-04-10T12:00")
	v.want(ingest.StatusComplete)
	v.omits[v.day("2024-03-20")] = true
	report := v.repair(ingest.Repair{Verify: ingest.Verify{Sample: &ingest.Sample{Provider: v.provider(), Start: v.start}}})
	if report.Whole() || len(report.Refused) != 1 || len(report.Left) != 1 || report.Before != report.After {
		t.Errorf("got %s", report.Text())
	}
	saved := must(v.store.Reports(context.Background(), ingest.RepairKind, 0))
	var kept ingest.RepairReport
	if len(saved) != 1 || saved[0].Status != string(ingest.StatusShort) || json.Unmarshal(saved[0].JSON, &kept) != nil ||
		len(kept.Left) != 1 {
		t.Errorf("the store keeps %+v", saved)
	}
}

// damage spoils the bars of 2020, among them some of symbols that no sync keeps.
func (v *fakeVendor) damage() {
	v.t.Helper()
	v.many("2020-01-02", "2020-12-31")
	w := must(v.store.Lock(context.Background(), "test"))
	must(w.Compact(context.Background(), true)) // all of the year into one file
	if err := w.Unlock(); err != nil {
		v.t.Fatal(err)
	}
	v.spoil("2020")
}

// TestRepairGivesDamageUp: a damaged segment is given up; what syncs keep is fetched again, and of the
// rest it is said that it is lost.
func TestRepairGivesDamageUp(t *testing.T) {
	v := newFakeVendor(t, "2024-04-10T12:00")
	v.config.Sync.From = "2020-01-01"
	v.want(ingest.StatusComplete)
	v.damage()
	report := v.repair(ingest.Repair{})
	if len(report.Abandoned) == 0 || report.Rows.New != 3*243 {
		t.Errorf("gave up %q, %d rows came, want the year's 729", report.Abandoned, report.Rows.New)
	}
	if report.Whole() || len(report.Left) != 1 || !strings.Contains(report.Left[0].Message, "5 symbols that no sync keeps") {
		t.Errorf("left %v", report.Left)
	}
	found := v.verify(ingest.Verify{})
	if diff := cmp.Diff([]string{}, short(found)); diff != "" {
		t.Errorf("afterwards (-want +got):\n%s", diff)
	}
	view := must(v.store.View(context.Background(), 0))
	defer view.Close()
	for _, symbol := range stocks {
		if b := must(view.Point(market.Bar1D, symbol, v.day("2020-01-01"), v.day("2020-12-31"), nil)); b.Len() != 243 {
			t.Errorf("%s has %d rows in 2020, want 243", symbol, b.Len())
		}
	}
	if _, err := v.store.View(context.Background(), store.Seq(1)); err == nil {
		t.Error("an earlier commit is read without the rows that were given up")
	}
}

// deadSource is of a provider that does not answer.
type deadSource struct{ fakeSource }

func (*deadSource) Check(context.Context) error { return errors.New("connection refused") }

// TestRepairNeedsTheProvider: what cannot be asked for again is not given up.
func TestRepairNeedsTheProvider(t *testing.T) {
	v := newFakeVendor(t, "2024-04-10T12:00")
	v.want(ingest.StatusComplete)
	v.put("600001.XSHG", "2024-03-12", "10", "10", "10.5", "10", "10")
	dead := v.provider()
	dead.Source = func(connector.Env, []market.Unit) (connector.Source, error) { return &deadSource{}, nil }
	if _, err := v.tryRepair(ingest.Repair{}, dead); err == nil || !strings.Contains(err.Error(), "nothing was changed") {
		t.Fatalf("got %v", err)
	}
	v.asked = nil
	if v.want(ingest.StatusComplete); len(v.asked) > 0 {
		t.Errorf("the sync after it asks for %v: coverage was taken back", v.asked)
	}
}

// TestRepairFailsBehindGivingUp: a provider that answers when it is asked whether it does, and then fails, leaves
// gaps that are listed where rows are gone, and the next plain sync fetches all that was doubted.
func TestRepairFailsBehindGivingUp(t *testing.T) {
	for name, spoil := range map[string]func(v *fakeVendor){
		"damage":      (*fakeVendor).damage,
		"a wrong row": func(v *fakeVendor) { v.put("600001.XSHG", "2024-03-12", "10", "10", "10.5", "10", "10") },
	} {
		v := newFakeVendor(t, "2024-04-10T12:00")
		v.config.Sync.From = "2020-01-01"
		whole := v.want(ingest.StatusComplete).Datasets[0]
		spoil(v)
		v.fail = &connector.Error{Op: "read", Class: connector.Permanent, Err: errors.New("connection reset")}
		report, err := v.tryRepair(ingest.Repair{}, v.provider())
		if err == nil || report == nil || len(report.Doubts) == 0 {
			t.Fatalf("%s: got %v and %+v, want a repair that doubts and fails", name, err, report)
		}
		gaps := func() int {
			found := must(ingest.FindGaps(t.Context(), v.store, func(string) (market.Provider, error) {
				return v.provider().Provider, nil
			}))
			return len(found.Missing)
		}
		if n := gaps(); (n > 0) != (len(report.Abandoned) > 0) {
			t.Errorf("%s: %d gaps where %d segments were given up", name, n, len(report.Abandoned))
		}
		after := v.want(ingest.StatusComplete).Datasets[0]
		if after.Stored != whole.Stored || gaps() != 0 {
			t.Errorf("%s: after the next sync %+v and %d gaps, want %+v and none", name, after, gaps(), whole)
		}
		if found := v.verify(ingest.Verify{}); len(found.Findings) > 0 {
			t.Errorf("%s: after the next sync: %v", name, short(found))
		}
	}
}
