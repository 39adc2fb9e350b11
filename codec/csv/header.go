package csv

import (
	"bytes"
	"fmt"
)

// Preface is what comes before the records of a file.
type Preface struct {
	SkipRows int  // lines before the header
	Header   bool // the next record names the columns
	Columns  int  // cells a record should have, 0 when unknown: it decides about stray quotes
}

// Names reads the preface at the beginning of data. It returns the column names, made unique, and
// the length of the preface; without a header the names are column_1, column_2, ... for as many
// cells as the first record has. ok false: data ends too early. Without any record names is nil.
func (p Preface) Names(d Dialect, data []byte, atEOF bool) (names []string, length int, ok bool) {
	at := 0
	for range p.SkipRows {
		n := bytes.IndexByte(data[at:], d.newline())
		if n < 0 {
			return nil, len(data), atEOF
		}
		at += n + 1
	}
	r := reader{dialect: &d, columns: p.Columns}
	for at < len(data) {
		next, result := r.read(data, at, atEOF)
		switch {
		case result == incomplete:
			return nil, 0, false
		case result == skipped:
			at = next
			continue
		case !p.Header:
			return numbered(len(r.cells)), at, true
		}
		return UniqueNames(cellTexts(&r, data)), next, true
	}
	return nil, at, atEOF
}

// cellTexts decodes the cells of the record just read.
func cellTexts(r *reader, data []byte) []string {
	p := NewParser(*r.dialect, len(r.cells), Reject)
	var record []byte
	for i, c := range r.cells {
		if i > 0 {
			record = append(record, r.dialect.Delimiter...)
		}
		record = p.appendCell(record, data, c)
	}
	spans := p.dialect.spans(len(r.cells))
	spans.Data, spans.Offsets = record, make([]uint32, len(r.cells)+1)
	p.respan(record, spans.Offsets, 0)
	texts := make([]string, len(r.cells))
	for i := range texts {
		text, _, _ := spans.Text(0, i, nil)
		texts[i] = string(text)
	}
	return texts
}

func numbered(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("column_%d", i+1)
	}
	return names
}

// UniqueNames names empty columns by their number and numbers repeated names: a, a_2, a_3.
func UniqueNames(names []string) []string {
	given := make(map[string]bool, len(names))
	for _, name := range names {
		given[name] = true
	}
	out := make([]string, len(names))
	taken, last := make(map[string]bool, len(names)), map[string]int{}
	for i, name := range names {
		if name == "" {
			name = fmt.Sprintf("column_%d", i+1)
		}
		unique := name
		for n := max(last[name], 1) + 1; taken[unique] || unique != name && given[unique]; n++ {
			unique = fmt.Sprintf("%s_%d", name, n)
			last[name] = n
		}
		taken[unique] = true
		out[i] = unique
	}
	return out
}

// Width returns how many cells most of the first records of data have, 0 when there are none.
func Width(d Dialect, data []byte, skipRows int) int {
	const sampled = 200
	for range skipRows {
		n := bytes.IndexByte(data, d.newline())
		if n < 0 {
			return 0
		}
		data = data[n+1:]
	}
	r := reader{dialect: &d}
	counts := map[int]int{}
	for at, records := 0, 0; at < len(data) && records < sampled; {
		next, result := r.read(data, at, false)
		if result == incomplete {
			if records > 0 {
				break
			}
			next, result = r.read(data, at, true)
		}
		if result == complete {
			counts[len(r.cells)]++
			records++
		}
		at = next
	}
	width := 0
	for cells, n := range counts {
		if n > counts[width] || n == counts[width] && cells > width {
			width = cells
		}
	}
	return width
}
