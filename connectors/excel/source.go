package excel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/codec/container"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/drift"
	"github.com/tapeline/tapeline/internal/filesink"
)

// source reads a sheet of each file.
type source struct {
	env      connector.Env
	cfg      *SourceConfig
	area     area
	declared []declared
	schema   *batch.Schema // of the first file
	walk     *container.Walk
}

var (
	_ connector.Source     = (*source)(nil)
	_ connector.Discoverer = (*source)(nil)
	_ connector.Checker    = (*source)(nil)
)

func newSource(env connector.Env, cfg *SourceConfig) (connector.Source, error) {
	s := &source{env: env, cfg: cfg}
	var problems []error
	if cfg.Path == "" {
		problems = append(problems, errors.New("path: required"))
	}
	var err error
	if s.area, err = parseArea(cfg.Range); err != nil {
		problems = append(problems, err)
	}
	if cfg.SkipRows < 0 {
		problems = append(problems, fmt.Errorf("skip_rows: %d is below 0", cfg.SkipRows))
	}
	if cfg.SampleRows < 1 || cfg.SampleRows > 100_000 {
		problems = append(problems, fmt.Errorf("sample_rows: %d is not between 1 and 100000", cfg.SampleRows))
	}
	var more []error
	s.declared, more = parseColumns(cfg.Schema.Columns)
	return s, invalid(append(problems, more...))
}

// Check reports whether the files are there and the first one can be read.
func (s *source) Check(ctx context.Context) error {
	_, err := s.Discover(ctx)
	return err
}

// Discover returns the declared and inferred schema of the first file.
func (s *source) Discover(context.Context) (*batch.Schema, error) {
	files, err := s.files()
	if err != nil {
		return nil, err
	}
	return s.discover(files[0])
}

func (s *source) files() ([]string, error) {
	path := filesink.SourceConfig{Path: s.cfg.Path}
	return path.Expand(s.env.FS)
}

func (s *source) discover(name string) (*batch.Schema, error) {
	var schema *batch.Schema
	err := container.Inspect(s.env.FS, name, func(f *container.File) (err error) {
		schema, err = s.inspectFile(f, true)
		return err
	})
	return schema, err
}

func (s *source) inspectFile(f *container.File, first bool) (*batch.Schema, error) {
	sh, err := s.openSheet(f)
	if err != nil {
		return nil, err
	}
	schema, err := s.inspect(sh, first)
	return schema, errors.Join(err, sh.close())
}

// follow returns the columns of a file's rows.
func (s *source) follow(f *container.File, first bool) (*batch.Schema, error) {
	if first {
		return s.schema, nil
	}
	own, err := s.inspectFile(f, false)
	if err != nil {
		return nil, err
	}
	return drift.Follow(s.schema, drift.Later{File: f.Name(), Own: own, Guessed: true})
}

func (s *source) openSheet(f *container.File) (*sheet, error) {
	w, err := openWorkbook(f)
	if err != nil {
		return nil, err
	}
	entry, err := w.find(s.cfg.Sheet)
	if err != nil {
		return nil, err
	}
	return w.open(entry)
}

// inspect gives each column its declared or inferred type. The first file must have all declared ones.
func (s *source) inspect(sh *sheet, first bool) (*batch.Schema, error) {
	l, row, err := s.readLayout(sh)
	if err == io.EOF { //nolint:errorlint // a sheet without rows
		fields := make([]batch.Field, len(s.declared))
		for i, d := range s.declared {
			fields[i] = batch.Field{Name: d.name, Type: d.typ, Nullable: true}
		}
		return batch.NewSchema(fields...), nil
	}
	if err != nil {
		return nil, err
	}
	types, err := s.inferTypes(sh, l, row)
	if err != nil {
		return nil, err
	}
	for _, d := range s.declared {
		at := slices.Index(l.names, d.name)
		switch {
		case at >= 0:
			types[at] = d.typ
		case first:
			return nil, &connector.Error{
				Op: "read header of " + sh.book.name, Class: connector.Schema, Path: "schema.columns." + d.name,
				Err: fmt.Errorf("the sheet has no column %q; it has %s", d.name, strings.Join(l.names, ", ")),
			}
		}
	}
	fields := make([]batch.Field, len(l.names))
	for i, name := range l.names {
		fields[i] = batch.Field{Name: name, Type: types[i], Nullable: true}
	}
	return batch.NewSchema(fields...), nil
}

// Open expands the path and reads the beginning of the first file.
func (s *source) Open(_ context.Context, _ connector.Partition, at connector.Position) error {
	files, err := s.files()
	if err != nil {
		return err
	}
	if s.schema, err = s.discover(files[0]); err != nil {
		return err
	}
	s.walk = container.NewWalk(container.Config{
		FS: s.env.FS, Pieces: container.Whole(files), Budget: s.env.Budget,
		Open: func(ctx context.Context, f *container.File, from container.Cursor, _ int64) (container.Reader, error) {
			schema, err := s.follow(f, f.Name() == files[0])
			if err != nil {
				return nil, err
			}
			sh, err := s.openSheet(f)
			if err != nil {
				return nil, err
			}
			r := &reader{source: s, schema: schema, sheet: sh, size: f.SizeBytes, builder: batch.NewBuilder(schema)}
			if err := r.begin(ctx, int(from.Row)); err != nil {
				return nil, errors.Join(err, sh.close())
			}
			return r, nil
		},
	})
	return s.walk.Resume(at)
}

// Read returns the next rows.
func (s *source) Read(ctx context.Context) (connector.Chunk, error) { return s.walk.Next(ctx) }

// Ack has nothing to do: files stay.
func (s *source) Ack(context.Context, connector.Position) error { return nil }

// Close closes the file being read.
func (s *source) Close() error {
	if s.walk == nil {
		return nil
	}
	return s.walk.Close()
}

// reader reads the rows of one sheet.
type reader struct {
	source  *source
	schema  *batch.Schema
	sheet   *sheet
	size    int64 // bytes of the file
	layout  *layout
	target  []int // for each column of the sheet its number in the schema
	row     []cell
	held    bool // row was read but not delivered
	builder *batch.Builder
	lines   []int32 // sheet rows of the builder's rows
	values  []any   // scratch
}

// begin reads the header, and on to the row after the given one.
func (r *reader) begin(ctx context.Context, after int) error {
	l, row, err := r.source.readLayout(r.sheet)
	if err == io.EOF { //nolint:errorlint // a sheet without rows
		return nil
	}
	if err != nil {
		return err
	}
	r.layout, r.row, r.held = l, row, row != nil
	for _, name := range l.names {
		r.target = append(r.target, r.schema.Index(name))
	}
	for r.sheet.row < after {
		if err := ctx.Err(); err != nil {
			return err
		}
		r.held = false
		if r.row, err = r.sheet.next(r.row); err != nil {
			if err == io.EOF { //nolint:errorlint // the position is the sheet's end
				return nil
			}
			return err
		}
	}
	if after > l.data {
		r.held = false // the row at the position was delivered
	}
	return nil
}

// Read returns the next rows, io.EOF after the last.
func (r *reader) Read(_ context.Context, limits connector.Limits) (connector.Chunk, container.Cursor, error) {
	var bad []batch.RowError
	r.lines = nil
	bytes := 0
	for r.builder.Len() < limits.Rows && bytes < limits.Bytes {
		row, err := r.next()
		if err == io.EOF { //nolint:errorlint // the end of the sheet
			break
		}
		if err != nil {
			return connector.Chunk{}, container.Cursor{}, err
		}
		for _, c := range row {
			bytes += len(c.text) + 1
		}
		if len(row) > 0 {
			bad = append(bad, r.append(row)...)
		}
	}
	b, err := r.builder.Batch()
	if err != nil {
		return connector.Chunk{}, container.Cursor{}, err
	}
	if b.Len() == 0 {
		return connector.Chunk{}, container.Cursor{}, io.EOF
	}
	origin := &batch.Origin{Name: r.sheet.book.name, Line: 1, Lines: r.lines}
	b = b.WithOrigin(origin)
	chunk := connector.Chunk{Bytes: bytes}
	bad = batch.OncePerRow(bad)
	for _, e := range bad {
		chunk.Rejected = append(chunk.Rejected, connector.Rejected{
			Place: origin.At(e.Row), Reason: "column " + e.Column + ": " + e.Reason,
			Record: string(batch.AppendRow(nil, b, e.Row)),
		})
	}
	chunk.Batch = b.Without(bad)
	return chunk, container.Cursor{Row: int64(r.sheet.row)}, nil
}

// next returns the next row within the configured range.
func (r *reader) next() ([]cell, error) {
	if r.layout == nil {
		return nil, io.EOF
	}
	if !r.held {
		var err error
		if r.row, err = r.sheet.next(r.row); err != nil {
			return nil, err
		}
	}
	r.held = false
	if last := r.source.area.lastRow; last >= 0 && r.sheet.row > last+1 {
		r.layout = nil
		return nil, io.EOF
	}
	return r.source.clip(r.row), nil
}

// append adds one row; a cell that does not read as its column's type is named and NULL.
func (r *reader) append(row []cell) []batch.RowError {
	schema := r.schema
	r.values = slices.Grow(r.values[:0], schema.Len())[:schema.Len()]
	clear(r.values)
	at := r.builder.Len()
	var bad []batch.RowError
	for _, c := range row {
		i := c.column - r.layout.first
		if i >= len(r.target) {
			if c.kind != blank {
				name := fmt.Sprintf("%s%d", columnName(c.column), r.sheet.row)
				bad = append(bad, batch.RowError{
					Row: at, Reason: "cell " + name + " has no column: name it in the header, or set range",
				})
			}
			continue
		}
		column := r.target[i]
		v, err := r.sheet.book.value(c, schema.Field(column).Type)
		if err == nil {
			err = r.try(column, v)
		}
		if err != nil {
			bad = append(bad, batch.RowError{Row: at, Column: schema.Field(column).Name, Reason: err.Error()})
		}
	}
	for i := range schema.Len() {
		if a := r.builder.Column(i); a.Len() == at {
			a.Null()
		}
	}
	r.lines = append(r.lines, int32(r.sheet.row-1))
	return bad[:min(len(bad), 1)]
}

func (r *reader) try(column int, v any) error { return r.builder.Column(column).Any(v) }

// Close closes the sheet; the file is closed by its owner.
func (r *reader) Close() error { return r.sheet.close() }
