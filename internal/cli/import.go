package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/tapeline/tapeline/internal/app"
	"github.com/tapeline/tapeline/internal/flow/run"
	"github.com/tapeline/tapeline/internal/intake"
)

func (s *session) importCommand() *cobra.Command {
	var request app.Import
	c := &cobra.Command{
		Use:   "import PATH...",
		Short: "Bring vendors' CSV, TDX or Parquet files into a market store",
		Long: "Reads files, globs and folders, and stores what they prove: rows of a dataset, and the days that have " +
			"rows.\nRows that do not read or break a rule of quality are quarantined with file, line and reason. A day " +
			"that\nanother source covers stays that source's, unless --replace is given. An import that was interrupted, or " +
			"killed,\nis run again: it reads the files from the start and writes only what is not stored yet. Exit code 3: " +
			"rows\nwere quarantined.",
		Example: "  tapeline import --store market --format tdx vipdoc\n" +
			"  tapeline import --store market --format csv --map date=日期,open=开盘 --volume-unit 100 --encoding gbk bars/*.csv\n" +
			"  tapeline import --store market --format csv --mapping vendor.yaml --source vendor bars.csv\n" +
			"  tapeline import --store copy --format parquet bars/",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage("import: no file is named")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			request.Paths = args
			return s.importFiles(c.Context(), request)
		},
	}
	storeFlag(c, &request.Store)
	f, m := c.Flags(), &request.Flags
	f.StringVar(&request.Format, "format", "", "csv, tdx or parquet")
	f.StringVar(&request.Dataset, "dataset", "bar_1d", "dataset to write")
	f.StringVar(&request.Source, "source", "", "name recorded as the origin of the rows; default the format")
	f.StringVar(&request.File, "mapping", "", "YAML file that says what the columns mean")
	f.StringSliceVar(&request.Map, "map", nil, "column of the dataset=column of the file (repeatable); default by usual names")
	f.StringVar(&m.Symbol, "symbol", "", "where the symbol is: column or file; default a column where there is one")
	f.StringVar(&m.Scheme, "scheme", "", "who writes symbols so: baostock, ptrade, tushare, ...; default any that names the exchange")
	f.StringVar(&m.Class, "class", "", "class of instruments whose symbols are digits alone: stock, index, etf, ...")
	f.Int64Var(&m.VolumeUnit, "volume-unit", 0, "shares per unit of volume: 1, or 100 for lots; default 1")
	f.Int64Var(&m.AmountUnit, "amount-unit", 0, "currency per unit of amount: 1, 1000 or 10000; default 1")
	f.StringVar(&m.Turn, "turn", "", "how the turnover rate is written: percent or fraction; default percent")
	f.BoolVar(&m.Round, "round", false, "round numbers to the dataset's digits instead of refusing them")
	f.StringVar(&m.Encoding, "encoding", "", "of CSV files: utf-8, gbk, ...; default utf-8")
	f.StringVar(&m.Delimiter, "delimiter", "", "of CSV files; default guessed")
	f.IntVar(&request.Digits, "price-digits", 0, "decimals of the prices in TDX files; default by the class of the instrument")
	f.StringVar(&request.Covers, "covers", "", "FROM..TO: you vouch that every session in it has its row; default only days with rows")
	f.BoolVar(&request.Replace, "replace", false, "let rows replace those of days that another source covers")
	_ = c.MarkFlagRequired("format") // the flag is there
	return c
}

// importFiles runs an import and chooses the exit code.
func (s *session) importFiles(ctx context.Context, request app.Import) error {
	engine, err := app.OpenEngine(s.parts, s.stateDir, s.logger())
	if err != nil {
		return err
	}
	defer engine.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	follow := func(w *run.Workflow, progress func() (int64, int)) bool {
		return s.follow(w, cancel, func() string {
			rows, inputs := progress()
			return fmt.Sprintf("%s rows of %s read", count(rows), plural(int64(inputs), "whole input"))
		})
	}
	report, interrupted, err := engine.Import(ctx, request, s.logger(), follow)
	if _, wrong := errors.AsType[*app.WishError](err); wrong {
		return &exitError{exitUsage, err}
	}
	if report == nil {
		return err
	}
	if s.json {
		err = errors.Join(err, s.printJSON(report))
	} else if !s.quiet {
		fmt.Fprint(s.errors, importText(report))
	}
	switch {
	case interrupted:
		return &exitError{exitInterrupted, errors.New("interrupted; import again: what is stored is not written twice")}
	case err != nil:
		return err
	case report.Quarantined > 0:
		return &exitError{exitPartial, fmt.Errorf("%s quarantined (tapeline export --store %s --dataset quarantine --out bad.csv)",
			plural(report.Quarantined, "row"), report.Store)}
	}
	return nil
}

// importText says what an import did.
func importText(r *intake.Report) string {
	var b strings.Builder
	fmt.Fprintf(&b, "import %s into %s: %s of %s, %s rows read, %.2f s, %s rows/s\n", r.Source, r.Dataset,
		plural(r.Symbols, "symbol"), plural(r.Files, "input"), count(r.Rows), r.Seconds, count(int64(r.PerSecond)))
	fmt.Fprintf(&b, "  rows      %s new, %s changed, %s stored already, %s kept of other sources, %s quarantined\n",
		count(r.New), count(r.Changed), count(r.Equal), count(r.Kept), count(r.Quarantined))
	fmt.Fprintf(&b, "  store     commit %d, was %d\n", r.Sequence, r.Before)
	if len(r.Ignored) > 0 {
		fmt.Fprintf(&b, "  ignored   columns %s\n", strings.Join(r.Ignored, ", "))
	}
	if r.Distrusted {
		fmt.Fprintf(&b, "  note      --covers does not count, as rows were refused whose day is not known; days with rows do\n")
	}
	for _, q := range r.First {
		fmt.Fprintf(&b, "  refused   %s: %s: %s\n", q.Place, q.Rule, oneLine(q.Reason, 200))
	}
	if more := r.Quarantined - int64(len(r.First)); more > 0 && len(r.First) > 0 {
		fmt.Fprintf(&b, "            and %s more\n", count(more))
	}
	return b.String()
}
