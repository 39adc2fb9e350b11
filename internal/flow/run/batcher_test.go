package run

import (
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapeline/tapeline/internal/flow/plan"
)

// cost is what a batch takes in the model: a fixed part, one per row, and one that grows with the
// square of the rows as caches overflow.
func cost(rows int) time.Duration {
	n := float64(rows)
	return time.Duration((1000 + 0.1*n + 1e-6*n*n) * float64(time.Microsecond))
}

func throughput(rows int) float64 { return float64(rows) / cost(rows).Seconds() }

// simulate feeds a batcher with batches of the size it asks for, in virtual time, and returns the
// sizes of the last half.
func simulate(b *batcher, batches int) []int {
	var sizes []int
	for range batches {
		rows, read := b.size(), time.Now()
		<-time.After(cost(rows))
		b.observe(64*rows, rows, read)
		sizes = append(sizes, rows)
	}
	return sizes[batches/2:]
}

func TestAdaptiveSizeComesNearTheBestFixedSize(t *testing.T) {
	bounds := plan.Batching{Initial: 1000, Min: 64, Max: 65536, MaxBytes: 64 << 20, AdaptationRate: 0.2}
	best := 0.0
	for rows := bounds.Min; rows <= bounds.Max; rows *= 2 {
		best = max(best, throughput(rows))
	}
	synctest.Test(t, func(t *testing.T) {
		sizes := simulate(newBatcher(bounds, 0), 4000)
		rows, seconds := 0, 0.0
		for _, n := range sizes {
			rows, seconds = rows+n, seconds+cost(n).Seconds()
		}
		if got := float64(rows) / seconds; got < 0.9*best {
			t.Errorf("%.0f rows/s adapted, %.0f at the best fixed size (sizes end at %d)",
				got, best, sizes[len(sizes)-1])
		}
	})
}

func TestLatencyTargetAloneHalvesP99(t *testing.T) {
	p99 := func(sizes []int) time.Duration {
		slices.Sort(sizes)
		return cost(sizes[len(sizes)*99/100])
	}
	synctest.Test(t, func(t *testing.T) {
		fixed := plan.Batching{Initial: 16384, Min: 16384, Max: 16384, MaxBytes: 64 << 20}
		before := p99(simulate(newBatcher(fixed, 0), 2000))
		// The fixed part alone takes 1 ms, so half of the latency can be reached.
		bounds := plan.Batching{Initial: 16384, LatencyTarget: before / 2, MaxBytes: 64 << 20}
		after := p99(simulate(newBatcher(bounds, 0), 2000))
		if after > before/2 {
			t.Errorf("p99 %v with the target, %v without", after, before)
		}
	})
}

func TestFixedSizeStaysFixed(t *testing.T) {
	b := newBatcher(plan.Batching{Initial: 500, Min: 500, Max: 500}, 0)
	synctest.Test(t, func(t *testing.T) {
		for _, n := range simulate(b, 100) {
			if n != 500 {
				t.Fatalf("size %d, want 500", n)
			}
		}
	})
	if got := newBatcher(plan.Batching{Initial: 500, Min: 64, Max: 5000}, 1000).size(); got != 1000 {
		t.Errorf("a source's own batch_size gives %d, want 1000", got)
	}
}

// A size that no other beats is kept: the rate wobbles by a percent and the size is left alone.
func TestFlatThroughputKeepsTheSize(t *testing.T) {
	bounds := plan.Batching{Initial: 4096, Min: 64, Max: 65536, MaxBytes: 64 << 20, AdaptationRate: 0.2}
	synctest.Test(t, func(t *testing.T) {
		b, random := newBatcher(bounds, 0), rand.New(rand.NewPCG(1, 2))
		initial := 0
		for range 4000 {
			rows, read := b.size(), time.Now()
			<-time.After(time.Duration(float64(rows) * (1 + 0.01*random.Float64()) * float64(time.Microsecond)))
			b.observe(64*rows, rows, read)
			if rows == bounds.Initial {
				initial++
			}
		}
		if initial < 3000 {
			t.Errorf("%d of 4000 batches had the initial size, want most: no other is better", initial)
		}
	})
}

// Over its target, latency comes down within a few windows, whatever the size was.
func TestLatencyTargetIsReachedSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const target = 10 * time.Millisecond
		b := newBatcher(plan.Batching{Initial: 65536, Min: 64, LatencyTarget: target, MaxBytes: 64 << 20}, 0)
		sizes := simulate(b, 10*(windowChunks+1))
		for _, rows := range sizes {
			if cost(rows) > target {
				t.Fatalf("batches of %d rows take %v, the target is %v", rows, cost(rows), target)
			}
		}
		if last := cost(sizes[len(sizes)-1]); last < target/2 {
			t.Errorf("batches take %v: far below the target of %v", last, target)
		}
	})
}

// Chunks that were merged are written together: the rate is that of the bursts, not of the instant
// in which ten chunks are done.
func TestBurstsDoNotMislead(t *testing.T) {
	bounds := plan.Batching{Initial: 256, Min: 64, Max: 1 << 20, MaxBytes: 64 << 20, AdaptationRate: 0.2}
	synctest.Test(t, func(t *testing.T) {
		b := newBatcher(bounds, 0)
		var rows, seconds float64
		for round := range 3000 {
			size, read := b.size(), time.Now()
			const merged = 10
			took := cost(size) * merged / 4 // the fixed part is shared by some
			<-time.After(took)
			for range merged {
				b.observe(64*size, size, read)
			}
			if round > 1500 {
				rows, seconds = rows+float64(merged*size), seconds+took.Seconds()
			}
		}
		best := 0.0
		for size := bounds.Min; size <= bounds.Max; size *= 2 {
			best = max(best, 4*throughput(size))
		}
		if got := rows / seconds; got < 0.9*best {
			t.Errorf("%.0f rows/s adapted, %.0f at the best fixed size (size ends at %d)", got, best, b.size())
		}
	})
}
