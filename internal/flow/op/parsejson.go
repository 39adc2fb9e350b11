package op

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/codec/json"
)

// jsonReader takes values out of JSON texts by path.
type jsonReader struct {
	fields  []batch.Field
	paths   []jsonPath
	scratch []byte
	walker  jsonWalker
}

// jsonPath is where a value is: members and elements from the top.
type jsonPath []jsonStep

// jsonStep is a member by name, or an element by index from 0, or from the end below 0.
type jsonStep struct {
	name    string
	index   int
	element bool
}

func (p *parse) json() error {
	r := &jsonReader{}
	if len(p.config.Fields) == 0 {
		if err := p.whole("json"); err != nil {
			return err
		}
		r.paths = []jsonPath{nil}
	}
	for _, f := range p.config.Fields {
		path := jsonPath{{name: f.Name}}
		if f.Path != "" {
			var err error
			if path, err = parseJSONPath(f.Path); err != nil {
				return &ConfigError{"fields." + f.Name + ".path", err}
			}
		}
		r.paths = append(r.paths, path)
	}
	r.fields = p.fields
	p.reader = r
	return nil
}

// parseJSONPath reads a.b[0].c, optionally after $. A name with other characters is written
// ["a name"].
func parseJSONPath(text string) (jsonPath, error) {
	var path jsonPath
	rest := strings.TrimPrefix(text, "$")
	for rest != "" {
		switch {
		case strings.HasPrefix(rest, `["`):
			end := strings.Index(rest, `"]`)
			if end < 2 {
				return nil, fmt.Errorf("path %q: missing \"]", text)
			}
			path = append(path, jsonStep{name: rest[2:end]})
			rest = rest[end+2:]
		case rest[0] == '[':
			end := strings.IndexByte(rest, ']')
			index, err := strconv.Atoi(rest[1:max(end, 1)])
			if end < 0 || err != nil {
				return nil, fmt.Errorf("path %q: [n] wants a number", text)
			}
			path = append(path, jsonStep{index: index, element: true})
			rest = rest[end+1:]
		default:
			rest = strings.TrimPrefix(rest, ".")
			end := strings.IndexAny(rest, ".[")
			if end < 0 {
				end = len(rest)
			}
			if end == 0 {
				return nil, fmt.Errorf("path %q: empty member name", text)
			}
			path = append(path, jsonStep{name: rest[:end]})
			rest = rest[end:]
		}
	}
	if len(path) == 0 && text != "$" {
		return nil, errors.New("is empty")
	}
	return path, nil
}

func (r *jsonReader) read(c *batch.Column, rows []int32) ([]*batch.Column, []batch.RowError) {
	spans := cellSpans(c, len(r.fields), batch.Token)
	spans.Decode = r.decode
	offsets, _ := c.Text()
	var bad []batch.RowError
	each(rows, c.Len(), func(row int) {
		text := c.Bytes(row)
		if !json.Valid(text) {
			bad = append(bad, batch.RowError{
				Row: row, Reason: fmt.Sprintf("%q is not JSON", shortened(text)),
			})
			return
		}
		for i, path := range r.paths {
			from, to := r.find(text, path)
			at := row*spans.Stride + 2*i
			spans.Offsets[at] = uint32(offsets[row]) + uint32(from)
			spans.Offsets[at+1] = uint32(offsets[row]) + uint32(to)
		}
	})
	return typedCells(spans, r.fields, rows, bad)
}

// find returns where the value at a path stands in a valid text; an empty place when there is none.
func (r *jsonReader) find(text []byte, path jsonPath) (from, to int) {
	from = skipBlanks(text, 0)
	to = skipJSON(text, from)
	for _, step := range path {
		value := text[from:to]
		var inner []byte
		switch {
		case step.element && value[0] == '[':
			inner = element(value, step.index)
		case !step.element && value[0] == '{':
			eachMember(value, func(name, member []byte) bool {
				if r.named(name, step.name) {
					inner = member
				}
				return inner == nil
			})
		}
		if inner == nil {
			return 0, 0
		}
		// inner is a part of text, so its place follows from what is left of the capacity.
		from = cap(text) - cap(inner)
		to = from + len(inner)
	}
	return from, to
}

func (r *jsonReader) named(quotedName []byte, want string) bool {
	inner := quotedName[1 : len(quotedName)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return string(inner) == want
	}
	r.scratch = batch.AppendUnescapedJSON(r.scratch[:0], inner)
	return string(r.scratch) == want
}

// element returns an element of a valid array, nil when there is none.
func element(array []byte, index int) []byte {
	if index < 0 {
		n := 0
		eachElement(array, func([]byte) bool { n++; return true })
		if index += n; index < 0 {
			return nil
		}
	}
	var found []byte
	eachElement(array, func(value []byte) bool {
		if index == 0 {
			found = value
		}
		index--
		return found == nil
	})
	return found
}

// decode is the batch.Spans.Decode of nested types.
func (r *jsonReader) decode(
	spans *batch.Spans, cell int, typ batch.Type, rows []int32,
) (*batch.Column, []batch.RowError) {
	a := batch.NewAppender(typ)
	var bad []batch.RowError
	each(rows, spans.Rows(), func(row int) {
		for a.Len() < row {
			a.Null()
		}
		raw := spans.Raw(row, cell)
		if len(raw) == 0 {
			a.Null()
			return
		}
		if !r.walker.row(a, raw) {
			bad = append(bad, batch.RowError{
				Row: row, Reason: fmt.Sprintf("%q is not a value of type %s", shortened(raw), typ),
			})
		}
	})
	for a.Len() < spans.Rows() {
		a.Null()
	}
	return nullAt(a.Column(), bad), bad
}
