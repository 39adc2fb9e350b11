package sim

import (
	"fmt"
	"strconv"
)

// slots is how many bars of five minutes a day has.
const slots = 48

// minutes writes bars of 5, 15, 30 or 60 minutes, made from the daily bar: the first opens and the
// last closes as the day does, high and low are reached, volume and amount add up to the day's.
func (w *barWriter) minutes(frequency string, kind Kind, from, to Date) {
	size, _ := strconv.Atoi(frequency)
	perDay := slots * 5 / size
	clocks := make([]string, perDay)
	for i := range clocks {
		clocks[i] = barEnd((i + 1) * size)
	}
	tick := int64(100)
	if kind == ETF {
		tick = 10
	}
	w.bars = w.market.Bars(w.bars[:0], w.style.code, from, to)
	next := 0
	var five [slots]Bar
	for i := range w.bars {
		day := &w.bars[i]
		w.style.factor = w.factor(day.Date, &next)
		if !day.Trading {
			continue
		}
		if w.rows.skip >= perDay {
			w.rows.skip -= perDay
			continue
		}
		if w.rows.count() >= w.rows.limit {
			return
		}
		split(day, hashText(w.seed, w.style.code), tick, &five)
		for k := range perDay {
			bar := five[k*size/5]
			for _, b := range five[k*size/5+1 : (k+1)*size/5] {
				bar.High, bar.Low, bar.Close = max(bar.High, b.High), min(bar.Low, b.Low), b.Close
				bar.Volume += b.Volume
				bar.Amount += b.Amount
			}
			w.style.clock = clocks[k]
			w.emit(&bar)
		}
	}
}

// barEnd returns the time of a bar that ends that many trading minutes after 9:30.
func barEnd(minute int) string {
	minute += 9*60 + 30
	if minute > 11*60+30 {
		minute += 90
	}
	return fmt.Sprintf("%02d%02d00000", minute/60, minute%60)
}

// split spreads a day over bars of five minutes.
func split(day *Bar, seed uint64, tick int64, out *[slots]Bar) {
	draw := mix(seed, uint64(day.Date))
	top, bottom := int(below(draw, slots)), int(below(mix(draw, 1), slots))
	price, volume, amount := day.Open, day.Volume, day.Amount
	for i := range out {
		turn := mix(draw, uint64(i)+2)
		left := int64(slots - i)
		b := Bar{Date: day.Date, Open: price, Trading: true, Empty: day.Empty}
		// Halfway between a straight line to the close and any price of the day.
		b.Close = price + (day.Close-price)/left
		b.Close = (b.Close + between(turn, day.Low, day.High)) / 2 / tick * tick
		b.Close = min(max(b.Close, day.Low), day.High)
		b.Volume, b.Amount = volume/left, amount/left
		if left == 1 {
			b.Close = day.Close
		}
		b.High, b.Low = max(b.Open, b.Close), min(b.Open, b.Close)
		if i == top {
			b.High = day.High
		}
		if i == bottom {
			b.Low = day.Low
		}
		volume, amount, price = volume-b.Volume, amount-b.Amount, b.Close
		out[i] = b
	}
}
