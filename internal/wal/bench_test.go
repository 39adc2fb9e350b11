package wal_test

import (
	"context"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/tapeline/tapeline/internal/vfs"
	"github.com/tapeline/tapeline/internal/wal"
)

// BenchmarkWrite writes frames of records of 128 bytes, durable each, in the folder for temporary files.
func BenchmarkWrite(b *testing.B) {
	for _, records := range []int{1, 100, 2000} {
		b.Run(strconv.Itoa(records), func(b *testing.B) {
			log, _, err := wal.Open(vfs.OS{}, filepath.Join(b.TempDir(), "log"), 1, nil, wal.Options{})
			if err != nil {
				b.Fatal(err)
			}
			buffer, err := log.NewBuffer()
			if err != nil {
				b.Fatal(err)
			}
			record := make([]byte, 128)
			b.SetBytes(int64(records * len(record)))
			b.ReportAllocs()
			for b.Loop() {
				if log.Room() < 1<<20 {
					b.StopTimer()
					log.Release(log.Durable())
					if err := log.Prepare(context.Background()); err != nil {
						b.Fatal(err)
					}
					b.StartTimer()
				}
				buffer.Reset()
				for range records {
					copy(buffer.Extend(len(record)), record)
				}
				buffer.Count = uint32(records)
				if _, err := log.Write(buffer); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*records)/b.Elapsed().Seconds(), "records/s")
			if err := log.Close(); err != nil {
				b.Fatal(err)
			}
			if err := buffer.Free(); err != nil {
				b.Fatal(err)
			}
		})
	}
}
