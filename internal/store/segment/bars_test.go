package segment

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/market"
)

// barSchema is what the store writes of daily bars; symbol adds the text column.
func barSchema(t testing.TB, symbol string) *Schema {
	t.Helper()
	price, flag := batch.DecimalOf(18, 4), batch.Of(batch.Bool)
	s, err := NewSchema("bar_1d", 1, 2,
		Column{Name: "instrument_id", Type: batch.Of(batch.Int32), Symbol: symbol},
		Column{Name: "date", Type: batch.Of(batch.Date)},
		Column{Name: "open", Type: price}, Column{Name: "high", Type: price},
		Column{Name: "low", Type: price}, Column{Name: "close", Type: price},
		Column{Name: "preclose", Type: price, Nullable: true},
		Column{Name: "volume", Type: batch.Of(batch.Int64), Nullable: true},
		Column{Name: "amount", Type: price, Nullable: true},
		Column{Name: "turn", Type: batch.DecimalOf(18, 6), Nullable: true},
		Column{Name: "trade_status", Type: flag},
		Column{Name: "is_st", Type: flag, Nullable: true},
		Column{Name: "final", Type: flag},
		Column{Name: "source", Type: batch.Of(batch.Int32)},
		Column{Name: "seq", Type: batch.Of(batch.Int64)},
	)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// columns of barSchema.
const (
	barID = iota
	barDate
	barOpen
	barHigh
	barLow
	barClose
	barPreclose
	barVolume
	barAmount
	barTurn
	barStatus
	barST
	barFinal
	barSource
	barSeq
)

// symbolOf is the symbol of an instrument of generated bars.
func symbolOf(id int32) (string, error) { return symbolNames[id], nil }

var symbolNames = func() (out [5000]string) {
	for i := range out {
		out[i] = makeSymbol(i)
	}
	return out
}()

func makeSymbol(id int) string {
	if id%2 == 0 {
		return fmt.Sprintf("%06d.XSHG", 600000+id/2)
	}
	return fmt.Sprintf("%06d.XSHE", 1+id/2)
}

// barOptions encode generated bars.
func barOptions(c Compression) Options { return Options{Compression: c, Symbol: symbolOf} }

// tradingDays returns weekdays from a date on, with holidays.
func tradingDays(from market.Date, n int) (out []int32) {
	for d := from; len(out) < n; d++ {
		if weekday := (int(d) + 4) % 7; weekday != 0 && weekday != 6 && d%17 != 0 {
			out = append(out, int32(d))
		}
	}
	return out
}

// bars is a random walk of instruments over days, like the bars of A shares: prices of two digits,
// volumes mostly in lots, one day in 250 suspended, its turnover NULL. The walk begins skip days
// before those that are kept.
func bars(schema *Schema, instruments int, days []int32, skip int) *Block {
	b := NewBlock(schema)
	v := b.Vectors
	rows := 0
	for i := range instruments {
		r := rand.New(rand.NewPCG(7, uint64(i)))
		shares := math.Round(1e8 + r.ExpFloat64()*2e9)
		base := 0.2 + r.ExpFloat64()*2
		last := int64(math.Round((3+r.ExpFloat64()*20)*100)) * 100
		for d, day := range days {
			open := tick(last, r.NormFloat64()*0.006)
			end := tick(open, r.NormFloat64()*0.02)
			high := tick(max(open, end), math.Abs(r.NormFloat64())*0.008)
			low := tick(min(open, end), -math.Abs(r.NormFloat64())*0.008)
			turn := base * math.Exp(r.NormFloat64()*0.5)
			volume := int64(math.Round(turn / 100 * shares))
			if r.IntN(3) > 0 {
				volume = volume / 100 * 100
			}
			traded := r.IntN(250) != 0
			if !traded {
				open, high, low, end, volume, turn = last, last, last, last, 0, 0
			}
			amount := volume * ((open + high + low + end) / 4)
			if traded {
				amount += int64(r.IntN(10000))
			}
			before := last
			last = end
			if d < skip {
				continue
			}
			v[barID].Int32s = append(v[barID].Int32s, int32(i))
			v[barDate].Int32s = append(v[barDate].Int32s, day)
			values := [...]int64{
				open, high, low, end, before, volume, amount, int64(math.Round(turn * 1e6)),
			}
			for k, value := range values {
				v[barOpen+k].Int64s = append(v[barOpen+k].Int64s, value)
			}
			v[barTurn].Valid = appendBit(v[barTurn].Valid, rows, traded)
			v[barStatus].Bits = appendBit(v[barStatus].Bits, rows, traded)
			v[barST].Bits = appendBit(v[barST].Bits, rows, i%40 == 0)
			v[barFinal].Bits = appendBit(v[barFinal].Bits, rows, true)
			v[barSource].Int32s = append(v[barSource].Int32s, 1)
			v[barSeq].Int64s = append(v[barSeq].Int64s, 77)
			rows++
		}
	}
	if err := b.SetLen(rows); err != nil {
		panic(err)
	}
	return b
}

func appendBit(bits batch.Bitmap, at int, bit bool) batch.Bitmap {
	bits = growBits(bits, at, 1)
	if bit {
		bits.Set(at)
	}
	return bits
}

func tick(price int64, change float64) int64 {
	return max(int64(math.Round(float64(price)*(1+change)/100))*100, 100)
}

// year is five thousand instruments over the n-th year of 240 days, sorted by instrument.
func year(t testing.TB, symbol string, n int) *Block {
	t.Helper()
	days := tradingDays(market.DateOf(2021, 1, 4), 240*(n+1))
	return bars(barSchema(t, symbol), 5000, days, 240*n)
}
