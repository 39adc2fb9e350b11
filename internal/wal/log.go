package wal

import (
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tapeline/tapeline/internal/vfs"
)

// Defaults of Options.
const (
	DefaultSegmentBytes = 64 << 20
	DefaultFrameBytes   = 1 << 20
	DefaultSpares       = 1
	DefaultKept         = 8
)

// Options configure a log. Zero values are the defaults.
type Options struct {
	SegmentBytes int64  // of new segments; a multiple of vfs.Block, at least four frames
	FrameBytes   int    // most of one frame; a multiple of vfs.Block
	Spares       int    // segments that Prepare keeps ready
	Kept         int    // released segments that are kept to be used again, not deleted
	Rules        uint32 // what it takes to replay the records, stated in each segment
	ID           ID     // of a new log; zero: random
	Now          func() time.Time
}

func (o Options) withDefaults() (Options, error) {
	if o.SegmentBytes == 0 {
		o.SegmentBytes = DefaultSegmentBytes
	}
	if o.FrameBytes == 0 {
		o.FrameBytes = int(min(DefaultFrameBytes, o.SegmentBytes/4&^(vfs.Block-1)))
	}
	if o.Spares == 0 {
		o.Spares = DefaultSpares
	}
	if o.Kept == 0 {
		o.Kept = DefaultKept
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.SegmentBytes%vfs.Block != 0 || o.FrameBytes%vfs.Block != 0 || o.FrameBytes < vfs.Block ||
		o.SegmentBytes < 4*int64(o.FrameBytes) || o.SegmentBytes <= reservedBytes+vfs.Block+int64(o.FrameBytes) {
		return o, fmt.Errorf("segments of %d bytes, frames of %d: both are multiples of %d, and a segment "+
			"holds at least four frames", o.SegmentBytes, o.FrameBytes, vfs.Block)
	}
	if o.ID == (ID{}) {
		_, _ = rand.Read(o.ID[:]) // never fails
	}
	return o, nil
}

// reservedBytes at the end of each segment are for a Seal and a Close, which so need no spare segment.
const reservedBytes = 2 * vfs.Block

// Errors of Write.
var (
	// ErrNoSpare means that the segment is full and none is ready: nothing was written, and Write can be
	// called again after Prepare.
	ErrNoSpare = errors.New("wal: no spare segment is ready")
	// ErrClosed means that the log was closed.
	ErrClosed = errors.New("wal: the log is closed")
)

// BrokenError is a failed write. What it was to write may be durable or not; nothing more is written until
// the log is opened anew.
type BrokenError struct{ Err error }

// Error returns the failure and its remedy.
func (e *BrokenError) Error() string {
	return fmt.Sprintf("wal: a write failed, and what is on the disk is not known until the log is opened anew: %v",
		e.Err)
}

// Unwrap returns the failure.
func (e *BrokenError) Unwrap() error { return e.Err }

// Log is an open log. One goroutine at a time calls Write, Seal and Close; others may call Prepare,
// Release and the rest meanwhile.
type Log struct {
	fs    vfs.SyncFS
	dir   string
	opts  Options
	id    ID
	salt  uint32
	seal  *Buffer
	flags uint32 // of the next segment

	// The writer's own:
	file   vfs.SyncFile
	offset int64
	next   uint64
	chain  uint32
	epoch  uint32
	stated uint64 // last sequence that a frame says is durable
	closed bool
	broken error

	durable atomic.Uint64
	room    atomic.Int64 // bytes left in the active segment

	prepare sync.Mutex // one Prepare at a time
	mu      sync.Mutex
	active  segment   // changed by the writer
	sealed  []segment // full ones, oldest first
	spares  []segment // ready, in the order of their use
	stale   []segment // that spares can be made of
	needed  uint64    // first sequence that somebody may still read
}

// Report says what Open found.
type Report struct {
	New       bool   // there was no log
	First     uint64 // sequence of the first record that is there; 0: none
	Last      uint64 // of the last one; 0: there never was one
	Watermark uint64 // last sequence that the log itself says was acknowledged
	Epoch     uint32 // that begins now
	Frames    int    // read
	Bytes     int64  // of them
	Closed    bool   // Close was the last thing done
	Torn      *Torn  // the end was cut there; nil: it was whole
	Rules     uint32 // of the newest segment found
}

// GapError means that records the caller needs are not in the log.
type GapError struct {
	Dir        string
	Need       uint64
	First, End uint64 // the log holds [First, End)
}

// Error names both.
func (e *GapError) Error() string {
	return fmt.Sprintf("log %s holds the sequences %d to %d, but %d is needed next: its segments, or the "+
		"snapshot, are of another time: bring back both from one copy", e.Dir, e.First, e.End-1, e.Need)
}

// Open reads the records from a sequence on, calls replay for each frame that holds some, and begins a new
// epoch behind the last. A frame may begin with records before from.
func Open(
	fsys vfs.SyncFS, dir string, from uint64, replay func(f *Frame) error, options Options,
) (*Log, Report, error) {
	opts, err := options.withDefaults()
	if err != nil {
		return nil, Report{}, err
	}
	if err := fsys.MkdirAll(dir); err != nil {
		return nil, Report{}, err
	}
	found, err := list(fsys, dir)
	if err != nil {
		return nil, Report{}, err
	}
	if err := settle(fsys, &found); err != nil {
		return nil, Report{}, err
	}
	e, err := walk(fsys, &found, from, replay)
	if err != nil {
		return nil, Report{}, err
	}
	report := Report{
		New: len(e.used) == 0, Last: e.next - 1, Watermark: e.watermark, Frames: e.frames, Bytes: e.bytes,
		Closed: e.closed, Torn: e.torn, Epoch: e.epoch + 1,
	}
	first := uint64(1)
	if n := len(e.used); n > 0 {
		first, report.Rules = e.used[0].header.first, e.used[n-1].header.rules
		if first < e.next {
			report.First = first
		}
	}
	if from < first || from > e.next {
		return nil, report, &GapError{dir, from, first, e.next}
	}
	l := &Log{fs: fsys, dir: dir, opts: opts, id: e.id}
	if report.New {
		l.id = opts.ID
	}
	l.salt = l.id.salt()
	if err := l.begin(e, found.leftover); err != nil {
		return nil, report, errors.Join(err, l.seal.Free())
	}
	return l, report, nil
}

// settle makes what is read survive before anything is built on it: a process that was killed may have left
// contents that only the page cache has. Names are durable before a segment is used.
func settle(fsys vfs.FS, l *listing) error {
	for _, s := range l.segments {
		file, err := fsys.OpenAppend(s.name)
		if err != nil {
			return err
		}
		if err := errors.Join(file.Sync(), file.Close()); err != nil {
			return err
		}
	}
	return nil
}

// begin starts the new epoch.
func (l *Log) begin(e *end, leftover []string) error {
	var err error
	if l.seal, err = l.NewBuffer(); err != nil {
		return err
	}
	for _, name := range leftover {
		if err := l.fs.Remove(name); err != nil {
			return err
		}
	}
	l.next, l.chain, l.epoch = e.next, e.chain, e.epoch+1
	l.durable.Store(l.next - 1)
	l.stated = l.next - 1 // the header that begins the epoch says so
	l.stale = e.spares
	if n := len(e.used); n > 0 {
		l.sealed, l.active = e.used[:n-1], e.used[n-1]
		if e.empty { // a segment without records is begun again: seals of an earlier epoch are nobody's
			l.chain = l.active.header.chain
			return l.start()
		}
	}
	if err := l.makeSpare(); err != nil {
		return err
	}
	if len(e.used) > 0 {
		l.sealed = append(l.sealed, l.active)
	}
	l.active, l.spares = l.spares[0], l.spares[1:]
	return l.start()
}

// start writes the header of the active segment alone, so that the epoch is durable before any frame.
func (l *Log) start() (err error) {
	if l.file, err = l.fs.OpenSync(l.active.name); err != nil {
		return err
	}
	block := l.seal.memory.Bytes[:vfs.Block]
	l.header(block)
	if _, err := l.file.WriteAt(block, 0); err != nil {
		return errors.Join(&BrokenError{err}, l.file.Close())
	}
	l.offset = vfs.Block
	l.room.Store(l.active.size - reservedBytes - l.offset)
	return nil
}

// header makes the active segment's header, which the next frame follows.
func (l *Log) header(block []byte) {
	h := segmentHeader{
		id: l.id, number: l.active.number, first: l.next, size: l.active.size, created: l.opts.Now().UnixNano(),
		epoch: l.epoch, chain: l.chain, rules: l.opts.Rules, flags: l.flags,
	}
	h.encode(block)
	l.flags = 0
	l.active.header, l.active.kind, l.chain = h, valid, h.sum
}

// Buffer is the memory of one frame: records are put where the disk takes them from. It belongs to one
// goroutine at a time.
type Buffer struct {
	memory *vfs.Memory // a block for a segment's header, then the frame
	n      int         // bytes of the payload

	Count     uint32 // records in it
	Time      int64  // ns since 1970, of the caller
	Digest    uint64 // of the caller's state after DigestSeq
	DigestSeq uint64
}

// NewBuffer returns an empty buffer, to be freed by Free.
func (l *Log) NewBuffer() (*Buffer, error) {
	memory, err := vfs.Map(vfs.Block + l.opts.FrameBytes)
	if err != nil {
		return nil, err
	}
	return &Buffer{memory: memory}, nil
}

// Free gives the buffer's memory back.
func (b *Buffer) Free() error {
	if b == nil {
		return nil
	}
	return b.memory.Free()
}

// Size returns the bytes that the frame takes in the log at most.
func (b *Buffer) Size() int { return len(b.memory.Bytes) - vfs.Block }

// Room returns how many bytes more the frame takes.
func (b *Buffer) Room() int { return len(b.memory.Bytes) - vfs.Block - frameBytes - b.n }

// Extend returns the next n bytes of the payload, at most Room, with whatever they held.
func (b *Buffer) Extend(n int) []byte {
	at := vfs.Block + frameBytes + b.n
	b.n += n
	return b.memory.Bytes[at : at+n : at+n]
}

// Reset empties the buffer.
func (b *Buffer) Reset() { b.n, b.Count = 0, 0 }

// Write writes the buffer as one frame. Its records are durable when it returns nil, with the sequences
// from first on. ErrNoSpare: nothing was written. *BrokenError: the log is of no more use. A buffer without
// records is not written.
func (l *Log) Write(b *Buffer) (first uint64, err error) {
	if b.Count == 0 {
		return l.next, l.usable()
	}
	return l.write(b, 0)
}

func (l *Log) write(b *Buffer, flags uint32) (first uint64, err error) {
	if err := l.usable(); err != nil {
		return 0, err
	}
	frame := b.memory.Bytes[vfs.Block:]
	size := int64(padded(b.n))
	place, from := l.offset, int64(vfs.Block)
	if b.Count > 0 && place+size > l.active.size-reservedBytes {
		if err := l.rotate(b.memory.Bytes[:vfs.Block]); err != nil {
			return 0, err
		}
		place, from = 0, 0
	}
	f := Frame{
		First: l.next, Count: b.Count, Epoch: l.epoch, Watermark: l.next - 1, Time: b.Time, Digest: b.Digest,
		DigestSeq: b.DigestSeq, length: b.n, chain: l.chain, flags: flags,
	}
	f.encode(frame, l.salt)
	if _, err := l.file.WriteAt(b.memory.Bytes[from:vfs.Block+size], place); err != nil {
		l.broken = &BrokenError{err}
		return 0, l.broken
	}
	l.offset = place + vfs.Block - from + size
	l.room.Store(l.active.size - reservedBytes - l.offset)
	first, l.chain, l.stated = l.next, f.sum, f.Watermark
	l.next += uint64(b.Count)
	l.durable.Store(l.next - 1)
	return first, nil
}

func (l *Log) usable() error {
	if l.closed {
		return ErrClosed
	}
	return l.broken
}

// rotate makes the next spare segment the active one. Its header is written with the first frame.
func (l *Log) rotate(block []byte) error {
	l.mu.Lock()
	if len(l.spares) == 0 {
		l.mu.Unlock()
		return ErrNoSpare
	}
	next := l.spares[0]
	l.mu.Unlock()
	file, err := l.fs.OpenSync(next.name)
	if err != nil {
		l.broken = &BrokenError{err}
		return l.broken
	}
	if err := l.file.Close(); err != nil {
		l.broken = &BrokenError{errors.Join(err, file.Close())}
		return l.broken
	}
	l.file = file
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sealed, l.active, l.spares = append(l.sealed, l.active), next, l.spares[1:]
	l.header(block)
	return nil
}

// Seal states that what was written last is durable, so that damage to it can be told from a write that was
// torn. To be called when no more records are at hand; it writes nothing when that is known already.
func (l *Log) Seal() error {
	if l.stated == l.next-1 {
		return l.usable()
	}
	l.seal.Reset()
	_, err := l.write(l.seal, 0)
	return err
}

// Close states that the log ends here, and closes it. A broken log is closed as it is.
func (l *Log) Close() error {
	if l.closed {
		return nil
	}
	var err error
	if l.broken == nil {
		l.seal.Reset()
		_, err = l.write(l.seal, flagClosed)
	}
	l.closed = true
	return errors.Join(err, l.file.Close(), l.seal.Free())
}

// Durable returns the last sequence that is durable; 0: none. Safe for concurrent use.
func (l *Log) Durable() uint64 { return l.durable.Load() }

// Epoch returns the number of this opening of the log.
func (l *Log) Epoch() uint32 { return l.epoch }

// Room returns how many bytes can be written without a segment that Prepare has yet to make. Safe for
// concurrent use.
func (l *Log) Room() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	room := l.room.Load()
	for _, s := range l.spares {
		room += s.size - reservedBytes - vfs.Block
	}
	return room
}

// Release says that nobody reads sequences up to last any more: their segments are used again.
func (l *Log) Release(last uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.needed = max(l.needed, min(last, math.MaxUint64-1)+1)
}
