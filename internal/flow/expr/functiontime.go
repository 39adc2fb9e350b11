package expr

import (
	"time"

	"github.com/tapeline/tapeline/batch"
)

const groupTime = "Dates and times"

func microUTC() batch.Type { return batch.TimestampOf(batch.Microsecond, "UTC") }

func timeEntry(signature, doc string, bind func(c *call) *node, examples ...Example) entry {
	return entry{
		Function: Function{Group: groupTime, Signature: signature, Doc: doc, Examples: examples},
		bind:     bind,
	}
}

func timeFunctions() []entry {
	out := []entry{
		clockEntry("now() -> timestamp", "The present instant, the same for all rows of a batch.",
			microUTC()),
		clockEntry("today() -> date", "The present date in UTC.", batch.Of(batch.Date)),
		timeEntry("date(x: any) -> date",
			"The date of a text (YYYY-MM-DD, YYYY/MM/DD, YYYYMMDD, with or without a time) or of a "+
				"timestamp in its zone.", bindDate(false), Example{"date('2024-02-29')", "2024-02-29"}),
		timeEntry("try_date(x: any) -> date", "As date, but NULL where x is none.", bindDate(true),
			Example{"try_date('2023-02-29')", "NULL"}),
		timeEntry("timestamp(x: any, format?: string) -> timestamp",
			"The instant an ISO 8601 text names (UTC when it has no offset), or read by a pattern of %Y "+
				"%m %d %H %M %S %f %y %b %B %p %I %z %j %e %T %F. A date is its midnight.",
			bindTimestamp(false), Example{"timestamp('2024-01-02 03:04:05')", "2024-01-02T03:04:05.000000Z"},
			Example{"timestamp('02/Jan/2024', '%d/%b/%Y')", "2024-01-02T00:00:00.000000Z"}),
		timeEntry("try_timestamp(x: any, format?: string) -> timestamp",
			"As timestamp, but NULL where x is none.", bindTimestamp(true),
			Example{"try_timestamp('soon')", "NULL"}),
		timeEntry("date_trunc(unit: string, x: moment) -> moment",
			"The start of the year, quarter, month, week (Monday), day, hour, minute or second x lies in.",
			bindTruncate, Example{"date_trunc('month', '2024-02-29')", "2024-02-01"}),
		timeEntry("date_add(x: moment, n: int, unit: string) -> moment",
			"x moved by n units; a day the month lacks becomes its last one.", bindDateAdd,
			Example{"date_add('2024-01-31', 1, 'month')", "2024-02-29"}),
		timeEntry("date_diff(unit: string, from: moment, to: moment) -> int64",
			"The whole units from the one to the other, negative when it is earlier.", bindDateDiff,
			Example{"date_diff('day', '2024-02-28', '2024-03-01')", "2"}),
		timeEntry("format_time(x: moment, format: string) -> string",
			"x written by a pattern as of timestamp.", bindFormat,
			Example{"format_time('2024-02-29', '%d.%m.%Y')", "29.02.2024"}),
		timeEntry("to_zone(x: moment, zone: string) -> timestamp",
			"The same instant in another zone (an IANA name); wall times count as UTC.", bindZone,
			Example{"hour(to_zone(timestamp('2024-07-01T12:00:00Z'), 'Europe/Berlin'))", "14"}),
	}
	out = append(out, partFunctions()...)
	return append(out, epochFunctions()...)
}

func clockEntry(signature, doc string, typ batch.Type) entry {
	calendar := newCalendar(typ)
	return entry{
		Function: Function{Group: groupTime, Signature: signature, Doc: doc, Volatile: true},
		bind: func(c *call) *node {
			return c.node(typ, func(f *frame, _ []value) (value, string) {
				if f.moment.IsZero() {
					f.moment = f.now().UTC()
				}
				return calendar.value(f.moment)
			})
		},
	}
}

// partFunctions read one part of a moment by its zone's calendar.
func partFunctions() []entry {
	parts := []struct {
		name, doc, result string
		of                func(t time.Time) int
	}{
		{"year", "The year.", "2024", time.Time.Year},
		{"quarter", "The quarter, 1 to 4.", "1", func(t time.Time) int { return int(t.Month()-1)/3 + 1 }},
		{"month", "The month, 1 to 12.", "2", func(t time.Time) int { return int(t.Month()) }},
		{"week", "The ISO week, 1 to 53.", "9", func(t time.Time) int {
			_, week := t.ISOWeek()
			return week
		}},
		{"day", "The day of the month.", "29", time.Time.Day},
		{"weekday", "The ISO weekday, 1 (Monday) to 7.", "4", func(t time.Time) int {
			return (int(t.Weekday())+6)%7 + 1
		}},
		{"day_of_year", "The day of the year, 1 to 366.", "60", time.Time.YearDay},
		{"hour", "The hour, 0 to 23.", "13", time.Time.Hour},
		{"minute", "The minute.", "14", time.Time.Minute},
		{"second", "The second.", "15", time.Time.Second},
	}
	var out []entry
	for _, p := range parts {
		out = append(out, timeEntry(p.name+"(x: moment) -> int64", p.doc, func(c *call) *node {
			calendar := newCalendar(c.args[0].typ)
			return c.node(batch.Of(batch.Int64), func(_ *frame, a []value) (value, string) {
				return intValue(int64(p.of(calendar.time(a[0])))), ""
			})
		}, Example{p.name + "(timestamp('2024-02-29T13:14:15Z'))", p.result}))
	}
	return out
}

// epochFunctions convert to and from counts since 1970-01-01T00:00Z.
func epochFunctions() []entry {
	var out []entry
	for _, e := range []struct {
		suffix, unitName, example string
		unit                      batch.Unit
	}{
		{"", "seconds", "1", batch.Second},
		{"_ms", "milliseconds", "1000", batch.Millisecond},
		{"_us", "microseconds", "1000000", batch.Microsecond},
	} {
		out = append(out, timeEntry("epoch"+e.suffix+"(x: moment) -> int64",
			"The "+e.unitName+" since 1970-01-01T00:00Z.", func(c *call) *node {
				x := c.coerce(c.args[0], batch.TimestampOf(e.unit, "UTC"))
				c.args = []*node{x}
				return c.node(batch.Of(batch.Int64), func(_ *frame, a []value) (value, string) {
					return a[0], ""
				})
			}, Example{"epoch" + e.suffix + "(timestamp('1970-01-01T00:00:01Z'))", e.example}))
		out = append(out, timeEntry("from_epoch"+e.suffix+"(n: int) -> timestamp",
			"The instant n "+e.unitName+" after 1970-01-01T00:00Z.", func(c *call) *node {
				return c.node(microUTC(), func(_ *frame, a []value) (value, string) {
					v, ok := scaleMoment(a[0].int(), e.unit, batch.Microsecond)
					if !ok {
						return nullValue(), reasonOverflow
					}
					return v, ""
				})
			}, Example{"from_epoch" + e.suffix + "(0)", "1970-01-01T00:00:00.000000Z"}))
	}
	return out
}

func bindDate(try bool) func(c *call) *node {
	return func(c *call) *node {
		x, date := c.args[0], batch.Of(batch.Date)
		switch {
		case x.typ.Kind == batch.Date, x.typ.Kind == batch.Null, x.typ.Kind == batch.Timestamp:
			return c.coerce(x, date)
		case x.typ.Kind == batch.Binary || !x.typ.Text():
			return c.fail(x.at, "", "%s cannot be converted to date", x.typ)
		}
		c.args = []*node{c.coerce(x, batch.Of(batch.String))}
		return c.node(date, func(_ *frame, a []value) (value, string) {
			if days, ok := batch.ParseDate(a[0].text); ok {
				return intValue(int64(days)), ""
			}
			if days, ok := dayOf(trimOffset(a[0].text)); ok {
				return intValue(days), ""
			}
			return failOrNull(try, batch.Of(batch.String), date, a[0])
		})
	}
}

// dayOf reads the date of a wall time. Nanoseconds reach to 2262 only.
func dayOf(text []byte) (days int64, ok bool) {
	for unit := batch.Microsecond; unit <= batch.Nanosecond && !ok; unit++ {
		days, ok = batch.ParseTimestamp(text, batch.TimestampOf(unit, ""))
		days = floorDiv(days, 86400*unit.PerSecond())
	}
	return days, ok
}

// trimOffset drops Z or an offset: the date of an instant is the one its text shows.
func trimOffset(text []byte) []byte {
	for i := len(text) - 1; i > 10; i-- {
		switch text[i] {
		case 'Z', 'z', '+', '-':
			return text[:i]
		}
	}
	return text
}

func failOrNull(try bool, from, to batch.Type, v value) (value, string) {
	if try {
		return nullValue(), ""
	}
	return nullValue(), unfit(from, to, v)
}

func bindTimestamp(try bool) func(c *call) *node {
	return func(c *call) *node {
		x, typ := c.args[0], microUTC()
		switch {
		case len(c.args) > 1:
			return c.parseTime(try)
		case x.typ.Kind == batch.Timestamp && x.typ.Zone != "":
			return x
		case x.typ.Kind == batch.Timestamp:
			typ.Unit = x.typ.Unit
			return c.coerce(x, typ)
		case x.typ.Kind == batch.Date, x.typ.Kind == batch.Null:
			return c.coerce(x, typ)
		case x.typ.Integer():
			return c.fail(x.at, "use from_epoch(x) or from_epoch_ms(x)", "%s is not a time", x.typ)
		case x.typ.Kind == batch.Binary || !x.typ.Text():
			return c.fail(x.at, "", "%s cannot be converted to timestamp", x.typ)
		}
		c.args = []*node{c.coerce(x, batch.Of(batch.String))}
		return c.node(typ, func(_ *frame, a []value) (value, string) {
			if v, ok := batch.ParseTimestamp(a[0].text, typ); ok {
				return intValue(v), ""
			}
			if v, ok := batch.ParseTimestamp(a[0].text, batch.TimestampOf(batch.Nanosecond, "UTC")); ok {
				return intValue(floorDiv(v, 1000)), ""
			}
			return failOrNull(try, batch.Of(batch.String), typ, a[0])
		})
	}
}

// parseTime reads texts by a literal pattern.
func (c *call) parseTime(try bool) *node {
	pattern, ok := c.constantText(1)
	if !ok {
		return c.null(c.at)
	}
	reader, err := NewTimeReader(pattern)
	if err != nil {
		return c.fail(c.args[1].at, "", "%s", err)
	}
	x := c.args[0]
	if !x.typ.Text() && x.typ.Kind != batch.Null {
		return c.fail(x.at, "", "a pattern reads texts, this is %s", x.typ)
	}
	c.args = []*node{c.coerce(x, batch.Of(batch.String))}
	calendar := newCalendar(microUTC())
	return c.node(calendar.typ, func(_ *frame, a []value) (value, string) {
		t, ok := reader.Read(string(a[0].text), time.UTC)
		if !ok {
			return failOrNull(try, batch.Of(batch.String), calendar.typ, a[0])
		}
		return calendar.value(t.UTC())
	})
}

// unit reads a literal unit argument that suits the type.
func (c *call) unit(i int, typ batch.Type) (calendarUnit, bool) {
	name, ok := c.constantText(i)
	if !ok {
		return unitNone, false
	}
	unit := parseUnit(name)
	switch {
	case unit == unitNone:
		hint := didYouMean(name, unitNames[1:])
		if hint == "" {
			hint = "the units are " + listed(unitNames[1:])
		}
		c.fail(c.args[i].at, hint, "unknown unit %q", name)
	case typ.Kind == batch.Date && unit > unitDay:
		c.fail(c.args[i].at, "convert it with timestamp(...)", "a date has no %s", name)
	}
	return unit, c.err == nil
}

func bindTruncate(c *call) *node {
	x := c.args[1]
	unit, ok := c.unit(0, x.typ)
	if !ok {
		return c.null(c.at)
	}
	c.args = []*node{x}
	calendar := newCalendar(x.typ)
	return c.node(x.typ, func(_ *frame, a []value) (value, string) {
		return calendar.value(truncate(calendar.time(a[0]), unit))
	})
}

func bindDateAdd(c *call) *node {
	x := c.args[0]
	unit, ok := c.unit(2, x.typ)
	if !ok {
		return c.null(c.at)
	}
	c.args = c.args[:2]
	calendar := newCalendar(x.typ)
	return c.node(x.typ, func(_ *frame, a []value) (value, string) {
		t, ok := addUnits(calendar.time(a[0]), a[1].int(), unit)
		if !ok {
			return nullValue(), reasonOverflow
		}
		return calendar.value(t)
	})
}

func bindDateDiff(c *call) *node {
	x, y := c.args[1], c.args[2]
	typ, _ := commonMoment(x.typ, y.typ)
	unit, ok := c.unit(0, typ)
	if !ok {
		return c.null(c.at)
	}
	c.args = []*node{c.coerce(x, typ), c.coerce(y, typ)}
	calendar := newCalendar(typ)
	return c.node(batch.Of(batch.Int64), func(_ *frame, a []value) (value, string) {
		return intValue(unitsBetween(calendar.time(a[0]), calendar.time(a[1]), unit)), ""
	})
}

func bindFormat(c *call) *node {
	pattern, ok := c.constantText(1)
	if !ok {
		return c.null(c.at)
	}
	format, err := parseFormat(pattern)
	if err != nil {
		return c.fail(c.args[1].at, "", "%s", err)
	}
	calendar := newCalendar(c.args[0].typ)
	c.args = c.args[:1]
	return c.node(batch.Of(batch.String), func(f *frame, a []value) (value, string) {
		start := len(f.arena)
		f.arena = format.append(f.arena, calendar.time(a[0]))
		return textValue(f.arena[start:]), ""
	})
}

func bindZone(c *call) *node {
	zone, ok := c.constantText(1)
	if !ok {
		return c.null(c.at)
	}
	if _, err := time.LoadLocation(zone); err != nil || zone == "" || zone == "Local" {
		return c.fail(c.args[1].at, "zones are written as Europe/Berlin, America/New_York or UTC",
			"unknown zone %q", zone)
	}
	x := c.args[0]
	if x.typ.Kind == batch.Date {
		x = c.coerce(x, microUTC())
	}
	typ := batch.TimestampOf(x.typ.Unit, zone)
	c.args = []*node{x}
	return c.node(typ, func(_ *frame, a []value) (value, string) { return a[0], "" })
}

func bindDuration(c *call) *node {
	name, ok := c.constantText(1)
	if !ok {
		return c.null(c.at)
	}
	unit, known := map[calendarUnit]batch.Unit{
		unitSecond: batch.Second, unitMillisecond: batch.Millisecond, unitMicrosecond: batch.Microsecond,
	}[parseUnit(name)]
	if name == "nanosecond" {
		unit, known = batch.Nanosecond, true
	}
	if !known {
		return c.fail(c.args[1].at, "the units are second, millisecond, microsecond, nanosecond",
			"unknown unit %q", name)
	}
	typ := batch.Of(batch.Duration)
	typ.Unit = unit
	c.args = c.args[:1]
	return c.node(typ, func(_ *frame, a []value) (value, string) { return a[0], "" })
}
