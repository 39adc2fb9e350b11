package csv

import (
	"bytes"
	"slices"
	"strings"

	"github.com/tapeline/tapeline/batch"
)

// Encoder formats batches. NULL becomes the dialect's first null text, empty text is quoted, so
// both read back. It is used by one goroutine.
type Encoder struct {
	dialect Dialect
	null    string
	special [256]bool // bytes that need quotes
	typed   bool      // numbers and times may hold special bytes
	scratch []byte
	parts   []part
	unfit   string // why the row at hand cannot be written; ""
}

// part is a run of neighbouring columns that are written in one way.
type part struct {
	column      *batch.Column
	at          int          // of the column
	spans       *batch.Spans // raw or lazy
	first, last int          // cells
	raw         bool         // the source's bytes are copied
}

// NewEncoder returns an encoder; the dialect must be valid. Cells are quoted only where needed.
func NewEncoder(dialect Dialect) *Encoder {
	e := &Encoder{dialect: dialect}
	if len(dialect.Nulls) > 0 {
		e.null = dialect.Nulls[0]
	}
	for _, ch := range []byte{'\n', '\r', dialect.Delimiter[0], dialect.Quote, dialect.escape(), dialect.Comment} {
		e.special[ch] = true
	}
	if dialect.Trim {
		e.special[' '], e.special['\t'] = true, true
	}
	e.special[0] = false
	const inNumbers = "0123456789+-.:TZeEaflnrstuy"
	e.typed = strings.ContainsFunc(inNumbers, func(ch rune) bool { return e.special[byte(ch)] }) ||
		slices.ContainsFunc(dialect.Nulls, func(null string) bool { return null != "" })
	return e
}

// AppendHeader appends a record of the schema's names.
func (e *Encoder) AppendHeader(dst []byte, schema *batch.Schema) []byte {
	for i, name := range schema.Names() {
		if i > 0 {
			dst = append(dst, e.dialect.Delimiter...)
		}
		dst = e.appendText(dst, []byte(name))
	}
	e.unfit = "" // of rows
	return append(dst, e.dialect.newline())
}

// AppendRows appends the batch's selected rows. Lazy columns of a source in the same dialect are
// copied as they are, whole records at once where all their cells follow each other. Without a quote
// in the dialect, rows of texts that would be read otherwise are left out and returned by physical row.
func (e *Encoder) AppendRows(dst []byte, b *batch.Batch) (out []byte, bad []batch.RowError) {
	e.plan(b)
	if len(e.parts) == 1 && e.parts[0].raw {
		if spans := e.parts[0].spans; e.parts[0].first == 0 && e.parts[0].last == spans.Stride-2 {
			return e.appendRecords(dst, spans, b), nil
		}
	}
	newline := e.dialect.newline()
rows:
	for i := range b.Len() {
		row, start := b.Row(i), len(dst)
		for k := range e.parts {
			p := &e.parts[k]
			if k > 0 {
				dst = append(dst, e.dialect.Delimiter...)
			}
			switch {
			case p.raw:
				at := row * p.spans.Stride
				from, to := p.spans.Offsets[at+p.first], p.spans.Offsets[at+p.last+1]-p.spans.Gap
				dst = append(dst, p.spans.Data[from:to]...)
			case p.spans != nil:
				dst = e.appendLazy(dst, p, row)
			default:
				dst = e.appendDense(dst, p.column, row)
			}
			if e.unfit != "" {
				bad = append(bad, batch.RowError{
					Row: row, Column: b.Schema().Field(p.at).Name, Reason: e.unfit,
				})
				dst, e.unfit = dst[:start], ""
				continue rows
			}
		}
		dst = append(dst, newline)
	}
	return dst, bad
}

// plan finds runs of columns that are neighbours in the source too.
func (e *Encoder) plan(b *batch.Batch) {
	e.parts = e.parts[:0]
	var judged *batch.Spans
	same := false
	for i, c := range b.Columns() {
		spans, cell := c.Source()
		if spans == nil {
			e.parts = append(e.parts, part{column: c, at: i})
			continue
		}
		if spans != judged {
			judged, same = spans, e.sameSpelling(spans)
		}
		if n := len(e.parts); same && n > 0 && e.parts[n-1].raw && e.parts[n-1].spans == spans &&
			e.parts[n-1].last+1 == cell {
			e.parts[n-1].last = cell
			continue
		}
		e.parts = append(e.parts, part{column: c, at: i, spans: spans, first: cell, last: cell, raw: same})
	}
}

// sameSpelling reports whether raw cells of the spans, and the bytes between them, read the same
// in the encoder's dialect. Records of one cell hold no delimiter to compare.
func (e *Encoder) sameSpelling(s *batch.Spans) bool {
	d := &e.dialect
	if s.Syntax != batch.Quoted || s.Step != 1 || s.Gap != uint32(len(d.Delimiter)) || s.Trim != d.Trim ||
		s.Stride < 3 || s.Rows() == 0 || !slices.Contains(s.Nulls, e.null) {
		return false
	}
	for _, null := range s.Nulls {
		if null != e.null {
			return false
		}
	}
	if !s.Clean && (s.Quote != d.Quote || s.Escape != d.escape()) {
		return false
	}
	// Clean cells were not quoted there, but may hold what is special here.
	if s.Clean && (s.Quote != d.Quote && d.Quote != 0 && bytes.IndexByte(s.Data, d.Quote) >= 0 ||
		s.Escape != d.escape() && d.Quote != 0 && bytes.IndexByte(s.Data, d.escape()) >= 0) {
		return false
	}
	if d.Comment != 0 && bytes.IndexByte(s.Data, d.Comment) >= 0 {
		return false
	}
	second, end := s.Offsets[1], s.Offsets[s.Stride-1]-s.Gap
	if string(s.Data[second-s.Gap:second]) != d.Delimiter {
		return false
	}
	returns := int(end) < len(s.Data) && s.Data[end] == '\r' &&
		(int(end)+1 == len(s.Data) || s.Data[end+1] != '\n')
	return returns == d.Return || int(end) >= len(s.Data)
}

// appendRecords copies whole records, and runs of them that stand together.
func (e *Encoder) appendRecords(dst []byte, s *batch.Spans, b *batch.Batch) []byte {
	newline := e.dialect.newline()
	stride, gap := s.Stride, s.Gap
	rows := b.Len()
	for i := 0; i < rows; {
		at := b.Row(i) * stride
		from, to := s.Offsets[at], s.Offsets[at+stride-1]-gap
		for i++; i < rows && int(to) < len(s.Data) && s.Data[to] == newline; i++ {
			if at = b.Row(i) * stride; s.Offsets[at] != to+1 {
				break
			}
			to = s.Offsets[at+stride-1] - gap
		}
		dst = append(append(dst, s.Data[from:to]...), newline)
	}
	return dst
}

func (e *Encoder) appendLazy(dst []byte, p *part, row int) []byte {
	text, null, grown := p.spans.Text(row, p.first, e.scratch[:0])
	e.scratch = grown
	if null {
		return append(dst, e.null...)
	}
	return e.appendText(dst, text)
}

func (e *Encoder) appendDense(dst []byte, c *batch.Column, row int) []byte {
	if c.IsNull(row) {
		return append(dst, e.null...)
	}
	switch kind := c.Type().Kind; {
	case kind == batch.String:
		return e.appendText(dst, c.Bytes(row))
	case !e.typed && (kind < batch.String || kind >= batch.Date && kind <= batch.Duration):
		return batch.AppendText(dst, c, row)
	}
	e.scratch = batch.AppendText(e.scratch[:0], c, row)
	return e.appendText(dst, e.scratch)
}

// appendText appends text, quoted when it would not read back otherwise. Without a quote in the
// dialect it is written as it is, or unfit where it would be more than one cell.
func (e *Encoder) appendText(dst, text []byte) []byte {
	if e.dialect.Quote == 0 {
		if bytes.ContainsAny(text, "\r\n") || bytes.Contains(text, []byte(e.dialect.Delimiter)) ||
			e.dialect.Escape != 0 && bytes.IndexByte(text, e.dialect.Escape) >= 0 {
			e.unfit = "it holds a delimiter, a line end or an escape, and there is no quote to enclose it"
		}
		return append(dst, text...)
	}
	for _, ch := range text {
		if e.special[ch] {
			return appendQuoted(dst, text, &e.dialect)
		}
	}
	if slices.Contains(e.dialect.Nulls, string(text)) {
		return appendQuoted(dst, text, &e.dialect)
	}
	if len(text) == 0 {
		return append(dst, e.dialect.Quote, e.dialect.Quote)
	}
	return append(dst, text...)
}
