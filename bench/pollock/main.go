package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/tapeline/tapeline/bench/duckdb"
	"github.com/tapeline/tapeline/bench/pollock/cases"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var o options
	flag.StringVar(&o.archive, "archive", filepath.Join(cmp.Or(os.Getenv("TAPELINE_DATA"), "../shared/data"),
		"csv_pollock", "polluted_dev.tar.xz"), "the data set; TAPELINE_DATA moves the default")
	flag.StringVar(&o.duckdb, "duckdb", "bench/out/bin/duckdb", "DuckDB, as bench/peers/build makes it")
	flag.StringVar(&o.result, "json", "bench/out/pollock.json", "file for the score of every case")
	flag.IntVar(&o.worst, "worst", 5, "how many of each engine's worst cases to list")
	flag.Parse()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench/pollock:", err)
		os.Exit(1)
	}
}

// options are the command line.
type options struct {
	archive, duckdb, result string
	worst                   int
}

// engine is a reader with the settings it is given.
type engine struct {
	name, settings string
	read           func(cases.Case) ([][]string, error)
}

// run scores all engines and returns an error unless ours is above.
func run(ctx context.Context, o options) (err error) {
	dir, err := os.MkdirTemp("", "bench-pollock-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := cases.Unpack(o.archive, dir); err != nil {
		return err
	}
	list, err := cases.Load(filepath.Join(dir, "polluted_files"))
	if err != nil {
		return err
	}
	weights, err := cases.Weights(filepath.Join(dir, "pollock_weights.json"))
	if err != nil {
		return err
	}
	child, err := duckdb.Start(ctx, o.duckdb, ":memory:")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, child.Close()) }()
	version, err := exec.CommandContext(ctx, o.duckdb, "-version").Output()
	if err != nil {
		return fmt.Errorf("version of DuckDB: %w", err)
	}
	name := "DuckDB " + strings.TrimSpace(string(version))
	r := &report{cases: list, weights: weights}
	for _, e := range []engine{
		{"tapeline", "ragged: fit, record_end: cr where stated", func(c cases.Case) ([][]string, error) {
			return cases.Read(ctx, c.Config())
		}},
		{name, settings, (&peer{child, dir}).read},
	} {
		r.add(e)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	r.print(os.Stdout, o.worst)
	if err := r.write(o.result); err != nil {
		return err
	}
	return r.judge()
}
