package workload

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/tapeline/tapeline/internal/exchange/book"
	"github.com/tapeline/tapeline/internal/exchange/order"
	"github.com/tapeline/tapeline/internal/obs"
)

// Plan is what is measured.
type Plan struct {
	Scenarios []Scenario
	Orders    int    // new orders of a scenario, >= 2
	Seed      uint32 // of the flow
	Rounds    int    // of each scenario, >= 1
}

// Result is one scenario.
type Result struct {
	Scenario  string  `json:"scenario"`
	Messages  int     `json:"messages"`
	Reports   int     `json:"reports"`
	Trades    int     `json:"trades"`
	SHA256    string  `json:"sha256"`              // of the reports
	Published string  `json:"published,omitempty"` // what they must be; "" where nothing is published
	CPUNS     float64 `json:"cpu_ns_per_message"`  // of the thread that matches; 0: the system does not tell
	WallNS    float64 `json:"wall_ns_per_message"`
	PerSecond float64 `json:"messages_per_second"` // by CPU where it is known
}

// Equal reports whether the reports are those published.
func (r *Result) Equal() bool { return r.Published == "" || r.Published == r.SHA256 }

// Measure runs the scenarios through a new book each time, and takes the median round of each. The reports
// are digested in a round of their own, whose time does not count.
func Measure(ctx context.Context, p Plan) ([]Result, error) {
	if p.Orders < 2 || p.Rounds < 1 {
		return nil, fmt.Errorf("orders %d, rounds %d: at least 2 orders and 1 round", p.Orders, p.Rounds)
	}
	results := make([]Result, 0, len(p.Scenarios))
	for _, scenario := range p.Scenarios {
		flow := scenario.Commands(p.Orders, p.Seed)
		r := digest(flow)
		r.Scenario = scenario.Name
		if p.Orders == Orders && p.Seed == Seed {
			r.Published = published[scenario.Name]
		}
		var cpu, wall []float64
		for range p.Rounds {
			if err := context.Cause(ctx); err != nil {
				return nil, err
			}
			c, w := round(flow)
			cpu, wall = append(cpu, float64(c)/float64(len(flow))), append(wall, float64(w)/float64(len(flow)))
		}
		r.CPUNS, r.WallNS = median(cpu), median(wall)
		r.PerSecond = 1e9 / r.WallNS
		if r.CPUNS > 0 {
			r.PerSecond = 1e9 / r.CPUNS
		}
		results = append(results, r)
	}
	return results, nil
}

// published are the digests that independent books agree on, of Orders new orders with Seed (the benchmark's
// reference/correctness_hash.txt).
var published = map[string]string{
	"flash-crash": "cff8d3f94b709fc64a8b2058a6ca4fb6920364904796e46906895e362d2bb16b",
	"normal":      "e9b2e3926854410b01a035aeb25dd05f1e597c233be8263de9eb49b6713d367e",
	"static":      "9803843ee404fc29c9a0aa5614f8f0d5a58b5c44fcac9ef89067886fcaaa30d1",
	"swing-25":    "61a84be9469661bd039e00dbc9a7c011e70b6ace37aadfe60045ea083b05f4df",
	"swing-40":    "3cb0175e7982ff09ea220d1feaee3844cf9116a5ce455757879dea1d880b9b9f",
}

func digest(flow []order.Command) Result {
	set := book.NewSet()
	set.AddSymbol()
	events := make([]order.Event, 0, len(flow)+len(flow)/4)
	for i := range flow {
		events = set.Apply(&flow[i], events)
	}
	r := Result{Messages: len(flow), Reports: len(events)}
	for i := range events {
		if events[i].What == order.Traded {
			r.Trades++
		}
	}
	r.SHA256 = Digest(events)
	return r
}

// round applies a flow, handing its events on by blocks as a shard does.
func round(flow []order.Command) (cpu, wall time.Duration) {
	const block = 4096
	out := make([]order.Event, 0, 2*block)
	set := book.NewSet()
	set.AddSymbol()
	runtime.GC()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, _ := obs.ThreadCPU()
	begun := time.Now()
	for i := range flow {
		if len(out) >= block {
			out = out[:0]
		}
		out = set.Apply(&flow[i], out)
	}
	wall = time.Since(begun)
	if after, ok := obs.ThreadCPU(); ok {
		cpu = after - before
	}
	return cpu, wall
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
