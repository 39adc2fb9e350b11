package csv

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tapeline/tapeline/batch"
	codec "github.com/tapeline/tapeline/codec/csv"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/filesink"
)

// table is what a source knows about its files before it reads them.
type table struct {
	dialect codec.Dialect
	preface codec.Preface
	schema  *batch.Schema // nil: no file holds a record
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
		d, p := codec.Sniff(head, whole)
		if s.cfg.Delimiter == "" {
			t.dialect.Delimiter = d.Delimiter
		}
		if s.cfg.Quote == "" {
			t.dialect.Quote, t.dialect.Escape = d.Quote, d.Escape
		}
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

// makeSchema gives each column its declared or inferred type.
func (s *source) makeSchema(t *table, names []string, records []byte, file string) (*batch.Schema, error) {
	parser := codec.NewParser(t.dialect, len(names), codec.Reject)
	whole := codec.NewCutter(t.dialect, len(names)).Cut(records, false)
	if whole == 0 {
		whole = len(records)
	}
	types := codec.InferTypes(parser.Parse(records[:whole], nil).Spans, len(names), s.sampleRows(), s.cfg.Decimal)
	for _, d := range s.declared {
		at := slices.Index(names, d.Name)
		if at < 0 {
			return nil, &connector.Error{
				Op: "read header of " + file, Class: connector.Schema, Path: "schema.columns." + d.Name,
				Err: fmt.Errorf("the file has no column %q; it has %s", d.Name, strings.Join(names, ", ")),
			}
		}
		types[at] = d.Type
	}
	fields := make([]batch.Field, len(names))
	for i, name := range names {
		fields[i] = batch.Field{Name: name, Type: types[i], Nullable: true}
	}
	return batch.NewSchema(fields...), nil
}

func (s *source) sampleRows() int {
	const usual = 1000
	if s.cfg.SampleRows == 0 {
		return usual
	}
	return s.cfg.SampleRows
}

// layout is how one file's records become rows of the schema.
type layout struct {
	cells int   // of a record
	cell  []int // for each column of the schema, -1: the file lacks it
}

// layout matches a file's names to the schema's; it may lack columns and order them otherwise.
func (t *table) layout(file string, names []string) (*layout, error) {
	l := &layout{cells: len(names), cell: make([]int, t.schema.Len())}
	for i, name := range t.schema.Names() {
		l.cell[i] = slices.Index(names, name)
	}
	for _, name := range names {
		if t.schema.Index(name) < 0 {
			return nil, &connector.Error{
				Op: "read header of " + file, Class: connector.Schema, Code: "csv_other_columns",
				Err: fmt.Errorf("column %q is not in the first file, which has %s",
					name, strings.Join(t.schema.Names(), ", ")),
				Hint: "read files of other columns by a source of their own",
			}
		}
	}
	return l, nil
}
