package lines

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/tapeline/tapeline/batch"
)

// Encoder writes one line per row; it belongs to one goroutine.
type Encoder struct {
	template string
	schema   *batch.Schema
	parts    []part
	scratch  []byte
}

// part is literal text or the value of a column.
type part struct {
	text   string
	column int // -1: literal
}

// NewEncoder returns an encoder for a template: text with {name} for the value of a column and {{
// for a brace; "" is the only column. Nulls are empty.
func NewEncoder(template string) *Encoder { return &Encoder{template: template} }

// Append appends the selected rows of b. Rows with cells that do not read as their type or hold a
// line feed are left out and returned by physical row.
func (e *Encoder) Append(dst []byte, b *batch.Batch) ([]byte, []batch.RowError, error) {
	if b.Schema() != e.schema {
		if err := e.prepare(b.Schema()); err != nil {
			return dst, nil, err
		}
	}
	var bad []batch.RowError
	for _, p := range e.parts {
		// Text passes as it is; other types are typed, so that what does not read is refused.
		if p.column < 0 || b.Column(p.column).Type().Kind == batch.String {
			continue
		}
		typed, errs := b.Typed(p.column)
		b = typed.Without(errs)
		bad = append(bad, errs...)
	}
	for i := range b.Len() {
		row := b.Row(i)
		start := len(dst)
		for _, p := range e.parts {
			if p.column < 0 {
				dst = append(dst, p.text...)
			} else {
				dst = e.cell(dst, b.Column(p.column), row)
			}
		}
		if bytes.IndexByte(dst[start:], '\n') >= 0 {
			dst = dst[:start]
			bad = append(bad, batch.RowError{Row: row, Reason: "the text of one line holds a line feed"})
			continue
		}
		dst = append(dst, '\n')
	}
	return dst, bad, nil
}

func (e *Encoder) cell(dst []byte, c *batch.Column, row int) []byte {
	if c.Lazy() {
		spans, cell := c.Spans()
		text, null, grown := spans.Text(row, cell, e.scratch[:0])
		e.scratch = grown
		if null {
			return dst
		}
		return append(dst, text...)
	}
	if c.IsNull(row) {
		return dst
	}
	return batch.AppendText(dst, c, row)
}

func (e *Encoder) prepare(schema *batch.Schema) error {
	e.parts = e.parts[:0]
	if e.template == "" {
		if schema.Len() != 1 {
			return fmt.Errorf("rows have %d columns (%s): say which by template", schema.Len(),
				strings.Join(schema.Names(), ", "))
		}
		e.parts = append(e.parts, part{column: 0})
		e.schema = schema
		return nil
	}
	pieces, err := parseTemplate(e.template)
	if err != nil {
		return err
	}
	for _, p := range pieces {
		if p.column >= 0 {
			if p.column = schema.Index(p.text); p.column < 0 {
				return fmt.Errorf("template: no column %q among %s", p.text,
					strings.Join(schema.Names(), ", "))
			}
		}
		e.parts = append(e.parts, p)
	}
	e.schema = schema
	return nil
}

// CheckTemplate says what is wrong with a template.
func CheckTemplate(template string) error {
	_, err := parseTemplate(template)
	return err
}

// parseTemplate splits a template; a part with column 0 holds a column's name.
func parseTemplate(template string) ([]part, error) {
	var parts []part
	literal := ""
	for template != "" {
		at := strings.IndexByte(template, '{')
		if at < 0 {
			literal += template
			break
		}
		literal += template[:at]
		template = template[at+1:]
		if rest, ok := strings.CutPrefix(template, "{"); ok {
			literal += "{"
			template = rest
			continue
		}
		name, rest, ok := strings.Cut(template, "}")
		if !ok || name == "" {
			return nil, fmt.Errorf("template: write {name} for a column and {{ for a brace")
		}
		if literal != "" {
			parts = append(parts, part{text: literal, column: -1})
			literal = ""
		}
		parts = append(parts, part{text: name})
		template = rest
	}
	if strings.Contains(literal, "\n") {
		return nil, fmt.Errorf("template: holds a line feed")
	}
	if literal != "" {
		parts = append(parts, part{text: literal, column: -1})
	}
	return parts, nil
}
