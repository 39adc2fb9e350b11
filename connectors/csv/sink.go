package csv

import (
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
	schema  *batch.Schema // of the rows written so far
	header  *codec.Encoder
	buffers bufferPool
	inline  connector.EncodeFunc // for chunks that no worker encoded
}

var (
	_ connector.Sink          = (*sink)(nil)
	_ connector.Transactional = (*sink)(nil)
	_ connector.Encoder       = (*sink)(nil)
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
	s.inline = s.NewEncode()
	var err error
	s.stage, err = filesink.NewStage(filesink.StageConfig{FS: env.FS, Sink: cfg.SinkConfig, Suffix: ".csv"})
	return s, err
}

// encoded is a chunk's records on their way to the file.
type encoded struct {
	schema *batch.Schema
	data   []byte
}

// NewEncode returns a function that formats batches.
func (s *sink) NewEncode() connector.EncodeFunc {
	e := codec.NewEncoder(s.dialect)
	return func(chunk connector.Chunk) (connector.Chunk, error) {
		b := chunk.Batch
		if b.Operations() != nil {
			return chunk, &connector.Error{
				Op: "write csv", Class: connector.Schema, Err: fmt.Errorf("a file takes no upserts or deletes"),
				Hint: "drop the operations before this sink",
			}
		}
		chunk.Payload = &encoded{schema: b.Schema(), data: e.AppendRows(s.buffers.get(), b)}
		return chunk, nil
	}
}

// Open prepares the stage.
func (s *sink) Open(ctx context.Context, task connector.Task) error { return s.stage.Open(ctx, task) }

// Write appends the chunk's records, after a header where the file begins.
func (s *sink) Write(_ context.Context, chunk connector.Chunk) error {
	if chunk.Payload == nil {
		var err error
		if chunk, err = s.inline(chunk); err != nil {
			return err
		}
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
	data := e.data
	if fresh && s.cfg.Header {
		// One write, so that a failed one leaves neither header nor rows.
		data = append(s.header.AppendHeader(nil, e.schema), e.data...)
	}
	if len(data) > 0 {
		if _, err := s.stage.Write(data); err != nil {
			return err
		}
	}
	s.buffers.put(e.data)
	e.data = nil
	return nil
}

// sameColumns refuses rows whose columns differ from those in the file.
func (s *sink) sameColumns(schema *batch.Schema) error {
	if s.schema == schema {
		return nil
	}
	if s.schema != nil {
		was, is := s.schema.Names(), schema.Names()
		if fmt.Sprint(was) != fmt.Sprint(is) {
			return &connector.Error{
				Op: "write csv", Class: connector.Schema, Code: "csv_columns_changed",
				Err:  fmt.Errorf("columns changed from %v to %v", was, is),
				Hint: "select the columns explicitly before this sink",
			}
		}
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
