package simfs

import (
	"errors"
	"io/fs"
	"slices"
	"syscall"

	"github.com/tapeline/tapeline/internal/vfs"
)

// OpWriteSync is a synchronous write. An injected error is the operation's, with the exceptions below;
// of a failed or stopped one any sectors may survive.
const OpWriteSync Op = "write sync"

// Faults of a disk that says a synchronous write is done. Injected for OpWriteSync, they make it succeed.
var (
	// ErrLost loses the write.
	ErrLost = errors.New("simulated disk lost the write")
	// ErrMisdirected puts the write one block further on in the file.
	ErrMisdirected = errors.New("simulated disk misdirected the write")
)

// syncFile is a file opened for synchronous writes.
type syncFile struct{ file }

var _ vfs.SyncFile = (*syncFile)(nil)

// OpenSync opens a file for synchronous writes in place; one that has writes which are not synced is
// refused.
func (f *FS) OpenSync(name string) (vfs.SyncFile, error) {
	err := f.begin(OpOpen, name)
	defer f.mu.Unlock()
	if err != nil {
		return nil, err
	}
	n, err := f.find(name)
	switch {
	case err == nil && n.folder:
		err = syscall.EISDIR
	case err == nil && len(n.pending) > 0:
		err = syscall.EBUSY
	}
	if err != nil {
		return nil, &fs.PathError{Op: string(OpOpen), Path: name, Err: err}
	}
	return &syncFile{file{fs: f, node: n, name: name, op: OpOpen}}, nil
}

// WriteAt writes whole blocks within the file; they survive.
func (f *syncFile) WriteAt(p []byte, offset int64) (int, error) {
	err := f.begin(OpWriteSync)
	defer f.fs.mu.Unlock()
	size := int64(len(p))
	switch {
	case f.closed, errors.Is(err, ErrStopped) && f.fs.operations > f.fs.stopAt+1:
		return 0, err // a machine that stopped before it
	case offset < 0 || offset%vfs.Block != 0 || size%vfs.Block != 0 || offset+size > int64(len(f.node.data)):
		return 0, &fs.PathError{Op: string(OpWriteSync), Path: f.name, Err: fs.ErrInvalid}
	}
	w := write{offset: int(offset), bytes: slices.Clone(p)}
	switch {
	case errors.Is(err, ErrLost):
		return len(p), nil
	case errors.Is(err, ErrMisdirected):
		w.offset = min(w.offset+vfs.Block, len(f.node.data)-len(p))
		f.node.writeSync(w)
		return len(p), nil
	case err != nil:
		w.doomed = !errors.Is(err, ErrStopped)
		f.node.change(w)
		return 0, err
	}
	f.node.writeSync(w)
	return len(p), nil
}

// writeSync makes a change that survives.
func (n *node) writeSync(w write) {
	n.data = w.apply(n.data)
	n.synced = w.apply(slices.Clone(n.synced))
}

// Damage changes a file's content by the hand of the disk: what readers see and what survives.
func (f *FS) Damage(name string, change func(content []byte)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.find(name)
	if err == nil && (n.folder || len(n.pending) > 0) {
		err = fs.ErrInvalid
	}
	if err != nil {
		return &fs.PathError{Op: "damage", Path: name, Err: err}
	}
	change(n.data)
	n.synced = slices.Clone(n.data)
	return nil
}
