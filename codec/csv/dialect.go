package csv

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tapeline/tapeline/batch"
)

// Dialect says how delimited text spells cells and records. NewDialect gives the usual one.
type Dialect struct {
	Delimiter string   // between cells, one byte or more
	Quote     byte     // encloses cells; 0: none
	Escape    byte     // before a quote within quotes; equal to Quote when it is doubled; 0: doubled
	Comment   byte     // first byte of lines to skip; 0: none
	Return    bool     // records end with \r alone; else with \n or \r\n
	Trim      bool     // blanks around unquoted text do not belong to it
	Nulls     []string // unquoted texts that mean NULL; the first is written
}

// NewDialect returns the dialect of RFC 4180 in which an empty unquoted cell is NULL.
func NewDialect() Dialect {
	return Dialect{Delimiter: ",", Quote: '"', Escape: '"', Nulls: []string{""}}
}

// Validate returns all problems.
func (d *Dialect) Validate() []error {
	var problems []error
	special := func(name string, ch byte) {
		if ch == '\n' || ch == '\r' || ch >= 0x80 {
			problems = append(problems, fmt.Errorf("%s: %q cannot be used", name, ch))
		}
		if ch != 0 && strings.IndexByte(d.Delimiter, ch) >= 0 {
			problems = append(problems, fmt.Errorf("%s: %q is part of the delimiter", name, ch))
		}
	}
	if d.Delimiter == "" || strings.ContainsAny(d.Delimiter, "\r\n") {
		problems = append(problems, errors.New("delimiter: want at least one character, no line end"))
	}
	special("quote", d.Quote)
	if d.Escape != d.Quote {
		special("escape", d.Escape)
	}
	special("comment", d.Comment)
	if d.Quote != 0 && d.Comment == d.Quote {
		problems = append(problems, fmt.Errorf("comment: %q is the quote", d.Comment))
	}
	if slices.ContainsFunc(d.Nulls, func(null string) bool { return strings.ContainsAny(null, "\r\n") }) {
		problems = append(problems, errors.New("null_values: line ends cannot be used"))
	}
	return problems
}

// newline returns the byte that ends records and counts as line end.
func (d *Dialect) newline() byte {
	if d.Return {
		return '\r'
	}
	return '\n'
}

func (d *Dialect) escape() byte {
	if d.Escape == 0 {
		return d.Quote
	}
	return d.Escape
}

// special returns whether data holds a byte that only the careful reader understands. To the fast
// path a doubled quote is an escaped one, whatever the escape.
func (d *Dialect) special(data []byte) bool {
	has := func(ch byte) bool { return ch != 0 && bytes.IndexByte(data, ch) >= 0 }
	escapes := d.escape() != d.Quote
	return len(d.Delimiter) > 1 || has(d.Comment) || escapes && has(d.escape()) ||
		(escapes || d.Trim) && has(d.Quote)
}

// spans returns empty spans of records with the given number of cells.
func (d *Dialect) spans(columns int) batch.Spans {
	return batch.Spans{
		Stride: columns + 1, Step: 1, Gap: uint32(len(d.Delimiter)), Syntax: batch.Quoted,
		Quote: d.Quote, Escape: d.escape(), Trim: d.Trim, Nulls: d.Nulls,
	}
}

// lineEnd returns the length of the record end at data[i:], 0 when there is none.
func (d *Dialect) lineEnd(data []byte, i int) int {
	switch {
	case d.Return:
		if data[i] == '\r' {
			return 1
		}
	case data[i] == '\n':
		return 1
	case data[i] == '\r' && i+1 < len(data) && data[i+1] == '\n':
		return 2
	}
	return 0
}
