package app

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connectors/baostock"
	"github.com/tapeline/tapeline/internal/ingest"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/sim"
	"github.com/tapeline/tapeline/internal/store"
)

// TestAdjustedSeriesOverTheWire: what the provider answers with adjustflag 1 and 2 for the real bars is
// our raw bars times our factors, to the last of ten decimals.
func TestAdjustedSeriesOverTheWire(t *testing.T) {
	m, _ := realMarket(t)
	v := startVendor(t, sim.Config{Market: m})
	s := newSyncer(t, v, "2020-01-01", "2024-06-28")
	s.want(ingest.StatusComplete)
	st, err := store.Open(s.config.Sync.Store, store.Config{Existing: true})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	view, err := st.View(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	client, err := baostock.NewClient(baostock.Config{Address: v.Address(), EnableKeepalive: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	series, prices := 0, 0
	for _, symbol := range view.Symbols() {
		prices += compareAdjusted(t, view, client, symbol)
		series++
	}
	if series != 150 || prices != 2*5*156_636 {
		t.Errorf("%d series with %d prices were compared, want 150 with %d", series, prices, 2*5*156_636)
	}
}

// compareAdjusted compares one symbol's adjusted prices and returns how many.
func compareAdjusted(t *testing.T, view *store.View, client *baostock.Client, symbol string) (prices int) {
	t.Helper()
	read := func(dataset string) *batch.Batch {
		b, err := view.Point(dataset, symbol, market.MinDate, market.MaxDate, nil)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	bars := read(market.Bar1D)
	factors, err := market.FactorsOf(read(market.AdjFactor))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := market.ParseSymbol(symbol)
	if err != nil {
		t.Fatal(err)
	}
	for flag, how := range map[baostock.Adjust]market.Adjustment{
		baostock.Backward: market.Backward, baostock.Forward: market.Forward,
	} {
		ours, err := factors.Adjust(bars, how)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := client.KData(t.Context(), baostock.KDataRequest{
			Symbol: parsed, From: market.DateOf(2020, 1, 1), To: market.DateOf(2024, 6, 28), Adjust: flag,
		})
		if err != nil || len(theirs.Rows) != ours.Len() {
			t.Fatalf("%s: %d rows, %v; want %d", symbol, len(theirs.Rows), err, ours.Len())
		}
		for _, name := range []string{"open", "high", "low", "close", "preclose"} {
			at, err := theirs.Column(name)
			if err != nil {
				t.Fatal(err)
			}
			column := ours.Column(ours.Schema().Index(name))
			for i, row := range theirs.Rows {
				if got := string(batch.AppendText(nil, column, ours.Row(i))); got != row[at] {
					t.Fatalf("%s %s, adjustflag %s: %s is %s, the provider says %s", symbol, row[0], flag, name, got, row[at])
				}
				prices++
			}
		}
	}
	return prices
}

// TestSyncAsksFactorsOfEventsOnly: an increment asks for the factors of the symbols that had an ex-date in
// it or were listed in it, once each, and of nobody else; the store is that of a single sync.
func TestSyncAsksFactorsOfEventsOnly(t *testing.T) {
	m := synthetic(t, 40)
	before, after := sim.DateOf(2022, 6, 10), sim.DateOf(2022, 7, 8)
	v := startVendor(t, sim.Config{Market: m, Now: before.Time().Add(20 * time.Hour)})
	s := newSyncer(t, v, "2021-01-01", before.String())
	s.want(ingest.StatusComplete)
	affected := 0
	for _, one := range m.Securities() {
		if one.Renamed != "" && one.Until <= after || one.Since > after {
			continue
		}
		if one.IPO > before && one.IPO <= after && one.Kind == sim.Stock {
			affected++
			continue
		}
		for _, a := range m.Actions(one.Code) {
			if a.Ex > before && a.Ex <= after {
				affected++
			}
		}
	}
	v.take()
	v.SetNow(after.Time().Add(20 * time.Hour))
	s.config.Sync.To = after.String()
	report := s.want(ingest.StatusComplete)
	if asked := v.take(); affected == 0 || asked[askFactors] != affected {
		t.Errorf("asked for factors %d times; %d of %d symbols had an ex-date", asked[askFactors], affected, report.Symbols)
	}
	whole := newSyncer(t, v, "2021-01-01", after.String())
	whole.want(ingest.StatusComplete)
	for _, dataset := range []string{market.Bar1D, market.AdjFactor} {
		if !bytes.Equal(sorted(s.export(dataset)), sorted(whole.export(dataset))) {
			t.Errorf("%s differs from that of a single sync", dataset)
		}
	}
}

// TestSyncIsNotBanned: with a blacklist armed at more than one session or a number of requests a second,
// syncs that keep to them are never banned.
func TestSyncIsNotBanned(t *testing.T) {
	const perSecond = 40
	v := startVendor(t, sim.Config{
		Market: synthetic(t, 12), MaxSessions: 1, SessionsBan: true, RequestsPerSecond: perSecond,
	})
	s := newSyncer(t, v, "2021-01-01", "2022-12-30")
	rate := float64(perSecond)
	s.config.Sync.RequestsPerSecond = &rate
	s.want(ingest.StatusComplete)
	s.config.Performance.Cache.Enable = false
	s.want(ingest.StatusComplete)
	if stats := v.Stats(); stats.Requests < 40 || stats.Errors["10001011"] != 0 {
		t.Errorf("%d requests, answered with errors %v", stats.Requests, stats.Errors)
	}
}

// TestSyncWhileBlacklisted: a blacklisted address is said so, with the time it is over, and asks for nothing
// before.
func TestSyncWhileBlacklisted(t *testing.T) {
	rules, err := sim.ParseFaults("at 5 on 95: error 10001011")
	if err != nil {
		t.Fatal(err)
	}
	v := startVendor(t, sim.Config{Market: synthetic(t, 12), Faults: rules})
	s := newSyncer(t, v, "2021-01-01", "2022-12-30")
	for run := range 2 {
		report, err := s.run()
		const why = "this address is blacklisted (10001011); nothing is asked before "
		if report == nil || report.Status != ingest.StatusFailed || err == nil || !strings.Contains(err.Error(), why) {
			t.Fatalf("run %d: %v\n%s", run, err, text(report))
		}
		if !strings.Contains(report.Error, why) || len(report.Missing) == 0 {
			t.Errorf("run %d: the report says %q, %d missing", run, report.Error, len(report.Missing))
		}
		asked := v.take()
		if want := map[int]int{0: 5, 1: 0}[run]; asked[askBars] != want || run == 1 && len(asked) != 0 {
			t.Errorf("run %d asked %v", run, asked)
		}
	}
}

// TestSyncCalendarDisagreement: a day that the provider calls open and the exchange's calendar does not is
// reported, and the exchange's calendar counts.
func TestSyncCalendarDisagreement(t *testing.T) {
	m := synthetic(t, 1)
	dir := t.TempDir()
	var bars, days bytes.Buffer
	if err := sim.WriteOracle(&bars, m, m.Calendar().To()); err != nil {
		t.Fatal(err)
	}
	holiday := sim.DateOf(2022, 10, 3)
	fmt.Fprintln(&days, "calendar_date,is_trading_day")
	for day := m.Calendar().From(); day <= m.Calendar().To(); day++ {
		open := 0
		if m.Calendar().IsOpen(day) || day == holiday {
			open = 1
		}
		fmt.Fprintf(&days, "%s,%d\n", day, open)
	}
	data, calendar := filepath.Join(dir, "bars"), filepath.Join(dir, "calendar.csv")
	for name, text := range map[string][]byte{filepath.Join(data, "all.csv"): bars.Bytes(), calendar: days.Bytes()} {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	served, err := sim.LoadCSV(data, calendar, "")
	if err != nil {
		t.Fatal(err)
	}
	s := newSyncer(t, startVendor(t, sim.Config{Market: served}), "2021-01-04", "2022-12-30")
	report := s.want(ingest.StatusComplete)
	const want = "2022-10-03: the provider says open, the built-in calendar closed"
	if !strings.Contains(strings.Join(report.Disagreements, "\n"), want) {
		t.Errorf("disagreements %v, want %s", report.Disagreements, want)
	}
}
