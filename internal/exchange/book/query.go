package book

import "github.com/tapeline/tapeline/internal/exchange/order"

// Best returns the best price of a side and what is open at it; false: nobody offers.
func (s *Set) Best(symbol uint32, side order.Side) (price int32, qty int64, ok bool) {
	l := &s.books[symbol].sides[side]
	if l.page == 0 {
		return 0, 0, false
	}
	return priceOf(side, l.best), l.pages[l.page].levels[l.best%fan].qty, true
}

// At returns what is open at a price, 0 for nothing.
func (s *Set) At(symbol uint32, side order.Side, price int32) int64 {
	l := &s.books[symbol].sides[side]
	key := keyOf(side, price)
	at := l.find(key)
	if at == 0 {
		return 0
	}
	return l.pages[at].levels[key%fan].qty
}

// Level is a price and what is open at it.
type Level struct {
	Price  int32
	Qty    int64
	Orders int
}

// Levels appends the best prices of a side, at most so many.
func (s *Set) Levels(symbol uint32, side order.Side, most int, out []Level) []Level {
	l := &s.books[symbol].sides[side]
	for key, at := l.best, l.page; at != 0 && most > 0; key, at = l.after(key) {
		level := l.pages[at].levels[key%fan]
		one := Level{Price: priceOf(side, key), Qty: level.qty}
		for number := level.first; number != 0; number = s.orders[number].next {
			one.Orders++
		}
		out = append(out, one)
		most--
	}
	return out
}
