package simfs_test

import (
	"io"
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tapeline/tapeline/internal/vfs"
	"github.com/tapeline/tapeline/internal/vfs/simfs"
	"pgregory.net/rapid"
)

// twins drives the simulator and the operating system by the same steps.
type twins struct {
	root  string // of the operating system's files
	sim   *simfs.FS
	files map[string][2]vfs.File
}

func drawName(t *rapid.T) string {
	return rapid.SampledFrom([]string{"a", "b", "d", "d/a", "d/b", "d/e", "d/e/a", "x/a"}).Draw(t, "name")
}

func (w *twins) real(name string) string { return filepath.Join(w.root, name) }

// same fails unless both sides failed, or neither.
func same(t *rapid.T, what string, sim, real error) {
	t.Helper()
	if (sim == nil) != (real == nil) {
		t.Fatalf("%s: simulator %v, operating system %v", what, sim, real)
	}
}

func (w *twins) open(t *rapid.T, how func(vfs.FS, string) (vfs.File, error)) {
	name := drawName(t)
	if info, err := w.sim.Stat(name); err == nil && info.IsDir() {
		t.Skip("opening folders is the operating system's")
	}
	sim, simErr := how(w.sim, name)
	real, realErr := how(vfs.OS{}, w.real(name))
	same(t, "open "+name, simErr, realErr)
	if simErr != nil {
		return
	}
	if old, ok := w.files[name]; ok {
		same(t, "close "+name, old[0].Close(), old[1].Close())
	}
	w.files[name] = [2]vfs.File{sim, real}
}

func (w *twins) Create(t *rapid.T)     { w.open(t, vfs.FS.Create) }
func (w *twins) Open(t *rapid.T)       { w.open(t, vfs.FS.Open) }
func (w *twins) OpenAppend(t *rapid.T) { w.open(t, vfs.FS.OpenAppend) }

// pick returns one open pair of files.
func (w *twins) pick(t *rapid.T) (string, [2]vfs.File) {
	name := drawName(t)
	pair, ok := w.files[name]
	if !ok {
		t.Skip("not open")
	}
	return name, pair
}

func (w *twins) Write(t *rapid.T) {
	name, pair := w.pick(t)
	p := rapid.SliceOfN(rapid.Byte(), 0, 1500).Draw(t, "bytes")
	n, simErr := pair[0].Write(p)
	m, realErr := pair[1].Write(p)
	if len(p) > 0 {
		same(t, "write "+name, simErr, realErr)
	}
	if simErr == nil && n != m {
		t.Fatalf("write %s: simulator %d bytes, operating system %d", name, n, m)
	}
}

func (w *twins) Truncate(t *rapid.T) {
	name, pair := w.pick(t)
	size := rapid.Int64Range(0, 2000).Draw(t, "size")
	same(t, "truncate "+name, pair[0].Truncate(size), pair[1].Truncate(size))
}

func (w *twins) Sync(t *rapid.T) {
	name, pair := w.pick(t)
	same(t, "sync "+name, pair[0].Sync(), pair[1].Sync())
}

func (w *twins) Rename(t *rapid.T) {
	from, to := drawName(t), drawName(t)
	if info, err := w.sim.Stat(from); err == nil && info.IsDir() {
		t.Skip("renaming folders is restricted")
	}
	same(t, "rename "+from+" to "+to,
		w.sim.Rename(from, to), vfs.OS{}.Rename(w.real(from), w.real(to)))
}

func (w *twins) Remove(t *rapid.T) {
	name := drawName(t)
	same(t, "remove "+name, w.sim.Remove(name), vfs.OS{}.Remove(w.real(name)))
}

func (w *twins) MkdirAll(t *rapid.T) {
	name := drawName(t)
	same(t, "mkdir "+name, w.sim.MkdirAll(name), vfs.OS{}.MkdirAll(w.real(name)))
}

func (w *twins) SyncDir(t *rapid.T) {
	name := rapid.SampledFrom([]string{".", "d", "d/e", "x"}).Draw(t, "folder")
	if info, err := w.sim.Stat(name); err == nil && !info.IsDir() {
		t.Skip("not a folder")
	}
	same(t, "sync "+name, w.sim.SyncDir(name), vfs.OS{}.SyncDir(w.real(name)))
}

// Check compares the whole trees and the open files.
func (w *twins) Check(t *rapid.T) {
	if diff := cmp.Diff(tree(t, vfs.OS{}, w.root), tree(t, w.sim, ".")); diff != "" {
		t.Fatalf("trees differ (-operating system +simulator):\n%s", diff)
	}
	for name, pair := range w.files {
		if diff := cmp.Diff(content(t, pair[1]), content(t, pair[0])); diff != "" {
			t.Fatalf("open file %s differs (-operating system +simulator):\n%s", name, diff)
		}
	}
}

func content(t *rapid.T, f vfs.File) string {
	t.Helper()
	size, err := f.Size()
	if err != nil {
		t.Fatalf("size of %s: %v", f.Name(), err)
	}
	text, err := io.ReadAll(io.NewSectionReader(f, 0, size+1))
	if err != nil {
		t.Fatalf("read %s: %v", f.Name(), err)
	}
	return string(text)
}

// tree returns the contents of all files below a folder, by name; folders end in a slash.
func tree(t *rapid.T, system vfs.FS, root string) map[string]string {
	t.Helper()
	found := map[string]string{}
	var walk func(dir string)
	walk = func(dir string) {
		infos, err := system.List(filepath.Join(root, dir))
		if err != nil {
			t.Fatalf("list %s: %v", dir, err)
		}
		for _, info := range infos {
			name := filepath.Join(dir, info.Name())
			if info.Mode()&fs.ModeDir != 0 {
				found[name+"/"] = ""
				walk(name)
				continue
			}
			f, err := system.Open(filepath.Join(root, name))
			if err != nil {
				t.Fatalf("open %s: %v", name, err)
			}
			text, err := io.ReadAll(f)
			if err != nil || f.Close() != nil || int64(len(text)) != info.Size() {
				t.Fatalf("read %s: %d bytes of %d, %v", name, len(text), info.Size(), err)
			}
			found[name] = string(text)
		}
	}
	walk(".")
	return found
}

func TestMatchesOperatingSystem(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		machine := &twins{root: t.TempDir(), sim: simfs.New(), files: map[string][2]vfs.File{}}
		r.Repeat(rapid.StateMachineActions(machine))
		for _, pair := range machine.files {
			for _, f := range pair {
				if err := f.Close(); err != nil {
					r.Fatalf("close: %v", err)
				}
				if _, err := f.Read(make([]byte, 1)); err == nil {
					r.Fatalf("read of a closed file did not fail")
				}
			}
		}
	})
}
