package market

import (
	"encoding/csv"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tapeline/tapeline/internal/testenv"
)

// TestSchemes is the table of the field: one symbol of each market as each scheme writes it.
func TestSchemes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		scheme Scheme
		symbol string // canonical
		text   string
	}{
		{BaoStock, "600000.XSHG", "sh.600000"},
		{BaoStock, "000001.XSHE", "sz.000001"},
		{BaoStock, "430047.BJSE", "bj.430047"},
		{PTrade, "600000.XSHG", "600000.SS"},
		{PTrade, "000001.XSHE", "000001.SZ"},
		{PTrade, "AAPL.USA", "AAPL.US"},
		{PTrade, "BRK.B.USA", "BRK.B.US"},
		{Yahoo, "600000.XSHG", "600000.SS"},
		{Yahoo, "000001.XSHE", "000001.SZ"},
		{Yahoo, "00700.XHKG", "0700.HK"},
		{Yahoo, "80700.XHKG", "80700.HK"},
		{Yahoo, "AAPL.USA", "AAPL"},
		{Yahoo, "BRK.B.USA", "BRK-B"},
		{Yahoo, "7203.XTKS", "7203.T"},
		{Yahoo, "VOD.XLON", "VOD.L"},
		{Yahoo, "005930.XKRX", "005930.KS"},
		{Tushare, "600000.XSHG", "600000.SH"},
		{QMT, "000001.XSHE", "000001.SZ"},
		{Tushare, "430047.BJSE", "430047.BJ"},
		{Tushare, "00700.XHKG", "00700.HK"},
		{Wind, "600000.XSHG", "600000.SH"},
		{Wind, "00700.XHKG", "0700.HK"},
		{Wind, "AAPL.XNAS", "AAPL.O"},
		{Wind, "IBM.XNYS", "IBM.N"},
		{Wind, "SPY.XASE", "SPY.A"},
		{Futu, "600000.XSHG", "SH.600000"},
		{Futu, "000001.XSHE", "SZ.000001"},
		{Futu, "00700.XHKG", "HK.00700"},
		{Futu, "AAPL.USA", "US.AAPL"},
		{Futu, "BRK.B.USA", "US.BRK.B"},
		{JoinQuant, "600000.XSHG", "600000.XSHG"},
		{RiceQuant, "000001.XSHE", "000001.XSHE"},
		{VNPY, "600000.XSHG", "600000.SSE"},
		{VNPY, "000001.XSHE", "000001.SZSE"},
		{VNPY, "430047.BJSE", "430047.BSE"},
		{VNPY, "00700.XHKG", "00700.SEHK"},
		{VNPY, "AAPL.USA", "AAPL.SMART"},
		{Qlib, "600000.XSHG", "SH600000"},
		{Xueqiu, "000001.XSHE", "SZ000001"},
		{Qlib, "430047.BJSE", "BJ430047"},
		{Qlib, "00700.XHKG", "00700"},
		{Qlib, "AAPL.USA", "AAPL"},
		{Qlib, "SHOP.USA", "SHOP"},
		{Sina, "600000.XSHG", "sh600000"},
		{Sina, "430047.BJSE", "bj430047"},
		{Sina, "00700.XHKG", "hk00700"},
		{Sina, "AAPL.USA", "gb_aapl"},
		{Tencent, "000001.XSHE", "sz000001"},
		{Tencent, "00700.XHKG", "hk00700"},
		{Tencent, "AAPL.USA", "usAAPL"},
		{Tencent, "BRK.B.USA", "usBRK.B"},
		{EastMoney, "600000.XSHG", "1.600000"},
		{EastMoney, "000001.XSHE", "0.000001"},
		{EastMoney, "430047.BJSE", "0.430047"},
		{EastMoney, "920047.BJSE", "0.920047"},
		{EastMoney, "00700.XHKG", "116.00700"},
		{EastMoney, "AAPL.XNAS", "105.AAPL"},
		{EastMoney, "BRK.B.XNYS", "106.BRK_B"},
		{EastMoney, "SPY.XASE", "107.SPY"},
		{TDX, "600000.XSHG", "1600000"},
		{TDX, "000001.XSHE", "0000001"},
		{TDX, "430047.BJSE", "2430047"},
		{Stooq, "00700.XHKG", "0700.hk"},
		{Stooq, "AAPL.USA", "aapl.us"},
		{Stooq, "BRK.B.USA", "brk-b.us"},
		{BinanceSpot, "BTCUSDT.BINANCE", "BTCUSDT"},
		{CoinbaseSpot, "BTC-USD.COINBASE", "BTC-USD"},
		{KrakenSpot, "XBTUSD.KRAKEN", "XBTUSD"},
	} {
		want, err := ParseSymbol(c.symbol)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.scheme.Format(want); err != nil || got != c.text {
			t.Errorf("%s writes %s as %q, %v; want %q", c.scheme, want, got, err, c.text)
		}
		for _, text := range []string{c.text, strings.ToLower(c.text), strings.ToUpper(c.text)} {
			if got, err := c.scheme.Parse(text, Unknown); err != nil || got != want {
				t.Errorf("%s reads %q as %v, %v; want %s", c.scheme, text, got, err, want)
			}
		}
	}
}

// TestExchangeBehindTicker: what stands behind a ticker is its exchange in some schemes and a class in
// others; neither becomes the other.
func TestExchangeBehindTicker(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		scheme     Scheme
		text, want string
	}{
		{Tencent, "usAAPL.OQ", "AAPL.XNAS"},
		{Tencent, "usBRK.B.N", "BRK.B.XNYS"},
		{Tencent, "usBRK.B", "BRK.B.USA"},
		{Wind, "BRK_B.N", "BRK.B.XNYS"},
		{Wind, "BRK.B.N", "BRK.B.XNYS"},
		{Sina, "gb_brk$b", "BRK.B.USA"},
	} {
		if got, err := c.scheme.Parse(c.text, Unknown); err != nil || got.String() != c.want {
			t.Errorf("%s reads %q as %v, %v; want %s", c.scheme, c.text, got, err, c.want)
		}
	}
	if text, err := Wind.Format(Symbol{"BRK.B", XNYS}); err != nil || text != "BRK_B.N" {
		t.Error(text, err)
	}
	if text, err := Tencent.Format(Symbol{"AB.N", USA}); err == nil {
		t.Errorf("class N is written as %q, which reads as an exchange", text)
	}
}

var allMarkets = []MIC{
	XSHG, XSHE, BJSE, XHKG, XTKS, XLON, XKRX, CMES, XNYS, XNAS, XASE, USA, Binance, Coinbase, Kraken,
}

// drawSymbol returns a symbol of the market.
func drawSymbol(t *rapid.T, mic MIC) Symbol {
	pattern := map[MIC]string{
		XSHG: `[0-9]{6}`, XSHE: `[01235679][0-8]{5}`, BJSE: `(4|8|92)[0-9]{4}[0-9]`, XHKG: `[0-9]{5}`,
		XTKS: `[0-9]{3}[0-9A-Z]`, XLON: `[A-Z0-9]{1,6}`, XKRX: `[0-9]{6}`, CMES: `[A-Z0-9]{1,4}`,
		Binance: `[A-Z0-9]{2,8}(USDT|BTC)`, Coinbase: `[A-Z0-9]{1,6}-(USD|EUR)`, Kraken: `[A-WY][A-Z0-9]{2,6}(USD|EUR)`,
	}[mic]
	if mic.us() {
		pattern = `[A-Z][A-Z0-9]{0,5}(\.[A-Z]{1,2}){0,2}`
	}
	code := rapid.StringMatching(pattern).Draw(t, "code")
	if mic == BJSE {
		code = code[:6]
		if len(code) < 6 {
			code += "0"
		}
	}
	return Symbol{code, mic}
}

// TestSchemesRoundTrip writes any symbol in any scheme and reads it back: the same symbol, or the
// consolidated market where the scheme names no exchange.
func TestSchemesRoundTrip(t *testing.T) {
	t.Parallel()
	written := map[Scheme]int{}
	rapid.Check(t, func(t *rapid.T) {
		for _, mic := range allMarkets {
			symbol := drawSymbol(t, mic)
			if err := symbol.Validate(); err != nil {
				t.Fatal(err)
			}
			for _, s := range Schemes() {
				if roundTrip(t, s, symbol) {
					written[s]++
				}
			}
		}
	})
	for _, s := range Schemes() {
		if written[s] == 0 {
			t.Errorf("%s wrote nothing", s)
		}
	}
}

// roundTrip reports whether the scheme has a form for the symbol.
func roundTrip(t *rapid.T, s Scheme, symbol Symbol) bool {
	text, err := s.Format(symbol)
	if err != nil {
		return false
	}
	got, err := s.Parse(text, Unknown)
	if err != nil || got != symbol && got != symbol.Composite() {
		t.Fatalf("%s writes %s as %q and reads %v, %v", s, symbol, text, got, err)
	}
	again, err := s.Format(got)
	if err != nil || again != text {
		t.Fatalf("%s writes %s as %q and %s as %q, %v", s, symbol, text, got, again, err)
	}
	return true
}

// FuzzScheme holds what any scheme reads: a valid symbol, which it writes and reads again.
func FuzzScheme(f *testing.F) {
	for _, s := range Schemes() {
		for _, list := range forms[s] {
			code, _ := list.spell.write(exampleCodes[list.mic])
			f.Add(uint8(s), list.prefix+code+list.suffix, uint8(0))
		}
		f.Add(uint8(s), "000001", uint8(Index))
	}
	f.Fuzz(func(t *testing.T, scheme uint8, text string, class uint8) {
		s := Scheme(scheme)
		symbol, err := s.Parse(text, Class(class))
		if err != nil {
			var e *SymbolError
			if !errors.As(err, &e) || e.Remedy == "" {
				t.Fatalf("%v: no cause and remedy", err)
			}
			return
		}
		if err := symbol.Validate(); err != nil {
			t.Fatalf("%s reads %q as %s: %v", s, text, symbol, err)
		}
		if class == 0 && digits(text, 6) {
			t.Fatalf("%s reads %q as %s without a class", s, text, symbol)
		}
		written, err := s.Format(symbol)
		if err != nil {
			t.Fatalf("%s reads %q as %s, but: %v", s, text, symbol, err)
		}
		if again, err := s.Parse(written, Unknown); err != nil || again != symbol && again != symbol.Composite() {
			t.Fatalf("%s reads %q as %s, writes %q, reads %v, %v", s, text, symbol, written, again, err)
		}
	})
}

func FuzzParseSymbol(f *testing.F) {
	for _, text := range []string{"600000.XSHG", "BRK.B.XNYS", "BTC-USD.COINBASE", "000001", "", ".", "币安人生U.BINANCE"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSymbol(text)
		if valid := validSymbol(text); valid != (err == nil) {
			t.Fatalf("%q: %v, but valid is %t", text, err, valid)
		}
		if err == nil && s.String() != text {
			t.Fatalf("%q is read as %s", text, s)
		}
	})
}

// TestSixDigits: digits alone name an instrument only with its class.
func TestSixDigits(t *testing.T) {
	t.Parallel()
	for _, s := range Schemes() {
		_, err := s.Parse("000001", Unknown)
		var e *SymbolError
		if !errors.As(err, &e) {
			t.Fatalf("%s reads 000001: %v", s, err)
		}
		if chinese := forms[s].has(XSHG); chinese != e.NeedsClass {
			t.Errorf("%s: %v", s, err)
		}
	}
	for _, c := range []struct {
		code  string
		class Class
		want  string // "": refused
	}{
		{"000001", Stock, "000001.XSHE"},
		{"000001", Index, "000001.XSHG"},
		{"600000", Stock, "600000.XSHG"},
		{"688981", Stock, "688981.XSHG"},
		{"900901", Stock, "900901.XSHG"},
		{"301269", Stock, "301269.XSHE"},
		{"002594", Stock, "002594.XSHE"},
		{"200002", Stock, "200002.XSHE"},
		{"430047", Stock, "430047.BJSE"},
		{"920047", Stock, "920047.BJSE"},
		{"399001", Index, "399001.XSHE"},
		{"899050", Index, "899050.BJSE"},
		{"510300", ETF, "510300.XSHG"},
		{"159915", ETF, "159915.XSHE"},
		{"113050", Convertible, "113050.XSHG"},
		{"123107", Convertible, "123107.XSHE"},
		{"880001", Index, ""},
		{"600000", Index, ""},
		{"600000", Crypto, ""},
		{"777777", Stock, ""},
	} {
		got, err := Tushare.Parse(c.code, c.class)
		if c.want == "" {
			if err == nil || !strings.Contains(err.Error(), "name the exchange") {
				t.Errorf("%s %s: %v, %v", c.class, c.code, got, err)
			}
			continue
		}
		if err != nil || got.String() != c.want {
			t.Errorf("%s %s is %v, %v; want %s", c.class, c.code, got, err, c.want)
		}
	}
}

// TestSymbolErrors: what is refused, with what a person needs to put it right.
func TestSymbolErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		scheme     Scheme
		text, want string
	}{
		{Canonical, "000001", "symbol \"000001\": six digits are the code of different instruments"},
		{Canonical, "AAPL", "no market; write code and market"},
		{Canonical, "600000.XXXX", "market \"XXXX\" is not known"},
		{Canonical, "60000.XSHG", "not a code of XSHG; write six digits"},
		{Canonical, "700.XHKG", "write five digits"},
		{Canonical, "BTCUSD.COINBASE", "not a code of COINBASE; write a pair such as BTC-USD"},
		{Canonical, "-USD.COINBASE", "not a code of COINBASE"},
		{Canonical, "BTC-.COINBASE", "not a code of COINBASE"},
		{Canonical, ".BTC.KRAKEN", "not a code of KRAKEN"},
		{Canonical, "B C.BINANCE", "not a code of BINANCE"},
		{Canonical, "btcusdt.BINANCE", "not a code of BINANCE"},
		{Canonical, "123456.BINANCE", "not a code of BINANCE"},
		{Canonical, "600000.xshg", "market \"xshg\" is not known"},
		{BaoStock, "sh.60000", "symbol \"sh.60000\" (baostock): not written as baostock does; write it as in sh.600000, sz.000001, bj.430047"},
		{BaoStock, "ſh.600000", "not written as"},
		{BaoStock, "", "not written as"},
		{Yahoo, "AAPL.HK", "not written as"},
		{Yahoo, "600000.XX", "not written as"},
		{Yahoo, "BTC-USD", "not written as"},
		{Yahoo, "^GSPC", "not written as"},
		{EastMoney, "116.007000", "not written as"},
		{EastMoney, "2.600000", "not written as"},
		{KrakenSpot, "/USD", "not written as"},
		{Scheme(99), "600000", "no such scheme"},
		{Tushare, "AAPL.O", "not written as tushare does"},
		{Wind, "1234567.HK", "not written as"},
	} {
		if got, err := c.scheme.Parse(c.text, Unknown); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %q: %v, %v; want %q", c.scheme, c.text, got, err, c.want)
		}
	}
	for _, c := range []struct {
		scheme       Scheme
		symbol, want string
	}{
		{BaoStock, "AAPL.USA", "baostock has no form for market USA; it may want the exchange"},
		{EastMoney, "AAPL.USA", "XNYS, XNAS or XASE"},
		{JoinQuant, "430047.BJSE", "ask a provider that serves the market"},
		{BinanceSpot, "600000.XSHG", "no form"},
		{Scheme(99), "600000.XSHG", "no form"},
		{EastMoney, "430047.XSHE", "no form"},
	} {
		symbol, err := ParseSymbol(c.symbol)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.scheme.Format(symbol); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s writes %s as %q, %v; want %q", c.scheme, symbol, got, err, c.want)
		}
	}
	if got, err := BaoStock.Format(Symbol{}); err == nil {
		t.Errorf("the zero symbol is written as %q", got)
	}
}

func TestSchemeNames(t *testing.T) {
	t.Parallel()
	for _, s := range Schemes() {
		if got, err := SchemeByName(strings.ToUpper(s.String())); err != nil || got != s {
			t.Errorf("%s is found as %s, %v", s, got, err)
		}
	}
	for name, want := range map[string]Scheme{"qmt": Tushare, "rq": JoinQuant, "ricequant": JoinQuant, "xueqiu": Qlib} {
		if got, err := SchemeByName(name); err != nil || got != want {
			t.Errorf("%s is found as %s, %v", name, got, err)
		}
	}
	if _, err := SchemeByName("bloomberg"); err == nil || !strings.Contains(err.Error(), "baostock") {
		t.Error(err)
	}
	if got := Scheme(99).String(); got != "scheme(99)" {
		t.Error(got)
	}
}

func readRecords(t *testing.T, path string) [][]string {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r := csv.NewReader(file)
	r.Comment, r.FieldsPerRecord, r.LazyQuotes = '#', -1, true
	records, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// TestSchemesOnRealCodes reads the codes of the data sets and writes them in the scheme of another.
func TestSchemesOnRealCodes(t *testing.T) {
	t.Parallel()
	dir := testenv.Data(t, "ashare_basics")
	codes := 0
	for _, name := range []string{"stock_industry_utf8.csv", "stock_industry_gbk.csv"} {
		for _, r := range readRecords(t, filepath.Join(dir, name))[1:] {
			s, err := Tushare.Parse(r[0], Unknown)
			if err != nil {
				t.Fatal(err)
			}
			bao, err := BaoStock.Format(s)
			if err != nil {
				t.Fatal(err)
			}
			back, err := BaoStock.Parse(bao, Unknown)
			bare, err2 := Tushare.Parse(r[0][:6], Stock)
			if err != nil || err2 != nil || back != s || bare != s {
				t.Errorf("%s is %s, as %s it is %s, as %s of a stock it is %s", r[0], s, bao, back, r[0][:6], bare)
			}
			if _, err := ParseDate(r[3]); err != nil {
				t.Error(err)
			}
			codes++
		}
	}
	if codes != 160 {
		t.Errorf("%d codes, want 80 twice", codes)
	}
	for _, s := range readReal(t) {
		code, err := BaoStock.Format(s.symbol)
		if mic, ok := chinaMarket(code[3:], Stock); err != nil || !ok || mic != s.symbol.MIC {
			t.Errorf("%s is of %s by its digits", code, mic)
		}
	}
}

// TestSchemesOnPairs reads the names that three crypto venues give their pairs.
func TestSchemesOnPairs(t *testing.T) {
	t.Parallel()
	path := filepath.Join(testenv.Data(t, "market_metadata_lean"), "symbol-properties", "symbol-properties-database.csv")
	read := map[string]int{}
	for _, r := range readRecords(t, path)[1:] {
		scheme, ok := map[string]Scheme{"binance": BinanceSpot, "coinbase": CoinbaseSpot, "kraken": KrakenSpot}[r[0]]
		if !ok || r[2] != "crypto" {
			continue
		}
		s, err := scheme.Parse(r[8], Unknown)
		if err != nil {
			t.Error(err)
			continue
		}
		text, err := scheme.Format(s)
		if again, err2 := scheme.Parse(text, Unknown); err != nil || err2 != nil || again != s {
			t.Errorf("%s is %s, is written %q, %v and read %s, %v", r[8], s, text, err, again, err2)
		}
		if text != r[8] && scheme != KrakenSpot {
			t.Errorf("%s comes back as %q", r[8], text)
		}
		read[r[0]]++
	}
	if want := map[string]int{"binance": 3651, "coinbase": 970, "kraken": 1262}; !maps.Equal(read, want) {
		t.Errorf("read %v pairs, want %v", read, want)
	}
	for text, want := range map[string]string{
		"XXBTZUSD": "XBTUSD", "XETHXXBT": "ETHXBT", "XBT/USD": "XBTUSD", "XBTUSD": "XBTUSD", "USDTZUSD": "USDTZUSD",
	} {
		if s, err := KrakenSpot.Parse(text, Crypto); err != nil || s.Code != want {
			t.Errorf("%s is %s, %v; want %s", text, s, err, want)
		}
	}
}
