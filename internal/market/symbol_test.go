package market

import (
	"strings"
	"testing"
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
