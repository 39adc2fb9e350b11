package lines

import (
	"context"
	"fmt"

	"github.com/tapeline/tapeline/batch"
	codec "github.com/tapeline/tapeline/codec/lines"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/filesink"
)

type source struct {
	env    connector.Env
	cfg    SourceConfig
	format *codec.Format
	blocks *filesink.Blocks
}

var (
	_ connector.Source     = (*source)(nil)
	_ connector.Decoder    = (*source)(nil)
	_ connector.Discoverer = (*source)(nil)
)

func newSource(env connector.Env, cfg *SourceConfig) (connector.Source, error) {
	format, err := cfg.format()
	if err != nil {
		return nil, err
	}
	return &source{env: env, cfg: *cfg, format: format}, nil
}

// Discover returns the columns.
func (s *source) Discover(context.Context) (*batch.Schema, error) { return s.format.Schema(), nil }

// Open finds the files and continues at the position.
func (s *source) Open(_ context.Context, _ connector.Partition, at connector.Position) error {
	files, err := s.cfg.Expand(s.env.FS)
	if err != nil {
		return err
	}
	s.blocks = filesink.NewBlocks(filesink.BlocksConfig{
		FS: s.env.FS, Source: s.cfg.SourceConfig, Files: files, Cut: filesink.CutLines,
		Budget: s.env.Budget,
	})
	return s.blocks.Resume(at)
}

// Read returns the next block of whole lines.
func (s *source) Read(ctx context.Context) (connector.Chunk, error) {
	block, err := s.blocks.Next(ctx)
	if err != nil {
		return connector.Chunk{}, err
	}
	return connector.Chunk{
		Payload: block, Position: block.Next, Bytes: len(block.Data), Release: block.Release,
	}, nil
}

// NewDecode returns a function that turns blocks into batches.
func (s *source) NewDecode() connector.DecodeFunc {
	return func(chunk connector.Chunk) (connector.Chunk, error) {
		block, ok := chunk.Payload.(filesink.Block)
		if !ok {
			return chunk, fmt.Errorf("decode lines: payload is %T", chunk.Payload)
		}
		result := s.format.Decode(codec.Block{
			Data: block.Data, Name: block.File, Line: block.Line, Lines: block.Lines,
		})
		chunk.Batch, chunk.Rejected, chunk.Payload = result.Batch, result.Rejected, nil
		text := chunk.Release
		chunk.Release = func() {
			result.Release()
			if text != nil {
				text()
			}
		}
		return chunk, nil
	}
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
