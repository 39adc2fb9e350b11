package wal

import (
	"context"
	"errors"
	"slices"

	"github.com/tapeline/tapeline/internal/vfs"
)

// Prepare makes spare segments until enough are ready, of released ones where there are some, and deletes
// released ones that are too many. To be called after Open and again and again: a rotation that finds none
// fails. Safe beside Write.
func (l *Log) Prepare(ctx context.Context) error {
	l.prepare.Lock()
	defer l.prepare.Unlock()
	for {
		l.mu.Lock()
		l.retire()
		enough := len(l.spares) >= l.opts.Spares
		l.mu.Unlock()
		if enough {
			return l.trim()
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := l.makeSpare(); err != nil {
			return err
		}
	}
}

// retire makes the segments stale that hold nothing that is needed. Needs mu.
func (l *Log) retire() {
	for len(l.sealed) > 0 {
		next := &l.active
		if len(l.sealed) > 1 {
			next = &l.sealed[1]
		}
		if next.header.first > l.needed {
			return
		}
		l.stale = append(l.stale, l.sealed[0])
		l.sealed = l.sealed[1:]
	}
}

// makeSpare makes one segment ready under the next number. Only Open and Prepare call it.
func (l *Log) makeSpare() error {
	l.mu.Lock()
	last := l.active.number
	if n := len(l.spares); n > 0 {
		last = l.spares[n-1].number
	}
	name := segmentName(l.dir, last+1)
	at := slices.IndexFunc(l.stale, func(s segment) bool { return s.name == name })
	if at < 0 && len(l.stale) > 0 {
		at = 0
	}
	var old segment
	if at >= 0 {
		old = l.stale[at]
	}
	l.mu.Unlock()
	switch {
	case at < 0:
		if err := l.fill(name); err != nil {
			return err
		}
	case old.size != l.opts.SegmentBytes:
		if err := l.remove(old.name); err != nil {
			return err
		}
		l.dropStale(at)
		return l.makeSpare()
	default:
		if err := l.reuse(at, old, name); err != nil {
			return err
		}
		l.dropStale(at)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spares = append(l.spares, segment{name: name, number: last + 1, size: l.opts.SegmentBytes})
	return nil
}

func (l *Log) dropStale(at int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stale = slices.Delete(l.stale, at, at+1)
}

// reuse makes a spare of a stale segment: without its header its frames are nobody's. Oldest first, so that
// no segment in use is ever between two that are not.
func (l *Log) reuse(at int, old segment, name string) error {
	if old.kind != blank {
		if err := l.blank(old.name); err != nil {
			return err
		}
	}
	if old.name != name {
		if err := l.fs.Rename(old.name, name); err != nil {
			return err
		}
	}
	l.mu.Lock()
	l.stale[at] = segment{name: name, size: old.size}
	l.mu.Unlock()
	return l.fs.SyncDir(l.dir)
}

// blank makes a segment's header zeros.
func (l *Log) blank(name string) error {
	memory, err := vfs.Map(vfs.Block)
	if err != nil {
		return err
	}
	file, err := l.fs.OpenSync(name)
	if err != nil {
		return errors.Join(err, memory.Free())
	}
	_, err = file.WriteAt(memory.Bytes, 0)
	return errors.Join(err, file.Close(), memory.Free())
}

// fill makes a segment of zeros, so that no write to it has to wait for the file system's own records.
func (l *Log) fill(name string) (err error) {
	aside := name + newSuffix
	file, err := l.fs.Create(aside)
	if err != nil {
		return err
	}
	zeros := make([]byte, min(l.opts.SegmentBytes, 1<<20))
	for left := l.opts.SegmentBytes; left > 0 && err == nil; left -= int64(len(zeros)) {
		_, err = file.Write(zeros[:min(left, int64(len(zeros)))])
	}
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = l.fs.Rename(aside, name)
	}
	if err != nil {
		_ = l.fs.Remove(aside) // the error that counts is known
		return err
	}
	// OpenSync drops the zeros from the page cache, here where nobody waits for it.
	synced, err := l.fs.OpenSync(name)
	if err != nil {
		return err
	}
	return errors.Join(synced.Close(), l.fs.SyncDir(l.dir))
}

// trim deletes stale segments that are more than what is kept.
func (l *Log) trim() error {
	for {
		l.mu.Lock()
		extra := len(l.stale) > l.opts.Kept
		var old segment
		if extra {
			old = l.stale[0]
		}
		l.mu.Unlock()
		if !extra {
			return nil
		}
		if err := l.remove(old.name); err != nil {
			return err
		}
		l.dropStale(0)
	}
}

func (l *Log) remove(name string) error {
	if err := l.fs.Remove(name); err != nil {
		return err
	}
	return l.fs.SyncDir(l.dir)
}
