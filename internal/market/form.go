package market

import "strings"

// form is how one scheme writes the symbols of one market: what stands before and behind the code,
// and how the code is spelt.
type form struct {
	mic            MIC
	prefix, suffix string
	spell          spelling
	inputOnly      bool // read, never written
}

// spelling turns a canonical code into a scheme's and back; ok is false for what it cannot spell.
// Input is upper case.
type spelling struct {
	write func(code string) (string, bool)
	read  func(code string) (string, bool)
}

type schemeForms []form

// has reports whether the scheme writes symbols of the market.
func (list schemeForms) has(mic MIC) bool {
	for _, f := range list {
		if f.mic == mic {
			return true
		}
	}
	return false
}

func (list schemeForms) parse(text string) (Symbol, bool) {
	for _, f := range list {
		prefix, suffix := upper(f.prefix), upper(f.suffix)
		if len(text) < len(prefix)+len(suffix) || !strings.HasPrefix(text, prefix) ||
			!strings.HasSuffix(text, suffix) {
			continue
		}
		code, ok := f.spell.read(text[len(prefix) : len(text)-len(suffix)])
		if ok {
			if s := (Symbol{code, f.mic}); s.Validate() == nil {
				return s, true
			}
		}
		// A name of a market is not the end of a ticker: AAPL.HK is an error, not share class HK.
		// Without the point it may be the start of one: SHOP beside SH600000.
		if strings.Contains(prefix+suffix, ".") && !f.shared(list) {
			return Symbol{}, false
		}
	}
	return Symbol{}, false
}

// shared reports whether another form has the same prefix and suffix.
func (f form) shared(list schemeForms) bool {
	n := 0
	for _, o := range list {
		if o.prefix == f.prefix && o.suffix == f.suffix {
			n++
		}
	}
	return n > 1
}

func (list schemeForms) format(s Symbol) (string, bool) {
	for _, f := range list {
		if f.mic != s.MIC || f.inputOnly {
			continue
		}
		if code, ok := f.spell.write(s.Code); ok {
			return f.prefix + code + f.suffix, true
		}
	}
	return "", false
}

// examples returns one text of each form for error messages.
func (list schemeForms) examples() string {
	var parts []string
	for _, f := range list {
		if f.inputOnly {
			continue
		}
		if code, ok := f.spell.write(exampleCodes[f.mic]); ok {
			parts = append(parts, f.prefix+code+f.suffix)
		}
	}
	return strings.Join(parts, ", ")
}

var exampleCodes = map[MIC]string{
	XSHG: "600000", XSHE: "000001", BJSE: "430047", XHKG: "00700", XTKS: "7203", XLON: "VOD",
	XKRX: "005930", CMES: "ES", XNYS: "IBM", XNAS: "AAPL", XASE: "SPY", USA: "BRK.B",
	Binance: "BTCUSDT", Coinbase: "BTC-USD", Kraken: "XBTUSD",
}

// The spellings.
var (
	same    = spelling{write: keep, read: keep}
	hkFive  = spelling{write: keep, read: padHK}
	hkFour  = spelling{write: trimHK, read: padHK}
	classUS = spelling{write: keep, read: points} // BRK.B

	// Tencent's k-lines put the exchange behind the ticker, where others have a class.
	classTencent = spelling{write: withoutExchange, read: points}

	classDash   = spelling{write: replacing(".", "-"), read: points}
	classScore  = spelling{write: replacing(".", "_"), read: points}
	lowerDollar = spelling{write: lowered(".", "$"), read: points}
	lowerDash   = spelling{write: lowered(".", "-"), read: points}

	beijing    = spelling{write: keep, read: onlyBeijing(true)}
	notBeijing = spelling{write: notBeijingCode, read: onlyBeijing(false)}
	krakenPair = spelling{write: keep, read: krakenName}
)

func keep(code string) (string, bool) { return code, true }

// padHK reads one to five digits.
func padHK(code string) (string, bool) {
	if !digits(code, len(code)) || len(code) == 0 || len(code) > 5 {
		return "", false
	}
	return "00000"[len(code):] + code, true
}

// trimHK leaves four digits where the fifth is 0.
func trimHK(code string) (string, bool) { return strings.TrimPrefix(code, "0"), true }

// points reads a share class behind any of the separators in use.
func points(code string) (string, bool) {
	return strings.NewReplacer("-", ".", "_", ".", "$", ".").Replace(code), true
}

func replacing(old, with string) func(string) (string, bool) {
	return func(code string) (string, bool) { return strings.ReplaceAll(code, old, with), true }
}

func withoutExchange(code string) (string, bool) {
	return code, !strings.HasSuffix(code, ".OQ") && !strings.HasSuffix(code, ".N") && !strings.HasSuffix(code, ".AM")
}

func lowered(old, with string) func(string) (string, bool) {
	return func(code string) (string, bool) {
		return strings.ToLower(strings.ReplaceAll(code, old, with)), true
	}
}

// beijingCode tells Beijing's numbers from Shenzhen's where a scheme gives both one prefix.
func beijingCode(code string) bool {
	return code != "" && (code[0] == '4' || code[0] == '8' || strings.HasPrefix(code, "92"))
}

func onlyBeijing(want bool) func(string) (string, bool) {
	return func(code string) (string, bool) { return code, beijingCode(code) == want }
}

func notBeijingCode(code string) (string, bool) { return code, !beijingCode(code) }

// krakenName reads the alternative name, the name with a slash and the key of the early assets, whose
// crypto currencies start with X and others with Z.
func krakenName(code string) (string, bool) {
	if base, quote, found := strings.Cut(code, "/"); found {
		return base + quote, base != "" && quote != ""
	}
	if len(code) == 8 && strings.Contains(krakenKeys, " "+code[:4]+" ") &&
		strings.Contains(krakenKeys, " "+code[4:]+" ") {
		return code[1:4] + code[5:], true
	}
	return code, true
}

const krakenKeys = " XETC XETH XLTC XMLN XREP XXBT XXDG XXLM XXMR XXRP XZEC ZCAD ZEUR ZGBP ZJPY ZUSD "

// suffixes that mean the same on input in every scheme that writes the exchange behind a point.
var anySuffix = schemeForms{
	{mic: XSHG, suffix: ".SH", spell: same, inputOnly: true},
	{mic: XSHG, suffix: ".SS", spell: same, inputOnly: true},
	{mic: XSHG, suffix: ".XSHG", spell: same, inputOnly: true},
	{mic: XSHE, suffix: ".SZ", spell: same, inputOnly: true},
	{mic: XSHE, suffix: ".XSHE", spell: same, inputOnly: true},
}

// forms holds the forms of each scheme, in order of the constants; never altered.
var forms = [...]schemeForms{
	Canonical: {{mic: XSHG, suffix: ".XSHG", spell: same}},
	BaoStock: {
		{mic: XSHG, prefix: "sh.", spell: same},
		{mic: XSHE, prefix: "sz.", spell: same},
		{mic: BJSE, prefix: "bj.", spell: same},
		{mic: XSHG, suffix: ".sh", spell: same, inputOnly: true},
		{mic: XSHE, suffix: ".sz", spell: same, inputOnly: true},
		{mic: BJSE, suffix: ".bj", spell: same, inputOnly: true},
	},
	PTrade: append(schemeForms{
		{mic: XSHG, suffix: ".SS", spell: same},
		{mic: XSHE, suffix: ".SZ", spell: same},
		{mic: USA, suffix: ".US", spell: classUS},
	}, anySuffix...),
	Yahoo: append(append(schemeForms{
		{mic: XSHG, suffix: ".SS", spell: same},
		{mic: XSHE, suffix: ".SZ", spell: same},
		{mic: XHKG, suffix: ".HK", spell: hkFour},
		{mic: XTKS, suffix: ".T", spell: same},
		{mic: XLON, suffix: ".L", spell: same},
		{mic: XKRX, suffix: ".KS", spell: same},
	}, anySuffix...), form{mic: USA, spell: classDash}),
	Tushare: append(schemeForms{
		{mic: XSHG, suffix: ".SH", spell: same},
		{mic: XSHE, suffix: ".SZ", spell: same},
		{mic: BJSE, suffix: ".BJ", spell: same},
		{mic: XHKG, suffix: ".HK", spell: hkFive},
	}, anySuffix...),
	Wind: append(schemeForms{
		{mic: XSHG, suffix: ".SH", spell: same},
		{mic: XSHE, suffix: ".SZ", spell: same},
		{mic: BJSE, suffix: ".BJ", spell: same},
		{mic: XHKG, suffix: ".HK", spell: hkFour},
		{mic: XNAS, suffix: ".O", spell: classScore},
		{mic: XNYS, suffix: ".N", spell: classScore},
		{mic: XASE, suffix: ".A", spell: classScore},
	}, anySuffix...),
	Futu: {
		{mic: XSHG, prefix: "SH.", spell: same},
		{mic: XSHE, prefix: "SZ.", spell: same},
		{mic: XHKG, prefix: "HK.", spell: hkFive},
		{mic: USA, prefix: "US.", spell: classUS},
	},
	JoinQuant: append(schemeForms{
		{mic: XSHG, suffix: ".XSHG", spell: same},
		{mic: XSHE, suffix: ".XSHE", spell: same},
	}, anySuffix...),
	VNPY: {
		{mic: XSHG, suffix: ".SSE", spell: same},
		{mic: XSHE, suffix: ".SZSE", spell: same},
		{mic: BJSE, suffix: ".BSE", spell: same},
		{mic: XHKG, suffix: ".SEHK", spell: hkFive},
		{mic: USA, suffix: ".SMART", spell: classUS},
	},
	Qlib: {
		{mic: XSHG, prefix: "SH", spell: same},
		{mic: XSHE, prefix: "SZ", spell: same},
		{mic: BJSE, prefix: "BJ", spell: same},
		{mic: XHKG, spell: same},
		{mic: USA, spell: classUS},
	},
	Sina: {
		{mic: XSHG, prefix: "sh", spell: same},
		{mic: XSHE, prefix: "sz", spell: same},
		{mic: BJSE, prefix: "bj", spell: same},
		{mic: XHKG, prefix: "hk", spell: hkFive},
		{mic: USA, prefix: "gb_", spell: lowerDollar},
	},
	Tencent: {
		{mic: XSHG, prefix: "sh", spell: same},
		{mic: XSHE, prefix: "sz", spell: same},
		{mic: BJSE, prefix: "bj", spell: same},
		{mic: XHKG, prefix: "hk", spell: hkFive},
		{mic: XNAS, prefix: "us", suffix: ".OQ", spell: classUS, inputOnly: true},
		{mic: XNYS, prefix: "us", suffix: ".N", spell: classUS, inputOnly: true},
		{mic: XASE, prefix: "us", suffix: ".AM", spell: classUS, inputOnly: true},
		{mic: USA, prefix: "us", spell: classTencent},
	},
	EastMoney: {
		{mic: XSHG, prefix: "1.", spell: same},
		{mic: XSHE, prefix: "0.", spell: notBeijing},
		{mic: BJSE, prefix: "0.", spell: beijing},
		{mic: XHKG, prefix: "116.", spell: hkFive},
		{mic: XNAS, prefix: "105.", spell: classScore},
		{mic: XNYS, prefix: "106.", spell: classScore},
		{mic: XASE, prefix: "107.", spell: classScore},
	},
	TDX: {
		{mic: XSHG, prefix: "1", spell: same},
		{mic: XSHE, prefix: "0", spell: same},
		{mic: BJSE, prefix: "2", spell: same},
	},
	Stooq: {
		{mic: XHKG, suffix: ".hk", spell: hkFour},
		{mic: USA, suffix: ".us", spell: lowerDash},
	},
	BinanceSpot:  {{mic: Binance, spell: same}},
	CoinbaseSpot: {{mic: Coinbase, spell: same}},
	KrakenSpot:   {{mic: Kraken, spell: krakenPair}},
}
