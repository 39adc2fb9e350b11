package csv

import (
	"bytes"
	"math"

	"github.com/tapeline/tapeline/batch"
)

// Sniff guesses the dialect of the beginning of a file, the lines before its table, and whether
// the table's first record names its columns. data should be some ten to hundred records.
func Sniff(data []byte, whole bool) (Dialect, Preface) {
	best, bestScore := NewDialect(), -1.0
	returns := bytes.IndexByte(data, '\n') < 0 && bytes.IndexByte(data, '\r') >= 0
	best.Return = returns
	var bestCounts []int
	for _, quote := range []byte{'"', '\''} {
		for _, delimiter := range []string{",", ";", "\t", "|", ":", "^", "~", " "} {
			d := NewDialect()
			d.Delimiter, d.Quote, d.Escape, d.Return = delimiter, quote, quote, returns
			score, counts := d.fits(data, whole)
			if score > bestScore+1e-9 {
				best, bestScore, bestCounts = d, score, counts
			}
		}
	}
	if best.Quote == '"' && bytes.Contains(data, []byte(`\"`)) && !bytes.Contains(data, []byte(`\""`)) {
		best.Escape = '\\'
	}
	preface := Preface{Columns: mode(bestCounts)}
	preface.SkipRows = best.preamble(data, preface.Columns)
	preface.Header = best.headed(data, preface)
	return best, preface
}

// fits judges a dialect: how uniform the records are, and how many cells they have.
func (d *Dialect) fits(data []byte, whole bool) (score float64, counts []int) {
	const sampled = 500
	r := reader{dialect: d}
	enclosed, strays := 0, 0
	for at := 0; at < len(data) && len(counts) < sampled; {
		next, result := r.read(data, at, whole)
		if result == incomplete {
			break
		}
		if result == complete {
			counts = append(counts, len(r.cells))
			for _, c := range r.cells {
				if c.form == quoted {
					enclosed++
				}
			}
			if r.stray {
				strays++
			}
		}
		at = next
	}
	width := mode(counts)
	if width < 2 {
		return 0, counts
	}
	same := 0
	for _, n := range counts {
		if n == width {
			same++
		}
	}
	uniform := float64(same) / float64(len(counts))
	score = uniform * uniform * (1 + math.Log2(float64(width))/8)
	if enclosed > 0 {
		score += 0.05
	}
	if d.Delimiter == " " || d.Delimiter == ":" {
		score *= 0.6 // they occur within text and times
	}
	return score - float64(strays)/float64(len(counts)), counts
}

// mode returns the most frequent count, the larger of equals.
func mode(counts []int) int {
	times := map[int]int{}
	best := 0
	for _, n := range counts {
		times[n]++
		if times[n] > times[best] || times[n] == times[best] && n > best {
			best = n
		}
	}
	return best
}

// preamble returns how many lines come before the first record of the table's width.
func (d *Dialect) preamble(data []byte, width int) int {
	r := reader{dialect: d, columns: width}
	lines := 0
	for at := 0; at < len(data); {
		next, result := r.read(data, at, true)
		if result == complete && len(r.cells) == width {
			return lines
		}
		lines += bytes.Count(data[at:next], []byte{d.newline()})
		at = next
	}
	return 0
}

// headed judges whether the first record names columns: all texts are different and not empty, and
// they are no values of the types that the columns have without it.
func (d *Dialect) headed(data []byte, p Preface) bool {
	p.Header = true
	names, length, ok := p.Names(*d, data, true)
	if !ok || len(names) == 0 {
		return false
	}
	first := p
	first.Header = false
	_, start, _ := first.Names(*d, data, true)
	parser := NewParser(*d, len(names), Fit)
	head := parser.Parse(data[start:length], nil).Spans
	if head.Rows() == 0 {
		return false
	}
	seen := map[string]bool{}
	for i := range names {
		text, null, _ := head.Text(0, i, nil)
		if null || len(text) == 0 || seen[string(text)] {
			return false
		}
		seen[string(text)] = true
	}
	const sampled = 200
	rest := NewParser(*d, len(names), Fit).Parse(data[length:], nil).Spans
	headTypes, types := InferTypes(head, len(names), 1, false), InferTypes(rest, len(names), sampled, false)
	texts := true
	for i := range types {
		if headTypes[i].Kind != batch.String {
			return false
		}
		texts = texts && types[i].Kind == batch.String
	}
	return !texts || rest.Rows() == 0 || !repeats(head, rest, len(names))
}

// repeats reports whether a text of the first record occurs again in its column.
func repeats(head, rest *batch.Spans, columns int) bool {
	const sampled = 200
	for i := range columns {
		name, _, _ := head.Text(0, i, nil)
		for row := range min(rest.Rows(), sampled) {
			if text, null, _ := rest.Text(row, i, nil); !null && bytes.Equal(text, name) {
				return true
			}
		}
	}
	return false
}
