package avro

import (
	"context"
	"errors"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/codec/container"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/drift"
	"github.com/tapeline/tapeline/internal/filesink"
)

// source reads files one after the other.
type source struct {
	env    connector.Env
	cfg    *SourceConfig
	schema *batch.Schema // of the first file
	walk   *container.Walk
}

var (
	_ connector.Source     = (*source)(nil)
	_ connector.Discoverer = (*source)(nil)
	_ connector.Checker    = (*source)(nil)
)

func newSource(env connector.Env, cfg *SourceConfig) (connector.Source, error) {
	if cfg.Path == "" {
		return nil, invalid([]error{errors.New("path: required")})
	}
	return &source{env: env, cfg: cfg}, nil
}

// Check reports whether the files are there and the first one can be read.
func (s *source) Check(ctx context.Context) error {
	_, err := s.Discover(ctx)
	return err
}

// Discover returns the schema of the first file.
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
	err := container.Inspect(s.env.FS, name, func(f *container.File) error {
		h, err := readHeader(f)
		if err != nil {
			return err
		}
		schema, err = container.Project(batch.NewSchema(h.fields...), s.cfg.Columns, name)
		return err
	})
	return schema, err
}

// Open expands the path and reads the first file's schema.
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
		Open: func(_ context.Context, f *container.File, from container.Cursor, _ int64) (container.Reader, error) {
			h, err := readHeader(f)
			if err != nil {
				return nil, err
			}
			schema, err := drift.Follow(s.schema, drift.Later{
				File: f.Name(), Own: batch.NewSchema(h.fields...), Only: s.cfg.Columns,
			})
			if err != nil {
				return nil, err
			}
			return newReader(f, h, schema, from)
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
