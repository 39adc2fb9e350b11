package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/tapeline/tapeline/internal/app"
)

func (s *session) repairCommand() *cobra.Command {
	var prices app.RepairPrices
	c := &cobra.Command{
		Use:   "repair",
		Short: "Undo faults of a vendor's price files",
		Long: "With --prices, files of prices are repaired: prices in another unit, splits applied to some rows " +
			"only,\ndividends of the wrong size or day, adjusted prices that leave one out. What changes follows " +
			"from the file\nitself, and every changed cell is logged with old, new and rule. With --expect, what " +
			"comes out is compared\nwith files NAME-fixed.csv or NAME.csv of that folder; a file without such a twin " +
			"has to stay as it is.\n\nExit code 0: done; 1: a file is no file of prices; 3: not all as expected.",
		Example: "  tapeline repair --prices bars.csv --out repaired.csv\n" +
			"  tapeline repair --prices vendor --out repaired --expect vendor --json",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if prices.In == "" {
				return usage("repair: name what is to be repaired by --prices FILE or FOLDER")
			}
			return s.repairPrices(c.Context(), prices)
		},
	}
	f := c.Flags()
	f.StringVar(&prices.In, "prices", "", "file of prices, or folder of such files: .csv or .csv.gz")
	f.StringVar(&prices.Out, "out", "", "file or folder for what is repaired; default none: only print")
	f.StringVar(&prices.Expect, "expect", "", "folder of what is expected, for a score")
	return c
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
