package market

import (
	"fmt"
	"time"

	"github.com/tapeline/tapeline/batch"
)

// Date is a calendar day: days since 1970-01-01, without a zone. 0 is 1970-01-01, and in fields that
// say so it means "none".
type Date int32

// The range of dates that have a text form.
const (
	MinDate Date = -719162 // 0001-01-01
	MaxDate Date = 2932896 // 9999-12-31
)

const secondsPerDay = 24 * 60 * 60

// ParseDate reads YYYY-MM-DD, YYYY/MM/DD or YYYYMMDD.
func ParseDate(text string) (Date, error) {
	days, ok := batch.ParseDate([]byte(text))
	if !ok || Date(days) < MinDate {
		return 0, fmt.Errorf("date %q: want a calendar day as 2024-01-02 or 20240102", text)
	}
	return Date(days), nil
}

// From returns the calendar day of t in t's own zone.
func From(t time.Time) Date { return DateOf(t.Date()) }

// DateOf returns the date of a civil day; months and days out of range carry over, as in time.Date.
func DateOf(year int, month time.Month, day int) Date {
	return Date(time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Unix() / secondsPerDay)
}

// String returns the date as 2024-01-02.
func (d Date) String() string { return string(batch.AppendDate(nil, int64(d))) }

// Time returns midnight UTC of the date.
func (d Date) Time() time.Time { return time.Unix(int64(d)*secondsPerDay, 0).UTC() }

// At returns the instant at which a clock in zone shows offset after midnight of the date.
func (d Date) At(zone *time.Location, offset time.Duration) time.Time {
	year, month, day := d.Civil()
	return time.Date(year, month, day, 0, 0, 0, int(offset), zone)
}

// Civil returns year, month and day.
func (d Date) Civil() (year int, month time.Month, day int) { return d.Time().Date() }

// Year returns the year.
func (d Date) Year() int { return d.Time().Year() }

// Weekday returns the day of the week.
func (d Date) Weekday() time.Weekday {
	return time.Weekday(((int64(d)+4)%7 + 7) % 7)
}
