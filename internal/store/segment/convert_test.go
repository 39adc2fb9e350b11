package segment

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/tapeline/tapeline/batch"
)

// TestBatch turns blocks into batches and back, appended to what is there.
func TestBatch(t *testing.T) {
	t.Parallel()
	schema := allTypes(t)
	for _, rows := range []int{0, 1, 13, 200} {
		want := randomBlock(schema, rand.New(rand.NewPCG(6, uint64(rows))), rows, 30)
		// Decimals of 18 digits hold less than 64 bits do.
		for i, c := range schema.columns {
			if c.Type.Kind == batch.Decimal && schema.kinds[i] == kindInt64 {
				for row := range want.Vectors[i].Int64s {
					want.Vectors[i].Int64s[row] /= 100
				}
			}
		}
		got := NewBlock(schema)
		for range 2 {
			if err := got.AppendBatch(want.Batch()); err != nil {
				t.Fatal(err)
			}
		}
		compareBlocks(t, got, doubled(want), rangeOf(0, 2*rows))
	}
}

func doubled(b *Block) *Block {
	out := NewBlock(b.Schema())
	out.AppendRange(b, 0, b.Len())
	out.AppendRange(b, 0, b.Len())
	return out
}

func TestBatchRefused(t *testing.T) {
	t.Parallel()
	price := batch.DecimalOf(18, 4)
	schema, err := NewSchema("d", 1, 1, Column{Name: "id", Type: batch.Of(batch.Int32)},
		Column{Name: "price", Type: price}, Column{Name: "note", Type: batch.Of(batch.String), Nullable: true})
	if err != nil {
		t.Fatal(err)
	}
	id := batch.FixedColumn(batch.Of(batch.Int32), []int32{1}, nil)
	decimal := func(text string, valid batch.Bitmap) *batch.Column {
		d, err := decimal128.FromString(text, 38, 0)
		if err != nil {
			t.Fatal(err)
		}
		return batch.FixedColumn(price, []decimal128.Num{d}, valid)
	}
	for _, c := range []struct {
		name   string
		second *batch.Column
		want   string
	}{
		{"price", decimal("999999999999999999", nil), ""},
		{"price", decimal("1000000000000000000", nil), "has more than 18 digits"},
		{"price", decimal("1", batch.NewBitmap(1)), "1 NULLs but is required"},
		{"price", id, "the batch has int32 for decimal(18,4)"},
		{"cost", id, `lacks the required column "price"`},
	} {
		in := batch.New(batch.NewSchema(
			batch.Field{Name: c.name, Type: c.second.Type(), Nullable: true},
			batch.Field{Name: "id", Type: id.Type()},
		), []*batch.Column{c.second, id}, 1)
		b := NewBlock(schema)
		err := b.AppendBatch(in)
		if c.want == "" && (err != nil || b.Len() != 1 || !b.Vectors[2].Null(0)) ||
			c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}
