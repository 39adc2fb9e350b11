package sim

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
)

// CoinMarket is a market of crypto currencies made from a seed: open at all times, with days of UTC.
type CoinMarket struct {
	seed     uint64
	from, to Date
	list     []*Coin
}

// Coin is one pair.
type Coin struct {
	Symbol, Base, Quote string
	First               Date // of its history
	Last                Date // 0: still traded
	VolumeDecimals      int  // of volume; the service writes eight

	seed  uint64
	price int64 // around which it moves
	tick  int64
	size  int64 // usual volume of a day, in units of its decimals

	walked sync.Once
	days   []Candle
}

// Candle is a bar. Prices count 1e-8, as does Amount; Volume counts the coin's decimals.
type Candle struct {
	Start                  int64 // minutes since 1970, UTC
	Open, High, Low, Close int64
	Volume                 int64
	Amount                 *big.Int // of the quote's currency
	Trades                 int64
}

const (
	coinDecimals  = 8
	minutesPerDay = 24 * 60
	maxCoins      = 2000
)

// SyntheticCoins returns a market of pairs over [from, to]. The same arguments give the same market.
func SyntheticCoins(seed uint64, symbols int, from, to Date) (*CoinMarket, error) {
	if symbols < 1 || symbols > maxCoins {
		return nil, fmt.Errorf("synthetic market of %d pairs: want 1 to %d", symbols, maxCoins)
	}
	if to < from {
		return nil, fmt.Errorf("synthetic market from %s to %s: the first day is after the last", from, to)
	}
	m := &CoinMarket{seed: seed, from: from, to: to}
	known := []*Coin{
		{Base: "BTC", price: 40_000_00000000, tick: 1_000000, VolumeDecimals: 5, size: 30_000_00000},
		{Base: "ETH", price: 2_500_00000000, tick: 1_000000, VolumeDecimals: 4, size: 400_000_0000},
		// More coins in a day than 64 bits hold with eight decimals, at a price of few digits.
		{Base: "SHIB", price: 1_000, tick: 1, VolumeDecimals: 0, size: 3_000_000_000_000},
	}
	for i := range symbols {
		var c *Coin
		if i < len(known) {
			c = known[i]
		} else {
			draw := hashText(seed, fmt.Sprint("coin", i))
			c = &Coin{
				Base: fmt.Sprintf("C%03d", i), price: between(draw, 1_000_000, 90_00000000), tick: 10_000,
				VolumeDecimals: 2, size: between(mix(draw, 1), 1_000_000, 900_000_000),
			}
		}
		c.Quote, c.First, c.seed = "USDT", from, hashText(seed, c.Base)
		c.Symbol = c.Base + c.Quote
		if life := int64(to - from); i > 0 && life > 20 {
			if chance(mix(c.seed, 1), 0.3) {
				c.First += Date(between(mix(c.seed, 2), 1, life/2))
			}
			if chance(mix(c.seed, 3), 0.1) {
				c.Last = to - Date(between(mix(c.seed, 4), 1, life/4))
			}
		}
		m.list = append(m.list, c)
	}
	slices.SortFunc(m.list, func(a, b *Coin) int { return strings.Compare(a.Symbol, b.Symbol) })
	return m, nil
}

// Coins returns the pairs, by symbol.
func (m *CoinMarket) Coins() []*Coin { return m.list }

// To returns the last day.
func (m *CoinMarket) To() Date { return m.to }

func (m *CoinMarket) coin(symbol string) *Coin {
	i, ok := slices.BinarySearchFunc(m.list, symbol, func(c *Coin, symbol string) int {
		return strings.Compare(c.Symbol, symbol)
	})
	if !ok {
		return nil
	}
	return m.list[i]
}

// Days returns the days of a pair in [from, to]; the caller alters nothing of them.
func (m *CoinMarket) Days(symbol string, from, to Date) []Candle {
	c := m.coin(symbol)
	if c == nil {
		return nil
	}
	c.walked.Do(func() { c.walk(m.to) })
	first, end := max(0, int(from-c.First)), min(len(c.days), int(to-c.First)+1)
	if first >= end {
		return nil
	}
	return c.days[first:end]
}

// walk makes all days.
func (c *Coin) walk(to Date) {
	last := to
	if c.Last != 0 {
		last = c.Last
	}
	before := c.price
	for day := c.First; day <= last; day++ {
		draw := mix(c.seed, uint64(day)+100)
		// Within a tenth, and back to where it belongs.
		change := between(draw, -100_000, 100_000)
		if before > 3*c.price {
			change -= 30_000
		} else if before < c.price/3 {
			change += 30_000
		}
		d := Candle{Start: int64(day) * minutesPerDay, Open: before}
		d.Close = c.round(before + c.part(before, change))
		d.High = c.round(max(d.Open, d.Close) + c.part(before, between(mix(draw, 1), 0, 40_000)))
		d.Low = c.round(min(d.Open, d.Close) - c.part(before, between(mix(draw, 2), 0, 40_000)))
		d.High, d.Low = max(d.High, d.Open, d.Close), min(d.Low, d.Open, d.Close)
		d.Volume = c.size/1000*between(mix(draw, 3), 200, 2_500) + below(mix(draw, 4), 1000)
		d.Amount = c.amount(d.Volume, (d.High+d.Low)/2)
		d.Trades = between(mix(draw, 5), 10_000, 2_000_000)
		c.days = append(c.days, d)
		before = d.Close
	}
}

// part returns millionths of a price.
func (c *Coin) part(price, millionths int64) int64 { return price / 1000 * millionths / 1000 }

func (c *Coin) round(price int64) int64 { return max(c.tick, divide(price, c.tick)*c.tick) }

// amount is volume times price, in 1e-8.
func (c *Coin) amount(volume, price int64) *big.Int {
	out := new(big.Int).Mul(big.NewInt(volume), big.NewInt(price))
	return out.Div(out, big.NewInt(int64(power(c.VolumeDecimals))))
}

// Minutes returns the bars of a pair that begin in the day, each of so many minutes: the first opens and
// the last closes as the day does, volume, amount and trades add up to the day's.
func (m *CoinMarket) Minutes(symbol string, day Date, size int) []Candle {
	days := m.Days(symbol, day, day)
	if len(days) == 0 {
		return nil
	}
	c, rest := m.coin(symbol), days[0]
	draw := mix(c.seed^0x6d696e, uint64(day))
	top, bottom := int(below(draw, minutesPerDay)), int(below(mix(draw, 1), minutesPerDay))
	price, amount := rest.Open, new(big.Int).Set(rest.Amount)
	var out []Candle
	for i := range minutesPerDay {
		left := int64(minutesPerDay - i)
		b := Candle{Start: rest.Start + int64(i), Open: price, Volume: rest.Volume / left, Trades: rest.Trades / left}
		b.Close = price + (rest.Close-price)/left
		b.Close = c.round((b.Close + between(mix(draw, uint64(i)+2), rest.Low, rest.High)) / 2)
		if b.Close = min(max(b.Close, rest.Low), rest.High); left == 1 {
			b.Close = rest.Close
		}
		b.High, b.Low = max(b.Open, b.Close), min(b.Open, b.Close)
		if i == top {
			b.High = rest.High
		}
		if i == bottom {
			b.Low = rest.Low
		}
		b.Amount = new(big.Int).Div(amount, big.NewInt(left))
		amount.Sub(amount, b.Amount)
		rest.Volume -= b.Volume
		rest.Trades -= b.Trades
		price = b.Close
		if i%size == 0 {
			out = append(out, b)
			continue
		}
		sum := &out[len(out)-1]
		sum.High, sum.Low, sum.Close = max(sum.High, b.High), min(sum.Low, b.Low), b.Close
		sum.Volume += b.Volume
		sum.Trades += b.Trades
		sum.Amount = sum.Amount.Add(sum.Amount, b.Amount)
	}
	return out
}

// appendBig appends value/10^8 with eight decimals.
func appendBig(dst []byte, value *big.Int) []byte {
	digits := value.String()
	if len(digits) <= coinDecimals {
		digits = strings.Repeat("0", coinDecimals+1-len(digits)) + digits
	}
	at := len(digits) - coinDecimals
	return append(append(append(dst, digits[:at]...), '.'), digits[at:]...)
}
