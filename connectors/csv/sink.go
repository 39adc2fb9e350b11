package csv

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	"github.com/tapeline/tapeline/batch"
	codec "github.com/tapeline/tapeline/codec/csv"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/filesink"
)

// sink appends records that EncodeFuncs formatted to a stage.
type sink struct {
	cfg     *SinkConfig
	dialect codec.Dialect
	stage   *filesink.Stage
	schema  *batch.Schema // of the newest rows
	header  *codec.Encoder
	buffers bufferPool
	inline  connector.EncodeFunc // for chunks that no worker encoded
}

var (
	_ connector.Sink          = (*sink)(nil)
	_ connector.Transactional = (*sink)(nil)
	_ connector.Encoder       = (*sink)(nil)
	_ connector.SchemaEvolver = (*sink)(nil)
)

func newSink(env connector.Env, cfg *SinkConfig) (connector.Sink, error) {
	s := &sink{cfg: cfg}
	problems := cfg.Validate()
	var more []error
	s.dialect, more = dialectOf(cfg.Delimiter, cfg.Quote, cfg.Escape, "")
	s.dialect.Nulls = []string{cfg.NullValue}
	problems = append(append(problems, more...), s.dialect.Validate()...)
	if err := invalid(problems); err != nil {
		return nil, err
	}
	s.header = codec.NewEncoder(s.dialect)
	var err error
	s.stage, err = filesink.NewStage(filesink.StageConfig{Env: env, Sink: cfg.SinkConfig, Suffix: suffix})
	if err != nil {
		return nil, err
	}
	s.inline = s.NewEncode()
	return s, nil
}

// encoded is a chunk's records on their way to the file.
type encoded struct {
	schema *batch.Schema
	data   []byte
	member bool // data is compressed
}

// memberBytes is from when on a worker compresses a chunk; smaller ones are collected by the stage,
// as tiny members would compress badly.
const memberBytes = 128 << 10

// NewEncode returns a function that formats batches. The buffer of a chunk is its Release's.
func (s *sink) NewEncode() connector.EncodeFunc {
	e := codec.NewEncoder(s.dialect)
	compress, compressErr := s.stage.NewCompress()
	return func(chunk connector.Chunk) (connector.Chunk, error) {
		b := chunk.Batch
		if b.Operations() != nil {
			return chunk, &connector.Error{
				Op: "write csv", Class: connector.Schema, Err: fmt.Errorf("a file takes no upserts or deletes"),
				Hint: "drop the operations before this sink",
			}
		}
		if compressErr != nil {
			return chunk, compressErr
		}
		data, bad := e.AppendRows(s.buffers.get(), b)
		out := &encoded{schema: b.Schema(), data: data}
		if compress != nil && len(out.data) >= memberBytes {
			member, err := compress(s.buffers.get(), out.data)
			if err != nil {
				return chunk, err
			}
			s.buffers.put(out.data)
			out.data, out.member = member, true
		}
		chunk.Payload = out
		chunk.Release = func() {
			s.buffers.put(out.data)
			out.data = nil
		}
		if len(bad) > 0 {
			return chunk, &connector.PartialError{Rows: bad}
		}
		return chunk, nil
	}
}

// Open prepares the stage.
func (s *sink) Open(ctx context.Context, task connector.Task) error { return s.stage.Open(ctx, task) }

// Write appends the chunk's records, after a header where the file begins.
func (s *sink) Write(_ context.Context, chunk connector.Chunk) error {
	var partial error
	if chunk.Payload == nil {
		if chunk, partial = s.inline(chunk); chunk.Payload == nil {
			return partial
		}
		defer chunk.Release()
	}
	e, ok := chunk.Payload.(*encoded)
	if !ok {
		return fmt.Errorf("write csv: payload is %T", chunk.Payload)
	}
	if err := s.sameColumns(e.schema); err != nil {
		return err
	}
	fresh, err := s.stage.Fresh()
	if err != nil {
		return err
	}
	if err := s.append(e, fresh && s.cfg.Header); err != nil {
		return err
	}
	return partial
}

// append writes the records; a failed write leaves neither them nor, unless it was complete, the
// header, so that it may be repeated.
func (s *sink) append(e *encoded, header bool) error {
	data := e.data
	if header {
		text := s.header.AppendHeader(nil, e.schema)
		if e.member {
			if _, err := s.stage.Write(text); err != nil {
				return err
			}
		} else {
			data = append(text, data...)
		}
	}
	switch {
	case len(data) == 0:
		return nil
	case e.member:
		return s.stage.WriteMember(data)
	}
	_, err := s.stage.Write(data)
	return err
}

// sameColumns refuses rows whose columns differ from those written before, be it by an earlier
// process of the run.
func (s *sink) sameColumns(schema *batch.Schema) error {
	if s.schema == schema {
		return nil
	}
	is := bytes.TrimRight(s.header.AppendHeader(nil, schema), "\r\n")
	if err := s.stage.Columns("csv", is, false); err != nil {
		return err
	}
	s.schema = schema
	return nil
}

// Prepare ends the epoch.
func (s *sink) Prepare(ctx context.Context, epoch connector.Epoch) (connector.Prepared, error) {
	return s.stage.Prepare(ctx, epoch)
}

// Commit publishes what the epoch completed.
func (s *sink) Commit(ctx context.Context, epoch connector.Epoch, token []byte) error {
	return s.stage.Commit(ctx, epoch, token)
}

// Recover returns to the end of the epoch.
func (s *sink) Recover(ctx context.Context, epoch connector.Epoch, token []byte) error {
	return s.stage.Recover(ctx, epoch, token)
}

// Evolve takes over a changed schema where each part is a file of its own. An unchanged one tells
// what the parts of an earlier attempt hold.
func (s *sink) Evolve(_ context.Context, _, to *batch.Schema) error { return s.sameColumns(to) }

// Close leaves what is staged for Recover.
func (s *sink) Close() error { return s.stage.Close() }

// bufferPool keeps the buffers of written chunks.
type bufferPool struct {
	mu   sync.Mutex
	free [][]byte
}

func (p *bufferPool) get() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.free) == 0 {
		return nil
	}
	last := len(p.free) - 1
	b := p.free[last]
	p.free = p.free[:last]
	return b[:0]
}

func (p *bufferPool) put(b []byte) {
	const most = 16
	p.mu.Lock()
	defer p.mu.Unlock()
	if cap(b) > 0 && len(p.free) < most {
		p.free = append(p.free, b)
	}
}
