package ingest_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/google/go-cmp/cmp"
	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/app"
	"github.com/tapeline/tapeline/internal/flow/plan"
	"github.com/tapeline/tapeline/internal/flow/run"
	"github.com/tapeline/tapeline/internal/ingest"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/obs"
	"github.com/tapeline/tapeline/internal/store"
)

// fakeVendor is a provider of three stocks in memory.
type fakeVendor struct {
	t      *testing.T
	now    time.Time
	omits  map[market.Date]bool                           // days of the first stock that it does not serve
	ex     market.Date                                    // ex-date of the second stock, 0 for none
	silent bool                                           // its factor is not served
	dead   market.Date                                    // last day of deadStock, which the list of instruments lacks; 0: there is none
	names  market.Offer                                   // what the list is beside
	listed []string                                       // the list; nil: stocks
	born   market.Date                                    // first day of deadStock
	gone   bool                                           // the last of the list is delisted
	fail   error                                          // of the next Read
	asked  []string                                       // dataset, symbol and dates, of the run
	also   []string                                       // datasets that are served beside bars, factors and the list
	hollow bool                                           // valuations lack a column
	since  string                                         // listing day of all stocks; "": unknown
	states map[string]market.State                        // by symbol: how answers for bars end, without a row
	onDay  func(day market.Date) ([]market.Symbol, error) // its list of a day; nil: see dead
	wrap   func(connector.Source) connector.Source
	engine *app.Engine
	store  *store.Store
	config ingest.Config
	usage  func() (obs.Usage, error)
	cache  *ingest.Cache
}

const deadStock = "600009.XSHG"

var stocks = []string{"600001.XSHG", "600002.XSHG", "600003.XSHG"}

func newFakeVendor(t *testing.T, now string) *fakeVendor {
	t.Helper()
	parts, err := app.NewParts()
	if err != nil {
		t.Fatal(err)
	}
	v := &fakeVendor{t: t, omits: map[market.Date]bool{}, config: ingest.Defaults()}
	v.at(now)
	if v.engine, err = app.OpenEngine(parts, t.TempDir(), slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.engine.Close() })
	if v.store, err = store.Open(filepath.Join(t.TempDir(), "store"), store.Config{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.store.Close() })
	v.config.Sync.From, v.config.Sync.To = "2024-03-01", "2024-03-29"
	return v
}

// at sets the clock: a time in Shanghai.
func (v *fakeVendor) at(now string) {
	v.t.Helper()
	zone := time.FixedZone("CST", 8*3600)
	at, err := time.ParseInLocation("2006-01-02T15:04", now, zone)
	if err != nil {
		v.t.Fatal(err)
	}
	v.now = at
}

func (v *fakeVendor) day(text string) market.Date {
	v.t.Helper()
	d, err := market.ParseDate(text)
	if err != nil {
		v.t.Fatal(err)
	}
	return d
}

func (v *fakeVendor) sync(follow func(*run.Workflow, func() ingest.Progress) bool) (*ingest.Report, error) {
	v.asked = nil
	v.config.Sync.Datasets = []string{market.Bar1D, market.AdjFactor}
	for _, dataset := range []string{market.Valuation1D, market.Fundamental} {
		if slices.Contains(v.also, dataset) {
			v.config.Sync.Datasets = append(v.config.Sync.Datasets, dataset)
		}
	}
	s := &ingest.Sync{
		Config: v.config, Provider: v.provider(), Store: v.store, Now: v.now, Follow: follow, Start: v.start,
		Usage: v.usage, Cache: v.cache,
	}
	return s.Run(context.Background())
}

func (v *fakeVendor) start(ctx context.Context, w *plan.Workflow) (*run.Workflow, error) {
	w.Execution.Restart.Attempts = 0
	return v.engine.StartPlan(ctx, w, run.Options{Fresh: true})
}

func (v *fakeVendor) provider() ingest.Provider {
	offer := market.Offer{Markets: []market.MIC{}, Shapes: market.BySymbol | market.Whole, PublishAt: 18 * time.Hour}
	p := ingest.Provider{Provider: market.Provider{Name: "fake", Scheme: market.BaoStock}}
	for _, symbol := range v.list() {
		if mic := must(market.ParseSymbol(symbol)).MIC; !slices.Contains(offer.Markets, mic) {
			offer.Markets = append(offer.Markets, mic)
		}
	}
	for _, dataset := range append([]string{market.Bar1D, market.AdjFactor, market.Listing}, v.also...) {
		offer.Dataset, offer.Survivors = dataset, v.names.Survivors
		p.Offers = append(p.Offers, offer)
	}
	if v.dead != 0 && !v.names.Survivors {
		p.ListedOn = v.listedOn
	}
	if v.onDay != nil {
		p.ListedOn = func(_ context.Context, day market.Date) ([]market.Symbol, error) { return v.onDay(day) }
	}
	p.Source = func(_ connector.Env, units []market.Unit) (connector.Source, error) {
		var source connector.Source = &fakeSource{vendor: v, units: units}
		if v.wrap != nil {
			source = v.wrap(source)
		}
		return source, nil
	}
	return p
}

func (v *fakeVendor) list() []string {
	if v.listed != nil {
		return v.listed
	}
	return stocks
}

func (v *fakeVendor) want(status ingest.Status) *ingest.Report {
	v.t.Helper()
	report, err := v.sync(nil)
	if err != nil || report.Status != status {
		v.t.Fatalf("got %v and %+v, want %s", err, report, status)
	}
	return report
}

// fakeSource serves units as batches.
type fakeSource struct {
	vendor *fakeVendor
	units  []market.Unit
	chunks []connector.Chunk
}

func (s *fakeSource) Open(context.Context, connector.Partition, connector.Position) error { return nil }
func (s *fakeSource) Ack(context.Context, connector.Position) error                       { return nil }
func (s *fakeSource) Close() error                                                        { return nil }

func (s *fakeSource) Read(context.Context) (connector.Chunk, error) {
	if err := s.vendor.fail; err != nil && len(s.units) < 3 {
		s.vendor.fail = nil
		return connector.Chunk{}, err
	}
	if len(s.chunks) == 0 {
		if len(s.units) == 0 {
			return connector.Chunk{}, io.EOF
		}
		u := s.units[0]
		s.units = s.units[1:]
		s.vendor.asked = append(s.vendor.asked, u.Dataset+" "+u.Symbol+" "+u.Interval().String())
		s.chunks = s.vendor.answer(u)
	}
	chunk := s.chunks[0]
	s.chunks = s.chunks[1:]
	return chunk, nil
}

// answer returns the rows of a unit and the row that ends it.
func (v *fakeVendor) answer(u market.Unit) []connector.Chunk {
	d, _ := market.DatasetByName(u.Dataset)
	b := batch.NewBuilder(d.Schema)
	switch u.Dataset {
	case market.Listing:
		for _, symbol := range v.list() {
			outDate, status := "", market.Listed
			if v.gone && symbol == stocks[2] {
				outDate, status = "2023-12-29", market.Delisted
			}
			v.row(b, symbol, "a stock", "stock", v.since, outDate, status)
		}
	case market.Bar1D:
		v.bars(b, u)
	case market.CalendarDay, market.Constituent, market.Valuation1D, market.Fundamental:
		v.further(b, u)
	case market.AdjFactor:
		if u.Symbol == stocks[1] && v.ex != 0 && !v.silent && u.Interval().Contains(v.ex) {
			b.Column(0).Text(u.Symbol)
			b.Column(1).Int(int64(v.ex))
			b.Column(2).Null()
			b.Column(3).Decimal(decimal128.FromI64(1_111_111))
			b.Column(4).Null()
		}
	}
	u.State = market.StateOK
	if state, ok := v.states[u.Symbol]; ok && u.Dataset == market.Bar1D {
		u.State, b = state, batch.NewBuilder(d.Schema)
	}
	u.Rows = int64(b.Len())
	var chunks []connector.Chunk
	if u.Rows > 0 {
		rows, err := b.Batch()
		if err != nil {
			v.t.Error(err)
		}
		chunks = append(chunks, connector.Chunk{Table: u.Dataset, Batch: rows})
	}
	end := batch.NewBuilder(market.UnitSchema())
	market.AppendUnit(end, u)
	row, err := end.Batch()
	if err != nil {
		v.t.Error(err)
	}
	return append(chunks, connector.Chunk{Table: market.UnitTable, Batch: row})
}

// row adds a row of texts; "" is NULL.
func (v *fakeVendor) row(b *batch.Builder, cells ...string) {
	for i, cell := range cells {
		if cell == "" {
			b.Column(i).Null()
		} else if err := b.Column(i).Any(cell); err != nil {
			v.t.Error(err)
		}
	}
}

// further answers for datasets that are served beside the usual ones: the members of an index are all stocks
// but the last, and each quarter has one statement, a month later.
func (v *fakeVendor) further(b *batch.Builder, u market.Unit) {
	_, open := v.open(market.XSHG, u.Interval())
	for day := u.From; day <= u.To; day++ {
		isOpen := slices.Contains(open, day)
		switch {
		case u.Dataset == market.CalendarDay:
			v.row(b, string(market.XSHG), day.String(), strconv.FormatBool(isOpen))
		case u.Dataset == market.Valuation1D && isOpen:
			ratio := "10"
			if v.hollow {
				ratio = ""
			}
			v.row(b, u.Symbol, day.String(), "10", "10", "10", ratio)
		case u.Dataset == market.Fundamental && len(market.QuarterEnds(market.Interval{From: day, To: day})) > 0:
			v.row(b, u.Symbol, day.String(), (day + 30).String(), "roe", "0.1", "", "")
		}
	}
	if u.Dataset == market.Constituent {
		for _, symbol := range stocks[:len(stocks)-1] {
			v.row(b, u.Symbol, symbol, "2020-01-01", "", "")
		}
	}
}

// open returns the calendar of an exchange, and the days of an interval on which it was open.
func (v *fakeVendor) open(mic market.MIC, days market.Interval) (*market.Calendar, []market.Date) {
	calendar := must(market.CalendarOf(mic))
	return calendar, must(calendar.Open(days.From, days.To))
}

func (v *fakeVendor) bars(b *batch.Builder, u market.Unit) {
	calendar, days := v.open(must(market.ParseSymbol(u.Symbol)).MIC, u.Interval())
	price := func(n int64) decimal128.Num { return decimal128.FromI64(n * 10_000) }
	for _, day := range days {
		if u.Symbol == stocks[0] && v.omits[day] || u.Symbol == deadStock && (day > v.dead || day < v.born) {
			continue
		}
		before := int64(10)
		if u.Symbol == stocks[1] && day == v.ex {
			before = 9
		}
		b.Column(0).Text(u.Symbol)
		b.Column(1).Int(int64(day))
		for i := 2; i < 6; i++ {
			b.Column(i).Decimal(price(10))
		}
		b.Column(6).Decimal(price(before))
		b.Column(7).Int(100)
		b.Column(8).Decimal(price(1000))
		b.Column(9).Null()
		b.Column(10).Bool(true)
		b.Column(11).Bool(false)
		b.Column(12).Bool(v.now.After(day.At(calendar.Zone(), 18*time.Hour)))
	}
}

// TestAbsenceIsAskedTwice: a day without a row is short, is asked for once more alone, and is then
// confirmed to have none; a row that came after all ends it sooner.
func TestAbsenceIsAskedTwice(t *testing.T) {
	v := newFakeVendor(t, "2024-04-10T12:00")
	v.omits[v.day("2024-03-12")], v.omits[v.day("2024-03-20")] = true, true
	report := v.want(ingest.StatusShort)
	if len(report.Missing) != 2 || report.Missing[0].From != "2024-03-12" || report.Missing[0].Symbol != stocks[0] {
		t.Fatalf("missing %v, want the two days of %s", report.Missing, stocks[0])
	}
	delete(v.omits, v.day("2024-03-20"))
	report = v.want(ingest.StatusComplete)
	want := []string{"bar_1d 600001.XSHG 2024-03-12", "bar_1d 600001.XSHG 2024-03-20"}
	if diff := cmp.Diff(want, v.asked); diff != "" {
		t.Errorf("asked the second time (-want +got):\n%s", diff)
	}
	if len(report.ConfirmedEmpty) != 1 || report.ConfirmedEmpty[0].From != "2024-03-12" {
		t.Errorf("confirmed %v, want 2024-03-12", report.ConfirmedEmpty)
	}
	report = v.want(ingest.StatusComplete)
	if len(v.asked) != 0 || report.Rows.Received != 0 || len(report.ConfirmedEmpty) != 1 {
		t.Errorf("the third sync asked %v and received %+v; want nothing, and the day still named", v.asked, report.Rows)
	}
}

// TestLateVendorIsAskedAgain: a day that the provider has not published yet is short for as long as it is
// young, however often it is asked for.
func TestLateVendorIsAskedAgain(t *testing.T) {
	v := newFakeVendor(t, "2024-03-29T19:00")
	v.omits[v.day("2024-03-29")] = true
	for range 3 {
		if report := v.want(ingest.StatusShort); len(report.Missing) != 1 || report.Missing[0].From != "2024-03-29" {
			t.Fatalf("missing %v, want the last day of %s", report.Missing, stocks[0])
		}
	}
	delete(v.omits, v.day("2024-03-29"))
	if bars := v.want(ingest.StatusComplete).Datasets[0]; bars.Stored != bars.Expected {
		t.Errorf("stored %d of %d", bars.Stored, bars.Expected)
	}
}

// TestFailedRunsConfirmNothing: rows that were received and not committed, twice, are fetched again.
// invariant: answers that may not have been committed confirm nothing
func TestFailedRunsConfirmNothing(t *testing.T) {
	v := newFakeVendor(t, "2024-04-10T12:00")
	for range 2 {
		v.fail = &connector.Error{Op: "ask fake", Class: connector.Permanent, Err: errors.New("budget spent")}
		report, err := v.sync(nil)
		if err == nil || len(report.ConfirmedEmpty) != 0 {
			t.Fatalf("got %v, and confirmed %v to have none", err, report.ConfirmedEmpty)
		}
		for _, m := range report.Missing {
			if !errorNamed(m.Why) {
				t.Errorf("missing %s, want the cause in it", m)
			}
		}
	}
	if bars := v.want(ingest.StatusComplete).Datasets[0]; bars.Stored != bars.Expected || bars.None != 0 {
		t.Errorf("stored %d of %d, %d have none", bars.Stored, bars.Expected, bars.None)
	}
}

// TestProvisionalRowsAreFetchedAgain: what was fetched before it was final is fetched again.
func TestProvisionalRowsAreFetchedAgain(t *testing.T) {
	v := newFakeVendor(t, "2024-03-29T15:30")
	report := v.want(ingest.StatusComplete)
	if report.Datasets[0].Provisional != len(stocks) {
		t.Errorf("%d rows are provisional, want today's of %d stocks", report.Datasets[0].Provisional, len(stocks))
	}
	v.at("2024-04-01T09:00")
	report = v.want(ingest.StatusComplete)
	want := []string{
		"instrument  2024-04-01", "bar_1d 600001.XSHG 2024-03-29", "bar_1d 600002.XSHG 2024-03-29",
		"bar_1d 600003.XSHG 2024-03-29",
	}
	if diff := cmp.Diff(want, v.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	if report.Datasets[0].Provisional != 0 || report.Rows.Changed != int64(len(stocks)) {
		t.Errorf("%d rows are provisional, %d changed; want 0 and %d", report.Datasets[0].Provisional,
			report.Rows.Changed, len(stocks))
	}
}

// TestFactorsFollowTheBars: factors are asked for once, and again only where bars show an ex-date.
func TestFactorsFollowTheBars(t *testing.T) {
	v := newFakeVendor(t, "2024-05-10T20:00")
	v.want(ingest.StatusComplete)
	v.config.Sync.To = "2024-04-12"
	v.want(ingest.StatusComplete)
	for _, asked := range v.asked {
		if asked[:3] == "adj" {
			t.Errorf("without an ex-date %s is asked", asked)
		}
	}
	v.ex, v.config.Sync.To = v.day("2024-04-22"), "2024-04-30"
	report := v.want(ingest.StatusComplete)
	last := v.asked[len(v.asked)-1]
	if len(v.asked) != 4 || last != "adj_factor 600002.XSHG 1990-12-03..2024-04-30" {
		t.Errorf("asked %v; want the bars, and of the one with an ex-date all factors since its market began", v.asked)
	}
	if report.Rows.New == 0 || len(report.Missing) != 0 {
		t.Errorf("rows %+v, missing %v", report.Rows, report.Missing)
	}
	v.want(ingest.StatusComplete)
	if len(v.asked) != 0 {
		t.Errorf("asked again: %v", v.asked)
	}
}

// TestFactorThatIsNotServed: an ex-date of the bars whose factor the provider does not give is asked for
// alone, is missing, and is believed when the next sync asks in vain too.
func TestFactorThatIsNotServed(t *testing.T) {
	v := newFakeVendor(t, "2024-04-10T12:00")
	v.ex, v.silent = v.day("2024-03-20"), true
	alone := "adj_factor 600002.XSHG 2024-03-20"
	report := v.want(ingest.StatusShort)
	if n := len(v.asked); len(report.Missing) != 1 || report.Missing[0].Dataset != market.AdjFactor || v.asked[n-1] != alone {
		t.Errorf("missing %v, asked %v; want the factor of 2024-03-20, asked for alone", report.Missing, v.asked)
	}
	report = v.want(ingest.StatusComplete)
	if len(report.ConfirmedEmpty) != 1 || len(v.asked) != 1 || v.asked[0] != alone {
		t.Errorf("confirmed %v, asked %v", report.ConfirmedEmpty, v.asked)
	}
}

// TestFailureIsReported: a run that cannot go on says why of all that it did not fetch, and the next one
// goes on there.
func TestFailureIsReported(t *testing.T) {
	v := newFakeVendor(t, "2024-04-10T12:00")
	v.want(ingest.StatusComplete)
	v.config.Sync.To = "2024-04-09"
	v.fail = &connector.Error{Op: "ask fake", Class: connector.Permanent, Err: errors.New("blacklisted")}
	report, err := v.sync(nil)
	if err == nil || report.Status != ingest.StatusFailed || len(report.Missing) == 0 {
		t.Fatalf("got %v and %+v, want a failed sync with what is missing", err, report)
	}
	for _, m := range report.Missing {
		if m.Dataset == market.Bar1D && !errorNamed(m.Why) {
			t.Errorf("missing %s, want the cause in it", m)
		}
	}
	v.want(ingest.StatusComplete)
	for _, asked := range v.asked {
		if len(asked) > 24 && asked[7:18] == stocks[0] && asked[19:29] < "2024-04-01" {
			t.Errorf("asked again for what was there: %s", asked)
		}
	}
}

func errorNamed(why string) bool {
	return len(why) > 13 && why[:13] == "not fetched: "
}

// TestInterruptIsNoFailure: a sync that the user stops ends as interrupted, and the next one completes it.
func TestInterruptIsNoFailure(t *testing.T) {
	v := newFakeVendor(t, "2024-04-10T12:00")
	report, err := v.sync(func(w *run.Workflow, _ func() ingest.Progress) bool {
		w.Drain()
		<-w.Done()
		return true
	})
	if !errors.Is(err, ingest.ErrInterrupted) || report == nil || report.Status != ingest.StatusInterrupted {
		t.Fatalf("got %v and %+v, want an interrupted sync", err, report)
	}
	v.want(ingest.StatusComplete)
}

// TestClockSetBack: a clock that stands before what the store holds is told of, loses nothing, and a clock
// that is right again has nothing to do.
func TestClockSetBack(t *testing.T) {
	v := newFakeVendor(t, "2024-04-10T12:00")
	first := v.want(ingest.StatusComplete)
	v.at("2024-03-15T12:00")
	report := v.want(ingest.StatusComplete)
	if len(report.Warnings) != 1 || !strings.Contains(report.Warnings[0], "the clock says 2024-03-15") ||
		!strings.Contains(report.Warnings[0], "2024-04-10") {
		t.Errorf("warnings %v, want the clock's", report.Warnings)
	}
	if report.Rows.New+report.Rows.Changed != 0 {
		t.Errorf("rows %+v under a clock set back", report.Rows)
	}
	v.at("2024-04-10T13:00")
	report = v.want(ingest.StatusComplete)
	for _, asked := range v.asked {
		if strings.HasPrefix(asked, market.Bar1D) {
			t.Errorf("asked again: %s", asked)
		}
	}
	if bars := report.Datasets[0]; bars.Stored != first.Datasets[0].Stored || len(report.Warnings) != 0 {
		t.Errorf("stored %d, want %d; warnings %v", bars.Stored, first.Datasets[0].Stored, report.Warnings)
	}
}
