package cli

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/tapeline/tapeline/internal/app"
	"github.com/tapeline/tapeline/internal/flow/spec"
)

func (s *session) previewCommand() *cobra.Command {
	var rows int
	var set []string
	c := &cobra.Command{
		Use:   "preview FILE NODE",
		Short: "Show the first rows behind a node",
		Long: "Reads the sources before NODE until the first rows come out of it, and prints them. NODE " +
			"may be NODE.PORT;\nfor a destination it is what it would be given. Nothing is written.",
		Example: "  tapeline preview flow.yaml priced -n 5",
		Args:    exactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			if rows < 1 {
				return usage("-n %d is below 1", rows)
			}
			d, err := s.loadLoosely(args[0], set)
			if err != nil {
				return err
			}
			preview, err := s.parts.Preview(c.Context(), d, args[1], rows, s.logger())
			if faults := app.Faults(d, err); faults != nil {
				return &app.Unsound{Problems: faults}
			}
			if err != nil {
				return err
			}
			if s.json {
				return s.printJSON(preview)
			}
			s.printTable(preview)
			if preview.DeadLetters > 0 && !s.quiet {
				fmt.Fprintf(s.errors, "%s refused on the way:\n%s", plural(preview.DeadLetters, "row"),
					deadLines(preview.FirstDead))
			}
			return nil
		},
	}
	c.Flags().IntVarP(&rows, "rows", "n", 10, "how many rows")
	c.Flags().StringArrayVar(&set, "set", nil, "override a value of the document: path=value (repeatable)")
	return c
}

// loadLoosely reads a document of which some parts are not needed: unset variables are warnings.
func (s *session) loadLoosely(path string, set []string) (*spec.Document, error) {
	d, problems := spec.Load(path, spec.Options{Catalogue: s.parts, Set: set, AllowMissing: true})
	s.printProblems(problems)
	if d == nil || spec.Failed(problems) {
		return nil, &exitError{exitFailed, nil}
	}
	return d, nil
}

const widestCell = 40 // characters; longer cells are cut

// printTable prints aligned columns, names and types first.
func (s *session) printTable(p *app.Preview) {
	lines := [][]string{nil, nil}
	for _, c := range p.Columns {
		lines[0], lines[1] = append(lines[0], c.Name), append(lines[1], c.Type)
	}
	for _, row := range p.Cells {
		line := make([]string, len(row))
		for i, text := range row {
			line[i] = oneLine(text, widestCell)
		}
		lines = append(lines, line)
	}
	widths := make([]int, len(p.Columns))
	for _, line := range lines {
		for i, text := range line {
			if i < len(widths) {
				widths[i] = max(widths[i], utf8.RuneCountInString(text))
			}
		}
	}
	if len(p.Columns) == 0 {
		lines = nil
	}
	for _, line := range lines {
		var b strings.Builder
		for i, text := range line {
			b.WriteString(text)
			if i < len(line)-1 && i < len(widths) {
				b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text)+2))
			}
		}
		fmt.Fprintln(s.out, strings.TrimRight(b.String(), " "))
	}
	if len(p.Rows) == 0 {
		fmt.Fprintln(s.out, "no rows")
	}
}

// oneLine shows a text without line breaks, cut to so many characters.
func oneLine(text string, widest int) string {
	text = strings.NewReplacer("\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(text)
	if runes := []rune(text); len(runes) > widest {
		return string(runes[:widest-1]) + "…"
	}
	return text
}
