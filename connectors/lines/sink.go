package lines

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/tapeline/tapeline/batch"
	codec "github.com/tapeline/tapeline/codec/lines"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/filesink"
)

type sink struct {
	cfg    SinkConfig
	stage  *filesink.Stage
	encode connector.EncodeFunc // for chunks that come without Payload
	pool   sync.Pool            // of *payload
}

var (
	_ connector.Transactional = (*sink)(nil)
	_ connector.Encoder       = (*sink)(nil)
	_ connector.SchemaEvolver = (*sink)(nil)
)

// payload is the text of a chunk's rows.
type payload struct{ text []byte }

func newSink(env connector.Env, cfg *SinkConfig) (connector.Sink, error) {
	problems := cfg.Validate()
	if err := codec.CheckTemplate(cfg.Template); err != nil {
		problems = append(problems, err)
	}
	if len(problems) > 0 {
		return nil, &connector.Error{
			Op: "configure lines sink", Class: connector.Permanent, Err: errors.Join(problems...),
		}
	}
	stage, err := filesink.NewStage(filesink.StageConfig{
		Env: env, Sink: cfg.SinkConfig, Suffix: suffix,
	})
	if err != nil {
		return nil, err
	}
	s := &sink{cfg: *cfg, stage: stage}
	s.pool.New = func() any { return &payload{} }
	s.encode = s.NewEncode()
	return s, nil
}

// Open prepares the target's folder.
func (s *sink) Open(ctx context.Context, task connector.Task) error { return s.stage.Open(ctx, task) }

// NewEncode returns a function that writes the rows of a chunk as lines, in memory that
// its Release gives back.
func (s *sink) NewEncode() connector.EncodeFunc {
	encoder := codec.NewEncoder(s.cfg.Template)
	return func(chunk connector.Chunk) (connector.Chunk, error) {
		out := s.pool.Get().(*payload)
		var bad []batch.RowError
		var err error
		out.text, bad, err = encoder.Append(out.text[:0], chunk.Batch)
		if err != nil {
			return chunk, &connector.Error{Op: "encode lines", Class: connector.Schema, Err: err}
		}
		chunk.Payload = out
		chunk.Release = func() { s.pool.Put(out) }
		if len(bad) > 0 {
			return chunk, &connector.PartialError{Rows: bad}
		}
		return chunk, nil
	}
}

// Write appends the lines of a chunk to the stage ("written" after Prepare).
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
		return fmt.Errorf("write lines: payload is %T", chunk.Payload)
	}
	if _, err := s.stage.Write(out.text); err != nil {
		return err
	}
	return partial
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

// Evolve does nothing: the template finds its columns by name.
func (s *sink) Evolve(context.Context, *batch.Schema, *batch.Schema) error { return nil }

// Close leaves an open part for Recover.
func (s *sink) Close() error { return s.stage.Close() }
