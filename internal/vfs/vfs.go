// Package vfs is the small file system under every durable package, so that tests can crash it.
package vfs

import (
	"io"
	"io/fs"
)

// FS is the file system. Names are slash or OS paths; errors are *fs.PathError.
type FS interface {
	Create(name string) (File, error)           // truncates
	Open(name string) (File, error)             // for reading
	OpenAppend(name string) (File, error)       // read-write, made when missing; the offset is the end
	Rename(from, to string) error               // visible at return, durable after SyncDir
	Remove(name string) error
	MkdirAll(name string) error
	List(name string) ([]fs.FileInfo, error)    // sorted by name
	Stat(name string) (fs.FileInfo, error)
	SyncDir(name string) error                  // synced: the folder's entries
}

// File is an open file.
type File interface {
	io.Reader
	io.ReaderAt
	io.Writer
	io.Closer
	Truncate(size int64) error
	Sync() error // synced: the file's bytes
	Size() (int64, error)
	Name() string
}
