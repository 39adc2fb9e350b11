//go:build linux

package main

import (
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/tapeline/tapeline/internal/vfs"
)

const (
	fileBytes   = 64 << 20
	headerBytes = 80 // of a frame, as in internal/wal
)

// file is a bare file that frames are written to: one after the other, from its beginning again where it
// is not appended to.
type file struct {
	kind   string
	file   *os.File
	memory *vfs.Memory
	place  int64
	next   uint64
	table  *crc32.Table
}

func openFile(kind, dir string) (*file, error) {
	f := &file{kind: kind, table: crc32.MakeTable(crc32.Castagnoli), next: 1}
	flags := os.O_RDWR | os.O_CREATE
	switch kind {
	case "direct", "vectored", "probe":
		flags |= unix.O_DIRECT | unix.O_DSYNC
	case "buffered", "appended":
	default:
		return nil, fmt.Errorf("engine %q is not known", kind)
	}
	name := filepath.Join(dir, "frames")
	if kind != "appended" {
		if err := zeros(name); err != nil {
			return nil, err
		}
	}
	var err error
	if f.memory, err = vfs.Map(1 << 20); err != nil {
		return nil, err
	}
	f.file, err = os.OpenFile(name, flags, 0o600)
	return f, err
}

// zeros makes a file whose every block has been written.
func zeros(name string) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	block := make([]byte, 1<<20)
	for at := int64(0); at < fileBytes && err == nil; at += int64(len(block)) {
		_, err = file.Write(block)
	}
	return errors.Join(err, file.Sync(), file.Close())
}

func (f *file) commit(records int) error {
	header := headerBytes
	switch f.kind {
	case "vectored":
		header = vfs.Block // direct writes take nothing smaller
	case "probe":
		records = 1
	}
	end := header + records*recordBytes
	for at := header; at < end; at += recordBytes {
		put(f.memory.Bytes[at:], f.next)
		f.next++
	}
	put(f.memory.Bytes, uint64(crc32.Checksum(f.memory.Bytes[header:end], f.table)))
	size := (end + vfs.Block - 1) &^ (vfs.Block - 1)
	if f.kind == "appended" {
		size = end
	} else if f.place+int64(size) > fileBytes {
		f.place = 0
	}
	frame := f.memory.Bytes[:size]
	var err error
	if f.kind == "vectored" {
		var n int
		parts := [][]byte{frame[:header], frame[header:]}
		if n, err = unix.Pwritev(int(f.file.Fd()), parts, f.place); err == nil && n < size {
			err = fmt.Errorf("%d of %d bytes were written", n, size)
		}
	} else {
		_, err = f.file.WriteAt(frame, f.place)
	}
	f.place += int64(size)
	if err == nil && (f.kind == "buffered" || f.kind == "appended") {
		err = unix.Fdatasync(int(f.file.Fd()))
	}
	return err
}

func (f *file) close() error { return errors.Join(f.file.Close(), f.memory.Free()) }
