package exchange_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/tapeline/tapeline/internal/exchange"
	"github.com/tapeline/tapeline/internal/exchange/order"
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

func open(t *testing.T, fsys vfs.SyncFS, folder string) (*exchange.Shard, exchange.Recovery) {
	t.Helper()
	options := small()
	_, real := fsys.(vfs.OS)
	options.Alone = !real
	s, r, err := exchange.Open(fsys, folder, options)
	must(t, err)
	t.Cleanup(func() { _ = s.Close() }) // once more, or after a failure
	return s, r
}

// submit enters an order of one lot.
func submit(s *exchange.Shard, id uint64, symbol string) error {
	number, err := s.Symbol(symbol)
	if err != nil {
		return err
	}
	_, err = s.Submit([]order.Command{{Kind: order.New, Order: id, Qty: 1, Price: 5, Symbol: number}})
	return err
}

// TestRealFolder: a venue on the operating system's files, over several segments.
func TestRealFolder(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "v")
	s, r := open(t, vfs.OS{}, folder)
	if r.Commands != 0 || !r.Log.New {
		t.Errorf("new: %+v", r)
	}
	const commands = 300
	for id := range uint64(commands) {
		must(t, submit(s, id+1, fmt.Sprint("S", id%7)))
	}
	digest := s.Digest()
	must(t, s.Close())
	v, err := exchange.Verify(vfs.OS{}, folder)
	if err != nil || v.Digest != digest || v.Commands != commands || v.Log.Last != commands || !v.Log.Closed {
		t.Errorf("verified as %+v, %v; digest was %x", v, err, digest)
	}
	s, r = open(t, vfs.OS{}, folder)
	if r.Digest != digest || s.Last() != commands || s.Symbols() != 7 || s.SymbolName(6) != "S6" || s.SymbolName(7) != "" {
		t.Errorf("recovered %+v, %d symbols", r, s.Symbols())
	}
	price, qty, ok := s.Books().Best(2, order.Buy)
	if !ok || price != 5 || qty != commands/7+1 {
		t.Errorf("best is %d of %d, %t", qty, price, ok)
	}
	must(t, s.Close())
}

// TestNames: names have limits, and those that no command followed are forgotten.
func TestNames(t *testing.T) {
	t.Parallel()
	disk := simfs.New()
	s, _ := open(t, disk, dir)
	for _, bad := range []string{"", strings.Repeat("x", 57)} {
		if _, err := s.Symbol(bad); err == nil || !strings.Contains(err.Error(), "a name has 1 to 56") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if n, err := s.Account(""); n != 0 || err != nil {
		t.Errorf("nobody's account is %d, %v", n, err)
	}
	must(t, submit(s, 1, strings.Repeat("y", 56)))
	n, err := s.Account("later")
	if n != 1 || err != nil || s.AccountName(1) != "later" || s.AccountName(0) != "" {
		t.Errorf("account %d, %v", n, err)
	}
	must(t, s.Close())
	if s, _ = open(t, disk, dir); s.AccountName(1) != "" || s.SymbolName(0) != strings.Repeat("y", 56) {
		t.Errorf("recovered names: %q, %q", s.AccountName(1), s.SymbolName(0))
	}
	for i := 0; ; i++ {
		if _, err := s.Symbol(strconv.Itoa(i)); err != nil {
			if i < 2*s.MostCommands()-2 || !strings.Contains(err.Error(), "without a Submit are too many") {
				t.Errorf("after %d names: %v", i, err)
			}
			break
		}
	}
	if _, err := s.Submit(make([]order.Command, s.MostCommands())); err != nil {
		t.Error(err)
	}
	if _, err := s.Submit(make([]order.Command, s.MostCommands()+1)); err == nil {
		t.Error("more commands than a Submit takes are taken")
	}
}

// TestFullVenue: without room for a segment commands are refused, nothing of them is done, and with room the
// venue goes on.
func TestFullVenue(t *testing.T) {
	t.Parallel()
	disk := simfs.New()
	s, _ := open(t, disk, dir)
	disk.Inject(func(op simfs.Op, _ string) error {
		if op == simfs.OpWrite {
			return syscall.ENOSPC
		}
		return nil
	})
	id := uint64(1)
	var err error
	for ; err == nil; id++ {
		err = submit(s, id, "X")
	}
	full := &exchange.FullError{}
	if !errors.As(err, &full) || !errors.Is(err, syscall.ENOSPC) || s.Last() != id-2 {
		t.Errorf("at order %d, with %d commands: %v", id, s.Last(), err)
	}
	disk.Inject(nil)
	must(t, submit(s, id, "X"))
	must(t, s.Close())
	if _, r := open(t, disk, dir); r.Commands != id-1 {
		t.Errorf("%d commands are recovered, want %d", r.Commands, id-1)
	}
}

// TestStoppedVenue: after a failed write the venue answers nothing more.
func TestStoppedVenue(t *testing.T) {
	t.Parallel()
	disk := simfs.New()
	s, _ := open(t, disk, dir)
	must(t, submit(s, 1, "X"))
	disk.Inject(func(op simfs.Op, _ string) error {
		if op == simfs.OpWriteSync {
			return syscall.EIO
		}
		return nil
	})
	err := submit(s, 2, "X")
	disk.Inject(nil)
	for what, again := range map[string]error{"submit": submit(s, 3, "X"), "a new name": submit(s, 3, "Y"), "idle": s.Idle()} {
		if !errors.Is(err, syscall.EIO) || again == nil || again.Error() != err.Error() {
			t.Errorf("%s after %v: %v", what, err, again)
		}
	}
	must(t, s.Close())
}

// TestAnotherProgram: a log is replayed by the rules it was written by, and by a program that matches as that
// one did.
func TestAnotherProgram(t *testing.T) {
	t.Parallel()
	write := func(change func(b *wal.Buffer), rules uint32) *simfs.FS {
		disk := simfs.New()
		o := small().Log
		o.Rules = rules
		log, _, err := wal.Open(disk, exchange.LogDir(dir), 1, nil, o)
		must(t, err)
		b, err := log.NewBuffer()
		must(t, err)
		change(b)
		_, err = log.Write(b)
		must(t, errors.Join(err, log.Close(), b.Free()))
		return disk
	}
	cancel := func(b *wal.Buffer) {
		p := b.Extend(64)
		clear(p)
		p[0] = byte(order.Cancel)
		b.Count, b.DigestSeq = 1, 1
	}
	for what, c := range map[string]struct {
		disk *simfs.FS
		want string
	}{
		"rules":   {write(cancel, 99), "rules version 99, this program has 1"},
		"digest":  {write(cancel, exchange.Rules), "does not match as the one that wrote it did"},
		"length":  {write(func(b *wal.Buffer) { b.Extend(65); b.Count = 1 }, exchange.Rules), "want records of 64"},
		"count":   {write(func(b *wal.Buffer) { cancel(b); b.Count = 2 }, exchange.Rules), "1 commands more are stated"},
		"no name": {write(func(b *wal.Buffer) { p := b.Extend(64); clear(p); p[0] = 0x80; b.Count = 1 }, exchange.Rules), "a name of 0 bytes"},
	} {
		_, _, err := exchange.Open(c.disk, dir, small())
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: open: %v, want %s", what, err, c.want)
		}
		if _, err := exchange.Verify(c.disk, dir); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: verify: %v, want %s", what, err, c.want)
		}
	}
}

// TestDamagedVenue: damage to acknowledged commands is refused by Open and Verify alike.
func TestDamagedVenue(t *testing.T) {
	t.Parallel()
	disk := simfs.New()
	s, _ := open(t, disk, dir)
	for id := range uint64(5) {
		must(t, submit(s, id+1, "X"))
	}
	must(t, s.Idle())
	name := filepath.Join(exchange.LogDir(dir), "0000000000000001.wal")
	must(t, disk.Damage(name, func(p []byte) { p[2*vfs.Block+100] ^= 1 }))
	corrupt := &wal.CorruptError{}
	if _, _, err := exchange.Open(disk, dir, small()); !errors.As(err, &corrupt) || corrupt.From != 2 {
		t.Errorf("open: %v", err)
	}
	if _, err := exchange.Verify(disk, dir); !errors.As(err, &corrupt) || corrupt.Offset != 2*vfs.Block {
		t.Errorf("verify: %v", err)
	}
}
