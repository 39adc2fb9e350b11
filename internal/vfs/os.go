package vfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

const (
	filePerm   = 0o644
	folderPerm = 0o755
)

// OS is the operating system's file system.
type OS struct{}

var _ SyncFS = OS{}

// osFile is an *os.File that knows its size.
type osFile struct{ *os.File }

// Size returns the size in bytes.
func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Create makes or empties a file. Written.
func (OS) Create(name string) (File, error) {
	return open(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
}

// Open opens a file for reading.
func (OS) Open(name string) (File, error) { return open(name, os.O_RDONLY) }

// OpenAppend opens a file for writing at its end, made when missing. Written.
func (OS) OpenAppend(name string) (File, error) {
	return open(name, os.O_RDWR|os.O_CREATE|os.O_APPEND)
}

func open(name string, flag int) (File, error) {
	file, err := os.OpenFile(name, flag, filePerm)
	if err != nil {
		return nil, err
	}
	return osFile{file}, nil
}

// Rename moves a file in one step. Written.
func (OS) Rename(from, to string) error { return os.Rename(from, to) }

// Remove deletes a file or an empty folder. Written.
func (OS) Remove(name string) error { return os.Remove(name) }

// MkdirAll makes a folder and the missing ones above it. Synced.
func (o OS) MkdirAll(name string) error {
	name = filepath.Clean(name)
	parent := filepath.Dir(name)
	if _, err := os.Stat(name); err == nil || parent == name {
		return os.MkdirAll(name, folderPerm) // reports a file in the way
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := o.MkdirAll(parent); err != nil {
		return err
	}
	if err := os.Mkdir(name, folderPerm); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return o.SyncDir(parent)
}

// List returns the entries of a folder, sorted by name. Entries that vanish meanwhile are left out.
func (OS) List(name string) ([]fs.FileInfo, error) {
	entries, err := os.ReadDir(name)
	if err != nil {
		return nil, err
	}
	infos := make([]fs.FileInfo, 0, len(entries))
	for _, entry := range entries {
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		infos = append(infos, info)
	}
	return infos, nil
}

// Stat describes a file or folder.
func (OS) Stat(name string) (fs.FileInfo, error) { return os.Stat(name) }

// SyncDir makes the entries of a folder durable. Synced; Windows offers no such call and needs
// none for its journaled names.
func (OS) SyncDir(name string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	folder, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
