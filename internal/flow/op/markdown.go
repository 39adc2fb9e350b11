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
		"a keyed sink; each operator says how it treats them.\n\n")
	for _, name := range catalogue.Names() {
		declared, _ := catalogue.Get(name)
		fmt.Fprintf(&page, "- [%s](#%s): %s\n", name, name, declared.Summary)
	}
	for _, name := range catalogue.Names() {
		declared, _ := catalogue.Get(name)
		fmt.Fprintf(&page, "\n## %s\n\n%s\n\n%s\n", name, declared.Summary, declared.Doc)
		fmt.Fprintf(&page, "\n%s\n\n%s", declared.traits(), spec.Table(declared.Config))
	}
	return page.String()
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
