package market

import (
	"fmt"
	"slices"
	"strings"
)

// Class is what kind of thing an instrument is.
type Class uint8

// The classes. A scheme that writes digits alone needs one to know the exchange.
const (
	Unknown Class = iota
	Stock
	Index
	ETF // exchange-traded and listed funds
	Convertible
	Bond
	Future
	FX
	Crypto
	Other
)

var classNames = [...]string{
	"unknown", "stock", "index", "etf", "convertible", "bond", "future", "fx", "crypto", "other",
}

// String returns the class's name, as column class of the instrument dataset holds it.
func (c Class) String() string {
	if int(c) < len(classNames) {
		return classNames[c]
	}
	return fmt.Sprintf("class(%d)", uint8(c))
}

// ParseClass reads what String writes.
func ParseClass(text string) (Class, error) {
	if i := slices.Index(classNames[:], strings.ToLower(text)); i >= 0 {
		return Class(i), nil
	}
	return Unknown, fmt.Errorf("class %q: want one of %s", text, strings.Join(classNames[:], ", "))
}

// Values of Instrument.Status and of the instrument dataset's column status.
const (
	Listed   = "listed"
	Delisted = "delisted"
	Upcoming = "upcoming" // announced, not traded yet
)

// Instrument is one listed thing with the dates of its life.
type Instrument struct {
	Symbol   Symbol
	Class    Class
	Name     string
	Currency string // ISO 4217; "" when unknown
	IPO      Date   // first trading day; 0 when unknown
	Out      Date   // last day of the listing; 0 when still listed or unknown
	Status   string
	Lot      int64   // smallest number that is traded; 0 when unknown
	Aliases  []Alias // other codes it had or has, by date
}

// Alias is a code under which an instrument was known from one date to another, in its own market:
// exchanges do renumber (Beijing's 43/83/87 to 92), and tickers are renamed and used again.
type Alias struct {
	Symbol   Symbol
	From, To Date // both included; From 0: since ever, To 0: until now
}

// Life returns the dates of the listing; unknown ends are open.
func (i Instrument) Life() Interval { return openEnds(i.IPO, i.Out) }

// Valid returns the dates on which the alias names the instrument.
func (a Alias) Valid() Interval { return openEnds(a.From, a.To) }

func openEnds(from, to Date) Interval {
	v := Interval{from, to}
	if from == 0 {
		v.From = MinDate
	}
	if to == 0 {
		v.To = MaxDate
	}
	return v
}

// SymbolOn returns the symbol under which the instrument was known on a date.
func (i Instrument) SymbolOn(d Date) Symbol {
	for _, alias := range i.Aliases {
		if alias.Valid().Contains(d) {
			return alias.Symbol
		}
	}
	return i.Symbol
}
