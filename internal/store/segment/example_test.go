package segment_test

import (
	"bytes"
	"fmt"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/store/segment"
)

func Example() {
	schema, err := segment.NewSchema("close", 1, 2,
		segment.Column{Name: "instrument_id", Type: batch.Of(batch.Int32), Symbol: "symbol"},
		segment.Column{Name: "date", Type: batch.Of(batch.Date)},
		segment.Column{Name: "close", Type: batch.DecimalOf(18, 4), Nullable: true},
	)
	if err != nil {
		panic(err)
	}
	day := market.DateOf(2024, 1, 2)
	block := segment.NewBlock(schema)
	block.Vectors[0].Int32s = []int32{7, 7, 9}
	block.Vectors[1].Int32s = []int32{int32(day), int32(day + 1), int32(day)}
	block.Vectors[2].Int64s = []int64{6_6300, 6_6500, 0}
	block.Vectors[2].Valid = batch.Bitmap{0b011}
	if err := block.SetLen(3); err != nil {
		panic(err)
	}
	symbol := func(id int32) (string, error) { return fmt.Sprintf("60000%d.XSHG", id), nil }
	data, info, err := segment.Encode(nil, block, segment.Options{Symbol: symbol})
	if err != nil {
		panic(err)
	}
	fmt.Println(info.Rows, "rows, first", info.First, "last", info.Last)

	r, err := segment.Open("example", bytes.NewReader(data), int64(len(data)), schema)
	if err != nil {
		panic(err)
	}
	// One instrument from a date on.
	rows, err := r.Find(segment.Key{{Int: 7}, {Int: int64(day + 1)}}, segment.Key{{Int: 7}})
	if err != nil {
		panic(err)
	}
	if err := r.Read(block, []int{1, 2}, rows); err != nil {
		panic(err)
	}
	fmt.Println(string(batch.AppendRow(nil, block.Batch(), 0)))
	// One date over all instruments.
	if err := r.Select(block, nil, 1, int64(day), int64(day)); err != nil {
		panic(err)
	}
	for row := range block.Len() {
		fmt.Println(string(batch.AppendRow(nil, block.Batch(), row)))
	}
	// Output:
	// 3 rows, first 7,19724 last 9,19724
	// {"date":"2024-01-03","close":6.6500}
	// {"instrument_id":7,"date":"2024-01-02","close":6.6300}
	// {"instrument_id":9,"date":"2024-01-02","close":null}
}
