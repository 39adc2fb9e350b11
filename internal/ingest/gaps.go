package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/store"
)

// Ask is what a sync was asked to keep; the store's reports hold it.
type Ask struct {
	Provider string   `json:"provider"`
	Universe string   `json:"universe"`
	Index    string   `json:"index,omitempty"`
	Symbols  []string `json:"symbols,omitempty"` // canonical; none: the universe
	Datasets []string `json:"datasets"`
	From     string   `json:"from"`
	To       string   `json:"to"`
	Freq     string   `json:"freq"`
}

// Gaps is what is missing of all that a store was asked to keep.
type Gaps struct {
	Store          string          `json:"store"`
	Sequence       int64           `json:"sequence"`
	Asked          []Ask           `json:"asked"`
	Datasets       []DatasetReport `json:"datasets"`
	Missing        []Missing       `json:"missing"`
	ConfirmedEmpty []Missing       `json:"confirmed_empty,omitempty"`
}

// asks returns what syncs were asked to keep, the latest first. Those that differ in their days alone, which
// overlap or are neighbours, are one.
func asks(ctx context.Context, s *store.Store) ([]Ask, error) {
	texts, err := s.Asked(ctx, ReportKind)
	if err != nil {
		return nil, fmt.Errorf("read the reports of %s: %w", s.Dir(), err)
	}
	var list []Ask
	at := map[string][]int{} // places in the list, by all but the days
	for _, text := range texts {
		var a Ask
		if err := json.Unmarshal(text, &a); err != nil {
			return nil, fmt.Errorf("report in %s: %w", s.Dir(), err)
		}
		timeless := a
		timeless.From, timeless.To = "", ""
		key, _ := json.Marshal(timeless) // texts and lists of them always encode
		joined := false
		for _, i := range at[string(key)] {
			if joined, err = list[i].join(a); joined || err != nil {
				break
			}
		}
		if err != nil {
			return nil, fmt.Errorf("report in %s: %w", s.Dir(), err)
		}
		if !joined {
			at[string(key)] = append(at[string(key)], len(list))
			list = append(list, a)
		}
	}
	return list, nil
}

// join widens an ask by the days of another like it, and reports whether they have no day between them.
func (a *Ask) join(b Ask) (bool, error) {
	own, err := a.span()
	if err != nil {
		return false, err
	}
	other, err := b.span()
	if err != nil {
		return false, err
	}
	if !other.Empty() && !own.Empty() {
		both := market.Intervals{}.Add(own, other)
		if len(both) > 1 {
			return false, nil
		}
		own = both.Span()
	} else if own.Empty() {
		own = other
	}
	a.From, a.To = own.From.String(), own.To.String()
	return true, nil
}

// FindGaps compares a store with all that it was asked to keep.
func FindGaps(ctx context.Context, s *store.Store, providers func(name string) (market.Provider, error)) (g *Gaps, err error) {
	view, err := s.View(ctx, 0)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, view.Close()) }()
	g = &Gaps{Store: s.Dir(), Sequence: int64(view.Seq()), Datasets: []DatasetReport{}, Missing: []Missing{}}
	if g.Asked, err = asks(ctx, s); err != nil {
		return nil, err
	}
	if len(g.Asked) == 0 {
		return nil, fmt.Errorf("nothing was synced into %s yet; begin with tapeline sync --store %s", s.Dir(), s.Dir())
	}
	seen := map[Missing]bool{}
	for _, ask := range g.Asked {
		provider, err := providers(ask.Provider)
		if err != nil {
			return nil, err
		}
		span, err := ask.span()
		if err != nil {
			return nil, err
		}
		if span.Empty() {
			continue // all of it was today, and not final
		}
		p, err := ask.prove(ctx, view, provider, span)
		if err != nil {
			return nil, err
		}
		g.add(p, seen)
	}
	return g, nil
}

// prove compares the store with one ask.
func (a Ask) prove(
	ctx context.Context, view *store.View, provider market.Provider, span market.Interval,
) (_ *proof, err error) {
	r := Request{Datasets: a.Datasets, Span: span, Final: span.To, Freq: a.Freq}
	for _, text := range a.Symbols {
		symbol, err := market.ParseSymbol(text)
		if err != nil {
			return nil, err
		}
		r.Symbols = append(r.Symbols, symbol)
	}
	if err := r.markets(provider); err != nil {
		return nil, err
	}
	if a.Index != "" {
		if r.Index, err = market.ParseSymbol(a.Index); err != nil {
			return nil, err
		}
	}
	known, err := readKnown(view, r, nil)
	if err != nil {
		return nil, err
	}
	s := &Sync{Provider: Provider{Provider: provider}}
	scope, err := s.scopeOf(known, r)
	if err != nil {
		return nil, err
	}
	return newProof(ctx, view, *scope, 0, nil)
}

func (a Ask) span() (v market.Interval, err error) {
	if v.From, err = market.ParseDate(a.From); err != nil {
		return v, err
	}
	v.To, err = market.ParseDate(a.To)
	return v, err
}

// add takes over a comparison, each gap once.
func (g *Gaps) add(p *proof, seen map[Missing]bool) {
	for _, d := range p.datasets() {
		known := false
		for i := range g.Datasets {
			if g.Datasets[i].Dataset == d.Dataset {
				known = true
				// Asks overlap, so that sums would count twice: the widest speaks.
				if d.Expected > g.Datasets[i].Expected || d.Symbols > g.Datasets[i].Symbols {
					g.Datasets[i] = d
				}
			}
		}
		if !known {
			g.Datasets = append(g.Datasets, d)
		}
	}
	for _, m := range p.missing {
		if !seen[m] {
			seen[m] = true
			g.Missing = append(g.Missing, m)
		}
	}
	for _, m := range p.none {
		if !seen[m] {
			seen[m] = true
			g.ConfirmedEmpty = append(g.ConfirmedEmpty, m)
		}
	}
}

// Text returns the gaps for people, all of them.
func (g *Gaps) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s at commit %d: %d gaps\n", g.Store, g.Sequence, len(g.Missing))
	for _, d := range g.Datasets {
		fmt.Fprintf(&b, "  %s\n", d)
	}
	for _, m := range g.Missing {
		fmt.Fprintf(&b, "  missing  %s\n", m)
	}
	for _, m := range g.ConfirmedEmpty {
		fmt.Fprintf(&b, "  none     %s\n", m)
	}
	return b.String()
}
