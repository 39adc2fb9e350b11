package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/tapeline/tapeline/internal/app"
	"github.com/tapeline/tapeline/internal/export"
	"github.com/tapeline/tapeline/internal/flow/spec"
)

func (s *session) exportCommand() *cobra.Command {
	var request app.Export
	var flags runFlags
	c := &cobra.Command{
		Use:   "export",
		Short: "Write a dataset of a market store to a file, or keep a folder of files up to date",
		Long: "Writes rows of a store, by symbol and then date, to a CSV, Parquet or Arrow file. With --as-of, as " +
			"they were\nafter a commit; with --adjust, with prices made comparable across dividends and splits. " +
			"Truth values are\n1 and 0 in CSV.\n\n" +
			"A folder (a path that ends in /, or is one) gets a file a year, year=2024/bar_1d.parquet, or with " +
			"--format ptrade\nthe files of that backtester. The next export into it rewrites only the files whose " +
			"rows changed; an\ninterrupted one goes on. manifest.json says what the folder shows.",
		Example: "  tapeline export --store market --dataset bar_1d --format csv --out bars.csv\n" +
			"  tapeline export --store market --out bars.parquet --symbols sh.600000 --from 2024-01-01 --adjust forward\n" +
			"  tapeline export --store market --dataset bar_1d --out bars/\n" +
			"  tapeline export --store market --format ptrade --out ptrade/",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if request.Folder() {
				if flags.report != "" {
					return usage("export: --json-report is for files; a folder's report is printed with --json")
				}
				return s.exportFolder(c.Context(), request)
			}
			text, err := s.parts.ExportDocument(c.Context(), request)
			if _, wrong := errors.AsType[*app.WishError](err); wrong {
				return usage("%w", err)
			}
			if err != nil {
				return err
			}
			d, problems := spec.Parse("export", []byte(text), spec.Options{Catalogue: s.parts})
			if d == nil || spec.Failed(problems) {
				return usage("%s", exportFaults(problems))
			}
			flags.fresh, flags.explain = true, exportFaults
			return s.runDocument(c.Context(), d, flags)
		},
	}
	storeFlag(c, &request.Store)
	f := c.Flags()
	f.StringVar(&request.Dataset, "dataset", "bar_1d", "dataset to write")
	f.StringVar(&request.Format, "format", "", "csv, parquet, arrow or ptrade; default by the suffix of --out, parquet for a folder")
	f.StringVar(&request.Out, "out", "", "file to write; a folder when it ends in / or is one")
	f.StringSliceVar(&request.Symbols, "symbols", nil, "only these instruments")
	f.StringVar(&request.From, "from", "", "first day")
	f.StringVar(&request.To, "to", "", "last day")
	f.Int64Var(&request.AsOf, "as-of", 0, "sequence number of the commit to read at; 0 is the newest")
	f.StringVar(&request.Adjust, "adjust", "", "prices across dividends and splits: none, forward or backward; default none")
	f.StringVar(&flags.report, "json-report", "", "write the run's report to this file")
	_ = c.MarkFlagRequired("out") // the flag is there
	return c
}

// exportFolder keeps a folder up to date; an interrupt ends after the file at hand.
func (s *session) exportFolder(ctx context.Context, request app.Export) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	report, err := s.parts.ExportFolder(ctx, request, s.showParts(), s.logger())
	if s.errors.terminal {
		s.errors.show(nil)
	}
	if _, wrong := errors.AsType[*app.WishError](err); wrong {
		return &exitError{exitUsage, err}
	}
	if report == nil {
		return err
	}
	if s.json {
		err = errors.Join(err, s.printJSON(report))
	} else if !s.quiet {
		fmt.Fprint(s.errors, exportText(report))
	}
	if err == nil && !report.Completed {
		return &exitError{exitInterrupted, fmt.Errorf("interrupted; export again to go on")}
	}
	return err
}

// showParts shows how many files are done, on a terminal.
func (s *session) showParts() func(done, parts int) {
	if s.quiet || !s.errors.terminal {
		return nil
	}
	return func(done, parts int) {
		s.errors.show([]string{fmt.Sprintf("export: %s of %s files", count(int64(done)), count(int64(parts)))})
	}
}

// exportText says in two lines what an export did to a folder.
func exportText(r *export.Report) string {
	var b strings.Builder
	state := "complete"
	if !r.Completed {
		state = "interrupted"
	}
	fmt.Fprintf(&b, "export %s %s: %s of %s written, %s removed, %s rows written of %s, %.2f s\n", r.Out, state,
		count(int64(r.Written)), plural(int64(r.Parts), "file"), count(int64(r.Removed)), count(r.RowsOut), count(r.Rows), r.Seconds)
	before := fmt.Sprintf("it showed commit %d", r.Before)
	if r.Before == 0 {
		before = "it was new"
	}
	fmt.Fprintf(&b, "  commit %d of %s (%s)\n", r.Sequence, r.Store, before)
	if r.Full != "" {
		fmt.Fprintf(&b, "  all files were compared: %s\n", r.Full)
	}
	if n := len(r.Omitted); n > 0 {
		fmt.Fprintf(&b, "  left out, as the layout has no name for them: %s: %s\n", plural(int64(n), "symbol"),
			strings.Join(r.Omitted[:min(n, 10)], ", "))
	}
	return b.String()
}

// exportFaults words the problems of an export's document, which nobody has seen.
func exportFaults(problems []spec.Problem) string {
	var lines []string
	for _, p := range problems {
		line := p.Message
		if p.Hint != "" {
			line += " (" + p.Hint + ")"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}
