package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/tapeline/tapeline/internal/app"
	"github.com/tapeline/tapeline/internal/flow/run"
	"github.com/tapeline/tapeline/internal/flow/spec"
)

// runFlags are the flags of run.
type runFlags struct {
	fresh, resume bool
	limit         int64
	set           []string
	report        string
	metrics       string
}

func (s *session) runCommand() *cobra.Command {
	var flags runFlags
	c := &cobra.Command{
		Use:   "run FILE",
		Short: "Run a workflow",
		Long: "Runs the workflow in FILE (- for standard input) until its sources end. An unfinished " +
			"run of the same\nname is taken up where it was committed last. Interrupt once to commit " +
			"and stop, twice to stop at once.",
		Example: "  tapeline run flow.yaml\n" +
			"  tapeline run flow.yaml --set sources.in.config.path=other.csv --json-report report.json",
		Args: exactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			d, err := s.load(args[0], flags.set)
			if err != nil {
				return err
			}
			return s.runDocument(c.Context(), d, flags)
		},
	}
	c.Flags().BoolVar(&flags.fresh, "fresh", false, "discard an unfinished run and all positions")
	c.Flags().BoolVar(&flags.resume, "resume", false, "only finish an unfinished run; nothing to do is success")
	c.Flags().Int64Var(&flags.limit, "limit", 0, "rows to read of each source; 0 reads all")
	c.Flags().StringArrayVar(&flags.set, "set", nil, "override a value of the document: path=value (repeatable)")
	c.Flags().StringVar(&flags.report, "json-report", "", "write the run's report to this file")
	c.Flags().StringVar(&flags.metrics, "metrics", "", "serve Prometheus metrics at this address, as 127.0.0.1:9464")
	c.MarkFlagsMutuallyExclusive("fresh", "resume")
	return c
}

func (s *session) runDocument(ctx context.Context, d *spec.Document, flags runFlags) error {
	engine, err := app.OpenEngine(s.parts, s.stateDir, s.logger())
	if err != nil {
		return err
	}
	defer engine.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if flags.metrics != "" {
		stop, err := s.serveMetrics(flags.metrics, engine.Metrics)
		if err != nil {
			return err
		}
		defer stop()
	}
	options := app.RunOptions{
		Options: run.Options{Fresh: flags.fresh, Resume: flags.resume}, Limit: flags.limit,
	}
	w, problems, err := engine.Start(ctx, d, options)
	if err != nil {
		return err
	}
	if problems != nil {
		s.printProblems(problems)
		return &exitError{exitFailed, nil}
	}
	interrupted := s.follow(w, cancel)
	report, err := w.Wait()
	return s.finish(report, err, interrupted, flags.report)
}

// follow prints progress until the run ends; the first signal drains, the second cancels.
func (s *session) follow(w *run.Workflow, cancel context.CancelFunc) (interrupted bool) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	progress := newProgress(s, w)
	defer progress.end()
	ticker := time.NewTicker(progress.interval())
	defer ticker.Stop()
	for {
		select {
		case <-w.Done():
			return interrupted
		case <-ticker.C:
			progress.show()
		case <-signals:
			if interrupted {
				cancel()
				continue
			}
			interrupted = true
			fmt.Fprintln(s.errors, "stopping: committing what was read (interrupt again to stop at once)")
			w.Drain()
		}
	}
}

// finish prints and stores the report and chooses the exit code.
func (s *session) finish(report run.Report, err error, interrupted bool, file string) error {
	if file != "" {
		data, encodeErr := json.MarshalIndent(report, "", "  ")
		if encodeErr == nil {
			encodeErr = os.WriteFile(file, append(data, '\n'), 0o644)
		}
		err = errors.Join(err, encodeErr)
	}
	if s.json {
		err = errors.Join(err, s.printJSON(report))
	} else if !s.quiet {
		s.printReport(report)
	}
	switch {
	case interrupted && report.Status != run.Completed:
		return &exitError{exitInterrupted, err}
	case err != nil:
		return err
	case report.Unasked > 0:
		return &exitError{exitPartial, fmt.Errorf("%d rows could not be used and are in the dead "+
			"letters: see them with `tapeline dead %s`, or accept them with on_error",
			report.Unasked, report.Run)}
	}
	return nil
}

// printReport prints the run's summary and one line a node.
func (s *session) printReport(r run.Report) {
	rate := 0.0
	if r.Seconds > 0 {
		rate = float64(r.RowsIn) / r.Seconds
	}
	fmt.Fprintf(s.errors, "%s %s: %s rows in, %s out, %.2f s, %s rows/s, %d checkpoints, %d dead letters\n",
		r.Workflow, r.Status, count(r.RowsIn), count(r.RowsOut), r.Seconds, count(int64(rate)),
		r.Checkpoints, r.DeadLetters)
	for _, n := range r.Nodes {
		fmt.Fprintf(s.errors, "  %-24s %-12s in %12s  out %12s  busy %8.2f s  blocked %8.2f s\n",
			n.ID, n.Type, count(n.RowsIn), count(n.RowsOut), n.BusySeconds, n.BlockedSeconds)
	}
}
