package ingest

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/tapeline/tapeline/internal/fault"
	"github.com/tapeline/tapeline/internal/market"
)

// Request is what a sync was asked for, checked as far as it can be without the provider.
type Request struct {
	Datasets []string        // beside calendar and instrument
	Span     market.Interval // up to today
	Final    market.Date     // the last day whose rows are final at some exchange
	Today    market.Date     // where it is latest, of the exchanges
	Freq     string
	Symbols  []market.Symbol // as asked; nil: the universe
	Index    market.Symbol   // whose members are asked for; zero: all
	Markets  []market.MIC

	clocks clocks
}

// clocks are the days it is at exchanges, where they have a clock of their own.
type clocks map[market.MIC]clock

// clock is the day it is at an exchange.
type clock struct {
	today, final market.Date
	until        market.Date // the last day of the span there
}

// final is the last day whose rows are final at an exchange, otherwise one that is given.
func (c clocks) final(mic market.MIC, otherwise market.Date) market.Date {
	if there, ok := c[mic]; ok {
		return there.final
	}
	return otherwise
}

// today is the day it is at an exchange.
func (r Request) today(mic market.MIC) market.Date {
	if c, ok := r.clocks[mic]; ok {
		return c.today
	}
	return r.Today
}

// settled is the last day whose rows are final at all exchanges.
func (r Request) settled() market.Date {
	day := r.Final
	for _, c := range r.clocks {
		day = min(day, c.final)
	}
	return day
}

// within is the span at an exchange: it does not go on behind the day there.
func (r Request) within(mic market.MIC) market.Interval {
	v := r.Span
	if c, ok := r.clocks[mic]; ok {
		v.To = min(v.To, c.until)
	}
	return v
}

// RequestError is a request that cannot be served, with all that is wrong about it.
type RequestError struct{ Reasons []string }

// Error returns the reasons, one a line.
func (e *RequestError) Error() string { return strings.Join(e.Reasons, "\n") }

// request checks the settings against what the provider offers.
func request(c SyncConfig, provider market.Provider, now time.Time) (Request, error) {
	r := Request{Freq: c.Freq}
	var wrong RequestError
	note := func(err error) {
		if err != nil {
			wrong.Reasons = append(wrong.Reasons, err.Error())
		}
	}
	datasets := c.Datasets
	if slices.Equal(datasets, Defaults().Sync.Datasets) {
		datasets = usual(provider)
	}
	note(r.datasets(datasets, provider))
	var unnamed error
	if len(c.Symbols) > 0 {
		r.Symbols, unnamed = parseSymbols(c.Symbols, "symbols", provider.Scheme)
	} else {
		unnamed = r.universe(c.Universe, provider)
	}
	err := r.markets(provider)
	if err == nil {
		err = r.readClocks(provider, now)
	}
	if err == nil {
		err = r.span(c)
	}
	note(err)
	note(unnamed)
	if len(wrong.Reasons) > 0 {
		return r, &wrong
	}
	return r, nil
}

// reference are the datasets that plans are made from; they are always fetched.
var reference = []string{market.CalendarDay, market.Listing}

// usual returns what a sync keeps that names no datasets: bars, and what adjusts them, as far as the
// provider has them.
func usual(provider market.Provider) (names []string) {
	for _, name := range []string{market.Bar1D, market.Crypto1D, market.AdjFactor} {
		if _, ok := provider.Offer(name); ok {
			names = append(names, name)
		}
	}
	return names
}

func (r *Request) datasets(names []string, provider market.Provider) error {
	var offered []string
	for _, o := range provider.Offers {
		offered = append(offered, o.Dataset)
	}
	for _, name := range names {
		if slices.Contains(offered, name) {
			if !slices.Contains(reference, name) && !slices.Contains(r.Datasets, name) {
				r.Datasets = append(r.Datasets, name)
			}
			continue
		}
		hint := strings.Join(offered, ", ")
		if near := fault.Nearest(name, offered); near != "" {
			hint = "did you mean " + near + "?"
		}
		return fmt.Errorf("dataset %q is not served by %s (%s)", name, provider.Name, hint)
	}
	return nil
}

// markets finds whose calendars count, those of the symbols that are named.
func (r *Request) markets(provider market.Provider) error {
	var all []market.MIC
	for _, o := range provider.Offers {
		for _, mic := range o.Markets {
			if !slices.Contains(all, mic) {
				all = append(all, mic)
			}
		}
	}
	for _, mic := range all {
		if slices.ContainsFunc(r.Symbols, func(s market.Symbol) bool { return s.MIC == mic }) {
			r.Markets = append(r.Markets, mic)
		}
	}
	if len(r.Markets) == 0 { // none is named, or none of the provider's
		r.Markets = all
	}
	if len(r.Markets) == 0 {
		return fmt.Errorf("provider %s states no market", provider.Name)
	}
	return nil
}

// readClocks finds which day it is at each exchange, and the last whose rows the provider has published.
// invariant: a day is final by the clock of its own exchange
func (r *Request) readClocks(provider market.Provider, now time.Time) error {
	r.clocks = clocks{}
	r.Today, r.Final = market.MinDate, market.MinDate
	for _, mic := range r.Markets {
		calendar, err := market.CalendarOf(mic)
		if err != nil {
			return err
		}
		there := now.In(calendar.Zone())
		c := clock{today: market.From(there), final: market.From(there)}
		for _, dataset := range r.Datasets {
			offer, _ := provider.Offer(dataset)
			if there.Before(c.today.At(there.Location(), offer.PublishAt)) {
				c.final = c.today - 1
			}
		}
		r.clocks[mic] = c
		r.Today, r.Final = max(r.Today, c.today), max(r.Final, c.final)
	}
	return nil
}

// span reads the dates.
func (r *Request) span(c SyncConfig) error {
	from, err := market.ParseDate(c.From)
	if err != nil {
		return fmt.Errorf("from: %w", err)
	}
	to := r.Final
	if c.To != "" {
		if to, err = market.ParseDate(c.To); err != nil {
			return fmt.Errorf("to: %w", err)
		}
	}
	r.Span = market.Interval{From: from, To: min(to, r.Today)}
	for mic, there := range r.clocks {
		if there.until = min(to, there.today); c.To == "" {
			there.until = there.final
		}
		r.clocks[mic] = there
	}
	switch {
	case from > to:
		return fmt.Errorf("from %s is after to %s", from, to)
	case from > r.Today:
		return fmt.Errorf("from %s is after today, %s at the exchange", from, r.Today)
	}
	return r.checkFrom(from)
}

// checkFrom refuses a first day that no exchange's calendar knows.
func (r *Request) checkFrom(from market.Date) error {
	first, mic := market.MaxDate, market.MIC("")
	for _, m := range r.Markets {
		calendar, err := market.CalendarOf(m)
		if err != nil {
			return err
		}
		if begins := calendar.Covers().From; begins < first {
			first, mic = begins, m
		}
	}
	if from < first {
		return fmt.Errorf("from %s is before the calendar of %s begins; give %s or a later day", from, mic, first)
	}
	return nil
}

// universe reads the setting universe: all, an index, or a file.
func (r *Request) universe(name string, provider market.Provider) error {
	if name == "all" {
		if list, ok := provider.Offer(market.Listing); !ok || !list.Shapes.Has(market.Whole) {
			return fmt.Errorf("universe %q: %s has no list of all it serves; name the symbols, or a file of them",
				name, provider.Name)
		}
		return nil
	}
	if index, ok := indices[strings.ToLower(name)]; ok {
		r.Index = index
		return nil
	}
	lines, err := readLines(name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		known := []string{"all"}
		for index := range indices {
			known = append(known, index)
		}
		slices.Sort(known)
		return fmt.Errorf("universe %q is neither a file nor one of %s", name, strings.Join(known, ", "))
	case err != nil:
		return fmt.Errorf("universe: %w", err)
	case len(lines) == 0:
		return fmt.Errorf("universe: %s names no symbol", name)
	}
	r.Symbols, err = parseSymbols(lines, name, provider.Scheme)
	return err
}

// indices are the universes that go by a name: the members of an index.
var indices = map[string]market.Symbol{
	"hs300": {Code: "000300", MIC: market.XSHG},
	"sz50":  {Code: "000016", MIC: market.XSHG},
	"zz500": {Code: "000905", MIC: market.XSHG},
}

// readLines returns the lines of a file that are not empty and no comment.
func readLines(name string) ([]string, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var lines []string
	scanner := bufio.NewScanner(file)
	for scanner.Scan() {
		if line := strings.TrimSpace(scanner.Text()); line != "" && line[0] != '#' {
			lines = append(lines, line)
		}
	}
	return lines, scanner.Err()
}

// maxReasons bounds how many wrong symbols one error names.
const maxReasons = 10

// parseSymbols reads symbols as the provider writes them, or canonical ones, each once.
func parseSymbols(texts []string, place string, scheme market.Scheme) ([]market.Symbol, error) {
	var symbols []market.Symbol
	seen := map[market.Symbol]bool{}
	var wrong RequestError
	for _, text := range texts {
		symbol, err := parseSymbol(strings.TrimSpace(text), scheme)
		switch {
		case err != nil:
			wrong.Reasons = append(wrong.Reasons, place+": "+err.Error())
		case !seen[symbol]:
			seen[symbol] = true
			symbols = append(symbols, symbol)
		}
	}
	if n := len(wrong.Reasons); n > maxReasons {
		wrong.Reasons = append(wrong.Reasons[:maxReasons], fmt.Sprintf("%s: and %d more", place, n-maxReasons))
	}
	if len(wrong.Reasons) > 0 {
		return nil, &wrong
	}
	return symbols, nil
}

func parseSymbol(text string, scheme market.Scheme) (market.Symbol, error) {
	symbol, err := scheme.Parse(text, market.Unknown)
	if err == nil {
		return symbol, nil
	}
	if symbol, canonical := market.ParseSymbol(text); canonical == nil {
		return symbol, nil
	}
	// The same instrument in another vendor's spelling is the usual mistake.
	for _, other := range market.Schemes() {
		symbol, wrong := other.Parse(text, market.Unknown)
		if wrong != nil {
			continue
		}
		if ours, wrong := scheme.Format(symbol); wrong == nil {
			return market.Symbol{}, fmt.Errorf("symbol %q is written as %s does; write %s or %s", text, other, ours, symbol)
		}
	}
	return market.Symbol{}, err
}

// choose returns the instruments that the request means, out of those the provider lists, in the order
// of that list.
func (r Request) choose(listed []market.Instrument, members []market.Symbol, provider market.Provider) ([]market.Instrument, error) {
	byName := make(map[market.Symbol]market.Instrument, len(listed))
	place := make(map[market.Symbol]int, len(listed))
	for i, one := range listed {
		byName[one.Symbol], place[one.Symbol] = one, i
		for _, alias := range one.Aliases {
			byName[alias.Symbol] = one
		}
	}
	wanted := r.Symbols
	if r.Index != (market.Symbol{}) {
		wanted = members
	}
	if wanted == nil {
		return slices.DeleteFunc(slices.Clone(listed), func(one market.Instrument) bool {
			return !r.served(one, provider)
		}), nil
	}
	var chosen []market.Instrument
	var wrong RequestError
	taken := map[market.Symbol]bool{}
	_, lists := provider.Offer(market.Listing)
	for _, symbol := range wanted {
		one, ok := byName[symbol]
		if !ok && !lists {
			// Nobody can be asked what it is: it is taken for what the provider serves first.
			one, ok = market.Instrument{Symbol: symbol, Class: r.class(provider)}, true
		}
		switch life := one.Life(); {
		case !ok:
			wrong.Reasons = append(wrong.Reasons, fmt.Sprintf(
				"symbol %s is not among the %d instruments of %s", symbol, len(listed), provider.Name))
		case !r.served(one, provider):
			wrong.Reasons = append(wrong.Reasons, fmt.Sprintf(
				"symbol %s is of class %s, for which %s serves none of %s", symbol, one.Class, provider.Name,
				strings.Join(r.Datasets, ", ")))
		case life.Intersect(r.Span).Empty():
			wrong.Reasons = append(wrong.Reasons, fmt.Sprintf(
				"symbol %s is listed %s, which is outside of %s", symbol, lifeText(life), r.Span))
		case !taken[one.Symbol]: // it may be named by an earlier code too
			taken[one.Symbol] = true
			chosen = append(chosen, one)
		}
	}
	if n := len(wrong.Reasons); n > maxReasons {
		wrong.Reasons = append(wrong.Reasons[:maxReasons], fmt.Sprintf("and %d more symbols", n-maxReasons))
	}
	if len(wrong.Reasons) > 0 {
		return nil, &wrong
	}
	slices.SortStableFunc(chosen, func(a, b market.Instrument) int {
		return cmp.Compare(place[a.Symbol], place[b.Symbol])
	})
	return chosen, nil
}

// class is the first of those that the datasets asked for are served of.
func (r Request) class(provider market.Provider) market.Class {
	for _, dataset := range r.Datasets {
		if offer, ok := provider.Offer(dataset); ok && len(offer.Classes) > 0 {
			return offer.Classes[0]
		}
	}
	return market.Stock
}

// unheardOf is an instrument of which nothing is known but its symbol: it was delisted, or is not looked up yet.
func (r Request) unheardOf(symbol market.Symbol, provider market.Provider) market.Instrument {
	one := market.Instrument{
		Symbol: symbol, Class: market.ClassOf(symbol), Name: symbol.String(), Status: market.Delisted,
	}
	if one.Class == market.Unknown {
		one.Class = r.class(provider)
	}
	return one
}

// served reports whether the provider has one of the datasets for an instrument.
func (r Request) served(one market.Instrument, provider market.Provider) bool {
	return slices.ContainsFunc(r.Datasets, func(dataset string) bool {
		offer, ok := provider.Offer(dataset)
		return ok && offer.ServesOne(one)
	})
}

func lifeText(life market.Interval) string {
	switch {
	case life.From == market.MinDate:
		return "until " + life.To.String()
	case life.To == market.MaxDate:
		return "from " + life.From.String()
	}
	return life.String()
}

// checkSessions refuses a span without any open day.
func checkSessions(span market.Interval, sessions map[market.MIC]Sessions, around map[market.MIC]Sessions) error {
	var closed RequestError
	for mic, open := range sessions {
		if len(open.In(span)) > 0 {
			return nil
		}
		reason := fmt.Sprintf("%s holds no trading day of %s", span, mic)
		if before, after := around[mic].Around(span); before != 0 && after != 0 {
			reason += fmt.Sprintf("; the nearest are %s and %s", before, after)
		} else if before != 0 {
			reason += fmt.Sprintf("; the last before is %s", before)
		}
		closed.Reasons = append(closed.Reasons, reason)
	}
	slices.Sort(closed.Reasons)
	return &closed
}
