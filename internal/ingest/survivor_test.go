package ingest_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tapeline/tapeline/internal/ingest"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/store"
)

// listedOn is the vendor's list of a day.
func (v *fakeVendor) listedOn(_ context.Context, day market.Date) (list []market.Symbol, err error) {
	v.asked = append(v.asked, "list of "+day.String())
	texts := stocks
	if day <= v.dead && day >= v.born {
		texts = append([]string{deadStock}, stocks...)
	}
	for _, text := range texts {
		symbol, err := market.ParseSymbol(text)
		if err != nil {
			return nil, err
		}
		list = append(list, symbol)
	}
	return list, nil
}

// fresh gives the vendor's syncs an empty store.
func (v *fakeVendor) fresh() {
	v.t.Helper()
	st, err := store.Open(filepath.Join(v.t.TempDir(), "store"), store.Config{})
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(func() { _ = st.Close() })
	v.store = st
}

func (v *fakeVendor) lists() (n int) {
	for _, asked := range v.asked {
		if strings.HasPrefix(asked, "list of ") {
			n++
		}
	}
	return n
}

// TestDelistedIsFound: a stock that was delisted before the first sync, and that the list of instruments lacks,
// is found in the provider's lists of earlier days, said so, and its history kept; where there are none, it is
// kept when it is named, and a universe is said to be of survivors.
func TestDelistedIsFound(t *testing.T) {
	v := newFakeVendor(t, "2024-04-10T12:00")
	v.dead = v.day("2024-03-15")
	const found = "lacks 1 that were traded on 2024-03-01 by the provider's list of the day: they are taken for delisted"
	report := v.want(ingest.StatusShort)
	if len(report.Warnings) != 1 || !strings.Contains(report.Warnings[0], found) ||
		!strings.Contains(report.Warnings[0], deadStock) || v.lists() != 2 {
		t.Fatalf("warnings %v, %v was asked; want %s", report.Warnings, v.asked, found)
	}
	if len(report.Missing) != 1 || report.Missing[0].Symbol != deadStock || report.Missing[0].From != "2024-03-18" {
		t.Errorf("missing %v, want the days behind its last", report.Missing)
	}
	report = v.want(ingest.StatusComplete)
	if bars := report.Datasets[0]; bars.Symbols != 4 || bars.Stored != 3*21+11 || bars.None != 10 || v.lists() != 0 {
		t.Errorf("the second sync has %+v and asked %v", bars, v.asked)
	}

	v.fresh()
	v.config.Sync.Symbols = []string{"sh.600009"}
	if report := v.want(ingest.StatusShort); report.Datasets[0].Stored != 11 || !strings.Contains(report.Warnings[0], found) {
		t.Errorf("named: %+v, warnings %v", report.Datasets[0], report.Warnings)
	}
	v.config.Sync.Symbols = []string{"sh.600008"}
	if _, err := v.sync(nil); !errors.As(err, new(*ingest.RequestError)) {
		t.Errorf("a stock in no list: %v, want a refusal", err)
	}

	v.fresh()
	v.names.Survivors = true
	v.config.Sync.Symbols = nil
	report = v.want(ingest.StatusComplete)
	if len(report.Warnings) != 1 || !strings.Contains(report.Warnings[0], "histories are those of survivors") {
		t.Errorf("warnings %v, want that of survivors", report.Warnings)
	}
	v.config.Sync.Symbols = []string{"sh.600009"}
	if report := v.want(ingest.StatusShort); report.Datasets[0].Stored != 11 {
		t.Errorf("named, with a list of survivors: %+v", report.Datasets[0])
	}
}

// TestDelistedWithinAYear: a stock that was both listed and delisted between the lists of two years is in the
// list of a quarter, which is looked at where the list of instruments holds no delisted ones, or lacks some.
func TestDelistedWithinAYear(t *testing.T) {
	v := newFakeVendor(t, "2024-04-10T12:00")
	v.config.Sync.From = "2023-01-02"
	v.born, v.dead = v.day("2023-05-04"), v.day("2023-09-15")
	report, err := v.sync(nil)
	if err != nil || !strings.Contains(strings.Join(report.Warnings, "\n"), "traded on 2023-07-03 by the provider's list") {
		t.Fatalf("%v, warnings %v", err, report.Warnings)
	}
	if n := v.lists(); n != 6 { // of five quarters, and of the last day
		t.Errorf("%d lists: %v", n, v.asked)
	}
	calendar := must(market.CalendarOf(market.XSHG))
	days := must(calendar.Count(v.born, v.dead))
	view := must(v.store.View(t.Context(), 0))
	rows := must(view.Point(market.Bar1D, deadStock, v.born, v.dead, nil))
	if err := view.Close(); err != nil || rows.Len() != days {
		t.Errorf("%v, %d bars of it, want %d", err, rows.Len(), days)
	}
	if _, err := v.sync(nil); err != nil || v.lists() != 0 {
		t.Errorf("%v, the second sync asked %v", err, v.asked)
	}

	v.fresh()
	v.config.Sync.Symbols = []string{"sh.600009"}
	if report, err = v.sync(nil); err != nil || report.Datasets[0].Stored != days {
		t.Errorf("named: %v, %+v", err, report)
	}
	v.config.Sync.Symbols = nil

	// A list with delisted ones is held against one of each year only.
	v.fresh()
	v.gone = true
	if _, err = v.sync(nil); err != nil || v.lists() != 3 {
		t.Errorf("%v, with delisted ones in the list %v was asked", err, v.asked)
	}
	// It is not believed any more when one of these shows that it lacks some.
	v.fresh()
	v.born = v.day("2022-05-04")
	if _, err = v.sync(nil); err != nil || v.lists() != 6 {
		t.Errorf("%v, with a list that lacks one %v was asked", err, v.asked)
	}
}

// preview plans without doing anything.
func (v *fakeVendor) preview() (*ingest.Preview, error) {
	v.t.Helper()
	v.config.Sync.Datasets = []string{market.Bar1D, market.AdjFactor}
	s := &ingest.Sync{Config: v.config, Provider: v.provider(), Store: v.store, Now: v.now, Start: v.start}
	return s.Preview(v.t.Context(), v.store.Dir())
}

// TestPlanOfDelisted: what a sync finds though the list of instruments lacks it is planned; what it refuses is
// refused.
func TestPlanOfDelisted(t *testing.T) {
	v := newFakeVendor(t, "2024-04-10T12:00")
	v.dead = v.day("2024-03-15")
	v.config.Sync.Symbols = []string{"sh.600001"}
	v.want(ingest.StatusComplete)
	v.config.Sync.Symbols = []string{"sh.600001", "sh.600009"}
	planned := func(note string) {
		t.Helper()
		p, err := v.preview()
		if err != nil {
			t.Fatal(err)
		}
		bars := slices.IndexFunc(p.Units, func(u ingest.PlannedUnit) bool {
			return u.Dataset == market.Bar1D && u.Symbol == deadStock && u.From == "2024-03-01" && u.To == "2024-03-29"
		})
		if bars < 0 || len(p.Notes) == 0 || !strings.Contains(p.Notes[0], note) || !strings.Contains(p.Notes[0], deadStock) {
			t.Errorf("%s\nwant all days of %s, and a note %q", p.Text(), deadStock, note)
		}
	}
	v.asked = nil
	planned("a sync looks for them in the provider's lists of 1 earlier days first")
	if len(v.asked) > 0 {
		t.Errorf("a plan asked %v", v.asked)
	}
	v.at("2024-04-20T12:00") // the list is old
	planned("a sync fetches the provider's list of instruments first")
	v.at("2024-04-10T12:00")
	v.dead = 0
	if _, err := v.preview(); !errors.As(err, new(*ingest.RequestError)) {
		t.Errorf("a stock that a sync refuses: %v", err)
	}
	v.dead, v.names.Survivors = v.day("2024-03-15"), true
	planned("the provider's list holds what is listed now only")
	v.want(ingest.StatusShort)
	if p, err := v.preview(); err != nil || strings.Contains(p.Text(), "are not among") {
		t.Errorf("after the sync: %v\n%s", err, p.Text())
	}
}
