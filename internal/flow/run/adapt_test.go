package run

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapeline/tapeline/internal/flow/plan"
)

// model is a sink behind an engine with so many chunks under way.
type model struct {
	depth  int
	call   time.Duration
	row    time.Duration
	merges int           // rows of one call, when chunks are smaller
	noise  float64       // share by which a call takes longer or shorter at random
	every  time.Duration // between pauses
	pause  time.Duration
	opens  time.Duration // before the first call
}

// measured is what a run in the model came to.
type measured struct {
	rate float64
	p99  time.Duration
	over int // chunks above a limit
	of   int
}

// run feeds a batcher from a source that is never empty, in virtual time.
func (m model) run(b *batcher, seed uint64, length, limit time.Duration) measured {
	type chunk struct {
		rows int
		read time.Time
	}
	var under []chunk
	var latencies []time.Duration
	random, start, rows, paused := rand.New(rand.NewPCG(seed, 0)), time.Now(), 0, 1
	opens := m.opens
	for time.Since(start) < length {
		for len(under) < m.depth {
			under = append(under, chunk{b.size(), time.Now()})
		}
		parts, size := 1, under[0].rows
		for ; parts < len(under) && size+under[parts].rows <= m.merges; parts++ {
			size += under[parts].rows
		}
		took := float64(m.call) + float64(m.row)*float64(size)
		took *= 1 + m.noise*(2*random.Float64()-1)
		end := time.Since(start) + time.Duration(took)
		if m.every > 0 && end > time.Duration(paused)*m.every {
			paused++
			took += float64(m.pause)
		}
		<-time.After(opens + time.Duration(took))
		opens = 0
		for _, c := range under[:parts] {
			b.observe(64*c.rows, c.rows, c.read)
			latencies = append(latencies, time.Since(c.read))
		}
		under = slices.Delete(under, 0, parts)
		rows += size
	}
	out := measured{rate: float64(rows) / time.Since(start).Seconds(), of: len(latencies)}
	for _, l := range latencies {
		if l > limit {
			out.over++
		}
	}
	slices.Sort(latencies)
	out.p99 = latencies[len(latencies)*99/100]
	return out
}

const modelRun = 6 * time.Second

func fixedSize(rows int) plan.Batching {
	return plan.Batching{Initial: rows, Min: rows, Max: rows, MaxBytes: 64 << 20}
}

func models() map[string]model {
	const us = time.Microsecond
	return map[string]model{
		"cost per call": {depth: 10, call: 5 * time.Millisecond, row: us / 2},
		"merging":       {depth: 10, call: 3 * time.Millisecond, row: us / 2, merges: 10_000},
		"noise":         {depth: 10, call: 3 * time.Millisecond, row: us / 2, merges: 10_000, noise: 0.3},
		"pauses": {
			depth: 10, call: 3 * time.Millisecond, row: us / 2, merges: 10_000, noise: 0.2,
			every: 900 * time.Millisecond, pause: 150 * time.Millisecond, opens: 60 * time.Millisecond,
		},
	}
}

// The time of climbing is part of the figure.
func TestClimbReachesTheBestFixedSize(t *testing.T) {
	for name, m := range models() {
		for _, initial := range []int{1024, 16384} {
			t.Run(fmt.Sprint(name, " from ", initial), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					reached := 0
					const seeds = 20
					for seed := range uint64(seeds) {
						best := 0.0
						for rows := 256; rows <= 65536; rows *= 4 {
							best = max(best, m.run(newBatcher(fixedSize(rows), 0), seed, modelRun, 0).rate)
						}
						bounds := plan.Batching{Initial: initial, Min: 256, Max: 65536, MaxBytes: 64 << 20}
						got := m.run(newBatcher(bounds, 0), seed, modelRun, 0)
						if got.rate >= 0.9*best {
							reached++
						} else {
							t.Logf("seed %d: %.0f rows/s, %.0f at the best fixed size", seed, got.rate, best)
						}
					}
					if reached < seeds*4/5 {
						t.Errorf("%d of %d runs reached 90 %% of the best fixed size", reached, seeds)
					}
				})
			})
		}
	}
}

// With a target of half the latency that there was without one, at most one chunk in a hundred is
// over it, the first ones among them; nor does the rate collapse.
func TestLatencyTargetHoldsTheTail(t *testing.T) {
	for name, m := range models() {
		if m.pause > 0 {
			continue
		}
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				held := 0
				const seeds = 20
				for seed := range uint64(seeds) {
					free := plan.Batching{Initial: 16384, Min: 256, Max: 65536, MaxBytes: 64 << 20}
					before := m.run(newBatcher(free, 0), seed, modelRun, 0)
					target := before.p99 / 2
					bounds := plan.Batching{
						Initial: 256, Min: 256, Max: 65536, MaxBytes: 64 << 20, LatencyTarget: target,
					}
					close := m
					close.depth, close.merges = 4, 0
					got := close.run(newBatcher(bounds, 0), seed, modelRun, target)
					if got.p99 <= target && got.rate >= before.rate/2 {
						held++
					} else {
						t.Logf("seed %d: p99 %v, target %v; %d of %d over; %.0f rows/s, %.0f without",
							seed, got.p99, target, got.over, got.of, got.rate, before.rate)
					}
				}
				if held < seeds*4/5 {
					t.Errorf("%d of %d runs held the target", held, seeds)
				}
			})
		})
	}
}
