package segment

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	parquetgo "github.com/parquet-go/parquet-go"

	"github.com/tapeline/tapeline/batch"
)

// TestArrowReads reads segments with another library, value by value.
func TestArrowReads(t *testing.T) {
	t.Parallel()
	schema := allTypes(t)
	for _, rows := range []int{0, 1, 100, PageRows + 3, groupRows + 1} {
		for c := range Compression(2) {
			if rows > groupRows && c == Snappy {
				continue
			}
			want := randomBlock(schema, rand.New(rand.NewPCG(2, uint64(rows))), rows, 30)
			data, _, err := Encode(nil, want, anyOptions(c))
			if err != nil {
				t.Fatal(err)
			}
			got := arrowBatch(t, data)
			if n := got.Schema().Len(); n != len(schema.columns)+1 {
				t.Fatal(n)
			}
			for i, column := range schema.columns {
				compareColumn(t, column, got.Column(i), want.Column(i), rows)
			}
			for row := range rows {
				symbol := string(got.Column(len(schema.columns)).Bytes(row))
				if s := fmt.Sprintf("S%d", want.Vectors[0].Int32s[row]); s != symbol {
					t.Fatalf("row %d: symbol %s, want %s", row, symbol, s)
				}
			}
		}
	}
}

func arrowBatch(t *testing.T, data []byte) *batch.Batch {
	t.Helper()
	reader, err := file.NewParquetReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	arrowReader, err := pqarrow.NewFileReader(reader,
		pqarrow.ArrowReadProperties{BatchSize: 1 << 20}, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	records, err := arrowReader.GetRecordReader(context.Background(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var parts []*batch.Batch
	for records.Next() {
		part, err := batch.FromArrow(records.RecordBatch())
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, part.Keep())
	}
	if len(parts) == 0 {
		schema := batch.SchemaFromArrow(records.Schema())
		columns := make([]*batch.Column, schema.Len())
		for i, f := range schema.Fields() {
			columns[i] = batch.NullColumn(f.Type, 0)
		}
		return batch.New(schema, columns, 0)
	}
	out, errs := batch.Concat(parts)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return out
}

func compareColumn(t *testing.T, c Column, got, want *batch.Column, rows int) {
	t.Helper()
	if !got.Type().Equal(want.Type()) {
		t.Fatalf("%s: type %s", c.Name, got.Type())
	}
	for row := range rows {
		if got.IsNull(row) != want.IsNull(row) {
			t.Fatalf("%s, row %d: NULL is %t", c.Name, row, got.IsNull(row))
		}
		if got.IsNull(row) {
			continue
		}
		g, w := batch.AppendText(nil, got, row), batch.AppendText(nil, want, row)
		if !bytes.Equal(g, w) {
			t.Fatalf("%s, row %d: %s, want %s", c.Name, row, g, w)
		}
	}
}

// TestParquetGoReads opens a segment with the other half of the library whose encodings are used.
func TestParquetGoReads(t *testing.T) {
	t.Parallel()
	want := randomBlock(allTypes(t), rand.New(rand.NewPCG(2, 2)), PageRows+5, 30)
	data, _, err := Encode(nil, want, anyOptions(Zstd))
	if err != nil {
		t.Fatal(err)
	}
	f, err := parquetgo.OpenFile(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	if f.NumRows() != int64(want.Len()) || len(f.ColumnIndexes()) == 0 {
		t.Fatal(f.NumRows())
	}
	for k, chunk := range f.RowGroups()[0].ColumnChunks() {
		pages, values := chunk.Pages(), int64(0)
		for {
			page, err := pages.ReadPage()
			if err != nil {
				break
			}
			values += page.NumValues()
		}
		if values != int64(want.Len()) {
			t.Fatalf("column %d: %d values", k, values)
		}
	}
}
