package lines

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sync"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
)

// Options say how lines become columns: at most one of Prefix and Pattern.
type Options struct {
	Text    batch.Field    // column of the line, or of what follows Prefix
	Prefix  Prefix         // Width 0: none
	Pattern *regexp.Regexp // its named groups are the columns instead; nil: none
	// Types are the types of Pattern's groups; others are strings.
	Types map[string]batch.Type
	// File and Number name columns for the file and the line number; "" for none.
	File, Number string
	// ValidJSON checks columns of type json.
	ValidJSON func(text []byte) bool
}

// Prefix is a field of fixed width at the beginning of each line.
type Prefix struct {
	Width     int // bytes
	Field     batch.Field
	Separator string // between it and the rest; belongs to neither
}

// Format is what the decoders of one source share.
type Format struct {
	options Options
	schema  *batch.Schema
	cells   int
	groups  []int // Pattern: number of the group of each cell
	json    []int // cells to check
	pool    sync.Pool
}

// NewFormat checks the options.
func NewFormat(options Options) (*Format, error) {
	f := &Format{options: options}
	var fields []batch.Field
	switch {
	case options.Pattern != nil && options.Prefix.Width > 0:
		return nil, errors.New("prefix and pattern exclude each other")
	case options.Pattern != nil:
		for group, name := range options.Pattern.SubexpNames() {
			if name == "" {
				continue
			}
			typ, ok := options.Types[name]
			if !ok {
				typ = batch.Of(batch.String)
			}
			f.groups = append(f.groups, group)
			fields = append(fields, batch.Field{Name: name, Type: typ, Nullable: true})
		}
		if len(fields) == 0 {
			return nil, fmt.Errorf("pattern %s names no group: write (?P<name>...)", options.Pattern)
		}
	case options.Prefix.Width > 0:
		fields = append(fields, options.Prefix.Field, options.Text)
	default:
		fields = append(fields, options.Text)
	}
	for name := range options.Types {
		if !slices.ContainsFunc(fields, func(f batch.Field) bool { return f.Name == name }) {
			return nil, fmt.Errorf("types.%s: the pattern has no group of that name", name)
		}
	}
	f.cells = len(fields)
	for i, field := range fields {
		if field.Type.Kind == batch.JSON {
			f.json = append(f.json, i)
		}
	}
	if options.File != "" {
		fields = append(fields, batch.Field{Name: options.File, Type: batch.Of(batch.String)})
	}
	if options.Number != "" {
		fields = append(fields, batch.Field{Name: options.Number, Type: batch.Of(batch.Int64)})
	}
	f.schema = batch.NewSchema(fields...)
	for i, field := range fields {
		if f.schema.Index(field.Name) != i {
			return nil, fmt.Errorf("two columns are named %q", field.Name)
		}
	}
	f.pool.New = func() any { return &memory{} }
	return f, nil
}

// Schema returns the columns.
func (f *Format) Schema() *batch.Schema { return f.schema }

// memory is the recycled backing of one batch.
type memory struct{ offsets []uint32 }

// Block is text of whole lines.
type Block struct {
	Data  []byte
	Name  string // of the file
	Line  int64  // number of the first line, from 1
	Lines int    // about how many there are
}

// Result is one decoded block.
type Result struct {
	Batch    *batch.Batch // lazy columns over the block's bytes
	Rejected []connector.Rejected
	// Release gives the batch's memory back; the block's bytes are the caller's.
	Release func()
}

const maxRecord = 64 << 10

// Decode returns the lines of a block as rows. It may be called from several goroutines.
func (f *Format) Decode(block Block) Result {
	mem := f.pool.Get().(*memory)
	offsets := slices.Grow(mem.offsets[:0], (block.Lines+1)*2*f.cells)
	var rejected []connector.Rejected
	var numbers []int32 // of each row relative to the block's first; nil while row i is line i
	rows := 0
	data := block.Data
	for at, line := 0, int32(0); at < len(data); line++ {
		end := bytes.IndexByte(data[at:], '\n')
		next := at + end + 1
		if end < 0 {
			end, next = len(data)-at, len(data)
		}
		end += at
		if end > at && data[end-1] == '\r' {
			end--
		}
		grown, why := f.split(data, at, end, offsets)
		if why != "" {
			if numbers == nil {
				numbers = make([]int32, rows, block.Lines+1)
				for i := range numbers {
					numbers[i] = int32(i)
				}
			}
			rejected = append(rejected, connector.Rejected{
				Place:  batch.Place{Name: block.Name, Line: block.Line + int64(line)},
				Reason: why, Record: string(data[at:min(end, at+maxRecord)]),
			})
		} else {
			offsets = grown
			if numbers != nil {
				numbers = append(numbers, line)
			}
			rows++
		}
		at = next
	}
	mem.offsets = offsets
	return Result{
		Batch: f.batch(block, offsets, rows, numbers), Rejected: rejected,
		Release: func() { f.pool.Put(mem) },
	}
}

// split appends the cells of the line data[at:end], or says why it has none.
func (f *Format) split(data []byte, at, end int, offsets []uint32) (grown []uint32, why string) {
	line := data[at:end]
	from := len(offsets)
	switch prefix := &f.options.Prefix; {
	case f.options.Pattern != nil:
		match := f.options.Pattern.FindSubmatchIndex(line)
		if match == nil {
			return offsets, "the line does not match the pattern"
		}
		for _, group := range f.groups {
			first, last := max(match[2*group], 0), max(match[2*group+1], 0)
			offsets = append(offsets, uint32(at+first), uint32(at+last))
		}
	case prefix.Width > 0:
		rest := prefix.Width + len(prefix.Separator)
		if len(line) < rest || string(line[prefix.Width:rest]) != prefix.Separator {
			return offsets, fmt.Sprintf("the line has no %d bytes and %q before its text",
				prefix.Width, prefix.Separator)
		}
		offsets = append(offsets, uint32(at), uint32(at+prefix.Width), uint32(at+rest), uint32(end))
	default:
		offsets = append(offsets, uint32(at), uint32(end))
	}
	for _, cell := range f.json {
		text := data[offsets[from+2*cell]:offsets[from+2*cell+1]]
		if !f.options.ValidJSON(text) {
			return offsets[:from], "column " + f.schema.Field(cell).Name + " is not JSON"
		}
	}
	return offsets, ""
}

func (f *Format) batch(block Block, offsets []uint32, rows int, numbers []int32) *batch.Batch {
	spans := &batch.Spans{
		Data: block.Data, Offsets: offsets, Stride: 2 * f.cells, Step: 2, Syntax: batch.Plain,
		Clean: true, // split checked the JSON
	}
	if f.options.Pattern != nil {
		spans.Nulls = []string{""} // a group that took no part
	}
	columns := make([]*batch.Column, 0, f.schema.Len())
	for i := range f.cells {
		columns = append(columns, batch.LazyColumn(f.schema.Field(i).Type, spans, i))
	}
	if f.options.File != "" {
		columns = append(columns, repeated(block.Name, rows))
	}
	if f.options.Number != "" {
		values := make([]int64, rows)
		for i := range values {
			values[i] = block.Line + int64(i)
			if numbers != nil {
				values[i] = block.Line + int64(numbers[i])
			}
		}
		columns = append(columns, batch.FixedColumn(batch.Of(batch.Int64), values, nil))
	}
	return batch.New(f.schema, columns, rows).
		WithOrigin(&batch.Origin{Name: block.Name, Line: block.Line, Lines: numbers})
}

// repeated returns a column that holds text in each row.
func repeated(text string, rows int) *batch.Column {
	offsets := make([]int32, rows+1)
	all := make([]byte, 0, rows*len(text))
	for i := range rows {
		all = append(all, text...)
		offsets[i+1] = int32(len(all))
	}
	return batch.TextColumn(batch.Of(batch.String), offsets, all, nil)
}
