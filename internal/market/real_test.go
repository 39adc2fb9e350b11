package market

import (
	"compress/gzip"
	"encoding/csv"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/testenv"
)

// realSeries is one symbol of the data set ashare_baostock_daily.
type realSeries struct {
	symbol            Symbol
	bars              *batch.Batch // bar_1d and the provider's pct_chg
	dates             []Date
	closes, precloses []int64
}

var realSchema = batch.NewSchema(append(append([]batch.Field(nil), datasets[0].Schema.Fields()...),
	optional("pct_chg", batch.DecimalOf(18, 6)))...)

var (
	realOnce sync.Once
	realAll  []realSeries
)

// readReal reads all symbols, once for all tests.
func readReal(t testing.TB) []realSeries {
	t.Helper()
	dir := testenv.Data(t, "ashare_baostock_daily")
	realOnce.Do(func() {
		paths, err := filepath.Glob(filepath.Join(dir, "*.csv.gz"))
		if err != nil {
			t.Error(err)
		}
		for _, path := range paths {
			realAll = append(realAll, readRealFile(t, path))
		}
	})
	rows := 0
	for _, s := range realAll {
		rows += len(s.dates)
	}
	if len(realAll) != 150 || rows != 156_636 {
		t.Fatalf("%d symbols with %d bars in %s, want 150 with 156,636", len(realAll), rows, dir)
	}
	return realAll
}

func readRealFile(t testing.TB, path string) realSeries {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	records, err := csv.NewReader(unzipped).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	symbol, err := BaoStock.Parse(strings.TrimSuffix(filepath.Base(path), ".csv.gz"), Unknown)
	if err != nil {
		t.Fatal(err)
	}
	r := realReader{t: t, b: batch.NewBuilder(realSchema), column: map[string]int{}}
	r.s.symbol = symbol
	for i, name := range records[0] {
		r.column[name] = i
	}
	for _, r.record = range records[1:] {
		r.row()
	}
	if r.s.bars, err = r.b.Batch(); err != nil {
		t.Fatal(err)
	}
	return r.s
}

// realReader reads the rows of one file.
type realReader struct {
	t      testing.TB
	b      *batch.Builder
	column map[string]int
	record []string
	s      realSeries
}

func (r *realReader) row() {
	text := func(name string) string { return r.record[r.column[name]] }
	if code, err := BaoStock.Parse(text("code"), Unknown); err != nil || code != r.s.symbol {
		r.t.Fatalf("%s: code %q is %v, %v", r.s.symbol, text("code"), code, err)
	}
	d, err := ParseDate(text("date"))
	if err != nil {
		r.t.Fatal(err)
	}
	r.s.dates = append(r.s.dates, d)
	r.b.Column(0).Text(r.s.symbol.String())
	r.b.Column(1).Int(int64(d))
	r.fixed(2, text("open"), PriceScale)
	r.fixed(3, text("high"), PriceScale)
	r.fixed(4, text("low"), PriceScale)
	r.s.closes = append(r.s.closes, r.fixed(5, text("close"), PriceScale))
	r.s.precloses = append(r.s.precloses, r.fixed(6, text("preclose"), PriceScale))
	r.fixed(7, text("volume"), 0)
	r.fixed(8, text("amount"), PriceScale)
	r.fixed(9, text("turn"), FactorScale)
	r.b.Column(10).Bool(text("tradestatus") == "1")
	r.b.Column(11).Bool(text("isST") == "1")
	r.b.Column(12).Bool(true)
	r.fixed(13, text("pctChg"), FactorScale)
}

// fixed appends a number, or NULL for an empty cell, and checks that it reads back as it was.
func (r *realReader) fixed(i int, text string, scale int) int64 {
	if text == "" {
		r.b.Column(i).Null()
		return 0
	}
	v, err := ParseFixed(text, scale)
	if back := FormatFixed(v, scale); err != nil || back != text {
		r.t.Fatalf("%s %v: %q is read as %q, %v", r.s.symbol, r.record, text, back, err)
	}
	if r.b.Column(i).Type().Kind == batch.Decimal {
		r.b.Column(i).Decimal(decimal128.FromI64(v))
	} else {
		r.b.Column(i).Int(v)
	}
	return v
}
