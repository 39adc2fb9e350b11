package workload

import (
	"math"
	"slices"
	"sort"

	"github.com/tapeline/tapeline/internal/exchange/order"
)

// Scenario is one of the public workloads: how far its price walks.
type Scenario struct {
	Name       string
	volatility float64 // of the price, a year
	swing      float64 // of the whole walk
}

// Scenarios returns the public workloads.
func Scenarios() []Scenario {
	return []Scenario{
		{"static", 0, 0},
		{"normal", 0.15, 0.02},
		{"swing-25", 0.50, 0.25},
		{"swing-40", 0.50, 0.40},
		{"flash-crash", 0.50, 0.60},
	}
}

// Published digests hold for these.
const (
	Orders = 1_000_000 // new orders
	Seed   = 23
)

// What the flow is made of, as the benchmark's methodology fixes it.
const (
	tickSize   = 0.005 // US dollars
	startPrice = 167.52
	deepest    = 799 // ticks from the middle
	mostQty    = 100

	shareIOC             = 0.15
	shareModified        = 0.20
	shareRepriced        = 0.80 // of those modified; all get one lot more
	shareCancelled       = 0.95
	shareCancelledTwice  = 0.02
	shareModifiedTooLate = 0.02
	medianLife           = 431 // microseconds, at the best price
)

// planned is a new order before it is known when it comes.
type planned struct {
	side  order.Side
	price int32
	qty   int64
	depth int
}

// timed is a command with its time in microseconds.
type timed struct {
	at int64
	order.Command
}

// Commands returns the flow of so many new orders, with what becomes of them. Ids begin at 1, sequences at
// 0. A modification is order.Replace.
func (s Scenario) Commands(orders int, seed uint32) []order.Command {
	random := newTwister(seed)
	flow := s.expand(random, s.plan(random, orders))
	// Equal times keep the order they were made in.
	sort.SliceStable(flow, func(i, j int) bool { return flow[i].at < flow[j].at })
	commands := make([]order.Command, len(flow))
	for i := range flow {
		commands[i] = flow[i].Command
		commands[i].Seq = uint64(i)
	}
	return commands
}

// plan walks the price and places orders beside it: buyers on the first half of the way, sellers on the
// second.
func (s Scenario) plan(random *twister, orders int) []planned {
	depths := newDepths()
	step := 0.0
	if s.volatility > 0 {
		step = s.volatility * math.Sqrt(s.swing/s.volatility*(s.swing/s.volatility)/float64(orders))
	}
	list := make([]planned, orders)
	price := startPrice
	for i := range list {
		price *= math.Exp(float64(-0.5*step*step) + float64(step*random.normal()))
		middle := math.Round(math.Round(price/tickSize) * tickSize / tickSize)
		depth := depths.draw(random)
		side := order.Buy
		if i >= orders/2 {
			side = order.Sell
		}
		at := int32(middle) - toward(side)*int32(depth+1)
		list[i] = planned{side, max(1, at), int64(random.between(1, mostQty)), depth}
	}
	return list
}

// expand puts the orders into the sequence they come in, with what becomes of each.
func (s Scenario) expand(random *twister, list []planned) []timed {
	sequence := make([]int, len(list))
	for i := range sequence {
		sequence[i] = i
	}
	for i := len(sequence) - 1; i > 0; i-- {
		j := random.between(0, uint32(i))
		sequence[i], sequence[j] = sequence[j], sequence[i]
	}
	l := life{random: random, flow: make([]timed, 0, 2*len(list)+len(list)/4)}
	for _, i := range sequence {
		l.add(list[i], uint64(i+1))
	}
	return slices.Clip(l.flow)
}

// life draws what becomes of orders, one after the other.
type life struct {
	random *twister
	now    int64
	flow   []timed
}

func (l *life) send(kind order.Kind, one planned, id uint64, tif order.TIF) {
	l.flow = append(l.flow, timed{l.now, order.Command{
		Kind: kind, Side: one.side, TIF: tif, Order: id, Price: one.price, Qty: one.qty,
	}})
}

// drawn reports whether the next number falls into a share.
func (l *life) drawn(share float64) bool { return l.random.uniform() < share }

// soon lets a moment pass: some microseconds from least on.
func (l *life) soon(least, spread int64) { l.now += least + int64(l.random.uniform()*float64(spread)) }

func (l *life) add(one planned, id uint64) {
	if l.drawn(shareIOC) {
		l.send(order.New, one, id, order.IOC)
		l.now++
		return
	}
	l.send(order.New, one, id, order.GTC)
	changed := one
	changed.qty++
	modified := l.drawn(shareModified)
	if modified {
		l.soon(30, 70)
		if l.drawn(shareRepriced) {
			changed.price += toward(one.side)
		}
		l.send(order.Replace, changed, id, order.GTC)
	}
	cancelled := l.drawn(shareCancelled)
	if cancelled {
		rate := math.Ln2 / medianLife / math.Sqrt(1+float64(one.depth))
		l.now += int64(l.random.exponential(rate))
		l.send(order.Cancel, one, id, order.GTC)
		if l.drawn(shareCancelledTwice) {
			l.soon(1, 20)
			l.send(order.Cancel, one, id, order.GTC)
		}
	}
	if modified && cancelled && l.drawn(shareModifiedTooLate) {
		l.soon(1, 20)
		l.send(order.Replace, changed, id, order.GTC)
	}
	l.now++
}

// toward is a tick towards the other side.
func toward(side order.Side) int32 {
	if side == order.Buy {
		return 1
	}
	return -1
}

// depths draws how far from the middle an order is placed: a power law with a hump near the best price.
type depths []float64

func newDepths() depths {
	const exponent, hump, center = 2.23, 5.0, 8.0
	d := make(depths, deepest+1)
	sum := 0.0
	for k := range d {
		away := float64(k) - center
		sum += 1/math.Pow(float64(k)+1, exponent) + hump*math.Exp(-0.5*away*away)
		d[k] = sum
	}
	return d
}

func (d depths) draw(random *twister) int {
	return min(sort.SearchFloat64s(d, random.uniform()*d[len(d)-1]), deepest)
}
