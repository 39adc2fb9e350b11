package expr

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tapeline/tapeline/batch"
)

// zoneOf returns a timestamp type's zone; nil stands for UTC and wall time.
func zoneOf(t batch.Type) *time.Location {
	if location := t.Location(); t.Kind == batch.Timestamp && location != time.UTC {
		return location
	}
	return nil
}

func instantToWall(seconds int64, location *time.Location) int64 {
	_, offset := time.Unix(seconds, 0).In(location).Zone()
	return seconds + int64(offset)
}

// calendar converts between values of one moment type and times of its zone.
type calendar struct {
	typ      batch.Type
	location *time.Location
}

func newCalendar(typ batch.Type) calendar {
	location := zoneOf(typ)
	if location == nil {
		location = time.UTC
	}
	return calendar{typ, location}
}

// time returns a value as a time in the type's zone.
func (c calendar) time(v value) time.Time {
	if c.typ.Kind == batch.Date {
		return time.Unix(v.int()*86400, 0).UTC()
	}
	per := c.typ.Unit.PerSecond()
	seconds := floorDiv(v.int(), per)
	t := time.Unix(seconds, (v.int()-seconds*per)*(1e9/per))
	if c.location == time.UTC {
		return t.UTC()
	}
	return t.In(c.location)
}

// value is the inverse of time; it drops what the type cannot hold.
func (c calendar) value(t time.Time) (value, string) {
	const farYears = 200_000
	if t.Year() > farYears || t.Year() < -farYears {
		return nullValue(), reasonOverflow
	}
	if c.typ.Kind == batch.Date {
		return intValue(floorDiv(t.Unix(), 86400)), ""
	}
	v, ok := scaleMoment(t.Unix(), batch.Second, c.typ.Unit)
	if !ok {
		return nullValue(), reasonOverflow
	}
	sum := v.int() + int64(t.Nanosecond())/(1e9/c.typ.Unit.PerSecond())
	if sum < v.int() {
		return nullValue(), reasonOverflow
	}
	return intValue(sum), ""
}

// calendarUnit is a unit of date_trunc, date_add and date_diff.
type calendarUnit uint8

const (
	unitNone calendarUnit = iota
	unitYear
	unitQuarter
	unitMonth
	unitWeek
	unitDay
	unitHour
	unitMinute
	unitSecond
	unitMillisecond
	unitMicrosecond
)

var unitNames = [...]string{
	"", "year", "quarter", "month", "week", "day", "hour", "minute", "second", "millisecond",
	"microsecond",
}

func parseUnit(name string) calendarUnit {
	name = strings.TrimSuffix(strings.ToLower(name), "s")
	for i, n := range unitNames {
		if n == name {
			return calendarUnit(i)
		}
	}
	return unitNone
}

// months returns how many months a unit has, 0 for units of fixed length.
func (u calendarUnit) months() int {
	return [...]int{unitYear: 12, unitQuarter: 3, unitMonth: 1, unitMicrosecond: 0}[u]
}

// length returns the length of a unit of fixed length.
func (u calendarUnit) length() time.Duration {
	return [...]time.Duration{
		unitWeek: 7 * 24 * time.Hour, unitDay: 24 * time.Hour, unitHour: time.Hour,
		unitMinute: time.Minute, unitSecond: time.Second, unitMillisecond: time.Millisecond,
		unitMicrosecond: time.Microsecond,
	}[u]
}

// truncate returns the start of the unit t lies in, by t's own calendar; weeks begin on Monday.
func truncate(t time.Time, unit calendarUnit) time.Time {
	year, month, day := t.Date()
	switch unit {
	case unitYear:
		return dayStart(year, 1, 1, t.Location())
	case unitQuarter:
		return dayStart(year, (month-1)/3*3+1, 1, t.Location())
	case unitMonth:
		return dayStart(year, month, 1, t.Location())
	case unitWeek:
		return dayStart(year, month, day-(int(t.Weekday())+6)%7, t.Location())
	case unitDay:
		return dayStart(year, month, day, t.Location())
	}
	// Below a day by the wall clock, so that zones with odd offsets have whole hours too; taking off
	// the rest instead of building a new time keeps the instant unambiguous around clock changes.
	rest := time.Duration(t.Nanosecond())
	if unit <= unitMinute {
		rest += time.Duration(t.Second()) * time.Second
	}
	if unit == unitHour {
		rest += time.Duration(t.Minute()) * time.Minute
	}
	if unit > unitSecond {
		rest %= unit.length()
	}
	return t.Add(-rest)
}

// dayStart returns the first instant of a day: where the clocks go forward at midnight, there is none.
func dayStart(year int, month time.Month, day int, location *time.Location) time.Time {
	t := time.Date(year, month, day, 0, 0, 0, 0, location)
	start, end := t.ZoneBounds()
	switch hour := t.Hour(); {
	case hour == 0:
		return t
	case hour > 12: // of the day before
		return end
	}
	return start
}

// addUnits moves a time by n units; a day that the month lacks becomes its last one.
func addUnits(t time.Time, n int64, unit calendarUnit) (time.Time, bool) {
	const far = 4_000_000_000
	if months := unit.months(); months > 0 {
		if n > far || n < -far {
			return t, false
		}
		year, month, day := t.Date()
		first := time.Date(year, month+time.Month(n)*time.Month(months), 1, 0, 0, 0, 0, time.UTC)
		last := first.AddDate(0, 1, -1).Day()
		hour, minute, second := t.Clock()
		return time.Date(first.Year(), first.Month(), min(day, last), hour, minute, second,
			t.Nanosecond(), t.Location()), true
	}
	if unit == unitDay || unit == unitWeek {
		if n > far/10 || n < -far/10 {
			return t, false
		}
		days := int(n)
		if unit == unitWeek {
			days *= 7
		}
		return t.AddDate(0, 0, days), true
	}
	length := int64(unit.length())
	if seconds := int64(time.Second); length >= seconds {
		product, _ := multiplySmall(n, length/seconds)
		if !small(product) || int64(product.LowBits()) > 1<<53 || int64(product.LowBits()) < -1<<53 {
			return t, false
		}
		return time.Unix(t.Unix()+int64(product.LowBits()), int64(t.Nanosecond())).In(t.Location()), true
	}
	per := int64(time.Second) / length
	whole := floorDiv(n, per)
	return time.Unix(t.Unix()+whole, int64(t.Nanosecond())+(n-whole*per)*length).In(t.Location()), true
}

// unitsBetween counts the whole units from a to b, negative when b is earlier.
func unitsBetween(a, b time.Time, unit calendarUnit) int64 {
	if b.Before(a) {
		return -unitsBetween(b, a, unit)
	}
	if months := int64(unit.months()); months > 0 {
		n := (int64(b.Year()-a.Year())*12 + int64(b.Month()-a.Month())) / months
		if moved, _ := addUnits(a, n, unit); moved.After(b) {
			n--
		}
		return n
	}
	if unit == unitDay || unit == unitWeek {
		return daysBetween(a, b) / int64(unit.length()/(24*time.Hour))
	}
	seconds, nanos := b.Unix()-a.Unix(), int64(b.Nanosecond()-a.Nanosecond())
	if nanos < 0 {
		seconds, nanos = seconds-1, nanos+1e9
	}
	length := int64(unit.length())
	if length >= 1e9 {
		return seconds / (length / 1e9)
	}
	return seconds*(1e9/length) + nanos/length
}

// daysBetween counts the whole days of the calendar, as addUnits moves: one may have 23 hours.
func daysBetween(a, b time.Time) int64 {
	day := func(t time.Time) int64 {
		return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC).Unix() / 86400
	}
	n := day(b) - day(a)
	if moved := a.AddDate(0, 0, int(n)); moved.After(b) {
		n--
	}
	return n
}

// timeFormat is a strftime pattern in pieces, each a Go layout or text.
type timeFormat []formatPiece

type formatPiece struct {
	layout string
	text   bool
}

// parseFormat reads %Y %m %d %H %M %S %f %y %b %B %a %A %p %I %z %Z %j %e %T %F and %%.
func parseFormat(pattern string) (timeFormat, error) {
	layouts := map[byte]string{
		'Y': "2006", 'm': "01", 'd': "02", 'H': "15", 'M': "04", 'S': "05", 'y': "06", 'b': "Jan",
		'B': "January", 'a': "Mon", 'A': "Monday", 'p': "PM", 'I': "03", 'z': "-0700", 'Z': "MST",
		'j': "002", 'e': "_2", 'T': "15:04:05", 'F': "2006-01-02", 'f': ".000000",
	}
	var format timeFormat
	for i := 0; i < len(pattern); i++ {
		ch := pattern[i]
		if ch == '%' && i+1 == len(pattern) {
			return nil, errors.New("the pattern ends in %, which %% stands for")
		}
		if ch == '%' && pattern[i+1] != '%' {
			i++
			layout, ok := layouts[pattern[i]]
			if !ok {
				return nil, fmt.Errorf("%%%c is not a part of a time", pattern[i])
			}
			format = append(format, formatPiece{layout: layout})
			continue
		}
		if ch == '%' {
			i++
		}
		if n := len(format); n > 0 && format[n-1].text {
			format[n-1].layout += string(ch)
			continue
		}
		format = append(format, formatPiece{layout: string(ch), text: true})
	}
	return format, nil
}

// append formats a time.
func (f timeFormat) append(dst []byte, t time.Time) []byte {
	for _, piece := range f {
		switch {
		case piece.text:
			dst = append(dst, piece.layout...)
		case piece.layout == ".000000":
			dst = append(dst, t.Format(piece.layout)[1:]...)
		default:
			dst = t.AppendFormat(dst, piece.layout)
		}
	}
	return dst
}

// TimeReader reads times by a strftime pattern.
type TimeReader struct {
	layout string
	offset bool // the pattern has %z
}

// NewTimeReader compiles a pattern of the parts that parse_time knows.
func NewTimeReader(pattern string) (*TimeReader, error) {
	format, err := parseFormat(pattern)
	if err != nil {
		return nil, err
	}
	r := &TimeReader{}
	var out strings.Builder
	for _, piece := range format {
		switch {
		case piece.layout == ".000000":
			// Go reads a fraction of any length after the seconds without being told.
			text := strings.TrimSuffix(strings.TrimSuffix(out.String(), "."), ",")
			if !strings.HasSuffix(text, "05") {
				return nil, errors.New("%f follows %S and a point")
			}
			out.Reset()
			out.WriteString(text)
		case piece.layout == "-0700":
			r.offset = true
			out.WriteString("Z0700")
		case piece.text && time.Unix(1e9, 5e8).UTC().Format(piece.layout) != piece.layout:
			return nil, fmt.Errorf("the text %q cannot stand in a pattern for reading", piece.layout)
		default:
			out.WriteString(piece.layout)
		}
	}
	r.layout = out.String()
	return r, nil
}

// Read reads a text; one without offset is wall time in zone. The name of another zone is refused:
// it says no offset for certain.
func (r *TimeReader) Read(text string, zone *time.Location) (time.Time, bool) {
	t, err := time.ParseInLocation(r.layout, text, zone)
	if err != nil {
		return t, false
	}
	name, _ := t.Zone()
	known := t.Location() == zone || t.Location() == time.UTC || strings.HasPrefix(name, "GMT")
	return t, known || r.offset
}
