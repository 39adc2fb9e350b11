package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/tapeline/tapeline/internal/vfs"
)

const windowBytes = 4 << 20 // read at once

// scanner reads the frames of one segment in their order.
type scanner struct {
	name   string
	file   vfs.File
	size   int64 // of the file
	epoch  uint32
	rules  uint32
	salt   uint32
	next   uint64 // sequence that the next frame begins with
	chain  uint32 // checksum of the frame before it
	offset int64  // where it begins
	window []byte // of the file, from start on
	start  int64
}

func openScanner(fsys vfs.FS, name string, h *segmentHeader) (*scanner, error) {
	file, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	size, err := file.Size()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &scanner{
		name: name, file: file, size: size, epoch: h.epoch, rules: h.rules, salt: h.id.salt(), next: h.first, chain: h.sum,
		offset: vfs.Block,
	}, nil
}

func (s *scanner) close() error { return s.file.Close() }

// bytes returns so many bytes of the file, borrowed until the next call; none where it ends before them.
func (s *scanner) bytes(offset int64, n int) ([]byte, error) {
	if offset+int64(n) > s.size {
		return nil, nil
	}
	if offset < s.start || offset+int64(n) > s.start+int64(len(s.window)) {
		if want := max(n, int(min(windowBytes, s.size))); cap(s.window) < want {
			s.window = make([]byte, want)
		}
		s.start, s.window = offset, s.window[:min(int64(cap(s.window)), s.size-offset)]
		if _, err := s.file.ReadAt(s.window, offset); err != nil && !errors.Is(err, io.EOF) {
			s.window = s.window[:0]
			return nil, err
		}
	}
	at := offset - s.start
	return s.window[at : at+int64(n)], nil
}

// fault says why there is no frame where one could be.
type fault string

const (
	none         fault = ""
	noFrame      fault = "no frame"
	staleFrame   fault = "a frame of an earlier use of the segment"
	brokenHeader fault = "the header's checksum is wrong"
	otherFrame   fault = "a frame that does not follow the one before it"
	longPayload  fault = "the payload is longer than the segment"
	brokenData   fault = "the payload's checksum is wrong"
)

// frame reads the frame at the scanner's place and goes on behind it. An error is one of reading.
func (s *scanner) frame() (Frame, fault, error) {
	head, err := s.bytes(s.offset, frameBytes)
	if err != nil {
		return Frame{}, none, err
	}
	if head == nil {
		return Frame{}, noFrame, nil
	}
	f, ok := decodeFrame(head, s.salt)
	switch {
	case !ok && allZero(head):
		return f, noFrame, nil
	case !ok:
		return f, brokenHeader, nil
	case f.Epoch < s.epoch || f.First < s.next:
		return f, staleFrame, nil
	case f.Epoch != s.epoch || f.First != s.next || f.chain != s.chain:
		return f, otherFrame, nil
	}
	all, err := s.bytes(s.offset, frameBytes+f.length)
	if err != nil {
		return f, none, err
	}
	if all == nil {
		return f, longPayload, nil
	}
	f.Payload = all[frameBytes:]
	if crc32.Update(s.salt, castagnoli, f.Payload) != f.payloadSum {
		return f, brokenData, nil
	}
	f.Segment, f.Offset, f.Rules = s.name, s.offset, s.rules
	s.offset += int64(padded(f.length))
	s.next += uint64(f.Count)
	s.chain = f.sum
	return f, none, nil
}

// behind looks, from a block on, for headers of frames that can only have been written after one with the
// sequence next, and calls seen for each until that returns false.
func (s *scanner) behind(offset int64, seen func(f *Frame) bool) error {
	for ; ; offset += vfs.Block {
		head, err := s.bytes(offset, frameBytes)
		if head == nil || err != nil {
			return err
		}
		f, ok := decodeFrame(head, s.salt)
		if !ok || f.Epoch < s.epoch || f.First < s.next {
			continue
		}
		f.Segment, f.Offset = s.name, offset
		if !seen(&f) {
			return nil
		}
	}
}

// magic returns the offset of the first block that begins as a frame does, of whatever log; 0: none.
func (s *scanner) magic() (int64, error) {
	for offset := int64(vfs.Block); ; offset += vfs.Block {
		head, err := s.bytes(offset, frameBytes)
		if head == nil || err != nil {
			return 0, err
		}
		if binary.LittleEndian.Uint32(head) == frameMagic {
			return offset, nil
		}
	}
}

// CorruptError is damage to records that had been acknowledged.
type CorruptError struct {
	Segment string `json:"segment"`      // file
	Offset  int64  `json:"offset"`       // in it, bytes; 0: the segment as a whole
	From    uint64 `json:"from"`         // first sequence that cannot be read
	To      uint64 `json:"to,omitempty"` // last one; 0: all from From on
	Reason  string `json:"reason"`
}

// Error says where the damage is, which records it took, and what an operator can do.
func (e *CorruptError) Error() string {
	lost := fmt.Sprintf("from sequence %d on", e.From)
	if e.To > 0 {
		lost = fmt.Sprintf("of the sequences %d to %d", e.From, e.To)
	}
	return fmt.Sprintf("%s, byte %d: damaged (%s): acknowledged records %s cannot be read: bring back the "+
		"folder from a copy, or give them up by wal repair", e.Segment, e.Offset, e.Reason, lost)
}
