package main

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"time"
)

const latencyRate = 100_000 // rows per second

var quantiles = regexp.MustCompile(`p50=(\S+) p99=(\S+) p999=(\S+) max=(\S+)`)

// latency measures from the intended emission of each row to the return of the Write that took it.
func (o *options) latency(ctx context.Context) error {
	rows := int(o.seconds.Seconds() * latencyRate)
	fmt.Printf("generate %d rows/s -> filter -> discard, linger 2 ms, checkpoints every second, %d rows\n\n",
		latencyRate, rows)
	fmt.Println("| run | p50 | p99 | p99.9 | max |\n|---|---|---|---|---|")
	var p99 []time.Duration
	for round := range o.rounds {
		_, output, err := o.runDocument(ctx, fmt.Sprintf(`name: latency
execution: {linger: 2ms, checkpoint_interval: 1s}
sources:
  rows:
    type: generate
    config:
      rows: %d
      seed: 42
      rate: %d
      fields:
        id: sequence
        status: [active, inactive]
        amount: {type: "decimal(12,2)", min: 0, max: 1000}
        due: emitted
transformations:
  active: {type: filter, inputs: [rows], config: {condition: status == 'active'}}
destinations:
  nothing: {type: discard, inputs: [active], config: {latency_field: due}}
`, rows, latencyRate))
		if err != nil {
			return err
		}
		found := quantiles.FindStringSubmatch(output)
		if found == nil {
			return fmt.Errorf("the sink logged no latencies:\n%s", output)
		}
		at, err := time.ParseDuration(found[2])
		if err != nil {
			return err
		}
		p99 = append(p99, at)
		fmt.Printf("| %d | %s | %s | %s | %s |\n", round+1, found[1], found[2], found[3], found[4])
	}
	fmt.Printf("\nmedian of p99: %v\n", median(p99))
	return nil
}

// median returns the middle value, the upper one of an even count.
func median[T cmp.Ordered](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
