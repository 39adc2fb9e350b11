package batch_test

import (
	"fmt"

	"github.com/tapeline/tapeline/batch"
)

// prices returns a small batch of two columns.
func prices() *batch.Batch {
	b := batch.NewBuilder(batch.NewSchema(
		batch.Field{Name: "symbol", Type: batch.Of(batch.String)},
		batch.Field{Name: "price", Type: batch.DecimalOf(9, 2), Nullable: true},
	))
	symbols, cells := b.Column(0), b.Column(1)
	for _, row := range [][2]any{{"AAPL", "189.50"}, {"MSFT", nil}, {"AAPL", "190.25"}} {
		symbols.Text(row[0].(string))
		if err := cells.Any(row[1]); err != nil {
			panic(fmt.Sprintf("price: %v", err))
		}
	}
	out, err := b.Batch()
	if err != nil {
		panic(fmt.Sprintf("batch: %v", err))
	}
	return out
}

// A builder makes a batch row by row; Column.Value reads it boxed.
func ExampleBuilder() {
	b := prices()
	for row := range b.Len() {
		fmt.Println(b.Column(0).Value(row), b.Column(1).Value(row))
	}
	// Output:
	// AAPL 189.50
	// MSFT <nil>
	// AAPL 190.25
}

// A filter selects rows and copies nothing; Keep gathers them into memory of their own.
func ExampleBatch_Select() {
	b := prices()
	var priced []int32
	for i := range b.Len() {
		if row := b.Row(i); !b.Column(1).IsNull(row) {
			priced = append(priced, int32(row))
		}
	}
	narrow := b.Select(priced)
	kept := narrow.Keep()
	fmt.Println(narrow.Len(), "of", narrow.Rows(), "rows;", kept.Len(), "of", kept.Rows(), "kept")
	// Output: 2 of 3 rows; 2 of 2 kept
}

// Lazy columns are the source's text, read as their type where an operation needs values. Cells
// that do not read are named, with the place their row was read at.
func ExampleLazyColumn() {
	spans := &batch.Spans{
		Data: []byte("1,a\nx,b\n"), Offsets: []uint32{0, 2, 4, 4, 6, 8}, Stride: 3, Step: 1, Gap: 1,
	}
	schema := batch.NewSchema(
		batch.Field{Name: "id", Type: batch.Of(batch.Int64)}, batch.Field{Name: "name", Type: batch.Of(batch.String)})
	b := batch.New(schema, []*batch.Column{
		batch.LazyColumn(batch.Of(batch.Int64), spans, 0), batch.LazyColumn(batch.Of(batch.String), spans, 1),
	}, 2).WithOrigin(&batch.Origin{Name: "in.csv", Line: 2})
	dense, bad := b.Dense()
	fmt.Println(string(batch.AppendRow(nil, dense, 0)))
	for _, e := range bad {
		fmt.Println(b.Origin().At(e.Row), e.Column, e.Reason)
	}
	// Output:
	// {"id":1,"name":"a"}
	// in.csv:3 id "x" is not a value of type int64
}

// LastPerKey keeps the newest row of each key, as keyed sinks need.
func ExampleLastPerKey() {
	last, err := batch.LastPerKey(prices(), []string{"symbol"})
	if err != nil {
		fmt.Println(err)
	}
	for row := range last.Len() {
		fmt.Println(string(batch.AppendRow(nil, last, row)))
	}
	// Output:
	// {"symbol":"MSFT","price":null}
	// {"symbol":"AAPL","price":190.25}
}

// Types are written as documents write them.
func ExampleParseType() {
	typ, err := batch.ParseType("list<struct<at: timestamptz, price: decimal(12,4)>>")
	fmt.Println(typ, err)
	_, err = batch.ParseType("decimal(40)")
	fmt.Println(err)
	// Output:
	// list<struct<at:timestamp(us,UTC),price:decimal(12,4)>> <nil>
	// type "decimal(40)": precision "40" must be 1 to 38
}

// A dense batch becomes an Arrow record without copying, and back.
func ExampleToArrow() {
	record := batch.ToArrow(prices())
	defer record.Release()
	back, err := batch.FromArrow(record)
	fmt.Println(record.NumRows(), back.Schema(), err)
	// Output: 3 symbol string not null, price decimal(9,2) <nil>
}

// Concat joins batches of one schema.
func ExampleConcat() {
	b := prices()
	joined, bad := batch.Concat([]*batch.Batch{b.Slice(2, 3), b})
	fmt.Println(joined.Len(), joined.Column(1).Value(0), bad)
	// Output: 4 190.25 []
}
