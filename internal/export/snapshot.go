package export

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/store"
	"github.com/tapeline/tapeline/internal/vfs"
)

// Plain is the layout of a snapshot whose files add no column of their own: bar_1d/2024.parquet. The
// other is Hive.
const Plain = "plain"

// snapshotFormat is the version of a snapshot's manifest.
const snapshotFormat = 1

// Snapshot says what a folder is to hold: every dataset of a store as of one commit, in Parquet.
type Snapshot struct {
	Store  *store.Store
	Out    string    // the folder; it comes into being as a whole
	AsOf   store.Seq // 0: the newest
	Layout string    // Plain or Hive
	Force  bool      // replaces a snapshot before, and what an interrupted one left

	// Sink makes a sink that replaces one Parquet file.
	Sink func(path string) (connector.Sink, error)
	// Progress, when set, is told of each file.
	Progress func(dataset string, done, files int)
	Log      *slog.Logger
}

// SnapshotManifest says what a snapshot holds. It is the folder's manifest.json.
type SnapshotManifest struct {
	Format   int               `json:"snapshot_format"`
	Store    string            `json:"store"`
	Sequence store.Seq         `json:"sequence"`
	Layout   string            `json:"layout"`
	Made     time.Time         `json:"made"`
	Rows     int64             `json:"rows"`
	Bytes    int64             `json:"bytes"`
	Datasets []SnapshotDataset `json:"datasets"`
	Seconds  float64           `json:"seconds"`
}

// SnapshotDataset is one table.
type SnapshotDataset struct {
	Dataset string           `json:"dataset"`
	Rows    int64            `json:"rows"`
	Columns []SnapshotColumn `json:"columns"`
	Files   []SnapshotFile   `json:"files"`
}

// SnapshotColumn is a column of a table.
type SnapshotColumn struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	Nullable bool   `json:"nullable,omitempty"`
}

// SnapshotFile is one Parquet file.
type SnapshotFile struct {
	Path   string `json:"path"` // below the folder
	Rows   int64  `json:"rows"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Run writes the snapshot beside its place and moves it there at the end. Synced. Others may write the
// store meanwhile; the folder shows one commit.
func (s Snapshot) Run(ctx context.Context) (m *SnapshotManifest, err error) {
	begun := time.Now()
	out, err := filepath.Abs(s.Out)
	if err != nil {
		return nil, err
	}
	aside := out + ".part"
	if err := s.vacant(out, aside); err != nil {
		return nil, err
	}
	view, err := s.Store.View(ctx, s.AsOf)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, view.Close()) }()
	m = &SnapshotManifest{
		Format: snapshotFormat, Store: s.Store.Dir(), Sequence: view.Seq(), Layout: s.Layout,
		Made: begun.UTC().Truncate(time.Second), Datasets: []SnapshotDataset{},
	}
	if m.Sequence == 0 {
		return nil, fmt.Errorf("%s holds no commit yet", s.Store.Dir())
	}
	if err := makeAside(aside); err != nil {
		return nil, err
	}
	err = m.save(aside) // which tells what the folder is, should this be interrupted
	if err == nil {
		err = s.fill(ctx, view, aside, m)
	}
	if err == nil {
		m.Seconds = time.Since(begun).Seconds()
		err = m.save(aside)
	}
	if err == nil {
		err = publish(aside, out)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(aside))
	}
	return m, nil
}

// makeAside makes the folder that is filled, of which nobody else has the name.
func makeAside(aside string) error {
	if err := (vfs.OS{}).MkdirAll(filepath.Dir(aside)); err != nil {
		return err
	}
	const perm = 0o755
	err := os.Mkdir(aside, perm)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there: another snapshot is being made", aside)
	}
	return err
}

// vacant refuses a place that is taken: a snapshot before, and what an interrupted one left, give way by
// force, anything else never.
func (s Snapshot) vacant(out, aside string) error {
	old := replacedName(out)
	if _, err := os.Stat(aside); err == nil && !s.Force {
		return fmt.Errorf("%s is there: another snapshot is being made, or was interrupted (remove it, or --force)", aside)
	}
	for _, dir := range []string{out, old, aside} {
		m, err := readSnapshot(dir)
		switch {
		case err != nil:
			return err
		case m == nil || s.Force:
		case dir == out:
			return fmt.Errorf("%s holds the snapshot of commit %d already: name another folder, or --force to replace it",
				dir, m.Sequence)
		default:
			return fmt.Errorf("%s holds the snapshot of commit %d, whose replacement was interrupted: rename it to %s, "+
				"or --force to replace it", dir, m.Sequence, out)
		}
	}
	return os.RemoveAll(aside)
}

// replacedName is the name of a snapshot while another takes its place.
func replacedName(out string) string { return out + ".old" }

// readSnapshot reads what a folder says of the snapshot in it; nil: the folder is empty or not there.
func readSnapshot(dir string) (*SnapshotManifest, error) {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && len(entries) == 0:
		return nil, nil
	case err != nil:
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(dir, ManifestName))
	var m SnapshotManifest
	if err != nil || json.Unmarshal(text, &m) != nil || m.Format == 0 {
		return nil, fmt.Errorf("%s holds files (%s) and is no snapshot: name another folder", dir, entries[0].Name())
	}
	return &m, nil
}

// fill writes all datasets as of the view's commit.
func (s Snapshot) fill(ctx context.Context, view *store.View, aside string, m *SnapshotManifest) error {
	sizes, err := s.Store.Stats(ctx)
	if err != nil {
		return err
	}
	for _, size := range sizes {
		d, err := s.dataset(ctx, view, aside, size.Dataset)
		if err != nil {
			return fmt.Errorf("snapshot of %s: %w", size.Dataset, err)
		}
		m.Rows += d.Rows
		for _, f := range d.Files {
			m.Bytes += f.Bytes
		}
		m.Datasets = append(m.Datasets, *d)
	}
	return nil
}

// dataset writes one dataset as an export does, and takes over what that says of its files.
func (s Snapshot) dataset(ctx context.Context, view *store.View, aside, name string) (*SnapshotDataset, error) {
	dir := filepath.Join(aside, name)
	r := Request{
		Store: s.Store, Out: dir, Layout: Hive, Dataset: name, Format: "parquet", AsOf: view.Seq(), Once: true,
		Sink: s.Sink, Log: s.Log,
	}
	if s.Progress != nil {
		r.Progress = func(done, files int) { s.Progress(name, done, files) }
	}
	report, err := Run(ctx, r)
	if err != nil {
		return nil, err
	}
	if !report.Completed {
		return nil, context.Cause(ctx)
	}
	schema, err := view.OrderedSchema(store.Ordered{Dataset: name})
	if err != nil {
		return nil, err
	}
	d := &SnapshotDataset{Dataset: name, Rows: report.Rows, Files: []SnapshotFile{}}
	for _, f := range schema.Fields() {
		d.Columns = append(d.Columns, SnapshotColumn{f.Name, f.Type.String(), f.Nullable})
	}
	written, err := takeManifest(dir)
	if err != nil || len(written) == 0 {
		return d, err
	}
	folders := map[string]bool{dir: true}
	for part, p := range written {
		path := part
		if s.Layout == Plain {
			path = plainName(part)
			if err := os.Rename(filepath.Join(dir, part), filepath.Join(dir, path)); err != nil {
				return nil, err
			}
		}
		folders[filepath.Dir(filepath.Join(dir, path))] = true
		sum, bytes, err := checksum(filepath.Join(dir, path))
		if err != nil {
			return nil, err
		}
		d.Files = append(d.Files, SnapshotFile{filepath.ToSlash(filepath.Join(name, path)), p.Rows, bytes, sum})
	}
	slices.SortFunc(d.Files, func(a, b SnapshotFile) int { return strings.Compare(a.Path, b.Path) })
	return d, tidyUp(dir, folders)
}

// takeManifest reads and removes what an export noted in its folder.
func takeManifest(dir string) (parts, error) {
	path := filepath.Join(dir, ManifestName)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // it had no rows
	}
	if err != nil {
		return nil, err
	}
	var m manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m.Parts, os.Remove(path)
}

// plainName is the name of a part without a column in it: year=2024/month=01/x.parquet is 2024-01.parquet.
func plainName(part string) string {
	var dates []string
	for piece := range strings.SplitSeq(part, "/") {
		if _, value, ok := strings.Cut(piece, "="); ok {
			dates = append(dates, value)
		}
	}
	if dates == nil {
		return "all" + filepath.Ext(part)
	}
	return strings.Join(dates, "-") + filepath.Ext(part)
}

// tidyUp removes folders that renaming left empty, and syncs the names in the others.
func tidyUp(dir string, folders map[string]bool) error {
	var empty []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			empty = append(empty, path)
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, path := range slices.Backward(empty) {
		if !folders[path] {
			_ = os.Remove(path) // one with files stays
		}
	}
	for path := range folders {
		if err := (vfs.OS{}).SyncDir(path); err != nil {
			return err
		}
	}
	return nil
}

func checksum(path string) (sum string, bytes int64, err error) {
	file, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	hash := sha256.New()
	bytes, err = io.Copy(hash, file)
	return hex.EncodeToString(hash.Sum(nil)), bytes, errors.Join(err, file.Close())
}

// save writes the manifest. Synced.
func (m *SnapshotManifest) save(dir string) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return vfs.Replace(vfs.OS{}, filepath.Join(dir, ManifestName), append(text, '\n'))
}

// publish moves the finished folder to its place. Synced.
func publish(aside, out string) error {
	old := replacedName(out)
	if _, err := os.Stat(out); err == nil {
		if err := os.RemoveAll(old); err != nil {
			return err
		}
		if err := os.Rename(out, old); err != nil {
			return err
		}
	}
	if err := os.Rename(aside, out); err != nil {
		return errors.Join(err, os.Rename(old, out))
	}
	if err := (vfs.OS{}).SyncDir(filepath.Dir(out)); err != nil {
		return err
	}
	return os.RemoveAll(old)
}
