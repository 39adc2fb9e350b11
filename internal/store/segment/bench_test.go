package segment

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/tapeline/tapeline/internal/market"
)

func encoded(t testing.TB, b *Block, c Compression) []byte {
	t.Helper()
	data, _, err := Encode(nil, b, barOptions(c))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func opened(t testing.TB, data []byte) *Reader {
	t.Helper()
	r, err := Open("test", bytes.NewReader(data), int64(len(data)), nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func rowsPerSecond(b *testing.B, rows int) {
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
}

func BenchmarkEncode(b *testing.B) {
	for _, symbol := range []string{"", "symbol"} {
		block := year(b, symbol, 2)
		for name, compression := range map[string]Compression{"snappy": Snappy, "zstd": Zstd} {
			b.Run(name+"/"+symbol, func(b *testing.B) {
				b.ReportAllocs()
				var out []byte
				for b.Loop() {
					data, _, err := Encode(out[:0], block, barOptions(compression))
					if err != nil {
						b.Fatal(err)
					}
					out = data
				}
				rowsPerSecond(b, block.Len())
				b.ReportMetric(float64(len(out))/float64(block.Len()), "B/row")
			})
		}
	}
}

// BenchmarkSmall is what a blob of few rows costs.
func BenchmarkSmall(b *testing.B) {
	for _, rows := range []struct {
		name string
		n    int
	}{{"1", 1}, {"100", 100}, {"1000", 1000}, {"5000", 5000}} {
		block := bars(barSchema(b, "symbol"), rows.n, tradingDays(market.DateOf(2024, 5, 6), 1), 0)
		data := encoded(b, block, Snappy)
		b.Run("encode/"+rows.name, func(b *testing.B) {
			b.ReportAllocs()
			var out []byte
			for b.Loop() {
				out, _, _ = Encode(out[:0], block, barOptions(Snappy))
			}
			b.ReportMetric(float64(len(out)), "bytes")
		})
		b.Run("open/"+rows.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				opened(b, data)
			}
		})
		b.Run("openread/"+rows.name, func(b *testing.B) {
			b.ReportAllocs()
			out := NewBlock(block.Schema())
			for b.Loop() {
				r := opened(b, data)
				if err := r.Read(out, nil, Range{0, int64(rows.n)}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkScan(b *testing.B) {
	block := year(b, "symbol", 2)
	for name, compression := range map[string]Compression{"snappy": Snappy, "zstd": Zstd} {
		r := opened(b, encoded(b, block, compression))
		for columns, list := range map[string][]int{"all": nil, "three": {barID, barDate, barClose}} {
			b.Run(name+"/"+columns, func(b *testing.B) {
				b.ReportAllocs()
				out := NewBlock(r.Schema())
				for b.Loop() {
					for at := int64(0); at < r.Info().Rows; at += GroupRows {
						err := r.Read(out, list, Range{at, min(at+GroupRows, r.Info().Rows)})
						if err != nil {
							b.Fatal(err)
						}
					}
				}
				rowsPerSecond(b, block.Len())
			})
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	data := encoded(b, year(b, "symbol", 2), Zstd)
	b.Run("footer", func(b *testing.B) {
		for b.Loop() {
			opened(b, data)
		}
	})
	b.Run("index", func(b *testing.B) {
		for b.Loop() {
			r := opened(b, data)
			for group := range r.groups {
				if _, err := r.pageIndexOf(group); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}

// BenchmarkPoint reads one instrument's year, all columns, from an open segment.
func BenchmarkPoint(b *testing.B) {
	block := year(b, "symbol", 2)
	r := opened(b, encoded(b, block, Zstd))
	random := rand.New(rand.NewPCG(1, 1))
	out := NewBlock(r.Schema())
	b.ReportAllocs()
	for b.Loop() {
		key := Key{{Int: int64(random.IntN(5000))}}
		rows, err := r.Find(key, key)
		if err != nil {
			b.Fatal(err)
		}
		if err := r.Read(out, nil, rows); err != nil || out.Len() != 240 {
			b.Fatal(out.Len(), err)
		}
	}
}

// BenchmarkCross reads one date of 5,000 instruments, four columns.
func BenchmarkCross(b *testing.B) {
	list := []int{barID, barClose, barVolume, barAmount}
	day := tradingDays(market.DateOf(2021, 1, 4), 720)[580]
	for name, block := range map[string]*Block{
		"daily": bars(barSchema(b, "symbol"), 5000, []int32{day}, 0), "year": year(b, "symbol", 2),
	} {
		b.Run(name, func(b *testing.B) {
			compression := Snappy
			if name == "year" {
				compression = Zstd
			}
			r := opened(b, encoded(b, block, compression))
			out := NewBlock(r.Schema())
			b.ReportAllocs()
			for b.Loop() {
				err := r.Select(out, list, barDate, int64(day), int64(day))
				if err != nil || out.Len() != 5000 {
					b.Fatal(out.Len(), err)
				}
			}
		})
	}
}
