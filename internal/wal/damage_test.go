package wal_test

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tapeline/tapeline/internal/vfs"
	"github.com/tapeline/tapeline/internal/vfs/simfs"
	"github.com/tapeline/tapeline/internal/wal"
)

// filled returns a disk with a log of several segments, one of them used before, and what it holds from
// the sequence of the result on.
func filled(t *testing.T) (disk *simfs.FS, from uint64, want []string) {
	t.Helper()
	disk = simfs.New()
	log, _, _ := open(t, disk, dir, 1, small())
	for i := range 14 {
		if i == 10 {
			from = log.Durable() - 3
			log.Release(from - 1)
		}
		must(t, log.Prepare(context.Background()))
		if i == 12 {
			must(t, log.Close())
			log, _, _ = open(t, disk, dir, from, small())
			must(t, log.Prepare(context.Background()))
		}
		write(t, log, strings.Repeat(strconv.Itoa(i), 1500*(i%3)), "x")
		if i%4 == 1 {
			must(t, log.Seal())
		}
	}
	must(t, log.Close())
	_, err := wal.Inspect(disk, dir, func(f *wal.Frame) error {
		for i, text := range texts(f) {
			if f.First+uint64(i) >= from {
				want = append(want, text)
			}
		}
		return nil
	})
	must(t, err)
	return disk, from, want
}

// found opens a log and returns the records from a sequence on.
func found(fsys vfs.SyncFS, from uint64) (out []string, err error) {
	log, _, err := wal.Open(fsys, dir, from, func(f *wal.Frame) error {
		for i, text := range texts(f) {
			if f.First+uint64(i) >= from {
				out = append(out, text)
			}
		}
		return nil
	}, small())
	if err != nil {
		return nil, err
	}
	return out, log.Close()
}

// TestDamageIsRefused: whatever part of a log is damaged once its records were acknowledged and sealed, Open
// finds all of them or refuses the log and says where the damage is.
func TestDamageIsRefused(t *testing.T) {
	t.Parallel()
	whole, from, want := filled(t)
	if got, err := found(whole.CrashClone(newRandom(1)), from); err != nil || cmp.Diff(want, got) != "" {
		t.Fatalf("without damage: %v, %v", got, err)
	}
	files, err := whole.List(dir)
	must(t, err)
	damages := map[string]func(p []byte, at int){
		"bit":       func(p []byte, at int) { p[at] ^= 1 << (at % 8) },
		"no sector": func(p []byte, at int) { clear(p[at&^511 : at&^511+512]) },
		"no block":  func(p []byte, at int) { clear(p[at&^4095 : at&^4095+4096]) },
		"stale":     func(p []byte, at int) { copy(p[at&^4095:], p[:4096]) },
		"moved":     func(p []byte, at int) { copy(p[(at+4096)%len(p)&^4095:], p[at&^4095:at&^4095+4096]) },
	}
	refused, tolerated := 0, 0
	for _, info := range files {
		name := filepath.Join(dir, info.Name())
		for what, damage := range damages {
			for at := 0; at < int(info.Size()); at++ {
				if step := 512; at%step != 0 && (what != "bit" || at%vfs.Block >= 100 && at%131 != 0 || at%3 != 0) {
					continue
				}
				disk := whole.CrashClone(newRandom(1))
				must(t, disk.Damage(name, func(p []byte) { damage(p, at) }))
				got, err := found(disk, from)
				corrupt := &wal.CorruptError{}
				switch {
				case errors.As(err, &corrupt):
					refused++
					if corrupt.Segment == "" || !strings.Contains(err.Error(), "wal repair") {
						t.Errorf("%s, %s at %d: %v", name, what, at, err)
					}
				case err != nil:
					t.Errorf("%s, %s at %d: %v", name, what, at, err)
				case cmp.Diff(want, got) != "":
					t.Errorf("%s, %s at %d: records are missing: %s", name, what, at, cmp.Diff(want, got))
				default:
					tolerated++
				}
			}
		}
	}
	t.Logf("%d damages refused, %d without consequence", refused, tolerated)
	if refused < 300 {
		t.Errorf("only %d damages refused", refused)
	}
}

// TestDiskThatLies: a write the disk lost, or put elsewhere, is found out as soon as another frame follows.
func TestDiskThatLies(t *testing.T) {
	t.Parallel()
	for _, lie := range []error{simfs.ErrLost, simfs.ErrMisdirected} {
		for _, then := range []string{"a frame", "a seal", "the end"} {
			disk := simfs.New()
			log, _, _ := open(t, disk, dir, 1, small())
			write(t, log, "a")
			disk.Inject(func(op simfs.Op, _ string) error {
				if op == simfs.OpWriteSync {
					return lie
				}
				return nil
			})
			write(t, log, "b")
			disk.Inject(nil)
			switch then {
			case "a frame":
				write(t, log, "c")
			case "a seal":
				must(t, log.Seal())
			case "the end":
				must(t, log.Close())
			}
			corrupt := &wal.CorruptError{}
			if got, err := found(disk, 1); !errors.As(err, &corrupt) || corrupt.From != 2 {
				t.Errorf("%v, then %s: found %v, %v", lie, then, got, err)
			}
		}
	}
}

// TestMissingSegment: a segment that is gone, of another log, or cut short is named.
func TestMissingSegment(t *testing.T) {
	t.Parallel()
	whole, from, _ := filled(t)
	in, err := wal.Inspect(whole, dir, nil)
	must(t, err)
	var used []string
	for _, s := range in.Segments {
		if s.State == "used" {
			used = append(used, filepath.Join(dir, s.Name))
		}
	}
	if len(used) < 4 {
		t.Fatalf("only %d segments: %+v", len(used), in.Segments)
	}
	for what, change := range map[string]func(disk *simfs.FS) error{
		"gone":  func(disk *simfs.FS) error { return disk.Remove(used[2]) },
		"moved": func(disk *simfs.FS) error { return disk.Rename(used[2], used[1]) },
		"cut": func(disk *simfs.FS) error {
			f, err := disk.OpenAppend(used[1])
			return errors.Join(err, f.Truncate(5*vfs.Block), f.Sync(), f.Close())
		},
	} {
		disk := whole.CrashClone(newRandom(1))
		must(t, change(disk))
		corrupt := &wal.CorruptError{}
		if _, err := found(disk, from); !errors.As(err, &corrupt) || corrupt.Segment == "" {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestOnlyHeaderGone: a log whose only header is unreadable is not taken for an empty folder.
func TestOnlyHeaderGone(t *testing.T) {
	t.Parallel()
	for what, damage := range map[string]func(p []byte){
		"garbled": func(p []byte) { p[9]++ }, "zeros": func(p []byte) { clear(p[:vfs.Block]) },
	} {
		disk := simfs.New()
		log, _, _ := open(t, disk, dir, 1, small())
		write(t, log, "a")
		must(t, log.Close())
		in, err := wal.Inspect(disk, dir, nil)
		must(t, err)
		must(t, disk.Damage(filepath.Join(dir, in.Segments[0].Name), damage))
		corrupt := &wal.CorruptError{}
		if got, err := found(disk, 1); !errors.As(err, &corrupt) {
			t.Errorf("%s: found %v, %v", what, got, err)
		}
	}
}

// TestMixedCopies: of two copies of a log that went their own ways in the same epoch, segments of one do not
// pass for the other's.
func TestMixedCopies(t *testing.T) {
	t.Parallel()
	disk := simfs.New()
	log, _, _ := open(t, disk, dir, 1, small())
	write(t, log, "a")
	must(t, log.Seal())
	var copies [2]*simfs.FS
	for i := range copies {
		copies[i] = disk.CrashClone(newRandom(1))
		log, _, _ := open(t, copies[i], dir, 1, small())
		for range 12 {
			must(t, log.Prepare(context.Background()))
			write(t, log, strings.Repeat(strconv.Itoa(i), 5000))
		}
		must(t, log.Close())
	}
	in, err := wal.Inspect(copies[0], dir, nil)
	must(t, err)
	name := filepath.Join(dir, in.Segments[2].Name)
	other, err := copies[1].Open(name)
	must(t, err)
	text, err := io.ReadAll(other)
	must(t, err)
	must(t, copies[0].Damage(name, func(p []byte) { copy(p, text) }))
	corrupt := &wal.CorruptError{}
	if got, err := found(copies[0], 1); !errors.As(err, &corrupt) {
		t.Errorf("a segment of another copy: found %d records, %v", len(got), err)
	}
}

// TestGiveUp: an operator can give up what is damaged, and all before it stays; what was damaged is set
// aside, and the log says for ever what was done.
func TestGiveUp(t *testing.T) {
	t.Parallel()
	whole, _, _ := filled(t)
	in, err := wal.Inspect(whole, dir, nil)
	must(t, err)
	if r, err := wal.GiveUp(whole, dir, small()); err != nil || r.Damage != nil {
		t.Errorf("of a whole log: %+v, %v", r, err)
	}
	for i, s := range in.Segments {
		if s.State != "used" {
			continue
		}
		for _, at := range []int{20, vfs.Block + 20, 3*vfs.Block + 100} {
			disk := whole.CrashClone(newRandom(1))
			must(t, disk.Damage(filepath.Join(dir, s.Name), func(p []byte) { p[at] ^= 1; p[at+vfs.Block] ^= 1 }))
			before, err := wal.Inspect(disk, dir, nil)
			must(t, err)
			r, err := wal.GiveUp(disk, dir, small())
			if before.Corrupt == nil {
				continue // a place that nothing depends on
			}
			if i == 0 && at < vfs.Block {
				if err == nil || !strings.Contains(err.Error(), "nothing is left to repair") {
					t.Errorf("without a first segment: %+v, %v", r, err)
				}
				continue
			}
			if err != nil || cmp.Diff(r.Damage, before.Corrupt) != "" {
				t.Fatalf("%s, byte %d: %+v, %v; damage was %v", s.Name, at, r, err, before.Corrupt)
			}
			after, err := wal.Inspect(disk.CrashClone(newRandom(2)), dir, nil)
			must(t, err)
			last := after.Segments[len(after.Segments)-1]
			if after.Corrupt != nil || (after.Last != 0 && after.Last != r.Last) || !after.Closed || !last.GivenUp || last.First != r.Last+1 {
				t.Errorf("%s, byte %d: %+v after %+v", s.Name, at, after, r)
			}
			log, _, err := wal.Open(disk, dir, after.First, func(*wal.Frame) error { return nil }, small())
			must(t, err)
			write(t, log, "on it goes")
			must(t, log.Close())
		}
	}
}

// TestUnreadableDisk: where the disk cannot be read, opening and inspecting end with that error, and once it
// can, all is there.
func TestUnreadableDisk(t *testing.T) {
	t.Parallel()
	whole, from, want := filled(t)
	for _, op := range []simfs.Op{
		simfs.OpRead, simfs.OpOpen, simfs.OpStat, simfs.OpList, simfs.OpSync, simfs.OpOpenAppend, simfs.OpWriteSync,
	} {
		failed := 0
		for n := 1; ; n++ {
			disk := whole.CrashClone(newRandom(1))
			at := 0
			disk.Inject(func(o simfs.Op, _ string) error {
				if o == op {
					if at++; at == n {
						return syscall.EIO
					}
				}
				return nil
			})
			_, err := found(disk, from)
			if at < n {
				break
			}
			failed++
			if !errors.Is(err, syscall.EIO) || errors.As(err, new(*wal.CorruptError)) {
				t.Errorf("%s, call %d: %v", op, n, err)
			}
			disk.Inject(nil)
			if got, err := found(disk.CrashClone(newRandom(2)), from); err != nil || cmp.Diff(want, got) != "" {
				t.Errorf("%s, call %d, afterwards: %v, %v", op, n, got, err)
			}
			at = 0
			disk.Inject(func(o simfs.Op, _ string) error {
				if o == op {
					if at++; at == n {
						return syscall.EIO
					}
				}
				return nil
			})
			if _, err := wal.Inspect(disk, dir, nil); (err != nil) != (at == n) || err != nil && !errors.Is(err, syscall.EIO) {
				t.Errorf("%s, call %d of an inspection: %v", op, n, err)
			}
		}
		if failed == 0 {
			t.Errorf("%s was never called", op)
		}
	}
}

// TestOtherVersion: a log that a later version wrote is refused, and not taken for damage.
func TestOtherVersion(t *testing.T) {
	t.Parallel()
	disk, from, _ := filled(t)
	in, err := wal.Inspect(disk, dir, nil)
	must(t, err)
	must(t, disk.Damage(filepath.Join(dir, in.Segments[1].Name), func(p []byte) {
		p[8] = 9
		binary.LittleEndian.PutUint32(p[4:], crc32.Checksum(p[8:vfs.Block], crc32.MakeTable(crc32.Castagnoli)))
	}))
	version := &wal.VersionError{}
	if _, err := found(disk, from); !errors.As(err, &version) || version.Version != 9 ||
		!strings.Contains(err.Error(), "log format 9, this program reads 1") {
		t.Error(err)
	}
}
