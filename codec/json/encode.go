package json

import (
	"bytes"
	"fmt"

	"github.com/tapeline/tapeline/batch"
)

// EncodeOptions say how batches are written.
type EncodeOptions struct {
	OmitNull bool // leave null members out
	// Separator stands before each record; the line feed of NDJSON stands after it.
	Separator string
	Newline   bool
}

// Encoder writes the rows of batches as objects; it belongs to one goroutine.
type Encoder struct {
	options EncodeOptions
	schema  *batch.Schema
	keys    []string // `,"name":`
	cells   []cellWriter
}

// NewEncoder returns an encoder with scratch of its own.
func NewEncoder(options EncodeOptions) *Encoder { return &Encoder{options: options} }

// Append appends the selected rows of b. Lazy cells are copied when their text spells a value of
// their column's type in JSON. Rows with cells that do not read as their type, or are not UTF-8,
// are left out and returned by physical row. Two columns of one name are an error.
func (e *Encoder) Append(dst []byte, b *batch.Batch) ([]byte, []batch.RowError, error) {
	if b.Schema() != e.schema {
		if err := e.prepare(b.Schema()); err != nil {
			return dst, nil, err
		}
	}
	for i, c := range b.Columns() {
		e.cells[i] = newCellWriter(c, e.keys[i], b.Selection(), e.cells[i].scratch)
	}
	var bad []batch.RowError
	for i := range b.Len() {
		row := b.Row(i)
		start := len(dst)
		dst = append(dst, e.options.Separator...)
		open := len(dst)
		for k := range e.cells {
			w := &e.cells[k]
			at := len(dst)
			dst = append(dst, w.key...)
			before := len(dst)
			if dst = w.append(dst, row); len(dst) > before {
				if w.nested {
					dst = oneLine(dst, before)
				}
				continue
			}
			if w.failure != "" {
				bad = append(bad, batch.RowError{
					Row: row, Column: e.schema.Field(k).Name, Reason: w.failure,
				})
				w.failure = ""
				open = -1
				break
			}
			if e.options.OmitNull {
				dst = dst[:at]
			} else {
				dst = append(dst, "null"...)
			}
		}
		switch {
		case open < 0:
			dst = dst[:start]
			continue
		case len(dst) == open:
			dst = append(dst, '{')
		default:
			dst[open] = '{' // instead of the first key's comma
		}
		dst = append(dst, '}')
		if e.options.Newline {
			dst = append(dst, '\n')
		}
	}
	return dst, bad, nil
}

// oneLine takes the blanks out of the JSON text dst[from:] when it goes over several lines. Line
// feeds are blanks wherever they stand, since strings spell theirs as escapes.
func oneLine(dst []byte, from int) []byte {
	if bytes.IndexByte(dst[from:], '\n') < 0 {
		return dst
	}
	to := from
	for i := from; i < len(dst); {
		switch dst[i] {
		case ' ', '\t', '\r', '\n':
			i++
		case '"':
			end := skipLooseString(dst, i+1)
			if end < 0 {
				end = len(dst)
			}
			to += copy(dst[to:], dst[i:end])
			i = end
		default:
			dst[to] = dst[i]
			to++
			i++
		}
	}
	return dst[:to]
}

func (e *Encoder) prepare(schema *batch.Schema) error {
	e.keys = e.keys[:0]
	for i, f := range schema.Fields() {
		if schema.Index(f.Name) != i {
			return fmt.Errorf("column %q stands twice; an object has each member once", f.Name)
		}
		e.keys = append(e.keys, ","+string(batch.AppendJSONString(nil, f.Name))+":")
	}
	e.schema = schema
	e.cells = make([]cellWriter, schema.Len())
	return nil
}
