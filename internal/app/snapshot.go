package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/export"
	"github.com/tapeline/tapeline/internal/store"
)

// Snapshot describes `tapeline snapshot`.
type Snapshot struct {
	Store  string
	Out    string
	AsOf   int64
	Layout string // plain or hive
	Force  bool
}

// Snapshot writes a store as a folder of Parquet files. A wish that cannot be met is a *WishError.
func (p *Parts) Snapshot(
	ctx context.Context, r Snapshot, progress func(step string, done, all int64), log *slog.Logger,
) (m *export.SnapshotManifest, err error) {
	switch {
	case r.AsOf < 0:
		return nil, &WishError{errors.New("--as-of: commits are numbered from 1; 0 is the newest")}
	case r.Layout != export.Plain && r.Layout != export.Hive:
		return nil, &WishError{fmt.Errorf("--layout %q: want %s or %s", r.Layout, export.Plain, export.Hive)}
	}
	opened, err := openStore(r.Store, log, false)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, opened.Close()) }()
	m, err = export.Snapshot{
		Store: opened, Out: r.Out, AsOf: store.Seq(r.AsOf), Layout: r.Layout, Force: r.Force, Log: log,
		Sink: func(path string) (connector.Sink, error) { return p.fileSink("parquet", path) },
		Progress: func(dataset string, done, files int) {
			progress(dataset, int64(done), int64(files))
		},
	}.Run(ctx)
	return m, wished(err)
}
