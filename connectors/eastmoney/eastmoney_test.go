package eastmoney

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/provider"
	"github.com/tapeline/tapeline/internal/provider/providertest"
	"github.com/tapeline/tapeline/internal/sim"
)

// answered is the answer about one symbol with these lines.
func answered(code string, lines ...string) string {
	return fmt.Sprintf(`{"rc":0,"data":{"code":%q,"market":1,"name":"浦发银行","klines":["%s"]}}`, code, strings.Join(lines, `","`))
}

// serve answers every request with one text.
func serve(t testing.TB, text string) provider.Settings {
	t.Helper()
	return providertest.Serve(t, Vendor(), func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) })
}

// TestKline: open, close, high, low; lots; whole yuan; stamps that name the end.
func TestKline(t *testing.T) {
	t.Parallel()
	// The captured line of the reference, in the columns asked for.
	const line = "2026-04-23,1408.00,1419.00,1419.70,1405.10,37701,5332831151.00,0.30"
	const row = `{"symbol":"600519.XSHG","date":"2026-04-23","open":1408.0000,"high":1419.7000,"low":1405.1000,"close":1419.0000,` +
		`"preclose":null,"volume":3770100,"amount":5332831151.0000,"turn":0.300000,"trade_status":true,"is_st":null,"final":true}`
	unit := providertest.Unit(t, market.Bar1D, "600519.XSHG", "2026-04-23", "2026-04-24")
	minutes := unit
	minutes.Dataset, minutes.Freq = market.BarMin, "5m"
	const name = " 600519.XSHG 2026-04-23..2026-04-24 of eastmoney, "
	for _, c := range []struct {
		name, answer string
		unit         market.Unit
		want         []string
	}{
		{"as captured", answered("600519", line), unit, []string{row, "bar_1d" + name + "1, ok"}},
		{
			"five minutes", answered("600519", "2026-04-23 09:35,1408.00,1419.00,1419.70,1405.10,37701,5332831151.00,0.30"), minutes,
			[]string{
				`{"symbol":"600519.XSHG","freq":"5m","ts":"2026-04-23T01:30:00.000000Z","session_date":"2026-04-23","open":1408.0000,` +
					`"high":1419.7000,"low":1405.1000,"close":1419.0000,"volume":3770100,"amount":5332831151.0000,"final":true}`,
				"bar_min" + name + "1, ok",
			},
		},
		{"no bars", `{"rc":0,"data":{"code":"600519","klines":[]}}`, unit, []string{"bar_1d" + name + "0, empty_confirmed"}},
		{
			"unknown", `{"rc":100,"data":null}`, unit,
			[]string{
				"unknown_symbol 600519.XSHG - kline of 1.600519: the service does not know it",
				"bar_1d" + name + "1, failed",
			},
		},
		{
			"refused", `{"rc":102,"data":null}`, unit,
			[]string{"refused 600519.XSHG - kline of 1.600519: the service answers rc 102", "bar_1d" + name + "1, failed"},
		},
		{
			"twice", answered("600519", line, line), unit,
			[]string{row, "duplicate_row 600519.XSHG 2026-04-23 the same record was there before", "bar_1d" + name + "2, ok"},
		},
		{
			"short line", answered("600519", "2026-04-23,1408.00"), unit,
			[]string{"row_length 600519.XSHG - 2 values for 8 columns", "bar_1d" + name + "1, ok"},
		},
		{
			"no number", answered("600519", "2026-04-23,1408.00,-,1419.70,1405.10,37701,1,0.30"), unit,
			[]string{
				`bad_number 600519.XSHG 2026-04-23 close: "-" times 1 is no number that the column holds, with 4 decimals`,
				"bar_1d" + name + "1, ok",
			},
		},
		{
			"part of a share", answered("600519", "2026-04-23,1408.00,1419.00,1419.70,1405.10,37701.005,1,0.30"), unit,
			[]string{
				`inexact_number 600519.XSHG 2026-04-23 volume: "37701.005" times 100 is no number that the column holds, with 0 decimals`,
				"bar_1d" + name + "1, ok",
			},
		},
		{
			"another day", answered("600519", "2026-04-22,1408.00,1419.00,1419.70,1405.10,37701,1,0.30"), unit,
			[]string{"outside_range 600519.XSHG 2026-04-22 2026-04-22 is not within 2026-04-23..2026-04-24", "bar_1d" + name + "1, ok"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			settings := serve(t, c.answer)
			settings.Now = func() time.Time { return time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC) }
			got, err := providertest.Read(t, Vendor(), settings, c.unit)
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%v\n%s\nwant\n%s", err, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

// TestKlineWrong: answers that may be better next time.
func TestKlineWrong(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]string{
		answered("600000", "x"): "eastmoney_wrong_symbol",
		strings.Replace(answered("600519", "x"), `"market":1`, `"market":0`, 1): "eastmoney_wrong_symbol",
		`{"rc":0,"data":{"code":"600519"}}`:                                     "eastmoney_no_klines",
		"<html>Please try again</html>":                                         "provider_malformed",
		answered("600519", "2026-04-23,1408.00,1419")[:60]:                      "provider_malformed",
	} {
		settings := serve(t, answer)
		settings.Attempts = 2
		_, err := providertest.Read(t, Vendor(), settings, providertest.Unit(t, market.Bar1D, "600519.XSHG", "2026-04-23", "2026-04-24"))
		failure, ok := errors.AsType[*connector.Error](err)
		if !ok || failure.Code != want || !failure.Class.Retryable() {
			t.Errorf("%s: %v, want %s", answer, err, want)
		}
	}
}

// TestBegin: what cannot be asked at all.
func TestBegin(t *testing.T) {
	t.Parallel()
	for _, u := range []market.Unit{
		{Dataset: market.Bar1D},
		{Dataset: market.Bar1D, Symbol: "BTCUSDT.BINANCE"},
		{Dataset: market.BarMin, Symbol: "600000.XSHG", Freq: "2m"},
		{Dataset: market.AdjFactor, Symbol: "600000.XSHG"},
	} {
		if _, _, err := begin(nil, []market.Unit{u}); err == nil {
			t.Errorf("%s is begun", u)
		}
	}
}

// simulated starts the simulator with a small market.
func simulated(t testing.TB, config sim.WebConfig, rules ...string) (sim.Market, *sim.Web, provider.Settings) {
	t.Helper()
	m, err := sim.Synthetic(3, 30, sim.DateOf(2023, 1, 1), sim.DateOf(2024, 6, 28))
	if err != nil {
		t.Fatal(err)
	}
	w, settings := providertest.Simulate(t, Vendor(), config, sim.EastMoneyKinds(), rules, func(config sim.WebConfig) (*sim.Web, error) {
		return sim.StartEastMoney(context.Background(), "127.0.0.1:0", m, config)
	})
	return m, w, settings
}

// traded returns the canonical symbols of the market on its last day.
func traded(m sim.Market) (symbols []string) {
	last := m.Calendar().To()
	for _, s := range m.Securities() {
		if s.IPO <= last && s.Since <= last && (s.Renamed == "" || last < s.Until) && (s.Out == 0 || s.Out > last) {
			symbols = append(symbols, s.Code[3:]+map[string]string{"sh.": ".XSHG", "sz.": ".XSHE"}[s.Code[:3]])
		}
	}
	return symbols
}

// TestListing: all pages of all groups, also when the service makes pages of another size than asked for.
func TestListing(t *testing.T) {
	t.Parallel()
	unit := providertest.Unit(t, market.Listing, "", "2024-06-28", "2024-06-28")
	for name, c := range map[string]struct {
		config sim.WebConfig
		rules  []string
	}{
		"one page": {}, "pages of seven": {config: sim.WebConfig{PageCap: 7}},
		"changed once in the middle":       {sim.WebConfig{PageCap: 9}, []string{"at 2: missing"}},
		"pages made smaller in the middle": {sim.WebConfig{PageCap: 10}, []string{"from 2: pagecap 5"}},
		"another order":                    {sim.WebConfig{PageCap: 9}, []string{"every 1: unsorted"}},
	} {
		m, _, settings := simulated(t, c.config, c.rules...)
		got, err := providertest.Read(t, Vendor(), settings, unit)
		if err != nil {
			t.Fatal(name, err)
		}
		want := traded(m)
		n := len(want)
		if end := got[len(got)-1]; end != fmt.Sprintf("instrument universe 2024-06-28 of eastmoney, %d, ok", n) {
			t.Errorf("%s: %s, want %d", name, end, n)
		}
		for _, symbol := range want {
			if !slices.ContainsFunc(got, func(row string) bool { return strings.HasPrefix(row, `{"symbol":"`+symbol+`"`) }) {
				t.Errorf("%s: %s is missing", name, symbol)
			}
		}
		if !slices.ContainsFunc(got, func(row string) bool {
			return strings.Contains(row, `"symbol":"000300.XSHG"`) && strings.Contains(row, `"class":"index"`)
		}) {
			t.Errorf("%s: no index", name)
		}
	}
}

// TestShortList: a service that leaves rows out, or repeats them.
// invariant: a list that is shorter than it announces fails, and never shrinks the universe
func TestShortList(t *testing.T) {
	t.Parallel()
	unit := providertest.Unit(t, market.Listing, "", "2024-06-28", "2024-06-28")
	for rule, want := range map[string]string{
		"every 2: short": "want", "from 1: missing": "want", "every 2: duplicate": "of them new",
	} {
		_, _, settings := simulated(t, sim.WebConfig{PageCap: 10}, rule)
		got, err := providertest.Read(t, Vendor(), settings, unit)
		failure, ok := errors.AsType[*connector.Error](err)
		if !ok || failure.Code != "eastmoney_short_list" || failure.Class.Retryable() || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", rule, err)
		}
		if rule != "every 2: short" && slices.ContainsFunc(got, func(row string) bool { return strings.Contains(row, `"class":"stock"`) }) {
			t.Errorf("%s: rows of a short list are handed over", rule)
		}
	}
	for answer, want := range map[string]string{
		`{"rc":0,"data":null}`:        "the list is empty",
		`{"rc":0,"data":{"diff":[]}}`: "announces no total",
	} {
		if _, err := providertest.Read(t, Vendor(), serve(t, answer), unit); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", answer, err)
		}
	}
}

// TestHangUp: a service that closes connections when it is asked too fast is asked again.
func TestHangUp(t *testing.T) {
	t.Parallel()
	_, w, settings := simulated(t, sim.WebConfig{}, "every 2: drop")
	var units []market.Unit
	for _, symbol := range []string{"600000.XSHG", "600001.XSHG", "600002.XSHG", "600003.XSHG"} {
		units = append(units, providertest.Unit(t, market.Bar1D, symbol, "2024-06-03", "2024-06-28"))
	}
	if _, err := providertest.Read(t, Vendor(), settings, units...); err != nil {
		t.Fatal(err)
	}
	if stats := w.Stats(); stats.Faults["drop"] < 3 {
		t.Errorf("nothing was dropped: %+v", stats)
	}
}

// FuzzKline: whatever the answer, every line is a row or a bad record.
func FuzzKline(f *testing.F) {
	f.Add([]byte(answered("600519", "2026-04-23,1408.00,1419.00,1419.70,1405.10,37701,5332831151.00,0.30")))
	f.Add([]byte(answered("600519", "2026-04-23,1e3,-1,99999999999999999999,0.00001,1.5,,x")))
	f.Add([]byte(`{"rc":0,"data":null}`))
	f.Add([]byte(`{"data":{"code":"600519","klines":[1,null,{},["2026-04-23"],""]}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		unit := providertest.Unit(t, market.Bar1D, "600519.XSHG", "2026-04-23", "2026-04-24")
		settings := serve(t, string(text))
		settings.Attempts = 1
		got, err := providertest.Read(t, Vendor(), settings, unit)
		if err != nil {
			return
		}
		document, err := provider.Document(text)
		if err != nil {
			t.Fatalf("%s was read: %s", text, got)
		}
		lines := 0
		for range document.Member("data").Member("klines").Elements() {
			lines++
		}
		if failed := strings.HasSuffix(got[len(got)-1], ", failed"); !failed && len(got) != lines+1 {
			t.Fatalf("%d lines make %s", lines, got)
		}
	})
}
