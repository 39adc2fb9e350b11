package ingest

import (
	"context"
	"fmt"
	"slices"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/store"
)

// remedies say what to do about a row that breaks a rule, and how bad that is.
func remedyOf(rule string) (string, Severity) {
	switch rule {
	case market.RuleLimitBand:
		return "rare and possible, as on a first day of trading; tapeline repair asks again", Doubtful
	case market.RuleSession, market.RuleLife:
		return "tapeline repair asks again; if the provider insists, its calendar or its list of instruments is wrong", Wrong
	case market.RulePreclose, market.RuleFactorProduct:
		return "tapeline repair asks again for the day, the one before and all factors", Wrong
	}
	return "tapeline repair asks for the row again", Wrong
}

// rows applies all rules of quality to every stored row.
func (c *check) rows(ctx context.Context) error {
	sizes, err := c.Store.Stats(ctx)
	if err != nil {
		return err
	}
	all := int64(0)
	for _, s := range sizes {
		if fetched(s.Dataset) {
			all += s.Rows
		}
	}
	about, err := c.references(ctx)
	if err != nil {
		return err
	}
	done := int64(0)
	for _, s := range sizes {
		if !fetched(s.Dataset) || c.damaged[s.Dataset] {
			continue
		}
		verifier, err := market.NewVerifier(s.Dataset, about)
		if err != nil {
			return err
		}
		for rows, err := range c.view.Scan(s.Dataset, c.span(s.Dataset), nil) {
			if err != nil {
				return fmt.Errorf("read %s of the store: %w", s.Dataset, err)
			}
			if err := context.Cause(ctx); err != nil {
				return err
			}
			c.checkRows(s.Dataset, rows, verifier)
			done += int64(rows.Len())
			c.out.Rows[s.Dataset] += int64(rows.Len())
			c.progress("rows", done, all)
		}
	}
	return nil
}

// span is what is read of a dataset.
func (c *check) span(dataset string) store.Range {
	r := store.Range{From: c.Span.From, To: c.Span.To}
	d, _ := market.DatasetByName(dataset)
	if c.Symbols != nil && slices.Contains(d.Key, "symbol") && d.Key[0] == "symbol" {
		r.Symbols = texts(c.Symbols)
	}
	return r
}

func texts(symbols []market.Symbol) []string {
	list := make([]string, 0, len(symbols))
	for _, s := range symbols {
		list = append(list, s.String())
	}
	return list
}

func (c *check) checkRows(dataset string, rows *batch.Batch, verifier *market.Verifier) {
	found := append(market.Check(dataset, rows), verifier.Batch(rows)...)
	if len(found) == 0 {
		return
	}
	d, _ := market.DatasetByName(dataset)
	symbols, dates := rows.Schema().Index("symbol"), rows.Schema().Index(d.Time)
	for _, e := range found {
		f := Finding{Dataset: dataset, Rule: e.Rule, Message: e.Message}
		f.Remedy, f.Severity = remedyOf(e.Rule)
		if symbols >= 0 {
			f.Symbol = string(rows.Column(symbols).Bytes(e.Row))
		}
		if dates >= 0 && rows.Column(dates).Type().Kind == batch.Date {
			day := market.Date(rows.Column(dates).Int(e.Row))
			f.dates = market.Interval{From: day, To: day}
		}
		c.add(f)
	}
}

// references returns what the rules may know of a symbol.
func (c *check) references(ctx context.Context) (func(market.Symbol) market.Reference, error) {
	k := &known{calendars: map[market.MIC]*market.Calendar{}}
	var days []*batch.Batch
	var err error
	if !c.damaged[market.CalendarDay] {
		if days, err = readAll(c.view, market.CalendarDay, store.Range{}); err != nil {
			return nil, err
		}
	}
	if !c.damaged[market.Listing] {
		if err := k.list(c.view); err != nil {
			return nil, err
		}
	}
	instruments := map[market.Symbol]*market.Instrument{}
	for i := range k.instruments {
		instruments[k.instruments[i].Symbol] = &k.instruments[i]
	}
	factors, err := c.factors(ctx)
	if err != nil {
		return nil, err
	}
	return func(s market.Symbol) market.Reference {
		calendar, ok := k.calendars[s.MIC]
		if !ok {
			if err := k.calendar(s.MIC, days); err != nil {
				c.note("days of %s were not checked: %v", s.MIC, err)
				k.calendars[s.MIC] = nil
			}
			calendar = k.calendars[s.MIC]
		}
		return market.Reference{Calendar: calendar, Instrument: instruments[s], Factors: factors[s.String()]}
	}, nil
}

// factors returns the factors of the symbols of which they were asked; of others nothing is known.
func (c *check) factors(ctx context.Context) (map[string]*market.Factors, error) {
	out := map[string]*market.Factors{}
	if c.damaged[market.AdjFactor] {
		return out, nil
	}
	asked, err := asks(ctx, c.Store)
	if err != nil {
		return nil, err
	}
	for _, a := range asked {
		covered, err := c.view.Coverage(market.AdjFactor, "", a.Provider)
		if err != nil {
			return nil, err
		}
		for symbol := range covered {
			out[symbol] = &market.Factors{}
		}
	}
	rows, err := readAll(c.view, market.AdjFactor, store.Range{Symbols: c.span(market.AdjFactor).Symbols})
	if err != nil {
		return nil, err
	}
	for _, b := range rows {
		symbols := b.Column(b.Schema().Index("symbol"))
		for from := 0; from < b.Len(); {
			symbol, to := string(symbols.Bytes(b.Row(from))), from+1
			for to < b.Len() && string(symbols.Bytes(b.Row(to))) == symbol {
				to++
			}
			f, err := market.FactorsOf(b.Slice(from, to))
			if err == nil { // what is wrong with a factor is a finding about its row
				out[symbol] = &f
			} else {
				delete(out, symbol)
			}
			from = to
		}
	}
	return out, nil
}
