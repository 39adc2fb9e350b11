package main

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/market"
)

// bars is a random walk of instruments over weekdays, like the daily bars of A shares: prices in ticks
// of 0.01, volumes mostly in lots, one day in 250 suspended, its turnover NULL.
type bars struct {
	symbols int
	dates   []market.Date
}

// bar is one row; prices and amount in 1/10000, turn in 1/1000000.
type bar struct {
	open, high, low, close, preclose, volume, amount, turn int64
	traded                                                 bool
}

func newBars(symbols, dates int) *bars {
	b := &bars{symbols: symbols}
	for d := market.DateOf(2019, 1, 2); len(b.dates) < dates; d++ {
		if weekday := (int(d) + 4) % 7; weekday != 0 && weekday != 6 && d%17 != 0 {
			b.dates = append(b.dates, d)
		}
	}
	return b
}

func symbolOf(i int) string {
	if i%2 == 0 {
		return fmt.Sprintf("%06d.XSHG", 600000+i/2)
	}
	return fmt.Sprintf("%06d.XSHE", 1+i/2)
}

// walk gives all bars of an instrument.
func (b *bars) walk(i int, visit func(n int, one bar)) {
	r := rand.New(rand.NewPCG(7, uint64(i)))
	shares, base := math.Round(1e8+r.ExpFloat64()*2e9), 0.2+r.ExpFloat64()*2
	last := int64(math.Round((3+r.ExpFloat64()*20)*100)) * 100
	for n := range b.dates {
		one := bar{preclose: last, traded: r.IntN(250) != 0}
		one.open = tick(last, r.NormFloat64()*0.006)
		one.close = tick(one.open, r.NormFloat64()*0.02)
		one.high = tick(max(one.open, one.close), math.Abs(r.NormFloat64())*0.008)
		one.low = tick(min(one.open, one.close), -math.Abs(r.NormFloat64())*0.008)
		turn := base * math.Exp(r.NormFloat64()*0.5)
		one.volume = int64(math.Round(turn / 100 * shares))
		if r.IntN(3) > 0 {
			one.volume = one.volume / 100 * 100
		}
		one.amount = one.volume*((one.open+one.high+one.low+one.close)/4) + int64(r.IntN(10000))
		one.turn = int64(math.Round(turn * 1e6))
		if !one.traded {
			one = bar{open: last, high: last, low: last, close: last, preclose: last}
		}
		last = one.close
		visit(n, one)
	}
}

func tick(price int64, change float64) int64 {
	return max(int64(math.Round(float64(price)*(1+change)/100))*100, 100)
}

// builder collects rows of bar_1d.
type builder struct {
	*batch.Builder
	at map[string]int
}

func newBuilder() builder {
	d, _ := market.DatasetByName(market.Bar1D)
	b := builder{batch.NewBuilder(d.Schema), map[string]int{}}
	for i, name := range d.Schema.Names() {
		b.at[name] = i
	}
	return b
}

func (b builder) add(symbol string, date market.Date, one bar) {
	price := func(name string, v int64) { b.Column(b.at[name]).Decimal(decimal128.FromI64(v)) }
	b.Column(b.at["symbol"]).Text(symbol)
	b.Column(b.at["date"]).Int(int64(date))
	price("open", one.open)
	price("high", one.high)
	price("low", one.low)
	price("close", one.close)
	price("preclose", one.preclose)
	b.Column(b.at["volume"]).Int(one.volume)
	price("amount", one.amount)
	if one.traded {
		price("turn", one.turn)
	} else {
		b.Column(b.at["turn"]).Null()
	}
	b.Column(b.at["trade_status"]).Bool(one.traded)
	b.Column(b.at["is_st"]).Bool(false)
	b.Column(b.at["final"]).Bool(true)
}

// block returns bars from..to-1 of instruments first..last-1.
func (b *bars) block(first, last, from, to int) (*batch.Batch, error) {
	out := newBuilder()
	for i := first; i < last; i++ {
		b.walk(i, func(n int, one bar) {
			if n >= from && n < to {
				out.add(symbolOf(i), b.dates[n], one)
			}
		})
	}
	return out.Batch()
}

// days returns one batch for each of bars from..to-1.
func (b *bars) days(from, to int) ([]*batch.Batch, error) {
	builders := make([]builder, to-from)
	for n := range builders {
		builders[n] = newBuilder()
	}
	for i := range b.symbols {
		b.walk(i, func(n int, one bar) {
			if n >= from && n < to {
				builders[n-from].add(symbolOf(i), b.dates[n], one)
			}
		})
	}
	out := make([]*batch.Batch, len(builders))
	for n := range builders {
		var err error
		if out[n], err = builders[n].Batch(); err != nil {
			return nil, err
		}
	}
	return out, nil
}
