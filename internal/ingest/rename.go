package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/store"
)

// A code change leaves the list of instruments without the old code and with a new one whose history is
// that of the old. Taken for two instruments, the old one would be expected for ever and the new one
// fetched from its beginning.

// listing holds back the list of instruments until it is whole, so that a code change is known before
// the first row under the new code.
type listing struct {
	rename func(ctx context.Context, listed []market.Instrument) error
	chunks []connector.Chunk
}

// hold keeps rows of the list.
func (l *listing) hold(chunk connector.Chunk) {
	chunk.Batch = chunk.Batch.Keep()
	l.chunks = append(l.chunks, chunk)
}

// take returns the rows held back, once the code changes are known.
func (l *listing) take(ctx context.Context) ([]connector.Chunk, error) {
	chunks := l.chunks
	l.chunks = nil
	var listed []market.Instrument
	for _, chunk := range chunks {
		some, err := instrumentsOf(chunk.Batch)
		if err != nil {
			return chunks, nil //nolint:nilerr // the store says what is wrong with the rows
		}
		listed = append(listed, some...)
	}
	return chunks, l.rename(ctx, listed)
}

// Prepare refuses a checkpoint in the middle of the list: what is held back would be behind it.
func (c *countingSink) Prepare(ctx context.Context, epoch connector.Epoch) (connector.Prepared, error) {
	if c.listing != nil && len(c.listing.chunks) > 0 {
		return connector.Prepared{}, &connector.Error{
			Op: "end epoch", Class: connector.Transient, Err: errors.New("the list of instruments is not whole yet"),
		}
	}
	return c.Decider.Prepare(ctx, epoch)
}

// instrumentsOf reads rows of the dataset of instruments.
func instrumentsOf(b *batch.Batch) ([]market.Instrument, error) {
	column := func(name string) *batch.Column { return b.Column(b.Schema().Index(name)) }
	symbols, names, classes := column("symbol"), column("name"), column("class")
	ipo, out, status := column("ipo_date"), column("out_date"), column("status")
	list := make([]market.Instrument, 0, b.Len())
	for i := range b.Len() {
		row := b.Row(i)
		symbol, err := market.ParseSymbol(string(symbols.Bytes(row)))
		if err != nil {
			return nil, fmt.Errorf("instruments: %w", err)
		}
		class, err := market.ParseClass(string(classes.Bytes(row)))
		if err != nil {
			return nil, fmt.Errorf("instrument %s: %w", symbol, err)
		}
		list = append(list, market.Instrument{
			Symbol: symbol, Class: class, Name: string(names.Bytes(row)), Status: string(status.Bytes(row)),
			IPO: dateAt(ipo, row), Out: dateAt(out, row),
		})
	}
	return list, nil
}

// codeChange is an instrument whose code was replaced.
type codeChange struct{ from, to market.Symbol }

// identity is what stays of an instrument when its code changes.
type identity struct {
	mic   market.MIC
	class market.Class
	name  string
	ipo   market.Date
}

// byName is the evidence for a code change: market, class, listing day and name.
func byName(one market.Instrument) identity {
	return identity{one.Symbol.MIC, one.Class, plainName(one.Name), one.IPO}
}

// byListing is evidence too weak to make two histories one, and worth a word: another name since the same day.
func byListing(one market.Instrument) identity {
	return identity{mic: one.Symbol.MIC, class: one.Class, ipo: one.IPO}
}

// codeChanges finds them between two lists: a code vanished, and a new one of the same identity appeared, one
// of each.
func codeChanges(before, listed []market.Instrument, of func(market.Instrument) identity) []codeChange {
	held, now := map[market.Symbol]bool{}, map[market.Symbol]bool{}
	for _, one := range before {
		held[one.Symbol] = true
		for _, alias := range one.Aliases {
			held[alias.Symbol] = true
		}
	}
	gone, came := map[identity][]market.Symbol{}, map[identity][]market.Symbol{}
	for _, one := range listed {
		now[one.Symbol] = true
		if !held[one.Symbol] && one.IPO != 0 {
			came[of(one)] = append(came[of(one)], one.Symbol)
		}
	}
	for _, one := range before {
		if !now[one.Symbol] {
			gone[of(one)] = append(gone[of(one)], one.Symbol)
		}
	}
	var changes []codeChange
	for _, one := range before {
		if id := of(one); !now[one.Symbol] && len(gone[id]) == 1 && len(came[id]) == 1 {
			changes = append(changes, codeChange{one.Symbol, came[id][0]})
		}
	}
	return changes
}

// plainName is a name without the mark of special treatment, which comes and goes.
func plainName(name string) string {
	return strings.TrimPrefix(strings.TrimPrefix(name, "*"), "ST")
}

// rename makes the instruments whose code changed known under the new one.
func (j *job) rename(ctx context.Context, before, listed []market.Instrument) error {
	changes := codeChanges(before, listed, byName)
	for _, c := range codeChanges(before, listed, byListing) {
		if !slices.Contains(changes, c) {
			j.report.Warnings = append(j.report.Warnings, fmt.Sprintf(
				"%s is not listed any more, and %s, of another name, is listed since the same day: if that is one "+
					"instrument with a new code and name, it is kept as two, each with all the provider has of it", c.from, c.to))
		}
	}
	if len(changes) == 0 {
		return nil
	}
	view, err := j.Store.View(ctx, 0)
	if err != nil {
		return err
	}
	defer view.Close()
	for _, c := range changes {
		until, err := lastDay(view, c.from.String(), j.request.Today-1)
		if err != nil {
			return err
		}
		if err := j.writer.Rename(ctx, c.from.String(), c.to.String(), until); err != nil {
			return err
		}
		j.Cache.forget() // days are remembered by code
		j.renamed[c.from] = c.to
		j.report.Warnings = append(j.report.Warnings, fmt.Sprintf(
			"%s is %s now: its history goes on under the new code, the old one names it up to %s", c.from, c.to, until))
	}
	return nil
}

// lastDay returns the day of a symbol's newest bar, or another when it has none.
func lastDay(view *store.View, symbol string, otherwise market.Date) (market.Date, error) {
	last, err := view.Latest(market.Bar1D, symbol)
	switch {
	case errors.Is(err, store.ErrDataset):
		return otherwise, nil
	case err != nil:
		return 0, fmt.Errorf("read the last bar of %s: %w", symbol, err)
	case last == nil || last.Len() == 0:
		return otherwise, nil
	}
	return market.Date(last.Column(last.Schema().Index("date")).Int(last.Row(0))), nil
}
