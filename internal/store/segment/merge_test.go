package segment

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/tapeline/tapeline/batch"
)

// mergeSchemas have keys of every form a merge tells apart, in front of a column of every kind.
func mergeSchemas(t testing.TB) map[string]*Schema {
	t.Helper()
	id, date, seq, text := batch.Of(batch.Int32), batch.Of(batch.Date), batch.Of(batch.Int64), batch.Of(batch.String)
	out := map[string]*Schema{}
	for name, keys := range map[string][]batch.Type{
		"int32": {id}, "int32 date": {id, date}, "int32 int64": {id, seq}, "int32 date int64": {id, date, seq},
		"int64": {seq}, "int64 int64": {seq, seq}, "text": {text}, "text date": {text, date},
	} {
		var columns []Column
		for i, typ := range keys {
			columns = append(columns, Column{Name: fmt.Sprintf("key%d", i), Type: typ})
		}
		for _, typ := range []batch.Type{
			batch.Of(batch.Bool), id, seq, batch.Of(batch.Float64), batch.DecimalOf(38, 8), text,
		} {
			columns = append(columns, Column{Name: typ.String(), Type: typ},
				Column{Name: typ.String() + "?", Type: typ, Nullable: true})
		}
		s, err := NewSchema(name, 1, len(keys), columns...)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = s
	}
	return out
}

// randomKeys has rows with few distinct keys, in any order.
func randomKeys(s *Schema, r *rand.Rand, rows int) *Block {
	b := NewBlock(s)
	for i := range b.Vectors {
		v := &b.Vectors[i]
		fill(v, s.kinds[i], r, rows)
		if i < s.key {
			*v = Vector{}
			for range rows {
				value := int64(r.IntN(9)) - 4
				switch s.kinds[i] {
				case kindInt32:
					v.Int32s = append(v.Int32s, int32(value))
				case kindInt64:
					v.Int64s = append(v.Int64s, value)
				default:
					v.appendString(strconv.FormatInt(value, 10))
				}
			}
		}
		if s.columns[i].Nullable && r.IntN(3) > 0 {
			for row := range rows {
				v.Valid = appendBit(v.Valid, row, r.IntN(4) > 0)
			}
		}
	}
	if err := b.SetLen(rows); err != nil {
		panic(err)
	}
	return b
}

// place is a row of one of several inputs.
type place struct{ input, row int }

// naive returns what Merge must: the rows of all inputs by key, of equal keys the last.
func naive(inputs []*Block) []place {
	var all []place
	for i, b := range inputs {
		for row := range b.rows {
			all = append(all, place{i, row})
		}
	}
	compare := func(x, y place) int { return CompareKeys(inputs[x.input], x.row, inputs[y.input], y.row) }
	slices.SortStableFunc(all, compare)
	var out []place
	for i, p := range all {
		if i+1 == len(all) || compare(p, all[i+1]) != 0 {
			out = append(out, p)
		}
	}
	return out
}

func compareMerged(t *testing.T, runs []Run, inputs []*Block) {
	t.Helper()
	want := naive(inputs)
	if got := RunsLen(runs); got != len(want) {
		t.Fatalf("got %d rows, want %d", got, len(want))
	}
	got := NewBlock(inputs[0].schema)
	got.AppendRange(inputs[0], 0, min(3, inputs[0].rows)) // so that bits do not begin at a byte
	before := got.rows
	got.AppendRuns(runs)
	if err := got.SetLen(got.rows); err != nil {
		t.Fatal(err)
	}
	for i, p := range want {
		if g, w := rowText(got, before+i), rowText(inputs[p.input], p.row); g != w {
			t.Fatalf("row %d:\n got %s\nwant %s", i, g, w)
		}
	}
}

// TestMerge compares merged inputs, and sorted rows, with a stable sort of all rows.
func TestMerge(t *testing.T) {
	t.Parallel()
	for name, schema := range mergeSchemas(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(5, uint64(len(name))))
			for range 150 {
				var inputs []*Block
				var runs [][]Run
				for range 1 + r.IntN(5) {
					unsorted := randomKeys(schema, r, r.IntN(60))
					rows := unsorted.Sort()
					compareMerged(t, rows, []*Block{unsorted})
					b := NewBlock(schema)
					b.AppendRuns(rows)
					if !b.Sorted() {
						t.Fatal("sorted rows do not ascend")
					}
					inputs = append(inputs, b)
					head, rest := SplitRuns([]Run{b.Whole()}, r.IntN(b.rows+2))
					if cut := RunsLen(head); cut+RunsLen(rest) != b.rows {
						t.Fatalf("%d and %d rows of %d", cut, RunsLen(rest), b.rows)
					}
					runs = append(runs, append(head, rest...))
				}
				compareMerged(t, Merge(nil, runs), inputs)
			}
		})
	}
}

// TestMergeLongRuns has inputs whose keys overlap little, so that runs are long.
func TestMergeLongRuns(t *testing.T) {
	t.Parallel()
	schema := mergeSchemas(t)["int32 date"]
	r := rand.New(rand.NewPCG(6, 6))
	for range 50 {
		var inputs []*Block
		var runs [][]Run
		for range 1 + r.IntN(4) {
			b := randomKeys(schema, r, 300)
			from := int32(r.IntN(500))
			for row := range b.rows {
				b.Vectors[0].Int32s[row], b.Vectors[1].Int32s[row] = from+int32(row/7), int32(row%7)
			}
			inputs, runs = append(inputs, b), append(runs, []Run{b.Whole()})
		}
		compareMerged(t, Merge(nil, runs), inputs)
	}
}

// TestGather takes a column of runs with and without copying.
func TestGather(t *testing.T) {
	t.Parallel()
	b := randomKeys(mergeSchemas(t)["text date"], rand.New(rand.NewPCG(7, 7)), 40)
	var into Vector
	for i, k := range b.schema.kinds {
		if got := Gather(&into, i, []Run{b.Whole()}); got != &b.Vectors[i] {
			t.Errorf("column %d was copied", i)
		}
		got := Gather(&into, i, []Run{{b, 30, 37}, {b, 3, 20}})
		if err := got.check(b.schema.columns[i], k, 24); err != nil {
			t.Fatal(err)
		}
		for row := range 24 {
			from := row + 30
			if row >= 7 {
				from = row - 7 + 3
			}
			if got.Null(row) != b.Vectors[i].Null(from) || !got.Null(row) && !equalAt(k, got, row, &b.Vectors[i], from) {
				t.Fatalf("column %d: row %d is not row %d", i, row, from)
			}
		}
		if got := Gather(&into, i, nil); got.check(b.schema.columns[i], k, 0) != nil {
			t.Errorf("column %d of no runs: %v", i, got)
		}
	}
}

// TestCopyBits compares with single bits at every distance from a byte's begin.
func TestCopyBits(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(8, 8))
	source := batch.NewBitmap(200)
	for i := range source {
		source[i] = byte(r.Uint32())
	}
	for at := range 9 {
		for from := range 9 {
			for _, n := range []int{0, 1, 7, 8, 9, 63, 100} {
				var got, want batch.Bitmap
				got = appendSet(got, 0, at)
				want = appendSet(want, 0, at)
				got = appendBits(got, at, source, from, n)
				for i := range n {
					want = appendBit(want, at+i, source.Get(from+i))
				}
				if !slices.Equal(got, want) {
					t.Fatalf("at %d from %d, %d bits: got %x, want %x", at, from, n, got, want)
				}
			}
		}
	}
}

// TestEqualRows compares the cells of two rows, NULLs and floats among them.
func TestEqualRows(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(9, 9))
	b := randomKeys(mergeSchemas(t)["int64 int64"], r, 50)
	for range 2000 {
		i, j, k := r.IntN(50), r.IntN(50), r.IntN(len(b.Vectors))
		cells := func(row int) string {
			one := NewBlock(b.schema)
			one.AppendRange(b, row, row+1)
			one.has = make([]bool, len(b.Vectors))
			one.has[k] = true
			return rowText(one, 0)
		}
		if got, want := b.Equal(k, i, b, j), cells(i) == cells(j); got != want {
			t.Fatalf("column %d, rows %d %d: equal %t", k, i, j, got)
		}
	}
	if c := cmp.Compare(prefixOf(b, 0), prefixOf(b, 1)); c != 0 && c != cmp.Compare(b.Vectors[0].Int64s[0], b.Vectors[0].Int64s[1]) {
		t.Error("the prefix of a key orders otherwise than the key")
	}
}

// TestAppendedRanges reads a segment in pieces into one block, and rows of a range by a column.
func TestAppendedRanges(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(10, 10))
	all := randomBlock(allTypes(t), r, 3*PageRows+100, 20)
	data, _, err := Encode(nil, all, anyOptions(Zstd))
	if err != nil {
		t.Fatal(err)
	}
	s := opened(t, data)
	got, want := NewBlock(s.Schema()), []int(nil)
	for range 5 {
		from := r.IntN(all.rows)
		to := from + r.IntN(all.rows-from)
		if err := s.Append(got, Range{int64(from), int64(to)}); err != nil {
			t.Fatal(err)
		}
		want = append(want, rangeOf(from, to)...)
		least, most := int64(r.IntN(40)), int64(r.IntN(40))
		if err := s.AppendSelected(got, Range{int64(from), int64(to)}, 0, least, most); err != nil {
			t.Fatal(err)
		}
		for row := from; row < to; row++ {
			if id := int64(all.Vectors[0].Int32s[row]); id >= least && id <= most {
				want = append(want, row)
			}
		}
	}
	compareBlocks(t, got, all, want)
	rows := 0
	err = s.PageEnds(func(greatest int64, n int) {
		rows += n
		if last := int64(all.Vectors[0].Int32s[rows-1]); greatest != last {
			t.Errorf("page up to row %d ends with %d, not %d", rows, greatest, last)
		}
	})
	if err != nil || rows != all.rows {
		t.Errorf("pages of %d rows, want %d (%v)", rows, all.rows, err)
	}
}
