package app

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tapeline/tapeline/internal/ingest"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/sim"
)

// at sets the clocks of the vendor and of the syncs to a time in China.
func (s *syncer) at(v *vendor, text string) {
	s.t.Helper()
	const layout = "2006-01-02T15:04"
	at, err := time.ParseInLocation(layout, text, time.FixedZone("CST", 8*3600))
	if err != nil {
		s.t.Fatal(err)
	}
	s.engine.Now = func() time.Time { return at }
	virtual, err := time.Parse(layout, text)
	if err != nil {
		s.t.Fatal(err)
	}
	v.SetNow(virtual)
}

// finals counts the bars of a day by whether they are final.
func (s *syncer) finals(day string) map[string]int {
	s.t.Helper()
	head, rows := s.table(market.Bar1D)
	date, final := slices.Index(head, "date"), slices.Index(head, "final")
	counts := map[string]int{}
	for _, row := range rows {
		if row[date] == day {
			counts[row[final]]++
		}
	}
	return counts
}

// TestSyncFetchesTodayAgain: a bar that was fetched before its day's rows are final is no gap and not
// believed: the first sync behind the close fetches it again, and no later one does.
func TestSyncFetchesTodayAgain(t *testing.T) {
	v := startVendor(t, sim.Config{Market: synthetic(t, 8), PublishAt: 15*time.Hour + time.Minute})
	s := newSyncer(t, v, "2022-06-01", "")
	s.at(v, "2022-06-15T14:00") // nothing of the day is there, and nothing is expected
	s.config.Sync.To = "2022-06-15"
	s.want(ingest.StatusComplete)
	if got := s.finals("2022-06-15"); len(got) != 0 {
		t.Fatalf("bars of the day before it closed: %v", got)
	}
	s.at(v, "2022-06-15T16:00") // the vendor shows the day's bars, which are not final before 18:00
	report := s.want(ingest.StatusComplete)
	got := s.finals("2022-06-15")
	if got["0"] == 0 || got["1"] != 0 || report.Datasets[0].Provisional != got["0"] {
		t.Fatalf("bars of the day by final: %v; want none final, and the report to say so\n%s", got, report.Text())
	}
	s.at(v, "2022-06-15T18:30")
	report = s.want(ingest.StatusComplete)
	want := map[string]int{"1": got["0"]}
	if diff := cmp.Diff(want, s.finals("2022-06-15")); diff != "" || report.Datasets[0].Provisional != 0 {
		t.Errorf("bars of the day by final, after the close (-want +got):\n%s%s", diff, report.Text())
	}
	v.take()
	s.want(ingest.StatusComplete)
	if asked := v.take(); asked[askBars] != 0 {
		t.Errorf("what is final is asked for %d times", asked[askBars])
	}
	// The default is the last day whose rows are final.
	s.config.Sync.To = ""
	s.at(v, "2022-06-16T17:59")
	if report := s.want(ingest.StatusComplete); report.To != "2022-06-15" {
		t.Errorf("before the close a sync goes up to %s", report.To)
	}
	s.at(v, "2022-06-16T18:00")
	if report := s.want(ingest.StatusComplete); report.To != "2022-06-16" {
		t.Errorf("after the close a sync goes up to %s", report.To)
	}
}

// TestSyncAsksStatementsInSeason: statements that may still come are asked for each week until they are due and
// seldom afterwards, none that came is asked for again, and in the end all are there.
func TestSyncAsksStatementsInSeason(t *testing.T) {
	v := startVendor(t, sim.Config{Market: synthetic(t, 3), Seed: 3})
	s := newSyncer(t, v, "2021-01-01", "")
	s.config.Sync.Datasets = []string{market.Fundamental}
	asked, came := map[string][]string{}, map[string]bool{} // days, by code and quarter
	for _, at := range []string{
		"03-30", "04-01", "04-07", "04-08", "04-30", "05-01", "05-31", "06-01", "08-10",
	} {
		s.at(v, "2022-"+at+"T20:00")
		v.mu.Lock()
		v.calls = nil
		v.mu.Unlock()
		s.want(ingest.StatusComplete)
		for _, call := range v.calls {
			method, args, _ := strings.Cut(call, " ")
			if method != "query_profit_data" {
				continue
			}
			if came[args] {
				t.Errorf("%s: %s is asked for again, and it came", at, args)
			}
			asked[args] = append(asked[args], at)
		}
		for quarter := range s.statements() {
			came[quarter] = true
		}
	}
	// Each week, once it is due, after twice the time, and when all has to be there.
	season := []string{"04-01", "04-08", "04-30", "05-01", "06-01", "08-10"}
	for quarter, on := range asked {
		if strings.HasSuffix(quarter, " 2022 1") && !slices.Equal(on, season[:len(on)]) {
			t.Errorf("%s is asked for on %v, want the first of %v", quarter, on, season)
		}
	}
	late := newSyncer(t, v, "2021-01-01", "")
	late.at(v, "2022-08-10T20:00")
	late.config.Sync.Datasets = s.config.Sync.Datasets
	late.want(ingest.StatusComplete)
	if got, want := s.export(market.Fundamental), late.export(market.Fundamental); !bytes.Equal(sorted(got), sorted(want)) {
		t.Errorf("%d bytes of statements are stored, a single sync has %d", len(got), len(want))
	}
	if len(came) < 10 {
		t.Errorf("%d statements came", len(came))
	}
}

// statements returns "code year quarter" of what is stored.
func (s *syncer) statements() map[string]bool {
	s.t.Helper()
	rows, err := csv.NewReader(bytes.NewReader(s.export(market.Fundamental))).ReadAll()
	if err != nil {
		s.t.Fatal(err)
	}
	found := map[string]bool{}
	for _, row := range rows[1:] {
		symbol, err := market.ParseSymbol(row[0])
		if err != nil {
			s.t.Fatal(err)
		}
		code, err := market.BaoStock.Format(symbol)
		if err != nil {
			s.t.Fatal(err)
		}
		end, err := market.ParseDate(row[slices.Index(rows[0], "stat_date")])
		if err != nil {
			s.t.Fatal(err)
		}
		year, month, _ := end.Civil()
		found[fmt.Sprint(code, " ", year, " ", int(month)/3)] = true
	}
	return found
}

// TestSyncWithClockSetBackInDay: under a clock that says that today is not over, today is asked for again where
// some instruments lack it; that takes nothing away from what is final of the others.
// invariant: a row that is not final never replaces one that is
func TestSyncWithClockSetBackInDay(t *testing.T) {
	v := startTushare(t, synthetic(t, 8), sim.WebConfig{})
	s := v.syncer(t, "2022-06-01", "2022-06-15", ingest.RouteByDate)
	zone := time.FixedZone("CST", 8*3600)
	clock := func(hour int) { s.engine.Now = func() time.Time { return time.Date(2022, 6, 15, hour, 0, 0, 0, zone) } }
	clock(22)
	s.want(ingest.StatusComplete)
	want, all := s.export(market.Bar1D), s.finals("2022-06-15")
	lost := s.lose(market.Interval{From: market.DateOf(2022, 6, 13), To: market.DateOf(2022, 6, 15)}, false)
	clock(12)
	report := s.want(ingest.StatusComplete)
	got := s.finals("2022-06-15")
	if got["1"] != all["1"]-len(lost) || got["0"] != len(lost) || report.Datasets[0].Provisional != len(lost) {
		t.Errorf("bars of the day by final: %v after %v, %d lost\n%s", got, all, len(lost), report.Text())
	}
	clock(23)
	s.want(ingest.StatusComplete)
	if !bytes.Equal(sorted(s.export(market.Bar1D)), sorted(want)) {
		t.Error("under the right clock the bars are not what they were")
	}
	v.take()
	s.want(ingest.StatusComplete)
	if asked, _ := v.take(); asked["daily"] != 0 {
		t.Errorf("asked again: %v", asked)
	}
}
