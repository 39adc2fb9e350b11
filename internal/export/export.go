package export

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/store"
	"github.com/tapeline/tapeline/internal/vfs"
)

// ErrLocked is what a folder is refused with that another export is writing.
var ErrLocked = errors.New("the folder is being written")

// Layouts of a folder.
const (
	Hive   = "hive"   // year=2024/bar_1d.parquet
	PTrade = "ptrade" // stocks/600000.SS.parquet and what belongs to it
)

// Request says what a folder is to hold.
type Request struct {
	Store   *store.Store
	Out     string // the folder
	Layout  string // Hive or PTrade
	Dataset string // of Hive
	Format  string // of Hive: csv, parquet or arrow, also the suffix of its files
	Symbols []string
	From    market.Date // 0: since ever
	To      market.Date // 0: until ever
	AsOf    store.Seq   // 0: the newest
	Adjust  market.Adjustment
	Once    bool // no later export goes on in the folder, so the store need not keep deletes for one

	// Sink makes a sink of the format that replaces one file.
	Sink func(path string) (connector.Sink, error)
	// Progress, when set, is told of each part.
	Progress func(done, parts int)
	Log      *slog.Logger
}

// Report says what an export did.
type Report struct {
	Store     string    `json:"store"`
	Out       string    `json:"out"`
	Layout    string    `json:"layout"`
	Dataset   string    `json:"dataset,omitempty"`
	Sequence  store.Seq `json:"sequence"`          // the commit the folder shows now
	Before    store.Seq `json:"sequence_before"`   // the one it showed; 0: none
	Parts     int       `json:"parts"`             // in the folder
	Written   int       `json:"parts_written"`     // of them, by this export
	Removed   int       `json:"parts_removed"`     // whose rows are all gone
	Rows      int64     `json:"rows"`              // in the folder
	RowsOut   int64     `json:"rows_written"`      // by this export
	Full      string    `json:"full,omitempty"`    // why everything was compared
	Omitted   []string  `json:"omitted,omitempty"` // symbols that the layout has no name for
	Seconds   float64   `json:"seconds"`
	Completed bool      `json:"completed"`
}

// folder is one export under way.
type folder struct {
	Request

	fs       vfs.FS
	view     *store.View
	layout   layout
	manifest *manifest
	report   *Report
	saved    time.Time
}

// Run brings a folder up to date. When ctx ends in between, the folder holds whole parts, its manifest
// says which, and the next Run goes on; the report then is not Completed.
func Run(ctx context.Context, r Request) (report *Report, err error) {
	begun := time.Now()
	x := &folder{Request: r, fs: vfs.OS{}, saved: begun, report: &Report{
		Store: r.Store.Dir(), Out: r.Out, Layout: r.Layout, Dataset: r.Dataset,
	}}
	if x.view, err = r.Store.View(ctx, r.AsOf); err != nil {
		return nil, err
	}
	defer func() {
		err = errors.Join(err, x.view.Close())
		if report != nil {
			report.Seconds = time.Since(begun).Seconds()
		}
	}()
	if err := x.view.Known(r.Symbols); err != nil {
		return nil, err
	}
	if x.layout, err = newLayout(x.view, r); err != nil {
		return nil, err
	}
	unlock, err := x.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if x.manifest, err = x.load(ctx); err != nil {
		return nil, err
	}
	x.report.Before, x.report.Sequence = x.manifest.Sequence, x.view.Seq()
	todo, err := x.changed(ctx)
	if err != nil {
		return nil, err
	}
	if err := x.write(ctx, todo); err != nil {
		return nil, err
	}
	if x.report.Completed {
		err = x.complete(ctx, len(todo) > 0)
	}
	x.count()
	return x.report, err
}

// lockName is the file in a folder whose lock an export holds.
const lockName = ".export.lock"

// lock makes this export the only one in the folder, once that is known to be one of exports.
func (x *folder) lock(ctx context.Context) (unlock func() error, err error) {
	if x.Once {
		return func() error { return nil }, nil // the folder is nobody else's
	}
	if _, err := x.load(ctx); err != nil {
		return nil, err
	}
	if err := x.fs.MkdirAll(x.Out); err != nil {
		return nil, fmt.Errorf("make folder %s: %w", x.Out, err)
	}
	lock, err := vfs.TakeLock(filepath.Join(x.Out, lockName), "the export of "+x.Store.Dir())
	if held, ok := errors.AsType[*vfs.HeldError](err); ok {
		return nil, fmt.Errorf("%w: %s by %w: wait until it ends, or name another folder", ErrLocked, x.Out, held)
	}
	if err != nil {
		return nil, fmt.Errorf("lock folder %s: %w", x.Out, err)
	}
	return lock.Release, nil
}

// write brings the parts up to date, each in one step.
func (x *folder) write(ctx context.Context, todo []string) error {
	if len(todo) > 0 {
		if err := x.begin(ctx); err != nil {
			return err
		}
	}
	for i, name := range todo {
		if ctx.Err() != nil {
			return x.manifest.save(x.fs, x.Out)
		}
		if err := x.part(ctx, name); err != nil {
			return errors.Join(fmt.Errorf("export %s: %w", name, err), x.manifest.save(x.fs, x.Out))
		}
		if x.Progress != nil {
			x.Progress(i+1, len(todo))
		}
		const interval = time.Second
		if time.Since(x.saved) > interval {
			if err := x.manifest.save(x.fs, x.Out); err != nil {
				return err
			}
			x.saved = time.Now()
		}
	}
	x.report.Completed = true
	return nil
}

// begin says in the manifest that parts are of different commits from now on.
func (x *folder) begin(ctx context.Context) error {
	if err := x.fs.MkdirAll(x.Out); err != nil {
		return fmt.Errorf("make folder %s: %w", x.Out, err)
	}
	if err := x.manifest.note(ctx, x.Store, x.view.Seq()); err != nil {
		return err
	}
	x.manifest.Complete = false
	return x.manifest.save(x.fs, x.Out)
}

// part writes one file, or removes it where it has no rows any more.
func (x *folder) part(ctx context.Context, name string) error {
	content, err := x.layout.part(name)
	if err != nil {
		return err
	}
	path := filepath.Join(x.Out, filepath.FromSlash(name))
	rows, err := x.file(ctx, path, content)
	if err != nil {
		return err
	}
	if rows == 0 && !content.always {
		if _, listed := x.manifest.Parts[name]; listed {
			x.report.Removed++
			delete(x.manifest.Parts, name)
			return x.remove(path)
		}
		return nil
	}
	info, err := x.fs.Stat(path)
	if err != nil {
		return err
	}
	x.report.Written++
	x.report.RowsOut += rows
	x.manifest.Parts[name] = part{Rows: rows, Bytes: info.Size(), Sequence: x.view.Seq()}
	return nil
}

// complete says in the manifest that all parts show one commit.
func (x *folder) complete(ctx context.Context, written bool) error {
	m, seq := x.manifest, x.view.Seq()
	if !written && m.Complete && m.Sequence == seq {
		return nil
	}
	if err := x.fs.MkdirAll(x.Out); err != nil {
		return fmt.Errorf("make folder %s: %w", x.Out, err)
	}
	if err := m.note(ctx, x.Store, seq); err != nil {
		return err
	}
	for name, p := range m.Parts {
		p.Sequence = seq
		m.Parts[name] = p
	}
	m.Sequence, m.Complete = seq, true
	if err := x.layout.describe(m); err != nil {
		return err
	}
	if err := m.save(x.fs, x.Out); err != nil || seq == 0 || x.Once {
		return err
	}
	dir, err := filepath.Abs(x.Out)
	if err != nil {
		return err
	}
	// Deletes wait so long for the next export of the folder; later ones compare everything.
	const cursorTime = 30 * 24 * time.Hour
	err = x.Store.SetCursor(ctx, store.Cursor{Name: "export " + dir, Seq: seq, Expires: time.Now().Add(cursorTime)})
	if errors.Is(err, store.ErrHorizon) {
		return nil // an early commit: the next export compares everything
	}
	return err
}

func (x *folder) count() {
	x.report.Parts, x.report.Omitted = len(x.manifest.Parts), x.layout.omitted()
	for _, p := range x.manifest.Parts {
		x.report.Rows += p.Rows
	}
}

// remove deletes a part, unless that is gone already, and its folder where that is empty then. Synced.
func (x *folder) remove(path string) error {
	if err := x.fs.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s, whose rows are all gone: %w", path, err)
	}
	dir := filepath.Dir(path)
	if dir != filepath.Clean(x.Out) && x.fs.Remove(dir) == nil { // it stays where it is not empty
		dir = filepath.Dir(dir)
	}
	if err := x.fs.SyncDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s, whose rows are all gone: %w", path, err)
	}
	return nil
}

// changed returns the parts to write, sorted: those with other rows than at the commit they show, those
// that are missing, and those that somebody else has altered.
func (x *folder) changed(ctx context.Context) ([]string, error) {
	m := x.manifest
	x.renamed()
	since := map[store.Seq]map[string]bool{}
	touched := func(seq store.Seq) (map[string]bool, error) {
		if set, ok := since[seq]; ok {
			return set, nil
		}
		set, err := x.touched(ctx, seq)
		since[seq] = set
		return set, err
	}
	todo := map[string]bool{}
	fresh, err := touched(m.Sequence)
	if err != nil {
		return nil, err
	}
	for name := range fresh {
		if _, listed := m.Parts[name]; !listed {
			todo[name] = true
		}
	}
	for name, p := range m.Parts {
		set, err := touched(p.Sequence)
		if err != nil {
			return nil, err
		}
		if set[name] || !x.stands(name, p) {
			todo[name] = true
		}
	}
	return slices.Sorted(maps.Keys(todo)), nil
}

// renamed has every part written again when instruments have other codes than when the folder was
// written: all their rows are read back under the new ones, and no commit says so.
func (x *folder) renamed() {
	codes, m := x.view.Codes(), x.manifest
	if m.Codes != codes && len(m.Parts) > 0 {
		x.report.Full = "instruments have other codes now"
		m.Sequence = 0
		for name, p := range m.Parts {
			p.Sequence = 0
			m.Parts[name] = p
		}
	}
	m.Codes = codes
}

// stands reports whether a part's file is there as it was written.
func (x *folder) stands(name string, p part) bool {
	info, err := x.fs.Stat(filepath.Join(x.Out, filepath.FromSlash(name)))
	return err == nil && info.Size() == p.Bytes
}
