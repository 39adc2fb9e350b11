package spec

import (
	"fmt"
	"slices"
	"strings"
)

// Suggest returns the known word nearest to the given one, "" when none is near.
func Suggest(word string, known []string) string {
	best, distance := "", max(len(word)/3, 1)+1
	if len(word) > 64 { // too long to be a slip
		return ""
	}
	for _, candidate := range known {
		if d := Distance(strings.ToLower(word), strings.ToLower(candidate)); d < distance && d < len(word) {
			best, distance = candidate, d
		}
	}
	return best
}

// Distance returns the number of insertions, deletions, replacements and swaps of neighbours that
// turn a into b.
func Distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	before, last, row := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(x); i++ {
		row[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(y)]
}

// didYouMean returns a hint: the nearest known word, else all of them when they are few.
func didYouMean(word string, known []string) string {
	if near := Suggest(word, known); near != "" {
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
