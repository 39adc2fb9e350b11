package exchange_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/tapeline/tapeline/internal/exchange"
	"github.com/tapeline/tapeline/internal/exchange/order"
	"github.com/tapeline/tapeline/internal/vfs"
	"github.com/tapeline/tapeline/internal/vfs/simfs"
	"github.com/tapeline/tapeline/internal/wal"
)

const dir = "venue"

func small() exchange.Options {
	return exchange.Options{Alone: true, Log: wal.Options{
		SegmentBytes: 8 * vfs.Block, FrameBytes: 2 * vfs.Block, ID: wal.ID{9},
	}}
}

// trader sends commands to a venue, crash after crash, and knows what it was answered.
type trader struct {
	random    *rand.Rand
	submitted []order.Command // in order, as answered or perhaps logged
	digests   []uint64        // of the venue after each answered command; only of the last of a group
	acked     int             // commands
}

func newRandom(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 11)) }

// next draws a command that is likely to meet others.
func (t *trader) next(symbol, account uint32) order.Command {
	r := t.random
	c := order.Command{
		Kind: order.New, Order: uint64(r.IntN(40)), Qty: 1 + int64(r.IntN(9)), Price: int32(95 + r.IntN(10)),
		Symbol: symbol, Account: account, Side: order.Side(r.IntN(2)), TIF: order.TIF(r.IntN(3)),
	}
	switch r.IntN(10) {
	case 0:
		c.Kind = order.Cancel
	case 1:
		c.Kind = order.Replace
	case 2:
		c.Kind = order.Reduce
	case 3:
		c.Type = order.Market
	case 4:
		c.Kind = order.Kind(r.IntN(100)) // some of no kind
	}
	return c
}

// open recovers the venue and holds it to its promise: what was acknowledged is there, what is there is a
// prefix of what was submitted, and the books are those of a venue that never crashed.
func (t *trader) open(disk *simfs.FS) (*exchange.Shard, error) {
	var found []order.Command
	options := small()
	options.Observe = func(_ *exchange.Shard, c *order.Command, _ []order.Event) error {
		found = append(found, *c)
		return nil
	}
	s, r, err := exchange.Open(disk, dir, options)
	if err != nil {
		return nil, err
	}
	if len(found) < t.acked || len(found) > len(t.submitted) || r.Commands != uint64(len(found)) {
		return nil, fmt.Errorf("%d commands are found (%d reported), acknowledged were %d of %d", len(found),
			r.Commands, t.acked, len(t.submitted))
	}
	for i, c := range found {
		want := t.submitted[i]
		want.Seq, want.Time = c.Seq, c.Time
		if c != want {
			return nil, fmt.Errorf("command %d is %+v, want %+v", i, c, want)
		}
	}
	t.submitted, t.acked = t.submitted[:len(found)], len(found)
	if t.digests = t.digests[:min(len(t.digests), len(found))]; len(t.digests) == len(found) && len(found) > 0 {
		if want := t.digests[len(found)-1]; want != 0 && s.Digest() != want {
			return nil, fmt.Errorf("digest %x, before the crash it was %x", s.Digest(), want)
		}
	}
	for len(t.digests) < len(found) {
		t.digests = append(t.digests, 0)
	}
	if len(found) > 0 {
		t.digests[len(found)-1] = s.Digest()
	}
	return s, nil
}

// live trades until the disk stops.
func (t *trader) live(disk *simfs.FS, groups int) error {
	s, err := t.open(disk)
	if err != nil {
		return err
	}
	for range groups {
		symbol, err := s.Symbol(fmt.Sprint("S", t.random.IntN(3)))
		if err != nil {
			return err
		}
		account, err := s.Account(fmt.Sprint("a", t.random.IntN(3)))
		if err != nil {
			return err
		}
		group := make([]order.Command, 1+t.random.IntN(8))
		for i := range group {
			group[i] = t.next(symbol, account)
		}
		t.submitted = append(t.submitted, group...)
		if _, err := s.Submit(group); err != nil {
			return err
		}
		t.acked = len(t.submitted)
		for len(t.digests) < t.acked {
			t.digests = append(t.digests, 0)
		}
		t.digests[t.acked-1] = s.Digest()
		if t.random.IntN(4) == 0 {
			if err := s.Idle(); err != nil {
				return err
			}
		}
	}
	return s.Close()
}

// fork returns an independent copy.
func (t *trader) fork(seed uint64) *trader {
	return &trader{
		newRandom(seed), append([]order.Command{}, t.submitted...), append([]uint64{}, t.digests...), t.acked,
	}
}

// TestCrash stops the machine at each operation of a script in turn, and what comes after it once more.
func TestCrash(t *testing.T) {
	t.Parallel()
	const groups, clones = 12, 3
	scripts := uint64(6)
	if os.Getenv("TAPELINE_SOAK") != "" {
		scripts = 6000
	}
	points := 0
	for script := range scripts {
		whole := simfs.New()
		if err := (&trader{random: newRandom(script)}).live(whole, groups); err != nil {
			t.Fatalf("script %d: %v", script, err)
		}
		for stop := range whole.Operations() {
			disk, c := simfs.New(), &trader{random: newRandom(script)}
			disk.StopAt(stop)
			if err := c.live(disk, groups); !errors.Is(err, simfs.ErrStopped) {
				t.Fatalf("script %d, stopped at operation %d: %v", script, stop, err)
			}
			for clone := range uint64(clones) {
				points++
				if err := survive(c.fork(clone), disk.CrashClone(newRandom(clone)), groups); err != nil {
					t.Fatalf("script %d, stopped at operation %d, clone %d: %v", script, stop, clone, err)
				}
			}
			points++
			if err := survive(c, disk, groups); err != nil {
				t.Fatalf("script %d, killed at operation %d: %v", script, stop, err)
			}
		}
	}
	t.Logf("%d crashes, each followed by another", points)
}

func survive(c *trader, disk *simfs.FS, groups int) error {
	disk.StopAt(disk.Operations() + 1 + c.random.IntN(20))
	if err := c.live(disk, groups); err != nil && !errors.Is(err, simfs.ErrStopped) {
		return fmt.Errorf("second life: %w", err)
	}
	third := disk.CrashClone(c.random)
	if err := c.live(third, groups/4); err != nil {
		return fmt.Errorf("third life: %w", err)
	}
	s, err := c.open(third)
	if err != nil {
		return fmt.Errorf("after the last: %w", err)
	}
	return s.Close()
}
