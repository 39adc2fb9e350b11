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
	rowSizeChunks     = 8 // over which the size of a row is averaged
)

// batcher adapts the batch size of one source: with a latency target to the largest that keeps the
// tail of the latency below it, else to where most rows pass. Without bounds and targets the size is
// fixed. Safe for concurrent use.
type batcher struct {
	budget *connector.Budget
	bounds plan.Batching
	adapts bool

	mu      sync.Mutex
	rows    float64
	rowSize float64
	window  window
	enough  bool // the throughput target was reached in the last window
	climber climber
	tail    tail
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
		tail:   tail{target: bounds.LatencyTarget, rate: bounds.AdaptationRate},
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
	b.rowSize += (float64(bytes)/float64(rows) - b.rowSize) / rowSizeChunks
	now, before := time.Now(), b.rows
	if b.bounds.LatencyTarget > 0 {
		b.observeTail(rows, read, now)
	} else if !read.Before(b.window.begun) {
		b.observeRate(rows, now)
	}
	b.rows = min(max(b.rows, float64(b.bounds.Min)), float64(b.most()))
	if b.rows != before {
		b.apply()
	}
}

// observeRate changes the size at the end of a window.
func (b *batcher) observeRate(rows int, now time.Time) {
	if rate, ok := b.window.add(rows, now); ok && !b.reached(rate) {
		before, bounds := b.rows, b.bounds
		bounds.Max = b.most()
		b.rows = b.climber.next(b.rows, rate, bounds)
		if b.rows != before {
			b.window = window{begun: now}
		}
	}
}

// most is the largest size that makes a difference: the bound in bytes is one in rows too.
func (b *batcher) most() int {
	return max(min(b.bounds.Max, int(float64(b.bounds.MaxBytes)/b.rowSize)), b.bounds.Min)
}

// observeTail changes the size with every chunk. It does not grow for rows that did not come, nor
// above the throughput that is asked for.
func (b *batcher) observeTail(rows int, read, now time.Time) {
	if rate, ok := b.window.add(rows, now); ok {
		b.enough = b.reached(rate)
	}
	grows := !b.enough && float64(rows) >= b.rows/2
	b.rows = b.tail.next(b.rows, grows, read, now)
}

func (b *batcher) reached(rate float64) bool {
	return b.bounds.ThroughputTarget > 0 && rate >= float64(b.bounds.ThroughputTarget)
}

// size returns the rows asked of the source now.
func (b *batcher) size() int { return b.budget.Limits().Rows }
