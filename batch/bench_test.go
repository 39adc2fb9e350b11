package batch

import (
	"fmt"
	"strconv"
	"testing"
)

const benchRows = 16384

// benchText returns a lazy column of cells made of row numbers.
func benchText(typ Type, cell func(i int) string) *Column {
	s := &Spans{Stride: 2, Step: 1, Gap: 1, Syntax: Plain, Clean: true}
	for i := range benchRows {
		s.Offsets = append(s.Offsets, uint32(len(s.Data)))
		s.Data = append(append(s.Data, cell(i)...), ',')
		s.Offsets = append(s.Offsets, uint32(len(s.Data)))
	}
	return LazyColumn(typ, s, 0)
}

func benchCells() map[string]*Column {
	return map[string]*Column{
		"int64":     benchText(Of(Int64), func(i int) string { return strconv.Itoa(i * 7919) }),
		"float64":   benchText(Of(Float64), func(i int) string { return fmt.Sprintf("%d.%03d", i, i%1000) }),
		"decimal":   benchText(DecimalOf(12, 4), func(i int) string { return fmt.Sprintf("%d.%02d", i, i%100) }),
		"timestamp": benchText(TimestampOf(Microsecond, "UTC"), benchTime),
		"date":      benchText(Of(Date), func(i int) string { return benchTime(i)[:10] }),
		"string":    benchText(Of(String), func(i int) string { return "customer-" + strconv.Itoa(i) }),
	}
}

func benchTime(i int) string {
	return fmt.Sprintf("2024-%02d-%02dT%02d:%02d:%02d.%06dZ", i%12+1, i%28+1, i%24, i%60, i%60, i)
}

// A column is typed with a handful of allocations, however many rows it has.
const allocationsPerColumn = 32

func BenchmarkTyped(b *testing.B) {
	for name, c := range benchCells() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			spans, _ := c.Spans()
			b.SetBytes(int64(len(spans.Data)))
			for b.Loop() {
				if _, bad := c.Typed(nil); len(bad) > 0 {
					b.Fatal(bad[0])
				}
			}
			rate(b)
		})
	}
}

func rate(b *testing.B) {
	b.Helper()
	b.ReportMetric(float64(b.N)*benchRows/b.Elapsed().Seconds()/1e6, "Mrows/s")
}

func benchBatch() *Batch {
	var fields []Field
	var columns []*Column
	for _, name := range []string{"int64", "decimal", "timestamp", "string"} {
		c := benchCells()[name]
		fields, columns = append(fields, Field{Name: name, Type: c.Type()}), append(columns, c)
	}
	return New(NewSchema(fields...), columns, benchRows)
}

func half() []int32 {
	rows := make([]int32, 0, benchRows/2)
	for i := int32(0); i < benchRows; i += 2 {
		rows = append(rows, i)
	}
	return rows
}

func BenchmarkDense(b *testing.B) {
	lazy := benchBatch()
	b.ReportAllocs()
	for b.Loop() {
		if _, bad := lazy.Dense(); len(bad) > 0 {
			b.Fatal(bad[0])
		}
	}
	rate(b)
}

func BenchmarkKeep(b *testing.B) {
	lazy := benchBatch()
	dense, _ := lazy.Dense()
	for name, whole := range map[string]*Batch{"lazy": lazy, "dense": dense} {
		selected := whole.Select(half())
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if selected.Keep().Len() != benchRows/2 {
					b.Fatal("rows are missing")
				}
			}
			rate(b)
		})
	}
}

func BenchmarkAppendText(b *testing.B) {
	for name, lazy := range benchCells() {
		c, _ := lazy.Typed(nil)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var out []byte
			for b.Loop() {
				out = out[:0]
				for row := range benchRows {
					out = AppendText(out, c, row)
				}
			}
			b.SetBytes(int64(len(out)))
			rate(b)
		})
	}
}

func BenchmarkLastPerKey(b *testing.B) {
	dense, _ := benchBatch().Dense()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := LastPerKey(dense, []string{"int64"}); err != nil {
			b.Fatal(err)
		}
	}
	rate(b)
}

// No operation allocates per row.
func TestAllocationsDoNotGrowWithRows(t *testing.T) {
	for name, lazy := range benchCells() {
		typed, _ := lazy.Typed(nil)
		out := make([]byte, 0, 1<<21)
		for what, f := range map[string]func(){
			"typed":  func() { lazy.Typed(nil) },
			"gather": func() { typed.Gather(nil) },
			"text": func() {
				for row := range benchRows {
					out = AppendText(out[:0], typed, row)
				}
			},
			"key": func() {
				for row := range benchRows {
					out = AppendKey(out[:0], []*Column{typed}, row)
				}
			},
		} {
			if n := testing.AllocsPerRun(3, f); n > allocationsPerColumn {
				t.Errorf("%s of %d rows of %s allocates %.0f times", what, benchRows, name, n)
			}
		}
	}
	lazy := benchBatch().Select(half())
	if n := testing.AllocsPerRun(3, func() { lazy.Keep() }); n > 4*allocationsPerColumn {
		t.Errorf("keep allocates %.0f times", n)
	}
}
