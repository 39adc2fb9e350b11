package sim

import (
	"fmt"
	"time"

	"github.com/tapeline/tapeline/internal/market"
)

// Date is a calendar day.
type Date = market.Date

// ParseDate reads YYYY-MM-DD, the only form of the vendor's.
func ParseDate(text string) (Date, error) {
	if len(text) != len(time.DateOnly) || text[4] != '-' || text[7] != '-' {
		return 0, fmt.Errorf("date %q: want a calendar day as 2024-01-02", text)
	}
	return market.ParseDate(text)
}

// DateOf returns the date of a civil day; months and days out of range carry over.
func DateOf(year int, month time.Month, day int) Date { return market.DateOf(year, month, day) }
