package cli

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tapeline/tapeline/internal/app"
)

func (s *session) testCommand() *cobra.Command {
	var set []string
	c := &cobra.Command{
		Use:   "test FILE",
		Short: "Run the tests declared in a workflow",
		Long: "Runs the tests: of a workflow without its sources and sinks. given: names the rows that " +
			"nodes yield;\nexpect: names the rows that must come out of nodes, ports, or dead_letter. " +
			"Rows are compared by the\ncolumns an expected row names, in any order. Types are those of " +
			"the node's schema, else they follow\nfrom the values.",
		Args: exactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			d, err := s.loadLoosely(args[0], set)
			if err != nil {
				return err
			}
			results, err := s.parts.RunTests(c.Context(), d, s.logger())
			if err != nil {
				return err
			}
			return s.printTests(results)
		},
	}
	c.Flags().StringArrayVar(&set, "set", nil, "override a value of the document: path=value (repeatable)")
	return c
}

func (s *session) printTests(results []app.TestResult) error {
	failed := 0
	for _, r := range results {
		if !r.Passed {
			failed++
		}
	}
	if s.json {
		if results == nil {
			results = []app.TestResult{}
		}
		if err := s.printJSON(results); err != nil {
			return err
		}
	} else {
		for _, r := range results {
			s.printTest(r)
		}
		fmt.Fprintf(s.out, "%d passed, %d failed\n", len(results)-failed, failed)
	}
	if failed > 0 {
		return &exitError{exitFailed, nil}
	}
	return nil
}

func (s *session) printTest(r app.TestResult) {
	if r.Passed {
		fmt.Fprintf(s.out, "ok    %s\n", r.Name)
		return
	}
	fmt.Fprintf(s.out, "FAIL  %s\n", r.Name)
	if r.Error != "" {
		fmt.Fprintf(s.out, "      %s\n", r.Error)
	}
	for _, d := range r.Differences {
		fmt.Fprintf(s.out, "      %s: %d rows missing (-), %d too much (+)\n",
			d.Node, len(d.Missing), len(d.Extra))
		if d.Reason != "" {
			fmt.Fprintf(s.out, "        %s\n", d.Reason)
		}
		s.printRows("-", d.Missing)
		s.printRows("+", d.Extra)
	}
}

func (s *session) printRows(mark string, rows []json.RawMessage) {
	const most = 20
	for i, row := range rows {
		if i == most {
			fmt.Fprintf(s.out, "        %s ... and %d more\n", mark, len(rows)-most)
			return
		}
		fmt.Fprintf(s.out, "        %s %s\n", mark, row)
	}
}
