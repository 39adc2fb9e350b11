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

// started is a service that is closed with the test; err is of its start.
func started(t *testing.T, w *sim.Web, err error) *sim.Web {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// rows returns the rows of an export in order, without the header, as the columns named.
func (s *syncer) rows(dataset string, columns ...string) []string {
	s.t.Helper()
	all, err := csv.NewReader(bytes.NewReader(s.export(dataset))).ReadAll()
	if err != nil || len(all) == 0 {
		s.t.Fatal(err, all)
	}
	var list []string
	for _, row := range all[1:] {
		var cells []string
		for _, column := range columns {
			cells = append(cells, row[slices.Index(all[0], column)])
		}
		list = append(list, strings.Join(cells, " "))
	}
	slices.Sort(list)
	return list
}

// settled runs syncs until days without a row are confirmed to have none, and one more, which must
// neither write nor ask for data.
func (s *syncer) settled(w *sim.Web, kind string) {
	s.t.Helper()
	if first, err := s.run(); err != nil || first.Status != ingest.StatusComplete && first.Status != ingest.StatusShort {
		s.t.Fatalf("%v\n%s", err, text(first))
	}
	s.want(ingest.StatusComplete)
	before := w.Stats().ByKind[kind]
	last := s.want(ingest.StatusComplete)
	if last.Rows.New != 0 || last.Rows.Changed != 0 || last.DataRequests != 0 || w.Stats().ByKind[kind] != before {
		s.t.Errorf("the last sync asked %d times:\n%s", w.Stats().ByKind[kind]-before, last.Text())
	}
}

// settledAtOnce runs a sync that is complete without a second one: providers are asked twice for days without a row.
func (s *syncer) settledAtOnce(w *sim.Web, kind string) {
	s.t.Helper()
	s.want(ingest.StatusComplete)
	s.settled(w, kind)
}

// ours is the symbol of a simulated Chinese code.
func ours(t *testing.T, code string) string {
	t.Helper()
	symbol, err := market.BaoStock.Parse(code, market.Unknown)
	if err != nil {
		t.Fatal(err)
	}
	return symbol.String()
}

// rounded writes value/10^scale with fewer decimals, half up, and zeros behind them.
func rounded(value int64, scale, decimals int) string {
	one := int64(1)
	for range scale - decimals {
		one *= 10
	}
	return market.FormatFixed((value+one/2)/one*one, scale)
}

// same compares rows and shows the first that differs.
func same(t *testing.T, got, want []string) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("%d rows, want %d; row %d:\n%v\nwant\n%v", len(got), len(want), i,
				got[min(i, len(got)):min(i+1, len(got))], want[min(i, len(want)):min(i+1, len(want))])
		}
	}
}

// chinese returns what a provider that rounds prices to their decimals and volume to lots has of a market.
func chinese(t *testing.T, m sim.Market, kinds []sim.Kind, row func(s sim.Security, b sim.Bar, price func(int64) string) string) []string {
	t.Helper()
	last := m.Calendar().To()
	var list []string
	for _, s := range m.Securities() {
		if !slices.Contains(kinds, s.Kind) || s.Since > last || s.Renamed != "" && s.Until <= last || s.Out != 0 && s.Out <= last {
			continue
		}
		decimals := 2
		if s.Kind == sim.ETF {
			decimals = 3
		}
		for _, b := range m.Bars(nil, s.Code, m.Calendar().From(), last) {
			if b.Trading {
				list = append(list, row(s, b, func(v int64) string { return rounded(v, 4, decimals) }))
			}
		}
	}
	slices.Sort(list)
	return list
}

func chineseMarket(t *testing.T, symbols int) sim.Market {
	t.Helper()
	m, err := sim.Synthetic(11, symbols, sim.DateOf(2023, 1, 1), sim.DateOf(2024, 6, 28))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestSyncEastMoney: the store is the simulator's market, also under faults.
func TestSyncEastMoney(t *testing.T) {
	m := chineseMarket(t, 14)
	want := chinese(t, m, []sim.Kind{sim.Stock, sim.Index, sim.ETF}, func(s sim.Security, b sim.Bar, price func(int64) string) string {
		return strings.Join([]string{
			ours(t, s.Code), b.Date.String(), price(b.Open), price(b.High), price(b.Low), price(b.Close), "",
			market.FormatFixed((b.Volume+50)/100*100, 0), rounded(b.Amount, 4, 2), rounded(b.Turn, 6, 2), "1", "1",
		}, " ")
	})
	for name, rules := range map[string]string{
		"sound": "", "faults": "every 9 on kline: reset\nevery 7: garbage\nat 5 on kline: duplicate\nat 11 on kline: short\nat 20 on kline: missing\nat 3 on list: truncate",
	} {
		t.Run(name, func(t *testing.T) {
			faults, err := sim.ParseWebFaults(rules, sim.EastMoneyKinds())
			if err != nil {
				t.Fatal(err)
			}
			w, err := sim.StartEastMoney(t.Context(), "127.0.0.1:0", m, sim.WebConfig{Faults: faults, PageCap: 8})
			w = started(t, w, err)
			s := syncerOf(t, "eastmoney", w.Address(), "2023-01-01", "2024-06-28")
			if rules != "" {
				report, err := s.run()
				if err != nil || report.Status != ingest.StatusShort || report.Rows.Quarantined != 1 {
					t.Fatalf("%v\n%s", err, text(report))
				}
				w.SetFaults(nil)
			}
			s.settledAtOnce(w, "kline")
			got := s.rows(market.Bar1D, "symbol", "date", "open", "high", "low", "close", "preclose", "volume", "amount", "turn", "trade_status", "final")
			same(t, got, want)
		})
	}
}

// TestSyncBinance: the store is the simulator's market, also under faults, and a list
// of pairs that was cut is told.
func TestSyncBinance(t *testing.T) {
	m, err := sim.SyntheticCoins(2, 9, sim.DateOf(2021, 6, 1), sim.DateOf(2025, 2, 10))
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, c := range m.Coins() {
		for _, k := range m.Days(c.Symbol, sim.DateOf(2021, 6, 1), m.To()) {
			price := func(v int64) string { return market.FormatFixed(v, 8) }
			nearest := func(digits string, decimals int) string { // as exports write a float64
				v, err := strconv.ParseFloat(digits+"e-"+strconv.Itoa(decimals), 64)
				if err != nil {
					t.Fatal(err)
				}
				return strconv.FormatFloat(v, 'f', -1, 64)
			}
			want = append(want, strings.Join([]string{
				c.Symbol + ".BINANCE", market.Date(k.Start / (24 * 60)).String(), price(k.Open), price(k.High), price(k.Low), price(k.Close),
				nearest(strconv.FormatInt(k.Volume, 10), c.VolumeDecimals), nearest(k.Amount.String(), 8), strconv.FormatInt(k.Trades, 10), "1",
			}, " "))
		}
	}
	slices.Sort(want)
	faults, err := sim.ParseWebFaults("every 4 on klines: reset\nat 2 on klines: duplicate\nat 3 on klines: missing\nat 1 on info: short", sim.BinanceKinds())
	if err != nil {
		t.Fatal(err)
	}
	w, err := sim.StartBinance(t.Context(), "127.0.0.1:0", m, sim.WebConfig{Faults: faults})
	w = started(t, w, err)
	s := syncerOf(t, "binance", w.Address(), "2021-06-01", "2025-02-10")
	report, err := s.run()
	if err != nil || report.Status != ingest.StatusShort || !strings.Contains(report.Text(), "instrument list lacks it") {
		t.Fatalf("%v\n%s", err, text(report))
	}
	w.SetFaults(nil)
	s.settledAtOnce(w, "klines")
	same(t, s.rows(market.Crypto1D, "symbol", "date", "open", "high", "low", "close", "volume", "amount", "trades", "final"), want)
}

// TestSyncTencent: the store is the simulator's market of the symbols that are named, also under faults; the
// service has no list, so all of them cannot be asked for.
func TestSyncTencent(t *testing.T) {
	m := chineseMarket(t, 8)
	want := chinese(t, m, []sim.Kind{sim.Stock}, func(s sim.Security, b sim.Bar, price func(int64) string) string {
		return strings.Join([]string{
			ours(t, s.Code), b.Date.String(), price(b.Open), price(b.High), price(b.Low), price(b.Close), "",
			market.FormatFixed((b.Volume+50)/100*100, 0), "", "1",
		}, " ")
	})
	faults, err := sim.ParseWebFaults("every 5 on kline: reset\nat 2 on kline: short\nat 3 on kline: duplicate\nat 2 on quote: garbage", sim.TencentKinds())
	if err != nil {
		t.Fatal(err)
	}
	w, err := sim.StartTencent(t.Context(), "127.0.0.1:0", m, sim.WebConfig{Faults: faults})
	w = started(t, w, err)
	s := syncerOf(t, "tencent", w.Address(), "2023-01-01", "2024-06-28")
	if _, err := s.run(); err == nil || !strings.Contains(err.Error(), "tencent has no list of all it serves") {
		t.Errorf("universe all: %v", err)
	}
	for _, row := range want {
		if symbol, _, _ := strings.Cut(row, " "); !slices.Contains(s.config.Sync.Symbols, symbol) {
			s.config.Sync.Symbols = append(s.config.Sync.Symbols, symbol)
		}
	}
	report, err := s.run()
	if err != nil || report.Status != ingest.StatusShort {
		t.Fatalf("%v\n%s", err, text(report))
	}
	w.SetFaults(nil)
	s.settledAtOnce(w, "kline")
	same(t, s.rows(market.Bar1D, "symbol", "date", "open", "high", "low", "close", "preclose", "volume", "amount", "final"), want)
}

// TestSyncYahoo: the store has the simulator's shares as they were traded, with their factors, also under faults;
// what an answer lost is asked for again at once. One question a symbol brings a new day with its events.
func TestSyncYahoo(t *testing.T) {
	from, to := sim.DateOf(2022, 1, 3), sim.DateOf(2024, 6, 28)
	m, err := sim.SyntheticUS(4, 8, from, to)
	if err != nil {
		t.Fatal(err)
	}
	var bars, factors, symbols []string
	for _, s := range m.Securities() {
		symbol := strings.ReplaceAll(s.Code, "-", ".") + ".USA"
		symbols = append(symbols, symbol)
		reverse, of := market.MinDate, int64(1) // one share of so many, so that volumes before come rounded
		for _, a := range m.Actions(s.Code) {
			factors = append(factors, symbol+" "+a.Ex.String()+" "+market.FormatFixed(a.Back, 6))
			if a.Split[0] == 1 {
				reverse, of = a.Ex, a.Split[1]
			}
		}
		for _, b := range m.Bars(nil, s.Code, from, to) {
			price := func(v int64) string { return market.FormatFixed(v, 4) }
			volume := b.Volume
			if b.Date < reverse {
				volume = (volume + of/2) / of * of
			}
			bars = append(bars, strings.Join([]string{
				symbol, b.Date.String(), price(b.Open), price(b.High), price(b.Low), price(b.Close), strconv.FormatInt(volume, 10), "", "1", "1",
			}, " "))
		}
	}
	slices.Sort(bars)
	slices.Sort(factors)
	faults, err := sim.ParseWebFaults("at 3: reset\nat 11: garbage\nat 13: duplicate\nat 14: missing\nat 15: short\nat 16: null\nat 17: unsorted", sim.YahooKinds())
	if err != nil {
		t.Fatal(err)
	}
	w, err := sim.StartYahoo(t.Context(), "127.0.0.1:0", m, sim.WebConfig{Faults: faults})
	w = started(t, w, err)
	s := syncerOf(t, "yahoo", w.Address(), from.String(), (to - 1).String())
	s.config.Sync.Symbols = symbols
	report, err := s.run()
	if err != nil || report.Status != ingest.StatusComplete || report.Rows.Quarantined == 0 {
		t.Fatalf("%v\n%s", err, text(report))
	}
	w.SetFaults(nil)
	s.settledAtOnce(w, "chart")
	// A new day takes one question a symbol.
	before := w.Stats().ByKind["chart"]
	s.config.Sync.To = to.String()
	if last := s.want(ingest.StatusComplete); int(last.Rows.New) != len(symbols) {
		t.Errorf("a new day:\n%s", last.Text())
	}
	if n := int(w.Stats().ByKind["chart"] - before); n != len(symbols) {
		t.Errorf("a new day of %d symbols was asked for %d times", len(symbols), n)
	}
	got := s.rows(market.Bar1D, "symbol", "date", "open", "high", "low", "close", "volume", "preclose", "trade_status", "final")
	same(t, got, bars)
	same(t, s.rows(market.AdjFactor, "symbol", "ex_date", "back_factor"), factors)
}
