package json

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
	"sync"

	"github.com/tapeline/tapeline/batch"
	codec "github.com/tapeline/tapeline/codec/json"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/filesink"
)

type sink struct {
	cfg   SinkConfig
	stage *filesink.Stage
	fs    interface {
		Stat(name string) (fs.FileInfo, error)
	}
	encode connector.EncodeFunc // for chunks that come without Payload
	pool   sync.Pool            // of *payload
	ended  bool                 // the array was closed
}

var (
	_ connector.Transactional = (*sink)(nil)
	_ connector.Encoder       = (*sink)(nil)
	_ connector.SchemaEvolver = (*sink)(nil)
)

// payload is the text of a chunk's rows. In an array each record has a comma before it, of which
// the first one becomes the bracket.
type payload struct{ text []byte }

func newSink(env connector.Env, cfg *SinkConfig) (connector.Sink, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	stage, err := filesink.NewStage(filesink.StageConfig{
		Env: env, Sink: cfg.SinkConfig, Suffix: suffix,
	})
	if err != nil {
		return nil, err
	}
	s := &sink{cfg: *cfg, stage: stage, fs: env.FS}
	s.pool.New = func() any { return &payload{} }
	s.encode = s.NewEncode()
	return s, nil
}

func (s *sink) array() bool { return s.cfg.Format == "array" }

// Open prepares the target's folder.
func (s *sink) Open(ctx context.Context, task connector.Task) error {
	if err := s.stage.Open(ctx, task); err != nil {
		return err
	}
	if info, err := s.fs.Stat(s.cfg.Path); s.array() &&
		(strings.HasSuffix(s.cfg.Path, "/") || err == nil && info.IsDir()) {
		return &connector.Error{
			Op: "open " + s.cfg.Path, Class: connector.Permanent, Path: "format",
			Err:  fmt.Errorf("an array is written to a single file, %s is a folder", s.cfg.Path),
			Hint: "use format ndjson, or name a file",
		}
	}
	return nil
}

// NewEncode returns a function that writes the rows of a chunk as text, in memory that its
// Release gives back.
func (s *sink) NewEncode() connector.EncodeFunc {
	options := codec.EncodeOptions{OmitNull: s.cfg.OmitNull, Newline: true}
	if s.array() {
		options.Separator, options.Newline = ",\n", false
	}
	encoder := codec.NewEncoder(options)
	return func(chunk connector.Chunk) (connector.Chunk, error) {
		out := s.pool.Get().(*payload)
		var bad []batch.RowError
		var err error
		out.text, bad, err = encoder.Append(out.text[:0], chunk.Batch)
		if err != nil {
			return chunk, &connector.Error{Op: "encode json", Class: connector.Schema, Err: err}
		}
		chunk.Payload = out
		chunk.Release = func() { s.pool.Put(out) }
		if len(bad) > 0 {
			return chunk, &connector.PartialError{Rows: bad}
		}
		return chunk, nil
	}
}

// Write appends the text of a chunk to the stage ("written" after Prepare).
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
		return fmt.Errorf("write json: payload is %T", chunk.Payload)
	}
	if len(out.text) > 0 {
		if err := s.write(out.text); err != nil {
			return err
		}
	}
	return partial
}

func (s *sink) write(text []byte) error {
	if s.array() {
		fresh, err := s.stage.Fresh()
		if err != nil {
			return err
		}
		text[0] = ','
		if fresh {
			text[0] = '['
		}
	}
	_, err := s.stage.Write(text)
	return err
}

// Prepare ends the epoch and, at the end of the run, the array.
func (s *sink) Prepare(ctx context.Context, epoch connector.Epoch) (connector.Prepared, error) {
	if epoch.Final && s.array() && !s.ended {
		fresh, err := s.stage.Fresh()
		if err != nil {
			return connector.Prepared{}, err
		}
		end := "\n]\n"
		if fresh {
			end = "[]\n"
		}
		if _, err := s.stage.Write([]byte(end)); err != nil {
			return connector.Prepared{}, err
		}
		s.ended = true
	}
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

// Evolve does nothing: each object names its members.
func (s *sink) Evolve(context.Context, *batch.Schema, *batch.Schema) error { return nil }

// Close leaves an open part for Recover.
func (s *sink) Close() error { return s.stage.Close() }
