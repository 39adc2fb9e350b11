package wal

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/tapeline/tapeline/internal/vfs"
)

const (
	version      = 1
	segmentMagic = 0x31534c54 // "TLS1"
	frameMagic   = 0x31464c54 // "TLF1"
	frameBytes   = 80         // of a frame's header
	sumsBytes    = 8          // of a header: magic and its own checksum
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ID tells one log from all others. Frames of other logs do not pass for this one's.
type ID [16]byte

// salt is what the checksums of the log's frames begin with.
func (id ID) salt() uint32 { return crc32.Checksum(id[:], castagnoli) }

// segmentHeader is the first block of a segment in use. A spare one has a block of zeros.
type segmentHeader struct {
	id      ID
	number  uint64 // of the segment
	first   uint64 // sequence of the first record
	size    int64  // bytes of the segment
	created int64  // ns since 1970
	epoch   uint32
	chain   uint32 // checksum of the last frame before, or of the header of a segment without frames
	rules   uint32 // of the caller: what it takes to replay the records
	flags   uint32
	sum     uint32 // of the header
}

// flagGivenUp of a segment: records from its first sequence on had been there before, and an operator gave them up.
const flagGivenUp = 1 << 0

// encode writes the header's block and sets its checksum.
func (h *segmentHeader) encode(block []byte) {
	clear(block[:vfs.Block])
	le := binary.LittleEndian
	le.PutUint32(block, segmentMagic)
	le.PutUint32(block[8:], version)
	le.PutUint32(block[12:], h.epoch)
	copy(block[16:32], h.id[:])
	le.PutUint64(block[32:], h.number)
	le.PutUint64(block[40:], h.first)
	le.PutUint64(block[48:], uint64(h.size))
	le.PutUint64(block[56:], uint64(h.created))
	le.PutUint32(block[64:], h.chain)
	le.PutUint32(block[68:], h.rules)
	le.PutUint32(block[72:], h.flags)
	h.sum = crc32.Checksum(block[sumsBytes:vfs.Block], castagnoli)
	le.PutUint32(block[4:], h.sum)
}

// VersionError is a log written by a version that this program does not know.
type VersionError struct {
	Name    string // of the file
	Version uint32
}

// Error names the file and both versions.
func (e *VersionError) Error() string {
	return fmt.Sprintf("%s: log format %d, this program reads %d: use the version that wrote it, or a later one",
		e.Name, e.Version, version)
}

// blockKind says what a segment's first block is.
type blockKind uint8

const (
	blank   blockKind = iota // zeros: a spare
	valid                    // a header
	unknown                  // neither
)

// decodeSegment reads a segment's first block.
func decodeSegment(name string, block []byte) (segmentHeader, blockKind, error) {
	le := binary.LittleEndian
	h := segmentHeader{
		epoch: le.Uint32(block[12:]), number: le.Uint64(block[32:]), first: le.Uint64(block[40:]),
		size: int64(le.Uint64(block[48:])), created: int64(le.Uint64(block[56:])),
		chain: le.Uint32(block[64:]), rules: le.Uint32(block[68:]), flags: le.Uint32(block[72:]), sum: le.Uint32(block[4:]),
	}
	copy(h.id[:], block[16:32])
	switch {
	case le.Uint32(block) == segmentMagic && crc32.Checksum(block[sumsBytes:vfs.Block], castagnoli) == h.sum:
		if v := le.Uint32(block[8:]); v != version {
			return h, unknown, &VersionError{name, v}
		}
		return h, valid, nil
	case allZero(block[:vfs.Block]):
		return h, blank, nil
	}
	return h, unknown, nil
}

func allZero(p []byte) bool {
	for _, b := range p {
		if b != 0 {
			return false
		}
	}
	return true
}

// flags of a frame.
const flagClosed = 1 << 0 // the log was closed behind it

// Frame is what one Write wrote.
type Frame struct {
	First     uint64 // sequence of the first record
	Count     uint32 // records; 0: a seal, which only states what is durable
	Epoch     uint32
	Watermark uint64 // last sequence that was durable when this was written; 0: none
	Time      int64  // of the caller, ns since 1970
	Digest    uint64 // of the caller: of its state after DigestSeq
	DigestSeq uint64
	Payload   []byte // borrowed: valid until the next frame is read

	Segment string // name of its file
	Offset  int64  // in it, bytes
	Rules   uint32 // of the segment

	flags, chain, sum, payloadSum uint32
	length                        int // of the payload
}

// Last returns the sequence of the last record; of a seal, of the record before it.
func (f *Frame) Last() uint64 { return f.First + uint64(f.Count) - 1 }

// padded returns the bytes that a frame with so much payload takes in its segment.
func padded(payload int) int { return (frameBytes + payload + vfs.Block - 1) &^ (vfs.Block - 1) }

// encode writes the frame's header in front of its payload, which starts at frameBytes, and zeros behind.
func (f *Frame) encode(p []byte, salt uint32) {
	le := binary.LittleEndian
	end := frameBytes + f.length
	clear(p[end:padded(f.length)])
	f.payloadSum = crc32.Update(salt, castagnoli, p[frameBytes:end])
	le.PutUint32(p, frameMagic)
	le.PutUint32(p[8:], f.payloadSum)
	le.PutUint32(p[12:], uint32(f.length))
	le.PutUint32(p[16:], f.Epoch)
	le.PutUint32(p[20:], f.Count)
	le.PutUint64(p[24:], f.First)
	le.PutUint64(p[32:], f.Watermark)
	le.PutUint64(p[40:], uint64(f.Time))
	le.PutUint64(p[48:], f.Digest)
	le.PutUint64(p[56:], f.DigestSeq)
	le.PutUint32(p[64:], f.chain)
	le.PutUint32(p[68:], f.flags)
	le.PutUint64(p[72:], 0)
	f.sum = crc32.Update(salt, castagnoli, p[sumsBytes:frameBytes])
	le.PutUint32(p[4:], f.sum)
}

// decodeFrame reads a frame's header; false: there is none of this log.
func decodeFrame(p []byte, salt uint32) (Frame, bool) {
	le := binary.LittleEndian
	if le.Uint32(p) != frameMagic {
		return Frame{}, false
	}
	f := Frame{
		sum: le.Uint32(p[4:]), payloadSum: le.Uint32(p[8:]), length: int(le.Uint32(p[12:])),
		Epoch: le.Uint32(p[16:]), Count: le.Uint32(p[20:]), First: le.Uint64(p[24:]),
		Watermark: le.Uint64(p[32:]), Time: int64(le.Uint64(p[40:])), Digest: le.Uint64(p[48:]),
		DigestSeq: le.Uint64(p[56:]), chain: le.Uint32(p[64:]), flags: le.Uint32(p[68:]),
	}
	return f, crc32.Update(salt, castagnoli, p[sumsBytes:frameBytes]) == f.sum
}
