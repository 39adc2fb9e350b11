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
	windowChunks      = 8 // chunks between two decisions
)

// batcher adapts the batch size of one source: additive increase while the targets hold,
// multiplicative decrease when latency is over its target. Without targets and bounds the size is
// fixed. Safe for concurrent use.
type batcher struct {
	budget  *connector.Budget
	bounds  plan.Batching
	adapts  bool
	mu      sync.Mutex
	rows    float64
	rowSize float64

	chunks  int
	seen    int64 // rows in the window
	worst   time.Duration
	started time.Time
	best    float64 // rows/s of the window before
	up      bool
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
		bounds: bounds, adapts: adapts, rows: float64(bounds.Initial), rowSize: defaultRowBytes,
		up: true, budget: connector.NewBudget(connector.Limits{}),
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

// observe learns from one chunk: its bytes, rows, and the time from read to written.
func (b *batcher) observe(bytes, rows int, latency time.Duration) {
	if !b.adapts || rows == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rowSize += (float64(bytes)/float64(rows) - b.rowSize) / windowChunks
	if b.chunks == 0 {
		b.started = time.Now()
		b.seen, b.worst = 0, 0
	} else {
		b.seen += int64(rows)
	}
	b.worst = max(b.worst, latency)
	if b.chunks++; b.chunks <= windowChunks {
		return
	}
	b.chunks = 0
	b.decide(float64(b.seen) / max(time.Since(b.started).Seconds(), 1e-9))
	b.apply()
}

// decide changes the size by at most the adaptation rate.
func (b *batcher) decide(rate float64) {
	step := b.bounds.AdaptationRate
	target := b.bounds.LatencyTarget
	enough := b.bounds.ThroughputTarget > 0 && rate >= float64(b.bounds.ThroughputTarget)
	switch {
	case target > 0 && b.worst > target:
		b.rows *= 1 - step
	case target > 0 && b.worst < target/2 && !enough:
		b.rows += step * float64(b.bounds.Initial)
	case target > 0 || enough:
	default:
		const noise = 0.98
		if rate < b.best*noise {
			b.up = !b.up
		}
		if b.up {
			b.rows += step * float64(b.bounds.Initial)
		} else {
			b.rows *= 1 - step
		}
	}
	b.best = rate
	b.rows = min(max(b.rows, float64(b.bounds.Min)), float64(b.bounds.Max))
}

// size returns the rows asked of the source now.
func (b *batcher) size() int { return b.budget.Limits().Rows }
