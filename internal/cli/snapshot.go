package cli

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tapeline/tapeline/internal/app"
	"github.com/tapeline/tapeline/internal/export"
)

func (s *session) snapshotCommand() *cobra.Command {
	var request app.Snapshot
	c := &cobra.Command{
		Use:   "snapshot",
		Short: "Write a market store as a folder of Parquet files that a notebook opens",
		Long: "Writes every dataset of a store as of one commit, also while a sync is writing: " +
			"read_parquet('OUT/bar_1d/**/*.parquet')\nis the table, with symbols as text. manifest.json says what " +
			"is in it, with checksums. The folder comes into\nbeing as a whole, or not at all.",
		Example: "  tapeline snapshot --store market --out snapshots/today\n" +
			"  tapeline snapshot --store market --out history --as-of 120 --layout hive",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			slow := s.slow()
			manifest, err := s.parts.Snapshot(ctx, request, slow.step, s.logger())
			slow.end()
			if ctx.Err() != nil && err != nil {
				return &exitError{exitInterrupted, errors.New("interrupted; nothing was left")}
			}
			if _, wrong := errors.AsType[*app.WishError](err); wrong {
				return &exitError{exitUsage, err}
			}
			if err != nil {
				return err
			}
			return s.printResult(manifest, func() string { return snapshotText(request.Out, manifest) })
		},
	}
	storeFlag(c, &request.Store)
	f := c.Flags()
	f.StringVar(&request.Out, "out", "", "folder to make")
	f.Int64Var(&request.AsOf, "as-of", 0, "sequence number of the commit to show; 0 is the newest")
	f.StringVar(&request.Layout, "layout", export.Plain, "plain: bar_1d/2024.parquet; hive: bar_1d/year=2024/bar_1d.parquet")
	f.BoolVar(&request.Force, "force", false, "replace a snapshot that is there")
	_ = c.MarkFlagRequired("out") // the flag is there
	return c
}

// snapshotText says what a snapshot holds.
func snapshotText(out string, m *export.SnapshotManifest) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s shows commit %d of %s: %s rows, %s, %.2f s\n", out, m.Sequence, m.Store, count(m.Rows),
		byteCount(m.Bytes), m.Seconds)
	for _, d := range m.Datasets {
		fmt.Fprintf(&b, "  %-12s %s rows in %s\n", d.Dataset, count(d.Rows), plural(int64(len(d.Files)), "file"))
	}
	return b.String()
}
