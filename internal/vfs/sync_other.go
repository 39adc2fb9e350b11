//go:build !linux

package vfs

import (
	"io/fs"
	"os"
)

// OpenSync opens a file for synchronous writes in place.
func (OS) OpenSync(name string) (SyncFile, error) {
	file, err := os.OpenFile(name, os.O_RDWR|os.O_SYNC, 0)
	if err != nil {
		return nil, err
	}
	return file, nil
}

// Map returns memory of whole blocks.
func Map(sizeBytes int) (*Memory, error) {
	if sizeBytes <= 0 || sizeBytes%Block != 0 {
		return nil, &fs.PathError{Op: "map", Path: "memory", Err: fs.ErrInvalid}
	}
	return &Memory{Bytes: make([]byte, sizeBytes)}, nil
}
