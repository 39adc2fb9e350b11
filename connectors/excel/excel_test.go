package excel

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/google/go-cmp/cmp"
	"github.com/xuri/excelize/v2"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/filetest"
	"github.com/tapeline/tapeline/internal/vfs"
)

func newEnv(fsys vfs.FS, limits connector.Limits) connector.Env {
	return filetest.Limited(fsys, limits)
}

func plenty() connector.Limits { return connector.Limits{Rows: 16384, Bytes: 16 << 20} }

func read(t testing.TB, env connector.Env, cfg SourceConfig, at connector.Position) (filetest.Outcome, error) {
	t.Helper()
	cfg.SampleRows = max(cfg.SampleRows, defaultSampleRows)
	return filetest.Read(t, env, Connector(), &cfg, connector.Partition{}, at)
}

// book writes a workbook by excelize's ordinary interface.
func book(t testing.TB, fill func(f *excelize.File)) string {
	t.Helper()
	f := excelize.NewFile()
	fill(f)
	path := filepath.Join(t.TempDir(), "in.xlsx")
	if err := errors.Join(f.SaveAs(path), f.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

func set(t testing.TB, f *excelize.File, cells map[string]any) {
	t.Helper()
	for cell, v := range cells {
		if err := f.SetCellValue("Sheet1", cell, v); err != nil {
			t.Fatal(err)
		}
	}
}

func TestInferredTypes(t *testing.T) {
	t.Parallel()
	path := book(t, func(f *excelize.File) {
		day := time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC)
		set(t, f, map[string]any{
			"A1": "id", "B1": "price", "C1": "name", "D1": "day", "E1": "at", "F1": "ok", "G1": "mixed", "H1": "formula", "I1": "id",
			"A2": 1, "B2": 0.1, "C2": "007", "D2": day, "E2": day.Add(90 * time.Minute), "F2": true, "G2": 1, "I2": 9,
			"A4": 9007199254740993, "B4": 2, "C4": " a\n<b>&\"", "D4": day.AddDate(0, 0, 1), "E4": day.Add(time.Second), "F4": false, "G4": "x", "I4": 8,
		})
		date, err := f.NewStyle(&excelize.Style{NumFmt: 14})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(f.SetCellStyle("Sheet1", "D2", "D4", date), f.SetCellFormula("Sheet1", "H2", "=A2*2")); err != nil {
			t.Fatal(err)
		}
	})
	got, err := read(t, newEnv(vfs.OS{}, plenty()), SourceConfig{Path: path}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`{"id":1,"price":0.1,"name":"007","day":"2024-02-29","at":"2024-02-29T01:30:00.000","ok":true,"mixed":"1","formula":null,"id_2":9}`,
		`{"id":9007199254740993,"price":2,"name":" a\n<b>&\"","day":"2024-03-01","at":"2024-02-29T00:00:01.000","ok":false,"mixed":"x","formula":null,"id_2":8}`,
	}
	if diff := cmp.Diff(want, got.Rows); diff != "" {
		t.Errorf("%s\n%s", got.Schema, diff)
	}
}

func TestDeclaredTypesRangesAndRejectedRows(t *testing.T) {
	t.Parallel()
	path := book(t, func(f *excelize.File) {
		set(t, f, map[string]any{
			"A1": "a title", "B3": "id", "C3": "price", "D3": "beyond",
			"B4": 1, "C4": 0.1, "D4": "x", "B5": "two", "C5": 2, "B6": 3, "C6": "3.25", "B8": 4,
		})
		if _, err := f.NewSheet("other"); err != nil {
			t.Fatal(err)
		}
		if err := f.SetCellValue("other", "A1", "only"); err != nil {
			t.Fatal(err)
		}
	})
	columns := map[string]any{"id": "int32", "price": "decimal(9,2)"}
	cfg := SourceConfig{Path: path, Sheet: "Sheet1", Range: "B3:C7", Schema: SchemaConfig{Columns: columns}}
	got, err := read(t, newEnv(vfs.OS{}, plenty()), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{`{"id":1,"price":0.10}`, `{"id":3,"price":3.25}`}, got.Rows); diff != "" {
		t.Error(diff)
	}
	if len(got.Rejected) != 1 || got.Rejected[0].Place.Line != 5 || !strings.Contains(got.Rejected[0].Reason, "id") {
		t.Errorf("rejected %+v", got.Rejected)
	}
	wide := book(t, func(f *excelize.File) {
		set(t, f, map[string]any{"A1": "id", "A2": 1, "B2": "who knows", "A3": 2})
	})
	got, err = read(t, newEnv(vfs.OS{}, plenty()), SourceConfig{Path: wide}, nil)
	if err != nil || len(got.Rows) != 1 || len(got.Rejected) != 1 ||
		!strings.Contains(got.Rejected[0].Reason, "cell B2 has no column") {
		t.Errorf("a cell beyond the header: %v, rejected %+v, %v", got.Rows, got.Rejected, err)
	}
	header := false
	got, err = read(t, newEnv(vfs.OS{}, plenty()), SourceConfig{Path: path, Sheet: "1", Header: &header, SkipRows: 3}, nil)
	if err != nil || len(got.Rows) != 4 || got.Rows[0] != `{"A":null,"B":"1","C":"0.1","D":"x"}` {
		t.Errorf("without header: %v %v", got.Rows, err)
	}
	_, err = read(t, newEnv(vfs.OS{}, plenty()), SourceConfig{Path: path, Sheet: "none"}, nil)
	if err == nil || !strings.Contains(err.Error(), "it has Sheet1, other") {
		t.Error(err)
	}
}

func TestDates(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]bool{
		"yyyy-mm-dd": true, "General": false, "0.00": false, `"day" 0`: false, "[Red]0.0": false, "[h]:mm": true,
		`0\d`: false, "mmm d": true, "#,##0.00_);[Red](#,##0.00)": false, "[$-409]d/m/yy": true, "0.0E+00": false,
	} {
		if got := isDateFormat(code); got != want {
			t.Errorf("%q: %t", code, got)
		}
	}
	for serial, want := range map[float64]string{1: "1900-01-01", 59: "1900-02-28", 61: "1900-03-01", 45351.5: "2024-02-29T12:00:00"} {
		if got := (&workbook{}).spell(cell{kind: moment, text: fmt.Sprint(serial)}); got != want {
			t.Errorf("%v: %s, want %s", serial, got, want)
		}
	}
	if got := (&workbook{date1904: true}).spell(cell{kind: moment, text: "43889"}); got != "2024-02-29" {
		t.Errorf("1904: %s", got)
	}
}

func TestWhatIsNoWorkbookIsRefused(t *testing.T) {
	t.Parallel()
	for text, code := range map[string]string{"": "file_corrupt", "a,b\n": "file_corrupt", magicOLE + "xx": "excel_old_or_encrypted"} {
		path := filepath.Join(t.TempDir(), "a.xlsx")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		var e *connector.Error
		if _, err := read(t, newEnv(vfs.OS{}, plenty()), SourceConfig{Path: path}, nil); !errors.As(err, &e) || e.Code != code {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// sample returns rows of all kinds that a cell holds as such.
func sample(seed uint64, rows int) *batch.Batch {
	r := rand.New(rand.NewPCG(seed, 2))
	b := batch.NewBuilder(batch.NewSchema(
		batch.Field{Name: "id", Type: batch.Of(batch.Int64), Nullable: true},
		batch.Field{Name: "text", Type: batch.Of(batch.String), Nullable: true},
		batch.Field{Name: "price", Type: batch.DecimalOf(12, 2), Nullable: true},
		batch.Field{Name: "day", Type: batch.Of(batch.Date), Nullable: true},
		batch.Field{Name: "clock", Type: batch.Of(batch.Time), Nullable: true},
		batch.Field{Name: "at", Type: batch.TimestampOf(batch.Millisecond, ""), Nullable: true},
		batch.Field{Name: "ok", Type: batch.Of(batch.Bool), Nullable: true},
		batch.Field{Name: "score", Type: batch.Of(batch.Float64), Nullable: true}))
	for i := range rows {
		b.Column(0).Int(int64(seed)*1000 + int64(i))
		if i%4 == 3 {
			for k := 1; k < 8; k++ {
				b.Column(k).Null()
			}
			continue
		}
		b.Column(1).Text(fmt.Sprintf("=%d <&> \" _x0041_ ü%c", i, rune('a'+i%26)))
		b.Column(2).Decimal(decimal128.FromI64(r.Int64N(1e9) - 5e8))
		b.Column(3).Int(r.Int64N(40000))
		b.Column(4).Int(r.Int64N(86_400_000) * 1000)
		b.Column(5).Int(r.Int64N(2e12))
		b.Column(6).Bool(r.IntN(2) == 0)
		b.Column(7).Float(float64(r.IntN(1e6))/8 + 0.0625)
	}
	out, err := b.Batch()
	if err != nil {
		panic("sample: " + err.Error())
	}
	return out
}

func openSink(
	t testing.TB, env connector.Env, cfg SinkConfig, epoch uint64, token []byte,
) connector.Transactional {
	t.Helper()
	return filetest.Open(t, env, Connector(), &cfg, epoch, token)
}

func commit(t testing.TB, tx connector.Transactional, epoch connector.Epoch) {
	t.Helper()
	filetest.Commit(t, tx, epoch)
}

func declaredSample() SchemaConfig {
	columns := map[string]any{}
	for _, f := range sample(1, 1).Schema().Fields() {
		columns[f.Name] = f.Type.String()
	}
	return SchemaConfig{Columns: columns}
}

// TestRoundTrip writes one or several epochs and reads the same rows, also with inferred types.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for epochs := range uint64(3) {
		path := filepath.Join(t.TempDir(), "a.xlsx")
		s := openSink(t, newEnv(vfs.OS{}, plenty()), SinkConfig{Path: path, Sheet: "data", Header: true}, 0, nil)
		var want []string
		for number := uint64(1); number <= epochs+1; number++ {
			b := sample(number, 50)
			want = append(want, filetest.Lines(b)...)
			if err := s.Write(t.Context(), connector.Chunk{Batch: b}); err != nil {
				t.Fatal(err)
			}
			commit(t, s, connector.Epoch{Number: number, Final: number == epochs+1})
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		got, err := read(t, newEnv(vfs.OS{}, plenty()), SourceConfig{Path: path, Sheet: "data", Schema: declaredSample()}, nil)
		if diff := cmp.Diff(want, got.Rows); err != nil || diff != "" {
			t.Fatalf("%d epochs: %v %s", epochs+1, err, diff)
		}
		inferred, err := read(t, newEnv(vfs.OS{}, plenty()), SourceConfig{Path: path}, nil)
		if err != nil || inferred.Schema.String() != strings.ReplaceAll(got.Schema.String(), "decimal(12,2)", "float64") {
			t.Errorf("inferred %s: %v", inferred.Schema, err)
		}
		f, err := excelize.OpenFile(path)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := f.GetRows("data")
		if err != nil || len(rows) != len(want)+1 || rows[1][0] != "1000" {
			t.Errorf("the other library reads %d rows: %v", len(rows), err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestExactness: what a cell cannot hold exactly is text.
func TestExactness(t *testing.T) {
	t.Parallel()
	b := batch.NewBuilder(batch.NewSchema(
		batch.Field{Name: "long", Type: batch.Of(batch.Int64)}, batch.Field{Name: "u", Type: batch.Of(batch.Uint64)},
		batch.Field{Name: "d", Type: batch.DecimalOf(38, 2)}, batch.Field{Name: "old", Type: batch.Of(batch.Date)},
		batch.Field{Name: "micros", Type: batch.TimestampOf(batch.Microsecond, "UTC")},
		batch.Field{Name: "list", Type: batch.ListOf(batch.Of(batch.Int64))}))
	b.Column(0).Int(9007199254740993)
	b.Column(1).Uint(18446744073709551615)
	b.Column(2).Decimal(decimal128.FromI64(1234567890123456789))
	b.Column(3).Int(-40000)
	b.Column(4).Int(1)
	b.Column(5).Element(0).Int(1)
	b.Column(5).List()
	in, err := b.Batch()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "a.xlsx")
	s := openSink(t, newEnv(vfs.OS{}, plenty()), SinkConfig{Path: path, Sheet: "s", Header: true}, 0, nil)
	if err := s.Write(t.Context(), connector.Chunk{Batch: in}); err != nil {
		t.Fatal(err)
	}
	commit(t, s, connector.Epoch{Number: 1, Final: true})
	got, err := read(t, newEnv(vfs.OS{}, plenty()), SourceConfig{Path: path}, nil)
	want := `{"long":"9007199254740993","u":"18446744073709551615","d":"12345678901234567.89","old":"1860-06-26",` +
		`"micros":"1970-01-01T00:00:00.000001Z","list":"[1]"}`
	if err != nil || len(got.Rows) != 1 || got.Rows[0] != want {
		t.Errorf("%v\ngot  %v\nwant %s", err, got.Rows, want)
	}
}

// written writes texts to a workbook and returns the refused rows, and those read back.
func written(t *testing.T, texts ...string) (refused []int, rows []string) {
	t.Helper()
	b := batch.NewBuilder(batch.NewSchema(batch.Field{Name: "s", Type: batch.Of(batch.String)}))
	for _, text := range texts {
		b.Column(0).Text(text)
	}
	in, err := b.Batch()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "a.xlsx")
	s := openSink(t, newEnv(vfs.OS{}, plenty()), SinkConfig{Path: path, Sheet: "s", Header: true}, 0, nil)
	var partial *connector.PartialError
	if err := s.Write(t.Context(), connector.Chunk{Batch: in}); !errors.As(err, &partial) {
		t.Fatalf("write: %v", err)
	}
	for _, e := range partial.Rows {
		refused = append(refused, e.Row)
	}
	commit(t, s, connector.Epoch{Number: 1, Final: true})
	got, err := read(t, newEnv(vfs.OS{}, plenty()), SourceConfig{Path: path}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return refused, got.Rows
}

func TestLongTextsAreRefusedByRow(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxCellCharacters)
	refused, rows := written(t, "x", long+"x", long)
	if diff := cmp.Diff([]int{1}, refused); diff != "" || len(rows) != 2 {
		t.Errorf("%d rows, refused %v", len(rows), refused)
	}
}

func TestTextsThatXMLLacksAreRefusedByRow(t *testing.T) {
	t.Parallel()
	refused, rows := written(t, "a\x01b", "_x0041_", "\xff", "a\r\n\tb", "\ufffe", "  日本 ", "\x00", "=1+1")
	if diff := cmp.Diff([]int{0, 2, 4, 6}, refused); diff != "" {
		t.Errorf("refused: %s", diff)
	}
	want := []string{`{"s":"_x0041_"}`, `{"s":"a\r\n\tb"}`, `{"s":"  日本 "}`, `{"s":"=1+1"}`}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Error(diff)
	}
}

// TestFurtherSheets: rows beyond a sheet's limit go on in the next, with a header.
func TestFurtherSheets(t *testing.T) {
	t.Parallel()
	w, err := newWriter("s", []any{"id"})
	if err != nil {
		t.Fatal(err)
	}
	w.limit = 4
	for i := range 7 {
		if err := w.add([]any{i}); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if err := w.finish(&out); err != nil {
		t.Fatal(err)
	}
	f, err := excelize.OpenReader(&out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if diff := cmp.Diff([]string{"s", "s (2)", "s (3)"}, f.GetSheetList()); diff != "" {
		t.Error(diff)
	}
	rows, err := f.GetRows("s (2)")
	if diff := cmp.Diff([][]string{{"id"}, {"3"}, {"4"}, {"5"}}, rows); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

// TestResume continues at every position.
func TestResume(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i := range uint64(2) {
		s := openSink(t, newEnv(vfs.OS{}, plenty()), SinkConfig{Path: filepath.Join(dir, fmt.Sprintf("%d.xlsx", i)), Sheet: "s", Header: true}, 0, nil)
		if err := s.Write(t.Context(), connector.Chunk{Batch: sample(i, 40)}); err != nil {
			t.Fatal(err)
		}
		commit(t, s, connector.Epoch{Number: 1, Final: true})
	}
	header := false
	for _, cfg := range []SourceConfig{{Schema: declaredSample()}, {Header: &header, SampleRows: 1}, {Range: "A1:C30"}} {
		cfg.Path = dir + "/*.xlsx"
		small := newEnv(vfs.OS{}, connector.Limits{Rows: 7, Bytes: 1 << 20})
		whole, err := read(t, small, cfg, nil)
		if err != nil || len(whole.Rows) < 50 || len(whole.Positions) < 8 {
			t.Fatal(len(whole.Rows), len(whole.Positions), err)
		}
		for i, position := range whole.Positions {
			rest, err := read(t, small, cfg, position)
			if diff := filetest.Diff(whole.Rows[whole.Counts[i]:], rest.Rows); err != nil || diff != "" {
				t.Fatalf("position %d: %v %s", i, err, diff)
			}
		}
	}
}

func job(cfg SinkConfig, epochs uint64) filetest.Job {
	cfg.Sheet, cfg.Header = "s", true
	j := filetest.Job{
		Connector: Connector(), Sink: &cfg, Whole: !strings.HasSuffix(cfg.Path, "/"),
		Source: &SourceConfig{Path: "out/*.xlsx", SampleRows: 1000, Schema: declaredSample()},
	}
	for seed := range epochs {
		j.Epochs = append(j.Epochs, sample(seed, 20))
	}
	return j
}

func TestSinkCrashes(t *testing.T) {
	t.Parallel()
	for _, cfg := range []SinkConfig{{Path: "out/a.xlsx"}, {Path: "out/"}, {Path: "out/", MinPartBytes: 12000}} {
		job(cfg, 3).Crashes(t)
	}
	job(SinkConfig{Path: "out/"}, 3).Wider().Crashes(t)
}

func TestNoRows(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"out/a.xlsx", "out/"} {
		schema, err := job(SinkConfig{Path: path}, 1).NoRows(t, true)
		if want := sample(1, 1).Schema().Names(); err != nil || !slices.Equal(schema.Names(), want) {
			t.Errorf("%s: columns (%s), want %v: %v", path, schema, want, err)
		}
	}
	j := job(SinkConfig{Path: "out/a.xlsx"}, 1)
	j.Source = &SourceConfig{Path: "out/*.xlsx", SampleRows: 1000}
	if schema, err := j.NoRows(t, false); err != nil || schema.Len() != 0 {
		t.Errorf("columns not known: (%s), %v", schema, err)
	}
}

// FuzzRead: whatever a workbook holds, its source ends with rows or an error. The fuzzed bytes are
// the sheet's XML: damaged archives end earlier.
func FuzzRead(f *testing.F) {
	f.Add([]byte(`<worksheet><sheetData><row r="1"><c r="A1" t="inlineStr"><is><t>a</t></is></c><c t="s"><v>0</v></c></row>`+
		`<row r="3"><c r="A3" s="1"><v>45000.5</v></c><c r="B3" t="b"><v>1</v></c><c t="e"><v>#N/A</v></c></row></sheetData></worksheet>`), false)
	f.Add([]byte(`<worksheet><sheetData/></worksheet>`), true)
	f.Fuzz(func(t *testing.T, sheetXML []byte, cut bool) {
		data := archive(t, sheetXML)
		if cut {
			data = data[:len(data)*2/3]
		}
		cfg := SourceConfig{Path: "a.xlsx", SampleRows: defaultSampleRows}
		filetest.Fuzz(t, Connector(), &cfg, "a.xlsx", data)
	})
}

func BenchmarkRead(b *testing.B) {
	path := filepath.Join(b.TempDir(), "a.xlsx")
	s := openSink(b, newEnv(vfs.OS{}, plenty()), SinkConfig{Path: path, Sheet: "s", Header: true}, 0, nil)
	const rows = 20_000
	if err := s.Write(b.Context(), connector.Chunk{Batch: sample(1, rows)}); err != nil {
		b.Fatal(err)
	}
	commit(b, s, connector.Epoch{Number: 1, Final: true})
	b.ReportAllocs()
	for b.Loop() {
		cfg := SourceConfig{Path: path, SampleRows: 1000}
		source, err := Connector().Source.New(newEnv(vfs.OS{}, plenty()), &cfg)
		if err != nil {
			b.Fatal(err)
		}
		if err := source.Open(b.Context(), connector.Partition{}, nil); err != nil {
			b.Fatal(err)
		}
		for {
			if _, err := source.Read(b.Context()); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				b.Fatal(err)
			}
		}
		if err := source.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds()/1e3, "krows/s")
}
