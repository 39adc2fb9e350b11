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
	"slices"
	"strings"
	"syscall"
)

// options are the command line.
type options struct {
	subset         bool
	rows           int // of the data set; default 5,000,000, with -subset 1,000,000
	slowRows       int // rows given to tools that need minutes for all
	rounds         int // default 5, with -subset 3
	workloads      []string
	tools          []string
	data           string // folder of inputs, outputs and scratch; default bench/out/data
	tapeline       string // binary; default bin/tapeline
	build          bool
	updateBaseline bool
	root           string // of the repository
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// parse reads the command line; the working directory is inside the repository.
func parse(args []string) (options, error) {
	root, err := repository()
	if err != nil {
		return options{}, err
	}
	o := options{root: root}
	var workloads, tools string
	flags := flag.NewFlagSet("run", flag.ContinueOnError)
	flags.BoolVar(&o.subset, "subset", false, "two minutes: fewer rows and rounds, the fast tools")
	flags.IntVar(&o.rows, "rows", 0, "rows of the data (default 5000000, with -subset 1000000)")
	flags.IntVar(&o.slowRows, "slow-rows", 1_000_000, "rows given to the slow tools, at most")
	flags.IntVar(&o.rounds, "rounds", 0, "rounds per workload (default 5, with -subset 3)")
	flags.StringVar(&workloads, "workload", "", "workloads to run, separated by commas")
	flags.StringVar(&tools, "tool", "", "tools to run, separated by commas")
	flags.StringVar(&o.data, "data", filepath.Join(root, "bench", "out", "data"),
		"folder of generated inputs and of outputs")
	flags.StringVar(&o.tapeline, "tapeline", filepath.Join(root, "bin", "tapeline"), "binary")
	flags.BoolVar(&o.build, "build", true, "build or install missing peers first")
	flags.BoolVar(&o.updateBaseline, "update-baseline", false, "rewrite bench/baseline.json")
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	o.workloads, o.tools = split(workloads), split(tools)
	if o.rows == 0 {
		o.rows = choose(o.subset, 1_000_000, 5_000_000)
	}
	if o.rounds == 0 {
		o.rounds = choose(o.subset, 3, 5)
	}
	o.slowRows = min(o.slowRows, o.rows)
	return o, o.validate()
}

// validate returns all problems of the command line at once.
func (o *options) validate() error {
	var problems []error
	if o.rows < 1 || o.slowRows < 1 || o.rounds < 1 {
		problems = append(problems, errors.New("-rows, -slow-rows and -rounds: want 1 or more"))
	}
	var known []string
	for _, w := range workloads() {
		known = append(known, w.name)
	}
	problems = append(problems, unknown("-workload", o.workloads, known))
	known = nil
	for _, t := range tools(o.root, o.tapeline) {
		known = append(known, t.name)
	}
	return errors.Join(append(problems, unknown("-tool", o.tools, known))...)
}

// unknown returns an error when a name is not among the known ones.
func unknown(flagName string, names, known []string) error {
	for _, name := range names {
		if !slices.Contains(known, name) {
			return fmt.Errorf("%s %s: want one of %s", flagName, name, strings.Join(known, ", "))
		}
	}
	return nil
}

func split(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}

func choose(condition bool, yes, no int) int {
	if condition {
		return yes
	}
	return no
}

// repository returns the folder of the go.mod above the working directory.
func repository() (string, error) {
	text, err := exec.Command("go", "env", "GOMOD").Output()
	path := strings.TrimSpace(string(text))
	if err != nil || path == "" || path == os.DevNull {
		return "", fmt.Errorf("find repository: not inside it: %w", err)
	}
	return filepath.Dir(path), nil
}

// run measures all workloads, prints them and compares the ratios with the baseline.
func run(ctx context.Context, o options) error {
	b := &bench{options: o, report: newReport(o)}
	b.report.print(os.Stdout)
	if err := os.MkdirAll(o.data, 0o755); err != nil {
		return fmt.Errorf("create data folder: %w", err)
	}
	b.buildPeers(ctx)
	var failed error
	for _, w := range workloads() {
		if len(o.workloads) > 0 && !slices.Contains(o.workloads, w.name) {
			continue
		}
		result, err := b.workload(ctx, &w)
		if ctx.Err() != nil {
			return fmt.Errorf("measure %s: %w", w.name, context.Cause(ctx))
		}
		failed = errors.Join(failed, err)
		b.report.Workloads = append(b.report.Workloads, result)
		result.print(os.Stdout)
	}
	b.report.LoadAfter = loadAverage()
	fmt.Printf("load average before %s, after %s\n", b.report.LoadBefore, b.report.LoadAfter)
	path := filepath.Join(o.root, "bench", "out", "result.json")
	if err := writeJSON(path, b.report); err != nil {
		return err
	}
	fmt.Printf("wrote %s\n", path)
	return errors.Join(failed, compareBaseline(os.Stdout, b.report, o))
}

// buildPeers builds what the chosen tools need; a peer that cannot be built is listed later.
func (b *bench) buildPeers(ctx context.Context) {
	var peers []string
	for _, t := range tools(b.root, b.tapeline) {
		if t.build != "" && b.chosen(&t) == "" && !slices.Contains(peers, t.build) {
			peers = append(peers, t.build)
		}
	}
	if !b.build || len(peers) == 0 {
		return
	}
	command := exec.CommandContext(ctx, filepath.Join(b.root, "bench", "peers", "build"), peers...)
	command.Stderr = os.Stderr
	if err := command.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench: build peers:", err)
	}
}

// chosen returns an empty string, or why the command line leaves the tool out.
func (b *bench) chosen(t *tool) string {
	switch {
	case len(b.tools) > 0 && !slices.Contains(b.tools, t.name):
		return "not among -tool"
	case len(b.tools) == 0 && b.subset && !t.subset:
		return "not part of -subset"
	}
	return ""
}
