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
	root    jsonNode
	walk    int // number of the text at hand
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
		r.root.add(nil, 0)
	}
	for i, f := range p.config.Fields {
		path := jsonPath{{name: f.Name}}
		if f.Path != "" {
			var err error
			if path, err = parseJSONPath(f.Path); err != nil {
				return &ConfigError{"fields." + f.Name + ".path", err}
			}
		}
		r.root.add(path, i)
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
		r.walk++
		from := skipBlanks(text, 0)
		cells := spans.Offsets[row*spans.Stride : (row+1)*spans.Stride]
		r.locate(text, text[from:skipJSON(text, from)], &r.root, cells, uint32(offsets[row]))
	})
	return typedCells(spans, r.fields, rows, bad)
}

// jsonNode is a place in a text that some path goes through: one walk finds all paths.
type jsonNode struct {
	fields   []int // whose paths end here
	members  []jsonBranch
	elements []jsonBranch
}

// jsonBranch is the next step of some paths.
type jsonBranch struct {
	jsonStep
	node *jsonNode
	seen int // the walk that found it last: the first of several equal members counts
}

// add lays the path of a field into the tree.
func (n *jsonNode) add(path jsonPath, field int) {
	if len(path) == 0 {
		n.fields = append(n.fields, field)
		return
	}
	branches := &n.members
	if path[0].element {
		branches = &n.elements
	}
	for _, b := range *branches {
		if b.jsonStep == path[0] {
			b.node.add(path[1:], field)
			return
		}
	}
	next := &jsonNode{}
	next.add(path[1:], field)
	*branches = append(*branches, jsonBranch{jsonStep: path[0], node: next})
}

// locate writes the places of all fields below a node in cells, relative to the text's start;
// places that lead nowhere stay empty. value is a part of text, so that its place follows from
// what is left of the capacity.
func (r *jsonReader) locate(text, value []byte, n *jsonNode, cells []uint32, start uint32) {
	from := cap(text) - cap(value)
	for _, field := range n.fields {
		cells[2*field], cells[2*field+1] = start+uint32(from), start+uint32(from+len(value))
	}
	switch {
	case len(n.elements) > 0 && value[0] == '[':
		for _, b := range n.elements {
			if inner := element(value, b.index); inner != nil {
				r.locate(text, inner, b.node, cells, start)
			}
		}
	case len(n.members) > 0 && value[0] == '{':
		left := len(n.members)
		eachMember(value, func(name, member []byte) bool {
			for i := range n.members {
				b := &n.members[i]
				if b.seen != r.walk && r.named(name, b.name) {
					b.seen = r.walk
					left--
					r.locate(text, member, b.node, cells, start)
					break
				}
			}
			return left > 0
		})
	}
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
