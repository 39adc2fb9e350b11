package export_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/connectors/csv"
	"github.com/tapeline/tapeline/connectors/parquet"
	"github.com/tapeline/tapeline/internal/export"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/store"
	"github.com/tapeline/tapeline/internal/vfs"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fileSinks makes sinks as the command does.
func fileSinks(format string) func(path string) (connector.Sink, error) {
	return func(path string) (connector.Sink, error) {
		env := connector.Env{Log: slog.New(slog.DiscardHandler), FS: vfs.OS{}}
		if format == "csv" {
			config := *csv.Connector().Sink.Config.(*csv.SinkConfig)
			config.Path = path
			return csv.Connector().Sink.New(env, &config)
		}
		config := *parquet.Connector().Sink.Config.(*parquet.SinkConfig)
		config.Path = path
		return parquet.Connector().Sink.New(env, &config)
	}
}

// market data of a few symbols, changed at random.
type vendor struct {
	t      testing.TB
	random *rand.Rand
	store  *store.Store
	writer *store.Writer
}

func newVendor(t testing.TB, seed uint64) *vendor {
	t.Helper()
	s, err := store.Open(t.TempDir(), store.Config{HorizonShare: 100})
	must(t, err)
	w, err := s.Lock(t.Context(), "test")
	must(t, err)
	t.Cleanup(func() {
		must(t, w.Unlock())
		must(t, s.Close())
	})
	return &vendor{t: t, random: rand.New(rand.NewPCG(seed, seed)), store: s, writer: w}
}

// symbols are few, so that each is met again; the last has no spelling at PTrade.
func symbols() []string {
	return []string{"600005.XSHG", "600000.XSHG", "000001.XSHE", "000300.XSHG", "300001.XSHE", "BTCUSDT.BINANCE"}
}

// everySymbol commits a bar of each symbol.
func (v *vendor) everySymbol() {
	var bars []map[string]any
	for _, symbol := range symbols() {
		bars = append(bars, v.bar(symbol, v.day()))
	}
	_, err := v.writer.Commit(v.t.Context(), store.Changes{Run: "r", Source: "test", Puts: map[string][]*batch.Batch{
		market.Bar1D: {rows(v.t, market.Bar1D, bars)},
	}})
	must(v.t, err)
}

// rows builds rows of a dataset; cells by column, others are NULL or zero.
func rows(t testing.TB, dataset string, list []map[string]any) *batch.Batch {
	t.Helper()
	d, _ := market.DatasetByName(dataset)
	b := batch.NewBuilder(d.Schema)
	for _, row := range list {
		for i, f := range d.Schema.Fields() {
			v, ok := row[f.Name]
			switch {
			case ok && f.Type.Kind == batch.Date:
				b.Column(i).Int(int64(v.(market.Date)))
			case ok:
				must(t, b.Column(i).Any(v))
			default:
				b.Column(i).Null()
			}
		}
	}
	out, err := b.Batch()
	must(t, err)
	return out
}

// touched are the years, symbols and kinds that a commit changed.
type touched struct {
	years, bars map[string]bool
	factors     bool
}

func (v *vendor) symbol() string { return symbols()[v.random.IntN(len(symbols()))] }

func (v *vendor) day() market.Date {
	return market.DateOf(2019+v.random.IntN(4), time.Month(1+v.random.IntN(12)), 1+v.random.IntN(28))
}

func (v *vendor) bar(symbol string, d market.Date) map[string]any {
	price := fmt.Sprintf("%d.%02d", 5+v.random.IntN(40), v.random.IntN(100))
	return map[string]any{
		"symbol": symbol, "date": d, "open": price, "high": price, "low": price, "close": price,
		"volume": int64(v.random.IntN(1e6)), "amount": price, "turn": "0.123456", "trade_status": true,
		"is_st": v.random.IntN(5) == 0, "final": true,
	}
}

// commit changes something: bars come, change and go, factors and what belongs to them too.
func (v *vendor) commit() touched {
	out := touched{years: map[string]bool{}, bars: map[string]bool{}}
	c := store.Changes{Run: "r", Source: "test", Puts: map[string][]*batch.Batch{}, Deletes: map[string][]*batch.Batch{}}
	var bars, gone []map[string]any
	for range 1 + v.random.IntN(12) {
		bars = append(bars, v.bar(v.symbol(), v.day()))
	}
	if v.random.IntN(3) == 0 { // a symbol goes as a whole
		symbol := v.symbol()
		bars = slices.DeleteFunc(bars, func(row map[string]any) bool { return row["symbol"] == symbol })
		view, err := v.store.View(v.t.Context(), 0)
		must(v.t, err)
		b, err := view.Point(market.Bar1D, symbol, 0, 0, []string{"date"})
		must(v.t, err)
		must(v.t, view.Close())
		for row := range b.Rows() {
			gone = append(gone, map[string]any{"symbol": symbol, "date": market.Date(b.Column(0).Int(row))})
		}
	}
	for _, row := range slices.Concat(bars, gone) {
		out.years[strconv.Itoa(row["date"].(market.Date).Year())] = true
		out.bars[row["symbol"].(string)] = true
	}
	c.Puts[market.Bar1D] = []*batch.Batch{rows(v.t, market.Bar1D, bars)}
	if len(gone) > 0 {
		d, _ := market.DatasetByName(market.Bar1D)
		full := rows(v.t, market.Bar1D, gone)
		c.Deletes[market.Bar1D] = []*batch.Batch{batch.New(batch.NewSchema(d.Schema.Fields()[:2]...), full.Columns()[:2], full.Rows())}
	}
	v.beside(&c, &out)
	_, err := v.writer.Commit(v.t.Context(), c)
	must(v.t, err)
	if v.random.IntN(4) == 0 {
		_, err := v.writer.Compact(v.t.Context(), true)
		must(v.t, err)
	}
	return out
}

// beside changes the datasets beside the bars.
func (v *vendor) beside(c *store.Changes, out *touched) {
	put := func(dataset string, row map[string]any) {
		c.Puts[dataset] = append(c.Puts[dataset], rows(v.t, dataset, []map[string]any{row}))
	}
	symbol, d := v.symbol(), v.day()
	if v.random.IntN(3) == 0 {
		out.factors = true
		put(market.AdjFactor, map[string]any{"symbol": symbol, "ex_date": d, "back_factor": fmt.Sprintf("1.%06d", v.random.IntN(1e6))})
	}
	switch v.random.IntN(6) {
	case 0:
		put(market.Valuation1D, map[string]any{"symbol": symbol, "date": d, "pe_ttm": "-3.5", "pb_mrq": "1.250000"})
	case 1:
		for _, item := range []string{"roeAvg", "totalShare", "npMargin"} {
			put(market.Fundamental, map[string]any{
				"symbol": symbol, "stat_date": d, "pub_date": d + 40, "item": item, "value": "0.250000",
			})
		}
	case 2:
		put(market.CorpAction, map[string]any{
			"symbol": symbol, "ex_date": d, "kind": "dividend", "cash": "0.300000", "transfer": "0.5", "stock_dividend": "0.1",
		})
	case 3:
		put(market.Listing, map[string]any{"symbol": symbol, "name": "浦发", "class": "stock", "ipo_date": d, "status": "listed"})
		put(market.CalendarDay, map[string]any{"mic": "XSHG", "date": d, "is_open": true})
	case 4:
		put(market.Constituent, map[string]any{"index_symbol": "000300.XSHG", "symbol": symbol, "valid_from": d})
	case 5:
		put(market.StatusEvent, map[string]any{"symbol": symbol, "date": d, "kind": "st"})
	}
}

// files reads a folder but for its manifest.
func files(t testing.TB, dir string) map[string]fileState {
	t.Helper()
	out := map[string]fileState{}
	must(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if name != export.ManifestName && name != ".export.lock" {
			out[filepath.ToSlash(name)] = fileState{text, info}
		}
		return err
	}))
	return out
}

type fileState struct {
	text []byte
	info fs.FileInfo
}

func sameFiles(t *testing.T, what string, got, want map[string]fileState) {
	t.Helper()
	for name, w := range want {
		g, ok := got[name]
		if !ok {
			t.Fatalf("%s: %s is missing", what, name)
		}
		if !bytes.Equal(g.text, w.text) {
			t.Fatalf("%s: %s differs:\n%.600q\nwant\n%.600q", what, name, g.text, w.text)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Fatalf("%s: %s is too many", what, name)
		}
	}
}

func run(t testing.TB, r export.Request) *export.Report {
	t.Helper()
	report, err := export.Run(t.Context(), r)
	must(t, err)
	if !report.Completed {
		t.Fatalf("not completed: %+v", report)
	}
	return report
}

func requests(s *store.Store) map[string]export.Request {
	whole := export.Request{Store: s, Layout: export.Hive, Dataset: market.Bar1D, Format: "csv", Sink: fileSinks("csv")}
	adjusted := whole
	adjusted.Adjust = market.Forward
	some := whole
	some.Format, some.Sink = "parquet", fileSinks("parquet")
	some.Symbols, some.From, some.To = []string{"600000.XSHG", "000001.XSHE"}, market.DateOf(2020, 3, 1), market.DateOf(2021, 6, 30)
	ptrade := export.Request{Store: s, Layout: export.PTrade, Format: "parquet", Sink: fileSinks("parquet")}
	few := ptrade
	few.Symbols, few.From, few.To = some.Symbols, some.From, some.To
	factors := whole
	factors.Dataset = market.AdjFactor
	return map[string]export.Request{"whole": whole, "adjusted": adjusted, "some": some, "ptrade": ptrade, "few": few, "factors": factors}
}

// TestIncrementalEqualsFull drives folders through random commits; now and then several commits lie
// between two exports, and an export is interrupted.
func TestIncrementalEqualsFull(t *testing.T) {
	commits, seeds := 7, uint64(1)
	if os.Getenv("TAPELINE_SOAK") != "" {
		commits, seeds = 150, 4
	}
	for seed := range seeds {
		v := newVendor(t, seed)
		v.everySymbol()
		base := t.TempDir()
		for n := range commits {
			v.commit()
			if v.random.IntN(3) == 0 {
				continue
			}
			for name, r := range requests(v.store) {
				what := fmt.Sprintf("seed %d, commit %d, %s", seed, n+1, name)
				r.Out = filepath.Join(base, name)
				if v.random.IntN(4) == 0 {
					interrupt(t, r, v.random.IntN(3))
				}
				run(t, r)
				full := r
				full.Out = filepath.Join(t.TempDir(), "full")
				run(t, full)
				sameFiles(t, what, files(t, r.Out), files(t, full.Out))
				if again := run(t, r); again.Written+again.Removed > 0 {
					t.Fatalf("%s: an export of nothing new wrote: %+v", what, again)
				}
			}
		}
	}
}

// interrupt ends an export after some files.
func interrupt(t testing.TB, r export.Request, after int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if after == 0 {
		cancel()
	}
	r.Progress = func(done, _ int) {
		if done == after {
			cancel()
		}
	}
	if _, err := export.Run(ctx, r); err != nil && ctx.Err() == nil {
		t.Fatal(err)
	}
}

// Only the files whose rows changed are written, and an interrupted export goes on where it was.
func TestOnlyChangedFilesAreWritten(t *testing.T) {
	v := newVendor(t, 3)
	for range 12 {
		v.commit()
	}
	r := requests(v.store)["whole"]
	r.Out = filepath.Join(t.TempDir(), "out")
	run(t, r)
	for range 6 {
		before := files(t, r.Out)
		changed := v.commit()
		report := run(t, r)
		after := files(t, r.Out)
		for name, was := range before {
			is, ok := after[name]
			year := strings.TrimSuffix(strings.TrimPrefix(name, "year="), "/bar_1d.csv")
			if kept := ok && os.SameFile(was.info, is.info); kept == changed.years[year] {
				t.Errorf("%s was kept %v; changed were %v", name, kept, changed.years)
			}
		}
		if report.Written > len(changed.years) {
			t.Errorf("%d files were written for the years %v", report.Written, changed.years)
		}
	}
	p := requests(v.store)["ptrade"]
	p.Out = filepath.Join(t.TempDir(), "ptrade")
	interrupt(t, p, 4)
	half := files(t, p.Out)
	if len(half) != 4 {
		t.Fatalf("an export that was interrupted after 4 files left %d", len(half))
	}
	report := run(t, p)
	for name, was := range files(t, p.Out) {
		if first, ok := half[name]; ok && !os.SameFile(first.info, was.info) {
			t.Errorf("%s was written again", name)
		}
	}
	if len(report.Omitted) != 1 || report.Omitted[0] != "BTCUSDT.BINANCE" {
		t.Errorf("omitted %v", report.Omitted)
	}
}

// An export of an earlier commit into a folder that shows a later one, and back.
func TestAsOf(t *testing.T) {
	v := newVendor(t, 4)
	for range 5 {
		v.commit()
	}
	r := requests(v.store)["whole"]
	r.Out = filepath.Join(t.TempDir(), "out")
	for _, seq := range []store.Seq{5, 2, 4, 1, 5} {
		r.AsOf = seq
		run(t, r)
		full := r
		full.Out = filepath.Join(t.TempDir(), "full")
		run(t, full)
		sameFiles(t, fmt.Sprintf("commit %d", seq), files(t, r.Out), files(t, full.Out))
	}
}

// Folders of others stay as they are.
func TestForeignFolderIsRefused(t *testing.T) {
	v := newVendor(t, 5)
	v.everySymbol()
	r := requests(v.store)["whole"]
	r.Out = t.TempDir()
	precious := filepath.Join(r.Out, "precious.txt")
	must(t, os.WriteFile(precious, []byte("mine"), 0o600))
	refused := func(what, want string, r export.Request) {
		t.Helper()
		if _, err := export.Run(t.Context(), r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", what, err, want)
		}
	}
	refused("a folder with files", "holds files (precious.txt) and no manifest.json", r)
	must(t, os.WriteFile(filepath.Join(r.Out, export.ManifestName), []byte(`{"version":"1"}`), 0o600))
	refused("another manifest", "is no manifest of an export: it says nothing of one", r)
	if text, err := os.ReadFile(precious); err != nil || string(text) != "mine" {
		t.Errorf("got %q, %v", text, err)
	}
	r.Out = filepath.Join(t.TempDir(), "out")
	run(t, r)
	other := r
	other.Symbols = []string{"600000.XSHG"}
	refused("another request", "holds another export", other)
	stranger := newVendor(t, 6)
	stranger.commit()
	other = r
	other.Store = stranger.store
	refused("another store", "was exported from another store", other)
	// A file that is gone, or was altered, is written again.
	for name := range files(t, r.Out) {
		must(t, os.Remove(filepath.Join(r.Out, name)))
		break
	}
	if report := run(t, r); report.Written != 1 {
		t.Errorf("%d files were written, want the one that was gone", report.Written)
	}
}

// A misspelt symbol is not one without rows.
func TestUnknownSymbolIsRefused(t *testing.T) {
	v := newVendor(t, 8)
	v.commit()
	for name, r := range requests(v.store) {
		r.Symbols, r.Out = []string{"600000.XSHG", "699999.XSHG"}, filepath.Join(t.TempDir(), "out")
		_, err := export.Run(t.Context(), r)
		if err == nil || !strings.Contains(err.Error(), "no such symbol") || !strings.Contains(err.Error(), "699999.XSHG") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// A renamed instrument has its new code in all rows of a folder, and its file the new name.
func TestRenamedInstrument(t *testing.T) {
	v := newVendor(t, 9)
	for range 12 {
		v.commit()
	}
	folders := requests(v.store)
	delete(folders, "some") // asks for codes by name
	delete(folders, "few")
	base := t.TempDir()
	for name, r := range folders {
		r.Out = filepath.Join(base, name)
		run(t, r)
	}
	must(t, v.writer.Rename(t.Context(), "300001.XSHE", "302132.XSHE", market.DateOf(2021, 3, 1)))
	for name, r := range folders {
		r.Out = filepath.Join(base, name)
		interrupt(t, r, 2)
		run(t, r)
		full := r
		full.Out = filepath.Join(t.TempDir(), "full")
		run(t, full)
		sameFiles(t, name, files(t, r.Out), files(t, full.Out))
		if again := run(t, r); again.Written+again.Removed > 0 || again.Full != "" {
			t.Errorf("%s: an export of nothing new wrote: %+v", name, again)
		}
	}
}

// A part whose rows are all gone may be gone itself, as when an export was killed while it removed it.
func TestRemovedPart(t *testing.T) {
	v := newVendor(t, 10)
	bar := v.bar("600000.XSHG", market.DateOf(2019, 6, 3))
	commit := func(c store.Changes) {
		t.Helper()
		c.Run, c.Source = "r", "test"
		_, err := v.writer.Commit(t.Context(), c)
		must(t, err)
	}
	table := rows(t, market.Bar1D, []map[string]any{bar})
	commit(store.Changes{Puts: map[string][]*batch.Batch{market.Bar1D: {table}}})
	r := requests(v.store)["whole"]
	r.Out = filepath.Join(t.TempDir(), "out")
	run(t, r)
	keys := batch.New(batch.NewSchema(table.Schema().Fields()[:2]...), table.Columns()[:2], table.Rows())
	commit(store.Changes{Deletes: map[string][]*batch.Batch{market.Bar1D: {keys}}})
	must(t, os.RemoveAll(filepath.Join(r.Out, "year=2019")))
	if report := run(t, r); report.Removed != 1 || report.Parts != 0 {
		t.Errorf("got %+v, want the part gone", report)
	}
}

// A share of ChiNext may move by 20 %, in steps of a hundredth; numbers are doubles.
func TestPTradeNumbers(t *testing.T) {
	v := newVendor(t, 7)
	bar := v.bar("300001.XSHE", market.DateOf(2021, 1, 5))
	bar["preclose"], bar["close"], bar["is_st"] = "10.0500", "10.1200", false
	bar["high"], bar["low"] = "50", "1"
	_, err := v.writer.Commit(t.Context(), store.Changes{Run: "r", Source: "test", Puts: map[string][]*batch.Batch{
		market.Bar1D: {rows(t, market.Bar1D, []map[string]any{bar})},
	}})
	must(t, err)
	r := requests(v.store)["ptrade"]
	r.Out = filepath.Join(t.TempDir(), "out")
	run(t, r)
	got := readParquet(t, filepath.Join(r.Out, "stocks/300001.SZ.parquet"))
	want := fmt.Sprintf("2021-01-05T00:00:00.000000000 %s 10.12 50 1 12.06 8.04 10.05 ", bar["open"])
	if len(got) != 1 || !strings.HasPrefix(got[0], want) {
		t.Errorf("got %q, want %q and volume, money", got, want)
	}
}

func readParquet(t testing.TB, path string) []string {
	t.Helper()
	config := *parquet.Connector().Source.Config.(*parquet.SourceConfig)
	config.Path = path
	source, err := parquet.Connector().Source.New(connector.Env{Log: slog.New(slog.DiscardHandler), FS: vfs.OS{}}, &config)
	must(t, err)
	must(t, source.Open(t.Context(), connector.Partition{}, nil))
	defer source.Close()
	var out []string
	for {
		chunk, err := source.Read(t.Context())
		if err != nil {
			return out
		}
		for row := range chunk.Batch.Len() {
			var cells []string
			for _, c := range chunk.Batch.Columns() {
				cells = append(cells, string(batch.AppendText(nil, c, row)))
			}
			out = append(out, strings.Join(cells, " "))
		}
	}
}
