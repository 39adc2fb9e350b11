package filesink

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"

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
	t := token{Done: epoch.Final, Folder: s.folder, Note: s.note}
	if s.cut {
		if err := s.finishKept(ctx, epoch, &t); err != nil {
			return connector.Prepared{}, err
		}
		s.cut = false
	}
	closing, err := s.endParts(epoch, &t)
	if err != nil {
		return connector.Prepared{}, err
	}
	s.epoch = epoch.Number
	if epoch.Final || s.folder && s.keptBytes() >= s.cfg.Sink.minPartBytes() {
		if err := s.finishKept(ctx, epoch, &t); err != nil {
			return connector.Prepared{}, err
		}
	}
	t.Kept = s.kept
	data, err := t.encode()
	if err != nil {
		return connector.Prepared{}, err
	}
	var open vfs.File
	if s.part != nil {
		open = s.part.file
	}
	names := s.newNames
	s.newNames = false
	return connector.Prepared{Token: data, Sync: func(context.Context) error {
		return s.sync(open, closing, names)
	}}, nil
}

// Ends reports whether the current part, as it is now, ends with the epoch.
func (s *Stage) Ends(epoch connector.Epoch) bool {
	if s.part == nil {
		return false
	}
	length := s.part.length + int64(len(s.part.buffer))
	return epoch.Final || s.cfg.PerEpoch || s.folder && length >= s.cfg.Sink.minPartBytes()
}

// endParts writes the current part out and returns those that end with the epoch, to be synced and
// closed.
func (s *Stage) endParts(epoch connector.Epoch, t *token) (closing []vfs.File, err error) {
	if s.part != nil {
		if err := s.flush(); err != nil {
			return nil, err
		}
	}
	for _, p := range s.turned {
		t.Publish = append(t.Publish, s.move(p))
		closing = append(closing, p.file)
	}
	s.turned = nil
	p := s.part
	if p == nil {
		return closing, nil
	}
	switch {
	case s.cfg.PerEpoch:
		if n := len(s.kept); n == 0 || s.kept[n-1].Fence != s.task.Fence {
			s.kept = append(s.kept, keptToken{Fence: s.task.Fence, First: p.number})
		}
		last := &s.kept[len(s.kept)-1]
		last.Through = p.number
		last.Count++
		last.Length += p.length
	case s.Ends(epoch):
		t.Publish = append(t.Publish, s.move(p))
	default:
		t.Open = &openToken{Fence: s.task.Fence, Number: p.number, Length: p.length}
		return closing, nil
	}
	s.part = nil
	return append(closing, p.file), nil
}

func (s *Stage) move(p *part) moveToken {
	return moveToken{From: s.hidden(s.task.Fence, p.number), To: s.final(p.number), Length: p.length}
}

func (s *Stage) keptBytes() (total int64) {
	for _, k := range s.kept {
		total += k.Length
	}
	return total
}

// sync makes files durable ("synced"). It runs beside Write, so it touches nothing of s that
// Write does.
func (s *Stage) sync(open vfs.File, closing []vfs.File, names bool) error {
	files := closing
	if open != nil {
		files = append(files, open)
	}
	for _, file := range files {
		if err := file.Sync(); err != nil {
			// After a failed fsync the kernel may drop the pages: what was written is lost.
			return fmt.Errorf("%w: %w", writeError("sync "+file.Name(), err), connector.ErrEpochLost)
		}
	}
	for _, file := range closing {
		if err := file.Close(); err != nil {
			return fmt.Errorf("%w: %w", writeError("close "+file.Name(), err), connector.ErrEpochLost)
		}
	}
	if names {
		return writeError("sync folder "+s.dir, s.fs.SyncDir(s.dir))
	}
	return nil
}

// spentParts are hidden parts that a merge holds too, from the epoch on.
type spentParts struct {
	epoch uint64
	names []string
}

// finishKept makes one file of the kept parts, to be published with the epoch: the part itself when
// there is one, else their merge.
func (s *Stage) finishKept(ctx context.Context, epoch connector.Epoch, t *token) error {
	if len(s.kept) == 0 {
		return nil
	}
	names, err := s.keptNames()
	if err != nil {
		return err
	}
	through := s.kept[len(s.kept)-1].Through
	move := moveToken{From: names[0], To: s.final(through), Length: s.keptBytes()}
	if len(names) > 1 {
		move.From = s.merged(through)
		if move.Length, err = s.merge(ctx, move.From, names); err != nil {
			return fmt.Errorf("merge %d parts of %s: %w", len(names), s.path(move.To), err)
		}
		s.spent = append(s.spent, spentParts{epoch.Number, names})
	}
	t.Publish = append(t.Publish, move)
	s.kept = nil
	return nil
}

// merge writes the named parts as one file and makes it durable ("synced").
func (s *Stage) merge(ctx context.Context, name string, names []string) (length int64, err error) {
	file, err := s.fs.Create(s.path(name))
	if err != nil {
		return 0, writeError("create "+s.path(name), err)
	}
	s.newNames = true
	err = s.cfg.Merge(ctx, file, s.parts(names))
	if err == nil {
		length, err = file.Size()
	}
	if err == nil {
		err = file.Sync()
	}
	return length, writeError("write "+s.path(name), errors.Join(err, file.Close()))
}

// parts opens one part after the other: there may be more than a process may have open.
func (s *Stage) parts(names []string) iter.Seq2[vfs.File, error] {
	return func(yield func(vfs.File, error) bool) {
		for _, name := range names {
			part, err := s.fs.Open(s.path(name))
			if err != nil {
				yield(nil, openError("open "+s.path(name), err))
				return
			}
			more := yield(part, nil)
			_ = part.Close() // opened for reading
			if !more {
				return
			}
		}
	}
}

// Commit publishes the epoch's parts ("committed" and synced). It may be repeated.
func (s *Stage) Commit(_ context.Context, epoch connector.Epoch, data []byte) error {
	t, err := decodeToken(data)
	if err != nil {
		return err
	}
	if err := s.publishAll(t); err != nil {
		return err
	}
	if s.adopted != "" && (t.Open == nil || t.Open.Fence == s.task.Fence) {
		// From here on this owner's copy is what a recovery needs.
		if err := s.remove(s.path(s.adopted)); err != nil {
			return err
		}
		s.adopted = ""
	}
	if err := s.removeSpent(epoch.Number); err != nil {
		return err
	}
	if !t.Done {
		return nil
	}
	if err := s.sweep(t); err != nil {
		return err
	}
	return s.forget()
}

// removeSpent removes merged parts that no token from the epoch on needs.
func (s *Stage) removeSpent(epoch uint64) error {
	for len(s.spent) > 0 && s.spent[0].epoch <= epoch {
		for _, name := range s.spent[0].names {
			if err := s.remove(s.path(name)); err != nil {
				return err
			}
		}
		s.spent = s.spent[1:]
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
	return writeError("sync folder "+s.dir, s.fs.SyncDir(s.dir))
}

// publish renames one part onto its target, unless that was done before.
func (s *Stage) publish(move moveToken) error {
	from, to := s.path(move.From), s.path(move.To)
	info, err := s.fs.Stat(from)
	if errors.Is(err, fs.ErrNotExist) {
		done, err := s.fs.Stat(to)
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
		if _, err := s.fs.Stat(to); err == nil {
			return s.exists(to)
		}
	}
	return writeError("publish "+to, s.fs.Rename(from, to))
}

func (s *Stage) exists(path string) error {
	return &connector.Error{
		Op: "write " + path, Class: connector.Permanent, Path: "if_exists",
		Err:  fs.ErrExist,
		Hint: "move it away, or set if_exists to replace or append",
	}
}
