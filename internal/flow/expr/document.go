package expr

import (
	_ "embed"
	"fmt"
	"strings"
)

// language is the hand-written part of the documentation.
//
//go:embed language.md
var language string

// Document returns docs/expressions.md: the language, then every function with its examples.
func Document() string {
	var b strings.Builder
	b.WriteString(language)
	group := ""
	for _, f := range Functions() {
		if f.Group != group {
			group = f.Group
			fmt.Fprintf(&b, "\n### %s\n", group)
		}
		fmt.Fprintf(&b, "\n`%s`  \n%s", f.Signature, f.Doc)
		if f.Volatile {
			b.WriteString(" Not deterministic: another run gives another value.")
		}
		b.WriteString("\n")
		for _, example := range f.Examples {
			result := example.Result
			if result == "" {
				result = "(empty)"
			}
			fmt.Fprintf(&b, "- `%s` gives `%s`\n", example.Expression, result)
		}
	}
	return b.String()
}
