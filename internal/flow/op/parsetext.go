package op

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"unicode/utf8"

	"github.com/tapeline/tapeline/batch"
)

// csvReader reads one record per text.
type csvReader struct {
	fields           []batch.Field
	delimiter, quote byte
	nulls            []string
}

func (p *parse) csv() error {
	if len(p.fields) == 0 {
		return &ConfigError{"fields", errors.New("csv needs the cells' names and types")}
	}
	for _, f := range p.fields {
		if f.Type.Nested() {
			return &ConfigError{"fields." + f.Name, fmt.Errorf("a cell is no %s", f.Type)}
		}
	}
	r := &csvReader{fields: p.fields, nulls: p.config.Nulls}
	for _, character := range []struct {
		path, text string
		to         *byte
	}{{"delimiter", p.config.Delimiter, &r.delimiter}, {"quote", p.config.Quote, &r.quote}} {
		switch {
		case len(character.text) == 1:
			*character.to = character.text[0]
		case character.path == "delimiter" || len(character.text) > 1:
			return &ConfigError{character.path, fmt.Errorf("%q is not one ASCII character", character.text)}
		}
	}
	p.reader = r
	return nil
}

func (r *csvReader) read(c *batch.Column, rows []int32) ([]*batch.Column, []batch.RowError) {
	spans := cellSpans(c, len(r.fields), batch.Quoted)
	spans.Quote, spans.Escape, spans.Nulls = r.quote, r.quote, r.nulls
	offsets, _ := c.Text()
	var bad []batch.RowError
	each(rows, c.Len(), func(row int) {
		cells := spans.Offsets[row*spans.Stride : (row+1)*spans.Stride]
		n, closed := r.split(c.Bytes(row), uint32(offsets[row]), cells)
		switch {
		case !closed:
			bad = append(bad, batch.RowError{Row: row, Reason: "csv record ends within quotes"})
		case n != len(r.fields):
			bad = append(bad, batch.RowError{
				Row: row, Reason: fmt.Sprintf("%d csv cells, want %d", n, len(r.fields)),
			})
		}
	})
	return typedCells(spans, r.fields, rows, bad)
}

// split fills the positions of cells, as far as there is room, and returns their number and
// whether all quotes are closed.
func (r *csvReader) split(text []byte, start uint32, cells []uint32) (n int, closed bool) {
	from := 0
	end := func(at int) {
		if 2*n < len(cells) {
			cells[2*n], cells[2*n+1] = start+uint32(from), start+uint32(at)
		}
		n++
		from = at + 1
	}
	quoted := false
	for i, ch := range text {
		switch {
		case ch == r.quote && r.quote != 0 && (quoted || i == from):
			quoted = !quoted
		case ch == r.quote && r.quote != 0 && i > from && text[from] == r.quote && text[i-1] == r.quote:
			quoted = true // the second of a doubled quote
		case ch == r.delimiter && !quoted:
			end(i)
		}
	}
	end(len(text))
	return n, !quoted
}

// regexReader reads named groups.
type regexReader struct {
	fields  []batch.Field
	pattern *regexp.Regexp
	groups  []int // group of each field
	nulls   []string
}

func (p *parse) regex() error {
	pattern, err := regexp.Compile(p.config.Pattern)
	if err != nil {
		return &ConfigError{"pattern", err}
	}
	r := &regexReader{pattern: pattern, nulls: p.config.Nulls}
	declared := len(p.config.Fields) > 0
	if !declared {
		for _, name := range pattern.SubexpNames() {
			if name != "" {
				p.config.Fields = append(p.config.Fields, ParsedField{Name: name})
				p.fields = append(p.fields, batch.Field{
					Name: p.config.Prefix + name, Type: batch.Of(batch.String), Nullable: true,
				})
			}
		}
	}
	if len(p.fields) == 0 {
		return &ConfigError{"pattern", errors.New("has no named group (?P<name>...)")}
	}
	for i, field := range p.config.Fields {
		group := slices.Index(pattern.SubexpNames(), field.Name)
		switch {
		case group < 1:
			return &ConfigError{"fields." + field.Name, errors.New("the pattern has no group of that name")}
		case p.fields[i].Type.Nested():
			return &ConfigError{"fields." + field.Name, fmt.Errorf("a group is no %s", p.fields[i].Type)}
		}
		r.groups = append(r.groups, group)
	}
	r.fields = p.fields
	p.reader = r
	return nil
}

func (r *regexReader) read(c *batch.Column, rows []int32) ([]*batch.Column, []batch.RowError) {
	spans := cellSpans(c, len(r.fields), batch.Plain)
	spans.Nulls = r.nulls
	offsets, _ := c.Text()
	var bad []batch.RowError
	each(rows, c.Len(), func(row int) {
		text := c.Bytes(row)
		found := r.pattern.FindSubmatchIndex(text)
		if found == nil {
			bad = append(bad, batch.RowError{
				Row: row, Reason: fmt.Sprintf("%q does not match the pattern", shortened(text)),
			})
			return
		}
		for i, group := range r.groups {
			from, to := found[2*group], found[2*group+1]
			if from < 0 {
				from, to = 0, 0
			}
			at := row*spans.Stride + 2*i
			spans.Offsets[at] = uint32(offsets[row]) + uint32(from)
			spans.Offsets[at+1] = uint32(offsets[row]) + uint32(to)
		}
	})
	return typedCells(spans, r.fields, rows, bad)
}

// shortened cuts a text for messages, between characters.
func shortened(text []byte) []byte {
	const most = 60
	if len(text) <= most {
		return text
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return append(text[:cut:cut], "..."...)
}
