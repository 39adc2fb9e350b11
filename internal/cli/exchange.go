package cli

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tapeline/tapeline/internal/exchange/workload"
	"github.com/tapeline/tapeline/internal/fault"
)

func (s *session) exchangeCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "exchange",
		Short: "Match orders behind a write-ahead log, and measure it",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(s.exchangeReplayCommand(), s.exchangeRecoverCommand(), s.exchangeVerifyCommand(), s.exchangeWALCommand(),
		s.exchangeBenchCommand())
	return c
}

func (s *session) exchangeBenchCommand() *cobra.Command {
	p := workload.Plan{Orders: workload.Orders, Seed: workload.Seed, Rounds: 3}
	var names []string
	for _, scenario := range workload.Scenarios() {
		names = append(names, scenario.Name)
	}
	c := &cobra.Command{
		Use:   "bench [SCENARIO...]",
		Short: "Measure the book on the five public workloads, and prove its reports",
		Long: "Generates the order flow of the public matching-engine benchmark (github.com/flash1-dev/\n" +
			"matching-engine-benchmark), matches it on one thread, and prints the time of a message and the SHA-256\n" +
			"of the reports. With a million orders and seed 23 the digest must be the published one; another one\n" +
			"ends with exit code 1. The time is that of the matching thread, which other work on the machine does\n" +
			"not count into; the wall time stands beside it.",
		Example:   "  tapeline exchange bench\n  tapeline exchange bench normal flash-crash --rounds 7 --json",
		ValidArgs: names,
		RunE: func(c *cobra.Command, args []string) error {
			var err error
			if p.Scenarios, err = scenarios(args, names); err != nil {
				return err
			}
			results, err := workload.Measure(c.Context(), p)
			if err != nil {
				return err
			}
			if err := s.printResult(results, func() string { return benchTable(results) }); err != nil {
				return err
			}
			for _, r := range results {
				if !r.Equal() {
					return fmt.Errorf("scenario %s: the reports' digest is %s, published is %s: the book is wrong",
						r.Scenario, r.SHA256, r.Published)
				}
			}
			return nil
		},
	}
	c.Flags().IntVar(&p.Orders, "orders", p.Orders, "new orders of a scenario; the digests published are those of a million")
	c.Flags().Uint32Var(&p.Seed, "seed", p.Seed, "of the order flow; the digests published are those of 23")
	c.Flags().IntVar(&p.Rounds, "rounds", p.Rounds, "rounds of each scenario; the median is printed")
	return c
}

// scenarios finds the workloads of some names; no name: all.
func scenarios(args, names []string) ([]workload.Scenario, error) {
	if len(args) == 0 {
		return workload.Scenarios(), nil
	}
	var found []workload.Scenario
	for _, name := range args {
		before := len(found)
		for _, scenario := range workload.Scenarios() {
			if scenario.Name == name {
				found = append(found, scenario)
			}
		}
		if len(found) == before {
			hint := strings.Join(names, ", ")
			if near := fault.Nearest(name, names); near != "" {
				hint = "did you mean " + near + "?"
			}
			return nil, usage("scenario %q is not known (%s)", name, hint)
		}
	}
	return found, nil
}

func benchTable(results []workload.Result) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "scenario\tmessages\ttrades\tns/message\twall\tM/s\treports")
	for _, r := range results {
		proof := "sha256 " + r.SHA256[:12]
		if r.Published != "" && r.Equal() {
			proof += ", as published"
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%.1f\t%.1f\t%.1f\t%s\n",
			r.Scenario, r.Messages, r.Trades, r.CPUNS, r.WallNS, r.PerSecond/1e6, proof)
	}
	_ = w.Flush() // into memory
	return text.String()
}
