package main

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"
)

func main() {
	if err := run(); err != nil {
		slog.Error("bench of syncs", "error", err)
		os.Exit(1)
	}
}

func run() (err error) {
	b := &bench{out: os.Stdout}
	flag.StringVar(&b.from, "from", "2023-01-01", "first day")
	flag.StringVar(&b.late, "late", "2023-09-01", "first day of markets of more than 1,000 symbols")
	flag.StringVar(&b.to, "to", "2023-11-30", "last day of the first sync, in 2023; an increment adds the rest of the year")
	symbols := flag.String("symbols", "10,100,1000,5000", "sizes of the market")
	flag.IntVar(&b.rounds, "rounds", 3, "rounds, interleaved; the median is printed")
	flag.StringVar(&b.tapeline, "tapeline", "bin/tapeline", "binary that is measured")
	matrix := flag.Int("matrix", 300, "symbols of the matrix of batch_size and max_workers; 0: none")
	loop := flag.Duration("loop", 0, "sync increments in this process for so long instead")
	flag.Parse()
	if b.dir, err = os.MkdirTemp("", "bench-sync-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if *loop > 0 {
		return b.loop(*loop)
	}
	var last map[string]sample
	for text := range strings.SplitSeq(*symbols, ",") {
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("-symbols %s: %w", text, err)
		}
		if last, err = b.modules(n); err != nil {
			return err
		}
	}
	b.gains(last)
	if *matrix > 0 {
		return b.matrix(*matrix)
	}
	return nil
}

// modules measures the configurations on a market.
func (b *bench) modules(symbols int) (map[string]sample, error) {
	s, err := b.simulate(symbols)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	samples := map[string][]sample{}
	for range b.rounds {
		for _, c := range configurations() {
			m, err := b.measure(s, symbols, c.env)
			if err != nil {
				return nil, fmt.Errorf("%d symbols, %s: %w", symbols, c.name, err)
			}
			samples[c.name] = append(samples[c.name], m)
		}
	}
	fmt.Fprintf(b.out, "\n%d symbols, %s..%s, median of %d rounds\n\n", symbols, b.begin(symbols), b.to, b.rounds)
	fmt.Fprintln(b.out, "| modules | rows | rows/s | CPU s | logins | commits | catalog queries | in an increment | reads of rows in it | cache hits | RSS MB |")
	fmt.Fprintln(b.out, "|---|---|---|---|---|---|---|---|---|---|---|")
	medians := map[string]sample{}
	for _, c := range configurations() {
		m := median(samples[c.name])
		medians[c.name] = m
		fmt.Fprintf(b.out, "| %s | %d | %.0f | %.2f | %d | %d | %d | %d | %d | %.0f %% | %d |\n", c.name, m.rows, m.rate(), m.cpu, m.logins,
			m.commits, m.queries, m.increment, m.reads, 100*m.hits, m.rss>>20)
	}
	return medians, nil
}

// gains prints what the requirement hopes for beside what was measured, and why where it is missed.
func (b *bench) gains(m map[string]sample) {
	none, session, batches, all := m["no module"], m["session only"], m["+ batch"], m["all"]
	fmt.Fprint(b.out, "\nWhat the requirement hopes for, and what was measured on the largest market:\n\n")
	fmt.Fprintf(b.out, "- Reconnecting costs 30-50 %% less: %d logins instead of %d, %.0f %% of the time. On the real service each costs "+
		"1 to 2 s, on the simulator next to nothing.\n", session.logins, none.logins, 100*session.seconds/max(none.seconds, 1e-9))
	fmt.Fprintf(b.out, "- Writing is 5-10 times as fast in batches: %.2f times the rows a second, %.2f times the CPU. The store groups rows "+
		"into a commit with and without the module, which was what made single rows slow; the rest is the call for each row.\n",
		batches.rate()/max(session.rate(), 1e-9), batches.cpu/max(session.cpu, 1e-9))
	fmt.Fprintf(b.out, "- 60-80 %% fewer queries: %d in an increment instead of %d. Coverage and instruments are in the store's memory from "+
		"its opening on, so that few queries are left to save in one process that syncs once; what the cache saves is the second and "+
		"third reading of the days with rows, %.0f %% of its lookups.\n", all.increment, batches.increment, 100*all.hits)
	fmt.Fprintf(b.out, "- More than 500 rows/s in all: %.0f, and %.0f without any module.\n", all.rate(), none.rate())
}

// matrix measures every pair of batch_size and max_workers.
func (b *bench) matrix(symbols int) error {
	s, err := b.simulate(symbols)
	if err != nil {
		return err
	}
	defer s.stop()
	sizes, workers := []int{10, 50, 200}, []int{1, 2, 3, 8}
	cells := map[[2]int][]sample{}
	for range b.rounds {
		for _, size := range sizes {
			for _, n := range workers {
				m, err := b.measure(s, symbols, append(off(), fmt.Sprint("TAPELINE_SYNC_BATCH_SIZE=", size), fmt.Sprint("TAPELINE_SYNC_MAX_WORKERS=", n)))
				if err != nil {
					return err
				}
				cells[[2]int{size, n}] = append(cells[[2]int{size, n}], m)
			}
		}
	}
	fmt.Fprintf(b.out, "\nrows/s by sync.batch_size and sync.max_workers, %d symbols\n\n| batch_size |", symbols)
	for _, n := range workers {
		fmt.Fprintf(b.out, " %d workers |", n)
	}
	fmt.Fprintf(b.out, "\n|---|%s\n", strings.Repeat("---|", len(workers)))
	var best [2]int
	most := 0.0
	for _, size := range sizes {
		fmt.Fprintf(b.out, "| %d |", size)
		for _, n := range workers {
			rate := median(cells[[2]int{size, n}]).rate()
			if rate > most {
				best, most = [2]int{size, n}, rate
			}
			fmt.Fprintf(b.out, " %.0f |", rate)
		}
		fmt.Fprintln(b.out)
	}
	fmt.Fprintf(b.out, "\nThe best is batch_size %d with %d workers: %.0f rows/s.\n", best[0], best[1], most)
	return nil
}

// minutes is for tables.
func minutes(d time.Duration) string { return fmt.Sprintf("%.1f min", d.Minutes()) }
