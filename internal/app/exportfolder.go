package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/export"
	"github.com/tapeline/tapeline/internal/flow/spec"
	"github.com/tapeline/tapeline/internal/store"
	"github.com/tapeline/tapeline/internal/vfs"
)

// Folder reports whether an export keeps a folder of files up to date, instead of writing one file.
func (e Export) Folder() bool {
	info, err := os.Stat(e.Out)
	return e.Format == export.PTrade || strings.HasSuffix(e.Out, "/") || err == nil && info.IsDir()
}

// ExportFolder brings the folder of an export up to date. A wish that cannot be met is a *WishError.
func (p *Parts) ExportFolder(
	ctx context.Context, e Export, progress func(done, parts int), log *slog.Logger,
) (report *export.Report, err error) {
	c, err := e.check()
	if err != nil {
		return nil, &WishError{err}
	}
	r := export.Request{
		Out: e.Out, Layout: export.Hive, Dataset: e.Dataset, Format: cmp.Or(e.Format, "parquet"),
		Symbols: c.symbols, From: c.days.From, To: c.days.To, AsOf: store.Seq(e.AsOf), Adjust: c.adjust,
		Progress: progress, Log: log,
	}
	if e.Format == export.PTrade {
		r.Layout, r.Dataset, r.Format = export.PTrade, "", "parquet"
	}
	if !slices.Contains(exportFormats, r.Format) {
		return nil, &WishError{fmt.Errorf("--format %q: want %s, ptrade", e.Format, strings.Join(exportFormats, ", "))}
	}
	r.Sink = func(path string) (connector.Sink, error) { return p.fileSink(r.Format, path) }
	if r.Store, err = openStore(c.dir, log, false); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Store.Close()) }()
	report, err = export.Run(ctx, r)
	return report, wished(err)
}

// fileSink makes a sink that replaces one file.
func (p *Parts) fileSink(format, path string) (connector.Sink, error) {
	c, ok := p.Connectors.Get(format)
	if !ok || c.Sink == nil {
		return nil, fmt.Errorf("there is no connector %s that writes files", format)
	}
	config := clone(c.Sink.Config)
	if problems := spec.DecodeMap(map[string]any{"path": path}, config); spec.Failed(problems) {
		return nil, errors.New(firstError(problems))
	}
	return c.Sink.New(connector.Env{Log: slog.New(slog.DiscardHandler), FS: vfs.OS{}}, config)
}

// WishError is a request that cannot be met as it was made.
type WishError struct{ Err error }

// Error returns the cause.
func (w *WishError) Error() string { return w.Err.Error() }

// Unwrap returns the cause.
func (w *WishError) Unwrap() error { return w.Err }
