package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"
)

// databaseVariable holds the connection string of a PostgreSQL server; without it that sink is left
// out.
const databaseVariable = "TAPELINE_TEST_POSTGRES"

// slowSink is a destination whose calls cost.
type slowSink struct {
	name   string
	config string
	// rate is about what it takes per second, to size the runs.
	rate func(batch int) float64
}

func slowSinks() []slowSink {
	const stall, most = 5 * time.Millisecond, 2_000_000
	sinks := []slowSink{{
		name:   "5 ms per call, at most 2 M rows/s",
		config: fmt.Sprintf("{type: discard, inputs: [rows], config: {stall: %s, rate: %d}}", stall, most),
		rate:   func(batch int) float64 { return min(most, float64(batch)/stall.Seconds()) },
	}}
	if dsn := os.Getenv(databaseVariable); dsn != "" {
		sinks = append(sinks, slowSink{
			name: "PostgreSQL", config: fmt.Sprintf("{type: postgres, inputs: [rows], config: "+
				"{connection_string: %q, table: tapeline_bench_batching, mode: replace}}", dsn),
			rate: func(batch int) float64 { return 300_000 },
		})
	}
	return sinks
}

// outcome is one row of the table.
type outcome struct {
	rate     float64 // rows per second
	p50, p99 float64 // seconds, of a batch from reading to written
	rows     int     // of a batch at the end
}

// batching sweeps fixed sizes, then lets the engine adapt, then sets only a latency target: half of
// what adapting alone gave.
func (o *options) batching(ctx context.Context) error {
	for _, sink := range slowSinks() {
		fmt.Printf("%s\n\n| batch_size | rows/s | p50 | p99 | size at the end |\n|---|---|---|---|---|\n", sink.name)
		best := 0.0
		for _, size := range []int{256, 1024, 4096, 16384, 65536} {
			fixed, err := o.batches(ctx, sink, strconv.Itoa(size), size)
			if err != nil {
				return err
			}
			best = max(best, fixed.rate)
		}
		var free outcome
		for _, initial := range []int{1024, 16384} {
			var err error
			free, err = o.batches(ctx, sink, fmt.Sprintf("{initial: %d}", initial), 65536)
			if err != nil {
				return err
			}
			fmt.Printf("|  | %.0f %% of the best fixed size | | | |\n", 100*free.rate/best)
		}
		target := time.Duration(free.p99 / 2 * float64(time.Second)).Round(100 * time.Microsecond)
		bound, err := o.batches(ctx, sink, fmt.Sprintf("{latency_target: %v}", target), 4096)
		if err != nil {
			return err
		}
		fmt.Printf("| | | | %.0f %% of that without a target | |\n\n", 100*bound.p99/free.p99)
	}
	return nil
}

// batches measures one setting of batch_size; the run is sized for batches of about size rows.
func (o *options) batches(
	ctx context.Context, sink slowSink, setting string, size int,
) (outcome, error) {
	var rates, p50, p99 []float64
	rows := 0
	for range o.rounds {
		r, _, err := o.runDocument(ctx, fmt.Sprintf(`name: batching
execution: {batch_size: %s, checkpoint_interval: 1s, linger: 20ms}
sources:
  rows:
    type: generate
    config:
      rows: %d
      seed: 42
      fields:
        id: sequence
        status: [active, inactive]
        amount: {type: "decimal(12,2)", min: 0, max: 1000}
destinations:
  out: %s
`, setting, int(sink.rate(size)*o.seconds.Seconds()), sink.config))
		if err != nil {
			return outcome{}, err
		}
		rates = append(rates, float64(r.RowsIn)/r.Seconds)
		p50, p99 = append(p50, r.Nodes[0].P50), append(p99, r.Nodes[0].P99)
		rows = r.Nodes[0].BatchRows
	}
	out := outcome{rate: median(rates), p50: median(p50), p99: median(p99), rows: rows}
	fmt.Printf("| `%s` | %.0f | %.1f ms | %.1f ms | %d |\n", setting, out.rate, 1000*out.p50, 1000*out.p99,
		out.rows)
	return out, nil
}
