package vfs

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// OpenSync opens a file for synchronous writes in place. They pass by the page cache, so that a failed
// one leaves nothing there that looks written; where the file system cannot do that, through it. What it
// holds of the file is dropped, since each write would have to drop its part.
func (OS) OpenSync(name string) (SyncFile, error) {
	file, err := os.OpenFile(name, os.O_RDWR|unix.O_DSYNC|unix.O_DIRECT, 0)
	if errors.Is(err, unix.EINVAL) {
		file, err = os.OpenFile(name, os.O_RDWR|unix.O_DSYNC, 0)
	}
	if err != nil {
		return nil, err
	}
	_ = unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED) // writes do it otherwise
	return file, nil
}

// Map returns memory of whole blocks at a block's border.
func Map(sizeBytes int) (*Memory, error) {
	if sizeBytes <= 0 || sizeBytes%Block != 0 {
		return nil, &fs.PathError{Op: "map", Path: "memory", Err: fs.ErrInvalid}
	}
	bytes, err := unix.Mmap(-1, 0, sizeBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	return &Memory{Bytes: bytes, free: func() error { return unix.Munmap(bytes) }}, nil
}
