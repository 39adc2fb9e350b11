package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"time"

	"github.com/tapeline/tapeline/internal/flow/plan"
	"github.com/tapeline/tapeline/internal/flow/run"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/obs"
	"github.com/tapeline/tapeline/internal/store"
)

// Sync brings a store up to date with a provider.
type Sync struct {
	Config   Config
	Provider Provider
	Store    *store.Store
	Now      time.Time
	// Start runs a workflow of the engine afresh.
	Start func(ctx context.Context, w *plan.Workflow) (*run.Workflow, error)
	// Follow shows how a workflow goes on until it ends, and whether the user stopped it; nil: nobody
	// looks.
	Follow func(w *run.Workflow, progress func() Progress) (interrupted bool)
	// Log gets what the modules do; nil: nobody reads it.
	Log *slog.Logger
	// Tuned are the settings that were changed to suit the machine; the report names them.
	Tuned []Tuned
	// Cache is that of the store, for all syncs of the process; nil: one for this sync alone. The
	// settings may switch it off.
	Cache *Cache
	// Usage reads what the process takes of the machine; nil: from the system.
	Usage func() (obs.Usage, error)
}

func (s *Sync) logger() *slog.Logger {
	if s.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.Log
}

// ErrInterrupted ends a sync that the user stopped. What was committed stays.
var ErrInterrupted = errors.New("interrupted; the next sync goes on at the first missing interval")

// Check finds what makes the request impossible, whatever the store holds.
func (s *Sync) Check() error {
	_, err := request(s.Config.Sync, s.Provider.Provider, s.Now)
	return err
}

// Run fetches what is missing and proves that nothing is. The report is there even when it fails,
// once the request was found to be possible; a store whose data are short afterwards is no error.
func (s *Sync) Run(ctx context.Context) (*Report, error) {
	request, err := request(s.Config.Sync, s.Provider.Provider, s.Now)
	if err != nil {
		return nil, err
	}
	queries, reads := s.Store.Queries(), s.Store.Reads()
	writer, err := s.Store.Lock(ctx, "tapeline sync "+s.Provider.Name)
	if err != nil {
		return nil, err
	}
	j := &job{
		Sync: s, request: request, writer: writer, report: s.newReport(request), queries: queries, reads: reads,
		renamed: map[market.Symbol]market.Symbol{},
	}
	switch settings := s.Config.Performance.Cache; {
	case !settings.Enable:
		s.Cache = nil
	case s.Cache == nil:
		s.Cache = NewCache(settings, s.logger())
	}
	s.Cache.begin(s.Config.Performance.Cache)
	j.writing = newWriting(s.Config.Performance.BatchWriter, s.Provider.Name, s.logger())
	j.governor = s.governor(j.writing)
	j.monitor = newMonitor(s.Config.Performance.Monitor, s.logger(), s.Usage)
	if err = s.Cache.follow(ctx, s.Store); err == nil {
		err = j.run(ctx)
	}
	err = errors.Join(err, j.remember(context.WithoutCancel(ctx)), writer.Unlock())
	if j.report.Status == "" {
		return nil, err // the request turned out to be impossible
	}
	return j.report, err
}

// job is one run of a sync.
type job struct {
	*Sync

	request  Request
	writer   *store.Writer
	report   *Report
	monitor  *monitor
	writing  *writing
	governor *governor
	queries  int64 // of the catalog, before this sync
	reads    int64 // of rows, before it
	scope    Scope
	before   map[string]Held // dates of which an answer was short before the run, by dataset
	tallies  []*tally
	planned  []Unit // of datasets
	failure  error  // of a workflow
	// compared is the store's comparison with what should be there; nil: something was fetched since.
	compared *proof

	// proved is the report of an earlier run that proved what this one would; nil: there is none.
	proved *Report

	reopened []store.Cover                   // dates of which columns are fetched again
	unlisted []Missing                       // what the list of instruments lacks
	renamed  map[market.Symbol]market.Symbol // codes that changed
}

// remember tells the cache up to which commit it holds.
func (j *job) remember(ctx context.Context) error {
	view, err := j.Store.View(ctx, 0)
	if err != nil {
		return err
	}
	j.Cache.reached(view.Seq())
	return view.Close()
}

func (j *job) run(ctx context.Context) error {
	err := j.fetchAll(ctx)
	if err != nil && j.report.Status == "" {
		return err
	}
	// The proof and the report are made even when ctx has ended.
	ctx = context.WithoutCancel(ctx)
	if j.proved != nil {
		j.monitor.enter("")
		j.finish(err)
		return errors.Join(err, j.save(ctx))
	}
	j.failure = err
	if cut := asCap(err); cut != nil {
		// The run did what can be done: the store is short, and the reasons of what is missing say why.
		j.report.Warnings, err = append(j.report.Warnings, cut.Error()), nil
	}
	if err == nil {
		err = errors.Join(j.noteReopened(ctx), j.noteEarly(ctx))
	}
	if proveErr := j.prove(ctx); proveErr != nil {
		err = errors.Join(err, proveErr)
	}
	if err == nil {
		j.monitor.enter("compact")
		// A compaction has memory of its own: what the rows and the proof took is given back before.
		j.compared = nil
		debug.FreeOSMemory()
		if _, compactErr := j.writer.Compact(ctx, false); compactErr != nil {
			// What was asked for is stored and proved; the next sync tries again.
			j.report.Warnings = append(j.report.Warnings, "the store was not compacted: "+compactErr.Error())
		}
	}
	j.monitor.enter("")
	j.finish(err)
	return errors.Join(err, j.save(ctx))
}

// fetchAll asks for everything that is missing.
func (j *job) fetchAll(ctx context.Context) (err error) {
	release, err := j.hold()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	j.monitor.enter("reference")
	if err := j.fetchReference(ctx); err != nil {
		return err
	}
	j.monitor.enter("plan")
	if err := j.findProof(ctx); err != nil || j.proved != nil {
		return err
	}
	scope, err := j.readScope(ctx)
	if err != nil {
		j.report.Status = ""
		return err
	}
	j.scope, j.report.Status = *scope, StatusFailed
	plan := scope.withoutFollowers().Plan()
	j.report.plan(plan, *scope)
	if err := j.begin(ctx); err != nil {
		return err
	}
	j.monitor.enter("fetch")
	if err := j.fetch(ctx, plan); err != nil {
		return err
	}
	j.monitor.enter("factors")
	if err := j.fetchFactors(ctx); err != nil {
		return err
	}
	return j.fetchExDates(ctx)
}

// fetchReference brings calendar, instruments and members of an index up to date.
func (j *job) fetchReference(ctx context.Context) error {
	view, err := j.Store.View(ctx, 0)
	if err != nil {
		return err
	}
	j.report.Before = int64(view.Seq())
	err = j.preloadKnown(view)
	var units []market.Unit
	if err == nil {
		units, err = j.referenceUnits(view, j.request)
	}
	var before known
	if err == nil {
		err = errors.Join(before.readInstruments(view, j.Cache), j.checkClock(view))
	}
	if err = errors.Join(err, view.Close()); err != nil {
		return err
	}
	j.warnOfSurvivors()
	if len(units) == 0 {
		return j.findBeyondList(ctx)
	}
	j.report.Status = StatusFailed
	rename := func(ctx context.Context, listed []market.Instrument) error {
		return j.rename(ctx, before.instruments, listed)
	}
	if err := j.execute(ctx, units, newTally(units), rename); err != nil {
		return err
	}
	list := slices.IndexFunc(units, func(u market.Unit) bool { return u.Dataset == market.Listing })
	if list >= 0 && j.provesList(j.request) {
		if err := j.proveList(ctx, units[list], before.instruments); err != nil {
			return err
		}
	}
	return j.findBeyondList(ctx)
}

// checkClock warns of a clock that stands before a day on which the store was kept already.
func (j *job) checkClock(view *store.View) error {
	for _, freq := range []string{"", provedList} {
		fetched, err := view.Coverage(market.Listing, freq, j.Provider.Name)
		if err != nil {
			return fmt.Errorf("read the coverage of %s: %w", market.Listing, err)
		}
		if days := fetched[""]; len(days) > 0 && days.Span().To > j.request.Today {
			j.report.Warnings = append(j.report.Warnings, fmt.Sprintf(
				"the clock says %s at the exchange, and the list of instruments was fetched on %s already: "+
					"set the clock right; later days are not looked at", j.request.Today, days.Span().To))
			break
		}
	}
	return nil
}

// referenceUnits plans what plans are made from.
func (s *Sync) referenceUnits(view *store.View, r Request) ([]market.Unit, error) {
	var units []market.Unit
	coverage := func(dataset, freq string) (market.Intervals, error) {
		if view == nil {
			return nil, nil
		}
		all, err := view.Coverage(dataset, freq, s.Provider.Name)
		if err != nil {
			return nil, fmt.Errorf("read the coverage of %s: %w", dataset, err)
		}
		return all[""], nil
	}
	unit := func(dataset, symbol string, v market.Interval) {
		units = append(units, market.Unit{
			Dataset: dataset, Symbol: symbol, Source: s.Provider.Name, From: v.From, To: v.To,
		})
	}
	further := false // than any sync before
	if _, ok := s.Provider.Offer(market.CalendarDay); ok {
		have, err := coverage(market.CalendarDay, "")
		if err != nil {
			return nil, err
		}
		if gap := (market.Intervals{r.Span}).Subtract(have...); len(gap) > 0 {
			unit(market.CalendarDay, "", gap.Span())
			further = len(have) > 0 && gap.Span().To > have.Span().To
		}
	}
	list, listed := s.Provider.Offer(market.Listing)
	if listed && !list.Shapes.Has(market.Whole) {
		stale, err := s.stale(view, r)
		if err != nil {
			return nil, err
		}
		for _, symbol := range stale {
			today := r.today(symbol.MIC)
			unit(market.Listing, symbol.String(), market.Interval{From: today, To: today})
		}
	} else if listed {
		freq := ""
		if s.provesList(r) {
			freq = provedList
		}
		have, err := coverage(market.Listing, freq)
		if err != nil {
			return nil, err
		}
		if further || !s.fresh(have, r.Today) { // new days may have new listings
			unit(market.Listing, "", market.Interval{From: r.Today, To: r.Today})
		}
	}
	if _, ok := s.Provider.Offer(market.Constituent); ok && r.Index != (market.Symbol{}) {
		unit(market.Constituent, r.Index.String(), market.Interval{From: r.Span.To, To: r.Span.To})
	}
	return units, nil
}

// stale returns the symbols asked for of which a provider without a list of all has to be asked what they
// are.
func (s *Sync) stale(view *store.View, r Request) (symbols []market.Symbol, err error) {
	var have map[string]market.Intervals
	if view != nil {
		if have, err = view.Coverage(market.Listing, "", s.Provider.Name); err != nil {
			return nil, fmt.Errorf("read the coverage of %s: %w", market.Listing, err)
		}
	}
	for _, symbol := range r.Symbols {
		if !s.fresh(have[symbol.String()], r.today(symbol.MIC)) {
			symbols = append(symbols, symbol)
		}
	}
	return symbols, nil
}

// fresh reports whether the list of instruments was fetched recently enough. Coverage of it is the
// days on which it was fetched.
func (s *Sync) fresh(fetched market.Intervals, today market.Date) bool {
	cache := s.Config.Performance.Cache
	days := market.Date(cache.StockMetadataTTL / (24 * 3600))
	if !cache.Enable || len(fetched) == 0 || days == 0 {
		return false
	}
	age := today - fetched.Span().To
	return age >= 0 && age < days
}

// readScope reads what the plan depends on.
func (j *job) readScope(ctx context.Context) (*Scope, error) {
	view, err := j.Store.View(ctx, 0)
	if err != nil {
		return nil, err
	}
	defer view.Close()
	known, err := readKnown(view, j.request, j.Cache)
	if err != nil {
		return nil, err
	}
	j.report.disagree(known.disagree)
	known.members = j.withoutUnlisted(known.members)
	scope, err := j.scopeOf(known, j.request)
	if err != nil {
		return nil, err
	}
	if err := j.preloadDays(scope, view); err != nil {
		return nil, err
	}
	if _, err := scope.readHeld(view, j.Cache); err != nil {
		return nil, err
	}
	if err := scope.readAsked(view); err != nil {
		return nil, err
	}
	if j.Config.Sync.EnableSmartBackfill {
		if err := j.reopen(scope, view); err != nil {
			return nil, err
		}
	}
	j.before = map[string]Held{}
	for _, dataset := range scope.Datasets {
		if j.before[dataset], err = scope.coverage(view, dataset, market.StatePartial); err != nil {
			return nil, err
		}
	}
	return scope, nil
}

// scopeOf is the scope of a request before it is known what is held.
func (s *Sync) scopeOf(known *known, r Request) (*Scope, error) {
	sessions, around, err := known.sessions(r)
	if err != nil {
		return nil, err
	}
	if err := checkSessions(r.Span, sessions, around); err != nil {
		return nil, err
	}
	instruments, err := r.choose(known.instruments, known.members, s.Provider.Provider)
	if err != nil {
		return nil, err
	}
	return &Scope{
		Provider: s.Provider.Provider, Instruments: instruments, Sessions: sessions, Span: r.Span,
		Datasets: r.Datasets, Freq: r.Freq, Final: r.Final, clocks: r.clocks, Held: map[string]Held{},
		BatchSize: s.Config.Sync.BatchSize, JoinSessions: s.Config.Sync.JoinSessions,
		Universe: r.Symbols == nil, Route: s.Config.Sync.Route,
	}, nil
}

// readHeld fills what is held, and returns the rows of the datasets by session.
func (s *Scope) readHeld(view *store.View, cache *Cache) (map[string]inventory, error) {
	inventories := map[string]inventory{}
	for _, dataset := range s.Datasets {
		if bySession(dataset) {
			inv, err := s.inventory(view, dataset, cache)
			if err != nil {
				return nil, err
			}
			inventories[dataset] = inv
		}
		covered, err := s.coverage(view, dataset, market.StateOK)
		if err != nil {
			return nil, err
		}
		none, err := s.coverage(view, dataset, market.StateEmpty)
		if err != nil {
			return nil, err
		}
		s.Held[dataset] = held(covered, none, inventories[dataset], bySession(dataset))
	}
	return inventories, nil
}

// coverage returns the dates of a dataset in a state.
func (s *Scope) coverage(view *store.View, dataset string, state market.State) (Held, error) {
	dates, err := view.CoverageIn(dataset, s.freq(dataset), s.Provider.Name, state)
	if err != nil {
		return nil, fmt.Errorf("read the coverage of %s: %w", dataset, err)
	}
	return dates, nil
}

// named returns the symbols to read by name; nil where there are so many that all are read.
func (s *Scope) named() []string {
	const few = 500
	if len(s.Instruments) > few {
		return nil
	}
	symbols := make([]string, len(s.Instruments))
	for i, one := range s.Instruments {
		symbols[i] = one.Symbol.String()
	}
	slices.Sort(symbols)
	return symbols
}

// fetch runs a plan as one workflow.
func (j *job) fetch(ctx context.Context, p Plan) error {
	if len(p.Work) == 0 {
		return nil
	}
	j.planned, j.compared = append(j.planned, p.Units()...), nil
	t := newTally(p.Requests())
	t.expect(p.Units())
	return j.execute(ctx, p.Requests(), t, nil)
}

// execute runs units through the engine.
func (j *job) execute(
	ctx context.Context, units []market.Unit, t *tally, rename func(context.Context, []market.Instrument) error,
) error {
	j.tallies = append(j.tallies, t)
	w, err := j.Start(ctx, j.workflow(units, t, rename))
	if err != nil {
		return err
	}
	interrupted := false
	if j.Follow != nil {
		interrupted = j.Follow(w, t.progress)
	}
	report, err := w.Wait()
	j.report.addRun(report)
	j.monitor.add(t.rows())
	if interrupted {
		return ErrInterrupted
	}
	return err
}

func (j *job) traffic() Traffic {
	if j.Provider.Traffic == nil {
		return Traffic{}
	}
	return j.Provider.Traffic()
}
