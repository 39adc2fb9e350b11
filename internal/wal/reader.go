package wal

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
)

// ErrReleased means that the records asked for were released.
var ErrReleased = errors.New("wal: the records are released")

// Reader follows a log that is being written. It reads only what is durable. One goroutine at a time.
type Reader struct {
	log  *Log
	from uint64 // next sequence to be returned
	scan *scanner
}

// Reader returns a reader of the records from a sequence on, to be closed. Until it has read them, they are
// not to be released.
func (l *Log) Reader(from uint64) *Reader { return &Reader{log: l, from: from} }

// Next returns the next frame that holds records; the first one may begin with older ones. io.EOF: all that
// is durable was read; there may be more later.
func (r *Reader) Next() (Frame, error) {
	for r.from <= r.log.Durable() {
		if r.scan == nil {
			if err := r.open(); err != nil {
				return Frame{}, err
			}
		}
		if r.passed() {
			if err := r.Close(); err != nil {
				return Frame{}, err
			}
			continue
		}
		f, fault, err := r.scan.frame()
		if err == nil && fault != none {
			r.scan.window = r.scan.window[:0] // it was read before the frame was written
			f, fault, err = r.scan.frame()
		}
		switch {
		case err != nil:
			return Frame{}, fmt.Errorf("%s: %w", r.scan.name, err)
		case fault != none:
			return Frame{}, &CorruptError{
				Segment: r.scan.name, Offset: r.scan.offset, From: r.from, Reason: string(fault),
			}
		case f.Count > 0 && f.Last() >= r.from:
			r.from = f.Last() + 1
			return f, nil
		}
	}
	return Frame{}, io.EOF
}

// open opens the segment that holds the next record.
func (r *Reader) open() error {
	l := r.log
	l.mu.Lock()
	used := append(slices.Clone(l.sealed), l.active)
	l.mu.Unlock()
	after := sort.Search(len(used), func(i int) bool { return used[i].header.first > r.from })
	if after == 0 {
		return fmt.Errorf("%w: sequence %d is asked for, the oldest is %d", ErrReleased, r.from, used[0].header.first)
	}
	s := &used[after-1]
	var err error
	r.scan, err = openScanner(l.fs, s.name, &s.header)
	return err
}

// passed reports whether all of the segment was read and another one follows.
func (r *Reader) passed() bool {
	l := r.log
	l.mu.Lock()
	defer l.mu.Unlock()
	next := &l.active
	for i := len(l.sealed) - 1; i >= 0 && l.sealed[i].name != r.scan.name; i-- {
		next = &l.sealed[i]
	}
	return next.name != r.scan.name && next.header.first == r.scan.next && next.header.chain == r.scan.chain
}

// Close frees what the reader holds.
func (r *Reader) Close() error {
	if r.scan == nil {
		return nil
	}
	scan := r.scan
	r.scan = nil
	return scan.close()
}
