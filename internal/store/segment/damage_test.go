package segment

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/tapeline/tapeline/batch"
)

// readAll opens bytes and reads every row in the ways there are.
func readAll(data []byte) (*Block, error) {
	r, err := Open("seg-7", bytes.NewReader(data), int64(len(data)), nil)
	if err != nil {
		return nil, err
	}
	out := NewBlock(r.Schema())
	if err := r.Read(out, nil, Range{0, r.Info().Rows}); err != nil {
		return nil, err
	}
	other := NewBlock(r.Schema())
	if _, err := r.Find(r.Info().First, r.Info().Last); err != nil {
		return nil, err
	}
	for k := range r.schema.columns {
		if r.leaves[k].bounded() {
			if err := r.Select(other, nil, k, -1000, 1000); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

func damageSample(t testing.TB, rows int, c Compression) (*Block, []byte) {
	t.Helper()
	b := randomBlock(allTypes(t), rand.New(rand.NewPCG(3, 3)), rows, 20)
	data, _, err := Encode(nil, b, anyOptions(c))
	if err != nil {
		t.Fatal(err)
	}
	return b, data
}

// TestFlippedBits flips each bit: reading gives an error or the same rows, Verify an error.
func TestFlippedBits(t *testing.T) {
	t.Parallel()
	want, data := damageSample(t, 12, Zstd)
	for at := range data {
		bit := byte(1) << (at % 8)
		data[at] ^= bit
		got, err := readAll(data)
		switch {
		case err == nil:
			compareBlocks(t, got, want, rangeOf(0, want.Len()))
		case !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "segment seg-7: ") ||
			!strings.Contains(err.Error(), "restore it"):
			t.Fatalf("byte %d: %v", at, err)
		}
		r, err := Open("seg-7", bytes.NewReader(data), int64(len(data)), nil)
		if err == nil {
			err = r.Verify()
		}
		if !errors.Is(err, ErrCorrupt) {
			t.Fatalf("byte %d of %d: verified (%v)", at, len(data), err)
		}
		data[at] ^= bit
	}
}

func TestTruncated(t *testing.T) {
	t.Parallel()
	_, data := damageSample(t, 60, Snappy)
	for n := range data {
		if _, err := readAll(data[:n]); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("%d bytes of %d: %v", n, len(data), err)
		}
	}
}

// shortReader fails reads behind a byte.
type shortReader struct {
	data []byte
	end  int64
}

func (s shortReader) ReadAt(p []byte, at int64) (int, error) {
	if at+int64(len(p)) > s.end {
		return 0, errors.New("input/output error")
	}
	return bytes.NewReader(s.data).ReadAt(p, at)
}

func TestFailingReads(t *testing.T) {
	t.Parallel()
	_, data := damageSample(t, 60, Snappy)
	r := opened(t, data)
	r.file = shortReader{data, 100}
	err := r.Read(NewBlock(r.schema), nil, Range{0, 1})
	if err == nil || !strings.Contains(err.Error(), "input/output error") {
		t.Fatal(err)
	}
}

func TestOtherSchema(t *testing.T) {
	t.Parallel()
	_, data := damageSample(t, 5, Snappy)
	columns := append([]Column(nil), allTypes(t).Columns()...)
	columns[4].Type = batch.Of(batch.Int64)
	for _, c := range []struct {
		dataset string
		version int
		key     int
		columns []Column
		want    string
	}{
		{"all", 3, 3, columns, `column 4 is "bool true" bool (nullable true, symbol ""), not "bool true" int64`},
		{"all", 4, 3, columns, "it is of all version 3, not all version 4"},
		{"bars", 3, 3, columns, "it is of all version 3, not bars version 3"},
		{"all", 3, 2, allTypes(t).Columns(), "a key of 3, not 23 and 2"},
		{"all", 3, 3, append(allTypes(t).Columns(), Column{Name: "x", Type: columns[4].Type}), `"x" is missing`},
	} {
		other, err := NewSchema(c.dataset, c.version, c.key, c.columns...)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Open("seg-7", bytes.NewReader(data), int64(len(data)), other)
		if !errors.Is(err, ErrSchema) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	schema := allTypes(t)
	b := randomBlock(schema, rand.New(rand.NewPCG(4, 4)), 10, 0)
	b.Vectors[0].Int32s[9] = -1
	if _, _, err := Encode(nil, b, anyOptions(Snappy)); err == nil ||
		!strings.Contains(err.Error(), "sort the rows by key") {
		t.Error(err)
	}
	if _, _, err := Encode(nil, NewBlock(schema), Options{}); err == nil {
		t.Error("symbols without a function")
	}
	fails := func(int32) (string, error) { return "", errors.New("id 5 has no symbol") }
	if _, _, err := Encode(nil, randomBlock(schema, rand.New(rand.NewPCG(4, 4)), 10, 0),
		Options{Symbol: fails}); err == nil || !strings.Contains(err.Error(), `column "symbol": id 5`) {
		t.Error(err)
	}
	w, err := NewWriter(io.Discard, schema, anyOptions(Snappy))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.Write(NewBlock(schema)); !errors.Is(err, errEnded) {
		t.Error(err)
	}
	b.Vectors[3].Valid = batch.NewBitmap(10)
	if err := b.SetLen(10); err == nil || !strings.Contains(err.Error(), "10 NULLs but is required") {
		t.Error(err)
	}
	if err := b.SetLen(11); err == nil || !strings.Contains(err.Error(), "10 rows of 11") {
		t.Error(err)
	}
}

func TestBadSchemas(t *testing.T) {
	t.Parallel()
	text, id := batch.Of(batch.String), batch.Of(batch.Int32)
	for i, columns := range [][]Column{
		{},
		{{Name: "a", Type: text, Nullable: true}},
		{{Name: "a", Type: batch.Of(batch.Float64)}},
		{{Name: "a", Type: batch.ListOf(text)}},
		{{Name: "a", Type: batch.TimestampOf(batch.Second, "UTC")}},
		{{Name: "a", Type: batch.TimestampOf(batch.Microsecond, "Asia/Shanghai")}},
		{{Name: "a", Type: id}, {Name: "a", Type: id}},
		{{Name: "a", Type: id, Symbol: "a"}},
		{{Name: "a", Type: text, Symbol: "b"}},
		{{Name: "", Type: id}},
	} {
		if _, err := NewSchema("d", 1, 1, columns...); err == nil {
			t.Errorf("schema %d was taken", i)
		}
	}
}

// mend makes the checksums of a segment's pages right again, so that decoders see damaged bytes.
func mend(data []byte) {
	r, err := Open("x", bytes.NewReader(data), int64(len(data)), nil)
	if err != nil {
		return
	}
	for group := range r.groups {
		index, err := r.pageIndexOf(group)
		if err != nil {
			return
		}
		for k, offsets := range index.offsets {
			c := r.groups[group].chunks[k]
			if c.data > c.from {
				mendPage(data[c.from:c.data], true)
			}
			for i := range len(offsets) - 1 {
				mendPage(data[offsets[i]:offsets[i+1]], false)
			}
		}
	}
}

func mendPage(data []byte, dictionary bool) {
	for range 2 { // a checksum may change the header's length: then it stays wrong
		h, _, err := readPage(data, dictionary)
		if err == nil || h.size <= 0 || h.size > len(data) {
			return
		}
		body := data[len(data)-h.size:]
		h.crc = crc32.ChecksumIEEE(body)
		header := appendHeader(nil, &h)
		if len(header)+len(body) == len(data) {
			copy(data, header)
		}
	}
}

// FuzzRead reads damaged segments, whose page checksums were made right again: no panic, no endless
// loop, no unbounded memory.
func FuzzRead(f *testing.F) {
	for _, rows := range []int{0, 1, 60} {
		for _, c := range []Compression{Snappy, Zstd} {
			_, data := damageSample(f, rows, c)
			f.Add(data)
		}
	}
	f.Fuzz(func(_ *testing.T, data []byte) {
		mend(data)
		_, _ = readAll(data)
	})
}

// TestMendedDamage drives the decoders with damaged pages whose checksums are right.
func TestMendedDamage(t *testing.T) {
	t.Parallel()
	_, sound := damageSample(t, 300, Snappy)
	r := opened(t, sound)
	content := int(r.index)
	random := rand.New(rand.NewPCG(8, 8))
	refused := 0
	for range 800 {
		data := bytes.Clone(sound)
		for range 1 + random.IntN(3) {
			data[random.IntN(content)] ^= byte(1 + random.IntN(255))
		}
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

// TestCrafted gives page decoders what no writer writes.
func TestCrafted(t *testing.T) {
	t.Parallel()
	for i, data := range [][]byte{
		{}, {33}, {1}, {1, 0}, {8, 2}, {8, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f, 1}, {3, 3}, {1, 9, 1},
	} {
		if got, err := readCodes(nil, data, 5, 3); err == nil {
			t.Errorf("codes %d: %v", i, got)
		}
	}
	for i, data := range [][]byte{{}, {0}, {8}, {10, 2}, {3}, {22, 1}, {10, 1, 1}, {0x80}} {
		if got, err := readLevels(nil, 0, data, 5); err == nil {
			t.Errorf("levels %d: %v", i, got)
		}
	}
	for i, data := range [][]byte{{}, {1}, {0x80, 1, 4}, {0x80, 1, 4, 6}, {0x80, 2, 4, 5}} {
		if err := checkDelta(data, 5); err == nil {
			t.Errorf("delta %d", i)
		}
	}
	if err := guard(func() error { panic(fmt.Sprint("no ", "bytes")) }); err == nil {
		t.Error("a panic went through")
	}
}
