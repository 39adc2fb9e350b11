package run

import (
	"sync"
	"time"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/flow/plan"
)

const (
	defaultBatchRows  = 16384
	defaultBatchBytes = 1 << 20
	leastBatchBytes   = 4 << 10 // asked for by size; a row larger than that is still read
	defaultRowBytes   = 64      // until the first batch is seen
	defaultRate       = 0.2
	windowChunks      = 8                    // chunks between two decisions, at least
	windowGaps        = 10                   // longest gaps between two of them
	windowTime        = 5 * time.Millisecond // longer than the writing of one burst
)

// batcher adapts the batch size of one source: down at once when latency is over its target, up
// slowly below it, and without a latency target to where most rows pass. Without bounds and targets
// the size is fixed. Safe for concurrent use.
type batcher struct {
	budget *connector.Budget
	bounds plan.Batching
	adapts bool

	mu      sync.Mutex
	rows    float64
	rowSize float64
	climber climber

	// The window: chunks of the present size.
	begun  time.Time // chunks read before had another size
	chunks int
	seen   int64
	since  time.Time // the first was written
	last   time.Time // the last was written
	gap    time.Duration
	worst  time.Duration
}

func newBatcher(bounds plan.Batching, nodeRows int) *batcher {
	if nodeRows > 0 {
		bounds.Initial = nodeRows
	}
	if bounds.Initial <= 0 {
		bounds.Initial = defaultBatchRows
	}
	adapts := bounds.Min > 0 || bounds.Max > 0 || bounds.LatencyTarget > 0 || bounds.ThroughputTarget > 0
	if bounds.Min <= 0 {
		bounds.Min = min(64, bounds.Initial)
	}
	if bounds.Max <= 0 {
		bounds.Max = max(4*bounds.Initial, bounds.Min)
	}
	if bounds.AdaptationRate <= 0 || bounds.AdaptationRate > 1 {
		bounds.AdaptationRate = defaultRate
	}
	if bounds.MaxBytes <= 0 {
		bounds.MaxBytes = defaultBatchBytes
	}
	b := &batcher{
		bounds: bounds, adapts: adapts && bounds.Min < bounds.Max,
		rows: float64(bounds.Initial), rowSize: defaultRowBytes,
		budget: connector.NewBudget(connector.Limits{}),
	}
	b.apply()
	return b
}

// apply publishes the size. Without adaptation the byte bound alone cuts byte-oriented sources.
func (b *batcher) apply() {
	bytes := b.bounds.MaxBytes
	if b.adapts {
		bytes = min(max(int(b.rows*b.rowSize), leastBatchBytes), b.bounds.MaxBytes)
	}
	b.budget.Set(connector.Limits{Rows: int(b.rows), Bytes: bytes, Age: b.bounds.Linger})
}

// observe learns from one chunk that was written now: its bytes, rows, and when it was read.
func (b *batcher) observe(bytes, rows int, read time.Time) {
	if !b.adapts || rows == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rowSize += (float64(bytes)/float64(rows) - b.rowSize) / windowChunks
	if read.Before(b.begun) {
		return
	}
	now := time.Now()
	if b.complete(now) {
		before := b.rows
		b.decide(float64(b.seen)/max(now.Sub(b.since).Seconds(), 1e-9), b.worst)
		b.rows = min(max(b.rows, float64(b.bounds.Min)), float64(b.bounds.Max))
		b.chunks, b.seen, b.worst, b.gap = 0, 0, 0, 0
		b.apply()
		if b.rows != before {
			b.begun = now
			return
		}
	}
	if b.chunks == 0 {
		b.since = now
	} else {
		b.gap = max(b.gap, now.Sub(b.last))
	}
	b.last = now
	b.chunks++
	b.seen += int64(rows)
	b.worst = max(b.worst, now.Sub(read))
}

// complete reports whether the window ends before a chunk that was written now. Merged chunks are
// written in bursts: a rate is that of whole bursts, from the beginning of one to that of another.
func (b *batcher) complete(now time.Time) bool {
	if b.chunks <= windowChunks {
		return false
	}
	if target := b.bounds.LatencyTarget; target > 0 && b.worst > target {
		return true
	}
	return now.Sub(b.last) >= b.gap/2 && now.Sub(b.since) >= max(windowGaps*b.gap, windowTime)
}

// decide changes the size after a window with so many rows a second and that worst latency.
func (b *batcher) decide(rate float64, worst time.Duration) {
	enough := b.bounds.ThroughputTarget > 0 && rate >= float64(b.bounds.ThroughputTarget)
	target := b.bounds.LatencyTarget
	if target <= 0 {
		if !enough {
			b.rows = b.climber.next(b.rows, rate, b.bounds)
		}
		return
	}
	// Latency is about proportional to the size; a part of the target is left for what is not.
	const share, most = 0.8, 4
	factor := share * float64(target) / float64(max(worst, 1))
	switch {
	case worst > target:
		b.rows *= max(factor, 1.0/most)
	case factor > 1 && !enough:
		b.rows *= 1 + b.bounds.AdaptationRate*(min(factor, most)-1)
	}
}

// size returns the rows asked of the source now.
func (b *batcher) size() int { return b.budget.Limits().Rows }

// climber looks for the size with the highest rate: it tries a larger or smaller one, stays when
// that is clearly better, else returns, and rests the longer the more often nothing was better.
type climber struct {
	rate  float64 // at the size held
	held  float64
	down  bool // direction of the next or present try
	tries bool // the window before was a try
	fails int  // in a row
	level bool // some try was not better: from then on steps are small
	rest  int  // windows until the next try
}

const (
	clearlyBetter = 1.03
	longestRest   = 64 // windows
)

// next returns the size for the next window, after one of rows with the given rate.
func (c *climber) next(rows, rate float64, bounds plan.Batching) float64 {
	switch {
	case !c.tries:
		c.held = rows
		if c.rate == 0 {
			c.rate = rate
		}
		c.rate += (rate - c.rate) / 4
		if c.rest--; c.rest > 0 {
			return rows
		}
	case rate > c.rate*clearlyBetter:
		c.rate, c.held, c.fails = rate, rows, 0
	default:
		c.tries, c.level, c.down = false, true, !c.down
		c.fails++
		if c.rest = 1; c.fails > 1 { // one in each direction
			c.rest = min(1<<c.fails, longestRest)
		}
		return c.held
	}
	step := 1 + 2*bounds.AdaptationRate
	if !c.level { // far enough that the gain stands out from the noise of a sink
		step = max(step, 4)
	}
	if c.down {
		step = 1 / step
	}
	c.tries = true
	return min(max(c.held*step, float64(bounds.Min)), float64(bounds.Max))
}
