package segment

import (
	"compress/gzip"
	"encoding/csv"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/testenv"
)

// realBars is the daily bars of A shares as a provider served them, by instrument and date.
func realBars(t testing.TB, symbol string) (*Block, []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(testenv.Data(t, "ashare_baostock_daily"), "*.csv.gz"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	slices.Sort(files)
	b, names := NewBlock(barSchema(t, symbol)), []string(nil)
	rows := 0
	for id, file := range files {
		records := readCSV(t, file)
		header := records[0]
		records = records[1:]
		date := slices.Index(header, "date")
		slices.SortFunc(records, func(x, y []string) int { return strings.Compare(x[date], y[date]) })
		names = append(names, strings.TrimSuffix(filepath.Base(file), ".csv.gz"))
		for _, record := range records {
			appendReal(t, b, rows, id, func(name string) string {
				return record[slices.Index(header, name)]
			})
			rows++
		}
	}
	if err := b.SetLen(rows); err != nil {
		t.Fatal(err)
	}
	return b, names
}

func readCSV(t testing.TB, path string) [][]string {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	records, err := csv.NewReader(unpacked).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return records
}

func appendReal(t testing.TB, b *Block, row, id int, cell func(string) string) {
	t.Helper()
	v := b.Vectors
	day, err := market.ParseDate(cell("date"))
	if err != nil {
		t.Fatal(err)
	}
	v[barID].Int32s = append(v[barID].Int32s, int32(id))
	v[barDate].Int32s = append(v[barDate].Int32s, int32(day))
	for k := barOpen; k <= barTurn; k++ {
		c := b.schema.columns[k]
		var value int64
		text := cell(c.Name)
		if text != "" {
			scale := int32(c.Type.Scale)
			d, ok := batch.ParseDecimal([]byte(text), 18, scale)
			if !ok {
				t.Fatalf("%s %q", c.Name, text)
			}
			value = int64(d.LowBits())
		}
		v[k].Int64s = append(v[k].Int64s, value)
		if c.Nullable {
			v[k].Valid = appendBit(v[k].Valid, row, text != "")
		}
	}
	v[barStatus].Bits = appendBit(v[barStatus].Bits, row, cell("tradestatus") == "1")
	v[barST].Bits = appendBit(v[barST].Bits, row, cell("isST") == "1")
	v[barFinal].Bits = appendBit(v[barFinal].Bits, row, true)
	v[barSource].Int32s = append(v[barSource].Int32s, 1)
	v[barSeq].Int64s = append(v[barSeq].Int64s, 1)
}

func TestRealBars(t *testing.T) {
	t.Parallel()
	block, names := realBars(t, "symbol")
	symbol := func(id int32) (string, error) { return names[id], nil }
	for _, c := range []Compression{Snappy, Zstd} {
		data, _, err := Encode(nil, block, Options{Compression: c, Symbol: symbol})
		if err != nil {
			t.Fatal(err)
		}
		r := opened(t, data)
		if err := r.Verify(); err != nil {
			t.Fatal(err)
		}
		t.Logf("%d rows, %.2f bytes a row", block.Len(), float64(len(data))/float64(block.Len()))
		for k, l := range r.leaves {
			var size int64
			for g := range r.groups {
				size += r.groups[g].chunks[k].to - r.groups[g].chunks[k].from
			}
			t.Logf("%s %.2f", l.name, float64(size)/float64(block.Len()))
		}
	}
}
