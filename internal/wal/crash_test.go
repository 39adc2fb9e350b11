package wal_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/tapeline/tapeline/internal/vfs"
	"github.com/tapeline/tapeline/internal/vfs/simfs"
	"github.com/tapeline/tapeline/internal/wal"
)

const (
	dir         = "log"
	recordBytes = 24
)

// small makes rotations frequent.
func small() wal.Options {
	return wal.Options{SegmentBytes: 8 * vfs.Block, FrameBytes: 2 * vfs.Block, Kept: 2, ID: wal.ID{1, 2, 3}}
}

// client writes records to logs on one disk after the other, each what a crash left of the one before, and
// knows what it was promised.
type client struct {
	records  [][recordBytes]byte // all that were handed to Write and may be found; [0] has sequence 1
	acked    uint64
	released uint64
	random   *rand.Rand
}

// record returns a record that only this sequence of this client has.
func (c *client) record(seq uint64) (r [recordBytes]byte) {
	binary.LittleEndian.PutUint64(r[:], seq)
	binary.LittleEndian.PutUint64(r[8:], c.random.Uint64())
	return r
}

// open opens the log and holds it to what the client was promised: every acknowledged record is there, and
// what is there is a prefix of what was handed over.
func (c *client) open(fsys vfs.SyncFS) (*wal.Log, wal.Report, error) {
	next := c.released + 1
	log, report, err := wal.Open(fsys, dir, next, func(f *wal.Frame) error {
		for i := range uint64(f.Count) {
			seq := f.First + i
			if seq < next {
				continue
			}
			got := f.Payload[i*recordBytes : (i+1)*recordBytes]
			if seq != next || seq > uint64(len(c.records)) || string(got) != string(c.records[seq-1][:]) {
				return fmt.Errorf("sequence %d, after %d of %d: %x", seq, next-1, len(c.records), got)
			}
			next++
		}
		return nil
	}, small())
	if err != nil {
		return nil, report, err
	}
	if next <= c.acked {
		return nil, report, fmt.Errorf("recovered up to %d, acknowledged were %d", next-1, c.acked)
	}
	c.records, c.acked = c.records[:next-1], next-1
	return log, report, nil
}

// work does random things until something fails.
func (c *client) work(log *wal.Log, steps int) (err error) {
	buffer, err := log.NewBuffer()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, buffer.Free()) }()
	for range steps {
		switch c.random.IntN(8) {
		case 0:
			err = log.Seal()
		case 1:
			err = log.Prepare(context.Background())
		case 2:
			c.released += uint64(c.random.IntN(int(c.acked-c.released) + 1))
			log.Release(c.released)
		default:
			err = c.write(log, buffer)
		}
		if errors.Is(err, wal.ErrNoSpare) {
			err = log.Prepare(context.Background())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *client) write(log *wal.Log, buffer *wal.Buffer) error {
	buffer.Reset()
	n := 1 + c.random.IntN(buffer.Room()/recordBytes)
	if c.random.IntN(2) == 0 {
		n = 1 + c.random.IntN(4)
	}
	before := len(c.records)
	for range n {
		r := c.record(uint64(len(c.records)) + 1)
		c.records = append(c.records, r)
		copy(buffer.Extend(recordBytes), r[:])
		buffer.Count++
	}
	first, err := log.Write(buffer)
	if errors.Is(err, wal.ErrNoSpare) {
		c.records = c.records[:before] // nothing was written
		return err
	}
	if err != nil {
		return err
	}
	if first != uint64(before)+1 {
		return fmt.Errorf("first sequence is %d, want %d", first, before+1)
	}
	c.acked = uint64(len(c.records))
	return nil
}

// live opens the log and works with it until the disk stops.
func (c *client) live(disk *simfs.FS, steps int) error {
	log, _, err := c.open(disk)
	if err != nil {
		return err
	}
	if err := c.work(log, steps); err != nil {
		return err
	}
	return log.Close()
}

// fork returns an independent copy of the client.
func (c *client) fork(seed uint64) *client {
	return &client{append([][recordBytes]byte{}, c.records...), c.acked, c.released, newRandom(seed)}
}

func newRandom(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 7)) }

// TestCrashAtEveryOperation stops the machine, or only the process, at each operation of a script in turn, and
// what comes after it once more at a random one: no acknowledged record is ever lost, and none is made up.
func TestCrashAtEveryOperation(t *testing.T) {
	t.Parallel()
	const steps, clones = 20, 2
	scripts := uint64(4)
	if os.Getenv("TAPELINE_SOAK") != "" {
		scripts = 3000
	}
	points := 0
	for script := range scripts {
		whole := simfs.New()
		if err := (&client{random: newRandom(script)}).live(whole, steps); err != nil {
			t.Fatalf("script %d: %v", script, err)
		}
		for stop := range whole.Operations() {
			disk, c := simfs.New(), &client{random: newRandom(script)}
			disk.StopAt(stop)
			if err := c.live(disk, steps); !errors.Is(err, simfs.ErrStopped) {
				t.Fatalf("script %d, stopped at operation %d: %v", script, stop, err)
			}
			for clone := range uint64(clones) {
				points++
				if err := survive(c.fork(clone), disk.CrashClone(newRandom(clone)), steps); err != nil {
					t.Fatalf("script %d, stopped at operation %d, clone %d: %v", script, stop, clone, err)
				}
			}
			// The process alone is killed: what the machine did not make durable yet is still there to be read.
			points++
			if err := survive(c, disk, steps); err != nil {
				t.Fatalf("script %d, killed at operation %d: %v", script, stop, err)
			}
		}
	}
	t.Logf("%d crashes, each followed by another", points)
}

// survive lets the client work on what a crash left, crashes that once more, and works on without a crash.
func survive(c *client, disk *simfs.FS, steps int) error {
	disk.StopAt(disk.Operations() + 1 + c.random.IntN(40))
	if err := c.live(disk, c.random.IntN(2)*steps); err != nil && !errors.Is(err, simfs.ErrStopped) {
		return fmt.Errorf("second life: %w", err)
	}
	third := disk.CrashClone(c.random)
	if err := c.live(third, steps); err != nil {
		return fmt.Errorf("third life: %w", err)
	}
	log, report, err := c.open(third)
	if err != nil {
		return fmt.Errorf("after the last: %w", err)
	}
	if !report.Closed || report.Torn != nil || report.Last != c.acked {
		return fmt.Errorf("a closed log with %d records is found as %+v", c.acked, report)
	}
	return log.Close()
}
