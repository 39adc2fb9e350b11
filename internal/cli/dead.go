package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tapeline/tapeline/internal/app"
)

func (s *session) deadCommand() *cobra.Command {
	var replay bool
	var from, workflow string
	c := &cobra.Command{
		Use:   "dead RUN",
		Short: "List the rows a run could not use, or feed them again",
		Long: "Lists the dead letters of a run, named by the beginning of its id or by its workflow for " +
			"the last run.\n--replay feeds their rows again to the nodes that refused them, once each; " +
			"file sinks are appended to.\nTo repair rows first, write the list with --json-lines, edit " +
			"row and name the file with --from. Stateful\noperators begin the replay without state.",
		Example: "  tapeline dead orders --json-lines > rows.ndjson\n" +
			"  tapeline dead orders --replay --from rows.ndjson",
		Args: exactArgs(1),
	}
	lines := c.Flags().Bool("json-lines", false, "print one JSON object a line, as --from reads them")
	c.Flags().BoolVar(&replay, "replay", false, "feed the rows again")
	c.Flags().StringVar(&from, "from", "", "with --replay: file of repaired dead letters")
	c.Flags().StringVar(&workflow, "workflow", "", "with --replay: workflow file; default the recorded one")
	c.RunE = func(c *cobra.Command, args []string) (err error) {
		if (from != "" || workflow != "") && !replay {
			return usage("--from and --workflow need --replay")
		}
		engine, err := app.OpenEngine(s.parts, s.stateDir, s.logger())
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, engine.Close()) }()
		run, err := engine.FindRun(c.Context(), args[0])
		if err != nil {
			return err
		}
		if !replay {
			letters, err := engine.DeadLetters(run)
			if err != nil {
				return err
			}
			return s.printDead(letters, *lines)
		}
		request := app.Replay{Run: run, From: from, Log: s.logger()}
		if workflow != "" {
			if request.Document, err = s.load(workflow, nil); err != nil {
				return err
			}
		}
		result, err := engine.Replay(c.Context(), request)
		if result != nil && err == nil {
			return s.printReplayed(result)
		}
		return err
	}
	return c
}

func (s *session) printDead(letters []app.DeadLetter, lines bool) error {
	switch {
	case lines:
		encoder := json.NewEncoder(s.out)
		encoder.SetEscapeHTML(false)
		for _, l := range letters {
			if err := encoder.Encode(l); err != nil {
				return err
			}
		}
		return nil
	case s.json:
		if letters == nil {
			letters = []app.DeadLetter{}
		}
		return s.printJSON(letters)
	}
	for _, l := range letters {
		why := l.Reason
		if l.Column != "" {
			why = l.Column + ": " + why
		}
		row := string(l.Row)
		if row == "" {
			row = l.Text
		}
		mark := ""
		if l.Replayed {
			mark = " (replayed)"
		}
		fmt.Fprintf(s.out, "%-8s %s  %s  %s%s\n         %s\n", l.ID, l.Node, place(l), why, mark,
			strings.TrimRight(row, "\n"))
	}
	if !s.quiet {
		fmt.Fprintf(s.errors, "%s dead letters\n", count(int64(len(letters))))
	}
	return nil
}

func place(l app.DeadLetter) string {
	switch {
	case l.Line > 0:
		return fmt.Sprintf("%s:%d", l.Origin, l.Line)
	case l.Record > 0:
		return fmt.Sprintf("%s record %d", l.Origin, l.Record)
	case l.Origin == "":
		return "-"
	}
	return l.Origin
}

// printReplayed prints what was fed; rows that were refused again make the result partial.
func (s *session) printReplayed(r *app.Replayed) error {
	if s.json {
		if err := s.printJSON(r); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(s.out, "%s rows replayed, %s left\n", count(int64(r.Rows)), count(int64(len(r.Skipped))))
		for _, skipped := range r.Skipped {
			fmt.Fprintf(s.out, "  %-8s %s\n", skipped.ID, skipped.Reason)
		}
	}
	left := slices.ContainsFunc(r.Skipped, func(k app.Skipped) bool { return !k.Done })
	if left && (r.Report == nil || r.Report.DeadLetters == 0) {
		return &exitError{exitPartial, nil}
	}
	if r.Report != nil && r.Report.DeadLetters > 0 {
		return &exitError{exitPartial, fmt.Errorf("%d rows were refused again: see them with "+
			"`tapeline dead %s`", r.Report.DeadLetters, r.Report.Run)}
	}
	return nil
}
