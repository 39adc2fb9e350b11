package http

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/codec/csv"
	"github.com/tapeline/tapeline/codec/json"
	"github.com/tapeline/tapeline/codec/lines"
	"github.com/tapeline/tapeline/connector"
)

// format turns bodies into rows; it belongs to one goroutine.
type format interface {
	// decode returns the records of a whole body. The result keeps the body.
	decode(body []byte, name string) (decoded, error)
}

// decoded are the rows of one body.
type decoded struct {
	batch    *batch.Batch // nil: no records
	rejected []connector.Rejected
	release  func() // nil: nothing to give back
}

// records counts rows and rejected records.
func (d decoded) records() int {
	if d.batch == nil {
		return len(d.rejected)
	}
	return d.batch.Len() + len(d.rejected)
}

// pending are decoded rows that are handed over in chunks.
type pending struct {
	decoded
	sent  int  // rows handed over
	bytes int  // of the body
	begun bool // a chunk was handed over, and the rejected records with it
}

// more reports whether anything is left to hand over.
func (p *pending) more() bool {
	return p.batch != nil && p.sent < p.batch.Len() || !p.begun && len(p.rejected) > 0
}

// cut returns the next chunk within the limits, without position.
func (p *pending) cut(limits connector.Limits) connector.Chunk {
	var chunk connector.Chunk
	if !p.begun {
		chunk.Rejected = p.rejected
	}
	p.begun = true
	if p.batch == nil {
		return chunk
	}
	rows := p.batch.Len()
	mean := max(1, p.bytes/max(rows, 1))
	n := min(max(0, rows-p.sent), limits.Rows, max(1, limits.Bytes/mean))
	chunk.Batch, chunk.Bytes = p.batch, n*mean
	if n < rows {
		// Slices of one body would be typed whole each time, so they get memory of their own.
		chunk.Batch = p.batch.Slice(p.sent, p.sent+n).Keep()
	} else {
		chunk.Release, p.release = p.release, nil
	}
	p.sent += n
	return chunk
}

// end gives the memory back that no chunk took along.
func (p *pending) end() {
	if p.release != nil {
		p.release()
		p.release = nil
	}
}

func newFormat(cfg *SourceConfig) (format, error) {
	declared, err := cfg.schema()
	if err != nil {
		return nil, err
	}
	switch cfg.Format {
	case "csv":
		f := &csvFormat{dialect: csv.NewDialect(), cfg: cfg, declared: declared}
		f.dialect.Delimiter = cfg.Delimiter
		return f, problem("configure http source", f.dialect.Validate())
	case "lines":
		field := batch.Field{Name: cfg.Column, Type: batch.Of(batch.String), Nullable: true}
		f, err := lines.NewFormat(lines.Options{Text: field})
		return &linesFormat{format: f}, err
	}
	extra, err := cfg.extra()
	return &jsonFormat{cfg: cfg, extra: extra, schema: declared}, err
}

// jsonFormat reads arrays, single values and lines of JSON.
type jsonFormat struct {
	cfg    *SourceConfig
	extra  json.Extra
	schema *batch.Schema // declared, or of the bodies so far
	whole  bool
	loose  bool // bodies are values one after the other

	layout  json.Layout
	reader  *json.Reader
	decoder *json.Decoder
}

func (f *jsonFormat) decode(body []byte, name string) (decoded, error) {
	start, layout, err := f.begin(body)
	if err != nil {
		return decoded{}, &connector.Error{
			Op: "read " + name, Class: connector.Data, Code: "http_no_records", Err: err,
			Hint: "check records",
		}
	}
	records := body[start:]
	if empty(records, layout) {
		return decoded{}, nil
	}
	block := json.Block{
		Data: records, Name: name, Last: true, Line: 1 + int64(bytes.Count(body[:start], []byte{'\n'})),
	}
	if err := f.prepare(block, layout); err != nil {
		return decoded{}, err
	}
	result, err := f.decoder.Decode(block)
	if err != nil {
		return decoded{}, &connector.Error{Op: "read " + name, Class: connector.Data, Err: err}
	}
	return decoded{result.Batch, result.Rejected, result.Release}, nil
}

// begin finds the records of a body.
func (f *jsonFormat) begin(body []byte) (start int, layout json.Layout, err error) {
	switch {
	case f.loose:
		return 0, json.Values, nil
	case f.cfg.Format == "ndjson":
		return 0, json.Lines, nil
	}
	text := bytes.TrimLeft(body, " \t\r\n")
	if f.cfg.Records == "" && (len(text) == 0 || text[0] != '[') {
		return 0, json.Values, nil
	}
	start, ok, err := json.ArrayStart(body, f.cfg.Records)
	if err != nil {
		if value, found := lookup(body, f.cfg.Records); found && string(value) == "null" {
			return len(body), json.Values, nil
		}
		return 0, 0, err
	}
	if !ok {
		return 0, 0, errors.New("the body ends before the array of records")
	}
	return start, json.Elements, nil
}

func empty(records []byte, layout json.Layout) bool {
	records = bytes.TrimLeft(records, " \t\r\n")
	return len(records) == 0 || layout == json.Elements && records[0] == ']'
}

// prepare makes a decoder for the layout, inferring the schema from the first records.
func (f *jsonFormat) prepare(block json.Block, layout json.Layout) error {
	if f.decoder != nil && layout == f.layout {
		return nil
	}
	if f.schema == nil {
		f.schema, f.whole = json.Infer(block, layout, f.cfg.SampleRows)
	} else if f.reader != nil && f.extra == json.Evolve {
		f.schema = f.reader.Schema()
	}
	reader, err := json.NewReader(json.Options{
		Schema: f.schema, Whole: f.whole, Extra: f.extra, Layout: layout, Enclosed: f.cfg.Records != "",
	})
	if err != nil {
		return problem("configure http source", []error{fmt.Errorf("schema: %w", err)})
	}
	f.layout, f.reader, f.decoder = layout, reader, reader.NewDecoder()
	return nil
}

type linesFormat struct{ format *lines.Format }

func (f *linesFormat) decode(body []byte, name string) (decoded, error) {
	if len(body) == 0 {
		return decoded{}, nil
	}
	result := f.format.Decode(lines.Block{
		Data: body, Name: name, Line: 1, Lines: 1 + bytes.Count(body, []byte{'\n'}),
	})
	return decoded{result.Batch, result.Rejected, result.Release}, nil
}

// csvFormat reads tables: each body has its own header, with the columns of the first in any order.
type csvFormat struct {
	cfg      *SourceConfig
	dialect  csv.Dialect
	declared *batch.Schema
	schema   *batch.Schema // of the first body with records
}

func (f *csvFormat) decode(body []byte, name string) (decoded, error) {
	fail := func(class connector.Class, err error) (decoded, error) {
		return decoded{}, &connector.Error{Op: "read " + name, Class: class, Err: err}
	}
	const mark = "\xef\xbb\xbf"
	body = bytes.TrimPrefix(body, []byte(mark))
	preface := csv.Preface{Header: f.cfg.Header, Columns: csv.Width(f.dialect, body, 0)}
	names, length, ok := preface.Names(f.dialect, body, true)
	if !ok {
		return fail(connector.Data, errors.New("the body ends within its header"))
	}
	if len(names) == 0 || len(body) == length {
		return decoded{}, nil
	}
	result := csv.NewParser(f.dialect, len(names), csv.Reject).Parse(body[length:], nil)
	if f.schema == nil {
		if err := f.infer(names, result.Spans); err != nil {
			return fail(connector.Schema, err)
		}
	}
	columns := make([]*batch.Column, f.schema.Len())
	for i, field := range f.schema.Fields() {
		at := slices.Index(names, field.Name)
		if at < 0 {
			return fail(connector.Schema, fmt.Errorf("column %q is missing", field.Name))
		}
		columns[i] = batch.LazyColumn(field.Type, result.Spans, at)
	}
	if f.declared == nil && len(names) != f.schema.Len() {
		return fail(connector.Schema, fmt.Errorf("columns %q, those before had %q", names, f.schema.Names()))
	}
	line := 1 + int64(bytes.Count(body[:length], []byte{'\n'}))
	var out decoded
	for _, r := range result.Rejected {
		out.rejected = append(out.rejected, connector.Rejected{
			Place:  batch.Place{Name: name, Line: line + r.Line},
			Reason: r.Reason, Record: r.Record,
		})
	}
	out.batch = batch.New(f.schema, columns, result.Spans.Rows()).
		WithOrigin(&batch.Origin{Name: name, Line: line, Lines: result.Lines})
	return out, nil
}

// infer settles the schema: the declared columns, or all with the types of their cells.
func (f *csvFormat) infer(names []string, spans *batch.Spans) error {
	if f.declared != nil {
		f.schema = f.declared
		return nil
	}
	fields := make([]batch.Field, len(names))
	for i, typ := range csv.InferTypes(spans, len(names), f.cfg.SampleRows, false) {
		fields[i] = batch.Field{Name: names[i], Type: typ, Nullable: true}
	}
	f.schema = batch.NewSchema(fields...)
	return nil
}
