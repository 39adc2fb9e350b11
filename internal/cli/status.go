package cli

import (
	"github.com/spf13/cobra"
	"github.com/tapeline/tapeline/internal/app"
)

func (s *session) statusCommand() *cobra.Command {
	var dir string
	var runs int
	var trend bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Show what a market store holds and its last syncs",
		Long: "Shows the sizes of a store's datasets and its last syncs. With --trend it compares the newest sync with " +
			"earlier\nones of about the same work, and warns where it is more than 10 % slower than their median.",
		Example: "  tapeline status --store market\n  tapeline status --store market --trend",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if runs < 0 {
				return usage("status: --runs %d: want how many to show; 0 is all", runs)
			}
			if trend {
				compared, err := app.SyncTrend(c.Context(), dir, s.logger())
				if err != nil {
					return err
				}
				return s.printResult(compared, compared.Text)
			}
			status, err := app.StoreStatus(c.Context(), dir, runs, s.logger())
			if err != nil {
				return err
			}
			return s.printResult(status, status.Text)
		},
	}
	storeFlag(c, &dir)
	c.Flags().IntVar(&runs, "runs", 5, "how many of the last syncs to show; 0 is all")
	c.Flags().BoolVar(&trend, "trend", false, "compare the newest sync with earlier ones")
	return c
}
