package store

import (
	"fmt"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/market"
)

// benchBars makes rows of bar_1d for symbols first..first+symbols-1 on dates from..from+dates-1.
func benchBars(b testing.TB, first, symbols int, from market.Date, dates int) *batch.Batch {
	b.Helper()
	d, _ := market.DatasetByName(market.Bar1D)
	out := batch.NewBuilder(d.Schema)
	price := decimal128.FromI64
	for symbol := first; symbol < first+symbols; symbol++ {
		text := fmt.Sprintf("6%05d.XSHG", symbol)
		for n := range dates {
			date := from + market.Date(n)
			base := int64(100000 + symbol*10 + int(date)%500*100)
			for i, f := range d.Schema.Fields() {
				c := out.Column(i)
				switch f.Name {
				case "symbol":
					c.Text(text)
				case "date":
					c.Int(int64(date))
				case "high":
					c.Decimal(price(base + 300))
				case "low":
					c.Decimal(price(base - 300))
				case "volume":
					c.Int(base * 137 % 9999999)
				case "trade_status", "final":
					c.Bool(true)
				case "is_st":
					c.Bool(false)
				default:
					c.Decimal(price(base + int64(i)*7%200))
				}
			}
		}
	}
	made, err := out.Batch()
	must(b, err)
	return made
}

const (
	benchSymbols = 1000
	benchDates   = 1200
	benchDaily   = 100
)

// benchStore has benchSymbols x benchDates compacted rows, and daily more commits on them.
func benchStore(b *testing.B, daily int) (*Store, *Writer) {
	b.Helper()
	s, err := Open(b.TempDir(), Config{})
	must(b, err)
	w, err := s.Lock(b.Context(), "bench")
	must(b, err)
	b.Cleanup(func() { must(b, w.Unlock()); must(b, s.Close()) })
	from := day("2020-01-01")
	for first := 0; first < benchSymbols; first += 100 {
		_, err := w.Commit(b.Context(), put(benchBars(b, first, 100, from, benchDates)))
		must(b, err)
	}
	_, err = w.Compact(b.Context(), true)
	must(b, err)
	for n := range daily {
		_, err := w.Commit(b.Context(), put(benchBars(b, 0, benchSymbols, from+market.Date(benchDates+n), 1)))
		must(b, err)
	}
	return s, w
}

func BenchmarkPoint(b *testing.B) {
	for _, daily := range []int{0, benchDaily} {
		b.Run(fmt.Sprintf("daily=%d", daily), func(b *testing.B) {
			s, _ := benchStore(b, daily)
			v, err := s.View(b.Context(), 0)
			must(b, err)
			defer func() { must(b, v.Close()) }()
			n := 0
			for b.Loop() {
				symbol := fmt.Sprintf("6%05d.XSHG", n*7919%benchSymbols)
				out, err := v.Point(market.Bar1D, symbol, 0, 0, nil)
				must(b, err)
				if out.Len() != benchDates+daily {
					b.Fatalf("%d rows", out.Len())
				}
				n++
			}
		})
	}
}

func BenchmarkLatest(b *testing.B) {
	s, _ := benchStore(b, 3)
	v, err := s.View(b.Context(), 0)
	must(b, err)
	defer func() { must(b, v.Close()) }()
	for b.Loop() {
		_, err := v.Latest(market.Bar1D, "600007.XSHG")
		must(b, err)
	}
}

func BenchmarkCross(b *testing.B) {
	s, _ := benchStore(b, benchDaily)
	v, err := s.View(b.Context(), 0)
	must(b, err)
	defer func() { must(b, v.Close()) }()
	for name, date := range map[string]market.Date{
		"fresh": day("2020-01-01") + benchDates + 50, "compacted": day("2021-06-01"),
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				out, err := v.Cross(market.Bar1D, date, []string{"symbol", "open", "close", "volume"})
				must(b, err)
				if out.Len() != benchSymbols {
					b.Fatalf("%d rows", out.Len())
				}
			}
		})
	}
}

func BenchmarkScan(b *testing.B) {
	s, _ := benchStore(b, 0)
	v, err := s.View(b.Context(), 0)
	must(b, err)
	defer func() { must(b, v.Close()) }()
	for name, columns := range map[string][]string{"all": nil, "three": {"date", "close", "volume"}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				rows := 0
				for out, err := range v.Scan(market.Bar1D, Range{}, columns) {
					must(b, err)
					rows += out.Len()
				}
				if rows != benchSymbols*benchDates {
					b.Fatalf("%d rows", rows)
				}
			}
			b.ReportMetric(float64(b.N)*benchSymbols*benchDates/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

func BenchmarkCommit(b *testing.B) {
	for _, rows := range []int{100, 5000, 50_000} {
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
			s, err := Open(b.TempDir(), Config{})
			must(b, err)
			w, err := s.Lock(b.Context(), "bench")
			must(b, err)
			defer func() { must(b, w.Unlock()); must(b, s.Close()) }()
			from := day("1990-01-01")
			symbols := min(rows, 5000)
			for b.Loop() {
				b.StopTimer()
				made := benchBars(b, 0, symbols, from, rows/symbols)
				from += market.Date(rows / symbols)
				b.StartTimer()
				_, err := w.Commit(b.Context(), put(made))
				must(b, err)
			}
			b.ReportMetric(float64(b.N)*float64(rows)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

func BenchmarkCompact(b *testing.B) {
	for _, name := range []string{"disjoint", "interleaved"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				s, err := Open(b.TempDir(), Config{})
				must(b, err)
				w, err := s.Lock(b.Context(), "bench")
				must(b, err)
				for n := range 100 {
					made := benchBars(b, n*20, 20, day("2021-01-01"), 250)
					if name == "interleaved" {
						made = benchBars(b, 0, 5000, day("2021-01-01")+market.Date(n), 1)
					}
					_, err := w.Commit(b.Context(), put(made))
					must(b, err)
				}
				b.StartTimer()
				_, err = w.Compact(b.Context(), true)
				must(b, err)
				b.StopTimer()
				must(b, w.Unlock())
				must(b, s.Close())
				b.StartTimer()
			}
			b.ReportMetric(float64(b.N)*500_000/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
