package run

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapeline/tapeline/connector"
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

// Strides that bad luck made look no better do not hold the size at its start for good.
func TestClimbLeavesItsStartAfterBadLuck(t *testing.T) {
	bounds := plan.Batching{Min: 64, Max: 65536, AdaptationRate: defaultRate}
	rate := func(rows float64) float64 { return min(max(rows, 10_000), 30_000) } // a plateau, then more
	var c climber
	rows, windows := 1024.0, 0
	for ; windows < 100 && rate(c.held) < 30_000; windows++ {
		measured := rate(rows)
		if !c.walks && rows == 1024 {
			measured *= 4
		}
		rows = c.next(rows, measured, bounds)
	}
	if windows > 40 {
		t.Errorf("the size is %.0f after %d windows", c.held, windows)
	}
}

// With a target of half the latency that there was without one, at most one chunk in a hundred is
// over it, the first ones among them; nor does the rate collapse.
func TestLatencyTargetHoldsTheTail(t *testing.T) {
	for name, m := range models() {
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
					close.depth, close.merges = 2, 0 // what turns leave before a sink that is busy
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

// A pause is over the target whatever the size. What can be had is that few chunks are in it.
func TestPausesLongerThanTheTargetMeetFewChunks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const target = 60 * time.Millisecond
		m := model{
			depth: 2, call: time.Millisecond, row: time.Microsecond / 2, noise: 0.2,
			every: 900 * time.Millisecond, pause: 150 * time.Millisecond,
		}
		bounds := plan.Batching{
			Initial: 256, Min: 256, Max: 65536, MaxBytes: 64 << 20, LatencyTarget: target,
		}
		for seed := range uint64(5) {
			got := m.run(newBatcher(bounds, 0), seed, 10*modelRun, target)
			if got.p99 > target || got.rate < 700_000 {
				t.Errorf("seed %d: p99 %v, target %v; %d of %d over; %.0f rows/s of 1.6 M at most",
					seed, got.p99, target, got.over, got.of, got.rate)
			}
		}
	})
}

// The time of merged Writes is that between them, not that within one, nor that of a pause.
func TestWindowCountsWholeBurstsWithoutPauses(t *testing.T) {
	const ms = time.Millisecond
	tests := []struct {
		name  string
		burst int
		pause map[int]time.Duration // before a burst
	}{
		{"single chunks", 1, nil},
		{"bursts", 10, nil},
		{"two pauses", 1, map[int]time.Duration{3: 100 * ms, 7: 60 * ms}},
		{"bursts and two pauses", 10, map[int]time.Duration{1: 30 * ms, 5: 40 * ms}},
	}
	for _, test := range tests {
		var w window
		now, windows := time.Unix(0, 0), 0
		for i := range 200 {
			now = now.Add(10*ms + test.pause[i])
			for k := range test.burst {
				rate, complete := w.add(1000, now.Add(time.Duration(k)*20*time.Microsecond))
				if !complete {
					continue
				}
				windows++
				if want := 100_000 * float64(test.burst); rate < 0.95*want || rate > 1.05*want {
					t.Errorf("%s: window %d has %.0f rows/s, want %.0f", test.name, windows, rate, want)
				}
			}
		}
		if windows < 10 {
			t.Errorf("%s: %d windows in 200 bursts", test.name, windows)
		}
	}
}

// One chunk more than a sink can take at once waits in front of it, later ones only make latency.
func TestTurnsLeaveOneChunkBeforeABusySink(t *testing.T) {
	tu := newTurns(1, 5)
	now := time.Unix(0, 0)
	take := func(ready time.Duration) { // before the sink takes it
		now = now.Add(10 * time.Millisecond)
		tu.take(now, now.Add(-ready))
	}
	for range 10 * surplus {
		take(15 * time.Millisecond) // while the one before the last was written
	}
	if tu.now != 2 || tu.pool.Capacity() != 2 {
		t.Errorf("%d under way, capacity %d, want 2: one at the sink, one before it", tu.now, tu.pool.Capacity())
	}
	for range 10 * surplus {
		take(5 * time.Millisecond)
	}
	if tu.now != 2 {
		t.Errorf("%d under way, want 2: each was ready in time, none too early", tu.now)
	}
	for range 10 {
		tu.take(now, time.Time{})
	}
	if tu.now != 6 || tu.pool.Capacity() != 6 {
		t.Errorf("%d under way, capacity %d, want 6: the sink waits", tu.now, tu.pool.Capacity())
	}
}

// With a latency target a stalled sink holds up no more chunks than can be worked on.
func TestLatencyTargetBoundsTheChunksUnderWay(t *testing.T) {
	b, gate := newBed(t), make(chan struct{})
	var produced atomic.Int64
	const step, total = 10, 10_000
	w := startWorkflow(t, b, &plan.Workflow{
		Name: "under way", Execution: plan.Execution{
			Parallelism: 2, Batching: plan.Batching{LatencyTarget: time.Second},
		},
		Nodes: []*plan.Node{
			sourceNode("in", func() *counter {
				return &counter{to: total, step: step, fail: func(next int64) error {
					produced.Store(next/step + 1)
					return nil
				}}
			}),
			sinkNode("out", func() connector.Sink {
				return &gatedSink{tableSink{table: newTable()}, gate}
			}, "in"),
		},
	})
	waitUntilStill(&produced)
	if got := produced.Load(); got > 4 {
		t.Errorf("%d chunks are under way, want 4: one at the reader, two at workers, one at the sink", got)
	}
	close(gate)
	if report, err := w.Wait(); err != nil || report.RowsOut != total {
		t.Errorf("%d rows, %v", report.RowsOut, err)
	}
}

// With a latency target rows do not wait for others in front of an idle sink.
func TestLatencyTargetDoesNotWaitToMerge(t *testing.T) {
	b, gate := newBed(t), make(chan struct{}, 3)
	sink := sinkNode("out", func() connector.Sink {
		return &decidingSink{tableSink{table: newTable()}}
	}, "in")
	sink.SinkSpec.PreferredRows = 1000
	w := startWorkflow(t, b, &plan.Workflow{
		Name: "no wait", Execution: plan.Execution{
			Batching: plan.Batching{Linger: time.Hour, LatencyTarget: time.Hour},
		},
		Nodes: []*plan.Node{
			sourceNode("in", func() *counter { return &counter{to: 100, step: 10, gate: gate} }), sink,
		},
	})
	for range cap(gate) {
		gate <- struct{}{}
	}
	deadline := time.After(time.Minute)
	for w.Snapshot().RowsOut < 30 {
		select {
		case <-deadline:
			t.Fatalf("%d rows written of 30 that were read", w.Snapshot().RowsOut)
		case <-time.After(time.Millisecond):
		}
	}
	w.Drain()
	_, _ = w.Wait()
}
