package wal_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tapeline/tapeline/internal/vfs"
	"github.com/tapeline/tapeline/internal/vfs/simfs"
	"github.com/tapeline/tapeline/internal/wal"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open opens a log and returns the records found in it.
func open(t *testing.T, fsys vfs.SyncFS, folder string, from uint64, options wal.Options) (*wal.Log, []string, wal.Report) {
	t.Helper()
	var found []string
	log, report, err := wal.Open(fsys, folder, from, func(f *wal.Frame) error {
		found = append(found, texts(f)...)
		return nil
	}, options)
	must(t, err)
	t.Cleanup(func() { _ = log.Close() }) // some tests leave it broken
	return log, found, report
}

// texts returns the records of a frame as "sequence:text". They came with the time and digest of write.
func texts(f *wal.Frame) (out []string) {
	payload := f.Payload
	for seq := f.First; seq <= f.Last(); seq++ {
		n := binary.LittleEndian.Uint32(payload)
		out = append(out, fmt.Sprintf("%d:%s", seq, payload[4:4+n]))
		payload = payload[4+n:]
	}
	if want := (wal.Frame{Time: int64(f.Last()), Digest: ^f.Last(), DigestSeq: f.Last()}); f.Time != want.Time ||
		f.Digest != want.Digest || f.DigestSeq != want.DigestSeq || f.Watermark != f.First-1 {
		out = append(out, fmt.Sprintf("frame %+v", f))
	}
	return out
}

// write writes one frame of records.
func write(t *testing.T, log *wal.Log, records ...string) {
	t.Helper()
	must(t, tryWrite(log, records...))
}

func tryWrite(log *wal.Log, records ...string) error {
	buffer, err := log.NewBuffer()
	if err != nil {
		return err
	}
	for _, r := range records {
		p := buffer.Extend(4 + len(r))
		binary.LittleEndian.PutUint32(p, uint32(len(r)))
		copy(p[4:], r)
		buffer.Count++
	}
	last := log.Durable() + uint64(len(records))
	buffer.Time, buffer.Digest, buffer.DigestSeq = int64(last), ^last, last
	_, err = log.Write(buffer)
	return errors.Join(err, buffer.Free())
}

// TestRealFiles: what was written is found after another opening, on the operating system's files.
func TestRealFiles(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "a", "log")
	log, found, report := open(t, vfs.OS{}, folder, 1, small())
	if len(found) != 0 || !report.New || report.Epoch != 1 {
		t.Errorf("a new log holds %v, %+v", found, report)
	}
	var want []string
	for i := range 40 {
		text := strings.Repeat(fmt.Sprint(i, "."), 1+i*37%500)
		want = append(want, fmt.Sprintf("%d:%s", 2*i+1, text), fmt.Sprintf("%d:b", 2*i+2))
		must(t, log.Prepare(context.Background()))
		write(t, log, text, "b")
	}
	if got := log.Durable(); got != 80 {
		t.Errorf("durable is %d, want 80", got)
	}
	must(t, log.Close())
	log, found, report = open(t, vfs.OS{}, folder, 1, small())
	if diff := cmp.Diff(want, found); diff != "" {
		t.Error(diff)
	}
	if !report.Closed || report.First != 1 || report.Last != 80 || report.Watermark != 80 || report.Epoch != 2 {
		t.Errorf("found as %+v", report)
	}
	room := log.Room()
	for range 20 { // more than a segment has blocks left for seals
		if err := tryWrite(log); err != nil || log.Durable() != 80 || log.Room() != room {
			t.Fatalf("no records: %v, durable is %d, room %d of %d", err, log.Durable(), log.Room(), room)
		}
	}
	must(t, log.Close())
	if err := tryWrite(log, "x"); !errors.Is(err, wal.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	_, found, _ = open(t, vfs.OS{}, folder, 79, small())
	if diff := cmp.Diff(want[78:], found); diff != "" {
		t.Errorf("from 79 on: %s", diff)
	}
}

// TestReleased: segments that nobody needs are used again, so that a log does not grow; what they held is
// gone, and who asks for it is told.
func TestReleased(t *testing.T) {
	t.Parallel()
	disk := simfs.New()
	log, _, _ := open(t, disk, dir, 1, small())
	for range 300 {
		must(t, log.Prepare(context.Background()))
		write(t, log, strings.Repeat("x", 3000))
		log.Release(log.Durable() - 1)
	}
	files, err := disk.List(dir)
	must(t, err)
	if len(files) > 4 {
		t.Errorf("%d files after 300 released frames: %v", len(files), files)
	}
	if _, err := log.Reader(5).Next(); !errors.Is(err, wal.ErrReleased) {
		t.Errorf("a reader of what is released: %v", err)
	}
	must(t, log.Close())
	gap := &wal.GapError{}
	_, _, err = wal.Open(disk, dir, 1, func(*wal.Frame) error { return nil }, small())
	if !errors.As(err, &gap) || gap.Need != 1 || gap.End != 301 {
		t.Errorf("opened from 1: %v", err)
	}
	_, _, err = wal.Open(disk, dir, 302, func(*wal.Frame) error { return nil }, small())
	if !errors.As(err, &gap) || gap.Need != 302 {
		t.Errorf("opened behind its end: %v", err)
	}
}

// TestFullDisk: a disk without room for spare segments stops Write with an error that another Prepare can
// cure, and says long before how much room is left.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	disk := simfs.New()
	log, _, _ := open(t, disk, dir, 1, small())
	must(t, log.Prepare(context.Background()))
	disk.Inject(func(op simfs.Op, _ string) error {
		if op == simfs.OpWrite {
			return syscall.ENOSPC
		}
		return nil
	})
	room := log.Room()
	n := 0
	var err error
	for ; err == nil; n++ {
		if err = log.Prepare(context.Background()); err != nil && !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
		if log.Room() > room {
			t.Errorf("room grew from %d to %d", room, log.Room())
		}
		room = log.Room()
		err = tryWrite(log, "x")
	}
	if !errors.Is(err, wal.ErrNoSpare) || room >= vfs.Block {
		t.Errorf("after %d frames, with room for %d bytes: %v", n, room, err)
	}
	must(t, log.Seal())
	disk.Inject(nil)
	must(t, log.Prepare(context.Background()))
	write(t, log, "y")
	must(t, log.Close())
	if _, found, _ := open(t, disk, dir, 1, small()); len(found) != n || found[n-1] != fmt.Sprintf("%d:y", n) {
		t.Errorf("%d records are found, want %d: %v", len(found), n, found)
	}
}

// TestFailedWrite: after a write that failed nothing more is written until the log is opened anew, and what
// it was to write is there whole or not at all.
func TestFailedWrite(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		disk := simfs.New()
		log, _, _ := open(t, disk, dir, 1, small())
		write(t, log, "a")
		disk.Inject(func(op simfs.Op, _ string) error {
			if op == simfs.OpWriteSync {
				return syscall.EIO
			}
			return nil
		})
		broken := &wal.BrokenError{}
		if err := tryWrite(log, strings.Repeat("b", 5000)); !errors.As(err, &broken) || !errors.Is(err, syscall.EIO) {
			t.Fatal(err)
		}
		disk.Inject(nil)
		for what, err := range map[string]error{"Write": tryWrite(log, "c"), "Seal": log.Seal()} {
			if !errors.Is(err, broken.Err) {
				t.Errorf("%s after a failed write: %v", what, err)
			}
		}
		must(t, log.Close())
		_, found, _ := open(t, disk.CrashClone(newRandom(seed)), dir, 1, small())
		if len(found) == 0 || found[0] != "1:a" || len(found) == 2 && len(found[1]) != 5002 || len(found) > 2 {
			t.Errorf("seed %d: found %v", seed, found)
		}
	}
}

// TestReader: a follower reads what is durable, over rotations and seals, and never more.
func TestReader(t *testing.T) {
	t.Parallel()
	for _, fsys := range []vfs.SyncFS{simfs.New(), vfs.OS{}} {
		folder := filepath.Join(t.TempDir(), dir)
		log, _, _ := open(t, fsys, folder, 1, small())
		reader := log.Reader(3)
		var want, got []string
		follow := func() {
			for {
				f, err := reader.Next()
				if errors.Is(err, io.EOF) {
					return
				}
				must(t, err)
				got = append(got, texts(&f)...)
			}
		}
		follow()
		for i := range 100 {
			must(t, log.Prepare(context.Background()))
			text := strings.Repeat("r", i*61%2500)
			write(t, log, text, "s")
			want = append(want, fmt.Sprintf("%d:%s", 2*i+1, text), fmt.Sprintf("%d:s", 2*i+2))
			if i%3 == 0 {
				must(t, log.Seal())
			}
			if i%7 == 0 {
				follow()
			}
		}
		follow()
		if diff := cmp.Diff(want[2:], got); diff != "" {
			t.Errorf("%T: %s", fsys, diff)
		}
		must(t, reader.Close())
		must(t, log.Close())
	}
}

// TestBadOptions: sizes that no segment can have are refused before anything is made.
func TestBadOptions(t *testing.T) {
	t.Parallel()
	for _, o := range []wal.Options{
		{SegmentBytes: 100},
		{SegmentBytes: 8 * vfs.Block, FrameBytes: 4 * vfs.Block},
		{FrameBytes: 100},
		{SegmentBytes: 4 * vfs.Block, FrameBytes: vfs.Block},
	} {
		disk := simfs.New()
		_, _, err := wal.Open(disk, dir, 1, nil, o)
		if err == nil || disk.Operations() > 0 {
			t.Errorf("%+v: %v after %d operations", o, err, disk.Operations())
		}
	}
}

// TestReplayFails: an error of replay ends Open and changes nothing.
func TestReplayFails(t *testing.T) {
	t.Parallel()
	disk := simfs.New()
	log, _, _ := open(t, disk, dir, 1, small())
	write(t, log, "a")
	must(t, log.Close())
	stop := errors.New("stop")
	if _, _, err := wal.Open(disk, dir, 1, func(*wal.Frame) error { return stop }, small()); !errors.Is(err, stop) {
		t.Error(err)
	}
	if _, found, report := open(t, disk, dir, 1, small()); len(found) != 1 || !report.Closed || report.Epoch != 2 {
		t.Errorf("found %v, %+v", found, report)
	}
}

// TestInspect: an inspection says what is there and changes nothing.
func TestInspect(t *testing.T) {
	t.Parallel()
	disk := simfs.New()
	if _, err := wal.Inspect(disk, dir, nil); err == nil || !strings.Contains(err.Error(), "holds no log") {
		t.Errorf("without a log: %v", err)
	}
	log, _, _ := open(t, disk, dir, 1, small())
	for range 9 {
		must(t, log.Prepare(context.Background()))
		write(t, log, strings.Repeat("x", 6000))
	}
	before := disk.Operations()
	var seen bytes.Buffer
	in, err := wal.Inspect(disk, dir, func(f *wal.Frame) error {
		fmt.Fprint(&seen, f.First, " ")
		return nil
	})
	must(t, err)
	if disk.Operations() != before {
		t.Errorf("an inspection made %d changes", disk.Operations()-before)
	}
	if in.First != 1 || in.Last != 9 || in.Frames != 9 || in.Closed || in.Torn != nil || in.Corrupt != nil ||
		in.Watermark != 8 || len(in.Segments) < 3 || seen.String() != "1 2 3 4 5 6 7 8 9 " {
		t.Errorf("%+v, frames %s", in, seen.String())
	}
}
