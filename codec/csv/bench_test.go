package csv

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/tapeline/tapeline/batch"
)

// orders returns about size bytes of records of ten columns, the last quoted when asked.
func orders(size int, quotes bool) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	regions := []string{"north", "south", "east", "west", "apac", "emea", "latam"}
	statuses := []string{"active", "active", "active", "inactive", "suspended"}
	var b strings.Builder
	for id := 1; b.Len() < size; id++ {
		price, quantity := r.IntN(1_000_000)+1000, r.IntN(10_000)+1
		name, note := fmt.Sprintf("customer %d", r.IntN(900_000)), fmt.Sprintf("n%x", r.Uint32())
		if quotes {
			name, note = `"`+name+`"`, `"`+note+`, x"`
		}
		fmt.Fprintf(&b, "%d,%06d.SH,%s,%s,%s,%d.%03d,%d,%d.%02d,2024-01-01T00:%02d:%02d.250Z,%s\n", id,
			r.IntN(5000), name, regions[r.IntN(len(regions))], statuses[r.IntN(len(statuses))],
			price/1000, price%1000, quantity, price*quantity/1000, price%100, id/60%60, id%60, note)
	}
	return []byte(b.String())
}

func orderTypes() []batch.Type {
	text := batch.Of(batch.String)
	return []batch.Type{
		batch.Of(batch.Int64), text, text, text, text, batch.Of(batch.Float64), batch.Of(batch.Int64),
		batch.Of(batch.Float64), batch.TimestampOf(batch.Microsecond, "UTC"), text,
	}
}

func lazy(spans *batch.Spans, types []batch.Type) *batch.Batch {
	fields := make([]batch.Field, len(types))
	columns := make([]*batch.Column, len(types))
	for i, typ := range types {
		fields[i] = batch.Field{Name: fmt.Sprintf("c%d", i), Type: typ, Nullable: true}
		columns[i] = batch.LazyColumn(typ, spans, i)
	}
	return batch.New(batch.NewSchema(fields...), columns, spans.Rows())
}

func benchmarkParse(b *testing.B, data []byte) {
	p := NewParser(NewDialect(), 10, Reject)
	var offsets []uint32
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	rows := 0
	for b.Loop() {
		result := p.Parse(data, offsets)
		offsets = result.Spans.Offsets
		rows += result.Spans.Rows()
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds()/1e6, "Mrows/s")
}

func BenchmarkParse(b *testing.B)       { benchmarkParse(b, orders(1<<20, false)) }
func BenchmarkParseQuoted(b *testing.B) { benchmarkParse(b, orders(1<<20, true)) }

func benchmarkCut(b *testing.B, data []byte) {
	c := NewCutter(NewDialect(), 10)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if c.Cut(data, false) != len(data) {
			b.Fatal("not cut at the end")
		}
	}
}

func BenchmarkCut(b *testing.B)       { benchmarkCut(b, orders(1<<20, false)) }
func BenchmarkCutQuoted(b *testing.B) { benchmarkCut(b, orders(1<<20, true)) }

func benchmarkEncode(b *testing.B, batch *batch.Batch, size int) {
	e := NewEncoder(NewDialect())
	var dst []byte
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		dst, _ = e.AppendRows(dst[:0], batch)
	}
	b.ReportMetric(float64(b.N)*float64(batch.Len())/b.Elapsed().Seconds()/1e6, "Mrows/s")
}

// selected keeps 60 % of the rows.
func selected(b *batch.Batch) *batch.Batch {
	r := rand.New(rand.NewPCG(3, 4))
	var rows []int32
	for row := range b.Rows() {
		if r.IntN(5) < 3 {
			rows = append(rows, int32(row))
		}
	}
	return b.Select(rows)
}

func BenchmarkEncodeRecords(b *testing.B) {
	data := orders(1<<20, false)
	spans := NewParser(NewDialect(), 10, Reject).Parse(data, nil).Spans
	benchmarkEncode(b, selected(lazy(spans, orderTypes())), len(data))
}

func BenchmarkEncodeCells(b *testing.B) {
	data := orders(1<<20, false)
	spans := NewParser(NewDialect(), 10, Reject).Parse(data, nil).Spans
	all := selected(lazy(spans, orderTypes()))
	columns := append([]*batch.Column{all.Column(5)}, all.Columns()[:5]...)
	fields := append([]batch.Field{all.Schema().Field(5)}, all.Schema().Fields()[:5]...)
	benchmarkEncode(b, all.WithColumns(batch.NewSchema(fields...), columns), len(data))
}

func BenchmarkEncodeTyped(b *testing.B) {
	data := orders(1<<20, false)
	spans := NewParser(NewDialect(), 10, Reject).Parse(data, nil).Spans
	dense, bad := lazy(spans, orderTypes()).Dense()
	if len(bad) > 0 {
		b.Fatal(bad[0])
	}
	benchmarkEncode(b, dense, len(data))
}
