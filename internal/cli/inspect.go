package cli

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/app"
	"github.com/tapeline/tapeline/internal/catalog"
	"github.com/tapeline/tapeline/internal/fault"
	"github.com/tapeline/tapeline/internal/flow/spec"
)

func (s *session) lintCommand() *cobra.Command {
	var set []string
	c := &cobra.Command{
		Use:   "lint FILE...",
		Short: "Check workflows and print every problem with its place",
		Long: "Checks documents without running them. Every problem is printed with file, line, column, " +
			"the text and\nwhat to write instead. Where the files of a source are there, expressions are " +
			"checked against their columns;\nno other system is asked. Unset environment variables are " +
			"warnings here.",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage("lint takes at least 1 argument, got 0; usage: %s", c.UseLine())
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			all := []spec.Problem{}
			for _, path := range args {
				all = append(all, s.lint(c.Context(), path, set)...)
			}
			if s.json {
				if err := s.printJSON(all); err != nil {
					return err
				}
			} else {
				s.printProblems(all)
			}
			if spec.Failed(all) {
				return &exitError{exitFailed, nil}
			}
			if !s.json && !s.quiet {
				fmt.Fprintf(s.errors, "%s: no errors\n", strings.Join(args, ", "))
			}
			return nil
		},
	}
	c.Flags().StringArrayVar(&set, "set", nil, "override a value of the document: path=value (repeatable)")
	return c
}

func (s *session) lint(ctx context.Context, path string, set []string) []spec.Problem {
	d, problems := spec.Load(path, spec.Options{Catalogue: s.parts, Set: set, AllowMissing: true})
	if d == nil {
		return problems
	}
	return spec.Merge(problems, s.parts.Check(ctx, d))
}

func (s *session) explainCommand() *cobra.Command {
	var format string
	var set []string
	c := &cobra.Command{
		Use:     "explain FILE",
		Short:   "Show the plan of a workflow: chains, expressions, guarantees",
		Example: "  tapeline explain flow.yaml\n  tapeline explain flow.yaml --format mermaid",
		Args:    exactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			d, problems := spec.Load(args[0],
				spec.Options{Catalogue: s.parts, Set: set, AllowMissing: true})
			s.printProblems(problems)
			if d == nil || spec.Failed(problems) {
				return &exitError{exitFailed, nil}
			}
			explained, problems := s.parts.Explain(c.Context(), d)
			if spec.Failed(problems) {
				s.printProblems(problems)
				return &exitError{exitFailed, nil}
			}
			switch {
			case s.json || format == "json":
				return s.printJSON(explained)
			case format == "mermaid":
				fmt.Fprint(s.out, explained.Mermaid())
			case format == "text":
				fmt.Fprint(s.out, explained.Text())
			default:
				return usage("format %q is none of text, json, mermaid", format)
			}
			return nil
		},
	}
	c.Flags().StringVar(&format, "format", "text", "text, json or mermaid")
	c.Flags().StringArrayVar(&set, "set", nil, "override a value of the document: path=value (repeatable)")
	return c
}

func (s *session) connectorsCommand() *cobra.Command {
	list := func() error {
		if s.json {
			return s.printJSON(app.Describe(s.parts))
		}
		for _, name := range s.parts.Connectors.Names() {
			c, _ := s.parts.Connectors.Get(name)
			fmt.Fprintf(s.out, "%-12s %-22s %s\n", name, abilities(c), c.Summary)
		}
		return nil
	}
	c := &cobra.Command{
		Use: "connectors [list|show NAME]", Short: "List connectors, or show one with its settings",
		Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error { return list() },
	}
	c.AddCommand(&cobra.Command{
		Use: "list", Short: "List connectors", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return list() },
	}, &cobra.Command{
		Use: "show NAME", Short: "Show a connector's settings and abilities", Args: exactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			page, ok := s.parts.ConnectorPage(args[0])
			if !ok {
				names := s.parts.Connectors.Names()
				if near := fault.Nearest(args[0], names); near != "" {
					return usage("no connector %q; did you mean %q?", args[0], near)
				}
				return usage("no connector %q; there are %s", args[0], strings.Join(names, ", "))
			}
			if s.json {
				for _, d := range app.Describe(s.parts) {
					if d.Name == args[0] {
						return s.printJSON(d)
					}
				}
			}
			fmt.Fprint(s.out, page)
			return nil
		},
	})
	return c
}

func abilities(c connector.Connector) string {
	var can []string
	if c.Source != nil {
		can = append(can, "source")
	}
	if c.Sink != nil {
		can = append(can, "sink")
	}
	if c.Lookup != nil {
		can = append(can, "lookup")
	}
	return strings.Join(can, ", ")
}

func (s *session) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of workflows, for editors", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(s.out, string(spec.Schema(s.parts)))
			return err
		},
	}
}

func (s *session) historyCommand() *cobra.Command {
	var limit int
	c := &cobra.Command{
		Use: "history [WORKFLOW]", Short: "List runs, newest first", Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) (err error) {
			engine, err := app.OpenEngine(s.parts, s.stateDir, s.logger())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, engine.Close()) }()
			workflow := ""
			if len(args) > 0 {
				workflow = args[0]
			}
			runs, err := engine.History(c.Context(), workflow, limit)
			if err != nil {
				return err
			}
			if s.json {
				return s.printJSON(append([]catalog.Run{}, runs...))
			}
			s.printHistory(runs)
			return nil
		},
	}
	c.Flags().IntVarP(&limit, "limit", "n", 20, "how many runs")
	return c
}

func (s *session) printHistory(runs []catalog.Run) {
	cells := make([][]string, len(runs))
	for i, r := range runs {
		took := "-"
		switch {
		case r.Status == catalog.Running:
			took = time.Since(r.Started).Round(10*time.Millisecond).String() + " so far"
		case !r.Finished.IsZero():
			took = r.Finished.Sub(r.Started).Round(10 * time.Millisecond).String()
		}
		cells[i] = []string{
			r.ID, r.Workflow, string(r.Status), r.Started.Local().Format(time.DateTime), took,
			count(r.RowsIn) + " in", count(r.RowsOut) + " out", count(r.DeadLetters) + " dead",
		}
	}
	for i, line := range aligned(cells, 4) {
		if why := oneLine(runs[i].Error, 100); why != "" {
			line += "  " + why
		}
		fmt.Fprintln(s.out, strings.TrimPrefix(line, "  "))
	}
}

func (s *session) docsCommand() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use: "docs", Short: "Write the reference pages made from the code", Args: cobra.NoArgs, Hidden: true,
		RunE: func(*cobra.Command, []string) error { return s.parts.WriteDocs(dir) },
	}
	c.Flags().StringVar(&dir, "out", "docs", "folder to write to")
	return c
}

func (s *session) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			version := "development"
			if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
				version = info.Main.Version
			}
			if s.json {
				return s.printJSON(map[string]string{"version": version})
			}
			_, err := fmt.Fprintln(s.out, "tapeline", version)
			return err
		},
	}
}
