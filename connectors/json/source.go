package json

import (
	"bytes"
	"context"
	"fmt"

	"github.com/tapeline/tapeline/batch"
	codec "github.com/tapeline/tapeline/codec/json"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/filesink"
)

type source struct {
	env    connector.Env
	cfg    SourceConfig
	layout codec.Layout
	reader *codec.Reader
	blocks *filesink.Blocks
	last   bool // the last cut took all that is left of its file
}

var (
	_ connector.Source     = (*source)(nil)
	_ connector.Decoder    = (*source)(nil)
	_ connector.Discoverer = (*source)(nil)
)

func newSource(env connector.Env, cfg *SourceConfig) (connector.Source, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return &source{env: env, cfg: *cfg}, nil
}

// Discover returns the declared schema, or the one of the first records.
func (s *source) Discover(context.Context) (*batch.Schema, error) {
	files, err := s.cfg.Expand(s.env.FS)
	if err != nil {
		return nil, err
	}
	if err := s.prepare(files); err != nil {
		return nil, err
	}
	return s.reader.Schema(), nil
}

// Open finds the files, looks at their beginning and continues at the position.
func (s *source) Open(_ context.Context, _ connector.Partition, at connector.Position) error {
	files, err := s.cfg.Expand(s.env.FS)
	if err != nil {
		return err
	}
	if err := s.prepare(files); err != nil {
		return err
	}
	s.blocks = filesink.NewBlocks(filesink.BlocksConfig{
		FS: s.env.FS, Source: s.cfg.SourceConfig, Files: files, Cut: s.cut,
		Prologue: s.prologue, Budget: s.env.Budget,
	})
	return s.blocks.Resume(at)
}

// cut ends a block after whole records.
func (s *source) cut(data []byte, atEOF bool) int {
	n := s.cutRows(data, atEOF, s.env.Budget.Limits().Rows)
	s.last = atEOF && (n == len(data) || n == 0)
	return n
}

func (s *source) cutRows(data []byte, atEOF bool, rows int) int {
	switch s.layout {
	case codec.Elements:
		return codec.CutElements(data, atEOF, rows)
	case codec.Values:
		return codec.CutValues(data, atEOF, rows)
	}
	return filesink.CutLines(data, atEOF)
}

// prologue skips what precedes the first element of an array.
func (s *source) prologue(file string, head []byte, atEOF bool) (int, bool, error) {
	if s.layout != codec.Elements {
		return 0, true, nil
	}
	start, ok, err := codec.ArrayStart(head, s.cfg.Records)
	if err == nil && !ok && atEOF {
		err = fmt.Errorf("the text ends before the array of records")
	}
	if err != nil {
		return 0, false, &connector.Error{
			Op: "read " + file, Class: connector.Data, Code: "json_no_array", Err: err,
			Hint: "check format and records",
		}
	}
	return start, ok, nil
}

// piece is the Payload of a chunk.
type piece struct {
	block filesink.Block
	last  bool          // of its file
	known *batch.Schema // when it was read
}

// Read returns the next block of whole records.
func (s *source) Read(ctx context.Context) (connector.Chunk, error) {
	block, err := s.blocks.Next(ctx)
	if err != nil {
		return connector.Chunk{}, err
	}
	return connector.Chunk{
		Payload:  piece{block: block, last: s.last, known: s.reader.Known()},
		Position: block.Next, Bytes: len(block.Data), Release: block.Release,
	}, nil
}

// NewDecode returns a function that turns blocks into batches.
func (s *source) NewDecode() connector.DecodeFunc {
	decoder := s.reader.NewDecoder()
	return func(chunk connector.Chunk) (connector.Chunk, error) {
		p, ok := chunk.Payload.(piece)
		if !ok {
			return chunk, fmt.Errorf("decode json: payload is %T", chunk.Payload)
		}
		result, err := decoder.Decode(codec.Block{
			Data: p.block.Data, Name: p.block.File, Line: p.block.Line, Last: p.last,
			Known: p.known,
		})
		if err != nil {
			return chunk, err
		}
		chunk.Batch, chunk.Rejected, chunk.Payload = result.Batch, result.Rejected, nil
		if s.cfg.Schema.Strict {
			touch(&chunk)
		}
		block := chunk.Release
		chunk.Release = func() {
			result.Release()
			if block != nil {
				block()
			}
		}
		return chunk, nil
	}
}

// touch reads every member as its type and rejects the rows with members that do not read.
func touch(chunk *connector.Chunk) {
	var bad []batch.RowError
	b := chunk.Batch
	for i := range b.Columns() {
		typed, errs := b.Typed(i)
		b, bad = typed, append(bad, errs...)
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

// Ack does nothing: files stay as they are.
func (s *source) Ack(context.Context, connector.Position) error { return nil }

// Close closes the current file.
func (s *source) Close() error {
	if s.blocks == nil {
		return nil
	}
	return s.blocks.Close()
}

// Bounds of what sniffing and inference look at.
const (
	leastHeadBytes = 1 << 20
	mostHeadBytes  = 64 << 20
)

// prepare finds out format and schema from the first file that has records.
func (s *source) prepare(files []string) error {
	declared, err := s.cfg.schema()
	if err != nil {
		return err
	}
	extra, err := s.cfg.extra()
	if err != nil {
		return err
	}
	options := codec.Options{Schema: declared, Extra: extra, Enclosed: s.cfg.Records != ""}
	for _, file := range files {
		done, err := s.look(file, &options)
		if err != nil {
			return err
		}
		if done {
			break
		}
	}
	if options.Schema == nil {
		options.Schema = batch.NewSchema()
	}
	options.Layout = s.layout
	s.reader, err = codec.NewReader(options)
	if err != nil {
		return problem("configure json source", []error{fmt.Errorf("schema: %w", err)})
	}
	return nil
}

// look reads more and more of a file's beginning until it holds enough records; done false: the
// file has none.
func (s *source) look(file string, options *codec.Options) (done bool, err error) {
	for size := leastHeadBytes; ; size *= 4 {
		head, whole, err := s.cfg.Head(s.env.FS, file, size)
		if err != nil {
			return false, err
		}
		s.layout = s.sniff(head)
		if len(bytes.TrimSpace(head)) == 0 && whole {
			return false, nil
		}
		if options.Schema != nil && len(s.cfg.Schema.Columns) > 0 {
			return true, nil
		}
		body, ok := s.body(head)
		if ok && !whole {
			n := s.cutRows(body, false, s.cfg.SampleRows)
			ok = n > 0
			body = body[:n]
		}
		if !ok && !whole && size < mostHeadBytes {
			continue
		}
		schema, notObjects := codec.Infer(codec.Block{Data: body}, s.layout, s.cfg.SampleRows)
		options.Schema, options.Whole = schema, notObjects
		return schema.Len() > 0, nil
	}
}

// body returns the records of a file's beginning.
func (s *source) body(head []byte) (body []byte, ok bool) {
	if s.layout != codec.Elements {
		return head, true
	}
	start, ok, err := codec.ArrayStart(head, s.cfg.Records)
	if err != nil || !ok {
		return nil, false
	}
	return head[start:], true
}

// sniff tells the layout from a file's beginning.
func (s *source) sniff(head []byte) codec.Layout {
	switch s.cfg.Format {
	case "ndjson":
		return codec.Lines
	case "array":
		return codec.Elements
	case "values":
		return codec.Values
	}
	if s.cfg.Records != "" {
		return codec.Elements
	}
	return codec.Sniff(head)
}
