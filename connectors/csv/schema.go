package csv

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tapeline/tapeline/batch"
	codec "github.com/tapeline/tapeline/codec/csv"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/drift"
	"github.com/tapeline/tapeline/internal/filesink"
)

// table is what a source knows about its files before it reads them.
type table struct {
	dialect codec.Dialect
	preface codec.Preface
	file    string        // the first that has a record; "": none has
	schema  *batch.Schema // of its rows; nil: no file holds a record
}

// inspect looks at the beginning of the first file that has a record, for dialect and schema.
func (s *source) inspect(files []string) (*table, error) {
	for _, file := range files {
		head, whole, err := s.head(file, 256<<10)
		if err != nil {
			return nil, err
		}
		t := s.guess(head, whole)
		names, length, ok := t.preface.Names(t.dialect, head, whole)
		for !ok {
			if head, whole, err = s.head(file, 4*len(head)); err != nil {
				return nil, err
			}
			t = s.guess(head, whole)
			names, length, ok = t.preface.Names(t.dialect, head, whole)
		}
		if len(names) == 0 {
			continue
		}
		t.file = file
		t.schema, err = s.makeSchema(t, s.rename(t.preface, names), head[length:], file)
		return t, err
	}
	t := s.guess(nil, true)
	return t, nil
}

// head reads the beginning of a file, at most one record's allowance.
func (s *source) head(file string, size int) ([]byte, bool, error) {
	limit := max(int(s.cfg.MaxRecordBytes), 1)
	if s.cfg.MaxRecordBytes == 0 {
		limit = filesink.DefaultMaxRecordBytes
	}
	head, whole, err := s.cfg.Head(s.env.FS, file, min(size, limit))
	return head, whole || len(head) >= limit, err
}

// guess settles what the configuration leaves open about the dialect.
func (s *source) guess(head []byte, whole bool) *table {
	t := &table{dialect: s.dialect}
	t.preface = codec.Preface{SkipRows: s.cfg.SkipRows, Header: s.cfg.Header == nil || *s.cfg.Header}
	if s.cfg.Dialect == "auto" {
		given := codec.Given{
			Dialect: s.dialect, KeepDelimiter: s.cfg.Delimiter != "",
			KeepQuote: s.cfg.Quote != "" || s.cfg.Escape != "",
		}
		d, p := codec.Sniff(given, head, whole)
		t.dialect = d
		if s.cfg.Header == nil {
			t.preface.Header = p.Header
		}
		if s.cfg.SkipRows == 0 {
			t.preface.SkipRows = p.SkipRows
		}
	}
	t.dialect.Return = s.cfg.RecordEnd == "cr" ||
		s.cfg.RecordEnd != "lf" && !slices.Contains(head, '\n') && slices.Contains(head, '\r')
	t.preface.Columns = codec.Width(t.dialect, head, t.preface.SkipRows)
	return t
}

// rename gives columns without a header the declared names, in order.
func (s *source) rename(p codec.Preface, names []string) []string {
	if p.Header {
		return names
	}
	for i := range min(len(names), len(s.declared)) {
		names[i] = s.declared[i].Name
	}
	return names
}

// makeSchema gives each column of the first file its declared or inferred type.
func (s *source) makeSchema(t *table, names []string, records []byte, file string) (*batch.Schema, error) {
	for _, d := range s.declared {
		if !slices.Contains(names, d.Name) {
			return nil, &connector.Error{
				Op: "read header of " + file, Class: connector.Schema, Path: "schema.columns." + d.Name,
				Err: fmt.Errorf("the file has no column %q; it has %s", d.Name, strings.Join(names, ", ")),
			}
		}
	}
	return s.infer(t, names, records), nil
}

// infer gives each of a file's columns its declared type, or one that its first records fit.
func (s *source) infer(t *table, names []string, records []byte) *batch.Schema {
	parser := codec.NewParser(t.dialect, len(names), raggedOf(s.cfg.Ragged))
	whole := codec.NewCutter(t.dialect, len(names)).Cut(records, false)
	if whole == 0 {
		whole = len(records)
	}
	types := codec.InferTypes(parser.Parse(records[:whole], nil).Spans, len(names), s.sampleRows(), s.cfg.Decimal)
	fields := make([]batch.Field, len(names))
	for i, name := range names {
		fields[i] = batch.Field{Name: name, Type: types[i], Nullable: true}
		for _, d := range s.declared {
			if d.Name == name {
				fields[i].Type = d.Type
			}
		}
	}
	return batch.NewSchema(fields...)
}

func (s *source) sampleRows() int {
	const usual = 1000
	if s.cfg.SampleRows == 0 {
		return usual
	}
	return s.cfg.SampleRows
}

// layout is how one file's records become rows.
type layout struct {
	schema *batch.Schema
	cells  int   // of a record
	cell   []int // for each column of the schema, -1: the file lacks it
}

// layout matches a file's names to the first file's columns: it may lack some, order them otherwise
// and have more, whose types follow from its first records.
func (s *source) layout(file string, names []string, records []byte) (*layout, error) {
	l := &layout{schema: s.table.schema, cells: len(names)}
	if file != s.table.file {
		var err error
		l.schema, err = drift.Follow(l.schema, drift.Later{
			File: file, Own: s.infer(s.table, names, records), Guessed: true,
		})
		if err != nil {
			return nil, err
		}
	}
	l.cell = make([]int, l.schema.Len())
	for i, name := range l.schema.Names() {
		l.cell[i] = slices.Index(names, name)
	}
	return l, nil
}
