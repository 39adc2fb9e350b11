package sqltest

import (
	"testing"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/sqlkit"
)

// BenchmarkSink writes batches of 10,000 rows, ten an epoch.
func BenchmarkSink(b *testing.B, open func(t testing.TB) *Database) {
	d := open(b)
	s := d.Sink(sqlkit.SinkConfig{Table: "people"}, connector.Task{})
	in := People(b, 0, 10000, "some name")
	epoch := uint64(0)
	n := 0
	for b.Loop() {
		s.Put("", in)
		if n++; n%10 == 0 {
			epoch++
			s.Checkpoint(epoch)
		}
	}
	b.ReportMetric(1e4*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkSource reads a table of 100,000 rows.
func BenchmarkSource(b *testing.B, open func(t testing.TB) *Database) {
	d := open(b)
	s := d.Sink(sqlkit.SinkConfig{Table: "people"}, connector.Task{})
	s.Put("", People(b, 0, 100000, "some name"))
	s.Checkpoint(1)
	for b.Loop() {
		d.Read(sqlkit.SourceConfig{Table: "people"}, 16384, nil)
	}
	b.ReportMetric(1e5*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
