package provider

import (
	"encoding/binary"
	"fmt"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/market"
)

// Position is where a source of units continues: behind so many records of a unit, or at what
// follows them.
type Position struct {
	Unit    int
	Records int64
	Tail    Tail
}

// Tail says what was handed over last: rows, or the bad records behind them.
type Tail uint8

// The tails.
const (
	AtRows Tail = iota
	AtRefusals
	tails
)

const positionVersion = 1

// Encode returns the position as bytes.
func (p Position) Encode() connector.Position {
	b := []byte{positionVersion}
	b = binary.AppendUvarint(b, uint64(p.Unit))
	b = binary.AppendUvarint(b, uint64(p.Records))
	return append(b, byte(p.Tail))
}

// ParsePosition reads what Encode wrote, of a source with so many units.
func ParsePosition(at connector.Position, units int) (p Position, err error) {
	wrong := fmt.Errorf("position %x is not one of version %d for these units", []byte(at), positionVersion)
	if len(at) < 4 || at[0] != positionVersion {
		return p, wrong
	}
	rest := at[1:]
	unit, n := binary.Uvarint(rest)
	if n <= 0 || unit > uint64(units) {
		return p, wrong
	}
	rest = rest[n:]
	records, n := binary.Uvarint(rest)
	if n <= 0 || len(rest) != n+1 || rest[n] >= byte(tails) || int64(records) < 0 {
		return p, wrong
	}
	return Position{int(unit), int64(records), Tail(rest[n])}, nil
}

// End is how the answers of a unit ended.
type End struct {
	Rows    int64       // its records make, bad ones included
	Refused bool        // the provider refused to answer
	Partial bool        // it is not known whether that is all
	Stated  bool        // rows of _unit behind it say which days have none
	Final   market.Date // rows of later days are not final
}

// Of returns the unit's row in table _unit.
func (e End) Of(u market.Unit) market.Unit {
	u.Rows, u.State = e.Rows, market.StateOK
	switch {
	case e.Refused:
		u.State = market.StateFailed
		u.Rows++
	case e.Partial:
		u.State = market.StatePartial
	case e.Rows == 0 && !e.Stated:
		u.State = market.StateEmpty
	}
	if last := settled(u.Dataset, e.Final); u.To > last {
		// The rest of the days is not final: it is not covered, whatever was there of it.
		if u.From > last {
			u.State = market.StatePartial
		}
		u.To = max(last, u.From)
	}
	return u
}

// settled returns the last day whose rows do not change any more: those of a day become final with its
// end, statements of a quarter come late.
func settled(name string, final market.Date) market.Date {
	switch {
	case name == market.Fundamental:
		return final - market.SettleQuarter
	case name == market.Valuation1D || datasetOf(name).Schema.Index("final") >= 0:
		return final
	}
	return market.MaxDate
}
