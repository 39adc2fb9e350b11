package market

import (
	"fmt"
	"strings"
	"unicode"
)

// MIC is a market: the ISO 10383 code of an exchange, or a name of ours where ISO has none; ours
// never have four letters.
type MIC string

// The markets.
const (
	XSHG MIC = "XSHG" // Shanghai
	XSHE MIC = "XSHE" // Shenzhen
	BJSE MIC = "BJSE" // Beijing
	XHKG MIC = "XHKG" // Hong Kong
	XNYS MIC = "XNYS" // New York Stock Exchange
	XNAS MIC = "XNAS" // Nasdaq
	XASE MIC = "XASE" // NYSE American

	XTKS MIC = "XTKS" // Tokyo
	XLON MIC = "XLON" // London
	XKRX MIC = "XKRX" // Korea Exchange, Seoul
	CMES MIC = "CMES" // CME Globex

	// USA is the consolidated US market, for schemes that name no exchange. Tickers are unique in it
	// and stocks move between its exchanges.
	USA MIC = "USA"

	Binance  MIC = "BINANCE"
	Coinbase MIC = "COINBASE"
	Kraken   MIC = "KRAKEN"
)

// Symbol names an instrument: code and market. Comparable; the zero value names nothing.
type Symbol struct {
	Code string
	MIC  MIC
}

// String returns the canonical text, 600000.XSHG.
func (s Symbol) String() string { return s.Code + "." + string(s.MIC) }

// Composite returns the symbol in the market that schemes without an exchange name: a US exchange
// becomes USA; other symbols stay.
func (s Symbol) Composite() Symbol {
	if s.MIC.us() {
		s.MIC = USA
	}
	return s
}

func (m MIC) us() bool    { return m == XNYS || m == XNAS || m == XASE || m == USA }
func (m MIC) china() bool { return m == XSHG || m == XSHE || m == BJSE }

// Validate reports what makes the symbol impossible: an unknown market, or a code its market cannot
// have.
func (s Symbol) Validate() error {
	ok, want := validCode(s.Code, s.MIC)
	switch {
	case want == "":
		return &SymbolError{
			Text: s.String(), Cause: fmt.Sprintf("market %q is not known", string(s.MIC)),
			Remedy: "write code and market as in 600000.XSHG",
		}
	case !ok:
		return &SymbolError{Text: s.String(), Cause: "not a code of " + string(s.MIC), Remedy: "write " + want}
	}
	return nil
}

// validCode reports whether the market can have the code, and what its codes look like: "" for an
// unknown market.
func validCode(code string, mic MIC) (ok bool, want string) {
	switch {
	case mic.china() || mic == XKRX:
		return digits(code, 6), "six digits"
	case mic == XHKG:
		return digits(code, 5), "five digits"
	case mic == XTKS:
		return len(code) == 4 && alphanumeric(code), "four digits or letters such as 7203"
	case mic == XLON || mic == CMES:
		return len(code) <= 10 && alphanumeric(code), "a ticker such as VOD"
	case mic.us():
		return usCode(code), "a ticker such as AAPL or BRK.B"
	case mic == Binance || mic == Kraken:
		return pair(code, 0), "a pair such as BTCUSDT"
	case mic == Coinbase:
		return pair(code, '-'), "a pair such as BTC-USD"
	}
	return false, ""
}

// validSymbol is ParseSymbol without a result, so that it allocates nothing.
func validSymbol(text string) bool {
	dot := strings.LastIndexByte(text, '.')
	if dot < 0 {
		return false
	}
	ok, _ := validCode(text[:dot], MIC(text[dot+1:]))
	return ok
}

// ParseSymbol reads the canonical text only: 600000.XSHG, 00700.XHKG, BRK.B.XNYS, BTCUSDT.BINANCE.
func ParseSymbol(text string) (Symbol, error) {
	dot := strings.LastIndexByte(text, '.')
	if dot < 0 {
		if digits(text, 6) {
			return Symbol{}, bareDigits(text)
		}
		return Symbol{}, &SymbolError{Text: text, Cause: "no market", Remedy: "write code and market as in 600000.XSHG"}
	}
	s := Symbol{Code: text[:dot], MIC: MIC(text[dot+1:])}
	if err := s.Validate(); err != nil {
		return Symbol{}, err
	}
	return s, nil
}

// SymbolError says why a text is no symbol of a scheme, or a symbol has no text in it.
type SymbolError struct {
	Scheme Scheme
	Text   string
	Cause  string
	Remedy string

	// NeedsClass: digits alone, which name an instrument only together with its class.
	NeedsClass bool
}

// Error returns "symbol TEXT (scheme): cause; remedy".
func (e *SymbolError) Error() string {
	scheme := ""
	if e.Scheme != Canonical {
		scheme = " (" + e.Scheme.String() + ")"
	}
	return fmt.Sprintf("symbol %q%s: %s; %s", e.Text, scheme, e.Cause, e.Remedy)
}

func bareDigits(text string) *SymbolError {
	return &SymbolError{
		Text: text, NeedsClass: true,
		Cause:  "six digits are the code of different instruments on different exchanges (000001 is Ping An Bank in Shenzhen and the Composite Index in Shanghai)",
		Remedy: fmt.Sprintf("name the exchange, as in %s.%s, or state the class (stock, index, etf)", text, XSHE),
	}
}

func digits(text string, n int) bool {
	if len(text) != n {
		return false
	}
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return false
		}
	}
	return true
}

func alphanumeric(code string) bool {
	return code != "" && strings.Trim(code, letters+"0123456789") == ""
}

const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

// usCode accepts a ticker of letters and digits that starts with a letter, and up to two parts of one
// or two letters behind points: a share class, a preferred series, units, warrants.
func usCode(code string) bool {
	ticker, rest, more := strings.Cut(code, ".")
	if len(ticker) > 6 || !alphanumeric(ticker) || ticker[0] < 'A' {
		return false
	}
	for n := 0; more; n++ {
		var part string
		part, rest, more = strings.Cut(rest, ".")
		if n == 2 || len(part) < 1 || len(part) > 2 || strings.Trim(part, letters) != "" {
			return false
		}
	}
	return true
}

// pair accepts letters and digits, with exactly one separator in the middle unless it is 0. Letters
// without case count (Binance lists some of Chinese), and a point in the middle (Kraken's staked
// ETH2.S); digits alone are no pair.
func pair(code string, separator byte) bool {
	if separator != 0 {
		base, quote, found := strings.Cut(code, string(separator))
		return found && base != "" && pair(quote, 0) && pair(base+quote, 0)
	}
	if code == "" || len(code) > 40 || code[0] == '.' || code[len(code)-1] == '.' {
		return false
	}
	letter := false
	for _, r := range code {
		switch {
		case r >= 'A' && r <= 'Z', unicode.Is(unicode.Lo, r):
			letter = true
		case (r < '0' || r > '9') && r != '.':
			return false
		}
	}
	return letter
}
