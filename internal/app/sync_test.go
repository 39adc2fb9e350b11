package app

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/flow/run"
	"github.com/tapeline/tapeline/internal/flow/spec"
	"github.com/tapeline/tapeline/internal/ingest"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/sim"
	"github.com/tapeline/tapeline/internal/store"
	"github.com/tapeline/tapeline/internal/testenv"
)

// vendor is a simulated provider and what it was asked.
type vendor struct {
	*sim.Server

	mu    sync.Mutex
	asked map[string]int // by type
	calls []string       // method and arguments of each request
}

func startVendor(t *testing.T, config sim.Config) *vendor {
	t.Helper()
	v := &vendor{asked: map[string]int{}}
	config.OnRequest = func(r sim.Request) {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.asked[r.Type]++
		v.calls = append(v.calls, r.Method+" "+strings.Join(r.Args, " "))
	}
	server, err := sim.Start(t.Context(), "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	v.Server = server
	t.Cleanup(func() { _ = server.Close() })
	return v
}

// take returns what was asked since the last call, by type.
func (v *vendor) take() map[string]int {
	v.mu.Lock()
	defer v.mu.Unlock()
	asked := v.asked
	v.asked = map[string]int{}
	return asked
}

const (
	askBars    = "95"
	askFactors = "15"
	askProfit  = "17"
)

// syncer runs syncs of one store.
type syncer struct {
	t      *testing.T
	engine *Engine
	config ingest.Config
}

func newSyncer(t *testing.T, v interface{ Address() string }, from, to string) *syncer {
	t.Helper()
	return syncerOf(t, "baostock", v.Address(), from, to)
}

// syncerOf returns a syncer that asks a provider at an address.
func syncerOf(t *testing.T, provider, address, from, to string) *syncer {
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
	config := ingest.Defaults()
	config.Sync.Provider = provider
	config.Sync.Endpoint, config.Sync.Store = address, filepath.Join(t.TempDir(), "store")
	config.Sync.From, config.Sync.To = from, to
	return &syncer{t: t, engine: engine, config: config}
}

func (s *syncer) run() (*ingest.Report, error) {
	return s.engine.Sync(context.Background(), s.config, slog.New(slog.DiscardHandler), nil)
}

// want runs a sync that must end so.
func (s *syncer) want(status ingest.Status) *ingest.Report {
	s.t.Helper()
	report, err := s.run()
	if err != nil || report.Status != status {
		s.t.Fatalf("got %v and\n%swant a sync that is %s", err, text(report), status)
	}
	return report
}

func text(r *ingest.Report) string {
	if r == nil {
		return "no report\n"
	}
	return r.Text()
}

// export returns a dataset as CSV.
func (s *syncer) export(dataset string) []byte {
	s.t.Helper()
	out := filepath.Join(s.t.TempDir(), "out.csv")
	document, err := s.engine.Parts.ExportDocument(s.t.Context(), Export{Store: s.config.Sync.Store, Dataset: dataset, Out: out})
	if err != nil {
		s.t.Fatal(err)
	}
	d, problems := spec.Parse("export", []byte(document), spec.Options{Catalogue: s.engine.Parts})
	if spec.Failed(problems) {
		s.t.Fatal(problems)
	}
	w, problems, err := s.engine.Start(context.Background(), d, RunOptions{Options: run.Options{Fresh: true}})
	if err != nil || spec.Failed(problems) {
		s.t.Fatal(err, problems)
	}
	if _, err := w.Wait(); err != nil {
		s.t.Fatal(err)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		s.t.Fatal(err)
	}
	return data
}

// realColumns are what an export has of the vendor's columns, by our names.
var realColumns = map[string]string{
	"date": "date", "open": "open", "high": "high", "low": "low", "close": "close", "preclose": "preclose",
	"volume": "volume", "amount": "amount", "turn": "turn", "trade_status": "tradestatus", "is_st": "isST",
}

// realBars reads the vendor's files without any of our code: symbol to rows, each as name=value.
func realBars(t *testing.T, dir string) map[string][]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.csv.gz"))
	if err != nil || len(files) != 150 {
		t.Fatalf("%d files, %v; want 150", len(files), err)
	}
	bars := map[string][]string{}
	for _, name := range files {
		file, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := gzip.NewReader(file)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(plain).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		_ = file.Close()
		code := strings.TrimSuffix(filepath.Base(name), ".csv.gz")
		exchange := map[string]string{"sh": "XSHG", "sz": "XSHE"}[code[:2]]
		bars[code[3:]+"."+exchange] = named(rows, func(column string) string { return realColumns[column] })
	}
	return bars
}

// named writes rows as sorted texts of the columns that the export has, theirs under the name that name
// gives.
func named(rows [][]string, name func(ours string) string) []string {
	var out []string
	for _, row := range rows[1:] {
		var cells []string
		for ours := range realColumns {
			cells = append(cells, ours+"="+row[slices.Index(rows[0], name(ours))])
		}
		slices.Sort(cells)
		out = append(out, strings.Join(cells, " "))
	}
	slices.Sort(out)
	return out
}

// exported splits an export by symbol.
func exported(t *testing.T, data []byte) map[string][]string {
	t.Helper()
	rows, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	bySymbol := map[string][][]string{}
	for _, row := range rows[1:] {
		if bySymbol[row[0]] == nil {
			bySymbol[row[0]] = [][]string{rows[0]}
		}
		bySymbol[row[0]] = append(bySymbol[row[0]], row)
	}
	bars := map[string][]string{}
	for symbol, rows := range bySymbol {
		bars[symbol] = named(rows, func(ours string) string { return ours })
	}
	return bars
}

// realMarket serves the real bars.
func realMarket(t *testing.T) (sim.Market, string) {
	t.Helper()
	dir := testenv.Data(t, "ashare_baostock_daily")
	m, err := sim.LoadCSV(dir, "", "")
	if err != nil {
		t.Fatal(err)
	}
	return m, dir
}

// TestSyncRealSymbols brings all real bars into a store and out again, each value as the vendor wrote it.
func TestSyncRealSymbols(t *testing.T) {
	m, dir := realMarket(t)
	v := startVendor(t, sim.Config{Market: m})
	s := newSyncer(t, v, "2020-01-01", "2024-06-28")
	report := s.want(ingest.StatusComplete)
	bars := report.Datasets[0]
	if bars.Dataset != market.Bar1D || bars.Expected != 156_636 || bars.Stored != 156_636 || report.Symbols != 150 {
		t.Errorf("stored %+v of %d symbols, want 156,636 bars of 150", bars, report.Symbols)
	}
	if asked := v.take(); asked[askBars] != 150 || asked[askFactors] != 150 {
		t.Errorf("asked %v; want one request for bars and one for factors of each symbol", asked)
	}
	got, want := exported(t, s.export(market.Bar1D)), realBars(t, dir)
	for symbol, rows := range want {
		if diff := cmp.Diff(rows, got[symbol]); diff != "" {
			t.Fatalf("%s differs from the vendor's file (-want +got):\n%s", symbol, diff)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d symbols exported, want %d", len(got), len(want))
	}

	again := s.want(ingest.StatusComplete)
	if again.Rows.New+again.Rows.Changed != 0 || again.After != report.After {
		t.Errorf("the second sync wrote: %+v, commit %d after %d", again.Rows, again.After, report.After)
	}
	if asked := v.take(); asked[askBars]+asked[askFactors] != 0 {
		t.Errorf("the second sync asked %v; want no data", asked)
	}
	gaps, err := Gaps(t.Context(), s.config.Sync.Store, slog.New(slog.DiscardHandler))
	if err != nil || len(gaps.Missing) != 0 {
		t.Errorf("gaps: %v and %+v; want none", err, gaps)
	}
}

// synthetic makes a small market.
func synthetic(t *testing.T, symbols int) sim.Market {
	t.Helper()
	m, err := sim.Synthetic(7, symbols, sim.DateOf(2021, 1, 1), sim.DateOf(2022, 12, 31))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestSyncWorkersAgree(t *testing.T) {
	v := startVendor(t, sim.Config{Market: synthetic(t, 30)})
	var want []byte
	for _, workers := range []int{1, 3, 8} {
		s := newSyncer(t, v, "2021-01-01", "2022-12-31")
		s.config.Sync.MaxWorkers = workers
		s.config.Sync.Datasets = append(s.config.Sync.Datasets, market.Valuation1D)
		s.want(ingest.StatusComplete)
		got := slices.Concat(s.export(market.Bar1D), s.export(market.AdjFactor), s.export(market.Valuation1D))
		if want == nil {
			want = got
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%d workers give another store than one", workers)
		}
	}
	if bytes.Count(want, []byte("\n")) < 10_000 {
		t.Errorf("only %d rows were compared", bytes.Count(want, []byte("\n")))
	}
}

// TestSyncSeesNewListings: what was listed between two syncs of one day is found when the later one
// reaches further, and the report counts what was asked.
func TestSyncSeesNewListings(t *testing.T) {
	m, err := sim.Synthetic(5, 60, sim.DateOf(2021, 1, 1), sim.DateOf(2024, 6, 30))
	if err != nil {
		t.Fatal(err)
	}
	v := startVendor(t, sim.Config{Market: m, Now: time.Date(2021, 3, 31, 20, 0, 0, 0, time.UTC)})
	s := newSyncer(t, v, "2021-01-01", "2021-03-31")
	asked := func(report *ingest.Report) {
		t.Helper()
		sum := int64(0)
		for _, n := range v.take() {
			sum += int64(n)
		}
		if report.Traffic.Requests != sum {
			t.Errorf("the report counts %d requests, the provider %d", report.Traffic.Requests, sum)
		}
	}
	first := s.want(ingest.StatusComplete)
	asked(first)
	v.SetNow(time.Date(2021, 8, 31, 20, 0, 0, 0, time.UTC))
	s.config.Sync.To = "2021-08-31"
	second := s.want(ingest.StatusComplete)
	asked(second)
	if second.Symbols <= first.Symbols {
		t.Fatalf("%d symbols after %d: nothing was listed in between", second.Symbols, first.Symbols)
	}
	whole := newSyncer(t, v, "2021-01-01", "2021-08-31")
	whole.want(ingest.StatusComplete)
	for _, dataset := range []string{market.Bar1D, market.AdjFactor} {
		got, want := strings.Split(string(s.export(dataset)), "\n"), strings.Split(string(whole.export(dataset)), "\n")
		slices.Sort(got) // the later listing stands last
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("two syncs give another %s than one (-want +got):\n%s", dataset, diff)
		}
	}
}

// TestSyncFillsHoles: three middle days of a tenth of the symbols are lost, in both ways, and newer data
// are there; peers that go on from the newest day keep the hole for ever.
func TestSyncFillsHoles(t *testing.T) {
	v := startVendor(t, sim.Config{Market: synthetic(t, 40)})
	whole := newSyncer(t, v, "2021-01-01", "2022-12-31")
	whole.config.Sync.Datasets = []string{market.Bar1D}
	whole.want(ingest.StatusComplete)
	for _, forget := range []bool{true, false} {
		s := newSyncer(t, v, "2021-01-01", "2022-10-31")
		s.config.Sync.Datasets = []string{market.Bar1D}
		s.want(ingest.StatusComplete)
		hole := market.Interval{From: market.DateOf(2022, 3, 10), To: market.DateOf(2022, 3, 14)}
		lost := s.lose(hole, forget)
		s.config.Sync.To = "2022-12-31"
		preview, err := PreviewSync(t.Context(), s.config, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		var holes []string
		for _, u := range preview.Units {
			if u.From < "2022-11-01" {
				holes = append(holes, fmt.Sprint(u.Symbol, " ", u.From, "..", u.To))
			}
		}
		var want []string
		for _, symbol := range lost {
			want = append(want, symbol+" 2022-03-10..2022-03-14")
		}
		slices.Sort(want)
		slices.Sort(holes)
		if diff := cmp.Diff(want, holes); diff != "" {
			t.Fatalf("planned before November (-want +got):\n%s", diff)
		}
		s.want(ingest.StatusComplete)
		if !bytes.Equal(s.export(market.Bar1D), whole.export(market.Bar1D)) {
			t.Error("after the hole was filled, the store differs from one without")
		}
	}
}

// lose deletes the bars of an interval of every tenth symbol; forget drops their coverage too.
func (s *syncer) lose(hole market.Interval, forget bool) []string {
	s.t.Helper()
	st, err := store.Open(s.config.Sync.Store, store.Config{})
	if err != nil {
		s.t.Fatal(err)
	}
	defer st.Close()
	w, err := st.Lock(context.Background(), "a test")
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = w.Unlock() }()
	view, err := st.View(context.Background(), 0)
	if err != nil {
		s.t.Fatal(err)
	}
	defer view.Close()
	all := map[string]bool{}
	for rows, err := range view.Scan(market.Bar1D, store.Range{From: hole.From, To: hole.To}, []string{"symbol"}) {
		if err != nil {
			s.t.Fatal(err)
		}
		for i := range rows.Len() {
			all[string(rows.Column(0).Bytes(rows.Row(i)))] = true
		}
	}
	var symbols, lost []string
	for symbol := range all {
		symbols = append(symbols, symbol)
	}
	slices.Sort(symbols)
	c := store.Changes{Run: "loss", Source: "baostock", Deletes: map[string][]*batch.Batch{}}
	for i := 0; i < len(symbols); i += 10 {
		rows, err := view.Point(market.Bar1D, symbols[i], hole.From, hole.To, []string{"symbol", "date"})
		if err != nil || rows.Len() != 3 {
			s.t.Fatalf("%d bars of %s in the hole, %v; want 3", rows.Len(), symbols[i], err)
		}
		lost = append(lost, symbols[i])
		c.Deletes[market.Bar1D] = append(c.Deletes[market.Bar1D], rows)
		if forget {
			c.Coverage = append(c.Coverage, store.Cover{
				Dataset: market.Bar1D, Freq: "1d", Source: "baostock", Symbol: symbols[i], Interval: hole,
			})
		}
	}
	if _, err := w.Commit(context.Background(), c); err != nil {
		s.t.Fatal(err)
	}
	return lost
}

// TestSyncUnderFaults: whatever the provider does, a sync ends complete or says what is short, and the
// next one completes it.
func TestSyncUnderFaults(t *testing.T) {
	m := synthetic(t, 20)
	clean := newSyncer(t, startVendor(t, sim.Config{Market: m}), "2021-01-01", "2022-12-31")
	clean.want(ingest.StatusComplete)
	want := clean.export(market.Bar1D)
	for _, test := range []struct {
		rule  string
		first ingest.Status
	}{
		{"every 7 on 95: reset", ingest.StatusComplete},
		{"every 9 on 95: drop", ingest.StatusComplete},
		{"every 5 on 95: truncate", ingest.StatusComplete},
		{"every 6: error 10005001", ingest.StatusComplete},
		{"every 5 on 95: unsorted", ""},
		{"every 5 on 95: duplicate", ""},
		{"every 5 on 95: missing", ingest.StatusShort},
		{"every 5 on 95: short", ingest.StatusShort},
		{"from 3 on 95: pagecap 100", ""},
	} {
		t.Run(test.rule, func(t *testing.T) {
			t.Parallel()
			rules, err := sim.ParseFaults(test.rule)
			if err != nil {
				t.Fatal(err)
			}
			v := startVendor(t, sim.Config{Market: m, Faults: rules})
			s := newSyncer(t, v, "2021-01-01", "2022-12-31")
			report, err := s.run()
			if err != nil {
				t.Fatalf("%v\n%s", err, text(report))
			}
			if test.first != "" && report.Status != test.first {
				t.Errorf("the first sync is %s, want %s\n%s", report.Status, test.first, report.Text())
			}
			if same := bytes.Equal(s.export(market.Bar1D), want); same != (report.Status == ingest.StatusComplete) {
				t.Errorf("the first sync says %s, and the bars are all there: %t\n%s", report.Status, same, report.Text())
			}
			v.SetFaults(nil)
			s.want(ingest.StatusComplete)
			if !bytes.Equal(s.export(market.Bar1D), want) {
				t.Error("after the second sync the bars differ from those without faults")
			}
		})
	}
}

// TestSyncMissesNoFactor: a factor that an answer lacks shows in the bars, and is asked for alone.
func TestSyncMissesNoFactor(t *testing.T) {
	m := synthetic(t, 20)
	clean := newSyncer(t, startVendor(t, sim.Config{Market: m}), "2021-01-01", "2022-12-31")
	clean.want(ingest.StatusComplete)
	for _, rule := range []string{"every 2 on 15: missing", "every 3 on 15: short"} {
		rules, err := sim.ParseFaults(rule)
		if err != nil {
			t.Fatal(err)
		}
		v := startVendor(t, sim.Config{Market: m, Faults: rules})
		s := newSyncer(t, v, "2021-01-01", "2022-12-31")
		s.want(ingest.StatusComplete)
		if asked := v.take(); asked[askFactors] <= 20 || asked[askFactors] > 40 {
			t.Errorf("asked for factors %d times; want once for each of 20 stocks, and for each factor left out", asked[askFactors])
		}
		if !bytes.Equal(s.export(market.AdjFactor), clean.export(market.AdjFactor)) {
			t.Errorf("%s: the factors differ from those without faults", rule)
		}
	}
}

// TestSyncLocked: a second sync of a store is refused by the name of the first.
func TestSyncLocked(t *testing.T) {
	v := startVendor(t, sim.Config{Market: synthetic(t, 2)})
	s := newSyncer(t, v, "2021-01-01", "2022-12-31")
	s.want(ingest.StatusComplete)
	st, err := store.Open(s.config.Sync.Store, store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	w, err := st.Lock(t.Context(), "the sync of another process")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Unlock() }()
	report, err := s.run()
	if report != nil || !errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), "the sync of another process") {
		t.Errorf("got %v; want a refusal that names the holder", err)
	}
}

// pairwise are combinations of six switches among which each pair of switches has all its four settings,
// and all of them switched off at last. A switch is off in three of the middle five, each in other three.
func pairwise() []int {
	offIn := [6][3]int{{1, 2, 3}, {1, 2, 4}, {1, 3, 5}, {2, 4, 5}, {3, 4, 5}, {1, 4, 5}}
	list := make([]int, 6, 7)
	for module, rows := range offIn {
		for _, row := range rows {
			list[row] |= 1 << module
		}
	}
	return append(list, 1<<6-1)
}

func TestPairwiseCoversPairs(t *testing.T) {
	for a := range 6 {
		for b := range a {
			seen := map[[2]int]bool{}
			for _, c := range pairwise()[:6] {
				seen[[2]int{c >> a & 1, c >> b & 1}] = true
			}
			if len(seen) != 4 {
				t.Errorf("modules %d and %d meet in %d of 4 ways", a, b, len(seen))
			}
		}
	}
}

// TestModulesChangeNothing syncs a market in two steps with combinations of modules in which each pair
// meets in all ways: whatever is switched off, the exports are the same. TAPELINE_SOAK=1 takes all 64.
func TestModulesChangeNothing(t *testing.T) {
	source := synthetic(t, 6)
	v := startVendor(t, sim.Config{Market: source})
	var want []byte
	combinations := pairwise()
	if os.Getenv("TAPELINE_SOAK") == "1" {
		combinations = nil
		for combination := range 1 << 6 {
			combinations = append(combinations, combination)
		}
	}
	for _, combination := range combinations {
		on := func(module int) bool { return combination>>module&1 == 0 }
		s := newSyncer(t, v, "2022-01-01", "2022-05-31")
		p := &s.config.Performance
		p.ConnectionManager.Enable, p.BatchWriter.Enable, p.Cache.Enable, p.Monitor.Enable = on(0), on(1), on(2), on(3)
		p.BatchWriter.AutoFlush, s.config.Sync.AutoTune = on(4), on(5)
		s.want(ingest.StatusComplete)
		s.config.Sync.To = "2022-08-31"
		s.want(ingest.StatusComplete)
		got := append(s.export(market.Bar1D), s.export(market.AdjFactor)...)
		if want == nil {
			want = got
		}
		if len(got) == 0 || !bytes.Equal(got, want) {
			t.Errorf("with modules %06b off the exports have %d bytes and are others than the %d bytes with all on",
				combination, len(got), len(want))
		}
	}
}
