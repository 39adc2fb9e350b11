package op

import (
	"fmt"
	"strings"

	"github.com/tapeline/tapeline/internal/flow/spec"
)

// Markdown returns the reference page of the catalogue's operators.
func Markdown(catalogue *Catalogue) string {
	var page strings.Builder
	page.WriteString("# Operators\n\n" +
		"The transformations of a workflow. This page is generated from their declarations " +
		"(`internal/flow/op`).\n\n" +
		"Rows that an operator cannot use go to the dead letters with a reason, or where the " +
		"node's `on_error` says. Row operations (insert, upsert, delete) are what a row means to " +
		"a keyed sink; each operator says how it treats them. The examples are run by a test; of dead " +
		"letters they show some columns.\n\n")
	for _, name := range catalogue.Names() {
		declared, _ := catalogue.Get(name)
		fmt.Fprintf(&page, "- [%s](#%s): %s\n", name, name, declared.Summary)
	}
	for _, name := range catalogue.Names() {
		declared, _ := catalogue.Get(name)
		fmt.Fprintf(&page, "\n## %s\n\n%s\n\n%s\n", name, declared.Summary, declared.Doc)
		fmt.Fprintf(&page, "\n%s\n\n%s", declared.traits(), spec.Table(declared.Config))
		if example, ok := Examples()[name]; ok {
			page.WriteString("\n" + example.markdown(name))
		}
	}
	return page.String()
}

// markdown shows the node, the rows it reads and the rows that come out.
func (e *Example) markdown(name string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Example:\n\n```yaml\n%s:\n  type: %s\n  inputs: [in]\n  config: %s\n```\n\n", name, name, e.Config)
	block := func(title string, rows []string) {
		for i, row := range rows {
			if i > 0 {
				title = ""
			}
			fmt.Fprintf(&b, "%-12s %s\n", title, row)
		}
	}
	b.WriteString("```\n")
	block("reads", e.Given)
	for _, out := range e.Gives {
		switch out.Port {
		case "":
			block("gives", out.Rows)
		case "dead_letter":
			block("dead letters", out.Rows)
		default:
			block("."+out.Port, out.Rows)
		}
	}
	b.WriteString("```\n")
	return b.String()
}

// traits says how the operator runs.
func (s *Spec) traits() string {
	var parts []string
	switch {
	case s.OrderedFor != nil:
		parts = append(parts, "Runs in parallel or in order, depending on its config")
	case s.Ordered:
		parts = append(parts, "Runs in order, one batch at a time")
	default:
		parts = append(parts, "Runs in parallel")
	}
	if s.RefusesOperations {
		parts = append(parts, "refuses upserts and deletes")
	}
	if s.Ports != nil {
		parts = append(parts, "has named outputs")
	}
	return strings.Join(parts, "; ") + "."
}
