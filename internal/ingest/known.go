package ingest

import (
	"fmt"
	"maps"
	"slices"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/store"
)

// known is what the store holds that a plan depends on.
type known struct {
	calendars   map[market.MIC]*market.Calendar
	disagree    []market.Disagreement
	instruments []market.Instrument
	members     []market.Symbol // of the index asked for

	byName map[market.Symbol]bool // see names; nil: not made yet
}

// readKnown reads calendars, instruments and members, as far as the cache does not hold them. Without a
// view the built-in calendars are all there is.
func readKnown(view *store.View, r Request, cache *Cache) (*known, error) {
	k := &known{calendars: map[market.MIC]*market.Calendar{}}
	if err := k.readCalendars(view, r.Markets, cache); err != nil {
		return nil, err
	}
	if view == nil {
		return k, nil
	}
	if err := k.readInstruments(view, cache); err != nil {
		return nil, err
	}
	if r.Index != (market.Symbol{}) {
		return k, k.index(view, r.Index)
	}
	return k, nil
}

// readAll reads a small dataset; one that has no rows yet is empty.
func readAll(view *store.View, dataset string, r store.Range) ([]*batch.Batch, error) {
	var all []*batch.Batch
	for rows, err := range view.Scan(dataset, r, nil) {
		if err != nil {
			return nil, fmt.Errorf("read %s of the store: %w", dataset, err)
		}
		all = append(all, rows.Keep())
	}
	return all, nil
}

// calendar lays the provider's days over the built-in calendar.
func (k *known) calendar(mic market.MIC, rows []*batch.Batch) error {
	calendar, err := market.CalendarOf(mic)
	if err != nil {
		return err
	}
	var days []market.Day
	for _, b := range rows {
		more, err := market.DaysOf(b, mic)
		if err != nil {
			return err
		}
		days = append(days, more...)
	}
	calendar, disagree, err := calendar.Overlay(days)
	if err != nil {
		return err
	}
	k.calendars[mic], k.disagree = calendar, append(k.disagree, disagree...)
	return nil
}

// list reads the instruments.
func (k *known) list(view *store.View) error {
	rows, err := readAll(view, market.Listing, store.Range{})
	if err != nil {
		return err
	}
	aliases := map[string][]market.Alias{}
	for _, a := range view.Aliases() {
		if symbol, err := market.ParseSymbol(a.Code); err == nil {
			aliases[a.Symbol] = append(aliases[a.Symbol], market.Alias{Symbol: symbol, From: a.Valid.From, To: a.Valid.To})
		}
	}
	for _, b := range rows {
		some, err := instrumentsOf(b)
		if err != nil {
			return fmt.Errorf("read %s of the store: %w", market.Listing, err)
		}
		for i := range some {
			some[i].Aliases = aliases[some[i].Symbol.String()]
		}
		k.instruments = append(k.instruments, some...)
	}
	return nil
}

// index reads the members that an index has or had.
func (k *known) index(view *store.View, index market.Symbol) error {
	rows, err := readAll(view, market.Constituent, store.Range{})
	if err != nil {
		return err
	}
	for _, b := range rows {
		of, member := b.Column(b.Schema().Index("index_symbol")), b.Column(b.Schema().Index("symbol"))
		for i := range b.Len() {
			row := b.Row(i)
			if string(of.Bytes(row)) != index.String() {
				continue
			}
			symbol, err := market.ParseSymbol(string(member.Bytes(row)))
			if err != nil {
				return fmt.Errorf("members of %s in the store: %w", index, err)
			}
			if !slices.Contains(k.members, symbol) {
				k.members = append(k.members, symbol)
			}
		}
	}
	if len(k.members) == 0 {
		return fmt.Errorf("universe: the store knows no members of %s; sync dataset %s, or name the symbols",
			index, market.Constituent)
	}
	return nil
}

// dateAt returns a date, 0 for NULL.
func dateAt(c *batch.Column, row int) market.Date {
	if c.IsNull(row) {
		return 0
	}
	return market.Date(c.Int(row))
}

// sessions returns the open days of each market in the span, and those of a month around it.
func (k *known) sessions(r Request) (in, around map[market.MIC]Sessions, err error) {
	in, around = map[market.MIC]Sessions{}, map[market.MIC]Sessions{}
	for mic, calendar := range k.calendars {
		span := r.within(mic)
		open, err := calendar.Open(span.From, span.To)
		if err != nil {
			return nil, nil, err
		}
		in[mic] = open
		const month = 31
		wide := market.Interval{From: span.From - month, To: span.To + month}.Intersect(calendar.Covers())
		if around[mic], err = calendar.Open(wide.From, wide.To); err != nil {
			return nil, nil, err
		}
	}
	return in, around, nil
}

// inventory is what rows a dataset has, by symbol.
type inventory struct {
	present     map[string]market.Intervals // days with a row
	provisional map[string]market.Intervals // days whose row is not final
}

// takeInventory reads which days of the span have a row.
func takeInventory(view *store.View, dataset string, span market.Interval, symbols []string) (inventory, error) {
	inv := inventory{present: map[string]market.Intervals{}, provisional: map[string]market.Intervals{}}
	columns := []string{"symbol", "date"}
	if d, ok := market.DatasetByName(dataset); ok && d.Schema.Index("final") >= 0 {
		columns = append(columns, "final")
	}
	r := store.Range{From: span.From, To: span.To, Symbols: symbols}
	for rows, err := range view.Scan(dataset, r, columns) {
		if err != nil {
			return inv, fmt.Errorf("read %s of the store: %w", dataset, err)
		}
		inv.add(rows)
	}
	return inv, nil
}

// add counts the rows of a batch, which come in order of symbol and date.
func (v *inventory) add(b *batch.Batch) {
	symbols, dates := b.Column(b.Schema().Index("symbol")), batch.Values[int32](b.Column(b.Schema().Index("date")))
	var final batch.Bitmap
	if i := b.Schema().Index("final"); i >= 0 {
		final = b.Column(i).Bits()
	}
	for from := 0; from < b.Len(); {
		symbol := string(symbols.Bytes(b.Row(from)))
		days, draft := v.present[symbol], v.provisional[symbol]
		to := from
		for ; to < b.Len() && string(symbols.Bytes(b.Row(to))) == symbol; to++ {
			row := b.Row(to)
			days = appendDay(days, market.Date(dates[row]))
			if final != nil && !final.Get(row) {
				draft = appendDay(draft, market.Date(dates[row]))
			}
		}
		v.present[symbol], from = days, to
		if len(draft) > 0 {
			v.provisional[symbol] = draft
		}
	}
}

// appendDay adds a day that is mostly later than all others.
func appendDay(set market.Intervals, d market.Date) market.Intervals {
	last := len(set) - 1
	switch {
	case last >= 0 && d == set[last].To+1:
		set[last].To = d
		return set
	case last < 0 || d > set[last].To:
		return append(set, market.Interval{From: d, To: d})
	}
	return set.Add(market.Interval{From: d, To: d})
}

// held returns what needs no request of a dataset: covered dates, or those that are confirmed to have
// no row. Where there is a row for each session, a covered day without a final row is asked for again.
func held(covered, none Held, inv inventory, sessions bool) Held {
	h := Held{}
	if !sessions {
		maps.Copy(h, covered)
	}
	for symbol, present := range inv.present {
		dates := covered.of(symbol).Intersect(present...)
		h[symbol] = dates.Subtract(inv.provisional[symbol]...)
	}
	for symbol, dates := range none {
		h[symbol] = h[symbol].Add(dates...)
	}
	return h
}
