package ingest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/store"
)

// Repair asks a provider again for what a verify doubts. It makes up no value: what is doubted is taken
// out of coverage, and a sync of all that the store was asked to keep fetches it anew; values that
// change are restatements of the store.
type Repair struct {
	Verify

	Sync   Sync // its Store and request are the repair's own
	DryRun bool // only says what would be done
}

// RepairKind is the kind under which the store keeps reports of repairs.
const RepairKind = "repair"

// RepairReport is what a repair found, did and left.
type RepairReport struct {
	Run       string    `json:"run"`
	Store     string    `json:"store"`
	Provider  string    `json:"provider"`
	DryRun    bool      `json:"dry_run,omitempty"`
	Started   time.Time `json:"started"`
	Seconds   float64   `json:"seconds"`
	Before    int64     `json:"sequence_before"`
	After     int64     `json:"sequence_after"`
	Errors    int       `json:"errors_found"`
	Warnings  int       `json:"warnings_found"`
	Doubts    []Doubt   `json:"doubts"`           // what is asked for again, and why; at most MaxFindings
	Abandoned []string  `json:"abandoned"`        // damaged segments that were given up
	Refused   []Finding `json:"not_repairable"`   // what asking again cannot mend, at most MaxFindings
	Rows      RowCounts `json:"rows"`             // that came
	Changed   []Changed `json:"changed"`          // at most MaxFindings
	Left      []Finding `json:"left"`             // what is wrong afterwards, at most MaxFindings
	LeftOver  int       `json:"errors_left"`      // all errors that are left
	Counts    []string  `json:"counts,omitempty"` // of what was found, by rule
	Notes     []string  `json:"notes,omitempty"`
}

// Doubt is a stretch of days of which rows are asked for again.
type Doubt struct {
	Dataset string `json:"dataset"`
	Symbol  string `json:"symbol"` // "": the whole universe
	From    string `json:"from"`
	To      string `json:"to"`
	Rules   string `json:"rules"`
}

// Changed is a stored value that the provider gives otherwise now.
type Changed struct {
	Commit  int64  `json:"commit"`
	Dataset string `json:"dataset"`
	Key     string `json:"key"`
	Column  string `json:"column"`
	Old     string `json:"old"`
	New     string `json:"new"`
	Rule    string `json:"rule,omitempty"` // by which the symbol was doubted
}

// doubted names what is asked for again.
type doubted struct{ dataset, symbol string }

// repairing is one repair under way.
type repairing struct {
	*Repair

	asked   []Ask
	days    map[doubted]market.Intervals
	rules   map[doubted][]string
	damaged []*store.Extent
	lost    []Finding // rows of damaged segments that no sync brings again
	refused int       // findings that asking again cannot mend
	report  *RepairReport
}

// Run verifies, takes what is doubted out of coverage, fetches it, and verifies again. The report is
// there once the first verify was made.
func (r *Repair) Run(ctx context.Context) (*RepairReport, error) {
	started := time.Now()
	p := &repairing{
		Repair: r, days: map[doubted]market.Intervals{}, rules: map[doubted][]string{},
		report: &RepairReport{
			Run:   fmt.Sprintf("repair-%s-%04x", started.UTC().Format("20060102T150405"), started.Nanosecond()&0xffff),
			Store: r.Store.Dir(), Provider: r.Sync.Provider.Name, DryRun: r.DryRun, Started: started, Doubts: []Doubt{},
			Abandoned: []string{}, Refused: []Finding{}, Changed: []Changed{}, Left: []Finding{},
		},
	}
	var err error
	if p.asked, err = asks(ctx, r.Store); err != nil {
		return nil, err
	}
	verify := r.Verify
	verify.each = p.take
	found, err := verify.Run(ctx)
	if err != nil {
		return nil, err
	}
	p.read(found)
	if !r.DryRun {
		err = p.do(ctx, found)
	}
	p.report.Seconds = time.Since(started).Seconds()
	if r.DryRun {
		return p.report, nil
	}
	return p.report, errors.Join(err, p.save(context.WithoutCancel(ctx), err))
}

// read turns findings into what is asked for again.
func (p *repairing) read(found *Verification) {
	p.report.Before, p.report.Errors, p.report.Warnings = found.Sequence, found.Errors, found.Warnings
	p.report.After, p.report.Notes = found.Sequence, found.Notes
	for _, rule := range slices.Sorted(maps.Keys(found.Counts)) {
		p.report.Counts = append(p.report.Counts, fmt.Sprintf("%s %d", rule, found.Counts[rule]))
	}
	all := 0
	for _, d := range slices.SortedFunc(maps.Keys(p.days), func(a, b doubted) int {
		return cmp.Or(cmp.Compare(a.dataset, b.dataset), cmp.Compare(a.symbol, b.symbol))
	}) {
		for _, v := range p.days[d] {
			if all++; all > MaxFindings {
				continue
			}
			p.report.Doubts = append(p.report.Doubts, Doubt{
				d.dataset, d.symbol, v.From.String(), v.To.String(), strings.Join(p.rules[d], ", "),
			})
		}
	}
	p.note(all-len(p.report.Doubts), "stretches of days are asked for again too")
	p.note(p.refused-len(p.report.Refused), "findings cannot be repaired either")
}

// note says what a list of the report leaves out.
func (p *repairing) note(n int, what string) {
	if n > 0 {
		p.report.Notes = append(p.report.Notes, fmt.Sprintf("%d more %s", n, what))
	}
}

// take turns a finding into what is asked for again. Of all findings, however many, only that is kept.
func (p *repairing) take(f Finding) {
	switch f.Rule {
	case RuleDamage:
		p.readDamage(f)
	case RuleVanished:
		p.refuse(f)
	default:
		p.readRow(f)
	}
}

// refuse notes a finding that asking again cannot mend.
func (p *repairing) refuse(f Finding) {
	if p.refused++; len(p.report.Refused) < MaxFindings {
		p.report.Refused = append(p.report.Refused, f)
	}
}

// mostStretches is how many stretches of days are kept apart of one symbol.
const mostStretches = 1000

var always = market.Interval{From: market.MinDate, To: market.MaxDate}

func (p *repairing) doubt(dataset, symbol string, days market.Interval, rule string) {
	d := doubted{dataset, symbol}
	if days.From == days.To {
		p.days[d] = appendDay(p.days[d], days.From)
	} else {
		p.days[d] = p.days[d].Add(days)
	}
	if len(p.days[d]) > mostStretches { // rather more is asked for than is kept in memory
		p.days[d] = market.Intervals{p.days[d].Span()}
	}
	if !slices.Contains(p.rules[d], rule) {
		p.rules[d] = append(p.rules[d], rule)
	}
}

// readDamage doubts all that a damaged segment may have held.
func (p *repairing) readDamage(f Finding) {
	e := f.extent
	switch {
	case e == nil || !e.Retired && !fetched(e.Dataset):
		p.refuse(f)
		return
	case e.Retired:
	case e.Symbols == nil || e.Dataset == market.Listing:
		p.doubt(e.Dataset, "", always, f.Rule)
	default:
		days := e.Dates
		if !bySession(e.Dataset) {
			days = always
		}
		for _, symbol := range e.Symbols {
			p.doubt(e.Dataset, symbol, days, f.Rule)
		}
	}
	p.damaged = append(p.damaged, e)
	p.report.Abandoned = append(p.report.Abandoned, f.Message)
}

// readRow doubts a row and, where the rule needs more than it, what it was compared with.
func (p *repairing) readRow(f Finding) {
	switch {
	case f.Rule == RuleRestated: // a provider that corrects one day corrects others
		p.doubt(f.Dataset, f.Symbol, always, f.Rule)
	case slices.Contains(reference, f.Dataset):
		p.doubt(f.Dataset, "", always, f.Rule)
	case !bySession(f.Dataset):
		p.doubt(f.Dataset, f.Symbol, always, f.Rule)
	case f.Rule == market.RulePreclose || f.Rule == market.RuleFactorProduct:
		f.dates.From -= lookBack
		p.doubt(f.Dataset, f.Symbol, f.dates, f.Rule)
		p.doubt(market.AdjFactor, f.Symbol, always, f.Rule)
	default:
		p.doubt(f.Dataset, f.Symbol, f.dates, f.Rule)
	}
}

// do repairs.
func (p *repairing) do(ctx context.Context, found *Verification) (err error) {
	if len(p.days) == 0 && len(p.damaged) == 0 {
		p.report.Left, p.report.LeftOver = found.Findings, found.Errors
		return nil
	}
	release, err := p.Sync.hold()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	if err := p.answerable(); err != nil {
		return fmt.Errorf("nothing was changed: %w", err)
	}
	if err := p.reachable(ctx); err != nil {
		return fmt.Errorf("nothing was changed, as provider %s cannot be asked: %w", p.Sync.Provider.Name, err)
	}
	if err := p.forget(ctx); err != nil {
		return err
	}
	if err := p.fetch(ctx); err != nil {
		return err
	}
	left, err := p.Verify.Run(ctx)
	if err != nil {
		return err
	}
	p.report.After, p.report.Left = left.Sequence, append(p.lost, left.Findings...)
	p.report.LeftOver = len(p.lost) + left.Errors
	return p.readChanged(ctx)
}

// answerable refuses a provider that no sync has asked, where another was: it would be asked for nothing.
func (p *repairing) answerable() error {
	var others []string
	for _, a := range p.asked {
		if a.Provider == p.Sync.Provider.Name {
			return nil
		}
		others = append(others, a.Provider)
	}
	if len(others) == 0 {
		return nil
	}
	slices.Sort(others)
	others = slices.Compact(others)
	return fmt.Errorf("no sync has asked %s for anything in this store (it was filled from %s: tapeline repair --provider %s)",
		p.Sync.Provider.Name, strings.Join(others, ", "), others[0])
}

// reachable asks whether the provider answers, where it can say: what is given up has to come again.
func (p *repairing) reachable(ctx context.Context) (err error) {
	source, err := p.Sync.Provider.Source(connector.Env{Log: p.Sync.logger()}, []market.Unit{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	if c, ok := source.(connector.Checker); ok {
		return c.Check(ctx)
	}
	return nil
}

// forget takes what is doubted out of coverage, and then gives damaged segments up: stopped in
// between, the damage is found again.
func (p *repairing) forget(ctx context.Context) (err error) {
	w, err := p.Store.Lock(ctx, "tapeline repair")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Unlock()) }()
	var covers []store.Cover
	sources := map[string]bool{}
	for _, a := range p.asked {
		sources[a.Provider] = true
	}
	if err := p.findLost(ctx, sources); err != nil {
		return err
	}
	for d, days := range p.days {
		freqs := []string{freqOf(d.dataset)}
		if d.dataset == market.Listing {
			freqs = append(freqs, provedList)
		}
		for source := range sources {
			for _, freq := range freqs {
				for _, v := range days {
					covers = append(covers, store.Cover{
						Dataset: d.dataset, Freq: freq, Source: source, Symbol: d.symbol, Interval: v,
					})
				}
			}
		}
	}
	if _, err := w.Commit(ctx, store.Changes{Run: p.report.Run, Coverage: covers}); err != nil {
		return fmt.Errorf("take what is doubted out of coverage: %w", err)
	}
	return w.Abandon(ctx, p.damaged)
}

// findLost names the symbols that damaged segments may have held and no sync has fetched: what was
// imported is not asked for again.
func (p *repairing) findLost(ctx context.Context, sources map[string]bool) (err error) {
	view, err := p.Store.View(ctx, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, view.Close()) }()
	for _, e := range p.damaged {
		if e.Retired {
			continue
		}
		known := Held{}
		for source := range sources {
			covered, err := view.Coverage(e.Dataset, freqOf(e.Dataset), source)
			if err != nil {
				return err
			}
			for symbol, days := range covered {
				known[symbol] = known[symbol].Add(days...)
			}
		}
		var lost []string
		for _, symbol := range e.Symbols {
			if len(known.of(symbol).Intersect(e.Dates)) == 0 {
				lost = append(lost, symbol)
			}
		}
		if len(lost) == 0 || e.Dataset == market.Listing {
			continue
		}
		p.lost = append(p.lost, Finding{
			Dataset: e.Dataset, From: e.Dates.From.String(), To: e.Dates.To.String(), Rule: RuleDamage, Severity: Wrong,
			Message: fmt.Sprintf("a segment that was given up may have held rows of %d symbols that no sync keeps: %s",
				len(lost), strings.Join(lost[:min(len(lost), maxReasons)], ", ")),
			Remedy: "import or sync them again",
		})
	}
	return nil
}

// fetch brings the store up to date with all it was asked to keep.
func (p *repairing) fetch(ctx context.Context) error {
	for _, a := range p.asked {
		if a.Provider != p.Sync.Provider.Name {
			p.report.Notes = append(p.report.Notes, fmt.Sprintf(
				"what was asked of %s was not asked for again: tapeline repair --provider %s", a.Provider, a.Provider))
			continue
		}
		s := p.Sync
		s.Store = p.Store
		c := &s.Config.Sync
		c.Universe, c.Symbols, c.Datasets, c.From, c.To, c.Freq = a.Universe, a.Symbols, a.Datasets, a.From, a.To, a.Freq
		report, err := s.Run(ctx)
		if report != nil {
			p.report.Rows.Received += report.Rows.Received
			p.report.Rows.New += report.Rows.New
			p.report.Rows.Changed += report.Rows.Changed
			p.report.Rows.Equal += report.Rows.Equal
			p.report.Rows.Quarantined += report.Rows.Quarantined
			p.report.After = report.After
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readChanged reads which values changed, from the store's own log.
func (p *repairing) readChanged(ctx context.Context) error {
	view, err := p.Store.View(ctx, 0)
	if err != nil {
		return err
	}
	defer view.Close()
	rows, err := readAll(view, store.Restatements, store.Range{After: store.Seq(p.report.Before)})
	if err != nil {
		return err
	}
	for _, b := range rows {
		text := func(row int, name string) string {
			c := b.Column(b.Schema().Index(name))
			if c.IsNull(row) {
				return "NULL"
			}
			return string(c.Bytes(row))
		}
		for i := range b.Len() {
			row := b.Row(i)
			if len(p.report.Changed) == MaxFindings {
				p.report.Notes = append(p.report.Notes, "dataset restatement holds the rest of what changed")
				return nil
			}
			c := Changed{
				Commit: b.Column(b.Schema().Index("commit")).Int(row), Dataset: text(row, "dataset"), Key: text(row, "key"),
				Column: text(row, "column"), Old: text(row, "old"), New: text(row, "new"),
			}
			c.Rule = p.ruleOf(c)
			p.report.Changed = append(p.report.Changed, c)
		}
	}
	return nil
}

// ruleOf returns why a changed row was asked for again.
func (p *repairing) ruleOf(c Changed) string {
	for d, rules := range p.rules {
		if d.dataset == c.Dataset && (d.symbol == "" || strings.Contains(c.Key, d.symbol)) {
			return strings.Join(rules, ", ")
		}
	}
	return ""
}

// save keeps the report in the store.
func (p *repairing) save(ctx context.Context, failure error) error {
	status := StatusComplete
	switch {
	case failure != nil && isInterrupt(failure):
		status = StatusInterrupted
	case failure != nil:
		status = StatusFailed
	case p.report.LeftOver > 0:
		status = StatusShort
	}
	text, err := json.Marshal(p.report)
	if err != nil {
		return err
	}
	return p.Store.SaveReport(ctx, store.Report{
		Run: p.report.Run, Kind: RepairKind, Status: string(status), Started: p.report.Started,
		Finished: time.Now(), JSON: text,
	})
}

// Whole reports whether no error is left, or, of a dry run, was found.
func (r *RepairReport) Whole() bool {
	if r.DryRun {
		return r.Errors == 0
	}
	return r.LeftOver == 0
}

// Text returns the report for people.
func (r *RepairReport) Text() string {
	const shown = 20 // of each list
	var b strings.Builder
	word := "repaired"
	if r.DryRun {
		word = "would be repaired; nothing was done"
	}
	fmt.Fprintf(&b, "%s: %d errors and %d warnings found at commit %d, %s, %.2f s\n", r.Store, r.Errors, r.Warnings,
		r.Before, word, r.Seconds)
	list := func(name string, n int, line func(i int) string) {
		for i := range min(n, shown) {
			fmt.Fprintf(&b, "  %-9s %s\n", name, line(i))
		}
		if n > shown {
			fmt.Fprintf(&b, "  %-9s and %d more; --json lists them\n", name, n-shown)
		}
	}
	list("found", len(r.Counts), func(i int) string { return r.Counts[i] })
	list("give up", len(r.Abandoned), func(i int) string { return r.Abandoned[i] })
	list("ask again", len(r.Doubts), func(i int) string {
		d := r.Doubts[i]
		days := d.From + ".." + d.To
		if d.From == always.From.String() {
			days = "all days"
		}
		return fmt.Sprintf("%s %s %s: %s", d.Dataset, cmp.Or(d.Symbol, "all"), days, d.Rules)
	})
	list("refused", len(r.Refused), func(i int) string { return r.Refused[i].String() + " -> " + r.Refused[i].Remedy })
	if !r.DryRun {
		fmt.Fprintf(&b, "  rows      %d received: %d new, %d changed, %d equal, %d quarantined\n", r.Rows.Received,
			r.Rows.New, r.Rows.Changed, r.Rows.Equal, r.Rows.Quarantined)
	}
	list("changed", len(r.Changed), func(i int) string {
		c := r.Changed[i]
		return fmt.Sprintf("%s %s %s: %s -> %s (%s)", c.Dataset, c.Key, c.Column, c.Old, c.New, c.Rule)
	})
	list("left", len(r.Left), func(i int) string { return fmt.Sprintf("%s %s", r.Left[i].Severity, r.Left[i]) })
	list("note", len(r.Notes), func(i int) string { return r.Notes[i] })
	return b.String()
}
