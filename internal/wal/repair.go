package wal

import (
	"errors"
	"fmt"

	"github.com/tapeline/tapeline/internal/vfs"
)

// damagedSuffix is put behind the names of segments that GiveUp takes out of the log.
const damagedSuffix = ".damaged"

// Repair says what GiveUp did.
type Repair struct {
	Damage *CorruptError `json:"damage,omitempty"` // nil: there was none, and nothing was done
	Last   uint64        `json:"last"`             // sequence that the log now ends with
	Moved  []string      `json:"moved,omitempty"`  // segments that were set aside, not deleted
}

// GiveUp ends a damaged log before its first damage, by an operator's decision: what cannot be read, and all
// behind it, is no longer part of the log, and the segment that follows says so for ever. A log without
// damage is left as it is.
func GiveUp(fsys vfs.SyncFS, dir string, options Options) (r Repair, err error) {
	opts, err := options.withDefaults()
	if err != nil {
		return r, err
	}
	found, err := list(fsys, dir)
	if err != nil {
		return r, err
	}
	e, damage, err := intact(fsys, found)
	if err != nil || damage == nil {
		return r, err
	}
	if len(e.used) == 0 {
		return r, fmt.Errorf("no record before the damage can be read, so nothing is left to repair: %w", damage)
	}
	r.Damage, r.Last = damage, e.next-1
	for _, s := range found.segments {
		if s.number <= e.used[len(e.used)-1].number {
			continue
		}
		aside := s.name + damagedSuffix
		if err := fsys.Rename(s.name, aside); err != nil {
			return r, err
		}
		r.Moved = append(r.Moved, aside)
	}
	if err := fsys.SyncDir(dir); err != nil {
		return r, err
	}
	e.spares, e.empty = nil, false // the damaged segment stays for who wants to look at it
	l := &Log{fs: fsys, dir: dir, opts: opts, id: e.id, salt: e.id.salt(), flags: flagGivenUp}
	if err := l.begin(e, nil); err != nil {
		return r, err
	}
	return r, l.Close()
}

// intact returns the end of what can be read before a log's first damage.
func intact(fsys vfs.FS, l listing) (*end, *CorruptError, error) {
	var first *CorruptError
	for {
		e, err := walk(fsys, &l, 0, func(*Frame) error { return nil })
		damage, ok := errors.AsType[*CorruptError](err)
		if err != nil && !ok {
			return nil, nil, err
		}
		if first == nil {
			first = damage
		}
		if err == nil || damage.Offset > 0 {
			return e, first, nil
		}
		// A segment as a whole: the log ends before it.
		for i, s := range l.segments {
			if s.name == damage.Segment {
				l.segments = l.segments[:i]
				break
			}
		}
	}
}
