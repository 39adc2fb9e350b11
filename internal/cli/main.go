package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/app"
	"github.com/tapeline/tapeline/internal/flow/spec"
)

// The exit codes.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitPartial     = 3
	exitInterrupted = 130
)

// exitError is an error with an exit code of its own; one without text was already printed.
type exitError struct {
	code int
	err  error
}

// Error returns the cause's text.
func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

// Unwrap returns the cause.
func (e *exitError) Unwrap() error { return e.err }

func usage(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// session is what all commands share.
type session struct {
	in       io.Reader
	out      io.Writer // results
	errors   *screen   // progress and problems
	parts    *app.Parts
	stateDir string
	json     bool
	quiet    bool
	verbose  bool
}

// Main runs the command line and returns the exit code.
func Main(args []string, extra ...connector.Connector) int {
	parts, err := app.NewParts(extra...)
	if err != nil {
		fmt.Fprintln(os.Stderr, "tapeline:", err)
		return exitFailed
	}
	s := &session{in: os.Stdin, out: os.Stdout, errors: newScreen(os.Stderr), parts: parts}
	parts.Watch = s.watch
	return s.execute(args)
}

func (s *session) execute(args []string) int {
	root := s.newRoot()
	root.SetArgs(args)
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.errors)
	err := root.ExecuteContext(context.Background())
	if err == nil {
		return exitOK
	}
	code := exitUsage // what no command returned is cobra's word about the arguments
	if exit, ok := errors.AsType[*exitError](err); ok {
		code = exit.code
	}
	if text := err.Error(); text != "" {
		fmt.Fprintln(s.errors, "tapeline:", text)
	}
	return code
}

func (s *session) newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "tapeline",
		Short: "Moves, transforms and keeps market data",
		Long: "Tapeline is a trading desk's data plane in one binary.\n\n" +
			"Start with:  tapeline copy prices.csv out.parquet\n" +
			"or:          tapeline new > flow.yaml && tapeline lint flow.yaml && tapeline run flow.yaml",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	flags := root.PersistentFlags()
	flags.StringVar(&s.stateDir, "state", ".tapeline", "folder of checkpoints, dead letters and history")
	flags.BoolVar(&s.json, "json", false, "print results as JSON")
	flags.BoolVarP(&s.quiet, "quiet", "q", false, "print no progress")
	flags.BoolVarP(&s.verbose, "verbose", "v", false, "print the engine's log")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage("%w", err) })
	for _, add := range s.commands() {
		s.markFailures(add)
		root.AddCommand(add)
	}
	return root
}

// markFailures gives errors of a command itself the exit code of a failure, and prints the problems
// of a document with their places.
func (s *session) markFailures(c *cobra.Command) {
	for _, child := range c.Commands() {
		s.markFailures(child)
	}
	run := c.RunE
	if run == nil {
		return
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		err := run(c, args)
		var exit *exitError
		if err == nil || errors.As(err, &exit) {
			return err
		}
		if unsound, ok := errors.AsType[*app.Unsound](err); ok {
			s.printProblems(unsound.Problems)
			return &exitError{exitFailed, nil}
		}
		return &exitError{exitFailed, err}
	}
}

// exactArgs is cobra.ExactArgs with the exit code of wrong usage and the command's use line.
func exactArgs(n int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != n {
			return usage("%s takes %s, got %d; usage: %s", c.Name(), plural(int64(n), "argument"), len(args), c.UseLine())
		}
		return nil
	}
}

// printJSON prints a result as indented JSON.
func (s *session) printJSON(v any) error {
	encoder := json.NewEncoder(s.out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

// load reads a document and prints its problems; a document with errors is not returned.
func (s *session) load(path string, set []string) (*spec.Document, error) {
	d, problems := spec.Load(path, spec.Options{Catalogue: s.parts, Set: set})
	for i := range problems {
		if d != nil && slices.Contains(d.Blocked, problems[i]) {
			problems[i].Severity = spec.Error // lint and explain only warn
		}
	}
	s.printProblems(problems)
	if d == nil || spec.Failed(problems) {
		return nil, &exitError{exitFailed, nil}
	}
	return d, nil
}

func (s *session) printProblems(problems []spec.Problem) {
	for _, p := range problems {
		fmt.Fprintln(s.errors, p)
	}
}
