package vfs

import (
	"io"
	"io/fs"
)

// FS is a file system. Safe for concurrent use.
type FS interface {
	// Create makes or empties a file and opens it for reading and writing. Written.
	Create(name string) (File, error)
	// Open opens a file for reading.
	Open(name string) (File, error)
	// OpenAppend opens a file for reading by ReadAt and writing at its end; it is made when missing.
	// Written.
	OpenAppend(name string) (File, error)
	// Rename moves a file over the target, if there is one, in one step. Written.
	Rename(from, to string) error
	// Remove deletes a file or an empty folder. Written.
	Remove(name string) error
	// MkdirAll makes a folder and the missing ones above it. Synced.
	MkdirAll(name string) error
	// List returns the entries of a folder, sorted by name.
	List(name string) ([]fs.FileInfo, error)
	// Stat describes a file or folder.
	Stat(name string) (fs.FileInfo, error)
	// SyncDir makes the entries of a folder durable: files made, renamed and removed in it. Synced.
	SyncDir(name string) error
}

// File is an open file. One goroutine at a time may use its offset (Read, Write).
type File interface {
	io.Reader
	io.ReaderAt
	io.Writer // written
	io.Closer
	// Truncate cuts or extends the file; the offset stays. Written.
	Truncate(sizeBytes int64) error
	// Sync makes bytes and size durable, not the name: that is SyncDir's. Synced.
	Sync() error
	// Size returns the size in bytes.
	Size() (int64, error)
	// Name returns the name given at opening.
	Name() string
}
