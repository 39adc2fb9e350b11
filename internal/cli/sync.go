package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/tapeline/tapeline/internal/app"
	"github.com/tapeline/tapeline/internal/flow/run"
	"github.com/tapeline/tapeline/internal/flow/spec"
	"github.com/tapeline/tapeline/internal/ingest"
)

// configFile is read where no other is named.
const configFile = "tapeline.yaml"

// syncFlags are the flags of sync. Those that were given go over environment and files.
type syncFlags struct {
	configs []string
	plan    bool
	report  string // file of the performance report
	sync    ingest.SyncConfig
}

func (s *session) syncCommand() *cobra.Command {
	var flags syncFlags
	c := &cobra.Command{
		Use:   "sync",
		Short: "Bring a market store up to date with a provider, and prove that nothing is missing",
		Long: "Compares the calendar and the listing life of the instruments with what the store covers, fetches " +
			"what is\nmissing, and proves afterwards that every session has its row. Interrupt it at any time: the " +
			"next sync goes\non at the first missing interval. Exit code 3: something is missing, and listed.\n\n" +
			"Settings come from flags, then from TAPELINE_SYNC_... variables, then from --config files or " +
			configFile + ".",
		Example: "  tapeline sync --store market --symbols sh.600000,sz.000001 --from 2024-01-01\n" +
			"  tapeline sync --store market --universe hs300 --plan\n" +
			"  tapeline sync --endpoint 127.0.0.1:10030 --store market --from 2020-01-01 --to 2024-06-28",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			config, err := s.syncConfig(c, flags)
			if err != nil {
				return err
			}
			if config.Sync.Store == "" {
				return usage("sync: no store is named; give --store DIR, or sync.store in %s", configFile)
			}
			if flags.plan {
				return s.previewSync(c.Context(), config)
			}
			return s.sync(c.Context(), config, flags.report)
		},
	}
	f := c.Flags()
	f.StringArrayVar(&flags.configs, "config", nil, "file of settings (repeatable, later ones win); default "+configFile+" where it is there")
	f.StringVar(&flags.report, "performance", "", "write the performance report to this file, in the form of performance.monitor.report_format")
	f.BoolVar(&flags.plan, "plan", false, "print what would be fetched, and fetch nothing")
	f.StringVar(&flags.sync.Provider, "provider", "", "who is asked; default baostock")
	f.StringVar(&flags.sync.Endpoint, "endpoint", "", "host:port of the provider, or URL where it is asked over HTTP; default its own")
	f.StringVar(&flags.sync.Store, "store", "", "folder of the store; made when missing")
	f.StringVar(&flags.sync.Universe, "universe", "", "all, hs300, sz50, zz500, or a file with a symbol a line; default all")
	f.StringSliceVar(&flags.sync.Symbols, "symbols", nil, "instruments, instead of a universe")
	f.StringVar(&flags.sync.From, "from", "", "first day; default 2015-01-01")
	f.StringVar(&flags.sync.To, "to", "", "last day; default the last whose rows are final")
	f.StringVar(&flags.sync.Freq, "freq", "", "length of a bar; default 1d")
	f.StringSliceVar(&flags.sync.Datasets, "datasets", nil, "what is kept; default bar_1d,adj_factor,calendar,instrument")
	return c
}

// syncConfig reads the settings: flags over environment over files.
func (s *session) syncConfig(c *cobra.Command, flags syncFlags) (ingest.Config, error) {
	files := flags.configs
	if len(files) == 0 {
		if _, err := os.Stat(configFile); err == nil {
			files = []string{configFile}
		}
	}
	config, problems := ingest.Load(files, spec.Options{})
	s.printProblems(problems)
	if spec.Failed(problems) {
		return config, &exitError{exitUsage, nil}
	}
	given, to := flags.sync, &config.Sync
	for name, set := range map[string]func(){
		"provider": func() { to.Provider = given.Provider }, "endpoint": func() { to.Endpoint = given.Endpoint },
		"store": func() { to.Store = given.Store }, "from": func() { to.From = given.From },
		"to": func() { to.To = given.To }, "datasets": func() { to.Datasets = given.Datasets },
		"symbols":  func() { to.Symbols = given.Symbols },
		"universe": func() { to.Universe, to.Symbols = given.Universe, nil },
	} {
		if c.Flags().Changed(name) {
			set()
		}
	}
	if c.Flags().Changed("symbols") && c.Flags().Changed("universe") {
		return config, usage("sync: give --symbols or --universe, not both")
	}
	if c.Flags().Changed("symbols") && len(given.Symbols) == 0 {
		return config, usage("sync: --symbols names none")
	}
	if c.Flags().Changed("freq") {
		if given.Freq != "1d" {
			return config, usage("sync: --freq %s: only 1d is kept so far", given.Freq)
		}
		to.Freq = given.Freq
	}
	return config, nil
}

// sync runs a sync and chooses the exit code.
func (s *session) sync(ctx context.Context, config ingest.Config, performance string) error {
	log := s.logger()
	engine, err := app.OpenEngine(s.parts, s.stateDir, log)
	if err != nil {
		return err
	}
	defer engine.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	follow := func(w *run.Workflow, progress func() ingest.Progress) bool {
		return s.follow(w, cancel, func() string { return progressNote(progress()) })
	}
	report, err := engine.Sync(ctx, config, log, follow)
	if report == nil {
		return requestFault(err)
	}
	if s.json {
		err = errors.Join(err, s.printJSON(report))
	} else if !s.quiet {
		fmt.Fprint(s.errors, report.Text())
	}
	if performance != "" {
		err = errors.Join(err, writePerformance(performance, config.Performance.Monitor.ReportFormat, report))
	}
	switch {
	case report.Status == ingest.StatusInterrupted:
		return &exitError{exitInterrupted, ingest.ErrInterrupted}
	case err != nil:
		return err
	case report.Status == ingest.StatusShort:
		return &exitError{exitPartial, shortOf(report)}
	}
	return nil
}

// writePerformance writes the performance report to a file.
func writePerformance(name, format string, report *ingest.Report) error {
	text := []byte(report.Performance.Text())
	if format == "json" {
		var err error
		if text, err = json.MarshalIndent(report.Performance, "", "  "); err != nil {
			return err
		}
		text = append(text, '\n')
	}
	const perm = 0o644
	if err := os.WriteFile(name, text, perm); err != nil {
		return fmt.Errorf("write the performance report: %w", err)
	}
	return nil
}

// requestFault gives a request that is impossible the exit code of wrong usage.
func requestFault(err error) error {
	if wrong, ok := errors.AsType[*ingest.RequestError](err); ok {
		return &exitError{exitUsage, wrong}
	}
	return err
}

// shortOf says in one line that data are missing.
func shortOf(r *ingest.Report) error {
	first := r.Missing[0]
	more := ""
	if n := len(r.Missing) - 1; n > 0 {
		more = fmt.Sprintf(" and %s more", count(int64(n)))
	}
	return fmt.Errorf("the store is short: %s%s (tapeline gaps --store %s)", first, more, r.Store)
}

// progressNote says how far a sync has come.
func progressNote(p ingest.Progress) string {
	note := fmt.Sprintf("%s of %s symbols, %s of %s requests", count(int64(p.SymbolsDone)), count(int64(p.Symbols)),
		count(int64(p.RequestsDone)), count(int64(p.Requests)))
	if p.Left > 0 {
		note += ", ETA " + p.Left.Round(time.Second).String()
	}
	return note
}

func (s *session) previewSync(ctx context.Context, config ingest.Config) error {
	preview, err := app.PreviewSync(ctx, config, s.logger())
	if err != nil {
		return requestFault(err)
	}
	if s.json {
		return s.printJSON(preview)
	}
	_, err = fmt.Fprint(s.out, preview.Text())
	return err
}

func (s *session) gapsCommand() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "gaps",
		Short: "List what is missing in a market store",
		Long: "Compares a store with all that syncs were asked to keep in it, and lists each session without a row " +
			"and why.\nIt asks no provider. Exit code 3: there are gaps.",
		Example: "  tapeline gaps --store market\n  tapeline gaps --store market --json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			gaps, err := app.Gaps(c.Context(), dir, s.logger())
			if err != nil {
				return err
			}
			if err := s.printResult(gaps, gaps.Text); err != nil {
				return err
			}
			if len(gaps.Missing) > 0 {
				return &exitError{exitPartial, nil}
			}
			return nil
		},
	}
	storeFlag(c, &dir)
	return c
}

// storeFlag adds the flag that names the store, which has to be given.
func storeFlag(c *cobra.Command, dir *string) {
	c.Flags().StringVar(dir, "store", "", "folder of the store")
	_ = c.MarkFlagRequired("store") // the flag is there
}

// printResult prints a value as JSON or as its text.
func (s *session) printResult(v any, text func() string) error {
	if s.json {
		return s.printJSON(v)
	}
	_, err := fmt.Fprint(s.out, text())
	return err
}
