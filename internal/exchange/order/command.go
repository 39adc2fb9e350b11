package order

// Command is one thing a venue is told. A log of commands, in order of Seq, is all that a venue's state
// follows from.
type Command struct {
	Seq     uint64 // of the venue, without gaps; given by the shard
	Time    int64  // of the batch it came in; given by the shard
	Order   uint64 // the order it is about; ids of orders that are done may come again
	Qty     int64  // lots, > 0: of a new order, or what is to be left open by a change
	Price   int32  // ticks: the limit of a new order, or the new limit
	Symbol  uint32 // dense number from 0
	Account uint32 // 0: nobody's
	Kind    Kind
	Side    Side
	Type    Type
	TIF     TIF
	Flags   Flags
	_       [3]byte
}

// Kind says what a command asks for.
type Kind uint8

// The kinds of commands.
const (
	New     Kind = iota + 1
	Cancel       // Order
	Replace      // limit and open quantity of Order; it keeps its place if only the quantity shrinks
	Reduce       // the open quantity of Order by Qty
)

// Side is the side of an order.
type Side uint8

// The sides.
const (
	Buy Side = iota
	Sell
)

// Other returns the opposite side.
func (s Side) Other() Side { return s ^ 1 }

// String returns the name used in order flow files.
func (s Side) String() string {
	if s == Buy {
		return "buy"
	}
	return "sell"
}

// Type says at which prices an order trades.
type Type uint8

// The types.
const (
	Limit  Type = iota // at Price or better
	Market             // at any price; what does not trade at once is cancelled
)

// TIF is how long an order stays.
type TIF uint8

// The times in force.
const (
	GTC TIF = iota // until cancelled
	IOC            // what does not trade at once is cancelled
	FOK            // it trades at once and whole, or not at all
)

// Flags are further wishes of a new order.
type Flags uint8

// PostOnly refuses an order that would trade at once.
const PostOnly Flags = 1 << 0
