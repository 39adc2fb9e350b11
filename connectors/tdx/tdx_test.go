package tdx

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/connector/conntest"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/vfs"
)

// record is one day as the terminal writes it.
func record(date, open, high, low, last uint32, amount float32, volume uint32) []byte {
	var raw []byte
	for _, v := range []uint32{date, open, high, low, last, math.Float32bits(amount), volume, 65536} {
		raw = binary.LittleEndian.AppendUint32(raw, v)
	}
	return raw
}

func days(first uint32, n int) (raw []byte) {
	for i := range uint32(n) {
		raw = append(raw, record(first+i, 1000+i, 1010+i, 990+i, 1005+i, 1234567.5, 100*i)...)
	}
	return raw
}

// write makes a folder of files.
func write(t testing.TB, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func market2() map[string][]byte {
	broken := slices.Concat(days(20240102, 9), record(20240105, 1, 1, 1, 1, 1, 1), record(20241301, 1, 1, 1, 1, 1, 1),
		record(20240112, 1, 1, 1, 1, float32(math.NaN()), 1), days(20240115, 3), []byte("cut off"))
	return map[string][]byte{
		"sh/lday/sh600000.day": days(20240102, 20), "sz/lday/sz000001.day": broken, "bj/lday/bj430047.day": nil,
		"sh/lday/sh510300.day": days(20240102, 3), "sh/minline/sh600000.lc5": []byte("not a day"),
	}
}

func TestSourceConforms(t *testing.T) {
	dir := write(t, market2())
	conntest.Source(t, conntest.SourceCase{
		Connector: Connector(), Rejected: 4,
		Config: func(testing.TB) any { return &Config{Path: dir} },
	})
}

// read returns rows and refused records as text.
func read(t testing.TB, path string) (rows, refused []string) {
	t.Helper()
	s, err := newSource(connector.Env{FS: vfs.OS{}}, &Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Open(t.Context(), connector.Partition{}, nil); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for {
		chunk, err := s.Read(t.Context())
		if errors.Is(err, io.EOF) {
			return rows, refused
		}
		if err != nil {
			t.Fatal(err)
		}
		dense, _ := chunk.Batch.Dense()
		for row := range dense.Len() {
			var cells []string
			for _, c := range dense.Columns() {
				cells = append(cells, string(batch.AppendText(nil, c, row)))
			}
			place := filepath.Base(dense.Origin().At(row).String())
			rows = append(rows, strings.Join(cells, " ")+" ("+place+")")
		}
		for _, r := range chunk.Rejected {
			refused = append(refused, filepath.Base(r.Place.String())+": "+r.Reason+" ["+r.Record+"]")
		}
	}
}

func TestPricesAndPlaces(t *testing.T) {
	dir := write(t, market2())
	rows, refused := read(t, dir)
	for _, want := range []string{
		"600000.XSHG 2024-01-02 10.0000 10.1000 9.9000 10.0500 0 1234567.5000 (sh600000.day record 1)",
		"510300.XSHG 2024-01-03 1.0010 1.0110 0.9910 1.0060 100 1234567.5000 (sh510300.day record 2)",
		"000001.XSHE 2024-01-15 10.0000 10.1000 9.9000 10.0500 0 1234567.5000 (sz000001.day record 13)",
	} {
		if !slices.Contains(rows, want) {
			t.Errorf("%q is not among\n%s", want, strings.Join(rows, "\n"))
		}
	}
	want := []string{
		"sz000001.day record 10: date: 2024-01-05 does not follow 2024-01-10: copy the file again",
		"sz000001.day record 11: date: 20241301 is no day as 20240102: copy the file again",
		"sz000001.day record 12: amount: it is no amount of money: copy the file again",
		"sz000001.day record 16: the file ends within the record, after 7 of its 32 bytes: copy the file again",
	}
	if len(refused) != len(want) || len(rows) != 35 {
		t.Fatalf("got %d rows and\n%s", len(rows), strings.Join(refused, "\n"))
	}
	for i, w := range want {
		if !strings.HasPrefix(refused[i], w) {
			t.Errorf("got %s, want %s", refused[i], w)
		}
	}
}

// A zip of the same files gives the same rows.
func TestZip(t *testing.T) {
	dir := write(t, market2())
	packed := filepath.Join(t.TempDir(), "hsjday.zip")
	f, err := os.Create(packed)
	if err != nil {
		t.Fatal(err)
	}
	w := zip.NewWriter(f)
	if err := errors.Join(w.AddFS(os.DirFS(dir)), w.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	rows, refused := read(t, dir)
	zipped, more := read(t, packed)
	if !slices.Equal(rows, zipped) || !slices.Equal(refused, more) {
		t.Errorf("got %d rows and %d refused, want %d and %d", len(zipped), len(more), len(rows), len(refused))
	}
	if err := os.Truncate(packed, 300); err != nil {
		t.Fatal(err)
	}
	s, _ := newSource(connector.Env{FS: vfs.OS{}}, &Config{Path: packed})
	if err := s.Open(t.Context(), connector.Partition{}, nil); err == nil || !strings.Contains(err.Error(), "hsjday.zip") {
		t.Errorf("a zip that is cut off: got %v", err)
	}
}

// A member of a zip whose bytes are not those that were packed is refused, not read.
func TestDamagedZip(t *testing.T) {
	packed := filepath.Join(t.TempDir(), "hsjday.zip")
	data := days(20240102, 5)
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	member, err := w.CreateHeader(&zip.FileHeader{Name: "sh600000.day", Method: zip.Store})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := member.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	b.Bytes()[bytes.Index(b.Bytes(), data)+4]++ // a price
	if err := os.WriteFile(packed, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	s, _ := newSource(connector.Env{FS: vfs.OS{}}, &Config{Path: packed})
	if err := s.Open(t.Context(), connector.Partition{}, nil); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Read(t.Context()); !errors.Is(err, zip.ErrChecksum) || !strings.Contains(err.Error(), "hsjday.zip") {
		t.Errorf("got %v, want a wrong checksum of hsjday.zip", err)
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		files map[string][]byte
		want  string
	}{
		{map[string][]byte{"600000.day": nil}, "600000.day: its name says no symbol; want one as sh600000.day"},
		{map[string][]byte{"hk00700.day": nil}, "its name says no symbol"},
		{map[string][]byte{"sh600000.lc5": nil}, "it holds no .day file"},
	} {
		s, err := newSource(connector.Env{FS: vfs.OS{}}, &Config{Path: write(t, c.files)})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Open(t.Context(), connector.Partition{}, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
	if _, err := newSource(connector.Env{}, &Config{PriceDigits: 9}); err == nil {
		t.Error("a configuration without path and with 9 digits was taken")
	}
}

// A file that changed since a position was taken is refused.
func TestChangedFileIsNotResumed(t *testing.T) {
	dir := write(t, map[string][]byte{"sh600000.day": days(20240102, 5)})
	s, _ := newSource(connector.Env{FS: vfs.OS{}, Budget: connector.NewBudget(connector.Limits{Rows: 2, Bytes: 1 << 20})}, &Config{Path: dir})
	if err := s.Open(t.Context(), connector.Partition{}, nil); err != nil {
		t.Fatal(err)
	}
	chunk, err := s.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "sh600000.day"), days(20240102, 6), 0o644); err != nil {
		t.Fatal(err)
	}
	again, _ := newSource(connector.Env{FS: vfs.OS{}}, &Config{Path: dir})
	if err := again.Open(t.Context(), connector.Partition{}, chunk.Position); err == nil || !strings.Contains(err.Error(), "had 160 bytes and has 192 now") {
		t.Errorf("got %v", err)
	}
}

// FuzzDecode: every record is a row or refused, once, and a row says what its bytes say.
func FuzzDecode(f *testing.F) {
	for _, data := range market2() {
		f.Add(data, uint8(2))
	}
	symbol := market.Symbol{Code: "600000", MIC: market.XSHG}
	f.Fuzz(func(t *testing.T, data []byte, digits uint8) {
		scale := 1 + int(digits%4)
		d := decode("sh600000.day", symbol, scale, data)
		if records := (len(data) + recordBytes - 1) / recordBytes; d.total != records ||
			d.rows.Len()+len(d.rejected) != records {
			t.Fatalf("%d bytes: %d records, %d rows, %d refused", len(data), d.total, d.rows.Len(), len(d.rejected))
		}
		last := int64(math.MinInt64)
		for row := range d.rows.Len() {
			raw := data[int(d.records[row])*recordBytes:]
			date := d.rows.Column(1).Int(row)
			if date <= last {
				t.Fatalf("row %d does not follow", row)
			}
			last = date
			text := strings.ReplaceAll(string(batch.AppendText(nil, d.rows.Column(1), row)), "-", "")
			if text != fmt.Sprintf("%08d", binary.LittleEndian.Uint32(raw)) {
				t.Fatalf("row %d: date %s", row, text)
			}
			price := new(strings.Builder)
			v := binary.LittleEndian.Uint32(raw[4:])
			unit := uint32(math.Pow10(scale))
			fmt.Fprintf(price, "%d.%0*d%s", v/unit, scale, v%unit, strings.Repeat("0", market.PriceScale-scale))
			if got := string(batch.AppendText(nil, d.rows.Column(2), row)); got != price.String() {
				t.Fatalf("row %d: open %s, want %s", row, got, price)
			}
			amount := float64(math.Float32frombits(binary.LittleEndian.Uint32(raw[20:])))
			value := d.rows.Column(7).Value(row).(batch.DecimalValue)
			if got := value.Unscaled.ToFloat64(4); math.Abs(got-amount) > 0.00005+amount*1e-15 {
				t.Fatalf("row %d: amount %g, want %g", row, got, amount)
			}
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	var data []byte
	for day := market.DateOf(2000, 1, 3); len(data) < 5000*recordBytes; day++ {
		y, m, d := day.Civil()
		data = append(data, record(uint32(y*10000+int(m)*100+d), 1000, 1010, 990, 1005, 1e7, 1e6)...)
	}
	symbol := market.Symbol{Code: "600000", MIC: market.XSHG}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		decode("sh600000.day", symbol, 2, data)
	}
	b.ReportMetric(float64(b.N)*5000/b.Elapsed().Seconds(), "rows/s")
}
