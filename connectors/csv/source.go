package csv

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/tapeline/tapeline/batch"
	codec "github.com/tapeline/tapeline/codec/csv"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/filesink"
)

// source reads files as blocks and leaves parsing to DecodeFuncs.
type source struct {
	env      connector.Env
	cfg      *SourceConfig
	dialect  codec.Dialect
	declared []batch.Field

	table   *table
	blocks  *filesink.Blocks
	layouts map[string]*layout // by file
	cutter  *codec.Cutter      // of the file being read
	offsets offsetPool
}

var (
	_ connector.Source     = (*source)(nil)
	_ connector.Decoder    = (*source)(nil)
	_ connector.Discoverer = (*source)(nil)
	_ connector.Checker    = (*source)(nil)
)

func newSource(env connector.Env, cfg *SourceConfig) (connector.Source, error) {
	s := &source{env: env, cfg: cfg, layouts: map[string]*layout{}}
	problems := cfg.Validate()
	var more []error
	s.dialect, more = dialectOf(cfg.Delimiter, cfg.Quote, cfg.Escape, cfg.Comment)
	problems = append(problems, more...)
	s.dialect.Trim = cfg.Trim
	if cfg.NullValues != nil {
		s.dialect.Nulls = cfg.NullValues
	}
	problems = append(problems, s.dialect.Validate()...)
	s.declared, more = cfg.Schema.Fields()
	problems = append(problems, more...)
	oneOf := func(key, value string, allowed ...string) {
		if value != "" && !slices.Contains(allowed, value) {
			problems = append(problems, fmt.Errorf("%s: %q is none of %v", key, value, allowed))
		}
	}
	oneOf("ragged", cfg.Ragged, "reject", "pad", "truncate", "fit", "fail")
	oneOf("dialect", cfg.Dialect, "given", "auto")
	oneOf("record_end", cfg.RecordEnd, "auto", "lf", "cr")
	if cfg.SampleRows < 0 || cfg.SampleRows > 100_000 {
		problems = append(problems, fmt.Errorf("sample_rows: %d is not between 1 and 100000", cfg.SampleRows))
	}
	if cfg.SkipRows < 0 {
		problems = append(problems, fmt.Errorf("skip_rows: %d is below 0", cfg.SkipRows))
	}
	return s, invalid(problems)
}

// Check reports whether the files are there and can be opened.
func (s *source) Check(ctx context.Context) error {
	_, err := s.Discover(ctx)
	return err
}

// Discover returns the declared and inferred schema; nil when no file holds a record.
func (s *source) Discover(context.Context) (*batch.Schema, error) {
	files, err := s.cfg.Expand(s.env.FS)
	if err != nil {
		return nil, err
	}
	t, err := s.inspect(files)
	if err != nil {
		return nil, err
	}
	return t.schema, nil
}

// Open expands the path and looks at the first file.
func (s *source) Open(_ context.Context, _ connector.Partition, position connector.Position) error {
	files, err := s.cfg.Expand(s.env.FS)
	if err != nil {
		return err
	}
	if s.table, err = s.inspect(files); err != nil {
		return err
	}
	newline := byte('\n')
	if s.table.dialect.Return {
		newline = '\r'
	}
	s.blocks = filesink.NewBlocks(filesink.BlocksConfig{
		FS: s.env.FS, Source: s.cfg.SourceConfig, Files: files, Budget: s.env.Budget, Newline: newline,
		Cut:      func(data []byte, atEOF bool) int { return s.cutter.Cut(data, atEOF) },
		Prologue: s.prologue,
	})
	return s.blocks.Resume(position)
}

// prologue reads a file's preface and settles its layout.
func (s *source) prologue(file string, head []byte, atEOF bool) (length int, ok bool, err error) {
	t := s.table
	preface := t.preface
	preface.Columns = codec.Width(t.dialect, head, preface.SkipRows)
	names, length, ok := preface.Names(t.dialect, head, atEOF)
	if !ok {
		return 0, false, nil
	}
	if len(names) == 0 {
		s.cutter = codec.NewCutter(t.dialect, 1)
		s.layouts[file] = &layout{schema: t.schema, cells: 1}
		return len(head), true, nil
	}
	l, err := s.layout(file, s.rename(preface, names), head[length:])
	if err != nil {
		return 0, false, err
	}
	s.layouts[file] = l
	s.cutter = codec.NewCutter(t.dialect, l.cells)
	return length, true, nil
}

// payload is a block on its way to a worker.
type payload struct {
	block   filesink.Block
	layout  *layout
	offsets []uint32 // of the decoded cells, given back with the block
}

// Read returns the next block, unparsed.
func (s *source) Read(ctx context.Context) (connector.Chunk, error) {
	block, err := s.blocks.Next(ctx)
	if err != nil {
		return connector.Chunk{}, err
	}
	p := &payload{block: block, layout: s.layouts[block.File]}
	return connector.Chunk{
		Payload: p, Position: block.Next, Bytes: len(block.Data),
		Release: func() {
			s.offsets.put(p.offsets)
			p.offsets = nil
			block.Release()
		},
	}, nil
}

// Ack has nothing to do: files stay.
func (s *source) Ack(context.Context, connector.Position) error { return nil }

// Close closes the file being read.
func (s *source) Close() error {
	if s.blocks == nil {
		return nil
	}
	return s.blocks.Close()
}

// NewDecode returns a function that parses blocks.
func (s *source) NewDecode() connector.DecodeFunc {
	d := decoder{source: s, parsers: map[int]*codec.Parser{}}
	return d.decode
}

// decoder is one worker's parsing.
type decoder struct {
	source  *source
	parsers map[int]*codec.Parser // by cells of a record
}

func (d *decoder) decode(chunk connector.Chunk) (connector.Chunk, error) {
	p, ok := chunk.Payload.(*payload)
	if !ok {
		return chunk, fmt.Errorf("decode csv: payload is %T", chunk.Payload)
	}
	s, l := d.source, p.layout
	parser := d.parsers[l.cells]
	if parser == nil {
		parser = codec.NewParser(s.table.dialect, l.cells, raggedOf(s.cfg.Ragged))
		d.parsers[l.cells] = parser
	}
	result := parser.Parse(p.block.Data, s.offsets.get())
	p.offsets = result.Spans.Offsets
	chunk.Payload = nil
	for _, r := range result.Rejected {
		chunk.Rejected = append(chunk.Rejected, connector.Rejected{
			Place:  batch.Place{Name: p.block.File, Line: p.block.Line + r.Line},
			Reason: r.Reason, Record: r.Record,
		})
	}
	if s.cfg.Ragged == "fail" && len(chunk.Rejected) > 0 {
		first := chunk.Rejected[0]
		return chunk, &connector.Error{
			Op: "read " + first.Place.String(), Class: connector.Data, Code: "csv_ragged_row",
			Err: errors.New(first.Reason), Hint: "set ragged to reject, pad, truncate or fit",
		}
	}
	columns := make([]*batch.Column, l.schema.Len())
	for i, f := range l.schema.Fields() {
		if l.cell[i] < 0 {
			columns[i] = batch.NullColumn(f.Type, result.Spans.Rows())
			continue
		}
		columns[i] = batch.LazyColumn(f.Type, result.Spans, l.cell[i])
	}
	origin := &batch.Origin{Name: p.block.File, Line: p.block.Line, Lines: result.Lines}
	chunk.Batch = batch.New(l.schema, columns, result.Spans.Rows()).WithOrigin(origin)
	if s.cfg.Schema.Strict {
		d.touch(&chunk)
	}
	return chunk, nil
}

// touch reads every cell as its type and rejects the rows with cells that do not read.
func (d *decoder) touch(chunk *connector.Chunk) {
	var bad []batch.RowError
	b := chunk.Batch
	for i := range b.Columns() {
		typed, errs := b.Typed(i)
		b, bad = typed, append(bad, errs...)
	}
	if len(bad) == 0 {
		chunk.Batch = b
		return
	}
	bad = batch.OncePerRow(bad)
	for _, e := range bad {
		chunk.Rejected = append(chunk.Rejected, connector.Rejected{
			Place: b.Origin().At(e.Row), Reason: "column " + e.Column + ": " + e.Reason,
			Record: string(batch.AppendRow(nil, chunk.Batch, e.Row)),
		})
	}
	chunk.Batch = b.Without(bad)
}

func raggedOf(policy string) codec.Ragged {
	switch policy {
	case "pad":
		return codec.Pad
	case "truncate":
		return codec.Truncate
	case "fit":
		return codec.Fit
	}
	return codec.Reject
}

// offsetPool keeps the cell offsets of released chunks.
type offsetPool struct {
	mu   sync.Mutex
	free [][]uint32
}

func (p *offsetPool) get() []uint32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.free) == 0 {
		return nil
	}
	last := len(p.free) - 1
	offsets := p.free[last]
	p.free = p.free[:last]
	return offsets
}

func (p *offsetPool) put(offsets []uint32) {
	const most = 16
	p.mu.Lock()
	defer p.mu.Unlock()
	if cap(offsets) > 0 && len(p.free) < most {
		p.free = append(p.free, offsets)
	}
}
