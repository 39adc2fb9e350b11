package cases

import (
	"slices"
	"strings"
)

// Score is Pollock's ten measures of a reading, 0 where the reader failed: success, then precision,
// recall and F1 of header, records and cells. Cells are compared exactly, NULL as the empty text; the
// original folds case, numbers and dates first.
func (c Case) Score(records [][]string, failed error) float64 {
	if failed != nil {
		return 0
	}
	if len(c.Want) == 0 {
		return 10
	}
	got := records
	if len(c.Parameters.Names) > 0 {
		got = append([][]string{c.Parameters.Names}, records...)
	}
	var header []string
	if len(got) > 0 {
		header = got[0]
	}
	return 1 + overlap(c.Want[0], header) + overlap(joined(c.Want), joined(got)) +
		overlap(slices.Concat(c.Want...), slices.Concat(got...))
}

// joined returns the records below the header, each as one text.
func joined(rows [][]string) (records []string) {
	for _, row := range rows[min(1, len(rows)):] {
		records = append(records, strings.Join(row, ""))
	}
	return records
}

// overlap is precision + recall + F1 of two multisets.
func overlap(want, got []string) float64 {
	if len(want) == 0 {
		return 3
	}
	count := map[string]int{}
	for _, text := range want {
		count[text]++
	}
	common := 0
	for _, text := range got {
		if count[text] > 0 {
			count[text]--
			common++
		}
	}
	if common == 0 {
		return 0
	}
	p, r := float64(common)/float64(len(want)), float64(common)/float64(len(got))
	return p + r + 2*p*r/(p+r)
}

// Means returns the mean of the scores of the cases, plain and weighted by name.
func Means(list []Case, scores []float64, weights map[string]float64) (simple, weighted float64) {
	var weight float64
	for i, c := range list {
		simple += scores[i] / float64(len(list))
		weighted += scores[i] * weights[c.Name]
		weight += weights[c.Name]
	}
	return simple, weighted / weight
}
