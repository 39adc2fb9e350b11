package market

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"time"

	"github.com/tapeline/tapeline/batch"
)

// Calendar says on which dates a market trades and when. It is stated by the exchange (calendars.txt)
// and covers a range of dates; a question about another date is an error, since "not known" is not
// "closed".
type Calendar struct {
	mic     MIC
	zone    *time.Location
	covers  Interval
	open    []uint64        // bit i: covers.From+i is a session; nil: every day is
	hours   []hours         // by start, the first at covers.From or before
	special map[Date][]span // sessions of other hours, such as half days
}

// hours are the usual hours from a date on.
type hours struct {
	from  Date
	spans []span
}

// span is one stretch of trading, as time after midnight on the exchange's clock; negative on the
// evening before.
type span struct{ open, close time.Duration }

// Session is one stretch of trading, in UTC. A lunch break makes two of a day.
type Session struct{ Open, Close time.Time }

// ErrNotCovered is the class of errors for a date outside a calendar's range, and for a market
// without a calendar.
var ErrNotCovered = errors.New("not covered")

// CalendarOf returns the built-in calendar of a market.
func CalendarOf(mic MIC) (*Calendar, error) {
	all, err := builtIn()
	if err != nil {
		return nil, err
	}
	c, ok := all[mic]
	if !ok {
		return nil, fmt.Errorf("calendar of %q %w: there is one for %s", string(mic), ErrNotCovered,
			strings.Join(calendarNames(all), ", "))
	}
	return c, nil
}

func calendarNames(all map[MIC]*Calendar) []string {
	names := make([]string, 0, len(all))
	for mic := range all {
		names = append(names, string(mic))
	}
	slices.Sort(names)
	return names
}

// MIC returns the market.
func (c *Calendar) MIC() MIC { return c.mic }

// Covers returns the dates the calendar knows.
func (c *Calendar) Covers() Interval { return c.covers }

// Zone returns the exchange's clock.
func (c *Calendar) Zone() *time.Location { return c.zone }

// IsOpen reports whether the date is a session.
func (c *Calendar) IsOpen(d Date) (bool, error) {
	if err := c.check(Interval{d, d}); err != nil {
		return false, err
	}
	return c.isOpen(d), nil
}

// isOpen is IsOpen of a covered date.
func (c *Calendar) isOpen(d Date) bool {
	if c.open == nil {
		return true
	}
	i := int(d - c.covers.From)
	return c.open[i/64]>>(i%64)&1 == 1
}

// Open returns the sessions from one date to another, both included.
func (c *Calendar) Open(from, to Date) ([]Date, error) {
	n, err := c.Count(from, to)
	if err != nil {
		return nil, err
	}
	dates := make([]Date, 0, n)
	for d := from; d <= to; d++ {
		if c.isOpen(d) {
			dates = append(dates, d)
		}
	}
	return dates, nil
}

// Count returns the number of sessions from one date to another, both included.
func (c *Calendar) Count(from, to Date) (int, error) {
	v := Interval{from, to}
	if err := c.check(v); err != nil || v.Empty() {
		return 0, err
	}
	if c.open == nil {
		return v.Days(), nil
	}
	first, last, n := int(from-c.covers.From), int(to-c.covers.From), 0
	for w := first / 64; w <= last/64; w++ {
		word := c.open[w]
		if w == first/64 {
			word &= ^uint64(0) << (first % 64)
		}
		if w == last/64 {
			word &= ^uint64(0) >> (63 - last%64)
		}
		n += bits.OnesCount64(word)
	}
	return n, nil
}

// Previous returns the last session before the date.
func (c *Calendar) Previous(d Date) (Date, error) { return c.step(d, -1) }

// Next returns the first session after the date.
func (c *Calendar) Next(d Date) (Date, error) { return c.step(d, 1) }

func (c *Calendar) step(d, by Date) (Date, error) {
	for {
		d += by
		if err := c.check(Interval{d, d}); err != nil {
			return 0, err
		}
		if c.isOpen(d) {
			return d, nil
		}
	}
}

// Sessions returns the stretches of trading of a date in UTC, nil on a closed day. The first may begin
// on the UTC day before.
func (c *Calendar) Sessions(d Date) ([]Session, error) {
	open, err := c.IsOpen(d)
	if err != nil || !open {
		return nil, err
	}
	spans, ok := c.special[d]
	if !ok {
		i, found := slices.BinarySearchFunc(c.hours, d, func(h hours, d Date) int { return int(h.from) - int(d) })
		if !found {
			i--
		}
		spans = c.hours[i].spans
	}
	sessions := make([]Session, len(spans))
	for i, s := range spans {
		sessions[i] = Session{d.At(c.zone, s.open).UTC(), d.At(c.zone, s.close).UTC()}
	}
	return sessions, nil
}

func (c *Calendar) check(v Interval) error {
	if v.Empty() || c.covers.Contains(v.From) && c.covers.Contains(v.To) {
		return nil
	}
	return fmt.Errorf("calendar of %s: %s is %w; it knows %s: lay the provider's calendar over it, or take a release that knows more",
		c.mic, v, ErrNotCovered, c.covers)
}

// Day is one day of a provider's calendar, a row of dataset calendar.
type Day struct {
	Date   Date
	IsOpen bool
}

// DaysOf reads one market's days from a dense batch of dataset calendar.
func DaysOf(b *batch.Batch, mic MIC) ([]Day, error) {
	schema := b.Schema()
	market, date, open := schema.Index("mic"), schema.Index("date"), schema.Index("is_open")
	if market < 0 || date < 0 || open < 0 {
		return nil, fmt.Errorf("calendar of %s: columns (%s), want mic, date, is_open", mic, schema)
	}
	dates, bits := batch.Values[int32](b.Column(date)), b.Column(open).Bits()
	var days []Day
	for i := range b.Len() {
		if row := b.Row(i); string(b.Column(market).Bytes(row)) == string(mic) {
			days = append(days, Day{Date(dates[row]), bits.Get(row)})
		}
	}
	return days, nil
}

// Disagreement is a day on which a provider's calendar differs from the built-in one.
type Disagreement struct {
	Day
	MIC MIC
}

// String says who holds what.
func (d Disagreement) String() string {
	word := map[bool]string{true: "open", false: "closed"}
	return fmt.Sprintf("%s %s: the provider says %s, the built-in calendar %s",
		d.MIC, d.Date, word[d.IsOpen], word[!d.IsOpen])
}

// Overlay lays a provider's days, in any order, over the calendar. Days it does not know extend it, so
// far as they follow it without a hole; on days it knows, it stands, and each contradiction is
// returned for the report. A day given twice with different answers is an error.
func (c *Calendar) Overlay(days []Day) (*Calendar, []Disagreement, error) {
	known := make(map[Date]bool, len(days))
	var found []Disagreement
	for _, day := range days {
		if before, twice := known[day.Date]; twice && before != day.IsOpen {
			return nil, nil, fmt.Errorf("calendar of %s: the provider gives %s both as open and as closed", c.mic, day.Date)
		}
		if _, twice := known[day.Date]; !twice && c.covers.Contains(day.Date) && c.isOpen(day.Date) != day.IsOpen {
			found = append(found, Disagreement{day, c.mic})
		}
		known[day.Date] = day.IsOpen
	}
	slices.SortFunc(found, func(a, b Disagreement) int { return int(a.Date) - int(b.Date) })
	covers := c.covers
	for covers.From > MinDate && has(known, covers.From-1) {
		covers.From--
	}
	for covers.To < MaxDate && has(known, covers.To+1) {
		covers.To++
	}
	if covers == c.covers {
		return c, found, nil
	}
	wider := *c
	wider.covers = covers
	wider.open = make([]uint64, (covers.Days()+63)/64)
	for d := covers.From; d <= covers.To; d++ {
		open := known[d]
		if c.covers.Contains(d) {
			open = c.isOpen(d)
		}
		if open {
			wider.set(d)
		}
	}
	return &wider, found, nil
}

func has(known map[Date]bool, d Date) bool {
	_, ok := known[d]
	return ok
}

// set marks a covered date as a session while the calendar is made.
func (c *Calendar) set(d Date) {
	i := int(d - c.covers.From)
	c.open[i/64] |= 1 << (i % 64)
}
