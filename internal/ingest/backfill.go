package ingest

import (
	"context"
	"fmt"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/store"
)

// backfilled is the frequency under which coverage tells which dates were fetched again because columns
// of their rows were NULL: a provider that has nothing there is not asked for ever.
const backfilled = "backfilled"

// reopen takes the dates out of what is held of which columns of valuations or fundamentals are NULL, of
// instruments whose bars are complete, unless they were fetched again before.
func (j *job) reopen(scope *Scope, view *store.View) error {
	for _, dataset := range scope.Datasets {
		if dataset != market.Valuation1D && dataset != market.Fundamental {
			continue
		}
		open, err := incomplete(view, dataset, *scope)
		if err != nil {
			return err
		}
		done, err := view.CoverageIn(dataset, backfilled, j.Provider.Name, market.StateOK)
		if err != nil {
			return fmt.Errorf("read what was fetched again of %s: %w", dataset, err)
		}
		bars, err := scope.inventory(view, market.Bar1D, j.Cache)
		if err != nil {
			return err
		}
		for _, one := range scope.Instruments {
			symbol := one.Symbol.String()
			dates := open[symbol].Subtract(done[symbol]...)
			complete := bars.present[symbol].Subtract(bars.provisional[symbol]...)
			if dataset == market.Valuation1D {
				dates = dates.Intersect(complete...)
			} else if life := scope.life(dataset, one); len(scope.Sessions[one.Symbol.MIC].Missing(life, complete)) > 0 {
				continue
			}
			if len(dates) == 0 {
				continue
			}
			scope.Held[dataset][symbol] = scope.Held[dataset].of(symbol).Subtract(dates...)
			for _, v := range dates {
				j.reopened = append(j.reopened, store.Cover{
					Dataset: dataset, Freq: backfilled, Source: j.Provider.Name, Symbol: symbol, Interval: v,
					State: market.StateOK,
				})
			}
		}
	}
	return nil
}

// incomplete finds the dates of rows without all their columns, by symbol.
func incomplete(view *store.View, dataset string, scope Scope) (map[string]market.Intervals, error) {
	d, _ := market.DatasetByName(dataset)
	found := map[string]market.Intervals{}
	r, asked := store.Range{Symbols: scope.named(), From: scope.Span.From, To: scope.Span.To}, d.Time
	if dataset == market.Fundamental {
		r.To, asked = market.MaxDate, "stat_date" // a statement is asked for by its quarter, and published later
	}
	for rows, err := range view.Scan(dataset, r, nil) {
		if err != nil {
			return nil, fmt.Errorf("read %s of the store: %w", dataset, err)
		}
		symbols, dates := rows.Column(rows.Schema().Index("symbol")), rows.Column(rows.Schema().Index(asked))
		for i := range rows.Len() {
			if row := rows.Row(i); lacks(dataset, rows, row) {
				symbol := string(symbols.Bytes(row))
				found[symbol] = found[symbol].Add(market.Interval{
					From: market.Date(dates.Int(row)), To: market.Date(dates.Int(row)),
				})
			}
		}
	}
	return found, nil
}

// lacks reports whether a row lacks columns that a provider has. A fundamental has a value or an amount.
func lacks(dataset string, rows *batch.Batch, row int) bool {
	null := 0
	for _, name := range []string{"pe_ttm", "pb_mrq", "ps_ttm", "pcf_ncf_ttm", "value", "amount"} {
		if at := rows.Schema().Index(name); at >= 0 && rows.Column(at).IsNull(row) {
			null++
		}
	}
	if dataset == market.Fundamental {
		return null == 2
	}
	return null > 0
}

// noteReopened remembers which dates were fetched again.
func (j *job) noteReopened(ctx context.Context) error {
	var covers []store.Cover
	for _, cover := range j.reopened {
		for _, u := range j.planned {
			same := u.Dataset == cover.Dataset && (u.Symbol == "" || u.Symbol == cover.Symbol)
			if !same || u.From > cover.From || u.To < cover.To {
				continue
			}
			if answer, ok := j.answer(u.Unit); ok && answer.State.Covers() {
				covers = append(covers, cover)
				break
			}
		}
	}
	if len(covers) == 0 {
		return nil
	}
	if err := j.cover(ctx, covers); err != nil {
		return fmt.Errorf("commit what was fetched again: %w", err)
	}
	return nil
}
