package obs

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Bounds of a histogram: values outside count as the nearest bound.
const (
	shortest          = time.Microsecond
	longest           = time.Hour
	significantDigits = 2 // error of a quantile: at most 1 %
)

// Histogram is a distribution of durations from 1 µs to 1 h. The zero value is empty and takes 24
// bytes; about 30 KB are allocated with the first value. Safe for concurrent use.
type Histogram struct {
	mu     sync.Mutex
	values *hdrhistogram.Histogram // microseconds; nil until the first value
	sum    time.Duration
}

// Record adds one duration.
func (h *Histogram) Record(d time.Duration) {
	d = min(max(d, shortest), longest)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.values == nil {
		h.values = hdrhistogram.New(1, longest.Microseconds(), significantDigits)
	}
	// The value is within the bounds the histogram was made with, so this does not fail.
	_ = h.values.RecordValue(d.Microseconds())
	h.sum += d
}

// Quantiles is what a histogram says.
type Quantiles struct {
	Count               int64
	Sum                 time.Duration
	P50, P90, P99, P999 time.Duration
	Max                 time.Duration
}

// Quantiles returns the distribution so far; the zero value when there is none.
func (h *Histogram) Quantiles() Quantiles {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.values == nil {
		return Quantiles{}
	}
	at := func(quantile float64) time.Duration {
		return time.Duration(h.values.ValueAtQuantile(quantile)) * time.Microsecond
	}
	return Quantiles{
		Count: h.values.TotalCount(), Sum: h.sum,
		P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: at(100),
	}
}
