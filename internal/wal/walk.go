package wal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/tapeline/tapeline/internal/vfs"
)

const (
	suffix    = ".wal"
	newSuffix = ".new" // being zero-filled
)

func segmentName(dir string, number uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%016x%s", number, suffix))
}

// segment is one file of a log.
type segment struct {
	name   string
	number uint64 // of the file's name
	size   int64
	kind   blockKind
	header segmentHeader // of a valid one
}

// listing is what a folder holds.
type listing struct {
	segments []segment // by number
	leftover []string  // files that were being made
}

// list reads the names and first blocks of a folder's segments.
func list(fsys vfs.FS, dir string) (listing, error) {
	var l listing
	entries, err := fsys.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return l, err
	}
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		if strings.HasSuffix(e.Name(), newSuffix) {
			l.leftover = append(l.leftover, name)
		}
		hex, ok := strings.CutSuffix(e.Name(), suffix)
		number, err := strconv.ParseUint(hex, 16, 64)
		if !ok || err != nil || name != segmentName(dir, number) {
			continue
		}
		s := segment{name: name, number: number, size: e.Size(), kind: unknown}
		if err := s.readHeader(fsys); err != nil {
			return l, err
		}
		l.segments = append(l.segments, s)
	}
	return l, nil
}

func (s *segment) readHeader(fsys vfs.FS) error {
	file, err := fsys.Open(s.name)
	if err != nil {
		return err
	}
	block := make([]byte, vfs.Block)
	n, err := file.ReadAt(block, 0)
	if err = errors.Join(err, file.Close()); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if n < len(block) {
		return nil // cut: unknown
	}
	s.header, s.kind, err = decodeSegment(s.name, block)
	return err
}

// log returns the segments in use and those around them that are not.
func (l *listing) log() (used, before, after []segment, err error) {
	first, last := -1, -1
	for i, s := range l.segments {
		if s.kind == valid {
			if first < 0 {
				first = i
			}
			last = i
		}
	}
	if first < 0 {
		return nil, nil, l.segments, nil
	}
	used = l.segments[first : last+1]
	for i := range used {
		s := &used[i]
		var reason string
		var before *segment
		if i > 0 {
			before = &used[i-1]
		}
		switch {
		case s.kind != valid:
			reason = "the segment's header is unreadable"
		case s.header.number != s.number:
			reason = fmt.Sprintf("this is segment %d by its header", s.header.number)
		case s.header.id != used[0].header.id:
			reason = "this is a segment of another log"
		case s.size < s.header.size:
			reason = fmt.Sprintf("%d of %d bytes are there", s.size, s.header.size)
		case before != nil && s.number != before.number+1:
			reason = fmt.Sprintf("segment %d is missing before it", s.number-1)
		case before != nil && (s.header.first < before.header.first || s.header.epoch < before.header.epoch):
			reason = "it does not follow the segment before it"
		default:
			continue
		}
		e := &CorruptError{Segment: s.name, Reason: reason}
		if before != nil {
			e.From = before.header.first
		}
		return nil, nil, nil, e
	}
	return used, l.segments[:first], l.segments[last+1:], nil
}

// Torn is a last frame that was not written whole. It had not been acknowledged. One whose header is not
// there either cannot be told from what the segment held before.
type Torn struct {
	Segment string `json:"segment"`
	Offset  int64  `json:"offset"`
	Reason  string `json:"reason"`
}

// end is where a log ends.
type end struct {
	used      []segment
	spares    []segment
	id        ID
	epoch     uint32
	next      uint64
	chain     uint32
	watermark uint64
	closed    bool
	empty     bool // no record in the last segment
	torn      *Torn
	frames    int
	bytes     int64
}

// walk reads the frames of a log that hold sequences from one on, and finds its end: with a *CorruptError in
// a segment's frames, where the damage begins.
func walk(fsys vfs.FS, l *listing, from uint64, visit func(f *Frame) error) (*end, error) {
	used, before, after, err := l.log()
	if err != nil {
		return nil, err
	}
	e := &end{used: used, spares: append(append([]segment{}, after...), before...), next: 1}
	if len(used) == 0 {
		return e, checkNew(fsys, after)
	}
	e.id, e.next = used[0].header.id, used[0].header.first
	for i := range used {
		s := &used[i]
		var next *segment
		if i+1 < len(used) {
			next = &used[i+1]
		}
		if next != nil && next.header.first <= from {
			e.next = next.header.first
			continue // all of it is older
		}
		if err := e.read(fsys, s, next, after, from, visit); err != nil {
			e.used = used[:i+1]
			return e, err
		}
	}
	return e, nil
}

// read reads one segment. The one after it, if there is one, says where it ends.
func (e *end) read(
	fsys vfs.FS, s, next *segment, after []segment, from uint64, visit func(f *Frame) error,
) (err error) {
	scan, err := openScanner(fsys, s.name, &s.header)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, scan.close()) }()
	e.epoch, e.empty, e.closed = s.header.epoch, true, false
	for next == nil || scan.next != next.header.first || scan.chain != next.header.chain {
		f, fault, err := scan.frame()
		if err != nil {
			return fmt.Errorf("%s, byte %d: %w", s.name, scan.offset, err)
		}
		if fault != none {
			e.next, e.chain = scan.next, scan.chain
			if next != nil {
				return &CorruptError{
					Segment: s.name, Offset: scan.offset, From: scan.next, To: next.header.first - 1, Reason: string(fault),
				}
			}
			return e.finish(fsys, scan, fault, after)
		}
		e.empty = e.empty && f.Count == 0
		e.closed, e.watermark = f.flags&flagClosed != 0, f.Watermark
		e.frames++
		e.bytes += int64(padded(f.length))
		if f.Count > 0 && f.Last() >= from {
			if err := visit(&f); err != nil {
				return err
			}
		}
	}
	e.next, e.chain = scan.next, scan.chain
	return nil
}

// finish tells the end of the log from damage to it.
func (e *end) finish(fsys vfs.FS, scan *scanner, why fault, after []segment) error {
	damage := &CorruptError{Segment: scan.name, Offset: scan.offset, From: scan.next, Reason: string(why)}
	switch why {
	case otherFrame:
		return damage
	case brokenData, longPayload:
		e.torn = &Torn{scan.name, scan.offset, string(why)}
	}
	var later *Frame
	err := scan.behind(scan.offset+vfs.Block, func(f *Frame) bool {
		later = f
		return false
	})
	if err != nil {
		return fmt.Errorf("%s: %w", scan.name, err)
	}
	if later != nil {
		damage.Reason = fmt.Sprintf("%s, and a frame written later, of sequence %d, is at byte %d",
			why, later.First, later.Offset)
		return damage
	}
	for _, s := range after {
		if err := e.checkUnused(fsys, &s); err != nil {
			return err
		}
	}
	return nil
}

// checkUnused looks for acknowledged frames in a segment whose header does not say that it is in use. The
// write of a segment's header with its first frame may have been torn: one such frame proves nothing.
func (e *end) checkUnused(fsys vfs.FS, s *segment) (err error) {
	scan, err := openScanner(fsys, s.name, &segmentHeader{id: e.id, first: e.next, epoch: e.epoch})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, scan.close()) }()
	var found []*Frame
	err = scan.behind(vfs.Block, func(f *Frame) bool {
		if f.Count > 0 || f.First > e.next { // else a seal of what is there
			found = append(found, f)
		}
		return len(found) < 2
	})
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", s.name, err)
	case len(found) == 0:
		return nil
	case len(found) > 1 || found[0].First != e.next || e.torn != nil:
		return &CorruptError{Segment: s.name, From: e.next, Reason: fmt.Sprintf(
			"the segment's header is unreadable, and a frame of sequence %d is at byte %d",
			found[0].First, found[0].Offset)}
	}
	e.torn = &Torn{s.name, 0, "the segment's header is unreadable"}
	return nil
}

// checkNew makes sure that segments without any header hold no frames: those of a log that was never used.
func checkNew(fsys vfs.FS, segments []segment) error {
	for _, s := range segments {
		scan, err := openScanner(fsys, s.name, &segmentHeader{})
		if err != nil {
			return err
		}
		at, err := scan.magic()
		if err = errors.Join(err, scan.close()); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		if at > 0 {
			return &CorruptError{Segment: s.name, From: 1, Reason: fmt.Sprintf(
				"no segment has a readable header, and there is a frame at byte %d", at)}
		}
	}
	return nil
}
