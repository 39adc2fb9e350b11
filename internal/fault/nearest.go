package fault

import "strings"

// Nearest returns the known word that a misspelt one was meant to be, "" when none is near.
func Nearest(word string, known []string) string {
	best, limit := "", max(len(word)/3, 1)+1
	if len(word) > 64 { // too long to be a slip
		return ""
	}
	for _, candidate := range known {
		if d := distance(strings.ToLower(word), strings.ToLower(candidate)); d < limit && d < len(word) {
			best, limit = candidate, d
		}
	}
	return best
}

// distance returns the number of insertions, deletions, replacements and swaps of neighbours that
// turn a into b.
func distance(a, b string) int {
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
