package parquet

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/codec/container"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/drift"
	"github.com/tapeline/tapeline/internal/filesink"
)

// source reads files one after the other, or pieces of them.
type source struct {
	env    connector.Env
	cfg    *SourceConfig
	schema *batch.Schema // of the first file
	walk   *container.Walk
}

var (
	_ connector.Source      = (*source)(nil)
	_ connector.Partitioner = (*source)(nil)
	_ connector.Discoverer  = (*source)(nil)
	_ connector.Checker     = (*source)(nil)
)

func newSource(env connector.Env, cfg *SourceConfig) (connector.Source, error) {
	return &source{env: env, cfg: cfg}, cfg.validate()
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
	err := s.inspect(name, func(o *open) (err error) {
		schema, err = container.Project(o.schema(), s.cfg.Columns, name)
		return err
	})
	return schema, err
}

// inspect opens a file for as long as look looks at it.
func (s *source) inspect(name string, look func(o *open) error) error {
	return container.Inspect(s.env.FS, name, func(f *container.File) error {
		o, err := openFile(f, s.cfg.maxPageBytes())
		if err != nil {
			return err
		}
		return look(o)
	})
}

// Partitions divides the row groups of all files into parts of about as many rows.
func (s *source) Partitions(ctx context.Context, limit int) ([]connector.Partition, error) {
	files, err := s.files()
	if err != nil {
		return nil, err
	}
	var pieces []container.Piece
	var rows []int64
	var total int64
	for _, name := range files {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		err := s.inspect(name, func(o *open) error {
			for group := range o.pages.NumRowGroups() {
				n := o.pages.RowGroup(group).NumRows()
				pieces = append(pieces, container.Piece{File: name, From: int64(group), To: int64(group) + 1})
				rows, total = append(rows, n), total+n
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if len(pieces) == 0 {
		return []connector.Partition{{}}, nil
	}
	return divide(pieces, rows, total, limit)
}

// divide makes at most limit partitions of consecutive pieces.
func divide(pieces []container.Piece, rows []int64, total int64, limit int) ([]connector.Partition, error) {
	var parts []connector.Partition
	var part []container.Piece
	var before int64
	for i, piece := range pieces {
		if last := len(part) - 1; last >= 0 && part[last].File == piece.File && part[last].To == piece.From {
			part[last].To = piece.To
		} else {
			part = append(part, piece)
		}
		before += rows[i]
		share := int64(len(parts)+1) * total / int64(max(limit, 1))
		if i < len(pieces)-1 && (before < share || len(parts) == limit-1) {
			continue
		}
		spec, err := json.Marshal(part)
		if err != nil {
			return nil, err
		}
		parts = append(parts, connector.Partition{ID: fmt.Sprintf("part-%d", len(parts)), Spec: spec})
		part = nil
	}
	return parts, nil
}

// Open expands the path and reads the first file's schema.
func (s *source) Open(_ context.Context, partition connector.Partition, at connector.Position) error {
	files, err := s.files()
	if err != nil {
		return err
	}
	if s.schema, err = s.discover(files[0]); err != nil {
		return err
	}
	pieces := container.Whole(files)
	if partition.Spec != nil {
		pieces = nil
		if err := json.Unmarshal(partition.Spec, &pieces); err != nil {
			return fmt.Errorf("partition %s: %w", partition.ID, err)
		}
	}
	s.walk = container.NewWalk(container.Config{
		FS: s.env.FS, Pieces: pieces, Budget: s.env.Budget,
		Open: func(_ context.Context, f *container.File, from container.Cursor, to int64) (container.Reader, error) {
			o, err := openFile(f, s.cfg.maxPageBytes())
			if err != nil {
				return nil, err
			}
			schema, err := drift.Follow(s.schema, drift.Later{
				File: o.name, Own: o.schema(), Only: s.cfg.Columns,
			})
			if err != nil {
				return nil, err
			}
			return newReader(o, schema, from, to), nil
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
