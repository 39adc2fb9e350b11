package sim

// marksEvery is how many sessions lie between two marks of a paper's walk.
const marksEvery = 64

// walker goes through a paper's sessions in order.
type walker struct {
	paper *paper
	next  int   // session that step does next
	close int64 // of the session before
	event int   // next planned event
	pause int   // next pause
}

// day is one step's prices.
type day struct {
	open, high, low, close, preclose int64
	event                            int // index of the event of this day, or -1
	paused, blank                    bool
}

// walker returns a walker that does session t next, t being that of a mark.
func (p *paper) walker(t int, before int64) walker {
	w := walker{paper: p, next: t, close: before}
	for w.event < len(p.events) && p.events[w.event].session < t {
		w.event++
	}
	for w.pause < len(p.pauses) && p.pauses[w.pause].to <= t {
		w.pause++
	}
	return w
}

// step does the next session.
func (w *walker) step() day {
	p, t := w.paper, w.next
	w.next++
	d := day{preclose: w.close, event: -1}
	if w.pause < len(p.pauses) && p.pauses[w.pause].has(t) {
		now := p.pauses[w.pause]
		if t+1 == now.to {
			w.pause++
		}
		d.open, d.high, d.low, d.close = w.close, w.close, w.close, w.close
		d.paused, d.blank = true, now.blank
		return d
	}
	for w.event < len(p.events) && p.events[w.event].session <= t {
		if p.events[w.event].session == t {
			if ex := p.exPrice(p.events[w.event], w.close); ex < w.close {
				d.preclose, d.event = ex, w.event
			}
		}
		w.event++
	}
	p.trade(t, &d)
	w.close = d.close
	return d
}

// exPrice returns the previous close without the right, on the tick.
func (p *paper) exPrice(e event, before int64) int64 {
	cash, bonus, transfer := p.terms(e, before)
	shares := factorOne + bonus + transfer
	return divide((before-cash)*factorOne, shares*p.tick) * p.tick
}

// terms returns what the event pays per share at that price: no shares where that would make a penny
// stock of it. Cash is in 1e-4 yuan.
func (p *paper) terms(e event, before int64) (cash, bonus, transfer int64) {
	cash = max(divide(before*e.yield, factorOne*10)*10, 100)
	if before < 8_0000 {
		return cash, 0, 0
	}
	return cash, e.bonus, e.transfer
}

// trade draws the prices of a day after preclose, on the tick and within the limits.
func (p *paper) trade(t int, d *day) {
	draw := mix(p.seed, uint64(t)+1000)
	band := p.band
	if p.special.has(t) && band == 100 {
		band = 50
	}
	low, high := p.round(d.preclose*(1000-band)/1000), p.round(d.preclose*(1000+band)/1000)
	const floor = 1_0000
	keep := func(price int64) int64 { return min(max(p.round(price), low, min(floor, high)), high) }
	// The sum of four even draws has a standard deviation of 37,837.
	sum := int64(draw&0xffff) + int64(draw>>16&0xffff) + int64(draw>>32&0xffff) + int64(draw>>48) - 2*0xffff
	change := sum * p.swing / 37_837
	switch {
	case d.preclose > 3*p.base:
		change -= 3_000
	case d.preclose < p.base/3:
		change += 3_000
	}
	more := mix(draw, 1)
	d.close = keep(d.preclose + d.preclose*change/1_000_000)
	d.open = keep(d.preclose + d.preclose*(int64(more&0x3fff)-0x2000)/1_000_000)
	top, bottom := max(d.open, d.close), min(d.open, d.close)
	d.high = keep(top + top*int64(more>>14&0x3fff)/1_500_000)
	d.low = keep(bottom - bottom*int64(more>>28&0x3fff)/1_500_000)
}

// round returns the price on the tick; the ticks there are by constants, which divide faster.
func (p *paper) round(price int64) int64 {
	switch p.tick {
	case 1:
		return price
	case 10:
		return divide(price, 10) * 10
	case 100:
		return divide(price, 100) * 100
	}
	return divide(price, p.tick) * p.tick
}

// walk goes through the whole life once and keeps marks and actions.
func (m *synthetic) walk(p *paper) {
	back := int64(factorOne)
	w := p.walker(p.first, p.base)
	for w.next <= p.last {
		if (w.next-p.first)%marksEvery == 0 {
			p.marks = append(p.marks, w.close)
		}
		t, before := w.next, w.close
		d := w.step()
		if d.event < 0 {
			continue
		}
		back = divide(back*before, d.preclose)
		cash, bonus, transfer := p.terms(p.events[d.event], before)
		p.actions = append(p.actions, Action{
			Ex: m.sessions[t], Back: back, Cash: cash * 100, Bonus: bonus, Transfer: transfer,
		})
	}
}

// Bars appends the daily bars of a code in [from, to].
func (m *synthetic) Bars(dst []Bar, code string, from, to Date) []Bar {
	p := m.papers[code]
	if p == nil || to < from {
		return dst
	}
	p.walked.Do(func() { m.walk(p) })
	first, end := max(m.session(from), p.first), min(m.session(to+1), p.last+1)
	if first >= end {
		return dst
	}
	mark := (first - p.first) / marksEvery
	w := p.walker(p.first+mark*marksEvery, p.marks[mark])
	for w.next < first {
		w.step()
	}
	var per figures
	for t := first; t < end; t++ {
		if t == first || m.quarter[t] != m.quarter[t-1] {
			per = p.figures(m.quarter[t])
		}
		d := w.step()
		dst = append(dst, Bar{
			Date: m.sessions[t], Open: d.open, High: d.high, Low: d.low, Close: d.close,
			Preclose: d.preclose, Trading: !d.paused, ST: p.special.has(t),
		})
		p.finish(&dst[len(dst)-1], t, &per, d.blank)
	}
	return dst
}

// finish fills what follows from the prices of a day.
func (p *paper) finish(b *Bar, t int, per *figures, blank bool) {
	if p.kind != Stock {
		b.Empty = ColumnPE | ColumnPS | ColumnPCF | ColumnPB
	} else {
		per.value(b)
	}
	if !b.Trading {
		b.Empty |= ColumnTurn
		if blank {
			b.Empty |= ColumnVolume | ColumnAmount | ColumnChange
		}
		return
	}
	draw := mix(p.seed^0x766f6c, uint64(t))
	// 0.2 to 2.2 % of the shares change hands.
	b.Volume = p.shares/1000*between(draw, 2_000, 22_000)/1000 + below(mix(draw, 1), 1000)
	price := (b.Open + b.High + b.Low + b.Close) / 4
	if p.kind == Index {
		price = 10_0000
	}
	b.Amount = divide(b.Volume*price, 100) * 100
	b.Turn = divide(b.Volume*1_000_000, p.shares) * 100
	b.Change = divide((b.Close-b.Preclose)*1_000_000, b.Preclose) * 100
}

// figures are what the price is put over for the ratios. They change once a quarter.
type figures struct{ earnings, book, sales, cash int64 }

func (p *paper) figures(quarter uint64) figures {
	draw := mix(p.seed^0x657073, quarter)
	per := func(shift uint, low, high int64) int64 {
		figure := p.base * between(draw>>shift&0xffff, low, high) / 1000
		if figure == 0 {
			figure = 1
		}
		return figure
	}
	return figures{per(0, -20, 90), per(16, 200, 1200), per(32, 100, 2000), per(48, -80, 200)}
}

// value fills the ratios.
func (f *figures) value(b *Bar) {
	price := b.Close * factorOne
	ratio := func(figure int64) int64 {
		if figure < 0 {
			return -divide(price, -figure)
		}
		return divide(price, figure)
	}
	b.PE, b.PB, b.PS, b.PCF = ratio(f.earnings), ratio(f.book), ratio(f.sales), ratio(f.cash)
}
