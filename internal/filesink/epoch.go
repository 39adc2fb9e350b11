package filesink

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

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
	t := token{Done: epoch.Final}
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
			t.Open = &openToken{Number: s.part.number, Length: s.part.length}
		}
	}
	s.epoch = epoch.Number
	if epoch.Final && s.merges() {
		if err := s.finishKept(ctx, &t, closing); err != nil {
			return connector.Prepared{}, err
		}
	}
	if s.kept.Count > 0 {
		kept := s.kept
		t.Kept = &kept
	}
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
		s.kept.Through = p.number
		s.kept.Count++
		s.kept.Length += p.length
		return
	}
	t.Publish = append(t.Publish, moveToken{
		From: s.hidden(p.number), To: s.final(p.number), Length: p.length,
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
	move := moveToken{From: names[0], To: s.target, Length: s.kept.Length}
	if len(names) > 1 {
		if open != nil {
			if err := open.Sync(); err != nil {
				return fmt.Errorf("%w: %w", writeError("sync "+open.Name(), err), connector.ErrEpochLost)
			}
		}
		move.From = s.prefix + "merged.part"
		if move.Length, err = s.merge(ctx, move.From, names); err != nil {
			return fmt.Errorf("merge %d parts of %s: %w", len(names), s.path(s.target), err)
		}
	}
	t.Publish = append(t.Publish, move)
	s.kept = keptToken{}
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
	for _, move := range t.Publish {
		if err := s.publish(move); err != nil {
			return err
		}
	}
	if len(t.Publish) > 0 {
		if err := s.cfg.FS.SyncDir(s.dir); err != nil {
			return writeError("sync folder "+s.dir, err)
		}
	}
	if t.Done {
		return s.sweep(t)
	}
	return nil
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

// Recover returns to the end of the epoch of the token: it publishes what the epoch completed,
// truncates the part that goes on, and removes what came later. With a nil token the run has
// written nothing yet.
func (s *Stage) Recover(ctx context.Context, epoch connector.Epoch, data []byte) error {
	if data == nil {
		if !s.folder && s.cfg.Sink.IfExists == "error" {
			if _, err := s.cfg.FS.Stat(s.path(s.target)); err == nil {
				return s.exists(s.path(s.target))
			}
		}
		return s.sweep(token{})
	}
	t, err := decodeToken(data)
	if err != nil {
		return err
	}
	if err := s.Commit(ctx, epoch, data); err != nil {
		return err
	}
	s.epoch = epoch.Number
	if t.Kept != nil {
		s.kept = *t.Kept
	}
	if err := s.sweep(t); err != nil {
		return err
	}
	if t.Kept != nil {
		return s.checkKept()
	}
	if t.Open == nil {
		return nil
	}
	return s.reopen(*t.Open)
}

func (s *Stage) reopen(open openToken) error {
	name := s.path(s.hidden(open.Number))
	info, err := s.cfg.FS.Stat(name)
	if err == nil && info.Size() < open.Length {
		err = fmt.Errorf("it has %d bytes, %d were synced", info.Size(), open.Length)
	}
	if err != nil {
		return &connector.Error{
			Op: "recover " + name, Class: connector.Permanent, Code: "stage_vanished", Err: err,
			Hint: "rows of committed checkpoints are lost: start anew with --fresh",
		}
	}
	file, err := s.cfg.FS.OpenAppend(name)
	if err != nil {
		return writeError("recover "+name, err)
	}
	if err := file.Truncate(open.Length); err != nil {
		return errors.Join(writeError("recover "+name, err), file.Close())
	}
	// The offset of the handle may still be at the old end.
	if err := file.Close(); err != nil {
		return writeError("recover "+name, err)
	}
	if file, err = s.cfg.FS.OpenAppend(name); err != nil {
		return writeError("recover "+name, err)
	}
	s.part = &part{number: open.Number, file: file, length: open.Length}
	return nil
}

// sweep removes this task's hidden files but those that the token still needs.
func (s *Stage) sweep(t token) error {
	entries, err := s.cfg.FS.List(s.dir)
	if err != nil {
		return openError("list "+s.dir, err)
	}
	for _, entry := range entries {
		number, mine := s.numberOf(entry.Name())
		switch {
		case !mine,
			t.Open != nil && number == t.Open.Number,
			t.Kept != nil && number > 0 && number <= t.Kept.Through:
			continue
		}
		err := s.cfg.FS.Remove(s.path(entry.Name()))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return writeError("remove "+s.path(entry.Name()), err)
		}
	}
	return nil
}

// numberOf reads the number in a hidden name of this task; 0 for the merged file.
func (s *Stage) numberOf(name string) (number uint64, mine bool) {
	rest, ok := strings.CutPrefix(name, s.prefix)
	rest, part := strings.CutSuffix(rest, ".part")
	if !ok || !part {
		return 0, false
	}
	number, err := strconv.ParseUint(rest, 10, 64)
	return number, err == nil || rest == "merged"
}

// keptNames lists the kept parts in the order they were written.
func (s *Stage) keptNames() ([]string, error) {
	entries, err := s.cfg.FS.List(s.dir)
	if err != nil {
		return nil, openError("list "+s.dir, err)
	}
	var names []string
	for _, entry := range entries {
		if number, mine := s.numberOf(entry.Name()); mine && number > 0 && number <= s.kept.Through {
			names = append(names, entry.Name())
		}
	}
	return names, nil
}

func (s *Stage) checkKept() error {
	names, err := s.keptNames()
	if err != nil {
		return err
	}
	var length int64
	for _, name := range names {
		info, err := s.cfg.FS.Stat(s.path(name))
		if err != nil {
			return openError("recover "+s.path(name), err)
		}
		length += info.Size()
	}
	if len(names) != s.kept.Count || length != s.kept.Length {
		return &connector.Error{
			Op: "recover " + s.path(s.target), Class: connector.Permanent, Code: "stage_vanished",
			Err: fmt.Errorf("%d hidden parts of %d bytes are there, want %d of %d",
				len(names), length, s.kept.Count, s.kept.Length),
			Hint: "rows of committed checkpoints are lost: start anew with --fresh",
		}
	}
	return nil
}
