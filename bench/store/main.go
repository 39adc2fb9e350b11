package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/tapeline/tapeline/batch"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	r := &run{samples: map[string]map[string][]sample{}}
	flag.IntVar(&r.symbols, "symbols", 5000, "instruments")
	flag.IntVar(&r.dates, "dates", 1200, "bars of each, compacted")
	flag.IntVar(&r.daily, "daily", 100, "bars of each that follow day by day, not compacted")
	flag.IntVar(&r.rounds, "rounds", 5, "rounds")
	flag.StringVar(&r.duckdb, "duckdb", "bench/out/bin/duckdb", "DuckDB, as bench/peers/build makes it")
	only := flag.String("engines", "tapeline,sqlite,duckdb", "which to measure")
	dir := flag.String("dir", "", "folder for the databases, kept; default: a temporary one")
	flag.Parse()
	if err := r.all(ctx, *dir, strings.Split(*only, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "bench/store:", err)
		os.Exit(1)
	}
}

// run is one run of the benchmark.
type run struct {
	symbols, dates, daily, rounds int
	duckdb                        string

	bars    *bars
	engines []engine
	jobs    []string
	samples map[string]map[string][]sample // by job and engine
	notes   []string
	sizes   string
}

// sample is one measurement: of how many operations with how many rows.
type sample struct {
	wall time.Duration // the median of the operations
	cpu  time.Duration // the mean of the operations
	rows int           // of one operation
}

// engine is one store.
type engine interface {
	name() string
	// fill takes the first dates of all instruments, and lays them out for reading.
	fill(ctx context.Context, b *bars, dates int) error
	// grow takes the dates that follow, one at a time.
	grow(ctx context.Context, b *bars, from, to int) error
	// bytes is the size of what fill stored.
	bytes() (int64, error)
	point(ctx context.Context, symbol int) (rows int, err error)
	latest(ctx context.Context, symbol int) (rows int, err error)
	// cross reads symbol, open, close and volume of all instruments.
	cross(ctx context.Context, date int) (rows int, err error)
	// scan reads all columns, or date, close and volume, of all rows.
	scan(ctx context.Context, all bool) (rows int, err error)
	// commit durably adds rows.
	commit(ctx context.Context, rows *batch.Batch) (int, error)
	// cpu is what the engine has used.
	cpu() time.Duration
	close() error
}

func (r *run) all(ctx context.Context, dir string, names []string) (err error) {
	if dir == "" {
		if dir, err = os.MkdirTemp("", "bench-store"); err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
	}
	r.bars = newBars(r.symbols, r.dates+r.daily+1)
	for _, name := range names {
		e, err := r.open(ctx, name, filepath.Join(dir, name))
		if err == nil {
			start := time.Now()
			err = e.fill(ctx, r.bars, r.dates)
			r.note("%s: filled with %d rows in %.1f s", name, r.symbols*r.dates, time.Since(start).Seconds())
		}
		if err != nil {
			if name == "tapeline" {
				return err
			}
			r.note("%s: not run: %v", name, err)
			continue
		}
		r.engines = append(r.engines, e)
		defer func() { _ = e.close() }()
		size, err := e.bytes()
		if err != nil {
			return err
		}
		r.note("%s: %.2f bytes a row", name, float64(size)/float64(r.symbols*r.dates))
	}
	if err := r.measure(ctx); err != nil {
		return err
	}
	if err := r.codec(); err != nil {
		return err
	}
	if err := r.compaction(ctx, dir); err != nil {
		return err
	}
	r.print()
	return nil
}

func (r *run) open(ctx context.Context, name, path string) (engine, error) {
	switch name {
	case "tapeline":
		return openOurs(ctx, path)
	case "sqlite":
		return openSQLite(ctx, path+".db")
	case "duckdb":
		return openDuckDB(ctx, r.duckdb, path+".db")
	}
	return nil, fmt.Errorf("engine %q: want tapeline, sqlite or duckdb", name)
}

func (r *run) note(format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
	fmt.Fprintln(os.Stderr, r.notes[len(r.notes)-1])
}

// measure runs the jobs on all engines, before and after the days that follow.
func (r *run) measure(ctx context.Context) error {
	const points = 100
	old := r.dates / 2
	for round := range r.rounds {
		for _, e := range r.engines {
			for _, err := range []error{
				r.time(e, "point, compacted", points, r.dates, func(i int) (int, error) {
					return e.point(ctx, (i+round*points)*7919%r.symbols)
				}),
				r.time(e, "one date, 4 columns, compacted", 5, r.symbols, func(i int) (int, error) {
					return e.cross(ctx, old+i+7*round)
				}),
				r.time(e, "scan, all columns", 1, r.symbols*r.dates, func(int) (int, error) { return e.scan(ctx, true) }),
				r.time(e, "scan, 3 columns", 1, r.symbols*r.dates, func(int) (int, error) { return e.scan(ctx, false) }),
			} {
				if err != nil {
					return err
				}
			}
		}
	}
	for _, e := range r.engines {
		if err := e.grow(ctx, r.bars, r.dates, r.dates+r.daily); err != nil {
			return fmt.Errorf("%s: %w", e.name(), err)
		}
	}
	for round := range r.rounds {
		for _, e := range r.engines {
			for _, err := range []error{
				r.time(e, fmt.Sprintf("point, %d segments more", r.daily), points, r.dates+r.daily, func(i int) (int, error) {
					return e.point(ctx, (i+round*points)*7919%r.symbols)
				}),
				r.time(e, "one date, 4 columns, fresh", 20, r.symbols, func(i int) (int, error) {
					return e.cross(ctx, r.dates+(i+round)%r.daily)
				}),
				r.time(e, "latest row", points, 1, func(i int) (int, error) { return e.latest(ctx, i%20) }),
			} {
				if err != nil {
					return err
				}
			}
		}
	}
	return r.commits(ctx)
}

func (r *run) commits(ctx context.Context) error {
	const times, rows = 5, 100
	last := len(r.bars.dates) - 1
	for round := range r.rounds {
		var parts []*batch.Batch
		for n := range times {
			first := (round*times + n) * rows
			if first+rows > r.symbols {
				return nil
			}
			part, err := r.bars.block(first, first+rows, last, last+1)
			if err != nil {
				return err
			}
			parts = append(parts, part)
		}
		for _, e := range r.engines {
			if err := r.time(e, "commit of 100 rows", times, rows, func(i int) (int, error) {
				return e.commit(ctx, parts[i])
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

// time runs an operation several times, and wants so many rows of each.
func (r *run) time(e engine, job string, times, rows int, do func(i int) (int, error)) error {
	var walls []time.Duration
	before := e.cpu()
	for i := range times {
		start := time.Now()
		got, err := do(i)
		walls = append(walls, time.Since(start))
		if err != nil || got != rows {
			return fmt.Errorf("%s: %s: %d rows, want %d: %w", e.name(), job, got, rows, err)
		}
	}
	r.add(job, e.name(), sample{median(walls), (e.cpu() - before) / time.Duration(times), rows})
	return nil
}

func (r *run) add(job, name string, s sample) {
	if r.samples[job] == nil {
		r.samples[job] = map[string][]sample{}
		r.jobs = append(r.jobs, job)
	}
	r.samples[job][name] = append(r.samples[job][name], s)
}

func median[T ~int64](values []T) T {
	values = slices.Clone(values)
	slices.Sort(values)
	return values[len(values)/2]
}

// print shows medians over the rounds: wall time, CPU time, and rows a second of wall and of CPU time.
func (r *run) print() {
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "job\tengine\twall\tCPU\tM rows/s\tM rows/CPU-s\ttimes ours (wall, CPU)")
	for _, job := range r.jobs {
		var first sample
		for i, name := range r.names(job) {
			var walls, cpus []time.Duration
			list := r.samples[job][name]
			for _, s := range list {
				walls, cpus = append(walls, s.wall), append(cpus, s.cpu)
			}
			m := sample{median(walls), median(cpus), list[0].rows}
			if i == 0 {
				first = m
			}
			fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%.2f\t%.2f\t%.2f, %.2f\n", job, name,
				m.wall.Round(time.Microsecond/10), m.cpu.Round(time.Microsecond/10),
				float64(m.rows)/m.wall.Seconds()/1e6, float64(m.rows)/m.cpu.Seconds()/1e6,
				m.wall.Seconds()/first.wall.Seconds(), m.cpu.Seconds()/first.cpu.Seconds())
		}
	}
	_ = out.Flush()
	for _, note := range r.notes {
		fmt.Println(note)
	}
}

// names returns who did a job, ours first.
func (r *run) names(job string) []string {
	order := []string{"tapeline", "sqlite", "duckdb", "parquet-go, structs"}
	return slices.DeleteFunc(order, func(name string) bool { return r.samples[job][name] == nil })
}
