package vfs

import "io"

// Block is the unit of synchronous writes in bytes: offset, length and memory are multiples of it.
const Block = 4096

// SyncFS is a file system that writes synchronously. Safe for concurrent use.
type SyncFS interface {
	FS
	// OpenSync opens a file for synchronous writes in place. What was written to it otherwise is
	// synced before.
	OpenSync(name string) (SyncFile, error)
}

// SyncFile is a file of fixed size whose writes are durable when they return. It is read by FS.Open.
// Safe for concurrent use, as far as writes do not overlap.
type SyncFile interface {
	// WriteAt writes whole blocks within the file, from memory made by Map. Synced. After an error any
	// of the sectors may have been written.
	io.WriterAt
	io.Closer
	// Name returns the name given at opening.
	Name() string
}

// Memory is memory that synchronous writes take. It stays until Free.
type Memory struct {
	Bytes []byte // zeroed at first; not to be used after Free
	free  func() error
}

// Free gives the memory back.
func (m *Memory) Free() error {
	if m == nil || m.free == nil {
		return nil
	}
	free := m.free
	m.Bytes, m.free = nil, nil
	return free()
}
