package simfs_test

import (
	"bytes"
	"errors"
	"io/fs"
	"syscall"
	"testing"

	"github.com/tapeline/tapeline/internal/vfs"
	"github.com/tapeline/tapeline/internal/vfs/simfs"
)

// zeros makes a durable file of some blocks and opens it for synchronous writes.
func zeros(t *testing.T, system *simfs.FS, blocks int) vfs.SyncFile {
	t.Helper()
	must(t, put(system, "a", make([]byte, blocks*vfs.Block), true, true))
	f, err := system.OpenSync("a")
	must(t, err)
	return f
}

func block(c byte) []byte { return bytes.Repeat([]byte{c}, vfs.Block) }

func TestSyncWriteSurvives(t *testing.T) {
	t.Parallel()
	system := simfs.New()
	f := zeros(t, system, 2)
	_, err := f.WriteAt(block('x'), vfs.Block)
	must(t, err)
	must(t, f.Close())
	want := string(make([]byte, vfs.Block)) + string(block('x'))
	if got := outcomes(t, system, "a"); got[want] != crashes {
		t.Errorf("%d of %d crashes keep the write", got[want], crashes)
	}
}

func TestSyncWriteThatFailsTears(t *testing.T) {
	t.Parallel()
	for what, stop := range map[string]func(system *simfs.FS){
		"stopped": func(system *simfs.FS) { system.StopAt(system.Operations()) },
		"failed": func(system *simfs.FS) {
			system.Inject(func(op simfs.Op, _ string) error {
				if op == simfs.OpWriteSync {
					return syscall.EIO
				}
				return nil
			})
		},
	} {
		system := simfs.New()
		f := zeros(t, system, 1)
		stop(system)
		if _, err := f.WriteAt(block('x'), 0); err == nil {
			t.Fatalf("%s: no error", what)
		}
		var whole, none, torn int
		for text, n := range outcomes(t, system, "a") {
			switch {
			case text == string(block('x')):
				whole += n
			case text == string(make([]byte, vfs.Block)):
				none += n
			default:
				torn += n
			}
		}
		if whole == 0 || none == 0 || torn == 0 {
			t.Errorf("%s: %d whole, %d lost, %d torn; want some of each", what, whole, none, torn)
		}
	}
}

// TestSyncWriteOfAKilledProcess: what a killed process wrote last may be read, but survives only once it is
// synced; what a failed write left does not even then.
func TestSyncWriteOfAKilledProcess(t *testing.T) {
	t.Parallel()
	for _, killed := range []bool{true, false} {
		system := simfs.New()
		f := zeros(t, system, 1)
		if killed {
			system.StopAt(system.Operations())
		} else {
			system.Inject(func(simfs.Op, string) error { return syscall.EIO })
		}
		_, err := f.WriteAt(block('x'), 0)
		if err == nil {
			t.Fatal("no error")
		}
		system.StopAt(-1)
		system.Inject(nil)
		if _, err := system.OpenSync("a"); !errors.Is(err, syscall.EBUSY) {
			t.Errorf("opened with a write that is not synced: %v", err)
		}
		again, err := system.OpenAppend("a")
		must(t, err)
		must(t, errors.Join(again.Sync(), again.Close()))
		if got := outcomes(t, system, "a")[string(block('x'))]; (got == crashes) != killed {
			t.Errorf("killed %t: %d of %d crashes keep the write after a sync", killed, got, crashes)
		}
	}
}

func TestSyncWriteOfALyingDisk(t *testing.T) {
	t.Parallel()
	for lie, want := range map[error]string{
		simfs.ErrLost:        string(make([]byte, 3*vfs.Block)),
		simfs.ErrMisdirected: string(make([]byte, 2*vfs.Block)) + string(block('x')),
	} {
		system := simfs.New()
		f := zeros(t, system, 3)
		system.Inject(func(op simfs.Op, _ string) error {
			if op == simfs.OpWriteSync {
				return lie
			}
			return nil
		})
		n, err := f.WriteAt(block('x'), vfs.Block)
		must(t, err)
		if got := outcomes(t, system, "a"); n != vfs.Block || got[want] != crashes {
			t.Errorf("%v: %d bytes, %d of %d crashes as wanted", lie, n, got[want], crashes)
		}
	}
}

func TestSyncWriteRefuses(t *testing.T) {
	t.Parallel()
	system := simfs.New()
	f := zeros(t, system, 2)
	for _, c := range []struct {
		size   int
		offset int64
	}{{100, 0}, {vfs.Block, 100}, {vfs.Block, -vfs.Block}, {vfs.Block, 2 * vfs.Block}, {3 * vfs.Block, 0}} {
		if _, err := f.WriteAt(make([]byte, c.size), c.offset); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%d bytes at %d: %v", c.size, c.offset, err)
		}
	}
	must(t, system.MkdirAll("d"))
	for name, want := range map[string]error{"none": fs.ErrNotExist, "d": syscall.EISDIR} {
		if _, err := system.OpenSync(name); !errors.Is(err, want) {
			t.Errorf("open %s: %v", name, err)
		}
	}
	if err := system.Damage("d", nil); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("damage of a folder: %v", err)
	}
	must(t, f.Close())
	if _, err := f.WriteAt(block('x'), 0); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
