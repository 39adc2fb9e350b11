package filesink

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/vfs"
)

// Prepare ends the epoch. Its Sync makes the parts and their names durable ("synced").
func (s *Stage) Prepare(ctx context.Context, epoch connector.Epoch) (connector.Prepared, error) {
	if epoch.Final && !s.folder && !s.cfg.PerEpoch {
		// A run without rows still replaces the target, by an empty file.
		if err := s.begin(); err != nil {
			return connector.Prepared{}, err
		}
	}
	t := token{Done: epoch.Final, Note: s.note}
	var files []vfs.File
	var closing vfs.File
	if s.part != nil {
		if err := s.flush(); err != nil {
			return connector.Prepared{}, err
		}
		files = append(files, s.part.file)
		if s.closes(epoch) {
			closing = s.part.file
			s.closePart(&t)
		} else {
			t.Open = &openToken{
				Fence: s.task.Fence, Number: s.part.number, Length: s.part.length,
			}
		}
	}
	s.epoch = epoch.Number
	if epoch.Final && s.merges() {
		if err := s.finishKept(ctx, &t, closing); err != nil {
			return connector.Prepared{}, err
		}
	}
	t.Kept = s.kept
	data, err := t.encode()
	if err != nil {
		return connector.Prepared{}, err
	}
	names := s.newNames
	s.newNames = false
	return connector.Prepared{Token: data, Sync: func(context.Context) error {
		return s.sync(files, closing, names)
	}}, nil
}

func (s *Stage) merges() bool { return s.cfg.PerEpoch && !s.folder }

// closes reports whether the current part ends with the epoch.
func (s *Stage) closes(epoch connector.Epoch) bool {
	return epoch.Final || s.cfg.PerEpoch ||
		s.folder && s.part.length >= s.cfg.Sink.minPartBytes()
}

// closePart notes what becomes of the current part.
func (s *Stage) closePart(t *token) {
	p := s.part
	s.part = nil
	if s.merges() {
		if n := len(s.kept); n == 0 || s.kept[n-1].Fence != s.task.Fence {
			s.kept = append(s.kept, keptToken{Fence: s.task.Fence})
		}
		last := &s.kept[len(s.kept)-1]
		last.Through = p.number
		last.Count++
		last.Length += p.length
		return
	}
	t.Publish = append(t.Publish, moveToken{
		From: s.hidden(s.task.Fence, p.number), To: s.final(p.number), Length: p.length,
	})
}

// sync makes files durable ("synced"). It runs beside Write, so it touches nothing of s that
// Write does.
func (s *Stage) sync(files []vfs.File, closing vfs.File, names bool) error {
	for _, file := range files {
		if err := file.Sync(); err != nil {
			// After a failed fsync the kernel may drop the pages: what was written is lost.
			return fmt.Errorf("%w: %w", writeError("sync "+file.Name(), err), connector.ErrEpochLost)
		}
	}
	if closing != nil {
		if err := closing.Close(); err != nil {
			return fmt.Errorf("%w: %w", writeError("close "+closing.Name(), err), connector.ErrEpochLost)
		}
	}
	if names {
		return writeError("sync folder "+s.dir, s.cfg.FS.SyncDir(s.dir))
	}
	return nil
}

// finishKept makes one file of the kept parts at the end of the run: the part itself when there is
// one, else their merge.
func (s *Stage) finishKept(ctx context.Context, t *token, open vfs.File) error {
	names, err := s.keptNames()
	if err != nil || len(names) == 0 {
		return err
	}
	move := moveToken{From: names[0], To: s.target}
	for _, kept := range s.kept {
		move.Length += kept.Length
	}
	if len(names) > 1 {
		if open != nil {
			if err := open.Sync(); err != nil {
				return fmt.Errorf("%w: %w", writeError("sync "+open.Name(), err), connector.ErrEpochLost)
			}
		}
		move.From = s.merged()
		if move.Length, err = s.merge(ctx, move.From, names); err != nil {
			return fmt.Errorf("merge %d parts of %s: %w", len(names), s.path(s.target), err)
		}
	}
	t.Publish = append(t.Publish, move)
	s.kept = nil
	return nil
}

// merge writes the named parts as one file and makes it durable ("synced").
func (s *Stage) merge(ctx context.Context, name string, names []string) (length int64, err error) {
	parts := make([]vfs.File, 0, len(names))
	defer func() {
		for _, part := range parts {
			_ = part.Close() // opened for reading
		}
	}()
	for _, name := range names {
		part, err := s.cfg.FS.Open(s.path(name))
		if err != nil {
			return 0, openError("open "+s.path(name), err)
		}
		parts = append(parts, part)
	}
	file, err := s.cfg.FS.Create(s.path(name))
	if err != nil {
		return 0, writeError("create "+s.path(name), err)
	}
	s.newNames = true
	err = s.cfg.Merge(ctx, file, parts)
	if err == nil {
		length, err = file.Size()
	}
	if err == nil {
		err = file.Sync()
	}
	return length, writeError("write "+s.path(name), errors.Join(err, file.Close()))
}

// Commit publishes the epoch's parts ("committed" and synced). It may be repeated.
func (s *Stage) Commit(_ context.Context, _ connector.Epoch, data []byte) error {
	t, err := decodeToken(data)
	if err != nil {
		return err
	}
	if err := s.publishAll(t); err != nil {
		return err
	}
	if s.adopted != "" && (t.Open == nil || t.Open.Fence == s.task.Fence) {
		// From here on this owner's copy is what a recovery needs.
		if err := s.remove(s.adopted); err != nil {
			return err
		}
		s.adopted = ""
	}
	if t.Done {
		return s.sweep(t)
	}
	return nil
}

func (s *Stage) publishAll(t token) error {
	for _, move := range t.Publish {
		if err := s.publish(move); err != nil {
			return err
		}
	}
	if len(t.Publish) == 0 {
		return nil
	}
	return writeError("sync folder "+s.dir, s.cfg.FS.SyncDir(s.dir))
}

// publish renames one part onto its target, unless that was done before.
func (s *Stage) publish(move moveToken) error {
	from, to := s.path(move.From), s.path(move.To)
	info, err := s.cfg.FS.Stat(from)
	if errors.Is(err, fs.ErrNotExist) {
		done, err := s.cfg.FS.Stat(to)
		if err == nil && done.Size() == move.Length {
			return nil
		}
		return &connector.Error{
			Op: "publish " + to, Class: connector.Permanent, Code: "stage_vanished",
			Err:  fmt.Errorf("the staged file %s is gone", from),
			Hint: "its rows are lost: start anew with --fresh",
		}
	}
	if err != nil {
		return openError("publish "+to, err)
	}
	if info.Size() != move.Length {
		return &connector.Error{
			Op: "publish " + to, Class: connector.Permanent, Code: "stage_changed",
			Err:  fmt.Errorf("staged file %s has %d bytes, want %d", from, info.Size(), move.Length),
			Hint: "something else wrote to it: start anew with --fresh",
		}
	}
	if s.cfg.Sink.IfExists == "error" {
		if _, err := s.cfg.FS.Stat(to); err == nil {
			return s.exists(to)
		}
	}
	return writeError("publish "+to, s.cfg.FS.Rename(from, to))
}

func (s *Stage) exists(path string) error {
	return &connector.Error{
		Op: "write " + path, Class: connector.Permanent, Path: "if_exists",
		Err:  fs.ErrExist,
		Hint: "move it away, or set if_exists to replace or append",
	}
}
