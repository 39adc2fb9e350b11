package simfs

import (
	"errors"
	"io"
	"io/fs"
	"slices"
	"syscall"
	"time"

	"github.com/tapeline/tapeline/internal/vfs"
)

// file is an open file.
type file struct {
	fs     *FS
	node   *node
	name   string
	op     Op // it was opened by
	offset int
	closed bool
}

var _ vfs.File = (*file)(nil)

// begin is FS.begin for an open file; it returns with mu held in any case.
func (f *file) begin(op Op) error {
	err := f.fs.begin(op, f.name)
	if f.closed {
		err = &fs.PathError{Op: string(op), Path: f.name, Err: fs.ErrClosed}
	}
	return err
}

// Read reads from the offset on.
func (f *file) Read(p []byte) (int, error) {
	err := f.begin(OpRead)
	defer f.fs.mu.Unlock()
	if err != nil {
		return 0, err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if f.offset >= len(f.node.data) {
		return 0, io.EOF
	}
	n := copy(p, f.node.data[f.offset:])
	f.offset += n
	return n, nil
}

// ReadAt reads from offset on.
func (f *file) ReadAt(p []byte, offset int64) (int, error) {
	err := f.begin(OpRead)
	defer f.fs.mu.Unlock()
	if err != nil {
		return 0, err
	}
	if offset < 0 {
		return 0, &fs.PathError{Op: string(OpRead), Path: f.name, Err: fs.ErrInvalid}
	}
	n := 0
	if offset < int64(len(f.node.data)) {
		n = copy(p, f.node.data[offset:])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Write writes at the offset, or at the end of a file opened for appending.
func (f *file) Write(p []byte) (int, error) {
	err := f.begin(OpWrite)
	defer f.fs.mu.Unlock()
	if f.closed {
		return 0, err
	}
	if f.op == OpOpen {
		return 0, &fs.PathError{Op: string(OpWrite), Path: f.name, Err: syscall.EBADF}
	}
	switch {
	case errors.Is(err, ErrStopped):
		return 0, err
	case err != nil:
		p = p[:len(p)/2]
	}
	if f.op == OpOpenAppend {
		f.offset = len(f.node.data)
	}
	if len(p) > 0 {
		f.node.change(write{offset: f.offset, bytes: slices.Clone(p)})
		f.offset += len(p)
	}
	return len(p), err
}

// Truncate cuts or extends the file.
func (f *file) Truncate(sizeBytes int64) error {
	err := f.begin(OpTruncate)
	defer f.fs.mu.Unlock()
	if err != nil {
		return err
	}
	if f.op == OpOpen || sizeBytes < 0 {
		return &fs.PathError{Op: string(OpTruncate), Path: f.name, Err: fs.ErrInvalid}
	}
	f.node.change(write{offset: int(sizeBytes), cut: true})
	return nil
}

// Sync makes the bytes survive.
func (f *file) Sync() error {
	err := f.begin(OpSync)
	defer f.fs.mu.Unlock()
	if err != nil {
		f.node.doom()
		return err
	}
	f.node.sync()
	return nil
}

// Close ends the use of the file; it saves nothing.
func (f *file) Close() error {
	err := f.begin(OpClose)
	defer f.fs.mu.Unlock()
	f.closed = true
	return err
}

// Size returns the size in bytes.
func (f *file) Size() (int64, error) {
	err := f.begin(OpStat)
	defer f.fs.mu.Unlock()
	return int64(len(f.node.data)), err
}

// Name returns the name given at opening.
func (f *file) Name() string { return f.name }

// info describes a node at one moment.
type info struct {
	name      string
	sizeBytes int64
	folder    bool
	modified  time.Time
}

var _ fs.FileInfo = info{}

func newInfo(name string, n *node) info {
	return info{name: name, sizeBytes: int64(len(n.data)), folder: n.folder, modified: n.modified}
}

// Name returns the name within its folder.
func (i info) Name() string { return i.name }

// Size returns the size in bytes.
func (i info) Size() int64 { return i.sizeBytes }

// Mode says whether it is a folder; all may read.
func (i info) Mode() fs.FileMode {
	if i.folder {
		return fs.ModeDir | 0o755
	}
	return 0o644
}

// ModTime returns when it was changed last.
func (i info) ModTime() time.Time { return i.modified }

// IsDir reports whether it is a folder.
func (i info) IsDir() bool { return i.folder }

// Sys returns nil.
func (i info) Sys() any { return nil }
