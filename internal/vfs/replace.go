package vfs

import (
	"errors"
	"path/filepath"
)

// Replace makes a file of a text in one step: written aside, synced, renamed. Stopped at any moment, what
// was there before is there or the whole text. Synced.
func Replace(fsys FS, name string, text []byte) error {
	dir, base := filepath.Split(name)
	dir = filepath.Clean(dir)
	aside := filepath.Join(dir, "."+base+".part")
	err := write(fsys, aside, text)
	if err == nil {
		err = fsys.Rename(aside, name)
	}
	if err != nil {
		_ = fsys.Remove(aside) // the error that counts is known
		return err
	}
	return fsys.SyncDir(dir)
}

func write(fsys FS, name string, text []byte) error {
	file, err := fsys.Create(name)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}
