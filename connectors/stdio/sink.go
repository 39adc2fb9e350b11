package stdio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/codec/csv"
	"github.com/tapeline/tapeline/codec/json"
	"github.com/tapeline/tapeline/codec/lines"
	"github.com/tapeline/tapeline/connector"
)

type sink struct {
	cfg     SinkConfig
	output  io.Writer
	dialect csv.Dialect
	encode  connector.EncodeFunc // for chunks that come without Payload
	headed  bool
	pool    sync.Pool // of *payload
}

var (
	_ connector.Sink    = (*sink)(nil)
	_ connector.Encoder = (*sink)(nil)
)

// payload is the text of a chunk's rows.
type payload struct{ text []byte }

func newSink(cfg *SinkConfig, output io.Writer) (connector.Sink, error) {
	const op = "configure stdio sink"
	if err := checkFormat(op, cfg.Format); err != nil {
		return nil, err
	}
	s := &sink{cfg: *cfg, output: output, dialect: csv.NewDialect()}
	s.dialect.Delimiter = cfg.Delimiter
	problems := s.dialect.Validate()
	if err := lines.CheckTemplate(cfg.Template); err != nil {
		problems = append(problems, err)
	}
	if err := problem(op, problems); err != nil {
		return nil, err
	}
	s.pool.New = func() any { return &payload{} }
	s.encode = s.NewEncode()
	return s, nil
}

func problem(op string, problems []error) error {
	if len(problems) == 0 {
		return nil
	}
	return &connector.Error{Op: op, Class: connector.Permanent, Err: errors.Join(problems...)}
}

// Open does nothing.
func (s *sink) Open(context.Context, connector.Task) error { return nil }

// NewEncode returns a function that writes the rows of a chunk as text, in memory that its
// Release gives back.
func (s *sink) NewEncode() connector.EncodeFunc {
	appendRows := s.appendRows()
	return func(chunk connector.Chunk) (connector.Chunk, error) {
		out := s.pool.Get().(*payload)
		var bad []batch.RowError
		var err error
		out.text, bad, err = appendRows(out.text[:0], chunk.Batch)
		if err != nil {
			return chunk, &connector.Error{
				Op: "encode for standard output", Class: connector.Schema, Err: err,
			}
		}
		chunk.Payload = out
		chunk.Release = func() { s.pool.Put(out) }
		if len(bad) > 0 {
			return chunk, &connector.PartialError{Rows: bad}
		}
		return chunk, nil
	}
}

// appendRows returns the codec's function of the format.
func (s *sink) appendRows() func([]byte, *batch.Batch) ([]byte, []batch.RowError, error) {
	switch s.cfg.Format {
	case "csv":
		encoder := csv.NewEncoder(s.dialect)
		return func(dst []byte, b *batch.Batch) ([]byte, []batch.RowError, error) {
			out, bad := encoder.AppendRows(dst, b)
			return out, bad, nil
		}
	case "lines":
		return lines.NewEncoder(s.cfg.Template).Append
	}
	return json.NewEncoder(json.EncodeOptions{OmitNull: s.cfg.OmitNull, Newline: true}).Append
}

// Write writes the rows ("written").
func (s *sink) Write(_ context.Context, chunk connector.Chunk) error {
	var partial error
	if chunk.Payload == nil {
		if chunk, partial = s.encode(chunk); chunk.Payload == nil {
			return partial
		}
		defer chunk.Release()
	}
	out, ok := chunk.Payload.(*payload)
	if !ok {
		return fmt.Errorf("write standard output: payload is %T", chunk.Payload)
	}
	if s.cfg.Format == "csv" && s.cfg.Header && !s.headed {
		header := csv.NewEncoder(s.dialect).AppendHeader(nil, chunk.Batch.Schema())
		if err := s.write(header); err != nil {
			return err
		}
		s.headed = true
	}
	if err := s.write(out.text); err != nil {
		return err
	}
	return partial
}

// write may have written a part when it fails, so the failure is never Transient.
func (s *sink) write(text []byte) error {
	if _, err := s.output.Write(text); err != nil {
		return &connector.Error{Op: "write standard output", Class: connector.Permanent, Err: err}
	}
	return nil
}

// Close leaves standard output open: it belongs to the process.
func (s *sink) Close() error { return nil }
