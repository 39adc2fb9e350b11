package wal

import (
	"strconv"
	"testing"

	"github.com/tapeline/tapeline/internal/vfs"
)

// BenchmarkEncode makes a frame of records of 128 bytes: what a write costs besides the disk.
func BenchmarkEncode(b *testing.B) {
	for _, records := range []int{1, 100, 2000} {
		b.Run(strconv.Itoa(records), func(b *testing.B) {
			f := Frame{First: 1, Count: uint32(records), length: 128 * records}
			memory, err := vfs.Map(padded(f.length))
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(f.length))
			b.ReportAllocs()
			for b.Loop() {
				f.encode(memory.Bytes, 1)
			}
			if err := memory.Free(); err != nil {
				b.Fatal(err)
			}
		})
	}
}
