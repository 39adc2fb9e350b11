package expr

import (
	"bytes"
	"fmt"
	"strconv"
	"testing"

	"github.com/tapeline/tapeline/batch"
)

const benchRows = 16 << 10

// benchBatch has a skewed text, a float, an integer and a decimal column.
func benchBatch(tb testing.TB) *batch.Batch {
	tb.Helper()
	schema := batch.NewSchema(
		batch.Field{Name: "status", Type: batch.Of(batch.String)},
		batch.Field{Name: "price", Type: batch.Of(batch.Float64)},
		batch.Field{Name: "qty", Type: batch.Of(batch.Int64)},
		batch.Field{Name: "amount", Type: batch.DecimalOf(18, 2)},
	)
	builder := batch.NewBuilder(schema)
	for i := range benchRows {
		if err := builder.Column(0).Any(benchStatus(i)); err != nil {
			tb.Fatal(err)
		}
		builder.Column(1).Float(float64(i*31%1000) + .5)
		builder.Column(2).Int(int64(i % 100))
		if err := builder.Column(3).Any(fmt.Sprintf("%d.%02d", i%1000, i%100)); err != nil {
			tb.Fatal(err)
		}
	}
	b, err := builder.Batch()
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func benchStatus(i int) string {
	return []string{"active", "active", "active", "inactive", "suspended"}[(i*7919)>>3%5]
}

// lazyBatch is a chunk of CSV: id,status,price,qty.
func lazyBatch(clean bool) *batch.Batch {
	schema := batch.NewSchema(
		batch.Field{Name: "id", Type: batch.Of(batch.Int64)},
		batch.Field{Name: "status", Type: batch.Of(batch.String)},
		batch.Field{Name: "price", Type: batch.Of(batch.Float64)},
		batch.Field{Name: "qty", Type: batch.Of(batch.Int64)},
	)
	spans := &batch.Spans{
		Stride: 5, Step: 1, Gap: 1, Syntax: batch.Quoted, Clean: clean, Quote: '"', Escape: '"',
		Nulls: []string{""},
	}
	var data bytes.Buffer
	for i := range benchRows {
		spans.Offsets = append(spans.Offsets, uint32(data.Len()))
		cells := []string{
			strconv.Itoa(i), benchStatus(i), fmt.Sprintf("%.2f", float64(i*31%1000)+.5),
			strconv.Itoa(i % 100),
		}
		for _, cell := range cells {
			data.WriteString(cell + ",")
			spans.Offsets = append(spans.Offsets, uint32(data.Len()))
		}
	}
	spans.Data = data.Bytes()
	columns := make([]*batch.Column, schema.Len())
	for i := range columns {
		columns[i] = batch.LazyColumn(schema.Field(i).Type, spans, i)
	}
	return batch.New(schema, columns, benchRows)
}

func BenchmarkFilter(b *testing.B) {
	dense, lazy, quoted := benchBatch(b), lazyBatch(true), lazyBatch(false)
	for _, c := range []struct {
		name, source string
		data         *batch.Batch
	}{
		{"Dense/and", "status == 'active' && price > 500", dense},
		{"Dense/text", "status == 'active'", dense},
		{"Dense/float", "price > 500", dense},
		{"Dense/decimal", "amount > 500", dense},
		{"Dense/in", "qty in [1, 5, 9]", dense},
		{"Dense/contains", "status contains 'act'", dense},
		{"Dense/computed", "price * qty > 5000", dense},
		{"Lazy/text", "status == 'active'", lazy},
		{"Lazy/unequal", "status != 'active'", lazy},
		{"Lazy/and", "status == 'active' && price > 500", lazy},
		{"Lazy/float", "price > 500", lazy},
		{"Quoted/text", "status == 'active'", quoted},
	} {
		b.Run(c.name, func(b *testing.B) {
			e := mustCompile(b, c.source, c.data.Schema(), Options{}).NewEval()
			b.ReportAllocs()
			for b.Loop() {
				e.Filter(c.data)
			}
			reportRows(b)
		})
	}
}

func BenchmarkColumn(b *testing.B) {
	dense := benchBatch(b)
	for _, c := range []struct{ name, source string }{
		{"floats", "price * qty"},
		{"integers", "qty * 3 + 1"},
		{"decimals", "amount * qty"},
		{"compare", "price > 500"},
		{"upper", "upper(status)"},
		{"conditional", "price > 500 ? price : 0"},
		{"concat", "status + '!'"},
		{"round", "round(price, 1)"},
	} {
		b.Run(c.name, func(b *testing.B) {
			e := mustCompile(b, c.source, dense.Schema(), Options{}).NewEval()
			b.ReportAllocs()
			for b.Loop() {
				e.Column(dense)
			}
			reportRows(b)
		})
	}
}

func reportRows(b *testing.B) {
	b.Helper()
	rows := float64(b.N) * benchRows
	b.ReportMetric(rows/b.Elapsed().Seconds()/1e6, "Mrows/s")
}
