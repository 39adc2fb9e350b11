package vfs_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/tapeline/tapeline/internal/vfs"
)

// TestOpenSync: blocks are written in place, and readers see them at once.
func TestOpenSync(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "a")
	if _, err := (vfs.OS{}).OpenSync(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of a file that is missing: %v", err)
	}
	if err := os.WriteFile(name, make([]byte, 3*vfs.Block), 0o600); err != nil {
		t.Fatal(err)
	}
	memory, err := vfs.Map(2 * vfs.Block)
	if err != nil {
		t.Fatal(err)
	}
	if len(memory.Bytes) != 2*vfs.Block || !bytes.Equal(memory.Bytes, make([]byte, 2*vfs.Block)) {
		t.Errorf("%d bytes of memory, or not zeros", len(memory.Bytes))
	}
	copy(memory.Bytes[vfs.Block:], "text")
	f, err := vfs.OS{}.OpenSync(name)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := vfs.OS{}.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, offset := range []int64{0, vfs.Block} {
		if n, err := f.WriteAt(memory.Bytes[vfs.Block:], offset); n != vfs.Block || err != nil {
			t.Errorf("write at %d: %d, %v", offset, n, err)
		}
		got := make([]byte, 4)
		if _, err := reader.ReadAt(got, offset); err != nil || string(got) != "text" {
			t.Errorf("read at %d: %q, %v", offset, got, err)
		}
	}
	if err := errors.Join(f.Close(), reader.Close(), memory.Free(), memory.Free()); err != nil || f.Name() != name {
		t.Errorf("close %s: %v", f.Name(), err)
	}
	for _, size := range []int{0, -1, 100} {
		if _, err := vfs.Map(size); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("map %d bytes: %v", size, err)
		}
	}
}
