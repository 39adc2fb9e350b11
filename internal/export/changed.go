package export

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/store"
	"github.com/tapeline/tapeline/internal/vfs"
)

// touched returns the parts with rows that differ between a commit and the view, and maybe more. Since
// commit 0 these are all parts.
func (x *folder) touched(ctx context.Context, since store.Seq) (map[string]bool, error) {
	set := map[string]bool{}
	now := x.view.Seq()
	if since == now && since > 0 {
		return set, nil
	}
	if since > now {
		since = now // an earlier state: what came after it is what differs
	}
	if since > 0 {
		err := x.increments(ctx, since, set)
		if !errors.Is(err, store.ErrHorizon) {
			return set, err
		}
		x.report.Full = fmt.Sprintf("the store no longer knows what was deleted since commit %d", since)
	}
	for name := range x.manifest.Parts {
		set[name] = true
	}
	for _, dataset := range x.layout.datasets() {
		span := store.Range{}
		if dataset.name == x.Dataset { // of others not all are kept by symbol or day
			span = x.span()
		}
		for b, err := range x.view.Scan(dataset.name, span, dataset.columns) {
			if err != nil {
				return nil, err
			}
			x.layout.touch(dataset.name, b, true, x.manifest.Parts, set)
		}
	}
	return set, nil
}

// increments reads what was committed after a commit, deletes included.
func (x *folder) increments(ctx context.Context, since store.Seq, set map[string]bool) error {
	position, err := x.position(ctx, since)
	if err != nil {
		return err
	}
	for _, dataset := range x.layout.datasets() {
		config := store.SourceConfig{
			Path: x.Store.Dir(), Dataset: dataset.name, Columns: dataset.columns, Incremental: true,
		}
		if dataset.name == x.Dataset { // others count whatever their dates are
			config.Symbols, config.From, config.To = x.Symbols, x.asked().From, x.asked().To
		}
		if _, err := drain(ctx, config, position, func(b *batch.Batch) {
			x.layout.touch(dataset.name, b, false, x.manifest.Parts, set)
		}); err != nil {
			return err
		}
	}
	return nil
}

// position is where an incremental read goes on behind a commit.
func (x *folder) position(ctx context.Context, seq store.Seq) (connector.Position, error) {
	for _, c := range x.manifest.Commits {
		if c.Sequence == seq && c.Position != "" {
			return base64.StdEncoding.DecodeString(c.Position)
		}
	}
	return positionOf(ctx, x.Store, seq)
}

// positionOf ends a read of no rows as of a commit: its position is that of any read that ends there.
func positionOf(ctx context.Context, s *store.Store, seq store.Seq) (connector.Position, error) {
	const before = "0001-01-01"
	return drain(ctx, store.SourceConfig{
		Path: s.Dir(), Dataset: "calendar", Columns: []string{"date"}, From: before, To: before, AsOf: int64(seq),
	}, nil, func(*batch.Batch) {})
}

// drain reads the store's source to its end and returns where that is.
func drain(
	ctx context.Context, config store.SourceConfig, from connector.Position, each func(*batch.Batch),
) (end connector.Position, err error) {
	const rows, bytes = 128 << 10, 64 << 20
	source, err := store.Connector().Source.New(connector.Env{
		FS: vfs.OS{}, Budget: connector.NewBudget(connector.Limits{Rows: rows, Bytes: bytes}),
	}, &config)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	if err := source.Open(ctx, connector.Partition{}, from); err != nil {
		return nil, err
	}
	for {
		chunk, err := source.Read(ctx)
		if errors.Is(err, io.EOF) {
			return chunk.Position, nil
		}
		if err != nil {
			return nil, err
		}
		each(chunk.Batch)
	}
}
