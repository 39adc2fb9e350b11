package parquet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/filetest"
	"github.com/tapeline/tapeline/internal/vfs"
)

// orders returns batches of ten columns as an order table has them.
func orders(rows, size int) []*batch.Batch {
	schema := batch.NewSchema(
		batch.Field{Name: "id", Type: batch.Of(batch.Int64)},
		batch.Field{Name: "customer", Type: batch.Of(batch.Int64), Nullable: true},
		batch.Field{Name: "status", Type: batch.Of(batch.String), Nullable: true},
		batch.Field{Name: "country", Type: batch.Of(batch.String), Nullable: true},
		batch.Field{Name: "price", Type: batch.DecimalOf(12, 2), Nullable: true},
		batch.Field{Name: "quantity", Type: batch.Of(batch.Int32), Nullable: true},
		batch.Field{Name: "score", Type: batch.Of(batch.Float64), Nullable: true},
		batch.Field{Name: "paid", Type: batch.Of(batch.Bool), Nullable: true},
		batch.Field{Name: "created", Type: batch.TimestampOf(batch.Microsecond, "UTC"), Nullable: true},
		batch.Field{Name: "note", Type: batch.Of(batch.String), Nullable: true},
	)
	var out []*batch.Batch
	for from := 0; from < rows; from += size {
		b := batch.NewBuilder(schema)
		for i := from; i < min(from+size, rows); i++ {
			h := uint64(i+1) * 0x9E3779B97F4A7C15
			b.Column(0).Int(int64(i))
			b.Column(1).Int(int64(h >> 44))
			b.Column(2).Text([]string{"active", "closed", "new"}[h%3])
			b.Column(3).Text([]string{"CN", "US", "DE", "FR", "JP"}[h>>8%5])
			if err := b.Column(4).Any(batch.DecimalValue{Unscaled: decimal128.FromI64(int64(h >> 40)), Scale: 2}); err != nil {
				panic("price: " + err.Error())
			}
			b.Column(5).Int(int64(h >> 56))
			b.Column(6).Float(float64(h>>11) / 1e6)
			b.Column(7).Bool(h&1 == 0)
			b.Column(8).Int(1700000000000000 + int64(i)*1000)
			if i%7 == 0 {
				b.Column(9).Null()
			} else {
				b.Column(9).Text(fmt.Sprintf("note %d", h>>40))
			}
		}
		made, err := b.Batch()
		if err != nil {
			panic("orders: " + err.Error())
		}
		out = append(out, made)
	}
	return out
}

// background runs what a sink hands over, as the engine does.
func background(group *sync.WaitGroup) func(string, func(context.Context) error) {
	return func(_ string, f func(context.Context) error) {
		group.Go(func() {
			if err := f(context.Background()); err != nil {
				panic("background: " + err.Error())
			}
		})
	}
}

func writeAll(t testing.TB, env connector.Env, cfg SinkConfig, batches []*batch.Batch) {
	t.Helper()
	filetest.Write(t, env, Connector(), &cfg, batches...)
}

func commit(t testing.TB, tx connector.Transactional, epoch connector.Epoch) []byte {
	t.Helper()
	return filetest.Commit(t, tx, epoch)
}

const benchRows = 400_000

func BenchmarkWrite(b *testing.B) {
	batches := orders(benchRows, 16384)
	for _, workers := range []bool{false, true} {
		b.Run(fmt.Sprintf("background=%t", workers), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var group sync.WaitGroup
				env := connector.Env{FS: vfs.OS{}}
				if workers {
					env.Go = background(&group)
				}
				path := filepath.Join(b.TempDir(), "out.parquet")
				writeAll(b, env, SinkConfig{Path: path, RowGroupRows: defaultRowGroupRows}, batches)
				group.Wait()
			}
			b.ReportMetric(float64(benchRows)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
		})
	}
}

func BenchmarkRead(b *testing.B) {
	path := filepath.Join(b.TempDir(), "in.parquet")
	writeAll(b, connector.Env{FS: vfs.OS{}}, SinkConfig{Path: path, RowGroupRows: defaultRowGroupRows}, orders(benchRows, 16384))
	for _, columns := range [][]string{nil, {"id", "price"}} {
		b.Run(fmt.Sprint(columns), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				env := connector.Env{FS: vfs.OS{}, Budget: connector.NewBudget(connector.Limits{Rows: 16384, Bytes: 4 << 20})}
				s, err := Connector().Source.New(env, &SourceConfig{Path: path, Columns: columns})
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
				if err := s.Close(); err != nil || rows != benchRows {
					b.Fatal(rows, err)
				}
			}
			b.ReportMetric(float64(benchRows)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
		})
	}
}
