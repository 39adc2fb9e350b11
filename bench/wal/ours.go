//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tapeline/tapeline/internal/vfs"
	"github.com/tapeline/tapeline/internal/wal"
)

// names lists the engines of this program.
func names() []string {
	return []string{"tapeline", "locked", "pinned", "direct", "vectored", "buffered", "appended", "probe"}
}

// durabilities says what stands between a commit and the disk.
func durabilities() map[string]string {
	return map[string]string{
		"tapeline": "internal/wal: O_DIRECT|O_DSYNC over segments written before, Prepare beside it",
		"locked":   "tapeline, its writer locked to a thread",
		"pinned":   "locked, the thread on one CPU",
		"direct":   "a frame in one buffer, O_DIRECT|O_DSYNC over a file of zeros",
		"vectored": "direct, the header in a block of its own, by pwritev",
		"buffered": "a frame in one buffer, fdatasync, over a file of zeros",
		"appended": "a frame in one buffer, fdatasync, at the end of a file",
		"probe":    "one block of 4 KiB, O_DIRECT|O_DSYNC over a file of zeros",
		"tidwall":  "fsync in WriteBatch; 64 MiB segments, binary",
		"etcd":     "fdatasync in Save; 64 MiB segments by fallocate",
		"raft-wal": "fsync in StoreLogs; 64 MiB segments by fallocate",
		"pebble":   "fdatasync in Commit(Sync); records as log data, not in its tables; log files used again",

		"pebble-growing": "the same, one log file that grows",
	}
}

func open(ctx context.Context, name, dir string) (engine, error) {
	switch name {
	case "tapeline":
		return openOurs(ctx, dir)
	case "locked", "pinned":
		runtime.LockOSThread()
		if name == "pinned" {
			var set unix.CPUSet
			set.Set(runtime.NumCPU() - 1)
			if err := unix.SchedSetaffinity(0, &set); err != nil {
				return nil, err
			}
		}
		return openOurs(ctx, dir)
	}
	return openFile(name, dir)
}

// put makes a record: its number, and whatever the memory held.
func put(record []byte, number uint64) { binary.LittleEndian.PutUint64(record, number) }

// ours is the log as its owner runs it: one goroutine writes, another makes spare segments of those that
// nobody needs any more.
type ours struct {
	log      *wal.Log
	buffer   *wal.Buffer
	next     uint64
	wake     chan struct{}
	prepared chan error
}

func openOurs(ctx context.Context, dir string) (*ours, error) {
	log, _, err := wal.Open(vfs.OS{}, dir, 1, nil, wal.Options{})
	if err != nil {
		return nil, err
	}
	o := &ours{log: log, next: 1, wake: make(chan struct{}, 1), prepared: make(chan error, 1)}
	o.buffer, err = log.NewBuffer()
	go o.prepare(ctx)
	o.wake <- struct{}{}
	return o, errors.Join(err, <-o.prepared)
}

func (o *ours) prepare(ctx context.Context) {
	defer close(o.prepared)
	for range o.wake {
		o.log.Release(o.log.Durable())
		err := o.log.Prepare(ctx)
		select {
		case o.prepared <- err:
		default: // nobody waited for the last one
		}
	}
}

func (o *ours) commit(records int) error {
	o.buffer.Reset()
	for range records {
		put(o.buffer.Extend(recordBytes), o.next)
		o.next++
	}
	o.buffer.Count, o.buffer.Time = uint32(records), time.Now().UnixNano()
	_, err := o.log.Write(o.buffer)
	for errors.Is(err, wal.ErrNoSpare) {
		o.ask()
		if err := <-o.prepared; err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
		_, err = o.log.Write(o.buffer)
	}
	if o.log.Room() < wal.DefaultSegmentBytes*7/8 { // the spare segment was taken
		o.ask()
	}
	return err
}

func (o *ours) ask() {
	select {
	case o.wake <- struct{}{}:
	default: // asked already
	}
}

func (o *ours) close() error {
	close(o.wake)
	for range o.prepared { // until Prepare is done
	}
	return errors.Join(o.log.Close(), o.buffer.Free())
}
