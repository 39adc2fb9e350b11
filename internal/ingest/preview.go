package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/store"
)

// Preview is what a sync would do, for people and programs.
type Preview struct {
	Provider string `json:"provider"`
	Store    string `json:"store"`
	From     string `json:"from"`
	To       string `json:"to"`
	Freq     string `json:"freq"`
	Symbols  int    `json:"symbols"`

	Reference []PlannedUnit    `json:"reference"` // what plans are made from, fetched first
	Datasets  []PlannedDataset `json:"datasets"`
	WorkUnits int              `json:"work_units"`
	Estimate

	Seconds float64       `json:"estimated_seconds"`
	Units   []PlannedUnit `json:"units"`
	Notes   []string      `json:"notes,omitempty"`
}

// PlannedUnit is one request.
type PlannedUnit struct {
	Dataset  string   `json:"dataset"`
	Symbol   string   `json:"symbol,omitempty"`
	From     string   `json:"from"`
	To       string   `json:"to"`
	Sessions int      `json:"sessions"`
	Gaps     []string `json:"gaps,omitempty"` // what it is for
}

// PlannedDataset sums up the requests for one dataset.
type PlannedDataset struct {
	Dataset  string `json:"dataset"`
	Symbols  int    `json:"symbols"`
	Requests int    `json:"requests"`
	Sessions int    `json:"sessions"`
}

// Preview plans without asking or writing anything. What is not known yet, as on an empty store, stands
// in its notes.
func (s *Sync) Preview(ctx context.Context, dir string) (p *Preview, err error) {
	r, err := request(s.Config.Sync, s.Provider.Provider, s.Now)
	if err != nil {
		return nil, err
	}
	var view *store.View
	if s.Store != nil {
		if view, err = s.Store.View(ctx, 0); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, view.Close()) }()
	}
	units, err := s.referenceUnits(view, r)
	if err != nil {
		return nil, err
	}
	known, err := readKnown(view, r, nil)
	if err != nil {
		return nil, err
	}
	p = &Preview{
		Provider: s.Provider.Name, Store: dir, From: r.Span.From.String(), To: r.Span.To.String(), Freq: r.Freq,
		Reference: []PlannedUnit{}, Datasets: []PlannedDataset{}, Units: []PlannedUnit{},
	}
	for _, u := range units {
		p.Reference = append(p.Reference, planned(Unit{Unit: u}))
	}
	p.assume(s.Provider, known, r)
	scope, err := s.scopeOf(known, r)
	if err != nil {
		return nil, err
	}
	if view != nil {
		if _, err := scope.readHeld(view, nil); err != nil {
			return nil, err
		}
		if err := scope.readAsked(view); err != nil {
			return nil, err
		}
	}
	p.plan(*scope)
	return p, nil
}

// assume makes up the instruments that are named and not stored, where a sync may come to know them.
func (p *Preview) assume(provider Provider, known *known, r Request) {
	list, lists := provider.Offer(market.Listing)
	if r.Symbols == nil || !lists {
		if len(known.instruments) == 0 && r.Symbols == nil {
			p.Notes = append(p.Notes, "the provider's list of instruments is not stored yet: what is asked of each "+
				"follows when it is")
		}
		return
	}
	var wanted []string
	for _, symbol := range r.Symbols {
		if !known.names(symbol) {
			wanted = append(wanted, symbol.String())
		}
	}
	where, stored := "", len(known.instruments)
	switch fetched := slices.ContainsFunc(p.Reference, func(u PlannedUnit) bool { return u.Dataset == market.Listing }); {
	case len(wanted) == 0:
		return
	case list.Survivors:
		where = "the provider's list holds what is listed now only: a sync takes them as they are named"
	case fetched:
		where = "a sync fetches the provider's list of instruments first"
	case provider.ListedOn != nil && !provider.ListedNow:
		where = fmt.Sprintf("a sync looks for them in the provider's lists of %d earlier days first, and refuses what "+
			"is in none", len(known.asOfDays(r, quarterMonths)))
	default:
		return // a sync refuses them too
	}
	for _, symbol := range r.Symbols {
		if !known.names(symbol) {
			known.instruments = append(known.instruments, r.unheardOf(symbol, provider.Provider))
		}
	}
	p.Notes = append(p.Notes, fmt.Sprintf("%d symbols are not among the %d instruments stored, and taken for listed "+
		"throughout; %s: %s", len(wanted), stored, where, strings.Join(wanted[:min(len(wanted), maxReasons)], ", ")))
}

func (p *Preview) plan(s Scope) {
	plan := s.withoutFollowers().Plan()
	p.Symbols, p.WorkUnits = len(s.Instruments), len(plan.Work)
	p.Estimate = plan.Estimate(s.Provider)
	p.Seconds = p.Time.Seconds()
	byDataset := map[string]*PlannedDataset{}
	for _, dataset := range s.Datasets {
		p.Datasets = append(p.Datasets, PlannedDataset{Dataset: dataset})
		if s.follows(dataset) {
			p.Notes = append(p.Notes, dataset+" of symbols that have some is asked for where new bars show an ex-date")
		}
	}
	for i := range p.Datasets {
		byDataset[p.Datasets[i].Dataset] = &p.Datasets[i]
	}
	seen := map[string]bool{}
	for _, u := range plan.Units() {
		d := byDataset[u.Dataset]
		d.Requests++
		d.Sessions += u.Sessions
		if key := u.Dataset + " " + u.Symbol; !seen[key] {
			seen[key] = true
			d.Symbols++
		}
		p.Units = append(p.Units, planned(u))
	}
}

func planned(u Unit) PlannedUnit {
	out := PlannedUnit{
		Dataset: u.Dataset, Symbol: u.Symbol, From: u.From.String(), To: u.To.String(), Sessions: u.Sessions,
	}
	for _, gap := range u.Gaps {
		out.Gaps = append(out.Gaps, gap.String())
	}
	return out
}

// Text returns the plan for people.
func (p *Preview) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "plan for %s from %s, %s..%s\n", p.Store, p.Provider, p.From, p.To)
	for _, u := range p.Reference {
		fmt.Fprintf(&b, "  first    %s\n", u)
	}
	for _, d := range p.Datasets {
		fmt.Fprintf(&b, "  %s: %d requests for %d symbols", d.Dataset, d.Requests, d.Symbols)
		if d.Sessions > 0 {
			fmt.Fprintf(&b, ", %d rows to expect", d.Sessions)
		}
		b.WriteString("\n")
	}
	took := time.Duration(p.Seconds * float64(time.Second)).Round(time.Second)
	fmt.Fprintf(&b, "  in all %d requests in %d work units, about %s at the provider's usual pace\n", p.Requests, p.WorkUnits, took)
	for i, u := range p.Units {
		if i == maxShown {
			fmt.Fprintf(&b, "  ... and %d more; --json lists all\n", len(p.Units)-i)
			break
		}
		fmt.Fprintf(&b, "  %s\n", u)
	}
	for _, note := range p.Notes {
		fmt.Fprintf(&b, "  note: %s\n", note)
	}
	return b.String()
}

// String is a line for people.
func (u PlannedUnit) String() string {
	symbol := u.Symbol
	if symbol == "" {
		symbol = "all"
	}
	text := fmt.Sprintf("%-12s %-12s %s..%s", u.Dataset, symbol, u.From, u.To)
	if u.Sessions > 0 {
		text += fmt.Sprintf(", %d sessions", u.Sessions)
	}
	return text
}
