package avro

import (
	"errors"
	"io"
	"path/filepath"
	"testing"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/vfs"
)

func benchBatch() *batch.Batch {
	return randomBatch(1, batch.NewSchema(
		batch.Field{Name: "id", Type: batch.Of(batch.Int64)},
		batch.Field{Name: "name", Type: batch.Of(batch.String), Nullable: true},
		batch.Field{Name: "price", Type: batch.DecimalOf(12, 2), Nullable: true},
		batch.Field{Name: "score", Type: batch.Of(batch.Float64), Nullable: true},
		batch.Field{Name: "at", Type: batch.TimestampOf(batch.Microsecond, "UTC"), Nullable: true}), 16384)
}

func BenchmarkWrite(b *testing.B) {
	in := benchBatch()
	b.ReportAllocs()
	for b.Loop() {
		batches := make([]*batch.Batch, 20)
		for i := range batches {
			batches[i] = in
		}
		writeAll(b, newEnv(vfs.OS{}, plenty()), SinkConfig{Path: filepath.Join(b.TempDir(), "a.avro")}, batches...)
	}
	b.ReportMetric(20*16384*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
}

func BenchmarkRead(b *testing.B) {
	in := benchBatch()
	path := filepath.Join(b.TempDir(), "a.avro")
	writeAll(b, newEnv(vfs.OS{}, plenty()), SinkConfig{Path: path}, in, in, in, in, in, in, in, in, in, in)
	b.ReportAllocs()
	for b.Loop() {
		s, err := Connector().Source.New(newEnv(vfs.OS{}, plenty()), &SourceConfig{Path: path})
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Open(b.Context(), connector.Partition{}, nil); err != nil {
			b.Fatal(err)
		}
		rows := 0
		for {
			chunk, err := s.Read(b.Context())
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
			rows += chunk.Batch.Len()
		}
		if err := s.Close(); err != nil || rows != 10*16384 {
			b.Fatal(rows, err)
		}
	}
	b.ReportMetric(10*16384*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
}
