package cli

import (
	"cmp"
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/tapeline/tapeline/internal/app"
	"github.com/tapeline/tapeline/internal/flow/run"
	"github.com/tapeline/tapeline/internal/ingest"
)

func (s *session) repairCommand() *cobra.Command {
	var prices app.RepairPrices
	var request app.Repair
	c := &cobra.Command{
		Use:   "repair",
		Short: "Mend a market store, or a vendor's price files",
		Long: "With --store, what verify finds is mended: damaged segments are given up and their rows fetched " +
			"again, rows that\nbreak a rule, are missing or were restated are asked for again. No value is made up; " +
			"every value that changes\nis logged with old and new (dataset restatement). What the provider insists on " +
			"is left and listed.\n\n" +
			"With --prices, files of prices are repaired: prices in another unit, splits applied to some rows " +
			"only,\ndividends of the wrong size or day, adjusted prices that leave one out. What changes follows " +
			"from the file\nitself, and every changed cell is logged with old, new and rule. With --expect, what " +
			"comes out is compared\nwith files NAME-fixed.csv or NAME.csv of that folder; a file without such a twin " +
			"has to stay as it is.\n\nExit code 0: all is well; 1: it could not go on; 3: errors are left, or not " +
			"all is as expected.",
		Example: "  tapeline repair --store market --endpoint 127.0.0.1:10030 --dry-run\n" +
			"  tapeline repair --store market --endpoint 127.0.0.1:10030 --sample all\n" +
			"  tapeline repair --prices vendor --out repaired --expect vendor --json",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			switch {
			case (prices.In == "") == (request.Store == ""):
				return usage("repair: name what is to be repaired, by --store DIR or by --prices FILE or FOLDER")
			case prices.In != "":
				if name := changed(c, "dry-run", "symbols", "from", "to", "provider", "endpoint", "sample", "seed"); name != "" {
					return usage("repair: --%s is for a store; without --out, --prices only prints", name)
				}
				return s.repairPrices(c.Context(), prices)
			}
			if name := changed(c, "out", "expect"); name != "" {
				return usage("repair: --%s is for --prices", name)
			}
			return s.repairStore(c.Context(), request)
		},
	}
	s.verifyFlags(c, &request.Verify)
	f := c.Flags()
	f.BoolVar(&request.DryRun, "dry-run", false, "print what would be done to the store, and do nothing")
	f.StringVar(&prices.In, "prices", "", "file of prices, or folder of such files: .csv or .csv.gz")
	f.StringVar(&prices.Out, "out", "", "file or folder for what is repaired; default none: only print")
	f.StringVar(&prices.Expect, "expect", "", "folder of what is expected, for a score")
	return c
}

// changed returns the first of the flags that was given.
func changed(c *cobra.Command, names ...string) string {
	for _, name := range names {
		if c.Flags().Changed(name) {
			return name
		}
	}
	return ""
}

func (s *session) repairStore(ctx context.Context, request app.Repair) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	slow := s.slow()
	report, err := s.parts.Repair(ctx, request, s.stateDir, s.logger(), slow.step,
		func(w *run.Workflow, progress func() ingest.Progress) bool {
			slow.end()
			return s.follow(w, cancel, func() string { return progressNote(progress()) })
		})
	slow.end()
	if report == nil {
		return requestFault(err)
	}
	switch printed := s.printResult(report, report.Text); {
	case errors.Is(err, ingest.ErrInterrupted):
		return &exitError{exitInterrupted, ingest.ErrInterrupted}
	case err != nil || printed != nil:
		return cmp.Or(err, printed)
	case !report.Whole():
		return &exitError{exitPartial, nil}
	}
	return nil
}

func (s *session) repairPrices(ctx context.Context, prices app.RepairPrices) error {
	slow := s.slow()
	result, err := prices.Run(ctx, slow.step)
	slow.end()
	if err != nil {
		return requestFault(err)
	}
	if err := s.printResult(result, result.Text); err != nil {
		return err
	}
	switch {
	case result.Failed > 0:
		return &exitError{exitFailed, nil}
	case result.Equal < result.Scored:
		return &exitError{exitPartial, nil}
	}
	return nil
}
