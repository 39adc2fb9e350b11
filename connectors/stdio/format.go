package stdio

import (
	"bytes"
	"sync"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/codec/csv"
	"github.com/tapeline/tapeline/codec/json"
	"github.com/tapeline/tapeline/codec/lines"
	"github.com/tapeline/tapeline/connector"
)

// inputName is the file name in places and messages.
const inputName = "stdin"

func newFormat(cfg *SourceConfig) (format, error) {
	switch cfg.Format {
	case "csv":
		return newCSVFormat(cfg)
	case "lines":
		f, err := lines.NewFormat(lines.Options{Text: cfg.lineSchema().Field(0)})
		return &linesFormat{format: f}, err
	}
	return &ndjsonFormat{sampleRows: cfg.SampleRows}, nil
}

// lineSchema is the column of format lines.
func (c *SourceConfig) lineSchema() *batch.Schema {
	return batch.NewSchema(batch.Field{Name: c.Column, Type: batch.Of(batch.String), Nullable: true})
}

func cutLines(data []byte, atEOF bool) int {
	if atEOF {
		return len(data)
	}
	return bytes.LastIndexByte(data, '\n') + 1
}

// skipMark skips a UTF-8 byte order mark; ok false: too few bytes to tell.
func skipMark(data []byte, atEOF bool) (length int, ok bool) {
	const mark = "\xef\xbb\xbf"
	if len(data) < len(mark) && !atEOF && bytes.HasPrefix([]byte(mark), data) {
		return 0, false
	}
	if bytes.HasPrefix(data, []byte(mark)) {
		return len(mark), true
	}
	return 0, true
}

type ndjsonFormat struct {
	sampleRows int
	reader     *json.Reader
}

func (f *ndjsonFormat) begin(data []byte, atEOF bool) (length int, ok bool, err error) {
	length, ok = skipMark(data, atEOF)
	n := cutLines(data, atEOF)
	if !ok || n == 0 && !atEOF {
		return 0, false, nil
	}
	schema, whole := json.Infer(json.Block{Data: data[length:n]}, json.Lines, f.sampleRows)
	f.reader, err = json.NewReader(json.Options{Schema: schema, Whole: whole})
	return length, true, err
}

func (f *ndjsonFormat) cut(data []byte, atEOF bool) int { return cutLines(data, atEOF) }

func (f *ndjsonFormat) decoder() func(text) (decoded, error) {
	d := f.reader.NewDecoder()
	return func(t text) (decoded, error) {
		result, err := d.Decode(json.Block{Data: t.data, Name: inputName, Line: t.line})
		return decoded{result.Batch, result.Rejected, result.Release}, err
	}
}

type linesFormat struct{ format *lines.Format }

func (f *linesFormat) begin(data []byte, atEOF bool) (length int, ok bool, err error) {
	length, ok = skipMark(data, atEOF)
	return length, ok, nil
}

func (f *linesFormat) cut(data []byte, atEOF bool) int { return cutLines(data, atEOF) }

func (f *linesFormat) decoder() func(text) (decoded, error) {
	return func(t text) (decoded, error) {
		result := f.format.Decode(lines.Block{
			Data: t.data, Name: inputName, Line: t.line, Lines: t.lines,
		})
		return decoded{result.Batch, result.Rejected, result.Release}, nil
	}
}

type csvFormat struct {
	dialect    csv.Dialect
	header     bool
	sampleRows int
	cutter     *csv.Cutter
	schema     *batch.Schema
	offsets    sync.Pool // of *[]uint32
}

func newCSVFormat(cfg *SourceConfig) (format, error) {
	f := &csvFormat{dialect: csv.NewDialect(), header: cfg.Header, sampleRows: cfg.SampleRows}
	f.dialect.Delimiter = cfg.Delimiter
	return f, problem("configure stdio source", f.dialect.Validate())
}

func (f *csvFormat) begin(data []byte, atEOF bool) (length int, ok bool, err error) {
	mark, ok := skipMark(data, atEOF)
	if !ok {
		return 0, false, nil
	}
	data = data[mark:]
	preface := csv.Preface{Header: f.header, Columns: csv.Width(f.dialect, data, 0)}
	names, length, ok := preface.Names(f.dialect, data, atEOF)
	if !ok {
		return 0, false, nil
	}
	columns := max(1, len(names))
	f.cutter = csv.NewCutter(f.dialect, columns)
	sample := data[length:]
	n := f.cutter.Cut(sample, atEOF)
	if n == 0 && !atEOF {
		return 0, false, nil
	}
	spans := csv.NewParser(f.dialect, columns, csv.Reject).Parse(sample[:n], nil).Spans
	fields := make([]batch.Field, len(names))
	for i, typ := range csv.InferTypes(spans, len(names), f.sampleRows, false) {
		fields[i] = batch.Field{Name: names[i], Type: typ, Nullable: true}
	}
	f.schema = batch.NewSchema(fields...)
	return mark + length, true, nil
}

func (f *csvFormat) cut(data []byte, atEOF bool) int { return f.cutter.Cut(data, atEOF) }

func (f *csvFormat) decoder() func(text) (decoded, error) {
	parser := csv.NewParser(f.dialect, max(1, f.schema.Len()), csv.Reject)
	return func(t text) (decoded, error) {
		offsets, ok := f.offsets.Get().(*[]uint32)
		if !ok {
			offsets = new([]uint32)
		}
		result := parser.Parse(t.data, *offsets)
		*offsets = result.Spans.Offsets
		columns := make([]*batch.Column, f.schema.Len())
		for i, field := range f.schema.Fields() {
			columns[i] = batch.LazyColumn(field.Type, result.Spans, i)
		}
		out := decoded{release: func() { f.offsets.Put(offsets) }}
		for _, r := range result.Rejected {
			out.rejected = append(out.rejected, connector.Rejected{
				Place:  batch.Place{Name: inputName, Line: t.line + r.Line},
				Reason: r.Reason, Record: r.Record,
			})
		}
		out.batch = batch.New(f.schema, columns, result.Spans.Rows()).
			WithOrigin(&batch.Origin{Name: inputName, Line: t.line, Lines: result.Lines})
		return out, nil
	}
}
