package market

import (
	"fmt"

	"github.com/tapeline/tapeline/batch"
)

// Names of the tables that travel beside the datasets.
const (
	UnitTable       = "_unit"
	QuarantineTable = "_quarantine"
)

// State is how a unit of work ended.
type State string

// The states. Only the first two count as coverage.
const (
	StateOK      State = "ok"
	StateEmpty   State = "empty_confirmed" // the provider says that there are no rows
	StatePartial State = "partial"         // fewer rows than announced
	StateFailed  State = "failed"
)

// Covers reports whether a unit of this state needs no further request.
func (s State) Covers() bool { return s == StateOK || s == StateEmpty }

// Unit is one piece of work asked of a provider: a symbol over dates, or dates over the universe.
// Its row in table _unit ends its rows on their way to the store.
type Unit struct {
	Dataset string
	Symbol  string // canonical; "" is the whole universe
	Freq    string // 1d, 5m; "" where the dataset has none
	Source  string // the provider's name
	From    Date
	To      Date
	Rows    int64 // received: good and quarantined together
	State   State
}

// Interval returns the unit's dates.
func (u Unit) Interval() Interval { return Interval{u.From, u.To} }

// String names the unit in messages.
func (u Unit) String() string {
	symbol := u.Symbol
	if symbol == "" {
		symbol = "universe"
	}
	return fmt.Sprintf("%s %s %s of %s", u.Dataset, symbol, u.Interval(), u.Source)
}

var unitSchema = batch.NewSchema(
	required("dataset", batch.Of(batch.String)), required("symbol", batch.Of(batch.String)),
	required("freq", batch.Of(batch.String)), required("source", batch.Of(batch.String)),
	required("from", batch.Of(batch.Date)), required("to", batch.Of(batch.Date)),
	required("rows", batch.Of(batch.Int64)), required("state", batch.Of(batch.String)),
)

// UnitSchema returns the schema of table _unit.
func UnitSchema() *batch.Schema { return unitSchema }

// AppendUnit appends a unit as one row to a builder of UnitSchema.
func AppendUnit(b *batch.Builder, u Unit) {
	b.Column(0).Text(u.Dataset)
	b.Column(1).Text(u.Symbol)
	b.Column(2).Text(u.Freq)
	b.Column(3).Text(u.Source)
	b.Column(4).Int(int64(u.From))
	b.Column(5).Int(int64(u.To))
	b.Column(6).Int(u.Rows)
	b.Column(7).Text(string(u.State))
}

// UnitAt reads a unit from a dense batch of UnitSchema and checks it.
func UnitAt(b *batch.Batch, row int) (Unit, error) {
	if !b.Schema().Equal(unitSchema) {
		return Unit{}, fmt.Errorf("unit row %d: columns (%s), want (%s)", row, b.Schema(), unitSchema)
	}
	text := func(i int) string { return string(b.Column(i).Bytes(row)) }
	u := Unit{
		Dataset: text(0), Symbol: text(1), Freq: text(2), Source: text(3),
		From: Date(b.Column(4).Int(row)), To: Date(b.Column(5).Int(row)),
		Rows: b.Column(6).Int(row), State: State(text(7)),
	}
	return u, u.Validate()
}

// Validate reports what makes a unit impossible.
func (u Unit) Validate() error {
	switch {
	case u.Dataset == "" || u.Source == "":
		return fmt.Errorf("unit %s: it names no dataset or no source", u)
	case u.From > u.To:
		return fmt.Errorf("unit %s: from %s is after to %s", u, u.From, u.To)
	case u.Rows < 0:
		return fmt.Errorf("unit %s: %d rows", u, u.Rows)
	case u.State != StateOK && u.State != StateEmpty && u.State != StatePartial && u.State != StateFailed:
		return fmt.Errorf("unit %s: state %q, want %s, %s, %s or %s",
			u, u.State, StateOK, StateEmpty, StatePartial, StateFailed)
	case u.State == StateEmpty && u.Rows > 0:
		return fmt.Errorf("unit %s: %d rows, though it is confirmed to be empty", u, u.Rows)
	}
	if u.Symbol != "" {
		if _, err := ParseSymbol(u.Symbol); err != nil {
			return fmt.Errorf("unit %s: %w", u, err)
		}
	}
	return nil
}

// Quarantine is a row that was received and refused.
type Quarantine struct {
	Dataset string
	Symbol  string // as far as known
	Date    Date   // 0: none, or not readable
	Source  string
	Rule    string // the name of the rule it broke
	Raw     string // the row as received
	Place   string // where it was received: request, page, line
	Message string // for people: what was found and what was wanted
}

var quarantineSchema = batch.NewSchema(
	required("dataset", batch.Of(batch.String)), required("symbol", batch.Of(batch.String)),
	optional("date", batch.Of(batch.Date)), required("source", batch.Of(batch.String)),
	required("rule", batch.Of(batch.String)), required("raw", batch.Of(batch.String)),
	required("place", batch.Of(batch.String)), required("message", batch.Of(batch.String)),
)

// QuarantineSchema returns the schema of table _quarantine.
func QuarantineSchema() *batch.Schema { return quarantineSchema }

// AppendQuarantine appends a refused row to a builder of QuarantineSchema.
func AppendQuarantine(b *batch.Builder, q Quarantine) {
	b.Column(0).Text(q.Dataset)
	b.Column(1).Text(q.Symbol)
	if q.Date == 0 {
		b.Column(2).Null()
	} else {
		b.Column(2).Int(int64(q.Date))
	}
	b.Column(3).Text(q.Source)
	b.Column(4).Text(q.Rule)
	b.Column(5).Text(q.Raw)
	b.Column(6).Text(q.Place)
	b.Column(7).Text(q.Message)
}

// QuarantineAt reads a refused row from a dense batch of QuarantineSchema.
func QuarantineAt(b *batch.Batch, row int) (Quarantine, error) {
	if !b.Schema().Equal(quarantineSchema) {
		return Quarantine{}, fmt.Errorf("quarantine row %d: columns (%s), want (%s)",
			row, b.Schema(), quarantineSchema)
	}
	text := func(i int) string { return string(b.Column(i).Bytes(row)) }
	q := Quarantine{
		Dataset: text(0), Symbol: text(1), Source: text(3), Rule: text(4),
		Raw: text(5), Place: text(6), Message: text(7),
	}
	if !b.Column(2).IsNull(row) {
		q.Date = Date(b.Column(2).Int(row))
	}
	return q, nil
}
