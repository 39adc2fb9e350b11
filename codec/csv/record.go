package csv

import (
	"bytes"
	"fmt"

	"github.com/tapeline/tapeline/batch"
)

// form is how a cell of a record is written.
type form uint8

const (
	plain   form = iota
	quoted       // enclosed, every quote inside escaped
	loose        // enclosed, with lone quotes inside
	literal      // begins with a quote that encloses nothing
)

type cell struct {
	start, end int
	form       form
}

// reader reads one record at a time, with everything that the fast path leaves out: delimiters of
// several bytes, escapes, comments, blanks, and quotes that are not well-formed.
type reader struct {
	dialect *Dialect
	columns int // a record should have; 0: unknown
	cells   []cell
	stray   bool // the record is not well-formed and must be written anew
	open    bool // no line end was read after the record
}

// status says what the reader found.
type status uint8

const (
	complete   status = iota
	skipped           // an empty or comment line
	incomplete        // the record may go on after the data
)

// read reads the record at data[at:] and returns where the next one begins.
//
// A quote that opens a cell must have its closing quote before a cell's end. Where it does not,
// the record is read again in the two ways such text comes about: lone quotes within a quoted
// cell, then a quote that is text. The first way that gives the right number of cells is taken;
// else the second.
func (r *reader) read(data []byte, at int, atEOF bool) (next int, result status) {
	d := r.dialect
	r.stray = false
	if d.Comment != 0 && data[at] == d.Comment {
		return r.skipLine(data, at, atEOF)
	}
	if n := d.lineEnd(data, at); n > 0 && r.columns != 1 {
		return at + n, skipped
	}
	next, bad, ok := r.parse(data, at, len(data), quoted)
	switch {
	case ok:
		if r.open && !atEOF {
			return at, incomplete
		}
		return next, complete
	case bad.end < 0 && !atEOF:
		return at, incomplete
	}
	r.stray = true
	if bad.end >= 0 {
		limit, found := r.lineAfter(data, bad.end)
		if !found && !atEOF {
			return at, incomplete
		}
		if next, _, ok := r.parse(data, at, limit, loose); ok &&
			(len(r.cells) == r.columns || r.columns == 0) {
			return next, complete
		}
	}
	limit, found := r.lineAfter(data, bad.start)
	if !found && !atEOF {
		return at, incomplete
	}
	next, _, _ = r.parse(data, at, limit, literal)
	return next, complete
}

func (r *reader) skipLine(data []byte, at int, atEOF bool) (int, status) {
	limit, found := r.lineAfter(data, at)
	if !found && !atEOF {
		return at, incomplete
	}
	return limit, skipped
}

// lineAfter returns the offset after the next line end, or the end of the data.
func (r *reader) lineAfter(data []byte, at int) (int, bool) {
	n := bytes.IndexByte(data[at:], r.dialect.newline())
	if n < 0 {
		return len(data), false
	}
	return at + n + 1, true
}

// parse reads the cells of the record at data[at:limit]. ok false says that a quoted cell is not
// well-formed: bad is from its opening quote to the quote that should have closed it, which is -1
// when there is none.
func (r *reader) parse(data []byte, at, limit int, mode form) (next int, bad cell, ok bool) {
	d := r.dialect
	data = data[:limit]
	r.cells, r.open = r.cells[:0], false
	for {
		c := cell{start: at}
		begin := at
		if d.Trim {
			begin = skipBlanks(data, at)
		}
		if d.Quote != 0 && begin < limit && data[begin] == d.Quote {
			end, close := r.enclosed(data, begin, mode)
			switch {
			case end >= 0:
				c.end, c.form = end, mode
				if mode == literal {
					c.form = quoted
				}
			case mode == quoted:
				return 0, cell{start: begin, end: close}, false
			default:
				c.form = literal
			}
		}
		if c.form == plain || c.form == literal {
			c.end = r.unenclosed(data, at)
		}
		r.cells = append(r.cells, c)
		at = c.end
		if at >= limit {
			r.open = true
			return limit, cell{}, true
		}
		if n := d.lineEnd(data, at); n > 0 {
			return at + n, cell{}, true
		}
		if data[at] == '\r' && at+1 == limit && !d.Return {
			r.open = true // the file may end with \r
			return limit, cell{}, true
		}
		at += len(d.Delimiter)
	}
}

func skipBlanks(data []byte, at int) int {
	for at < len(data) && (data[at] == ' ' || data[at] == '\t') {
		at++
	}
	return at
}

// atEnd reports whether a cell may end at data[i].
func (r *reader) atEnd(data []byte, i int) bool {
	d := r.dialect
	if i >= len(data) || d.lineEnd(data, i) > 0 || hasPrefix(data[i:], d.Delimiter) {
		return true
	}
	return data[i] == '\r' && i+1 == len(data)
}

func hasPrefix(data []byte, prefix string) bool {
	return len(data) >= len(prefix) && string(data[:len(prefix)]) == prefix
}

// enclosed returns the end of the cell whose opening quote is data[at], -1 when it is not
// well-formed: then close is the offset of the quote that should have closed it, or -1.
func (r *reader) enclosed(data []byte, at int, mode form) (end, close int) {
	d := r.dialect
	escape := d.escape()
	for i := at + 1; i < len(data); i++ {
		ch := data[i]
		switch {
		case ch == escape && i+1 < len(data) && (data[i+1] == d.Quote || data[i+1] == escape):
			i++
		case ch == d.Quote:
			end := i + 1
			if d.Trim {
				if blank := skipBlanks(data, end); r.atEnd(data, blank) {
					end = blank
				}
			}
			if r.atEnd(data, end) {
				return end, i
			}
			if mode != loose {
				return -1, i
			}
		}
	}
	return -1, -1
}

// unenclosed returns the end of the unquoted cell at data[at:].
func (r *reader) unenclosed(data []byte, at int) int {
	d := r.dialect
	escape := d.escape()
	for i := at; i < len(data); i++ {
		switch ch := data[i]; {
		case ch == escape && escape != d.Quote:
			i++
		case ch == d.Delimiter[0] && hasPrefix(data[i:], d.Delimiter),
			(ch == '\n' || ch == '\r') && r.atEnd(data, i):
			return i
		}
	}
	return len(data)
}

// record reads one record carefully, adds it as a row or rejects it, and returns where the next
// one begins.
func (p *Parser) record(data []byte, at int) int {
	r := &p.reader
	next, result := r.read(data, at, true)
	if result == skipped {
		return next
	}
	if len(r.cells) != p.columns {
		short := len(r.cells) < p.columns
		if short && p.ragged != Pad && p.ragged != Fit || !short && p.ragged != Truncate && p.ragged != Fit {
			p.reject(data, at, next, fmt.Sprintf("%d cells, want %d", len(r.cells), p.columns))
			return next
		}
		r.stray = true
		r.cells = r.cells[:min(len(r.cells), p.columns)]
	}
	for _, c := range r.cells {
		must := c.form == plain && p.mustQuote(data[c.start:c.end])
		p.clean = p.clean && c.form == plain && !must
		// Blanks after a closing quote would belong to the text.
		r.stray = r.stray || must || p.dialect.Trim && c.form == quoted
	}
	p.reserveRow()
	off := p.offsets[p.n : p.n+p.columns+1]
	p.n += p.columns + 1
	for i := range off {
		off[i] = uint32(at)
	}
	if !r.stray {
		for i, c := range r.cells {
			off[i] = uint32(c.start)
			off[i+1] = uint32(c.end + len(p.dialect.Delimiter))
		}
		return next
	}
	from := len(p.text)
	for i := range p.columns {
		if i > 0 {
			p.text = append(p.text, p.dialect.Delimiter...)
		}
		if i < len(r.cells) {
			p.text = p.appendCell(p.text, data, r.cells[i])
		}
	}
	p.rewrites = append(p.rewrites, rewrite{row: p.n/(p.columns+1) - 1, from: from, to: len(p.text)})
	return next
}

// mustQuote reports whether unquoted text has bytes that the dialect gives a meaning elsewhere.
func (p *Parser) mustQuote(text []byte) bool {
	d := &p.dialect
	return d.Quote != 0 && (bytes.IndexByte(text, d.Quote) >= 0 ||
		d.escape() != d.Quote && bytes.IndexByte(text, d.escape()) >= 0 ||
		d.Return && bytes.IndexByte(text, '\n') >= 0)
}

func (p *Parser) reserveRow() {
	if need := p.n + p.columns + 1; need > len(p.offsets) {
		grown := make([]uint32, max(2*len(p.offsets), 4096)+p.columns+1)
		copy(grown, p.offsets[:p.n])
		p.offsets = grown
	}
}

func (p *Parser) reject(data []byte, at, next int, reason string) {
	const shown = 64 << 10
	record := bytes.TrimRight(data[at:next], "\r\n")
	if len(record) > shown {
		record = record[:shown]
	}
	p.rejectLine += int64(bytes.Count(data[p.rejectAt:at], []byte{p.dialect.newline()}))
	p.rejectAt = at
	p.rejected = append(p.rejected, Rejected{
		Line: p.rejectLine, Reason: reason, Record: string(record),
	})
}

// appendCell appends a cell of a record that is written anew.
func (p *Parser) appendCell(dst, data []byte, c cell) []byte {
	d := &p.dialect
	raw := data[c.start:c.end]
	switch c.form {
	case quoted:
		if d.Trim {
			raw = bytes.Trim(raw, " \t")
		}
		return append(dst, raw...)
	case loose:
		raw = bytes.Trim(raw, " \t")
		return appendQuoted(dst, decodeLoose(raw[1:len(raw)-1], d), d)
	case plain:
		if !p.mustQuote(raw) {
			return append(dst, raw...)
		}
	}
	if d.Trim {
		raw = bytes.Trim(raw, " \t")
	}
	return appendQuoted(dst, unescape(raw, d), d)
}

// decodeLoose resolves the escapes of a quoted cell's inner bytes; lone quotes stay.
func decodeLoose(inner []byte, d *Dialect) []byte {
	escape := d.escape()
	out := make([]byte, 0, len(inner))
	for i := 0; i < len(inner); i++ {
		if inner[i] == escape && i+1 < len(inner) && (inner[i+1] == d.Quote || inner[i+1] == escape) {
			i++
		}
		out = append(out, inner[i])
	}
	return out
}

// unescape resolves the escapes of unquoted text: the escape stays where it escapes nothing.
func unescape(raw []byte, d *Dialect) []byte {
	escape := d.escape()
	if escape == d.Quote || bytes.IndexByte(raw, escape) < 0 {
		return raw
	}
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		if raw[i] == escape && i+1 < len(raw) {
			if next := raw[i+1]; next == d.Quote || next == escape || next == d.Delimiter[0] ||
				next == '\n' || next == '\r' {
				i++
			}
		}
		out = append(out, raw[i])
	}
	return out
}

// appendQuoted appends text as a quoted cell.
func appendQuoted(dst, text []byte, d *Dialect) []byte {
	dst = append(dst, d.Quote)
	for {
		i := bytes.IndexByte(text, d.Quote)
		if escape := d.escape(); escape != d.Quote {
			if k := bytes.IndexByte(text, escape); k >= 0 && (i < 0 || k < i) {
				i = k
			}
		}
		if i < 0 {
			break
		}
		dst = append(dst, text[:i]...)
		dst = append(dst, d.escape(), text[i])
		text = text[i+1:]
	}
	return append(append(dst, text...), d.Quote)
}

// rewrite gives the spans memory in which the records of p.rewrites are well-formed.
func (p *Parser) rewrite(spans *batch.Spans) {
	stride := spans.Stride
	data := make([]byte, 0, len(spans.Data)+len(p.text)+1)
	next := 0
	for row := range spans.Rows() {
		off := spans.Offsets[row*stride : (row+1)*stride]
		base := len(data)
		if next < len(p.rewrites) && p.rewrites[next].row == row {
			w := p.rewrites[next]
			next++
			data = append(append(data, p.text[w.from:w.to]...), p.dialect.newline())
			p.respan(data[base:], off, base)
			continue
		}
		first := off[0]
		data = append(append(data, spans.Data[first:off[stride-1]-spans.Gap]...),
			p.dialect.newline())
		for i := range off {
			off[i] = off[i] - first + uint32(base)
		}
	}
	spans.Data = data
}

// respan sets the offsets of a record that was written anew.
func (p *Parser) respan(record []byte, off []uint32, base int) {
	d := &p.dialect
	r := reader{dialect: &Dialect{
		Delimiter: d.Delimiter, Quote: d.Quote, Escape: d.Escape, Trim: d.Trim, Return: d.Return,
	}, cells: p.reader.cells}
	r.parse(record, 0, len(record), quoted)
	for i, c := range r.cells {
		off[i] = uint32(base + c.start)
		off[i+1] = uint32(base + c.end + len(d.Delimiter))
	}
	p.reader.cells = r.cells
}
