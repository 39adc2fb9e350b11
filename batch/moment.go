package batch

import (
	"math"
	"time"
)

// ParseDate reads YYYY-MM-DD, YYYY/MM/DD or YYYYMMDD as days since 1970-01-01.
func ParseDate(text []byte) (int32, bool) {
	days, rest, ok := datePart(text)
	if !ok || len(rest) > 0 {
		return 0, false
	}
	return int32(days), true
}

// datePart reads a date at the start of text and returns what follows it.
func datePart(text []byte) (days int64, rest []byte, ok bool) {
	if len(text) < 8 {
		return 0, nil, false
	}
	year, ok := digits(text[:4])
	if !ok {
		return 0, nil, false
	}
	var month, day int
	var okMonth, okDay bool
	if sep := text[4]; sep == '-' || sep == '/' {
		if len(text) < 10 || text[7] != sep {
			return 0, nil, false
		}
		month, okMonth = digits(text[5:7])
		day, okDay = digits(text[8:10])
		rest = text[10:]
	} else {
		month, okMonth = digits(text[4:6])
		day, okDay = digits(text[6:8])
		rest = text[8:]
	}
	if !okMonth || !okDay || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) {
		return 0, nil, false
	}
	return civil(year, month, day), rest, true
}

func digits(text []byte) (int, bool) {
	v := 0
	for _, ch := range text {
		d := ch - '0'
		if d > 9 {
			return 0, false
		}
		v = v*10 + int(d)
	}
	return v, len(text) > 0
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// civil returns days since 1970-01-01 of a Gregorian date (years from March, so that the leap day
// ends the year).
func civil(year, month, day int) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	era := floorDiv(year, 400)
	yearOfEra := year - era*400
	dayOfYear := (153*(month-3)+2)/5 + day - 1
	return int64(era*146097+yearOfEra*365+yearOfEra/4-yearOfEra/100+dayOfYear) - 719468
}

func floorDiv(a, b int) int {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// ParseTime reads HH:MM[:SS[.fraction]] as units since midnight.
func ParseTime(text []byte, unit Unit) (int64, bool) {
	seconds, nanos, rest, ok := clockPart(text)
	if !ok || len(rest) > 0 {
		return 0, false
	}
	return scaleUnit(seconds, nanos, unit)
}

func clockPart(text []byte) (seconds, nanos int64, rest []byte, ok bool) {
	if len(text) < 5 || text[2] != ':' {
		return 0, 0, nil, false
	}
	hour, okHour := digits(text[:2])
	minute, okMinute := digits(text[3:5])
	if !okHour || !okMinute || hour > 23 || minute > 59 {
		return 0, 0, nil, false
	}
	seconds = int64(hour*3600 + minute*60)
	rest = text[5:]
	if len(rest) < 3 || rest[0] != ':' {
		return seconds, 0, rest, true
	}
	second, okSecond := digits(rest[1:3])
	if !okSecond || second > 59 {
		return 0, 0, nil, false
	}
	seconds += int64(second)
	rest = rest[3:]
	if len(rest) < 2 || (rest[0] != '.' && rest[0] != ',') {
		return seconds, 0, rest, true
	}
	i, scale := 1, int64(1e9)
	for ; i < len(rest); i++ {
		d := rest[i] - '0'
		if d > 9 {
			break
		}
		if scale > 1 {
			scale /= 10
			nanos += int64(d) * scale
		} else if d != 0 {
			return 0, 0, nil, false
		}
	}
	return seconds, nanos, rest[i:], i > 1
}

// scaleUnit joins seconds and nanoseconds in a unit; it refuses what the unit cannot hold exactly
// and what overflows.
func scaleUnit(seconds, nanos int64, unit Unit) (int64, bool) {
	per := unit.PerSecond()
	step := int64(1e9) / per
	if nanos%step != 0 || seconds > math.MaxInt64/per-1 || seconds < math.MinInt64/per+1 {
		return 0, false
	}
	return seconds*per + nanos/step, true
}

// stampReader parses timestamps of one type; it holds the location so that it is loaded once.
type stampReader struct {
	unit     Unit
	location *time.Location // nil: UTC or wall time
	zoned    bool
}

func newStampReader(typ Type) stampReader {
	s := stampReader{unit: typ.Unit, zoned: typ.Zone != ""}
	if typ.Zone != "" && typ.Zone != "UTC" {
		s.location = typ.Location()
	}
	return s
}

// ParseTimestamp reads ISO 8601 / RFC 3339 forms: a date, optionally followed by T or a blank, a
// time, and Z or an offset. Without an offset the text is in typ.Zone (wall time when empty). An
// offset on a type without zone is refused, since dropping it would change the instant.
func ParseTimestamp(text []byte, typ Type) (int64, bool) { return newStampReader(typ).parse(text) }

func (s stampReader) parse(text []byte) (int64, bool) {
	days, rest, ok := datePart(text)
	if !ok {
		return 0, false
	}
	seconds := days * 86400
	var nanos int64
	if len(rest) > 0 {
		if rest[0] != 'T' && rest[0] != ' ' && rest[0] != 't' {
			return 0, false
		}
		clock, fraction, after, ok := clockPart(rest[1:])
		if !ok {
			return 0, false
		}
		seconds, nanos, rest = seconds+clock, fraction, after
	}
	if len(rest) > 0 && rest[0] == ' ' {
		rest = rest[1:]
	}
	if len(rest) > 0 {
		offset, ok := zoneOffset(rest)
		if !ok || !s.zoned {
			return 0, false
		}
		seconds -= offset
	} else if s.location != nil {
		wall := time.Unix(seconds, 0).UTC()
		seconds = time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(),
			wall.Second(), 0, s.location).Unix()
	}
	return scaleUnit(seconds, nanos, s.unit)
}

// zoneOffset reads Z, UTC, +HH, +HHMM or +HH:MM as seconds east of UTC.
func zoneOffset(text []byte) (int64, bool) {
	if string(text) == "Z" || string(text) == "z" || string(text) == "UTC" {
		return 0, true
	}
	if len(text) < 3 || (text[0] != '+' && text[0] != '-') {
		return 0, false
	}
	hours, ok := digits(text[1:3])
	minutes, okMinutes := 0, true
	switch rest := text[3:]; {
	case len(rest) == 2:
		minutes, okMinutes = digits(rest)
	case len(rest) == 3 && rest[0] == ':':
		minutes, okMinutes = digits(rest[1:])
	case len(rest) != 0:
		return 0, false
	}
	if !ok || !okMinutes || hours > 18 || minutes > 59 {
		return 0, false
	}
	offset := int64(hours*3600 + minutes*60)
	if text[0] == '-' {
		offset = -offset
	}
	return offset, true
}
