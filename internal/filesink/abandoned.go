package filesink

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/vfs"
)

// record is what the state folder of a workflow keeps about a task with hidden parts: where they
// are. The workflow's lease admits one process, which works on one run: parts of any other run of
// the workflow are abandoned, by --fresh or since the run has ended. The next run removes them, also
// where its document names another target or no such node any more.
type record struct {
	Version int    `json:"v"`
	Run     string `json:"run"`
	Fence   uint64 `json:"fence"`
	Dir     string `json:"dir"`    // absolute
	Prefix  string `json:"prefix"` // of the hidden names in it
}

const recordVersion = 1

// recordsDir is where the workflow's records are; "" for a stage without state folder.
func (s *Stage) recordsDir() string {
	if s.cfg.Env.Dir == "" {
		return ""
	}
	return filepath.Join(s.cfg.Env.Dir, "staged")
}

func (s *Stage) recordName() string {
	return filepath.Join(s.recordsDir(), safeName(s.task.Run, maxNodeBytes)+"."+taskName(s.task)+".json")
}

// record makes the state folder tell where this run's hidden parts are, before there is one
// ("synced").
func (s *Stage) record() error {
	folder := s.recordsDir()
	if s.recorded || folder == "" {
		return nil
	}
	dir, err := filepath.Abs(s.dir)
	if err != nil {
		return fmt.Errorf("find folder %s: %w", s.dir, err)
	}
	data, err := json.Marshal(record{
		Version: recordVersion, Run: s.task.Run, Fence: s.task.Fence, Dir: dir, Prefix: s.prefix,
	})
	if err != nil {
		return err
	}
	if err := s.fs.MkdirAll(folder); err != nil {
		return writeError("make folder "+folder, err)
	}
	if err := vfs.Replace(s.fs, s.recordName(), data); err != nil {
		return writeError("write "+s.recordName(), err)
	}
	s.recorded = true
	return nil
}

// forget removes the record of a run that has no hidden parts any more.
func (s *Stage) forget() error {
	if s.recordsDir() == "" {
		return nil
	}
	s.recorded = false
	return s.remove(s.recordName())
}

// sweepAbandoned removes the hidden parts of earlier runs of the workflow. Those it cannot reach are
// left for the next run: they are no reason to keep this one from its work.
func (s *Stage) sweepAbandoned() error {
	folder := s.recordsDir()
	if folder == "" {
		return nil
	}
	entries, err := s.fs.List(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return openError("list "+folder, err)
	}
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), ".json") {
			continue
		}
		name := filepath.Join(folder, entry.Name())
		r, err := readRecord(s.fs, name)
		switch {
		case err == nil && r.Run == s.task.Run:
			continue
		case err == nil && r.Fence > s.task.Fence:
			// This process is late: the run of the record is the one that counts.
			return s.fenced(name, r.Fence)
		case err == nil:
			err = s.sweepRun(r)
		}
		if err == nil {
			err = s.remove(name)
		}
		if err != nil && s.cfg.Env.Log != nil {
			s.cfg.Env.Log.Warn("parts of an abandoned run stay", "record", name, "error", err)
		}
	}
	return nil
}

// sweepRun removes the hidden parts that a record names ("synced").
func (s *Stage) sweepRun(r record) error {
	entries, err := s.fs.List(r.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return openError("list "+r.Dir, err)
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), r.Prefix) && strings.HasSuffix(entry.Name(), hiddenSuffix) {
			if err := s.remove(filepath.Join(r.Dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	return writeError("sync folder "+r.Dir, s.fs.SyncDir(r.Dir))
}

// readRecord reads a record; a prefix too short to be one's own is refused, so that a damaged record
// removes nothing.
func readRecord(fsys vfs.FS, name string) (r record, err error) {
	file, err := fsys.Open(name)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := json.NewDecoder(file).Decode(&r); err != nil {
		return r, fmt.Errorf("read %s: %w", name, err)
	}
	if r.Version != recordVersion || r.Run == "" || r.Dir == "" ||
		!strings.HasPrefix(r.Prefix, ".") || !strings.Contains(r.Prefix, safeName(r.Run, maxNodeBytes)) {
		return r, &connector.Error{
			Op: "read " + name, Class: connector.Permanent, Err: errors.New("it is no record of a staged run"),
		}
	}
	return r, nil
}
