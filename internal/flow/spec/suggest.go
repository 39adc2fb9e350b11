package spec

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tapeline/tapeline/internal/fault"
)

// didYouMean returns a hint: the nearest known word, else all of them when they are few.
func didYouMean(word string, known []string) string {
	if near := fault.Nearest(word, known); near != "" {
		return fmt.Sprintf("did you mean %s?", near)
	}
	known = slices.DeleteFunc(slices.Clone(known), func(s string) bool { return s == "" })
	switch {
	case len(known) == 0:
		return ""
	case len(known) > 24:
		return fmt.Sprintf("known: %s, ...", strings.Join(known[:24], ", "))
	}
	return "known: " + strings.Join(known, ", ")
}
