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
	// rate is about what it takes per second, to size the first runs.
	rate func(setting string) float64
}

func slowSinks() []slowSink {
	const stall, most = 5 * time.Millisecond, 2_000_000
	sinks := []slowSink{{
		name:   "5 ms per call, at most 2 M rows/s",
		config: fmt.Sprintf("{type: discard, inputs: [rows], config: {stall: %s, rate: %d}}", stall, most),
		rate: func(setting string) float64 {
			if size, err := strconv.Atoi(setting); err == nil {
				return min(most, float64(size)/stall.Seconds())
			}
			return most
		},
	}}
	if dsn := os.Getenv(databaseVariable); dsn != "" {
		sinks = append(sinks, slowSink{
			name: "PostgreSQL", config: fmt.Sprintf("{type: postgres, inputs: [rows], config: "+
				"{connection_string: %q, table: tapeline_bench_batching, mode: replace}}", dsn),
			rate: func(string) float64 { return 700_000 },
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

// batching sweeps fixed sizes and lets the engine adapt, interleaved; then it sets only a latency
// target: half of what adapting alone gave.
func (o *options) batching(ctx context.Context) error {
	const fixed = 5
	settings := []string{"256", "1024", "4096", "16384", "65536", "{initial: 1024}", "{initial: 16384}"}
	for _, sink := range slowSinks() {
		fmt.Printf("%s\n\n| batch_size | rows/s | p50 | p99 | size at the end |\n|---|---|---|---|---|\n", sink.name)
		results, err := o.batches(ctx, sink, settings)
		if err != nil {
			return err
		}
		best := 0.0
		for _, r := range results[:fixed] {
			best = max(best, r.rate)
		}
		for i, r := range results {
			r.print(settings[i])
			if i >= fixed {
				fmt.Printf("|  | %.0f %% of the best fixed size | | | |\n", 100*r.rate/best)
			}
		}
		free := results[len(results)-1]
		target := time.Duration(free.p99 / 2 * float64(time.Second)).Round(100 * time.Microsecond)
		setting := fmt.Sprintf("{latency_target: %v}", target)
		bound, err := o.batches(ctx, sink, []string{setting})
		if err != nil {
			return err
		}
		bound[0].print(setting)
		fmt.Printf("| | | | %.0f %% of that without a target | |\n\n", 100*bound[0].p99/free.p99)
	}
	return nil
}

func (o outcome) print(setting string) {
	fmt.Printf("| `%s` | %.0f | %.1f ms | %.1f ms | %d |\n", setting, o.rate, 1000*o.p50, 1000*o.p99, o.rows)
}

// batches measures each setting of batch_size once a round. A first round is sized by what the sink
// is thought to take, the next ones by what it took.
func (o *options) batches(ctx context.Context, sink slowSink, settings []string) ([]outcome, error) {
	runs := make([][]outcome, len(settings))
	for range o.rounds {
		for i, setting := range settings {
			rate := sink.rate(setting)
			if n := len(runs[i]); n > 0 {
				rate = runs[i][n-1].rate
			}
			r, err := o.batchRun(ctx, sink, setting, int(rate*o.seconds.Seconds()))
			if err != nil {
				return nil, err
			}
			runs[i] = append(runs[i], r)
		}
	}
	medians := make([]outcome, len(settings))
	for i := range runs {
		var rates, p50, p99 []float64
		for _, r := range runs[i] {
			rates, p50, p99 = append(rates, r.rate), append(p50, r.p50), append(p99, r.p99)
		}
		medians[i] = outcome{median(rates), median(p50), median(p99), runs[i][len(runs[i])-1].rows}
	}
	return medians, nil
}

func (o *options) batchRun(
	ctx context.Context, sink slowSink, setting string, rows int,
) (outcome, error) {
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
`, setting, rows, sink.config))
	if err != nil {
		return outcome{}, err
	}
	source := r.Nodes[0]
	return outcome{float64(r.RowsIn) / r.Seconds, source.P50, source.P99, source.BatchRows}, nil
}
