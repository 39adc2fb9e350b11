package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
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
	// explain words problems of a document that the command made: its places tell the user nothing.
	// nil: they are printed with their places.
	explain func([]spec.Problem) string
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
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
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
		if flags.explain != nil {
			return usage("%s", flags.explain(problems))
		}
		s.printProblems(problems)
		return &exitError{exitFailed, nil}
	}
	interrupted := s.follow(w, cancel, nil)
	report, err := w.Wait()
	if flags.explain == nil {
		if faults := app.Faults(d, err); faults != nil {
			s.printProblems(faults)
			err = &exitError{exitFailed, nil}
		}
	}
	return s.finish(report, err, interrupted, flags)
}

// errInterrupted ends a run at the second interrupt.
var errInterrupted = errors.New("interrupted")

// follow prints progress, with a note of the command's own, until the run ends; the first signal
// drains, the second cancels.
func (s *session) follow(w *run.Workflow, cancel context.CancelCauseFunc, note func() string) (interrupted bool) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	progress := newProgress(s, w)
	progress.note = note
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
				cancel(errInterrupted)
				continue
			}
			interrupted = true
			fmt.Fprintln(s.errors, "stopping: committing what was read (interrupt again to stop at once)")
			w.Drain()
		}
	}
}

// finish prints and stores the report and chooses the exit code.
func (s *session) finish(report run.Report, err error, interrupted bool, flags runFlags) error {
	if flags.report != "" {
		data, encodeErr := json.MarshalIndent(report, "", "  ")
		if encodeErr == nil {
			encodeErr = os.WriteFile(flags.report, append(data, '\n'), 0o644)
		}
		err = errors.Join(err, encodeErr)
	}
	switch {
	case s.json:
		err = errors.Join(err, s.printJSON(report))
	case s.quiet:
	case flags.resume && report.Checkpoints == 0 && report.Status == run.Completed:
		fmt.Fprintf(s.errors, "%s: there is no unfinished run, so nothing was read\n", report.Workflow)
	default:
		s.printReport(report)
	}
	switch {
	case interrupted && report.Status != run.Completed:
		return &exitError{exitInterrupted, stopped(report, err)}
	case err != nil && len(report.FirstDead) > 0:
		return errors.Join(err, partial(report)) // it may be why nothing worked
	case err != nil:
		return err
	case report.Unasked > 0:
		return &exitError{exitPartial, partial(report)}
	}
	return nil
}

// stopped says where an interrupted run goes on.
func stopped(r run.Report, err error) error {
	text := fmt.Errorf("interrupted before the first checkpoint; run it again to start over")
	if r.Checkpoint.Epoch > 0 {
		text = fmt.Errorf("interrupted; run it again to go on behind checkpoint %d", r.Checkpoint.Epoch)
	}
	if err != nil && !errors.Is(err, errInterrupted) && !errors.Is(err, context.Canceled) {
		return errors.Join(err, text)
	}
	return text
}

// partial tells of rows that nobody asked to be dead letters, with the first of them.
func partial(r run.Report) error {
	more := ""
	if n := r.Unasked - int64(len(r.FirstDead)); n > 0 && len(r.FirstDead) > 0 {
		more = fmt.Sprintf("  ... and %s more\n", count(n))
	}
	return fmt.Errorf("%s could not be used:\n%s%sThey are dead letters: see them with `tapeline dead %s`, "+
		"or accept them with on_error", plural(r.Unasked, "row"), deadLines(r.FirstDead), more, r.Run)
}

// deadLines writes a line for each row that could not be used.
func deadLines(dead []run.DeadExample) string {
	var b strings.Builder
	for _, d := range dead {
		at := d.Node
		if d.Place != "" {
			at += " " + d.Place
		}
		fmt.Fprintf(&b, "  %s: %s\n", at, oneLine(d.Reason, 160))
	}
	return b.String()
}

// printReport prints the run's summary and one line a node.
func (s *session) printReport(r run.Report) {
	rate := 0.0
	if r.Seconds > 0 {
		rate = float64(r.RowsIn-r.RowsResumed) / r.Seconds
	}
	resumed := ""
	if r.RowsResumed > 0 {
		resumed = fmt.Sprintf(" (%s before)", count(r.RowsResumed))
	}
	fmt.Fprintf(s.errors, "%s %s: %s rows in%s, %s out, %.2f s, %s rows/s, %s, %s\n",
		r.Workflow, r.Status, count(r.RowsIn), resumed, count(r.RowsOut), r.Seconds, count(int64(rate)),
		plural(r.Checkpoints, "checkpoint"), plural(r.DeadLetters, "dead letter"))
	if r.RowsIn == 0 {
		return
	}
	cells := make([][]string, len(r.Nodes))
	for i, n := range r.Nodes {
		cells[i] = []string{
			n.ID, n.Type, count(n.RowsIn) + " in", count(n.RowsOut) + " out",
			fmt.Sprintf("busy %.2f s", n.BusySeconds), fmt.Sprintf("blocked %.2f s", n.BlockedSeconds),
		}
	}
	for _, line := range aligned(cells, 2) {
		fmt.Fprintln(s.errors, line)
	}
}
