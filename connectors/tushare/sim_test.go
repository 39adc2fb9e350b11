package tushare

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/provider"
	"github.com/tapeline/tapeline/internal/sim"
)

// simulated starts the simulated service, which shares no code with the connector.
func simulated(t *testing.T, m sim.Market, config sim.WebConfig) (*sim.Web, provider.Settings) {
	t.Helper()
	server, err := sim.StartTushare(t.Context(), "127.0.0.1:0", m, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	settings := Vendor().Defaults()
	settings.Endpoint, settings.Token, settings.RequestsPerSecond = "http://"+server.Address(), "a-token", 0
	settings.Backoff = time.Millisecond
	return server, settings
}

func synthetic(t *testing.T, symbols int) sim.Market {
	t.Helper()
	m, err := sim.Synthetic(7, symbols, sim.DateOf(2023, 1, 1), sim.DateOf(2023, 8, 31))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// split parts rows from the ends of units and what these confirm to have none.
func split(lines []string) (rows, ends, none []string) {
	for _, line := range lines {
		switch {
		case strings.HasPrefix(line, "{"):
			rows = append(rows, line)
		case strings.HasSuffix(line, " 0 empty_confirmed") && strings.HasPrefix(line, market.Bar1D):
			none = append(none, line)
		default:
			ends = append(ends, line)
		}
	}
	slices.Sort(rows)
	slices.Sort(none)
	return rows, ends, none
}

// TestRoutesAgree: asked by stock and asked by day the service gives the same bars, factors and
// suspensions, and those are the market's.
func TestRoutesAgree(t *testing.T) {
	t.Parallel()
	m := synthetic(t, 60)
	_, settings := simulated(t, m, sim.WebConfig{})
	from, to := market.DateOf(2023, 1, 3), market.DateOf(2023, 8, 31)
	var bySymbol, byDate, oracle, none []string
	var units []market.Unit
	for _, s := range m.Securities() {
		if s.Kind != sim.Stock || s.Renamed != "" {
			continue
		}
		symbol, err := market.BaoStock.Parse(s.Code, market.Stock)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range m.Bars(nil, s.Code, from, to) {
			if !b.Trading {
				none = append(none, fmt.Sprintf("bar_1d %s %s of tushare 0 empty_confirmed", symbol, b.Date))
				continue
			}
			oracle = append(oracle, fmt.Sprintf(`{"symbol":"%s","date":"%s","open":%s,"high":%s,"low":%s,"close":%s,"preclose":%s,"volume":%d,"amount":%s,"turn":null,"trade_status":true,"is_st":null,"final":true}`,
				symbol, b.Date, price(b.Open), price(b.High), price(b.Low), price(b.Close), price(b.Preclose), b.Volume, price(b.Amount)))
		}
		for _, a := range m.Actions(s.Code) {
			if a.Ex >= from && a.Ex <= to {
				oracle = append(oracle, fmt.Sprintf(`{"symbol":"%s","ex_date":"%s","fore_factor":null,"back_factor":%d.%06d,"adjust_factor":null}`, symbol, a.Ex, a.Back/1e6, a.Back%1e6))
			}
		}
		for _, dataset := range []string{market.Bar1D, market.AdjFactor} {
			units = append(units, unit(dataset, symbol.String(), from.String(), to.String()))
		}
	}
	slices.Sort(oracle)
	slices.Sort(none)
	got, err := told(t, settings, units...)
	if err != nil {
		t.Fatal(err)
	}
	bySymbol, _, noneBySymbol := split(got)
	units = nil
	for _, day := range m.Calendar().Open(from, to) {
		for _, dataset := range []string{market.Bar1D, market.AdjFactor} {
			units = append(units, unit(dataset, "", day.String(), day.String()))
		}
	}
	if got, err = told(t, settings, units...); err != nil {
		t.Fatal(err)
	}
	byDate, ends, noneByDate := split(got)
	for _, end := range ends {
		if !strings.HasSuffix(end, " ok") && !strings.HasSuffix(end, " empty_confirmed") {
			t.Error(end)
		}
	}
	for name, pair := range map[string][2][]string{
		"bars and factors by symbol": {oracle, bySymbol}, "bars and factors by date": {oracle, byDate},
		"suspensions by symbol": {none, noneBySymbol}, "suspensions by date": {none, noneByDate},
	} {
		if len(pair[0]) < 10 {
			t.Errorf("%s: only %d are compared", name, len(pair[0]))
		}
		if diff := cmp.Diff(pair[0], pair[1]); diff != "" {
			t.Errorf("%s (-market +got):\n%s", name, diff)
		}
	}
}

// TestFactorsOfADayBehindASilentCap: a service that gives fewer rows than it did hides no factor that
// changed.
func TestFactorsOfADayBehindASilentCap(t *testing.T) {
	t.Parallel()
	m := synthetic(t, 60)
	from, to := market.DateOf(2023, 1, 3), market.DateOf(2023, 8, 31)
	var asks []market.Unit
	for _, s := range m.Securities() {
		for _, a := range m.Actions(s.Code) {
			if a.Ex >= from && a.Ex <= to && s.Kind == sim.Stock && len(asks) < 10 {
				asks = append(asks, unit(market.AdjFactor, "", a.Ex.String(), a.Ex.String()))
			}
		}
	}
	_, usual := simulated(t, m, sim.WebConfig{})
	want, err := told(t, usual, asks...)
	if err != nil {
		t.Fatal(err)
	}
	_, capped := simulated(t, m, sim.WebConfig{PageCap: 7})
	got, err := told(t, capped, asks...)
	if err != nil {
		t.Fatal(err)
	}
	if rows, _, _ := split(want); len(rows) < len(asks) {
		t.Fatalf("only %d factors in %d days", len(rows), len(asks))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-usual +capped):\n%s", diff)
	}
}

func price(v int64) string { return fmt.Sprintf("%d.%04d", v/1e4, v%1e4) }

// TestFaults: whatever the service does to an answer, it is asked again, or the unit says that it is not
// whole, or rows are missing that its end does not count; never is a wrong row let through.
func TestFaults(t *testing.T) {
	t.Parallel()
	m := synthetic(t, 30)
	asks := unit(market.Bar1D, "", "2023-06-01", "2023-06-01")
	_, clean := simulated(t, m, sim.WebConfig{})
	whole, err := told(t, clean, asks)
	if err != nil {
		t.Fatal(err)
	}
	rows, _, _ := split(whole)
	for rule, short := range map[string]bool{
		"at 1: truncate": false, "at 1: reset": false, "at 1: drop": false, "at 1: fail": false, "at 1: garbage": false,
		"at 1: status 503": false, "at 1 on daily: unsorted": false, "at 1 on daily: duplicate": false,
		"at 1 on daily: missing": true, "at 1 on daily: short": true, "from 1: pagecap 7": true,
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			faults, err := sim.ParseWebFaults(rule, sim.TushareKinds())
			if err != nil {
				t.Fatal(err)
			}
			_, settings := simulated(t, m, sim.WebConfig{Faults: faults})
			got, err := told(t, settings, asks)
			if err != nil {
				t.Fatal(err)
			}
			some, _, _ := split(got)
			for _, row := range some {
				if _, ok := slices.BinarySearch(rows, row); !ok {
					t.Errorf("a row that is not the market's: %s", row)
				}
			}
			if (len(some) < len(rows)) != short {
				t.Errorf("%d rows of %d", len(some), len(rows))
			}
		})
	}
}
