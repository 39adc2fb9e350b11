package simfs_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/tapeline/tapeline/internal/vfs"
	"github.com/tapeline/tapeline/internal/vfs/simfs"
)

const crashes = 300 // clones per question

// must fails the test on an error of the set-up.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// put writes a file and, if asked, syncs its bytes and its name.
func put(system vfs.FS, name string, text []byte, syncFile, syncFolder bool) error {
	f, err := system.Create(name)
	if err != nil {
		return err
	}
	if _, err := f.Write(text); err != nil {
		return errors.Join(err, f.Close())
	}
	if syncFile {
		if err := f.Sync(); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	if err := f.Close(); err != nil || !syncFolder {
		return err
	}
	return system.SyncDir(".")
}

// outcomes returns what is found under name after many crashes; "(none)" when it is missing.
func outcomes(t *testing.T, system *simfs.FS, name string) map[string]int {
	t.Helper()
	found := map[string]int{}
	for seed := range uint64(crashes) {
		clone := system.CrashClone(rand.New(rand.NewPCG(seed, 1)))
		f, err := clone.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			found["(none)"]++
			continue
		}
		must(t, err)
		text, err := io.ReadAll(f)
		must(t, err)
		found[string(text)]++
	}
	return found
}

func TestSyncedSurvives(t *testing.T) {
	t.Parallel()
	system := simfs.New()
	must(t, put(system, "a", []byte("kept"), true, true))
	if got := outcomes(t, system, "a"); got["kept"] != crashes {
		t.Errorf("got %v, want only kept", got)
	}
}

func TestNameNeedsSyncDir(t *testing.T) {
	t.Parallel()
	system := simfs.New()
	must(t, put(system, "a", []byte("kept"), true, false))
	got := outcomes(t, system, "a")
	if got["(none)"] == 0 || got["kept"] == 0 || len(got) != 2 {
		t.Errorf("got %v, want both kept and none", got)
	}
}

func TestUnsyncedBytesTear(t *testing.T) {
	t.Parallel()
	system := simfs.New()
	must(t, put(system, "a", bytes.Repeat([]byte("o"), 2048), true, true))
	must(t, put(system, "a", bytes.Repeat([]byte("n"), 2048), false, false))
	var whole, old, torn int
	for text, n := range outcomes(t, system, "a") {
		switch {
		case text == string(bytes.Repeat([]byte("n"), 2048)):
			whole += n
		case text == string(bytes.Repeat([]byte("o"), 2048)):
			old += n
		default:
			torn += n
		}
	}
	if whole == 0 || old == 0 || torn == 0 {
		t.Errorf("got %d whole, %d old, %d torn; want some of each", whole, old, torn)
	}
}

func TestRenameIsOneStep(t *testing.T) {
	t.Parallel()
	system := simfs.New()
	must(t, put(system, "a", []byte("old"), true, true))
	must(t, put(system, "b", []byte("new"), true, true))
	must(t, system.Rename("b", "a"))
	got := outcomes(t, system, "a")
	if got["old"] == 0 || got["new"] == 0 || len(got) != 2 {
		t.Errorf("before SyncDir: got %v, want old and new", got)
	}
	must(t, system.SyncDir("."))
	if got := outcomes(t, system, "a"); got["new"] != crashes {
		t.Errorf("after SyncDir: got %v, want only new", got)
	}
}

func TestFoldersSurvive(t *testing.T) {
	t.Parallel()
	system := simfs.New()
	must(t, system.MkdirAll("d/e"))
	must(t, put(system, "d/e/a", []byte("x"), true, false))
	must(t, system.SyncDir("d/e"))
	if got := outcomes(t, system, "d/e/a"); got["x"] != crashes {
		t.Errorf("got %v, want only x", got)
	}
}

func TestFailedSyncLosesForGood(t *testing.T) {
	t.Parallel()
	system := simfs.New()
	must(t, put(system, "a", nil, true, true))
	f, err := system.OpenAppend("a")
	must(t, err)
	_, err = f.Write([]byte("x"))
	must(t, err)
	system.Inject(func(op simfs.Op, _ string) error {
		if op == simfs.OpSync {
			return syscall.EIO
		}
		return nil
	})
	if err := f.Sync(); !errors.Is(err, syscall.EIO) {
		t.Fatalf("got %v, want EIO", err)
	}
	system.Inject(nil)
	must(t, f.Sync())
	if got := outcomes(t, system, "a"); got[""] == 0 {
		t.Errorf("got %v, want a loss in spite of the second sync", got)
	}
}

func TestDiskFullLeavesAPart(t *testing.T) {
	t.Parallel()
	system := simfs.New()
	f, err := system.Create("a")
	must(t, err)
	system.Inject(func(op simfs.Op, name string) error {
		if op == simfs.OpWrite && name == "a" {
			return syscall.ENOSPC
		}
		return nil
	})
	n, err := f.Write([]byte("12345678"))
	size, sizeErr := f.Size()
	must(t, sizeErr)
	if n != 4 || size != 4 || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %d bytes, size %d, %v; want 4, 4, ENOSPC", n, size, err)
	}
}

// replace is the usual way to change a file in one step; syncFile false is the usual mistake.
func replace(system vfs.FS, text []byte, syncFile bool) error {
	if err := put(system, "a.new", text, syncFile, false); err != nil {
		return err
	}
	if err := system.Rename("a.new", "a"); err != nil {
		return err
	}
	return system.SyncDir(".")
}

// broken counts crashes, at any operation of a replacement, after which the file is neither the
// old nor the new one, or is the old one although the replacement returned.
func broken(t *testing.T, syncFile bool) int {
	t.Helper()
	setUp := func() *simfs.FS {
		system := simfs.New()
		must(t, put(system, "a", []byte("old"), true, true))
		return system
	}
	whole := setUp()
	start := whole.Operations()
	must(t, replace(whole, []byte("new"), syncFile))
	bad := 0
	for n := start; n <= whole.Operations(); n++ {
		system := setUp()
		system.StopAt(n)
		err := replace(system, []byte("new"), syncFile)
		if (err != nil) != errors.Is(err, simfs.ErrStopped) || (err == nil) != (n == whole.Operations()) {
			t.Fatalf("stopped at %d: got %v", n, err)
		}
		for text, count := range outcomes(t, system, "a") {
			if text != "new" && (text != "old" || err == nil) {
				bad += count
			}
		}
	}
	return bad
}

func TestFindsTheMissingSync(t *testing.T) {
	t.Parallel()
	if got := broken(t, true); got != 0 {
		t.Errorf("correct replacement: %d bad crashes, want 0", got)
	}
	if got := broken(t, false); got == 0 {
		t.Error("replacement without sync: no crash showed the mistake")
	}
}

// TestReplaceAtEveryCrash: stopped after any operation and crashed, a file that is replaced is the old one
// or the new, and the new once Replace has returned.
func TestReplaceAtEveryCrash(t *testing.T) {
	t.Parallel()
	for stop := 1; ; stop++ {
		system := simfs.New()
		must(t, put(system, "x", []byte("old"), true, true))
		before := system.Operations()
		system.StopAt(before + stop)
		err := vfs.Replace(system, "x", []byte("new"))
		for text, n := range outcomes(t, system, "x") {
			if text != "new" && (text != "old" || err == nil) {
				t.Errorf("stopped at operation %d (%v): %d times it is %q", stop, err, n, text)
			}
		}
		if err == nil {
			break
		}
	}
	system := simfs.New()
	must(t, put(system, "x", []byte("old"), true, true))
	system.Inject(func(op simfs.Op, _ string) error {
		if op == simfs.OpRename {
			return syscall.ENOSPC
		}
		return nil
	})
	if err := vfs.Replace(system, "x", []byte("new")); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v", err)
	}
	if left, err := system.List("."); err != nil || len(left) != 1 {
		t.Errorf("left are %v, %v", left, err)
	}
}
