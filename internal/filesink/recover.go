package filesink

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/vfs"
)

// Recover returns to the end of the epoch of the token: it publishes what the epoch completed,
// cuts off what was written to the open part later, and removes what came later. With a nil token
// the run has written nothing yet.
func (s *Stage) Recover(ctx context.Context, epoch connector.Epoch, data []byte) error {
	if data == nil {
		if !s.folder && s.cfg.Sink.IfExists == "error" {
			if _, err := s.fs.Stat(s.path(s.target)); err == nil {
				return s.exists(s.path(s.target))
			}
		}
		return s.sweep(token{})
	}
	t, err := decodeToken(data)
	if err != nil {
		return err
	}
	if t.Folder != s.folder {
		return s.becameOther(t.Folder)
	}
	if err := s.publishAll(t); err != nil {
		return err
	}
	s.epoch, s.kept, s.note = epoch.Number, t.Kept, t.Note
	if err := s.sweep(t); err != nil {
		return err
	}
	switch {
	case t.Done:
		return s.forget()
	case len(t.Kept) > 0:
		return s.checkKept()
	case t.Open == nil:
		return nil
	case t.Open.Fence == s.task.Fence:
		return s.reopen(*t.Open)
	}
	return s.adopt(ctx, *t.Open)
}

// becameOther refuses to go on where a folder was made or removed in place of the target.
func (s *Stage) becameOther(folder bool) error {
	was, is := "a file", "a folder"
	if folder {
		was, is = is, was
	}
	return &connector.Error{
		Op: "recover " + s.cfg.Sink.Path, Class: connector.Permanent, Code: "target_changed", Path: "path",
		Err:  fmt.Errorf("it was %s when the unfinished run began and is %s now", was, is),
		Hint: "undo the change to finish the run, or discard the run with --fresh",
	}
}

// reopen goes on with a part of this owner.
func (s *Stage) reopen(open openToken) error {
	name := s.path(s.hidden(open.Fence, open.Number))
	if err := s.checkOpen(name, open.Length); err != nil {
		return err
	}
	file, err := s.fs.OpenAppend(name)
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
	if file, err = s.fs.OpenAppend(name); err != nil {
		return writeError("recover "+name, err)
	}
	s.part = &part{number: open.Number, file: file, length: open.Length}
	return nil
}

func (s *Stage) checkOpen(name string, length int64) error {
	info, err := s.fs.Stat(name)
	if err == nil && info.Size() < length {
		err = fmt.Errorf("it has %d bytes, %d were synced", info.Size(), length)
	}
	if err == nil {
		return nil
	}
	return &connector.Error{
		Op: "recover " + name, Class: connector.Permanent, Code: "stage_vanished", Err: err,
		Hint: "rows of committed checkpoints are lost: start anew with --fresh",
	}
}

// adopt goes on with a copy of an earlier owner's part ("written"). That owner may still append to
// its file, never before the length of a committed token. The file stays until Commit of an epoch
// that has the copy, so that a crash in between leaves what the older token needs.
func (s *Stage) adopt(ctx context.Context, open openToken) error {
	from := s.hidden(open.Fence, open.Number)
	if err := s.checkOpen(s.path(from), open.Length); err != nil {
		return err
	}
	source, err := s.fs.Open(s.path(from))
	if err != nil {
		return openError("recover "+s.path(from), err)
	}
	name := s.path(s.hidden(s.task.Fence, open.Number))
	file, err := s.fs.Create(name)
	if err != nil {
		return errors.Join(writeError("create "+name, err), source.Close())
	}
	s.newNames = true
	if err := copyStart(ctx, file, source, open.Length); err != nil {
		err = writeError(fmt.Sprintf("copy %s to %s", s.path(from), name), err)
		return errors.Join(err, file.Close(), source.Close())
	}
	s.part = &part{number: open.Number, file: file, length: open.Length}
	s.adopted = from
	return writeError("close "+s.path(from), source.Close())
}

// copyStart copies the first length bytes of source.
func copyStart(ctx context.Context, target, source vfs.File, length int64) error {
	const pieceBytes = 1 << 20
	buffer := make([]byte, min(length, pieceBytes))
	for at := int64(0); at < length; {
		if err := ctx.Err(); err != nil {
			return err
		}
		piece := buffer[:min(length-at, int64(len(buffer)))]
		n, err := source.ReadAt(piece, at)
		if n < len(piece) {
			return fmt.Errorf("read byte %d: %w", at+int64(n), err)
		}
		if _, err := target.Write(piece); err != nil {
			return err
		}
		at += int64(n)
	}
	return nil
}

// sweep removes the hidden files of this owner and earlier ones but those that the token still
// needs. Files of a later owner mean that this one is late.
func (s *Stage) sweep(t token) error {
	all, err := s.stagedNames()
	if err != nil {
		return err
	}
	for _, f := range all {
		if f.fence > s.task.Fence {
			return s.fenced(s.path(f.name), f.fence)
		}
	}
	for _, f := range all {
		if t.Open != nil && f.fence == t.Open.Fence && f.number == t.Open.Number || kept(t.Kept, f) {
			continue
		}
		if err := s.remove(s.path(f.name)); err != nil {
			return err
		}
	}
	return nil
}

func (s *Stage) fenced(by string, fence uint64) error {
	return &connector.Error{
		Op: "write " + s.cfg.Sink.Path, Class: connector.Permanent, Code: "fenced",
		Err: fmt.Errorf("another process has taken over and made %s: its fence is %d, this one has %d",
			by, fence, s.task.Fence),
		Hint: "if none has, as after a restored backup, remove that file",
	}
}

// kept reports whether f is one of the kept parts.
func kept(tokens []keptToken, f staged) bool {
	return slices.ContainsFunc(tokens, func(k keptToken) bool {
		return f.fence == k.Fence && k.First <= f.number && f.number <= k.Through
	})
}

func (s *Stage) remove(path string) error {
	err := s.fs.Remove(path)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return writeError("remove "+path, err)
}

// keptNames lists the kept parts in the order they were written.
func (s *Stage) keptNames() ([]string, error) {
	all, err := s.stagedNames()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, f := range all {
		if kept(s.kept, f) {
			names = append(names, f.name)
		}
	}
	return names, nil
}

func (s *Stage) checkKept() error {
	names, err := s.keptNames()
	if err != nil {
		return err
	}
	var length, wantLength int64
	for _, name := range names {
		info, err := s.fs.Stat(s.path(name))
		if err != nil {
			return openError("recover "+s.path(name), err)
		}
		length += info.Size()
	}
	want := 0
	for _, k := range s.kept {
		want, wantLength = want+k.Count, wantLength+k.Length
	}
	if len(names) == want && length == wantLength {
		return nil
	}
	return &connector.Error{
		Op: "recover " + s.path(s.target), Class: connector.Permanent, Code: "stage_vanished",
		Err: fmt.Errorf("%d hidden parts of %d bytes are there, want %d of %d",
			len(names), length, want, wantLength),
		Hint: "rows of committed checkpoints are lost: start anew with --fresh",
	}
}
