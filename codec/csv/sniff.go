package csv

import (
	"bytes"
	"math"

	"github.com/tapeline/tapeline/batch"
)

// Given is what is known about a dialect before the rest of it is guessed.
type Given struct {
	Dialect
	KeepDelimiter, KeepQuote bool // the dialect's are not guessed; an escape goes with its quote
}

// Sniff guesses the dialect of the beginning of a file, the lines before its table, and whether
// the table's first record names its columns. data should be some ten to hundred records.
func Sniff(given Given, data []byte, whole bool) (Dialect, Preface) {
	best, bestScore := given.Dialect, -1.0
	returns := bytes.IndexByte(data, '\n') < 0 && bytes.IndexByte(data, '\r') >= 0
	best.Return = returns
	var bestCounts []int
	for _, d := range given.candidates() {
		d.Return = returns
		score, counts := d.fits(data, whole)
		if score > bestScore+1e-9 {
			best, bestScore, bestCounts = d, score, counts
		}
	}
	if !given.KeepQuote && best.Quote == '"' &&
		bytes.Contains(data, []byte(`\"`)) && !bytes.Contains(data, []byte(`\""`)) {
		best.Escape = '\\'
	}
	preface := Preface{Columns: mode(bestCounts)}
	preface.SkipRows = best.preamble(data, preface.Columns)
	preface.Header = best.headed(data, preface)
	return best, preface
}

// candidates are the dialects to try, the likely ones first.
func (g Given) candidates() []Dialect {
	delimiters := []string{",", ";", "\t", "|", ":", "^", "~", " "}
	if g.KeepDelimiter {
		delimiters = []string{g.Delimiter}
	}
	var out []Dialect
	for _, quote := range []byte{'"', '\''} {
		for _, delimiter := range delimiters {
			d := g.Dialect
			d.Delimiter = delimiter
			if !g.KeepQuote {
				d.Quote, d.Escape = quote, quote
			}
			if len(d.Validate()) == 0 {
				out = append(out, d)
			}
		}
		if g.KeepQuote {
			break
		}
	}
	return out
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

// preamble returns how many lines come before the first record of the table's width, or of more:
// a header may be wider than most records are, what stands before a table is not.
func (d *Dialect) preamble(data []byte, width int) int {
	r := reader{dialect: d, columns: width}
	lines := 0
	for at := 0; at < len(data); {
		next, result := r.read(data, at, true)
		if result == complete && len(r.cells) >= width {
			return lines
		}
		lines += bytes.Count(data[at:next], []byte{d.newline()})
		at = next
	}
	return 0
}

// headed judges whether the first record names columns: its texts are no values of the types that
// the columns have without it, and they are different and not empty. One that repeats a name, or
// leaves one out as tables with an index do, still names columns where it differs in type from them.
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
	const sampled = 200
	rest := NewParser(*d, len(names), Fit).Parse(data[length:], nil).Spans
	headTypes, types := InferTypes(head, len(names), 1, false), InferTypes(rest, len(names), sampled, false)
	seen := map[string]bool{}
	distinct, texts := true, true
	for i := range names {
		text, null, _ := head.Text(0, i, nil)
		if null || len(text) == 0 || seen[string(text)] {
			distinct = false
			continue
		}
		seen[string(text)] = true
		if headTypes[i].Kind != batch.String {
			return false
		}
		texts = texts && types[i].Kind == batch.String
	}
	switch {
	case !texts:
		return true
	case !distinct:
		return false
	}
	return rest.Rows() == 0 || !repeats(head, rest, len(names))
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
