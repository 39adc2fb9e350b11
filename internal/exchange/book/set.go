package book

import (
	"math"

	"github.com/tapeline/tapeline/internal/exchange/order"
)

// Set is the books of a shard: those of its symbols, and the orders in them. Not safe for concurrent use.
type Set struct {
	orders []resting // number 0 is none
	free   uint32    // first of the orders that are free, by next
	index  index
	books  []book
}

// resting is an order in a book. Without pointers, so that the garbage collector passes it by.
type resting struct {
	id         uint64
	open       int64 // lots
	key        uint32
	page       uint32
	prev, next uint32 // of the same price
	symbol     uint32
	account    uint32
	side       order.Side
}

// book is the two sides of a symbol.
type book struct {
	sides [2]ladder
}

// firstOrders is how many orders there is room for at first.
const firstOrders = 1 << 12

// NewSet returns a set without books.
func NewSet() *Set {
	s := &Set{orders: make([]resting, 1, firstOrders), index: newIndex()}
	return s
}

// AddSymbol adds the empty book of the next symbol, and returns its number.
func (s *Set) AddSymbol() uint32 {
	s.books = append(s.books, book{})
	return uint32(len(s.books) - 1)
}

// Apply does what a command asks for and appends what happened. It allocates only where the set grows.
func (s *Set) Apply(c *order.Command, out []order.Event) []order.Event {
	switch c.Kind {
	case order.New:
		return s.enter(c, out)
	case order.Cancel:
		return s.cancel(c, out)
	case order.Replace:
		return s.replace(c, out)
	case order.Reduce:
		return s.reduce(c, out)
	}
	return s.reject(c, order.BadCommand, out)
}

// enter takes a new order in.
func (s *Set) enter(c *order.Command, out []order.Event) []order.Event {
	if reason := s.wrong(c); reason != order.None {
		return s.reject(c, reason, out)
	}
	b := &s.books[c.Symbol]
	limit := keyOf(c.Side.Other(), c.Price) // of the prices it trades at
	if c.Type == order.Market {
		limit = math.MaxUint32
	}
	if c.Flags&order.PostOnly != 0 && b.trades(c.Side, limit) {
		return s.reject(c, order.WouldTrade, out)
	}
	if c.TIF == order.FOK && !b.offers(c.Side, limit, c.Qty) {
		return s.reject(c, order.NotWhole, out)
	}
	out = append(out, order.Event{
		Seq: c.Seq, Order: c.Order, Qty: c.Qty, Leaves: c.Qty, Price: c.Price, Symbol: c.Symbol,
		Account: c.Account, What: order.Accepted, Side: c.Side, By: c.Kind,
	})
	open, out := s.match(c, b, limit, out)
	switch {
	case open == 0:
	case c.TIF != order.GTC || c.Type == order.Market:
		out = append(out, order.Event{
			Seq: c.Seq, Order: c.Order, Qty: open, Price: c.Price, Symbol: c.Symbol, Account: c.Account,
			What: order.Cancelled, Side: c.Side, By: c.Kind, Reason: order.NothingLeft,
		})
	default:
		number := s.newOrder()
		s.orders[number] = resting{
			id: c.Order, open: open, key: ^limit, symbol: c.Symbol, account: c.Account, side: c.Side,
		}
		s.index.put(c.Order, number)
		out = s.rest(c, b, number, out)
	}
	return out
}

// wrong says why a new order cannot be taken in.
func (s *Set) wrong(c *order.Command) order.Reason {
	switch {
	case int(c.Symbol) >= len(s.books):
		return order.UnknownSymbol
	case c.Qty <= 0:
		return order.BadQuantity
	case c.Side > order.Sell || c.Type > order.Market || c.TIF > order.FOK,
		c.Flags&order.PostOnly != 0 && (c.TIF != order.GTC || c.Type == order.Market):
		return order.BadCommand
	case s.index.find(c.Order) != 0:
		return order.DuplicateOrder
	}
	return order.None
}

// keyOf is the price as a ladder has it: of two, the one matched first has the lower key.
func keyOf(side order.Side, price int32) uint32 {
	key := uint32(price) ^ 1<<31
	if side == order.Buy {
		return ^key
	}
	return key
}

// priceOf is the inverse of keyOf.
func priceOf(side order.Side, key uint32) int32 {
	if side == order.Buy {
		key = ^key
	}
	return int32(key ^ 1<<31)
}
