package vfs_test

import (
	"errors"
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/tapeline/tapeline/internal/vfs"
)

// The behaviour common to both file systems is tested in simfs, against each other.

func TestErrorsAreRecognised(t *testing.T) {
	t.Parallel()
	system := vfs.OS{}
	missing := filepath.Join(t.TempDir(), "missing", "x")
	_, openErr := system.Open(missing)
	_, createErr := system.Create(missing)
	_, listErr := system.List(missing)
	for name, err := range map[string]error{
		"open": openErr, "create": createErr, "list": listErr,
		"rename": system.Rename(missing, missing+"y"), "remove": system.Remove(missing),
		"sync": system.SyncDir(missing),
	} {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: got %v, want fs.ErrNotExist", name, err)
		}
	}
}

func TestMkdirAll(t *testing.T) {
	t.Parallel()
	system := vfs.OS{}
	root := t.TempDir()
	deep := filepath.Join(root, "a", "b", "c")
	for range 2 {
		if err := system.MkdirAll(deep); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := system.Stat(deep); err != nil || !info.IsDir() {
		t.Fatalf("got %v, %v; want a folder", info, err)
	}
	f, err := system.OpenAppend(filepath.Join(root, "file"))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := system.MkdirAll(filepath.Join(root, "file", "x")); err == nil {
		t.Error("a folder below a file was made")
	}
	if err := system.MkdirAll(filepath.Join(root, "file")); err == nil {
		t.Error("a file passed for a folder")
	}
}
