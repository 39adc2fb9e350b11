//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	recordBytes = 128
	rivals      = "tidwall,etcd,raft-wal,pebble,pebble-growing"
)

// options are the command line.
type options struct {
	engines []string
	batches []int
	rounds  int
	length  time.Duration // of a turn
	peers   string        // binary of bench/peers/wal
	dir     string
	result  string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var o options
	engines := flag.String("engines", "tapeline,"+rivals, "which to measure, the one that is compared first; ours: "+
		strings.Join(names(), ", "))
	batches := flag.String("batches", "1,100,2000", "records of a batch")
	flag.IntVar(&o.rounds, "rounds", 6, "rounds that count")
	flag.DurationVar(&o.length, "time", 2*time.Second, "of one engine in a round")
	flag.StringVar(&o.peers, "peers", "bench/out/bin/wal", "the others, as bench/peers/build makes them")
	flag.StringVar(&o.dir, "dir", "bench/out", "folder on the disk to be measured")
	flag.StringVar(&o.result, "json", "bench/out/wal.json", "file for the figures of every turn")
	serve := flag.String("serve", "", "be the child that runs one engine of ours")
	records := flag.Int("records", 1, "of a batch, with -serve")
	flag.Parse()
	o.engines = strings.Split(*engines, ",")
	err := parse(*batches, &o.batches)
	switch {
	case err != nil:
	case *serve != "":
		err = child(ctx, *serve, o.dir, *records)
	default:
		err = run(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench/wal:", err)
		os.Exit(1)
	}
}

func parse(list string, into *[]int) error {
	for text := range strings.SplitSeq(list, ",") {
		var n int
		if _, err := fmt.Sscan(text, &n); err != nil || n <= 0 {
			return fmt.Errorf("-batches %s: want numbers above 0", list)
		}
		*into = append(*into, n)
	}
	return nil
}

func run(ctx context.Context, o options) (err error) {
	r := newReport(o)
	folder, err := os.MkdirTemp(o.dir, "wal-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	for _, records := range o.batches {
		o.dir = filepath.Join(folder, strconv.Itoa(records))
		if err := measure(ctx, o, records, r); err != nil {
			return fmt.Errorf("batches of %d: %w", records, err)
		}
	}
	r.LoadAfter = load()
	r.print(os.Stdout)
	return r.write(o.result)
}

// measure runs all engines in turn, round after round, with batches of one size.
func measure(ctx context.Context, o options, records int, r *report) (err error) {
	var children []*process
	defer func() {
		for _, c := range children {
			err = errors.Join(err, c.close())
		}
	}()
	for _, name := range append(slices.Clone(o.engines), "probe") {
		c, err := start(ctx, o, name, records)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		children = append(children, c)
	}
	for round := range o.rounds + 1 {
		for i := range children {
			c := children[(i+round)%len(children)]
			t, err := c.ask(o.length)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			if round > 0 { // the first one fills files and caches
				r.add(c.name, records, round, t)
			}
		}
		fmt.Fprintf(os.Stderr, "batches of %d: round %d of %d, load %s\n", records, round, o.rounds, load())
	}
	return nil
}
