package run

import (
	"math"
	"time"

	"github.com/tapeline/tapeline/internal/flow/plan"
)

// window measures the rate of chunks of one size. Merged chunks are written together, in bursts: the
// rate is that of whole bursts, from the beginning of one to that of another. Pauses are the other
// system's own: the two longest gaps count as much as the third.
type window struct {
	begun  time.Time // chunks read before had another size
	since  time.Time // the first chunk was written
	last   time.Time // the last one
	chunks int
	rows   int64
	gaps   [3]time.Duration // longest first
}

const (
	windowChunks = 9                    // in a window, more
	windowGaps   = 10                   // as long as the third longest, at least
	windowTime   = 5 * time.Millisecond // at least
)

// add takes a chunk that was written now, and returns the rate when it begins a new window.
func (w *window) add(rows int, now time.Time) (rate float64, complete bool) {
	if w.chunks > 0 {
		var took time.Duration
		if took, complete = w.complete(now); complete {
			rate = float64(w.rows) / max(took.Seconds(), 1e-9)
			*w = window{begun: w.begun}
		}
	}
	if w.chunks == 0 {
		w.since = now
	}
	w.last = now
	w.chunks++
	w.rows += int64(rows)
	return rate, complete
}

// complete returns the time that counts, and whether the window ends before a chunk written now.
func (w *window) complete(now time.Time) (took time.Duration, ends bool) {
	gap, passed := now.Sub(w.last), now.Sub(w.since)
	w.note(gap)
	pauses := w.gaps[0] + w.gaps[1] - 2*w.gaps[2]
	took = passed - pauses
	const most = 3 // times the rest; in the first bursts it is their distance that looks like a pause
	return took, w.chunks > windowChunks && took >= max(windowGaps*w.gaps[2], windowTime) &&
		pauses <= most*took && gap*time.Duration(w.chunks) >= took
}

func (w *window) note(gap time.Duration) {
	for i := range w.gaps {
		if gap > w.gaps[i] {
			w.gaps[i], gap = gap, w.gaps[i]
		}
	}
}

// climber looks for the size with the highest rate. At first it strides: fourfold sizes, up and
// where that does not help down, each direction given up only after two in a row were not better.
// One alone says little: a sink that merges small chunks makes them all alike, up to its own size.
// Then it steps around the size it holds, goes where that is better than the size held before and
// after, and rests the longer the more often nothing was.
type climber struct {
	held   float64
	rate   float64 // at the size held, of the last window there
	tried  float64 // size of the present or last try
	better float64 // its rate, while it waits to be confirmed at the size held; else 0
	tries  bool    // the window is of a try
	down   bool    // direction of strides, of later tries the first
	walks  bool    // strides are over
	moved  bool    // a stride upward was better
	again  int     // strides left to repeat
	fails  int     // in a row
	rest   int     // windows until the next try
}

const (
	clearlyBetter = 1.03
	stride        = 4
	strideFails   = 2  // in one direction
	strideAgain   = 4  // among later tries, while no stride was ever better: that may have been noise
	longestRest   = 64 // windows
)

// next returns the size for the next window, after one of rows with the given rate.
func (c *climber) next(rows, rate float64, bounds plan.Batching) float64 {
	if c.tries {
		return c.judge(rate, bounds)
	}
	c.held = rows
	if c.better > 0 {
		if c.better > rate*clearlyBetter {
			c.accept(c.better)
			return c.held
		}
		c.better = 0
		c.fail()
	}
	c.rate = rate
	if c.rest--; c.rest > 0 {
		return rows
	}
	return c.try(bounds)
}

// judge ends a try. A better stride upward is followed at once, a failed one by a longer one; all
// else waits for a window at the size held.
func (c *climber) judge(rate float64, bounds plan.Batching) float64 {
	c.tries = false
	better, upward := rate > c.rate*clearlyBetter, !c.walks && !c.down
	switch {
	case better && upward:
		c.accept(rate)
		return c.try(bounds)
	case better:
		c.better = rate
	default:
		c.fail()
		if upward {
			return c.try(bounds)
		}
	}
	return c.held
}

func (c *climber) accept(rate float64) {
	c.moved = c.moved || c.tried > c.held && (!c.walks || c.tried >= stride*c.held)
	c.held, c.rate, c.better, c.fails, c.rest = c.tried, rate, 0, 0, 0
}

func (c *climber) fail() {
	c.fails++
	if !c.walks {
		return
	}
	if c.rest = 1; c.fails > 1 { // one in each direction
		c.rest = min(1<<c.fails, longestRest)
	}
}

// try begins a try and returns its size.
func (c *climber) try(bounds plan.Batching) float64 {
	c.tries = true
	within := func(factor float64) float64 {
		if c.down {
			factor = 1 / factor
		}
		return min(max(c.held*factor, float64(bounds.Min)), float64(bounds.Max))
	}
	for !c.walks {
		size := within(math.Pow(stride, float64(c.fails+1)))
		if c.fails < strideFails && size != c.held && (c.fails == 0 || size != c.tried) {
			c.tried = size
			return size
		}
		c.fails, c.walks, c.again = 0, c.down || c.moved, strideAgain
		c.down = !c.down && !c.moved
	}
	step := 1 + 2*bounds.AdaptationRate
	for range strideFails + 2 {
		turn := c.fails % (strideFails + 2)
		switch far := turn >= 2 && !c.moved && c.again > 0; {
		case far:
			c.again--
			c.tried = min(c.held*math.Pow(stride, float64(turn-1)), float64(bounds.Max))
		case turn%2 == 0:
			c.tried = within(step)
		default:
			c.tried = within(1 / step)
		}
		if c.tried != c.held {
			return c.tried
		}
		c.fails++
	}
	c.tries = false // there is one size only
	return c.held
}
