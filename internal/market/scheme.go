package market

import (
	"fmt"
	"slices"
	"strings"
)

// Scheme is a way of writing symbols. The zero value is Canonical.
type Scheme uint8

// The schemes. QMT writes as Tushare does, RiceQuant as JoinQuant, Xueqiu as Qlib.
const (
	Canonical    Scheme = iota // 600000.XSHG
	BaoStock                   // sh.600000
	PTrade                     // 600000.SS
	Yahoo                      // 600000.SS 0700.HK BRK-B
	Tushare                    // 600000.SH 00700.HK
	Wind                       // 600000.SH 0700.HK AAPL.O
	Futu                       // SH.600000 HK.00700 US.AAPL
	JoinQuant                  // 600000.XSHG
	VNPY                       // 600000.SSE 00700.SEHK AAPL.SMART
	Qlib                       // SH600000 00700 AAPL
	Sina                       // sh600000 hk00700 gb_aapl
	Tencent                    // sh600000 hk00700 usAAPL
	EastMoney                  // 1.600000 116.00700 105.AAPL
	TDX                        // 1600000: market and code, as in its block files
	Stooq                      // 0700.hk aapl.us
	BinanceSpot                // BTCUSDT
	CoinbaseSpot               // BTC-USD
	KrakenSpot                 // XBTUSD, on input also XXBTZUSD and XBT/USD

	QMT       = Tushare
	RiceQuant = JoinQuant
	Xueqiu    = Qlib
)

var schemeNames = [...]string{
	"canonical", "baostock", "ptrade", "yahoo", "tushare", "wind", "futu", "joinquant", "vnpy", "qlib",
	"sina", "tencent", "eastmoney", "tdx", "stooq", "binance", "coinbase", "kraken",
}

// String returns the scheme's name, lower case.
func (s Scheme) String() string {
	if int(s) < len(schemeNames) {
		return schemeNames[s]
	}
	return fmt.Sprintf("scheme(%d)", uint8(s))
}

// Schemes returns all schemes.
func Schemes() []Scheme {
	list := make([]Scheme, len(schemeNames))
	for i := range list {
		list[i] = Scheme(i)
	}
	return list
}

// SchemeByName returns a scheme by its name or the name of a product that writes the same.
func SchemeByName(name string) (Scheme, error) {
	name = strings.ToLower(name)
	if i := slices.Index(schemeNames[:], name); i >= 0 {
		return Scheme(i), nil
	}
	switch name {
	case "qmt":
		return QMT, nil
	case "ricequant", "rq":
		return RiceQuant, nil
	case "xueqiu":
		return Xueqiu, nil
	}
	return Canonical, fmt.Errorf("symbol scheme %q: want one of %s", name, strings.Join(schemeNames[:], ", "))
}

// Parse reads a symbol as the scheme writes it, in any case. The class is needed for six digits
// without an exchange only, which are refused when it is Unknown. Where a scheme names no US
// exchange, the symbol's market is USA.
func (s Scheme) Parse(text string, class Class) (Symbol, error) {
	if int(s) >= len(forms) {
		return Symbol{}, &SymbolError{Scheme: s, Text: text, Cause: "no such scheme", Remedy: "use one of market.Schemes"}
	}
	if digits(text, 6) && forms[s].has(XSHG) {
		return s.parseDigits(text, class)
	}
	if s == Canonical {
		return ParseSymbol(text)
	}
	if symbol, ok := forms[s].parse(upper(text)); ok {
		return symbol, nil
	}
	return Symbol{}, &SymbolError{
		Scheme: s, Text: text, Cause: "not written as " + s.String() + " does",
		Remedy: "write it as in " + forms[s].examples(),
	}
}

// Format returns the symbol as the scheme writes it.
func (s Scheme) Format(symbol Symbol) (string, error) {
	if err := symbol.Validate(); err != nil {
		return "", err
	}
	if s == Canonical {
		return symbol.String(), nil
	}
	if int(s) < len(forms) {
		if text, ok := forms[s].format(symbol); ok {
			return text, nil
		}
		if text, ok := forms[s].format(symbol.Composite()); ok {
			return text, nil
		}
	}
	remedy := "ask a provider that serves the market"
	if symbol.MIC == USA {
		remedy = "it may want the exchange: XNYS, XNAS or XASE"
	}
	return "", &SymbolError{
		Scheme: s, Text: symbol.String(), Remedy: remedy,
		Cause: fmt.Sprintf("%s has no form for market %s", s, symbol.MIC),
	}
}

func (s Scheme) parseDigits(text string, class Class) (Symbol, error) {
	e := bareDigits(text)
	e.Scheme = s
	if class == Unknown {
		return Symbol{}, e
	}
	if mic, ok := chinaMarket(text, class); ok {
		return Symbol{text, mic}, nil
	}
	e.Cause = fmt.Sprintf("no Chinese exchange numbers a %s so", class)
	e.Remedy = fmt.Sprintf("name the exchange, as in %s.%s", text, XSHE)
	return Symbol{}, e
}

// chinaMarket returns the exchange whose range of codes for the class holds the code.
func chinaMarket(code string, class Class) (MIC, bool) {
	for _, r := range codeRanges {
		if r.class == class && strings.Contains(r.prefixes, " "+code[:len(code)-r.free]+" ") {
			return r.mic, true
		}
	}
	return "", false
}

// ClassOf returns the class of a Chinese symbol by its exchange's rules of numbering, Unknown for others.
func ClassOf(s Symbol) Class {
	if s.MIC.china() {
		for _, r := range codeRanges {
			if mic, ok := chinaMarket(s.Code, r.class); ok && mic == s.MIC {
				return r.class
			}
		}
	}
	return Unknown
}

// codeRanges are the exchanges' rules of numbering: prefixes, and how many digits follow.
var codeRanges = []struct {
	class    Class
	mic      MIC
	free     int
	prefixes string
}{
	{Stock, XSHG, 3, " 600 601 603 605 688 689 900 "},
	{Stock, XSHE, 3, " 000 001 002 003 200 300 301 302 "},
	{Stock, BJSE, 4, " 43 83 87 88 92 "},
	{Index, XSHG, 3, " 000 "},
	{Index, XSHE, 3, " 399 "},
	{Index, BJSE, 3, " 899 "},
	{ETF, XSHG, 4, " 50 51 52 53 55 56 58 "},
	{ETF, XSHE, 4, " 15 16 18 "},
	{Convertible, XSHG, 3, " 110 111 113 118 "},
	{Convertible, XSHE, 3, " 123 127 128 "},
}

// upper maps a..z only: other letters that have a case are in no code and must not become one.
func upper(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			return r - 'a' + 'A'
		}
		return r
	}, text)
}
