package book

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tapeline/tapeline/internal/exchange/order"
)

const symbols = 2

// pair drives a set and its naive twin with the same commands.
type pair struct {
	set   *Set
	twin  naive
	seq   uint64
	ids   uint64
	price *rapid.Generator[int32]
}

func newPair(price *rapid.Generator[int32]) *pair {
	p := &pair{set: NewSet(), twin: naive{symbols: symbols}, price: price}
	for range symbols {
		p.set.AddSymbol()
	}
	return p
}

// command draws the next command: mostly about orders that are there.
func (p *pair) command(t *rapid.T) order.Command {
	p.seq++
	c := order.Command{
		Seq: p.seq, Kind: rapid.SampledFrom([]order.Kind{
			order.New, order.New, order.New, order.Cancel, order.Replace, order.Reduce, 99,
		}).Draw(t, "kind"),
		Order: rapid.Uint64Range(1, 20).Draw(t, "order"),
		Price: p.price.Draw(t, "price"),
		Qty:   rapid.Int64Range(0, 20).Draw(t, "qty"),
	}
	if live := p.twin.orders; len(live) > 0 && c.Kind != order.New && rapid.IntRange(0, 9).Draw(t, "live") > 0 {
		c.Order = live[rapid.IntRange(0, len(live)-1).Draw(t, "which")].id
	}
	if c.Kind == order.New {
		if rapid.IntRange(0, 9).Draw(t, "fresh") > 0 {
			p.ids++
			c.Order = 1000 + p.ids
		}
		c.Side = order.Side(rapid.Byte().Draw(t, "side") % 2)
		c.Account = rapid.Uint32Range(0, 2).Draw(t, "account")
		c.TIF = rapid.SampledFrom([]order.TIF{0, 0, 0, 0, 0, order.IOC, order.FOK}).Draw(t, "tif")
		if rapid.IntRange(0, 9).Draw(t, "odd") == 0 {
			c.Symbol = rapid.Uint32Range(0, symbols).Draw(t, "symbol")
			c.Type = order.Type(rapid.Uint8Range(0, 2).Draw(t, "type"))
			c.TIF = order.TIF(rapid.Uint8Range(0, 3).Draw(t, "odd tif"))
			c.Flags = order.Flags(rapid.Uint8Range(0, 1).Draw(t, "flags"))
		}
	}
	return c
}

func (p *pair) step(t *rapid.T) {
	c := p.command(t)
	got, want := p.set.Apply(&c, nil), p.twin.apply(c)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%+v (-twin +set):\n%s", c, diff)
	}
	for symbol := range uint32(symbols) {
		for _, side := range []order.Side{order.Buy, order.Sell} {
			want := p.twin.levels(symbol, side)
			if diff := cmp.Diff(want, p.set.levels(symbol, side)); diff != "" {
				t.Fatalf("%+v: levels of %s (-twin +set):\n%s", c, side, diff)
			}
			if diff := cmp.Diff(p.twin.queue(symbol, side), p.set.queue(symbol, side)); diff != "" {
				t.Fatalf("%+v: orders of %s (-twin +set):\n%s", c, side, diff)
			}
			price, qty, ok := p.set.Best(symbol, side)
			if ok != (len(want) > 0) || ok && (want[0].Price != price || want[0].Qty != qty) {
				t.Fatalf("%+v: best %s is %d lots at %d, want %+v", c, side, qty, price, want)
			}
			for _, level := range want {
				if got := p.set.At(symbol, side, level.Price); got != level.Qty {
					t.Fatalf("%+v: %d lots at %d, want %d", c, got, level.Price, level.Qty)
				}
			}
			if got := p.set.At(symbol, side, c.Price); got != 0 && p.twin.find(c.Order) < 0 && len(want) == 0 {
				t.Fatalf("%+v: %d lots at %d of an empty side", c, got, c.Price)
			}
		}
	}
}

func TestSetEqualsItsTwin(t *testing.T) {
	prices := map[string]*rapid.Generator[int32]{
		"near":  rapid.Int32Range(99, 102),
		"wide":  rapid.Int32Range(-5000, 5000),
		"whole": rapid.OneOf(rapid.Int32(), rapid.SampledFrom([]int32{math.MinInt32, math.MaxInt32, 0, -1})),
	}
	for name, price := range prices {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				p := newPair(price)
				for range rapid.IntRange(1, 200).Draw(t, "commands") {
					p.step(t)
				}
				p.empty(t)
			})
		})
	}
}

// empty cancels all that is left, and looks for what was not given back.
func (p *pair) empty(t *rapid.T) {
	for _, o := range p.twin.orders {
		p.set.Apply(&order.Command{Kind: order.Cancel, Order: o.id}, nil)
	}
	if p.set.index.used != 0 {
		t.Fatalf("the index of an empty set holds %d orders", p.set.index.used)
	}
	free := 0
	for number := p.set.free; number != 0; number = p.set.orders[number].next {
		free++
	}
	if got := len(p.set.orders) - 1; free != got {
		t.Fatalf("of %d orders of an empty set %d are free", got, free)
	}
	for i := range p.set.books {
		for side := range p.set.books[i].sides {
			l := &p.set.books[i].sides[side]
			if len(l.pages) > 0 && len(l.freePages) != len(l.pages)-1 || len(l.nodes) > 0 && len(l.freeNodes) != len(l.nodes)-1 {
				t.Fatalf("an empty ladder keeps %d of %d pages and %d of %d nodes", len(l.pages)-1-len(l.freePages),
					len(l.pages)-1, len(l.nodes)-1-len(l.freeNodes), len(l.nodes)-1)
			}
			for _, p := range l.pages {
				if p != (page{}) {
					t.Fatalf("a free page is not empty: %+v", p)
				}
			}
		}
	}
}

func TestNoAllocations(t *testing.T) {
	s := NewSet()
	s.AddSymbol()
	out := make([]order.Event, 0, 64)
	id := uint64(0)
	allocations := testing.AllocsPerRun(1000, func() {
		for _, side := range []order.Side{order.Buy, order.Sell} {
			id++
			out = s.Apply(&order.Command{Kind: order.New, Order: id, Side: side, Price: 100, Qty: 2}, out[:0])
		}
		id++
		out = s.Apply(&order.Command{Kind: order.New, Order: id, Price: 90, Qty: 2}, out[:0])
		out = s.Apply(&order.Command{Kind: order.Replace, Order: id, Price: 91, Qty: 3}, out[:0])
		out = s.Apply(&order.Command{Kind: order.Cancel, Order: id}, out[:0])
	})
	if allocations != 0 {
		t.Errorf("%v allocations for five commands, want none", allocations)
	}
}

func TestQuantityOverflow(t *testing.T) {
	s := NewSet()
	s.AddSymbol()
	s.Apply(&order.Command{Kind: order.New, Order: 1, Price: 100, Qty: math.MaxInt64}, nil)
	got := s.Apply(&order.Command{Seq: 2, Kind: order.New, Order: 2, Price: 100, Qty: 1}, nil)
	want := []order.Event{
		{Seq: 2, Order: 2, Qty: 1, Leaves: 1, Price: 100, What: order.Accepted, By: order.New},
		{Seq: 2, Order: 2, Qty: 1, Price: 100, What: order.Cancelled, Reason: order.QuantityOverflow, By: order.New},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("an order that makes a price overflow (-want +got):\n%s", diff)
	}
	if got := s.At(0, order.Buy, 100); got != math.MaxInt64 {
		t.Errorf("%d lots at the price, want those of the first order", got)
	}
}
