package segment

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/parquet-go/parquet-go/format"

	"github.com/tapeline/tapeline/batch"
)

// codedSchema has a column for each way integers are stored.
func codedSchema(t testing.TB) *Schema {
	t.Helper()
	whole, small, flag := batch.Of(batch.Int64), batch.Of(batch.Int32), batch.Of(batch.Bool)
	s, err := NewSchema("coded", 1, 2,
		Column{Name: "id", Type: small, Symbol: "symbol"}, Column{Name: "date", Type: batch.Of(batch.Date)},
		Column{Name: "price", Type: batch.DecimalOf(18, 4)},
		Column{Name: "gaps", Type: batch.DecimalOf(18, 4), Nullable: true},
		Column{Name: "few", Type: small, Nullable: true},
		Column{Name: "same", Type: small}, Column{Name: "long", Type: whole, Nullable: true},
		Column{Name: "none", Type: whole, Nullable: true}, Column{Name: "void", Type: flag, Nullable: true},
		Column{Name: "yes", Type: flag}, Column{Name: "no", Type: flag, Nullable: true},
		Column{Name: "wide", Type: whole}, Column{Name: "coarse", Type: whole},
		Column{Name: "late", Type: whole, Nullable: true},
	)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// codedBlock has rows of instruments over 240 dates.
func codedBlock(t testing.TB, rows int) *Block {
	t.Helper()
	s := codedSchema(t)
	b, r := NewBlock(s), rand.New(rand.NewPCG(6, 6))
	at := func(name string) *Vector { return &b.Vectors[s.Index(name)] }
	bit := func(v *Vector, row int, valid bool) { v.Valid = appendBit(v.Valid, row, valid) }
	for row := range rows {
		at("id").Int32s = append(at("id").Int32s, int32(row/240))
		at("date").Int32s = append(at("date").Int32s, int32(19000+row%240))
		price := 100 * int64(r.IntN(3000)-100)
		at("price").Int64s = append(at("price").Int64s, price)
		at("gaps").Int64s = append(at("gaps").Int64s, price+int64(r.IntN(2))*50)
		bit(at("gaps"), row, r.IntN(100) > 0)
		at("few").Int32s = append(at("few").Int32s, []int32{-5000, 995}[r.IntN(2)])
		bit(at("few"), row, row%3 != 0)
		at("same").Int32s = append(at("same").Int32s, -7)
		at("long").Int64s = append(at("long").Int64s, math.MinInt64)
		at("none").Int64s = append(at("none").Int64s, 5)
		bit(at("none"), row, false)
		at("void").Bits = appendBit(at("void").Bits, row, true)
		bit(at("void"), row, false)
		at("yes").Bits = appendBit(at("yes").Bits, row, true)
		at("no").Bits = appendBit(at("no").Bits, row, false)
		at("wide").Int64s = append(at("wide").Int64s, int64(r.Uint64()))
		at("coarse").Int64s = append(at("coarse").Int64s, int64(r.IntN(9))<<40)
		at("late").Int64s = append(at("late").Int64s, 1)
		bit(at("late"), row, row >= groupRows)
	}
	if err := b.SetLen(rows); err != nil {
		t.Fatal(err)
	}
	return b
}

// TestCodings: whatever way a column is stored, its rows are read as they were written, by us and by
// others.
func TestCodings(t *testing.T) {
	t.Parallel()
	want := codedBlock(t, groupRows+2*PageRows+9)
	schema := want.Schema()
	for c := range Compression(2) {
		data, info, err := Encode(nil, want, anyOptions(c))
		if err != nil {
			t.Fatal(err)
		}
		r := opened(t, data)
		if err := r.Verify(); err != nil {
			t.Fatal(err)
		}
		if low := info.Bounds[schema.Index("price")]; low.Min != -10000 || low.Max != 289900 {
			t.Errorf("prices lie between %d and %d", low.Min, low.Max)
		}
		got, random := NewBlock(schema), rand.New(rand.NewPCG(9, uint64(c)))
		for range 10 {
			from := random.IntN(want.Len())
			to := from + random.IntN(min(PageRows+100, want.Len()-from))
			if err := r.Read(got, nil, Range{int64(from), int64(to)}); err != nil {
				t.Fatal(err)
			}
			compareBlocks(t, got, want, rangeOf(from, to))
		}
		for _, c := range []struct {
			by    string
			least int64
		}{{"date", 19237}, {"price", 287000}, {"late", 1}, {"same", 0}} {
			k := schema.Index(c.by)
			if err := r.Select(got, nil, k, c.least, 1<<40); err != nil {
				t.Fatal(err)
			}
			v, rows := &want.Vectors[k], []int(nil)
			for row := range want.Len() {
				if !v.Null(row) && (len(v.Int32s) > 0 && int64(v.Int32s[row]) >= c.least ||
					len(v.Int64s) > 0 && v.Int64s[row] >= c.least) {
					rows = append(rows, row)
				}
			}
			compareBlocks(t, got, want, rows)
		}
		if c == Zstd && (r.MemoryBytes() == 0 || r.MemoryBytes() > 1<<20) {
			t.Errorf("%d bytes of dictionaries are kept", r.MemoryBytes())
		}
		other := arrowBatch(t, data)
		for i, column := range schema.columns {
			compareColumn(t, column, other.Column(i), want.Column(i), want.Len())
		}
	}
}

// TestCodingChosen: prices are stored by a dictionary, a column of one value as one page.
func TestCodingChosen(t *testing.T) {
	t.Parallel()
	want := codedBlock(t, groupRows)
	data, _, err := Encode(nil, want, anyOptions(Zstd))
	if err != nil {
		t.Fatal(err)
	}
	r := opened(t, data)
	index, err := r.pageIndexOf(0)
	if err != nil {
		t.Fatal(err)
	}
	coded := map[string]bool{"price": true, "gaps": true, "few": true, "same": true, "long": true}
	one := map[string]bool{"same": true, "long": true, "none": true, "yes": true, "no": true, "late": true}
	for k, c := range r.schema.columns {
		if got := r.groups[0].chunks[k].coding == format.RLEDictionary; got != coded[c.Name] && k >= r.schema.key {
			t.Errorf("column %s by a dictionary: %t", c.Name, got)
		}
		if got := len(index.offsets[k]) == 2; got != one[c.Name] {
			t.Errorf("column %s is one page: %t", c.Name, got)
		}
		if got := index.bounds[k] != nil; got != (k < r.schema.key) {
			t.Errorf("pages of column %s have bounds: %t", c.Name, got)
		}
	}
}

// TestDamagedCodings drives the decoders of dictionaries and of equal rows with damaged pages whose
// checksums are right.
func TestDamagedCodings(t *testing.T) {
	t.Parallel()
	_, sound := damageSample(t, 1, Zstd)
	sound, _, err := Encode(sound[:0], codedBlock(t, sampledPages*PageRows+5), anyOptions(Zstd))
	if err != nil {
		t.Fatal(err)
	}
	r, random, refused := opened(t, sound), rand.New(rand.NewPCG(8, 8)), 0
	chunks := r.groups[0].chunks
	for i := range 150 {
		data := bytes.Clone(sound)
		c := chunks[i%len(chunks)]
		at := c.from + int64(random.IntN(int(min(c.to-c.from, 400))))
		data[at] ^= byte(1 + random.IntN(255))
		mend(data)
		if _, err := readAll(data); err != nil {
			refused++
			if !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
		}
	}
	if refused == 0 {
		t.Fatal("nothing was refused")
	}
}
