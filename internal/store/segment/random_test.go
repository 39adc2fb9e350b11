package segment

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"strconv"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/tapeline/tapeline/batch"
)

// allTypes has a column of every type, required and nullable, behind a key of every kind.
func allTypes(t testing.TB) *Schema {
	t.Helper()
	columns := []Column{
		{Name: "id", Type: batch.Of(batch.Int32), Symbol: "symbol"},
		{Name: "kind", Type: batch.Of(batch.String)},
		{Name: "ts", Type: batch.TimestampOf(batch.Microsecond, "UTC")},
	}
	for _, typ := range []batch.Type{
		batch.Of(batch.Bool), batch.Of(batch.Int32), batch.Of(batch.Int64), batch.Of(batch.Float64),
		batch.Of(batch.Date), batch.Of(batch.String), batch.DecimalOf(18, 4), batch.DecimalOf(38, 8),
		batch.TimestampOf(batch.Nanosecond, ""), batch.TimestampOf(batch.Millisecond, "UTC"),
	} {
		for _, nullable := range []bool{false, true} {
			columns = append(columns, Column{
				Name: fmt.Sprintf("%s %t", typ, nullable), Type: typ, Nullable: nullable,
			})
		}
	}
	s, err := NewSchema("all", 3, 3, columns...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// extreme returns a value that is at its type's limits in one of four cases.
func extreme(r *rand.Rand) int64 {
	limits := [...]int64{math.MinInt64, math.MaxInt64, 0, -1}
	if r.IntN(4) == 0 {
		return limits[r.IntN(len(limits))]
	}
	return int64(r.Uint64()) >> r.IntN(64)
}

// randomBlock has rows of random and extreme values, sorted by key. nulls is how many of a hundred
// rows are NULL.
func randomBlock(schema *Schema, r *rand.Rand, rows, nulls int) *Block {
	b := NewBlock(schema)
	for i := range b.Vectors {
		fill(&b.Vectors[i], schema.kinds[i], r, rows)
		if schema.columns[i].Nullable {
			for row := range rows {
				b.Vectors[i].Valid = appendBit(b.Vectors[i].Valid, row, r.IntN(100) >= nulls)
			}
		}
	}
	kinds := []string{"cash", "", "split", "增发"}
	b.Vectors[1].reset()
	for row := range rows {
		b.Vectors[0].Int32s[row] = int32(r.IntN(40))
		b.Vectors[1].appendString(kinds[r.IntN(len(kinds))])
	}
	if err := b.SetLen(rows); err != nil {
		panic(err)
	}
	return sorted(b)
}

func fill(v *Vector, k kind, r *rand.Rand, rows int) {
	for row := range rows {
		switch k {
		case kindBool:
			v.Bits = appendBit(v.Bits, row, r.IntN(3) == 0)
		case kindInt32:
			v.Int32s = append(v.Int32s, int32(extreme(r)))
		case kindInt64:
			v.Int64s = append(v.Int64s, extreme(r))
		case kindFloat:
			v.Floats = append(v.Floats, math.Float64frombits(r.Uint64()))
		case kindWide:
			v.Wide = append(v.Wide, decimal128.New(extreme(r), r.Uint64()))
		case kindText:
			v.appendString(strconv.FormatUint(r.Uint64()>>r.IntN(64), 16))
		}
	}
}

func (v *Vector) appendString(text string) {
	if len(v.Offsets) == 0 {
		v.Offsets = append(v.Offsets, 0)
	}
	v.Bytes = append(v.Bytes, text...)
	v.Offsets = append(v.Offsets, int32(len(v.Bytes)))
}

// sorted returns the rows in the order of the key.
func sorted(b *Block) *Block {
	order := make([]int, b.rows)
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(i, j int) bool { return CompareKeys(b, order[i], b, order[j]) < 0 })
	out := NewBlock(b.schema)
	for _, row := range order {
		out.AppendRange(b, row, row+1)
	}
	return out
}

// rowText is a row as text, NULLs told apart from zeros.
func rowText(b *Block, row int) string {
	out := new(bytes.Buffer)
	for i := range b.Vectors {
		v := &b.Vectors[i]
		switch {
		case !b.Has(i):
			continue
		case v.Null(row):
			out.WriteString("null")
		case b.schema.kinds[i] == kindBool:
			fmt.Fprint(out, v.Bits.Get(row))
		case b.schema.kinds[i] == kindInt32:
			fmt.Fprint(out, v.Int32s[row])
		case b.schema.kinds[i] == kindInt64:
			fmt.Fprint(out, v.Int64s[row])
		case b.schema.kinds[i] == kindFloat:
			fmt.Fprintf(out, "%x", math.Float64bits(v.Floats[row]))
		case b.schema.kinds[i] == kindWide:
			fmt.Fprint(out, v.Wide[row])
		default:
			fmt.Fprintf(out, "%q", v.Text(row))
		}
		out.WriteByte('|')
	}
	return out.String()
}

// compareBlocks wants got to be the given rows of want.
func compareBlocks(t *testing.T, got, want *Block, rows []int) {
	t.Helper()
	if got.Len() != len(rows) {
		t.Fatalf("got %d rows, want %d", got.Len(), len(rows))
	}
	if want.Len() > 0 {
		for i := range got.Vectors {
			if got.Has(i) {
				if err := got.Vectors[i].check(got.schema.columns[i], got.schema.kinds[i], len(rows)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	shadow := *want
	shadow.has = got.has
	for i, row := range rows {
		if g, w := rowText(got, i), rowText(&shadow, row); g != w {
			t.Fatalf("row %d:\n got %s\nwant %s", row, g, w)
		}
	}
}

func rangeOf(from, to int) (rows []int) {
	for row := from; row < to; row++ {
		rows = append(rows, row)
	}
	return rows
}

// options of random blocks, whose ids have any sign.
// groupRows is that of the row groups of tests.
const groupRows = 8 * PageRows

func anyOptions(c Compression) Options {
	return Options{
		Compression: c, groupRows: groupRows,
		Symbol: func(id int32) (string, error) { return fmt.Sprintf("S%d", id), nil },
	}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	schema := allTypes(t)
	sizes := []int{
		0, 1, 2, 7, 8, 9, 100, 128, 129, PageRows - 1, PageRows, PageRows + 1, 2*PageRows + 5,
		groupRows, groupRows + 1,
	}
	for i, rows := range sizes {
		for _, nulls := range []int{0, 1, 50, 100} {
			if rows > 3*PageRows && nulls != 1 {
				continue
			}
			r := rand.New(rand.NewPCG(uint64(i), uint64(nulls)))
			want := randomBlock(schema, r, rows, nulls)
			data, info, err := Encode(nil, want, anyOptions(Compression(i%2)))
			if err != nil {
				t.Fatal(err)
			}
			s := opened(t, data)
			if info.SizeBytes != int64(len(data)) || info.Rows != int64(rows) ||
				s.Info().Rows != info.Rows || !slices.Equal(s.Info().Bounds, info.Bounds) ||
				!slices.Equal(s.Info().First, info.First) || !slices.Equal(s.Info().Last, info.Last) {
				t.Fatalf("%d rows: wrote %+v, read %+v", rows, info, s.Info())
			}
			if err := s.Verify(); err != nil {
				t.Fatal(err)
			}
			got := NewBlock(schema)
			for range 4 {
				from := r.IntN(rows + 1)
				to := from + r.IntN(rows-from+1)
				if to-from > 3*PageRows {
					to = from + 3*PageRows
				}
				if err := s.Read(got, nil, Range{int64(from), int64(to)}); err != nil {
					t.Fatal(err)
				}
				compareBlocks(t, got, want, rangeOf(from, to))
			}
			if err := s.Read(got, nil, Range{0, int64(rows)}); err != nil {
				t.Fatal(err)
			}
			compareBlocks(t, got, want, rangeOf(0, rows))
		}
	}
}

// TestPieces writes a segment in pieces of any size; its bytes must be those of one piece.
func TestPieces(t *testing.T) {
	t.Parallel()
	schema := allTypes(t)
	r := rand.New(rand.NewPCG(5, 5))
	whole := randomBlock(schema, r, groupRows+3*PageRows+77, 20)
	want, wantInfo, err := Encode(nil, whole, anyOptions(Zstd))
	if err != nil {
		t.Fatal(err)
	}
	for _, most := range []int{100, 5000, groupRows, 2 * groupRows} {
		var out bytes.Buffer
		w, err := NewWriter(&out, schema, anyOptions(Zstd))
		if err != nil {
			t.Fatal(err)
		}
		piece := NewBlock(schema)
		for at := 0; at < whole.Len(); {
			n := min(1+r.IntN(most), whole.Len()-at)
			piece.Reset(schema, nil)
			piece.AppendRange(whole, at, at+n)
			if err := w.Write(piece); err != nil {
				t.Fatal(err)
			}
			at += n
		}
		info, err := w.Close()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(out.Bytes(), want) || info.CRC != wantInfo.CRC {
			t.Fatalf("pieces of up to %d rows: %d bytes differ from %d", most, out.Len(), len(want))
		}
	}
}

// TestFind drives Find and Select beside walks over all rows.
func TestFind(t *testing.T) {
	t.Parallel()
	schema := allTypes(t)
	for _, rows := range []int{0, 1, 500, 3*PageRows + 9, groupRows + 2*PageRows} {
		r := rand.New(rand.NewPCG(9, uint64(rows)))
		all := randomBlock(schema, r, rows, 10)
		data, _, err := Encode(nil, all, anyOptions(Snappy))
		if err != nil {
			t.Fatal(err)
		}
		s := opened(t, data)
		for range 60 {
			from, to := randomKey(all, r), randomKey(all, r)
			got, err := s.Find(from, to)
			if err != nil {
				t.Fatal(err)
			}
			first := sort.Search(rows, func(row int) bool { return CompareKey(all, row, from) >= 0 })
			last := sort.Search(rows, func(row int) bool { return CompareKey(all, row, to) > 0 })
			if want := (Range{int64(first), int64(max(first, last))}); got != want {
				t.Fatalf("%d rows, %v to %v: got %v, want %v", rows, from, to, got, want)
			}
		}
		selectTwin(t, s, all, r)
	}
}

// randomKey is that of a row, or beside it, of up to three values.
func randomKey(b *Block, r *rand.Rand) Key {
	if b.Len() == 0 || r.IntN(10) == 0 {
		return Key{{Int: int64(r.IntN(50)) - 5}}[:r.IntN(2)]
	}
	key := b.key(r.IntN(b.Len()))
	switch r.IntN(4) {
	case 0:
		key[0].Int++
	case 1:
		key[1].Text += "x"
	case 2:
		key[2].Int ^= 1
	}
	return key[:r.IntN(len(key)+1)]
}

func selectTwin(t *testing.T, s *Reader, all *Block, r *rand.Rand) {
	t.Helper()
	got := NewBlock(all.Schema())
	for by := range all.Vectors {
		if !s.leaves[by].bounded() {
			if err := s.Select(got, nil, by, 0, 0); err == nil {
				t.Fatalf("selected by %s", s.leaves[by].name)
			}
			continue
		}
		for range 2 {
			least := extreme(r)
			most := max(least, extreme(r))
			if by == 0 {
				least = int64(r.IntN(40))
				most = least
			}
			var rows []int
			for row := range all.Len() {
				value := int64(0)
				if v := &all.Vectors[by]; s.leaves[by].kind == kindInt32 {
					value = int64(v.Int32s[row])
				} else {
					value = v.Int64s[row]
				}
				if !all.Vectors[by].Null(row) && value >= least && value <= most {
					rows = append(rows, row)
				}
			}
			var columns []int
			if r.IntN(2) == 0 {
				columns = []int{r.IntN(len(all.Vectors)), 0}
			}
			if err := s.Select(got, columns, by, least, most); err != nil {
				t.Fatal(err)
			}
			compareBlocks(t, got, all, rows)
		}
	}
}
