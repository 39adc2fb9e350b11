package cli

import (
	"github.com/spf13/cobra"
	"github.com/tapeline/tapeline/internal/app"
	"github.com/tapeline/tapeline/internal/ingest"
)

func (s *session) tuneCommand() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "tune",
		Short: "Recommend settings of tapeline sync for this machine",
		Long: "Prints the settings that suit the cores and the memory of this machine and, with --store, the latency, the\n" +
			"computing and the memory that earlier syncs of a store measured. The output is a file that --config takes.\n" +
			"With sync.auto_tune, which is on by default, a sync takes them for what nobody has set.",
		Example: "  tapeline tune\n  tapeline tune --store market > tuned.yaml\n  tapeline sync --config tuned.yaml --store market",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			t, err := app.Tune(c.Context(), ingest.Defaults(), dir, s.logger())
			if err != nil {
				return err
			}
			return s.printResult(t, t.YAML)
		},
	}
	c.Flags().StringVar(&dir, "store", "", "store whose syncs were measured")
	return c
}
