package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"
)

const latencyRate = 100_000 // rows per second, as the document says

var quantiles = regexp.MustCompile(`p50=(\S+) p99=(\S+) p999=(\S+) max=(\S+)`)

// latency measures from the intended emission of each row to the return of the Write that took it.
func (o *options) latency(ctx context.Context) error {
	document, err := os.ReadFile(filepath.Join(o.root, "bench", "workflows", "latency.yaml"))
	if err != nil {
		return err
	}
	rows := int(o.seconds.Seconds() * latencyRate)
	fmt.Printf("generate %d rows/s -> filter -> discard, linger 2 ms, checkpoints every second, %d rows\n\n",
		latencyRate, rows)
	fmt.Println("| run | p50 | p99 | p99.9 | max |\n|---|---|---|---|---|")
	var p99 []time.Duration
	for round := range o.rounds {
		_, output, err := o.runDocument(ctx, string(document),
			"--set", fmt.Sprintf("sources.rows.config.rows=%d", rows))
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
