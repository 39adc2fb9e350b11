package op

import (
	"fmt"
	"testing"

	"github.com/tapeline/tapeline/batch"
)

const benchRows = 8192

// trades is a batch of raw cells as a file of trades has them.
func trades(b testing.TB) *batch.Batch {
	records := make([]string, benchRows)
	for i := range records {
		records[i] = fmt.Sprintf("%d|%s|%d.%02d|%d", i, []string{"AAPL", "MSFT", "TSLA"}[i%3], i%700, i%100, i%500)
	}
	return lazy(b, "id int64; symbol string; price decimal(12,4); size int64", records...)
}

func benchmark(b *testing.B, operator Operator, in *batch.Batch) {
	b.Helper()
	bound, err := operator.Bind(in.Schema())
	if err != nil {
		b.Fatal(err)
	}
	out := &Output{}
	b.ReportAllocs()
	for b.Loop() {
		out.Reset()
		if err := bound.Apply(in, out); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(in.Len())*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
}

func benchRoute(b testing.TB) Operator {
	return routes(b, "first", "rest", Branch{"apple", "symbol == 'AAPL'"}, Branch{"large", "size > 250"})
}

func benchValidate(b testing.TB) Operator {
	return validated(b, Rule{Column: "price", NotNull: true, Range: &Range{Min: 0}},
		Rule{Column: "symbol", InSet: []any{"AAPL", "MSFT", "TSLA"}}, Rule{Expression: "size >= 0"})
}

func benchCast(b testing.TB) Operator {
	return made(b, Cast(), Env{}, func(c *CastConfig) { c.Columns = []TypedColumn{{"symbol", "binary"}, {"size", "float64"}} })
}

func BenchmarkRoute(b *testing.B) { benchmark(b, benchRoute(b), trades(b)) }

func BenchmarkValidate(b *testing.B) { benchmark(b, benchValidate(b), trades(b)) }

func BenchmarkCast(b *testing.B) { benchmark(b, benchCast(b), trades(b)) }

func BenchmarkExplode(b *testing.B) { benchmark(b, benchExplode(b), books(b)) }

func benchExplode(b testing.TB) Operator {
	return made(b, Explode(), Env{}, func(c *ExplodeConfig) { c.Columns, c.Fields = []string{"levels"}, true })
}

// books has ten levels a row.
func books(b testing.TB) *batch.Batch {
	b.Helper()
	builder := batch.NewBuilder(schemaOf(b, "id int64; symbol string; levels list<struct<price:float64,size:int64>>"))
	for i := range benchRows / 8 {
		builder.Column(0).Int(int64(i))
		builder.Column(1).Text("BTCUSDT")
		for k := range 10 {
			level := builder.Column(2).Element(0)
			level.Element(0).Float(float64(i + k))
			level.Element(1).Int(int64(k))
			level.Struct()
		}
		builder.Column(2).List()
	}
	books, err := builder.Batch()
	if err != nil {
		b.Fatal(err)
	}
	return books
}

func BenchmarkParseJSON(b *testing.B) {
	rows := make([][]any, benchRows/8)
	for i := range rows {
		rows[i] = []any{fmt.Sprintf(`{"e":"depthUpdate","E":%d,"s":"BTCUSDT","b":[["57000.10","0.5"],["57000.00","1.25"]]}`, i)}
	}
	operator := parsed(b, func(c *ParseConfig) {
		c.Column, c.Format, c.DropSource = "raw", "json", true
		c.Fields = []ParsedField{
			{Name: "E", Type: "int64"}, {Name: "s", Type: "string"}, {Name: "b", Type: "list<list<decimal(12,2)>>"},
		}
	})
	benchmark(b, operator, dense(b, "raw string", rows...))
}

func BenchmarkDedupe(b *testing.B) {
	for _, c := range []struct {
		name  string
		fresh bool
	}{{"new", true}, {"known", false}} {
		b.Run(c.name, func(b *testing.B) {
			d := deduped(b, func(*DedupeConfig) {})
			bound, err := d.Bind(schemaOf(b, "n int64"))
			if err != nil {
				b.Fatal(err)
			}
			in := numbers(b, 0, benchRows)
			values := batch.Values[int64](in.Column(0))
			out := &Output{}
			b.ReportAllocs()
			for b.Loop() {
				out.Reset()
				if err := bound.Apply(in, out); err != nil {
					b.Fatal(err)
				}
				if c.fresh {
					for i := range values {
						values[i] += benchRows
					}
				}
			}
			b.ReportMetric(benchRows*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
		})
	}
}

// TestNoAllocationPerRow holds the plain paths to a handful of allocations a batch.
func TestNoAllocationPerRow(t *testing.T) {
	for name, c := range map[string]struct {
		operator Operator
		in       *batch.Batch
		most     float64
	}{
		"select":   {made(t, Select(), Env{}, func(c *SelectConfig) { c.Columns = []string{"id", "price"} }), trades(t), 10},
		"route":    {benchRoute(t), trades(t), 100},
		"validate": {benchValidate(t), trades(t), 100},
		"cast":     {benchCast(t), trades(t), 100},
		"explode":  {benchExplode(t), books(t), 100},
	} {
		bound, err := c.operator.Bind(c.in.Schema())
		if err != nil {
			t.Fatal(err)
		}
		out := &Output{}
		got := testing.AllocsPerRun(5, func() {
			out.Reset()
			if err := bound.Apply(c.in, out); err != nil {
				t.Fatal(err)
			}
		})
		if got > c.most {
			t.Errorf("%s: %.0f allocations for %d rows", name, got, c.in.Len())
		}
	}
}
