package filesink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/vfs"
)

// Cut returns the length of the longest beginning of data that is whole records, 0 when there is
// none. With atEOF nothing follows data. The answer must not depend on how much follows the
// records it returns, or a resumed run would cut elsewhere.
type Cut func(data []byte, atEOF bool) int

// Prologue returns how many bytes at the beginning of a file are not records, such as a header;
// ok false asks for more bytes, which is not possible with atEOF.
type Prologue func(file string, head []byte, atEOF bool) (length int, ok bool, err error)

// CutLines is the Cut of formats with one record a line.
func CutLines(data []byte, atEOF bool) int {
	if atEOF {
		return len(data)
	}
	return bytes.LastIndexByte(data, '\n') + 1
}

// BlocksConfig says what Blocks read.
type BlocksConfig struct {
	FS       vfs.FS
	Source   SourceConfig
	Files    []string // sorted, as Expand returns them
	Cut      Cut
	Prologue Prologue          // nil: records begin with the file
	Budget   *connector.Budget // asked before each block
	Newline  byte              // counted as line end; 0: \n
}

// Block is whole records of one file.
type Block struct {
	File   string
	Index  int    // of File in BlocksConfig.Files
	Data   []byte // valid until Release; the bytes from its length to its capacity do not change
	Offset int64  // of Data in the decompressed, transcoded file
	Line   int64  // of the first byte, from 1
	Lines  int    // line ends in Data
	Next   connector.Position
	// Release gives Data back for another block; it may be called from any goroutine, once.
	Release func()
}

// Blocks reads files one after the other as blocks of whole records. Next and Open are called from
// one goroutine; Close may come while Next blocks.
//
// A plain file is read up to the end it has when that end is reached, so that what is appended
// meanwhile is read too; a file that gets shorter meanwhile is a Data error. A file replaced by
// rename is read on in its old form. Overwriting in place goes unnoticed.
type Blocks struct {
	cfg      BlocksConfig
	pool     pool
	index    int // of the current or next file
	lineMean int // bytes a line, of the last block

	buffer []byte // filled from the current file
	filled int
	offset int64 // of buffer[0]
	line   int64
	sum    uint32
	sumLen int
	broken error // returned once the buffer holds no more whole records
	ended  bool  // the current file has no more bytes
	resume *position

	reading sync.Mutex // held by Next
	mu      sync.Mutex
	stream  *stream // written by the holder of reading
	closed  bool
}

// NewBlocks returns blocks of the files from their start; Resume continues elsewhere.
func NewBlocks(cfg BlocksConfig) *Blocks {
	if cfg.Newline == 0 {
		cfg.Newline = '\n'
	}
	return &Blocks{cfg: cfg}
}

// Resume makes Next continue after the block that returned next; nil is the start. It is called
// before Next. A file that vanished is an error.
func (b *Blocks) Resume(next connector.Position) error {
	if next == nil {
		return nil
	}
	p, err := decodePosition(next)
	if err != nil {
		return err
	}
	b.index = slices.Index(b.cfg.Files, p.file)
	if b.index < 0 {
		return &connector.Error{
			Op: "resume " + p.file, Class: connector.Permanent, Code: "file_vanished",
			Err:  fmt.Errorf("the file was read up to byte %d and is gone", p.offset),
			Hint: "put it back, or start anew with --fresh",
		}
	}
	b.resume = &p
	return nil
}

// Next returns the next block, io.EOF after the last. What precedes damaged data is returned
// before the error.
func (b *Blocks) Next(ctx context.Context) (Block, error) {
	b.reading.Lock()
	defer b.reading.Unlock()
	for {
		if err := ctx.Err(); err != nil {
			return Block{}, err
		}
		if b.stream == nil {
			if b.index >= len(b.cfg.Files) {
				return Block{}, io.EOF
			}
			if err := b.open(); err != nil {
				return Block{}, err
			}
		}
		block, ok, err := b.cut(ctx)
		if err != nil || ok {
			return block, err
		}
		b.finish()
		b.index++
	}
}

// open starts the file at index, at the position to resume when there is one.
func (b *Blocks) open() error {
	name := b.cfg.Files[b.index]
	s, err := openStream(b.cfg.FS, &b.cfg.Source, name)
	if err != nil {
		return err
	}
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		s.close()
		return fmt.Errorf("read %s: %w", name, io.ErrClosedPipe)
	}
	b.stream = s
	b.mu.Unlock()
	b.offset, b.line, b.filled, b.ended, b.broken = s.offset, 1, 0, false, nil
	if b.cfg.Prologue != nil {
		if err := b.skipPrologue(); err != nil {
			return err
		}
	}
	b.sum, b.sumLen, _ = s.fingerprint(0)
	if b.resume == nil {
		return nil
	}
	p := *b.resume
	b.resume = nil
	return b.continueAt(p)
}

func (b *Blocks) skipPrologue() error {
	want := 64 << 10
	for {
		if err := b.fill(want); err != nil {
			return err
		}
		if b.broken != nil && b.filled == 0 {
			return b.broken
		}
		length, ok, err := b.cfg.Prologue(b.stream.name, b.buffer[:b.filled], b.ended)
		switch {
		case err != nil:
			return err
		case ok:
			b.line += int64(bytes.Count(b.buffer[:length], []byte{b.cfg.Newline}))
			b.filled = copy(b.buffer, b.buffer[length:b.filled])
			b.offset += int64(length)
			return nil
		case b.broken != nil:
			return b.broken
		case b.ended || b.filled >= b.cfg.Source.maxRecordBytes():
			return b.tooLong()
		}
		want = b.filled * 2
	}
}

// continueAt moves the opened file to a position of an earlier run.
func (b *Blocks) continueAt(p position) error {
	s := b.stream
	if s.regular && s.plain && s.size < p.offset {
		return s.changed(fmt.Sprintf("it has %d bytes, the position is at byte %d", s.size, p.offset))
	}
	if sum, _, ok := s.fingerprint(p.headLength); p.headLength > 0 && (!ok || sum != p.headSum) {
		return s.changed("its beginning differs")
	}
	b.line = p.line
	b.sum, b.sumLen = p.headSum, p.headLength
	if end := b.offset + int64(b.filled); p.offset >= b.offset && p.offset <= end {
		b.filled = copy(b.buffer, b.buffer[p.offset-b.offset:b.filled])
		b.offset = p.offset
		return nil
	}
	b.filled, b.offset, b.ended = 0, p.offset, false
	return s.seek(p.offset)
}

// cut returns the next block of the current file; ok false means that it has none.
func (b *Blocks) cut(ctx context.Context) (block Block, ok bool, err error) {
	limits := b.cfg.Budget.Limits()
	want := b.want(limits)
	for {
		if err := b.fill(want); err != nil {
			return Block{}, false, err
		}
		end := b.end(limits.Rows)
		if end > 0 {
			return b.emit(end), true, nil
		}
		switch {
		case b.broken != nil:
			return Block{}, false, b.broken
		case b.ended && b.filled == 0:
			return Block{}, false, nil
		case b.ended:
			return b.emit(b.filled), true, nil
		case b.filled >= b.cfg.Source.maxRecordBytes():
			return Block{}, false, b.tooLong()
		}
		if err := ctx.Err(); err != nil {
			return Block{}, false, err
		}
		want = min(b.filled*2, b.cfg.Source.maxRecordBytes())
	}
}

// want returns how many bytes to have before a block is cut: what the limits allow, judged by the
// lines of the block before.
func (b *Blocks) want(limits connector.Limits) int {
	want := limits.Bytes
	if b.lineMean > 0 {
		want = min(want, max(limits.Rows*b.lineMean, 4<<10))
	}
	return min(want, b.cfg.Source.maxRecordBytes())
}

// end returns where to cut the buffer so that the block has at most rows lines, unless a record
// has more.
func (b *Blocks) end(rows int) int {
	data := b.buffer[:b.filled]
	for lines := rows; ; lines *= 2 {
		limit := afterLine(data, b.cfg.Newline, lines)
		if limit < 0 || limit == len(data) {
			return b.cfg.Cut(data, b.ended)
		}
		if end := b.cfg.Cut(data[:limit], false); end > 0 {
			return end
		}
	}
}

// afterLine returns the offset after the nth line end, -1 when there are fewer.
func afterLine(data []byte, newline byte, n int) int {
	const piece = 16 << 10
	at := 0
	for at < len(data) {
		window := data[at:min(at+piece, len(data))]
		if count := bytes.Count(window, []byte{newline}); count < n {
			n -= count
			at += len(window)
			continue
		}
		for {
			at += bytes.IndexByte(data[at:], newline) + 1
			if n--; n == 0 {
				return at
			}
		}
	}
	return -1
}

// emit hands out the first end bytes of the buffer and keeps the rest in another one.
func (b *Blocks) emit(end int) Block {
	data := b.buffer
	rest := b.filled - end
	lines := bytes.Count(data[:end], []byte{b.cfg.Newline})
	b.lineMean = end / max(lines, 1)
	b.buffer = b.pool.get(max(rest, b.want(b.cfg.Budget.Limits())))
	copy(b.buffer, data[end:b.filled])
	block := Block{
		File: b.stream.name, Index: b.index, Data: data[:end:cap(data)],
		Offset: b.offset, Line: b.line, Lines: lines,
		Release: func() { b.pool.put(data) },
	}
	b.filled = rest
	b.offset += int64(end)
	b.line += int64(lines)
	block.Next = position{
		file: b.stream.name, offset: b.offset, line: b.line, headSum: b.sum, headLength: b.sumLen,
	}.encode()
	return block
}

// fill reads until the buffer holds want bytes or the file ends. Damaged input is kept in broken
// so that whole records before it still come out.
func (b *Blocks) fill(want int) error {
	if len(b.buffer) < want {
		larger := b.pool.get(want)
		copy(larger, b.buffer[:b.filled])
		if b.buffer != nil {
			b.pool.put(b.buffer)
		}
		b.buffer = larger
	}
	for b.filled < want && !b.ended && b.broken == nil {
		n, err := b.stream.read(b.buffer[b.filled:want])
		b.filled += n
		switch {
		case err == nil && n > 0 && !b.stream.regular:
			return nil // a pipe: hand on what is there rather than wait for more
		case err == nil:
		case errors.Is(err, io.EOF):
			b.ended = true
		case connector.Data == classOf(err):
			b.broken = err
		default:
			return err
		}
	}
	return nil
}

func classOf(err error) connector.Class {
	if e, ok := errors.AsType[*connector.Error](err); ok {
		return e.Class
	}
	return connector.Unknown
}

func (b *Blocks) tooLong() error {
	return &connector.Error{
		Op:    fmt.Sprintf("read %s line %d", b.stream.name, b.line),
		Class: connector.Data, Code: "record_too_long", Path: "max_record_bytes",
		Err: fmt.Errorf("the record that begins there, at byte %d, is longer than %d bytes",
			b.offset, b.cfg.Source.maxRecordBytes()),
		Hint: "raise max_record_bytes, or check for a quote that is never closed",
	}
}

// finish closes the current file.
func (b *Blocks) finish() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stream != nil {
		b.stream.close()
		b.stream = nil
	}
}

// Close closes the current file, which ends a Next that blocks on it; blocks handed out stay valid
// until their Release.
func (b *Blocks) Close() error {
	b.mu.Lock()
	b.closed = true
	s := b.stream
	b.mu.Unlock()
	if b.reading.TryLock() {
		b.finish()
		b.reading.Unlock()
		return nil
	}
	if s != nil {
		_ = s.file.Close() // Next reports that it was closed
	}
	return nil
}
