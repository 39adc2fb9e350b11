package container

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/vfs"
)

// Cursor is a place between two rows of a file: row Row of unit Unit, both from 0.
type Cursor struct{ Unit, Row int64 }

// Piece is a part of a file: its units from From up to but not including To.
type Piece struct {
	File string
	From int64
	To   int64 // 0: to the end of the file
}

// Whole returns the pieces that are whole files.
func Whole(files []string) []Piece {
	pieces := make([]Piece, len(files))
	for i, file := range files {
		pieces[i].File = file
	}
	return pieces
}

// File is an open file. Reading it at different offsets at once is safe.
type File struct {
	vfs.File
	SizeBytes int64
}

// Section returns a reader of the whole file with an offset of its own.
func (f *File) Section() *io.SectionReader { return io.NewSectionReader(f.File, 0, f.SizeBytes) }

// Reader reads the rows of one open file. It is used by one goroutine.
type Reader interface {
	// Read returns the next rows, at most as many as the limits allow, and the cursor after them;
	// io.EOF after the last.
	Read(ctx context.Context, limits connector.Limits) (connector.Chunk, Cursor, error)
	// Close frees what the reader holds; the file is closed by its owner.
	Close() error
}

// Config says what a Walk reads.
type Config struct {
	FS     vfs.FS
	Pieces []Piece           // in the order of reading
	Budget *connector.Budget // asked before each chunk
	// Open begins to read a file at a cursor, up to but not including unit to, or to the end when
	// to is 0. It is called under Guard.
	Open func(ctx context.Context, file *File, from Cursor, to int64) (Reader, error)
}

// Walk reads pieces of files one after the other. Next is called from one goroutine; Close may
// come while Next runs, and takes effect when it returns.
type Walk struct {
	cfg    Config
	index  int // of the current or next piece
	from   Cursor
	resume *position

	mu     sync.Mutex
	closed bool
	busy   bool
	file   *File
	reader Reader
	state  state
}

// NewWalk returns a walk from the start; Resume continues elsewhere.
func NewWalk(cfg Config) *Walk {
	w := &Walk{cfg: cfg}
	w.enter()
	return w
}

// enter sets the cursor to the start of the piece at index.
func (w *Walk) enter() {
	if w.index < len(w.cfg.Pieces) {
		w.from = Cursor{Unit: w.cfg.Pieces[w.index].From}
	}
}

// Resume makes Next continue at a position of an earlier run; nil is the start. A file that is no
// longer among the pieces is an error; whether it changed is seen when it is opened.
func (w *Walk) Resume(at connector.Position) error {
	if at == nil {
		return nil
	}
	p, err := decodePosition(at)
	if err != nil {
		return err
	}
	for i, piece := range w.cfg.Pieces {
		if piece.File != p.file || p.cursor.Unit < piece.From {
			continue
		}
		if piece.To == 0 || p.cursor.Unit < piece.To {
			w.index, w.from, w.resume = i, p.cursor, &p
			return nil
		}
		if p.cursor.Unit == piece.To {
			w.index = i + 1
			w.enter()
		}
	}
	if w.index > 0 {
		return nil
	}
	return &connector.Error{
		Op: "resume " + p.file, Class: connector.Permanent, Code: "file_vanished",
		Err:  fmt.Errorf("the file was read up to unit %d, row %d and is gone", p.cursor.Unit, p.cursor.Row),
		Hint: "put it back, or start anew with --fresh",
	}
}

// Next returns the next chunk, io.EOF after the last of the last piece.
func (w *Walk) Next(ctx context.Context) (connector.Chunk, error) {
	if err := w.begin(); err != nil {
		return connector.Chunk{}, err
	}
	defer w.end()
	for w.index < len(w.cfg.Pieces) {
		if err := ctx.Err(); err != nil {
			return connector.Chunk{}, err
		}
		chunk, err := w.read(ctx)
		if err != io.EOF { //nolint:errorlint // Guard lets only the bare end pass
			return chunk, err
		}
		if err := w.release(); err != nil {
			return connector.Chunk{}, err
		}
		w.index++
		w.enter()
	}
	return connector.Chunk{}, io.EOF
}

// read returns the next chunk of the current piece, io.EOF at its end.
func (w *Walk) read(ctx context.Context) (connector.Chunk, error) {
	piece := w.cfg.Pieces[w.index]
	if w.reader == nil {
		if err := w.open(ctx, piece); err != nil {
			return connector.Chunk{}, err
		}
	}
	var chunk connector.Chunk
	var next Cursor
	err := Guard(piece.File, func() (err error) {
		chunk, next, err = w.reader.Read(ctx, w.cfg.Budget.Limits())
		return err
	})
	if err != nil {
		return connector.Chunk{}, err
	}
	w.from = next
	chunk.Position = position{file: piece.File, cursor: next, state: w.state}.encode()
	return chunk, nil
}

// open opens a file at the cursor, and refuses one that changed since the position was taken.
func (w *Walk) open(ctx context.Context, piece Piece) error {
	name := piece.File
	file, err := OpenFile(w.cfg.FS, name)
	if err != nil {
		return err
	}
	w.file = file
	if w.state, err = stateOf(file, file.SizeBytes); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	if resume := w.resume; resume != nil {
		w.resume = nil
		if resume.state != w.state {
			return &connector.Error{
				Op: "resume " + name, Class: connector.Permanent, Code: "file_changed",
				Err: fmt.Errorf("it has %d bytes, its content at the position's time had %d",
					w.state.sizeBytes, resume.state.sizeBytes),
				Hint: "put the old file back, or start anew with --fresh",
			}
		}
	}
	return Guard(name, func() error {
		reader, err := w.cfg.Open(ctx, file, w.from, piece.To)
		switch err {
		case io.EOF: //nolint:errorlint // a bare end while opening is a cut file
			return io.ErrUnexpectedEOF
		case nil:
			w.reader = reader
		}
		return err
	})
}

// OpenFile opens a file for reading at any offset.
func OpenFile(fsys vfs.FS, name string) (*File, error) {
	file, err := fsys.Open(name)
	if err != nil {
		class := connector.Permanent
		if errors.Is(err, fs.ErrPermission) {
			class = connector.Auth
		}
		return nil, &connector.Error{Op: "open " + name, Class: class, Err: err, Path: "path"}
	}
	size, err := file.Size()
	if err != nil {
		_ = file.Close() // nothing was read
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	return &File{File: file, SizeBytes: size}, nil
}

func (w *Walk) begin() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return fmt.Errorf("read files: %w", fs.ErrClosed)
	}
	w.busy = true
	return nil
}

func (w *Walk) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.busy = false
	if w.closed {
		_ = w.release() // the caller of Close does not wait for it
	}
}

// release closes the current file.
func (w *Walk) release() error {
	var err error
	if w.reader != nil {
		err = w.reader.Close()
		w.reader = nil
	}
	if w.file != nil {
		err = errors.Join(err, w.file.Close())
		w.file = nil
	}
	return err
}

// Close closes the current file.
func (w *Walk) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	if w.busy {
		return nil
	}
	return w.release()
}
