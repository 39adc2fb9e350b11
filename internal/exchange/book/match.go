package book

import (
	"math"

	"github.com/tapeline/tapeline/internal/exchange/order"
)

// match trades an order against the other side, as long as there is something within its limit, and
// returns what is left open of it. Whoever waited longest at the best price comes first, and it is his
// price.
func (s *Set) match(c *order.Command, b *book, limit uint32, out []order.Event) (int64, []order.Event) {
	open := c.Qty
	l := &b.sides[c.Side.Other()]
	for open > 0 && l.page != 0 && l.best <= limit {
		key, at := l.best, l.page
		price := priceOf(c.Side.Other(), key)
		level := &l.pages[at].levels[key%fan]
		for open > 0 {
			number := level.first
			maker := &s.orders[number]
			qty := min(open, maker.open)
			open -= qty
			maker.open -= qty
			level.qty -= qty
			out = append(out, order.Event{
				Seq: c.Seq, Order: c.Order, Maker: maker.id, Qty: qty, Leaves: open, MakerLeaves: maker.open,
				Price: price, Symbol: c.Symbol, Account: c.Account, What: order.Traded, Side: c.Side, By: c.Kind,
			})
			if maker.open > 0 {
				break
			}
			level.first = maker.next
			s.index.take(maker.id)
			s.freeOrder(number)
			if level.first == 0 {
				level.last = 0
				l.drain(key, at)
				break
			}
			s.orders[level.first].prev = 0
		}
	}
	return open, out
}

// trades reports whether an order with a limit would trade at once.
func (b *book) trades(side order.Side, limit uint32) bool {
	l := &b.sides[side.Other()]
	return l.page != 0 && l.best <= limit
}

// offers reports whether an order with a limit would trade qty at once.
func (b *book) offers(side order.Side, limit uint32, qty int64) bool {
	l := &b.sides[side.Other()]
	key, at := l.best, l.page
	for at != 0 && key <= limit {
		if qty -= l.pages[at].levels[key%fan].qty; qty <= 0 {
			return true
		}
		key, at = l.after(key)
	}
	return false
}

// rest puts an order behind those of its price. One whose price holds as much as can be counted is
// cancelled instead.
func (s *Set) rest(c *order.Command, b *book, number uint32, out []order.Event) []order.Event {
	o := &s.orders[number]
	l := &b.sides[o.side]
	o.page = l.reach(o.key)
	level := &l.pages[o.page].levels[o.key%fan]
	if level.qty > math.MaxInt64-o.open {
		s.index.take(o.id)
		out = append(out, s.gone(c, o, order.QuantityOverflow))
		s.freeOrder(number)
		return out
	}
	level.qty += o.open
	o.prev, o.next = level.last, 0
	level.last = number
	if o.prev != 0 {
		s.orders[o.prev].next = number
		return out
	}
	level.first = number
	l.fill(o.key, o.page)
	return out
}

// leave takes an order out of its price.
func (s *Set) leave(number uint32) {
	o := &s.orders[number]
	l := &s.books[o.symbol].sides[o.side]
	level := &l.pages[o.page].levels[o.key%fan]
	level.qty -= o.open
	if o.next != 0 {
		s.orders[o.next].prev = o.prev
	} else {
		level.last = o.prev
	}
	if o.prev != 0 {
		s.orders[o.prev].next = o.next
		return
	}
	level.first = o.next
	if o.next == 0 {
		l.drain(o.key, o.page)
	}
}

func (s *Set) cancel(c *order.Command, out []order.Event) []order.Event {
	number := s.index.take(c.Order)
	if number == 0 {
		return s.reject(c, order.UnknownOrder, out)
	}
	out = append(out, s.gone(c, &s.orders[number], order.Asked))
	s.leave(number)
	s.freeOrder(number)
	return out
}

// gone is the event of an order that leaves with what is open of it.
func (s *Set) gone(c *order.Command, o *resting, reason order.Reason) order.Event {
	return order.Event{
		Seq: c.Seq, Order: o.id, Qty: o.open, Price: priceOf(o.side, o.key), Symbol: o.symbol,
		Account: o.account, What: order.Cancelled, Side: o.side, By: c.Kind, Reason: reason,
	}
}

// replace gives an order another limit and another open quantity. It keeps its place when only the
// quantity gets less; else it comes anew, and may trade.
func (s *Set) replace(c *order.Command, out []order.Event) []order.Event {
	number := s.index.find(c.Order)
	switch {
	case number == 0:
		return s.reject(c, order.UnknownOrder, out)
	case c.Qty <= 0:
		return s.reject(c, order.BadQuantity, out)
	}
	o := &s.orders[number]
	key := keyOf(o.side, c.Price)
	if key == o.key && c.Qty <= o.open {
		return s.shrink(c, number, o.open-c.Qty, out)
	}
	out = append(out, order.Event{
		Seq: c.Seq, Order: o.id, Qty: c.Qty, Leaves: c.Qty, Price: c.Price, Symbol: o.symbol,
		Account: o.account, What: order.Replaced, Side: o.side, By: c.Kind,
	})
	s.leave(number)
	again := *c
	again.Symbol, again.Account, again.Side = o.symbol, o.account, o.side
	b := &s.books[o.symbol]
	open, out := s.match(&again, b, ^key, out)
	o = &s.orders[number]
	if open == 0 {
		s.index.take(o.id)
		s.freeOrder(number)
		return out
	}
	o.key, o.open = key, open
	return s.rest(c, b, number, out)
}

// reduce takes from the open quantity of an order; all of it cancels the order.
func (s *Set) reduce(c *order.Command, out []order.Event) []order.Event {
	number := s.index.find(c.Order)
	switch {
	case number == 0:
		return s.reject(c, order.UnknownOrder, out)
	case c.Qty <= 0:
		return s.reject(c, order.BadQuantity, out)
	case c.Qty >= s.orders[number].open:
		return s.cancel(c, out)
	}
	return s.shrink(c, number, c.Qty, out)
}

// shrink takes less than all from an order, which keeps its place.
func (s *Set) shrink(c *order.Command, number uint32, less int64, out []order.Event) []order.Event {
	o := &s.orders[number]
	o.open -= less
	s.books[o.symbol].sides[o.side].pages[o.page].levels[o.key%fan].qty -= less
	return append(out, order.Event{
		Seq: c.Seq, Order: o.id, Qty: o.open, Leaves: o.open, Price: priceOf(o.side, o.key), Symbol: o.symbol,
		Account: o.account, What: order.Replaced, Side: o.side, By: c.Kind,
	})
}

func (s *Set) reject(c *order.Command, reason order.Reason, out []order.Event) []order.Event {
	return append(out, order.Event{
		Seq: c.Seq, Order: c.Order, Qty: c.Qty, Price: c.Price, Symbol: c.Symbol, Account: c.Account,
		What: order.Rejected, Side: c.Side, By: c.Kind, Reason: reason,
	})
}

// newOrder returns the number of an order that is free; pointers to orders end here.
func (s *Set) newOrder() uint32 {
	number := s.free
	if number == 0 {
		s.orders = append(s.orders, resting{})
		return uint32(len(s.orders) - 1)
	}
	s.free = s.orders[number].next
	return number
}

func (s *Set) freeOrder(number uint32) {
	s.orders[number].next = s.free
	s.free = number
}
