package filesink

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/vfs"
)

// Recover returns to the end of the epoch of the token: it publishes what the epoch completed,
// cuts off what was written to the open part later, and removes what came later. With a nil token
// the run has written nothing yet.
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
	if err := s.publishAll(t); err != nil {
		return err
	}
	s.epoch, s.kept, s.note = epoch.Number, t.Kept, t.Note
	if err := s.sweep(t); err != nil {
		return err
	}
	switch {
	case len(t.Kept) > 0:
		return s.checkKept()
	case t.Open == nil:
		return nil
	case t.Open.Fence == s.task.Fence:
		return s.reopen(*t.Open)
	}
	return s.adopt(ctx, *t.Open)
}

// reopen goes on with a part of this owner.
func (s *Stage) reopen(open openToken) error {
	name := s.path(s.hidden(open.Fence, open.Number))
	if err := s.checkOpen(name, open.Length); err != nil {
		return err
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

func (s *Stage) checkOpen(name string, length int64) error {
	info, err := s.cfg.FS.Stat(name)
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
	source, err := s.cfg.FS.Open(s.path(from))
	if err != nil {
		return openError("recover "+s.path(from), err)
	}
	name := s.path(s.hidden(s.task.Fence, open.Number))
	file, err := s.cfg.FS.Create(name)
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

// staged is what a hidden name says.
type staged struct {
	fence  uint64
	number uint64 // epoch that began the part; 0: merged
	name   string
}

// stagedNames lists this task's hidden files, of all owners, in the order of their numbers.
func (s *Stage) stagedNames() ([]staged, error) {
	entries, err := s.cfg.FS.List(s.dir)
	if err != nil {
		return nil, openError("list "+s.dir, err)
	}
	var all []staged
	for _, entry := range entries {
		if f, mine := s.parse(entry.Name()); mine {
			all = append(all, f)
		}
	}
	slices.SortFunc(all, func(a, b staged) int { return cmp.Compare(a.number, b.number) })
	return all, nil
}

// parse reads a hidden name; mine false: it is not of this task.
func (s *Stage) parse(name string) (f staged, mine bool) {
	rest, ok := strings.CutPrefix(name, s.prefix)
	rest, part := strings.CutSuffix(rest, ".part")
	first, second, two := strings.Cut(rest, ".")
	if !ok || !part || !two {
		return staged{}, false
	}
	fence, err := strconv.ParseUint(first, 10, 64)
	if err != nil {
		return staged{}, false
	}
	number, err := strconv.ParseUint(second, 10, 64)
	return staged{fence: fence, number: number, name: name}, err == nil || second == "merged"
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
			return &connector.Error{
				Op: "write " + s.path(f.name), Class: connector.Permanent, Code: "fenced",
				Err: fmt.Errorf("another process has taken over: its fence is %d, this one has %d",
					f.fence, s.task.Fence),
				Hint: "if none has, as after a restored backup, remove the file",
			}
		}
	}
	for _, f := range all {
		if t.Open != nil && f.fence == t.Open.Fence && f.number == t.Open.Number || kept(t.Kept, f) {
			continue
		}
		if err := s.remove(f.name); err != nil {
			return err
		}
	}
	return nil
}

// kept reports whether f is one of the kept parts.
func kept(tokens []keptToken, f staged) bool {
	after := uint64(0)
	for _, k := range tokens {
		if f.fence == k.Fence && f.number > after && f.number <= k.Through {
			return true
		}
		after = k.Through
	}
	return false
}

func (s *Stage) remove(name string) error {
	err := s.cfg.FS.Remove(s.path(name))
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return writeError("remove "+s.path(name), err)
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
		info, err := s.cfg.FS.Stat(s.path(name))
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
