package order

// Event is one thing that happened by a command. Events of a command follow each other in the order they
// happened.
type Event struct {
	Seq         uint64 // of the command
	Order       uint64 // the order it is about; the taker of a trade
	Maker       uint64 // of a trade: the order that rested
	Qty         int64  // lots: of a trade, of an order as accepted or replaced, or taken out of the book
	Leaves      int64  // lots of Order that stay open
	MakerLeaves int64  // of a trade
	Price       int32  // ticks: of a trade the maker's price, else the order's
	Symbol      uint32
	Account     uint32 // whose order it is
	What        What
	Side        Side // of Order
	Reason      Reason
	By          Kind // of the command
}

// What says what happened.
type What uint8

// The kinds of events.
const (
	Accepted What = iota + 1
	Rejected
	Traded
	Cancelled
	Replaced
)

// String returns the name used in reports.
func (w What) String() string {
	return [...]string{"", "accepted", "rejected", "trade", "cancelled", "replaced"}[w]
}

// Reason says why an order was rejected or cancelled.
type Reason uint8

// The reasons.
const (
	None Reason = iota
	Asked
	UnknownOrder
	DuplicateOrder
	UnknownSymbol
	BadQuantity
	BadPrice
	WouldTrade       // post-only
	NotWhole         // fill or kill
	NothingLeft      // to match: the rest of an immediate or market order
	BadCommand       // a kind, type or time in force that the venue does not have
	QuantityOverflow // the open quantity of a price would overflow
)

// String returns the name used in reports.
func (r Reason) String() string {
	return [...]string{
		"", "asked", "unknown_order", "duplicate_order", "unknown_symbol", "bad_quantity", "bad_price",
		"would_trade", "not_whole", "nothing_left", "bad_command", "quantity_overflow",
	}[r]
}
