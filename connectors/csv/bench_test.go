package csv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/vfs"
)

// BenchmarkCopy reads a file, keeps 60 % of the rows by the text of one column, and writes them,
// in one goroutine.
func BenchmarkCopy(b *testing.B) {
	dir := b.TempDir()
	var text bytes.Buffer
	text.WriteString("customer_id,symbol,name,region,status,price,qty,amount,updated_at,note\n")
	const rows = 500_000
	for i := range rows {
		status := "active"
		if i%5 > 2 {
			status = "suspended"
		}
		fmt.Fprintf(&text, "%d,%06d.SH,customer %d,north,%s,%d.%03d,%d,%d.%02d,2024-01-01T00:00:00.250Z,n%x\n",
			i, i%5000, i%900000, status, i%1000, i%997, i%10000, i*7, i%100, i*7919)
	}
	from := at(dir + "/in.csv")
	if err := os.WriteFile(from.Path, text.Bytes(), 0o644); err != nil {
		b.Fatal(err)
	}
	to := SinkConfig{Header: true}
	to.Path = dir + "/out.csv"
	b.SetBytes(int64(text.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if err := benchmarkCopy(from, to); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*rows/b.Elapsed().Seconds()/1e6, "Mrows/s")
}

func benchmarkCopy(from SourceConfig, to SinkConfig) error {
	ctx := context.Background()
	source, err := newSource(connector.Env{FS: vfs.OS{}}, &from)
	if err != nil {
		return err
	}
	target, err := newSink(connector.Env{FS: vfs.OS{}}, &to)
	if err != nil {
		return err
	}
	s := target.(*sink)
	if err := errors.Join(source.Open(ctx, connector.Partition{}, nil),
		s.Open(ctx, connector.Task{Run: "r", Count: 1}), s.Recover(ctx, connector.Epoch{}, nil)); err != nil {
		return err
	}
	decode, encode := source.(connector.Decoder).NewDecode(), s.NewEncode()
	for {
		chunk, err := source.Read(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if chunk, err = decode(chunk); err != nil {
			return err
		}
		chunk.Batch = keepActive(chunk.Batch)
		encoded, err := encode(chunk)
		if err == nil {
			err = s.Write(ctx, encoded)
		}
		if err != nil {
			return err
		}
		encoded.Release()
		chunk.Release()
	}
	epoch := connector.Epoch{Number: 1, Final: true}
	prepared, err := s.Prepare(ctx, epoch)
	if err != nil {
		return err
	}
	return errors.Join(prepared.Sync(ctx), s.Commit(ctx, epoch, prepared.Token), source.Close(), s.Close())
}

func keepActive(b *batch.Batch) *batch.Batch {
	spans, cell := b.Column(4).Spans()
	rows := make([]int32, 0, b.Rows())
	for row := range b.Rows() {
		if string(spans.Raw(row, cell)) == "active" {
			rows = append(rows, int32(row))
		}
	}
	return b.Select(rows)
}
