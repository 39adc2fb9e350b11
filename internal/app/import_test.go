package app

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/csv"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/encoding/simplifiedchinese"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/flow/spec"
	"github.com/tapeline/tapeline/internal/intake"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/store"
	"github.com/tapeline/tapeline/internal/testenv"
)

// importer imports into one store.
type importer struct {
	t      *testing.T
	engine *Engine
	store  string
}

func newImporter(t *testing.T) *importer {
	t.Helper()
	parts, err := NewParts()
	if err != nil {
		t.Fatal(err)
	}
	engine, err := OpenEngine(parts, t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close() })
	return &importer{t, engine, filepath.Join(t.TempDir(), "store")}
}

func (i *importer) run(request Import) *intake.Report {
	i.t.Helper()
	request.Store = i.store
	if request.Dataset == "" {
		request.Dataset = market.Bar1D
	}
	report, _, err := i.engine.Import(i.t.Context(), request, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		i.t.Fatalf("import %+v: %v", request, err)
	}
	return report
}

// rows exports a dataset and returns its records without the header.
func (i *importer) rows(dataset string) [][]string {
	i.t.Helper()
	out := filepath.Join(i.t.TempDir(), "out.csv")
	text, err := i.engine.Parts.ExportDocument(i.t.Context(), Export{Store: i.store, Dataset: dataset, Out: out})
	if err != nil {
		i.t.Fatal(err)
	}
	d, problems := spec.Parse("export", []byte(text), spec.Options{Catalogue: i.engine.Parts})
	if spec.Failed(problems) {
		i.t.Fatal(problems)
	}
	w, problems, err := i.engine.Start(i.t.Context(), d, RunOptions{})
	if err != nil || problems != nil {
		i.t.Fatal(err, problems)
	}
	if _, err := w.Wait(); err != nil {
		i.t.Fatal(err)
	}
	raw, err := os.ReadFile(out)
	if err != nil {
		i.t.Fatal(err)
	}
	records, err := csv.NewReader(bytes.NewReader(raw)).ReadAll()
	if err != nil {
		i.t.Fatal(err)
	}
	return records[1:]
}

// coverage returns what a source covers of a symbol.
func (i *importer) coverage(source, symbol string) string {
	i.t.Helper()
	s, err := store.Open(i.store, store.Config{Existing: true})
	if err != nil {
		i.t.Fatal(err)
	}
	defer s.Close()
	v, err := s.View(i.t.Context(), 0)
	if err != nil {
		i.t.Fatal(err)
	}
	defer v.Close()
	covered, err := v.Coverage(market.Bar1D, "1d", source)
	if err != nil {
		i.t.Fatal(err)
	}
	return covered[symbol].String()
}

func (i *importer) file(name, text string) string {
	i.t.Helper()
	path := filepath.Join(i.t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		i.t.Fatal(err)
	}
	return path
}

// vendorRows reads the real CSVs of some symbols independently.
func vendorRows(t *testing.T, most int) (files []string, rows []map[string]string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(testenv.Data(t, "ashare_baostock_daily"), "*.csv.gz"))
	if err != nil || len(files) == 0 {
		t.Fatal(err, len(files))
	}
	files = files[:min(most, len(files))]
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		records, err := csv.NewReader(z).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for _, record := range records[1:] {
			row := map[string]string{}
			for at, name := range records[0] {
				row[name] = record[at]
			}
			rows = append(rows, row)
		}
		_ = f.Close()
	}
	return files, rows
}

// digits writes a number with so many digits behind the point; "" stays.
func digits(t *testing.T, text string, n int) string {
	t.Helper()
	if text == "" {
		return ""
	}
	v, err := market.ParseFixed(text, n)
	if err != nil {
		t.Fatal(text, err)
	}
	return market.FormatFixed(v, n)
}

func vendorWant(t *testing.T, rows []map[string]string) [][]string {
	t.Helper()
	var want [][]string
	for _, r := range rows {
		market, code, _ := strings.Cut(r["code"], ".")
		record := []string{code + map[string]string{"sh": ".XSHG", "sz": ".XSHE"}[market], r["date"]}
		for _, name := range []string{"open", "high", "low", "close", "preclose"} {
			record = append(record, digits(t, r[name], 4))
		}
		record = append(record, r["volume"], digits(t, r["amount"], 4), digits(t, r["turn"], 6), r["tradestatus"], r["isST"], "1")
		want = append(want, record)
	}
	slices.SortFunc(want, func(a, b []string) int { return strings.Compare(a[0]+a[1], b[0]+b[1]) })
	return want
}

// The vendor's CSV files come in whole, by their usual names; again, nothing is written; and out of our
// Parquet the same rows come again.
func TestImportVendorCSV(t *testing.T) {
	most := 10
	if os.Getenv("TAPELINE_SOAK") != "" {
		most = 150
	}
	files, rows := vendorRows(t, most)
	i := newImporter(t)
	request := Import{Format: "csv", Paths: files, Source: "vendor"}
	report := i.run(request)
	if report.New != int64(len(rows)) || report.Quarantined+report.Kept != 0 || report.Symbols != int64(len(files)) {
		t.Errorf("got %+v, want %d rows of %d symbols", report, len(rows), len(files))
	}
	got := i.rows(market.Bar1D)
	if diff := cmp.Diff(vendorWant(t, rows), got); diff != "" {
		t.Fatalf("rows differ (-vendor +ours): %.2000s", diff)
	}
	again := i.run(request)
	if again.New+again.Changed != 0 || again.Equal != int64(len(rows)) || again.Sequence != again.Before {
		t.Errorf("the same import again: %+v", again)
	}
	valuation := request
	valuation.Dataset = market.Valuation1D
	if r := i.run(valuation); r.New != int64(len(rows)) {
		t.Errorf("valuation: %+v", r)
	}
	folder := filepath.Join(t.TempDir(), "bars") + "/"
	if _, err := i.engine.Parts.ExportFolder(t.Context(), Export{Store: i.store, Dataset: market.Bar1D, Out: folder}, nil, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	back := newImporter(t)
	back.run(Import{Format: "parquet", Paths: []string{folder}})
	if diff := cmp.Diff(got, back.rows(market.Bar1D)); diff != "" {
		t.Errorf("our Parquet did not come back: %.2000s", diff)
	}
}

// TDX files made of the vendor's rows hold the same prices and volumes.
func TestImportTDX(t *testing.T) {
	_, rows := vendorRows(t, 3)
	dir := t.TempDir()
	files, want := map[string][]byte{}, [][]string{}
	for _, r := range rows {
		if r["tradestatus"] != "1" {
			continue
		}
		var raw []byte
		word := func(v int64) { raw = binary.LittleEndian.AppendUint32(raw, uint32(v)) }
		day, _ := strconv.ParseInt(strings.ReplaceAll(r["date"], "-", ""), 10, 64)
		word(day)
		for _, name := range []string{"open", "high", "low", "close"} {
			v, err := market.ParseFixed(r[name], 2)
			if err != nil {
				t.Fatal(err)
			}
			word(v)
		}
		amount, _ := strconv.ParseFloat(r["amount"], 32)
		word(int64(math.Float32bits(float32(amount))))
		volume, _ := strconv.ParseInt(r["volume"], 10, 64)
		word(volume)
		word(0)
		name := strings.Replace(r["code"], ".", "", 1) + ".day"
		files[name] = append(files[name], raw...)
		w := vendorWant(t, []map[string]string{r})[0]
		want = append(want, append(w[:6:6], w[7]))
	}
	for name, raw := range files {
		if err := os.WriteFile(filepath.Join(dir, name), raw, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	i := newImporter(t)
	if r := i.run(Import{Format: "tdx", Paths: []string{dir}}); r.New != int64(len(want)) || r.Quarantined != 0 {
		t.Errorf("got %+v", r)
	}
	var got [][]string
	for _, r := range i.rows(market.Bar1D) {
		got = append(got, append(r[:6:6], r[7]))
	}
	slices.SortFunc(want, func(a, b []string) int { return strings.Compare(a[0]+a[1], b[0]+b[1]) })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows differ: %.2000s", diff)
	}
}

const chineseBars = "日期,开盘,收盘,最高,最低,成交量,成交额,换手率\n" +
	"2024/1/2,10.1,10.2,10.3,10.0,1234.5,1234.56,0.0123\n" + // line 2: stored
	"2024-01-03,10.2,abc,10.3,10.0,1,1,0.1\n" +
	"2024-01-04,10.2,10.2,10.1,10.0,1,1,0.1\n" +
	"2024-01-05,10.2,10.2\n" +
	"2024-01-08,10.123456,10.2,10.3,10.0,1,1,0.1\n" +
	"2024-01-02,10.1,10.2,10.3,10.0,1,1,0.1\n" +
	"20240109,10.1,10.2,10.3,10.0,1,1,\n" // stored

// Units, encodings and names of a vendor; what is wrong is quarantined with its line, none is dropped.
func TestImportUnitsAndQuarantine(t *testing.T) {
	gbk, err := simplifiedchinese.GBK.NewEncoder().String(chineseBars)
	if err != nil {
		t.Fatal(err)
	}
	for encoding, text := range map[string]string{"gbk": gbk, "": "\ufeff" + chineseBars} {
		i := newImporter(t)
		request := Import{
			Format: "csv", Paths: []string{i.file("sh600000.csv", text)}, Covers: "2024-01-02..2024-01-31",
			Flags: intake.Mapping{VolumeUnit: 100, AmountUnit: 10000, Turn: "fraction", Encoding: encoding},
		}
		report := i.run(request)
		if report.New != 2 || report.Quarantined != 5 || report.Rows != 7 || !report.Distrusted {
			t.Errorf("%q: got %+v", encoding, report)
		}
		want := "600000.XSHG 2024-01-02 10.1000 10.3000 10.0000 10.2000  123450 12345600.0000 1.230000 1  1"
		if got := strings.Join(i.rows(market.Bar1D)[0], " "); got != want {
			t.Errorf("%q: got %s, want %s", encoding, got, want)
		}
		var places []string
		for _, r := range i.rows("quarantine") {
			places = append(places, filepath.Base(r[8])+" "+r[6]) // place and rule
		}
		slices.Sort(places)
		if diff := cmp.Diff([]string{
			"sh600000.csv:3 type", "sh600000.csv:4 ohlc_order", "sh600000.csv:5 unreadable", "sh600000.csv:6 type",
			"sh600000.csv:7 duplicate_key",
		}, places); diff != "" {
			t.Errorf("%q: quarantine: %s", encoding, diff)
		}
		// A line that does not say its day might be any: days with rows are covered, no more.
		if got := i.coverage("csv", "600000.XSHG"); got != "2024-01-02,2024-01-09" {
			t.Errorf("%q: covered %s", encoding, got)
		}
	}
}

// A bar of a day on which the exchange was closed is refused; where a calendar says nothing, bars are taken.
func TestImportClosedDays(t *testing.T) {
	i := newImporter(t)
	text := "symbol,date,open,high,low,close\nsh.600000,2024-01-05,1,1,1,1\nsh.600000,2024-01-06,1,1,1,1\n" +
		"sh.600000,1988-01-02,1,1,1,1\n"
	report := i.run(Import{Format: "csv", Paths: []string{i.file("a.csv", text)}})
	if report.New != 2 || report.Rules[market.RuleSession] != 1 ||
		report.First[0].Reason != "2024-01-06 is no session of XSHG" {
		t.Errorf("got %+v", report)
	}
}

// Of rows with one key the first counts, in datasets without days too; the others are not lost in silence.
func TestImportSameKeyTwice(t *testing.T) {
	i := newImporter(t)
	text := "symbol,ex_date,back_factor\nsh.600000,2024-01-05,1.5\nsh.600001,2024-01-05,1.7\nsh.600000,2024-01-05,1.6\n"
	for n, want := range []int64{2, 0} {
		report := i.run(Import{Format: "csv", Dataset: market.AdjFactor, Paths: []string{i.file("a.csv", text)}})
		if report.New != want || report.Equal != 2-want || report.Rules[market.RuleDuplicate] != 1 {
			t.Errorf("import %d: got %+v", n+1, report)
		}
	}
	if rows := i.rows(market.AdjFactor); len(rows) != 2 || rows[0][3] != "1.500000" {
		t.Errorf("got %v", rows)
	}
}

// A range that the user vouches for is covered, but for days whose rows were refused.
func TestImportCovers(t *testing.T) {
	i := newImporter(t)
	text := "symbol,date,open,high,low,close\nsh.600000,2024-01-02,1,1,1,1\nsh.600000,2024-01-04,1,0.5,1,1\n"
	i.run(Import{Format: "csv", Paths: []string{i.file("a.csv", text)}, Covers: "2024-01-01..2024-01-10"})
	if got, want := i.coverage("csv", "600000.XSHG"), "2024-01-01..2024-01-03,2024-01-05..2024-01-10"; got != want {
		t.Errorf("covered %s, want %s", got, want)
	}
}

// An import leaves days of another source alone, unless it is told to replace them; a sync does not ask.
func TestImportPriority(t *testing.T) {
	i := newImporter(t)
	i.provider("10", "2024-01-02", "2024-01-03")
	bars := func(price string) string {
		var text strings.Builder
		text.WriteString("symbol,date,open,high,low,close\n")
		for _, day := range []string{"2024-01-02", "2024-01-03", "2024-01-04"} {
			fmt.Fprintf(&text, "sh.600000,%s,%s,%s,%s,%s\n", day, price, price, price, price)
		}
		return text.String()
	}
	closes := func() string {
		var out []string
		for _, r := range i.rows(market.Bar1D) {
			out = append(out, strings.TrimSuffix(r[5], ".0000"))
		}
		return strings.Join(out, " ")
	}
	request := Import{Format: "csv", Paths: []string{i.file("a.csv", bars("11"))}}
	if r := i.run(request); r.Kept != 2 || r.New != 1 || r.Changed != 0 || closes() != "10 10 11" {
		t.Errorf("got %+v and %s", r, closes())
	}
	if got := i.coverage("csv", "600000.XSHG"); got != "2024-01-04" {
		t.Errorf("the import covers %s", got)
	}
	// The same source corrects its own rows; another one does not.
	request.Paths = []string{i.file("b.csv", bars("12"))}
	if r := i.run(request); r.Changed != 1 || closes() != "10 10 12" {
		t.Errorf("got %+v and %s", r, closes())
	}
	other := request
	other.Source, other.Paths = "other", []string{i.file("c.csv", bars("13"))}
	if r := i.run(other); r.Kept != 3 || closes() != "10 10 12" {
		t.Errorf("got %+v and %s", r, closes())
	}
	other.Replace = true
	if r := i.run(other); r.Changed != 3 || closes() != "13 13 13" {
		t.Errorf("got %+v and %s", r, closes())
	}
	i.provider("14", "2024-01-02", "2024-01-04")
	if closes() != "14 13 14" {
		t.Errorf("after a sync: %s", closes())
	}
	if _, _, err := i.engine.Import(t.Context(), Import{
		Store: i.store, Dataset: market.Bar1D, Format: "csv", Source: "baostock", Paths: other.Paths,
	}, slog.New(slog.DiscardHandler), nil); err == nil || !strings.Contains(err.Error(), "that is a provider") {
		t.Errorf("an import as a provider: %v", err)
	}
}

// provider writes what a sync would: rows, and coverage of its source.
func (i *importer) provider(price string, days ...string) {
	i.t.Helper()
	s, err := store.Open(i.store, store.Config{})
	if err != nil {
		i.t.Fatal(err)
	}
	defer s.Close()
	w, err := s.Lock(i.t.Context(), "sync")
	if err != nil {
		i.t.Fatal(err)
	}
	d, _ := market.DatasetByName(market.Bar1D)
	b := batch.NewBuilder(d.Schema)
	c := store.Changes{Run: "sync", Source: "baostock"}
	for _, text := range days {
		day, err := market.ParseDate(text)
		if err != nil {
			i.t.Fatal(err)
		}
		b.Column(0).Text("600000.XSHG")
		b.Column(1).Int(int64(day))
		for at, f := range d.Schema.Fields()[2:] {
			switch {
			case f.Type.Kind == batch.Bool && f.Name != "is_st":
				b.Column(2 + at).Bool(true)
			case f.Nullable:
				b.Column(2 + at).Null()
			default:
				if err := b.Column(2 + at).Any(price); err != nil {
					i.t.Fatal(err)
				}
			}
		}
		c.Coverage = append(c.Coverage, store.Cover{
			Dataset: market.Bar1D, Freq: "1d", Source: "baostock", Symbol: "600000.XSHG",
			Interval: market.Interval{From: day, To: day}, State: market.StateOK,
		})
	}
	rows, err := b.Batch()
	if err != nil {
		i.t.Fatal(err)
	}
	c.Puts = map[string][]*batch.Batch{market.Bar1D: {rows}}
	if _, err := w.Commit(i.t.Context(), c); err != nil {
		i.t.Fatal(err)
	}
	if err := w.Unlock(); err != nil {
		i.t.Fatal(err)
	}
}

// A mapping file says the same as the flags, and computes what the vendor does not have.
func TestImportMappingFile(t *testing.T) {
	i := newImporter(t)
	bars := i.file("bars.csv", "ticker,when,o,h,l,c,lots\n600000,20240102,1,2,1,2,3\n")
	mapping := i.file("vendor.yaml", "columns: {symbol: ticker, date: when, open: o, high: h, low: l, close: c, volume: lots, amount: money}\n"+
		"compute: {money: c * lots * 100}\nclass: stock\nvolume_unit: 100\n")
	i.run(Import{Format: "csv", Paths: []string{bars}, File: mapping})
	want := "600000.XSHG 2024-01-02 1.0000 2.0000 1.0000 2.0000  300 600.0000  1  1"
	if got := strings.Join(i.rows(market.Bar1D)[0], " "); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	wrong := i.file("wrong.yaml", "colums: {}\n")
	_, _, err := i.engine.Import(t.Context(), Import{
		Store: i.store, Dataset: market.Bar1D, Format: "csv", Paths: []string{bars}, File: wrong,
	}, slog.New(slog.DiscardHandler), nil)
	if err == nil || !strings.Contains(err.Error(), "columns") {
		t.Errorf("got %v", err)
	}
}
