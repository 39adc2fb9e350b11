package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// options are the command line.
type options struct {
	root     string // of the repository
	workload string
	tapeline string        // binary; default bin/tapeline
	seconds  time.Duration // about, of one run
	rounds   int           // of which the median is printed
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	text, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return fmt.Errorf("find repository: %w", err)
	}
	root := filepath.Dir(strings.TrimSpace(string(text)))
	o := options{root: root}
	flags := flag.NewFlagSet("engine", flag.ContinueOnError)
	flags.StringVar(&o.workload, "workload", "", "latency or batching")
	flags.StringVar(&o.tapeline, "tapeline", filepath.Join(root, "bin", "tapeline"), "binary (make build)")
	flags.DurationVar(&o.seconds, "time", 10*time.Second, "length of one run, about")
	flags.IntVar(&o.rounds, "rounds", 3, "runs of each setting; the median counts")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if o.rounds < 1 || o.seconds < time.Second {
		return errors.New("-rounds: want 1 or more; -time: want 1s or more")
	}
	if _, err := os.Stat(o.tapeline); err != nil {
		return fmt.Errorf("%w (make build makes it)", err)
	}
	fmt.Printf("load average %s\n\n", loadAverage())
	switch o.workload {
	case "latency":
		err = o.latency(ctx)
	case "batching":
		err = o.batching(ctx)
	default:
		err = fmt.Errorf("-workload %q: want latency or batching", o.workload)
	}
	fmt.Printf("\nload average %s\n", loadAverage())
	return err
}

// loadAverage tells how busy the machine is, empty where the system does not say.
func loadAverage() string {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(data))[:3], " ")
}
