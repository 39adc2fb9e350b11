package market

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

//go:embed calendars.txt
var calendarsText string

var builtIn = sync.OnceValues(func() (map[MIC]*Calendar, error) { return parseCalendars(calendarsText) })

// parseCalendars reads the lines that calendars.txt describes in its head.
func parseCalendars(text string) (map[MIC]*Calendar, error) {
	p := calendarParser{all: map[MIC]*Calendar{}}
	for number, line := range strings.Split(text, "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0][0] == '#' {
			continue
		}
		if err := p.line(fields[0], fields[1:]); err != nil {
			return nil, fmt.Errorf("calendars.txt, line %d: %w", number+1, err)
		}
	}
	for mic, c := range p.all {
		if len(c.hours) == 0 {
			return nil, fmt.Errorf("calendars.txt: %s has no hours", mic)
		}
	}
	return p.all, nil
}

type calendarParser struct {
	all map[MIC]*Calendar
	c   *Calendar // being read
}

func (p *calendarParser) line(word string, args []string) error {
	if word == "calendar" && len(args) == 4 {
		return p.calendar(MIC(args[0]), args[1], args[2], args[3])
	}
	if word == "always" && len(args) > 0 {
		return p.always(args)
	}
	if p.c == nil {
		return fmt.Errorf("%q before the first calendar", word)
	}
	switch {
	case word == "hours" && len(args) >= 2:
		return p.hours(args[0], args[1:])
	case (word == "closed" || word == "extra") && len(args) >= 2:
		return p.days(args[0], args[1:], word == "extra")
	case word == "special" && len(args) >= 2:
		return p.special(args)
	case word == "also" && len(args) == 2:
		return p.also(MIC(args[0]), args[1])
	}
	return fmt.Errorf("%q with %d arguments is not known", word, len(args))
}

// always adds markets that never close.
func (p *calendarParser) always(names []string) error {
	for _, name := range names {
		err := p.add(&Calendar{
			mic: MIC(name), zone: time.UTC, covers: Interval{MinDate, MaxDate},
			hours: []hours{{MinDate, []span{{0, 24 * time.Hour}}}},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// calendar starts a calendar of Mondays to Fridays.
func (p *calendarParser) calendar(mic MIC, zone, from, to string) error {
	location, err := time.LoadLocation(zone)
	if err != nil {
		return fmt.Errorf("zone of %s: %w", mic, err)
	}
	covers, err := parseInterval(from, to)
	if err != nil {
		return err
	}
	if covers.Empty() || covers.Days() > 100_000 {
		return fmt.Errorf("%s knows %s: want an ascending range of at most 270 years", mic, covers)
	}
	p.c = &Calendar{mic: mic, zone: location, covers: covers, special: map[Date][]span{}}
	p.c.open = make([]uint64, (covers.Days()+63)/64)
	for d := covers.From; d <= covers.To; d++ {
		if w := d.Weekday(); w != time.Saturday && w != time.Sunday {
			p.c.set(d)
		}
	}
	return p.add(p.c)
}

func (p *calendarParser) add(c *Calendar) error {
	if _, twice := p.all[c.mic]; twice {
		return fmt.Errorf("a second calendar of %s", c.mic)
	}
	p.all[c.mic] = c
	return nil
}

// hours sets the usual hours from a date on; dates ascend.
func (p *calendarParser) hours(from string, texts []string) error {
	d, err := ParseDate(from)
	if err != nil {
		return err
	}
	spans, err := parseSpans(texts)
	if err != nil {
		return err
	}
	if n := len(p.c.hours); n == 0 && d > p.c.covers.From || n > 0 && d <= p.c.hours[n-1].from {
		return fmt.Errorf("hours from %s: the first start where the calendar does, the others ascend", d)
	}
	p.c.hours = append(p.c.hours, hours{d, spans})
	return nil
}

// days closes (or, on weekends, opens) days of a year, each MMDD or MMDD-MMDD.
func (p *calendarParser) days(year string, texts []string, open bool) error {
	for _, text := range texts {
		from, to, ranged := strings.Cut(text, "-")
		if !ranged {
			to = from
		}
		v, err := parseInterval(year+from, year+to)
		if err != nil {
			return err
		}
		if !p.c.covers.Contains(v.From) || !p.c.covers.Contains(v.To) || v.Empty() {
			return fmt.Errorf("%s of %s is empty or outside %s", text, year, p.c.covers)
		}
		for d := v.From; d <= v.To; d++ {
			i := int(d - p.c.covers.From)
			if was := p.c.isOpen(d); was == open && from == to {
				return fmt.Errorf("%s changes nothing", d)
			}
			p.c.open[i/64] &^= 1 << (i % 64)
			if open {
				p.c.set(d)
			}
		}
	}
	return nil
}

// special gives sessions other hours: the spans, then the dates.
func (p *calendarParser) special(args []string) error {
	i := slices.IndexFunc(args, func(arg string) bool { return !strings.Contains(arg, ":") })
	if i < 1 {
		return fmt.Errorf("special hours %v without hours or dates", args)
	}
	spans, err := parseSpans(args[:i])
	if err != nil {
		return err
	}
	for _, text := range args[i:] {
		d, err := ParseDate(text)
		if err != nil {
			return err
		}
		if !p.c.covers.Contains(d) || !p.c.isOpen(d) {
			return fmt.Errorf("special hours on %s, which is no session", d)
		}
		if _, twice := p.c.special[d]; twice {
			return fmt.Errorf("special hours on %s twice", d)
		}
		p.c.special[d] = spans
	}
	return nil
}

// also gives another market the calendar read so far, from a date on.
func (p *calendarParser) also(mic MIC, from string) error {
	d, err := ParseDate(from)
	if err != nil {
		return err
	}
	if !p.c.covers.Contains(d) || len(p.c.hours) == 0 {
		return fmt.Errorf("%s from %s: outside %s, or before the hours", mic, d, p.c.covers)
	}
	twin := *p.c
	twin.mic, twin.covers.From = mic, d
	twin.special = maps.Clone(p.c.special)
	twin.open = make([]uint64, (twin.covers.Days()+63)/64)
	for ; d <= twin.covers.To; d++ {
		if p.c.isOpen(d) {
			twin.set(d)
		}
	}
	return p.add(&twin)
}

func parseInterval(from, to string) (v Interval, err error) {
	if v.From, err = ParseDate(from); err != nil {
		return v, err
	}
	v.To, err = ParseDate(to)
	return v, err
}

// parseSpans reads HH:MM-HH:MM, ascending; a start with "<" lies on the day before.
func parseSpans(texts []string) ([]span, error) {
	spans := make([]span, 0, len(texts))
	for _, text := range texts {
		from, to, _ := strings.Cut(text, "-")
		from, before := strings.CutPrefix(from, "<")
		open, err := time.Parse("15:04", from)
		if err != nil {
			return nil, fmt.Errorf("hours %q: want 09:30-11:30", text)
		}
		end, err := time.Parse("15:04", to)
		if err != nil {
			return nil, fmt.Errorf("hours %q: want 09:30-11:30", text)
		}
		midnight := open.Truncate(24 * time.Hour)
		s := span{open.Sub(midnight), end.Sub(midnight)}
		if before {
			s.open -= 24 * time.Hour
		}
		if s.close <= s.open || len(spans) > 0 && s.open < spans[len(spans)-1].close {
			return nil, fmt.Errorf("hours %v do not ascend", texts)
		}
		spans = append(spans, s)
	}
	return spans, nil
}
