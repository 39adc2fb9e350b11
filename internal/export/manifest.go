package export

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/store"
	"github.com/tapeline/tapeline/internal/vfs"
)

// ManifestName is the file that says what a folder holds.
const ManifestName = "manifest.json"

const manifestFormat = 1

// manifest is what an export knows of a folder. Outside of State it says what readers of the layout
// look for.
type manifest struct {
	Version     string     `json:"version"`
	Description string     `json:"description"`
	DateRange   *dateRange `json:"date_range,omitempty"`
	ExportDate  string     `json:"export_date"`
	state       `json:"tapeline"`
}

type dateRange struct {
	Start string `json:"start"`
	End   string `json:"end"`
}

type state struct {
	Format   int       `json:"format"`
	Request  asked     `json:"request"`
	Sequence store.Seq `json:"sequence"`        // the commit of the last export that was completed
	Complete bool      `json:"complete"`        // every part shows it; otherwise each says its own
	Codes    string    `json:"codes,omitempty"` // sum of the codes that instruments have beside their first
	Commits  []commit  `json:"commits"`
	Parts    parts     `json:"parts"`
}

// asked is what tells one folder from another: none is turned into another by accident.
type asked struct {
	Layout  string   `json:"layout"`
	Dataset string   `json:"dataset,omitempty"`
	Format  string   `json:"format"`
	Symbols []string `json:"symbols,omitempty"`
	From    string   `json:"from,omitempty"`
	To      string   `json:"to,omitempty"`
	Adjust  string   `json:"adjust"`
}

// commit identifies a commit that parts show, and so the store.
type commit struct {
	Sequence store.Seq `json:"sequence"`
	Time     time.Time `json:"time"`
	Position string    `json:"position"` // of the store's source, behind it
}

// parts are the files by name.
type parts map[string]part

type part struct {
	Rows     int64     `json:"rows"`
	Bytes    int64     `json:"bytes"`
	Sequence store.Seq `json:"sequence"` // the commit it shows
}

func (r Request) asked() asked {
	a := asked{
		Layout: r.Layout, Dataset: r.Dataset, Format: r.Format, Symbols: slices.Clone(r.Symbols),
		Adjust: map[market.Adjustment]string{
			market.Raw: "none", market.Forward: "forward", market.Backward: "backward",
		}[r.Adjust],
	}
	slices.Sort(a.Symbols)
	if r.From != 0 {
		a.From = r.From.String()
	}
	if r.To != 0 {
		a.To = r.To.String()
	}
	return a
}

// load reads the folder's manifest, or begins one for a folder that is empty or not there.
func (x *folder) load(ctx context.Context) (*manifest, error) {
	m := &manifest{state: state{Format: manifestFormat, Request: x.asked(), Parts: parts{}}}
	path := filepath.Join(x.Out, ManifestName)
	file, err := x.fs.Open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return m, x.vacant()
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	text, err := io.ReadAll(struct{ io.Reader }{file})
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	var old manifest
	if err := json.Unmarshal(text, &old); err != nil || old.Format == 0 {
		if err == nil {
			err = errors.New("it says nothing of one")
		}
		return nil, fmt.Errorf("%s is no manifest of an export: %w (name an empty folder)", path, err)
	}
	if old.Format > manifestFormat {
		return nil, fmt.Errorf("%s has format %d, this program knows %d: use the newer program", path, old.Format, manifestFormat)
	}
	was, err := json.Marshal(old.Request)
	if err != nil {
		return nil, err
	}
	if is, err := json.Marshal(m.Request); err != nil || !bytes.Equal(was, is) {
		return nil, errors.Join(err, fmt.Errorf("%s holds another export, %s, where %s was asked for: ask for the same, "+
			"or name another folder", x.Out, was, is))
	}
	if err := old.checkStore(ctx, x.Store, x.Out); err != nil {
		return nil, err
	}
	if old.Parts == nil {
		old.Parts = parts{}
	}
	return &old, nil
}

// vacant refuses a folder with files of others: no export wipes them.
func (x *folder) vacant() error {
	entries, err := x.fs.List(x.Out)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	entries = slices.DeleteFunc(entries, func(e fs.FileInfo) bool { return e.Name() == lockName })
	if err == nil && len(entries) > 0 {
		err = fmt.Errorf("%s holds files (%s) and no %s of an export: name an empty folder", x.Out,
			entries[0].Name(), ManifestName)
	}
	return err
}

// checkStore makes sure that the folder was exported from this store. A store forgets when early commits
// were made, but never its first.
func (m *manifest) checkStore(ctx context.Context, s *store.Store, out string) error {
	met := len(m.Commits) == 0
	for _, c := range m.Commits {
		if c.Sequence == 0 {
			met = true // of no commit: any store's
			continue
		}
		entries, err := s.Journal(ctx, c.Sequence-1, 1)
		switch {
		case err != nil:
			return err
		case len(entries) > 0 && entries[0].Seq > c.Sequence:
			continue
		case len(entries) == 0 || !entries[0].Time.Equal(c.Time):
			return fmt.Errorf("%s was exported from another store: commit %d of %s was not made at %s; name another folder",
				out, c.Sequence, s.Dir(), c.Time.Format(time.RFC3339Nano))
		}
		met = true
	}
	if !met {
		return fmt.Errorf("%s shows a commit that %s has forgotten the time of, so it cannot be told whether it is of "+
			"this store: name another folder, or remove it first", out, s.Dir())
	}
	return nil
}

// note writes down a commit that parts will show, and forgets those that none shows any more.
func (m *manifest) note(ctx context.Context, s *store.Store, seq store.Seq) error {
	const first = 1 // it tells the store when all others are forgotten
	used := map[store.Seq]bool{first: true, m.Sequence: true, seq: true}
	for _, p := range m.Parts {
		used[p.Sequence] = true
	}
	m.Commits = slices.DeleteFunc(m.Commits, func(c commit) bool { return !used[c.Sequence] })
	if begun, err := s.Journal(ctx, 0, 1); err != nil {
		return err
	} else if len(begun) > 0 && seq != first && !m.shows(first) {
		m.Commits = append(m.Commits, commit{Sequence: begun[0].Seq, Time: begun[0].Time})
	}
	if seq == 0 || m.shows(seq) {
		return nil
	}
	entries, err := s.Journal(ctx, seq-1, 1)
	if err == nil && len(entries) == 0 {
		err = fmt.Errorf("commit %d is not in the store's journal", seq)
	}
	if err != nil {
		return err
	}
	position, err := positionOf(ctx, s, seq)
	if err != nil {
		return err
	}
	m.Commits = append(m.Commits, commit{seq, entries[0].Time, base64.StdEncoding.EncodeToString(position)})
	m.ExportDate = entries[0].Time.UTC().Format(time.DateTime)
	return nil
}

// shows reports whether the manifest names a commit.
func (m *manifest) shows(seq store.Seq) bool {
	return slices.ContainsFunc(m.Commits, func(c commit) bool { return c.Sequence == seq })
}

// save replaces the manifest in one step. Synced.
func (m *manifest) save(fsys vfs.FS, dir string) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(dir, ManifestName)
	if err := vfs.Replace(fsys, path, append(text, '\n')); err != nil {
		return fmt.Errorf("write %s: %w (is the disk full? free space and export again)", path, err)
	}
	return nil
}
