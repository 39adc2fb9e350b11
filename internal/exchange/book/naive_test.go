package book

import (
	"math"
	"slices"

	"github.com/tapeline/tapeline/internal/exchange/order"
)

// naive is the slow twin of a Set: all orders in one list in order of arrival, looked through for each
// trade.
type naive struct {
	symbols uint32
	orders  []naiveOrder
	events  []order.Event
}

type naiveOrder struct {
	id      uint64
	side    order.Side
	price   int32
	open    int64
	symbol  uint32
	account uint32
}

func (n *naive) apply(c order.Command) []order.Event {
	n.events = nil
	switch c.Kind {
	case order.New:
		n.enter(c)
	case order.Cancel:
		n.cancel(c)
	case order.Replace:
		n.replace(c)
	case order.Reduce:
		n.reduce(c)
	default:
		n.note(c, order.Rejected, order.BadCommand, 0)
	}
	return n.events
}

func (n *naive) note(c order.Command, what order.What, reason order.Reason, leaves int64) {
	n.events = append(n.events, order.Event{
		Seq: c.Seq, Order: c.Order, Qty: c.Qty, Leaves: leaves, Price: c.Price, Symbol: c.Symbol,
		Account: c.Account, What: what, Side: c.Side, Reason: reason, By: c.Kind,
	})
}

func (n *naive) about(c order.Command, o naiveOrder, what order.What, reason order.Reason, leaves int64) {
	n.events = append(n.events, order.Event{
		Seq: c.Seq, Order: o.id, Qty: o.open, Leaves: leaves, Price: o.price, Symbol: o.symbol,
		Account: o.account, What: what, Side: o.side, Reason: reason, By: c.Kind,
	})
}

func (n *naive) find(id uint64) int {
	return slices.IndexFunc(n.orders, func(o naiveOrder) bool { return o.id == id })
}

func (n *naive) enter(c order.Command) {
	bad := c.Side > order.Sell || c.Type > order.Market || c.TIF > order.FOK ||
		c.Flags&order.PostOnly != 0 && (c.TIF != order.GTC || c.Type == order.Market)
	o := naiveOrder{c.Order, c.Side, c.Price, c.Qty, c.Symbol, c.Account}
	switch {
	case c.Symbol >= n.symbols:
		n.note(c, order.Rejected, order.UnknownSymbol, 0)
		return
	case c.Qty <= 0:
		n.note(c, order.Rejected, order.BadQuantity, 0)
		return
	case bad:
		n.note(c, order.Rejected, order.BadCommand, 0)
		return
	case n.find(c.Order) >= 0:
		n.note(c, order.Rejected, order.DuplicateOrder, 0)
		return
	}
	market := c.Type == order.Market
	total := int64(0)
	for _, maker := range n.orders {
		if n.meets(o, maker, market) {
			total += maker.open
		}
	}
	if c.Flags&order.PostOnly != 0 && total > 0 {
		n.note(c, order.Rejected, order.WouldTrade, 0)
		return
	}
	if c.TIF == order.FOK && total < c.Qty {
		n.note(c, order.Rejected, order.NotWhole, 0)
		return
	}
	n.note(c, order.Accepted, order.None, c.Qty)
	n.trade(c, &o, market)
	switch {
	case o.open == 0:
	case market || c.TIF != order.GTC:
		n.about(c, o, order.Cancelled, order.NothingLeft, 0)
	default:
		n.orders = append(n.orders, o)
	}
}

// meets reports whether a taker trades with a maker.
func (n *naive) meets(taker, maker naiveOrder, market bool) bool {
	return taker.symbol == maker.symbol && taker.side != maker.side &&
		(market || taker.side == order.Buy && maker.price <= taker.price ||
			taker.side == order.Sell && maker.price >= taker.price)
}

func (n *naive) trade(c order.Command, taker *naiveOrder, market bool) {
	for taker.open > 0 {
		best := -1
		for i, maker := range n.orders {
			if !n.meets(*taker, maker, market) {
				continue
			}
			if best < 0 || taker.side == order.Buy && maker.price < n.orders[best].price ||
				taker.side == order.Sell && maker.price > n.orders[best].price {
				best = i
			}
		}
		if best < 0 {
			return
		}
		maker := &n.orders[best]
		qty := min(taker.open, maker.open)
		taker.open -= qty
		maker.open -= qty
		n.events = append(n.events, order.Event{
			Seq: c.Seq, Order: taker.id, Maker: maker.id, Qty: qty, Leaves: taker.open, MakerLeaves: maker.open,
			Price: maker.price, Symbol: taker.symbol, Account: taker.account, What: order.Traded,
			Side: taker.side, By: c.Kind,
		})
		if maker.open == 0 {
			n.orders = slices.Delete(n.orders, best, best+1)
		}
	}
}

func (n *naive) cancel(c order.Command) {
	i := n.find(c.Order)
	if i < 0 {
		n.note(c, order.Rejected, order.UnknownOrder, 0)
		return
	}
	n.about(c, n.orders[i], order.Cancelled, order.Asked, 0)
	n.orders = slices.Delete(n.orders, i, i+1)
}

func (n *naive) reduce(c order.Command) {
	i := n.find(c.Order)
	switch {
	case i < 0:
		n.note(c, order.Rejected, order.UnknownOrder, 0)
	case c.Qty <= 0:
		n.note(c, order.Rejected, order.BadQuantity, 0)
	case c.Qty >= n.orders[i].open:
		n.cancel(c)
	default:
		n.orders[i].open -= c.Qty
		n.about(c, n.orders[i], order.Replaced, order.None, n.orders[i].open)
	}
}

func (n *naive) replace(c order.Command) {
	i := n.find(c.Order)
	if i < 0 {
		n.note(c, order.Rejected, order.UnknownOrder, 0)
		return
	}
	if c.Qty <= 0 {
		n.note(c, order.Rejected, order.BadQuantity, 0)
		return
	}
	o := n.orders[i]
	keeps := o.price == c.Price && c.Qty <= o.open
	o.price, o.open = c.Price, c.Qty
	n.about(c, o, order.Replaced, order.None, o.open)
	if keeps {
		n.orders[i] = o
		return
	}
	n.orders = slices.Delete(n.orders, i, i+1)
	n.trade(c, &o, false)
	if o.open > 0 {
		n.orders = append(n.orders, o)
	}
}

// levels returns the prices of a side, best first.
func (n *naive) levels(symbol uint32, side order.Side) []Level {
	var all []Level
	for _, o := range n.orders {
		if o.symbol != symbol || o.side != side {
			continue
		}
		i := slices.IndexFunc(all, func(l Level) bool { return l.Price == o.price })
		if i < 0 {
			all, i = append(all, Level{Price: o.price}), len(all)
		}
		all[i].Qty += o.open
		all[i].Orders++
	}
	slices.SortFunc(all, func(a, b Level) int {
		if side == order.Buy {
			a, b = b, a
		}
		return int(int64(a.Price) - int64(b.Price))
	})
	return all
}

// queue returns the ids of a side in the order they would trade.
func (n *naive) queue(symbol uint32, side order.Side) []uint64 {
	var ids []uint64
	for _, level := range n.levels(symbol, side) {
		for _, o := range n.orders {
			if o.symbol == symbol && o.side == side && o.price == level.Price {
				ids = append(ids, o.id)
			}
		}
	}
	return ids
}

// queue returns the ids of a side in the order they would trade.
func (s *Set) queue(symbol uint32, side order.Side) []uint64 {
	var ids []uint64
	l := &s.books[symbol].sides[side]
	for key, at := l.best, l.page; at != 0; key, at = l.after(key) {
		for number := l.pages[at].levels[key%fan].first; number != 0; number = s.orders[number].next {
			ids = append(ids, s.orders[number].id)
		}
	}
	return ids
}

// levels returns all prices of a side, best first.
func (s *Set) levels(symbol uint32, side order.Side) []Level {
	return s.Levels(symbol, side, math.MaxInt, nil)
}
