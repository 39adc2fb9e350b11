package ingest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/store"
)

// Verify looks for what is wrong in a store. It changes nothing.
type Verify struct {
	Store     *store.Store
	Providers func(name string) (market.Provider, error)
	Symbols   []market.Symbol // nil: all
	Span      market.Interval // zero: all days
	Sample    *Sample         // what is asked of a provider again; nil: nothing
	// Progress is told how far a step has come; nil: nobody looks.
	Progress func(step string, done, all int64)

	each func(Finding) // is told every finding, also those that are not kept; nil: nobody listens
}

// Severity is how bad a finding is.
type Severity string

// The severities.
const (
	Wrong    Severity = "error"   // data are damaged, missing, or contradict each other or the provider
	Doubtful Severity = "warning" // data are unlikely; the provider may well confirm them
)

// Rules of findings beside the rules of quality of package market.
const (
	RuleDamage   = "damage"   // a segment or the catalog does not read as it was written
	RuleMissing  = "missing"  // a session has no row
	RuleRestated = "restated" // the provider says another value now
	RuleVanished = "vanished" // the provider has no such row any more
)

// Finding is one thing that is wrong.
type Finding struct {
	Dataset  string   `json:"dataset"`
	Symbol   string   `json:"symbol,omitempty"`
	From     string   `json:"from,omitempty"` // the first day it is about
	To       string   `json:"to,omitempty"`   // the last
	Rule     string   `json:"rule"`
	Column   string   `json:"column,omitempty"`
	Stored   string   `json:"stored,omitempty"`
	Provider string   `json:"provider,omitempty"` // what the provider says now
	Message  string   `json:"message"`
	Severity Severity `json:"severity"`
	Remedy   string   `json:"remedy"`

	extent *store.Extent // of a damaged segment
	dates  market.Interval
}

// String is a line for people.
func (f Finding) String() string {
	days := f.From
	if f.To != f.From {
		days += ".." + f.To
	}
	parts := []string{f.Dataset, f.Symbol, days, f.Rule + ":", f.Message}
	return strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), " ")
}

// Verification is what a verify found, for people and programs.
type Verification struct {
	Store    string           `json:"store"`
	Sequence int64            `json:"sequence"`
	Segments int              `json:"segments"`
	Rows     map[string]int64 `json:"rows"` // that were checked, by dataset
	// Sampled are the cells that were compared with the provider's.
	Sampled  SampleCount    `json:"sampled"`
	Findings []Finding      `json:"findings"` // at most MaxFindings
	Counts   map[string]int `json:"counts"`   // of all findings, by rule
	Errors   int            `json:"errors"`
	Warnings int            `json:"warnings"`
	Notes    []string       `json:"notes,omitempty"` // what could not be checked, and why
	Seconds  float64        `json:"seconds"`
}

// MaxFindings bounds how many findings are kept, of more rather errors than warnings; the counts are of all.
const MaxFindings = 10_000

// Run checks the bytes of the store, what is missing, every row, and the sample.
func (v *Verify) Run(ctx context.Context) (result *Verification, err error) {
	begun := time.Now()
	view, err := v.Store.View(ctx, 0)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, view.Close()) }()
	if err := view.Known(texts(v.Symbols)); err != nil {
		return nil, &RequestError{Reasons: []string{err.Error()}}
	}
	c := &check{Verify: v, view: view, out: &Verification{
		Store: v.Store.Dir(), Sequence: int64(view.Seq()), Rows: map[string]int64{}, Findings: []Finding{},
		Counts: map[string]int{},
	}}
	for _, step := range []func(context.Context) error{c.segments, c.gaps, c.rows, c.sample} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	c.out.Seconds = time.Since(begun).Seconds()
	return c.out, nil
}

// check is one run of a verify.
type check struct {
	*Verify

	view     *store.View
	out      *Verification
	warnings []int           // places of warnings among the findings
	damaged  map[string]bool // datasets with rows that do not read
}

func (v *Verify) progress(step string, done, all int64) {
	if v.Progress != nil {
		v.Progress(step, done, all)
	}
}

// concerns reports whether a symbol and days are among those asked for.
func (v *Verify) concerns(symbol string, days market.Interval) bool {
	if v.Span != (market.Interval{}) && v.Span.Intersect(days).Empty() {
		return false
	}
	return v.Symbols == nil || slices.ContainsFunc(v.Symbols, func(s market.Symbol) bool {
		return s.String() == symbol
	})
}

func (c *check) add(f Finding) {
	if f.dates != (market.Interval{}) {
		f.From, f.To = f.dates.From.String(), f.dates.To.String()
	}
	if f.Severity == "" {
		f.Severity = Wrong
	}
	if c.Verify != nil && c.each != nil {
		c.each(f)
	}
	c.out.Counts[f.Rule]++
	if f.Severity == Wrong {
		c.out.Errors++
	} else {
		c.out.Warnings++
	}
	switch n := len(c.warnings); {
	case len(c.out.Findings) < MaxFindings:
		if f.Severity != Wrong {
			c.warnings = append(c.warnings, len(c.out.Findings))
		}
		c.out.Findings = append(c.out.Findings, f)
	case f.Severity == Wrong && n > 0: // warnings give way
		c.out.Findings[c.warnings[n-1]] = f
		c.warnings = c.warnings[:n-1]
	}
}

func (c *check) note(format string, args ...any) {
	c.out.Notes = append(c.out.Notes, fmt.Sprintf(format, args...))
}

// segments reads all bytes of the store.
func (c *check) segments(ctx context.Context) error {
	problems, err := c.Store.Verify(ctx, func(read, all int) {
		c.out.Segments = all
		c.progress("segments", int64(read), int64(all))
	})
	if err != nil {
		return err
	}
	c.damaged = map[string]bool{}
	for _, p := range problems {
		f := Finding{
			Dataset: p.Place, Rule: RuleDamage, Message: p.Message, extent: p.Segment,
			Remedy: "restore the store's folder from a backup or a snapshot",
		}
		if e := p.Segment; e != nil {
			f.Dataset, f.Message = e.Dataset, p.Place+": "+p.Message
			if e.Dates.From != market.MinDate {
				f.dates = e.Dates
			}
			if fetched(e.Dataset) {
				f.Remedy = "tapeline repair gives the segment up and fetches its rows again"
			}
			if e.Retired {
				f.Remedy = "no current row is in it; tapeline repair gives it up, with the reads as of earlier commits"
			}
			c.damaged[e.Dataset] = c.damaged[e.Dataset] || !e.Retired
		}
		c.add(f)
	}
	for name := range c.damaged {
		if c.damaged[name] {
			c.note("rows of %s were not checked: a segment of it is damaged", name)
		}
	}
	slices.Sort(c.out.Notes)
	return nil
}

// fetched reports whether a dataset's rows came from a provider, which can be asked again.
func fetched(dataset string) bool {
	_, ok := market.DatasetByName(dataset)
	return ok
}

// gaps compares the store with what it was asked to keep.
func (c *check) gaps(ctx context.Context) error {
	asked, err := asks(ctx, c.Store)
	if err != nil {
		return err
	}
	if len(asked) == 0 {
		c.note("what is missing is not known: no sync has filled the store yet")
		return nil
	}
	for _, dataset := range slices.Sorted(maps.Keys(c.damaged)) {
		if c.damaged[dataset] && (fetched(dataset) || dataset == quarantined) {
			c.note("what is missing is not known: a segment of %s is damaged", dataset)
			return nil
		}
	}
	c.progress("gaps", 0, 0)
	found, err := FindGaps(ctx, c.Store, c.Providers)
	if err != nil {
		return err
	}
	for _, m := range found.Missing {
		days, err := m.days()
		if err != nil {
			return err
		}
		if c.concerns(m.Symbol, days) {
			c.add(Finding{
				Dataset: m.Dataset, Symbol: m.Symbol, dates: days, Rule: RuleMissing,
				Message: fmt.Sprintf("%d sessions: %s", m.Sessions, m.Why), Remedy: "tapeline sync or repair asks for it",
			})
		}
	}
	return nil
}

func (m Missing) days() (v market.Interval, err error) {
	return Ask{From: m.From, To: m.To}.span()
}

// Text returns the findings for people: all counts, and the first of each rule.
func (v *Verification) Text() string {
	const shown = 10 // of each rule
	var b strings.Builder
	rows := int64(0)
	for _, n := range v.Rows {
		rows += n
	}
	fmt.Fprintf(&b, "%s at commit %d: %d errors, %d warnings; %d segments, %d rows checked, %.2f s\n",
		v.Store, v.Sequence, v.Errors, v.Warnings, v.Segments, rows, v.Seconds)
	if s := v.Sampled; s.Requests > 0 {
		fmt.Fprintf(&b, "  sample   %d requests, %d rows and %d cells compared with %s\n",
			s.Requests, s.Rows, s.Cells, s.Provider)
	}
	for _, n := range v.Notes {
		fmt.Fprintf(&b, "  note     %s\n", n)
	}
	printed := map[string]int{}
	for _, f := range v.Findings {
		if printed[f.Rule]++; printed[f.Rule] > shown {
			continue
		}
		fmt.Fprintf(&b, "  %-8s %s\n", f.Severity, f)
		if printed[f.Rule] == 1 {
			fmt.Fprintf(&b, "           -> %s\n", f.Remedy)
		}
		if n := v.Counts[f.Rule] - shown; printed[f.Rule] == shown && n > 0 {
			fmt.Fprintf(&b, "  %-8s and %d more of rule %s; --json lists them\n", f.Severity, n, f.Rule)
		}
	}
	return b.String()
}
