package exchange

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"path/filepath"
	"time"

	"github.com/tapeline/tapeline/internal/exchange/book"
	"github.com/tapeline/tapeline/internal/exchange/order"
	"github.com/tapeline/tapeline/internal/lifecycle"
	"github.com/tapeline/tapeline/internal/vfs"
	"github.com/tapeline/tapeline/internal/wal"
)

// FullError means that the disk has no room for another segment. Nothing was done; what is open can still be
// looked at, and Submit be called again when there is room.
type FullError struct{ Err error }

// Error returns the cause and the remedy.
func (e *FullError) Error() string {
	return fmt.Sprintf("the log has no room left (free space on its disk; nothing is lost): %v", e.Err)
}

// Unwrap returns the cause.
func (e *FullError) Unwrap() error { return e.Err }

// Options configure a shard. Zero values are the defaults.
type Options struct {
	Log wal.Options
	Now func() time.Time
	// Alone has Submit make spare segments, so that nothing runs beside it.
	Alone bool
	// Observe is told each command that is recovered, and what came of it, in order, while the shard is as it
	// was then. What it gets is its own until it returns.
	Observe func(s *Shard, c *order.Command, events []order.Event) error
}

// Recovery says what Open found.
type Recovery struct {
	Log      wal.Report
	Commands uint64        // that were replayed
	Digest   uint64        // of all events
	Took     time.Duration // reading and matching
}

// DivergedError means that replaying the log gave other events than those of the run that wrote it.
type DivergedError struct {
	Seq             uint64 // within which group: its last sequence
	Segment         string
	Stated, Reached uint64 // digests
}

// Error names both digests.
func (e *DivergedError) Error() string {
	return fmt.Sprintf("%s: up to sequence %d the log states digest %016x, replaying gives %016x: this program "+
		"does not match as the one that wrote it did", e.Segment, e.Seq, e.Stated, e.Reached)
}

// RulesError is a log of other rules than this program has.
type RulesError struct{ Log, Program uint32 }

// Error names both versions.
func (e *RulesError) Error() string {
	return fmt.Sprintf("the log was written by rules version %d, this program has %d: use the version that wrote it",
		e.Log, e.Program)
}

// Shard is the books of a venue and their log. One goroutine at a time uses it.
type Shard struct {
	log      *wal.Log
	buffer   *wal.Buffer
	now      func() time.Time
	books    *book.Set
	symbols  names
	accounts names
	next     uint64 // sequence
	most     int    // commands at once
	digest   uint64
	events   []order.Event
	failed   error
	group    *lifecycle.Group // keeps spare segments ready
	wanted   chan struct{}    // a spare segment
}

// LogDir returns the folder of the log in a venue's folder.
func LogDir(dir string) string { return filepath.Join(dir, "wal") }

// Open recovers the shard of a folder, or makes one. Only one process at a time opens a folder: the caller
// sees to that.
func Open(fsys vfs.SyncFS, dir string, options Options) (*Shard, Recovery, error) {
	begun := time.Now()
	s := newShard(options.Now)
	var r Recovery
	logOptions := options.Log
	logOptions.Rules = Rules
	var err error
	s.log, r.Log, err = wal.Open(fsys, LogDir(dir), 1, func(f *wal.Frame) error {
		return s.replay(f, options.Observe)
	}, logOptions)
	if err != nil {
		return nil, r, err
	}
	r.Commands, r.Digest, r.Took = s.Last(), s.digest, time.Since(begun)
	if s.buffer, err = s.log.NewBuffer(); err != nil {
		return nil, r, errors.Join(err, s.log.Close())
	}
	s.most = s.buffer.Room() / recordBytes / 3
	s.group = lifecycle.NewGroup(context.Background())
	if !options.Alone {
		s.group.Go("wal spares", s.keepSpares)
		s.wanted <- struct{}{}
	}
	return s, r, nil
}

// Verify replays the log of a folder without changing it, and compares its digests. The result is what Open
// would find.
func Verify(fsys vfs.FS, dir string) (r Recovery, err error) {
	begun := time.Now()
	s := newShard(nil)
	in, err := wal.Inspect(fsys, LogDir(dir), func(f *wal.Frame) error { return s.replay(f, nil) })
	if err != nil {
		return r, err
	}
	if in.Corrupt != nil {
		return r, in.Corrupt
	}
	r.Log = wal.Report{
		First: in.First, Last: in.Last, Watermark: in.Watermark, Frames: in.Frames, Bytes: in.Bytes,
		Closed: in.Closed, Torn: in.Torn, Rules: Rules,
	}
	r.Commands, r.Digest, r.Took = s.Last(), s.digest, time.Since(begun)
	return r, nil
}

func newShard(now func() time.Time) *Shard {
	if now == nil {
		now = time.Now
	}
	return &Shard{
		now: now, books: book.NewSet(), symbols: newNames(0), accounts: newNames(1), next: 1,
		wanted: make(chan struct{}, 1),
	}
}

// keepSpares makes segments ahead of their use. What it cannot make, Submit finds missing and makes, or says
// why not.
func (s *Shard) keepSpares(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.wanted:
			_ = s.log.Prepare(ctx) // as Submit will find
		}
	}
}

// replay does again what a frame's records asked for.
func (s *Shard) replay(f *wal.Frame, observe func(*Shard, *order.Command, []order.Event) error) error {
	if f.Rules != Rules {
		return &RulesError{f.Rules, Rules}
	}
	if len(f.Payload)%recordBytes != 0 || f.First != s.next {
		return fmt.Errorf("%s, byte %d: %d bytes from sequence %d on, want records of %d from %d on", f.Segment,
			f.Offset, len(f.Payload), f.First, recordBytes, s.next)
	}
	left := f.Count
	for p := f.Payload; len(p) > 0; p = p[recordBytes:] {
		if p[0] == recordSymbol || p[0] == recordAccount {
			text, err := name(p)
			if err != nil {
				return fmt.Errorf("%s, byte %d: %w", f.Segment, f.Offset, err)
			}
			s.define(p[0], text)
			continue
		}
		c := command(p)
		s.events = s.apply(&c, f.Time, s.events[:0])
		left--
		if observe == nil {
			continue
		}
		if err := observe(s, &c, s.events); err != nil {
			return err
		}
	}
	if left != 0 {
		return fmt.Errorf("%s, byte %d: %d commands more are stated than there are", f.Segment, f.Offset, int32(left))
	}
	if f.Digest != s.digest || f.DigestSeq != f.Last() {
		return &DivergedError{f.Last(), f.Segment, f.Digest, s.digest}
	}
	return nil
}

func (s *Shard) define(kind byte, text string) uint32 {
	if kind == recordAccount {
		return s.accounts.add(text)
	}
	s.books.AddSymbol()
	return s.symbols.add(text)
}

// apply gives a command its place, does it and adds what came of it to the digest.
func (s *Shard) apply(c *order.Command, at int64, out []order.Event) []order.Event {
	c.Seq, c.Time = s.next, at
	before := len(out)
	out = s.books.Apply(c, out)
	s.next++
	s.digest = digest(s.digest, c.Seq)
	for i := before; i < len(out); i++ {
		s.digest = digestEvent(s.digest, &out[i])
	}
	return out
}

// digest mixes a word in.
func digest(h, word uint64) uint64 {
	return bits.RotateLeft64(h^word, 29) * 0x9e3779b97f4a7c15
}

func digestEvent(h uint64, e *order.Event) uint64 {
	h = digest(h, e.Order)
	h = digest(h, e.Maker)
	h = digest(h, uint64(e.Qty))
	h = digest(h, uint64(e.Leaves))
	h = digest(h, uint64(e.MakerLeaves))
	h = digest(h, uint64(uint32(e.Price))<<32|uint64(e.Symbol))
	return digest(h, uint64(e.Account)<<32|uint64(e.What)<<24|uint64(e.Side)<<16|uint64(e.Reason)<<8|uint64(e.By))
}

// Symbol returns the number of a symbol, which is made when it is new: durable with the next Submit, which has
// room for two new names with each command.
func (s *Shard) Symbol(text string) (uint32, error) { return s.known(&s.symbols, recordSymbol, text) }

// Account returns the number of an account, which is made when it is new; "" is nobody's, 0.
func (s *Shard) Account(text string) (uint32, error) {
	if text == "" {
		return 0, nil
	}
	return s.known(&s.accounts, recordAccount, text)
}

func (s *Shard) known(list *names, kind byte, text string) (uint32, error) {
	if number, ok := list.number[text]; ok {
		return number, nil
	}
	switch {
	case s.failed != nil:
		return 0, s.failed
	case text == "" || len(text) > nameBytes:
		return 0, fmt.Errorf("%q has %d bytes: a name has 1 to %d", text, len(text), nameBytes)
	}
	if s.buffer.Room() < (s.most+1)*recordBytes {
		return 0, fmt.Errorf("%d new names without a Submit are too many", len(s.symbols.list)+len(s.accounts.list))
	}
	putName(s.buffer.Extend(recordBytes), kind, text)
	return s.define(kind, text), nil
}

// SymbolName returns the name of a symbol, "" for none.
func (s *Shard) SymbolName(number uint32) string { return s.symbols.of(number) }

// Symbols returns how many symbols there are: their numbers are those below.
func (s *Shard) Symbols() int { return len(s.symbols.list) }

// AccountName returns the name of an account, "" for none.
func (s *Shard) AccountName(number uint32) string { return s.accounts.of(number) }

// Books returns the books, to be looked at until the next Submit.
func (s *Shard) Books() *book.Set { return s.books }

// Last returns the sequence of the last command: how many there ever were.
func (s *Shard) Last() uint64 { return s.next - 1 }

// Digest returns the digest of all events ever.
func (s *Shard) Digest() uint64 { return s.digest }

// MostCommands returns how many commands one Submit takes.
func (s *Shard) MostCommands() int { return s.most }

// Submit applies commands, at most MostCommands, in order, and returns what happened when it is durable: the
// events are valid until the next Submit. It sets the commands' sequences and time. After any error but a
// *FullError the shard is of no more use: what the commands did is in the log or not, as the next Open will
// tell.
func (s *Shard) Submit(commands []order.Command) ([]order.Event, error) {
	if s.failed != nil {
		return nil, s.failed
	}
	if len(commands) > s.most {
		return nil, fmt.Errorf("%d commands at once, at most %d", len(commands), s.most)
	}
	if len(commands) == 0 {
		return nil, nil
	}
	if err := s.room(); err != nil {
		return nil, err
	}
	at := s.now().UnixNano()
	s.events = s.events[:0]
	for i := range commands {
		s.events = s.apply(&commands[i], at, s.events)
		putCommand(s.buffer.Extend(recordBytes), &commands[i])
		s.buffer.Count++
	}
	s.buffer.Time = at
	if err := s.flush(); err != nil {
		return nil, err
	}
	return s.events, nil
}

// room makes sure that the log has room for the buffer.
func (s *Shard) room() error {
	if s.log.Room() >= int64(s.buffer.Size()) {
		return nil
	}
	if err := s.log.Prepare(context.Background()); err != nil {
		return &FullError{err}
	}
	return nil
}

// flush makes the buffer durable.
func (s *Shard) flush() error {
	s.buffer.Digest, s.buffer.DigestSeq = s.digest, s.next-1
	_, err := s.log.Write(s.buffer)
	if err != nil {
		s.failed = fmt.Errorf("the venue has stopped: %w", err)
		return s.failed
	}
	s.buffer.Reset()
	select {
	case s.wanted <- struct{}{}:
	default: // it is on its way
	}
	return nil
}

// Idle tells the log that no command is at hand: what was acknowledged can then be told from a torn write.
func (s *Shard) Idle() error {
	if s.failed != nil {
		return s.failed
	}
	if err := s.log.Seal(); err != nil {
		s.failed = fmt.Errorf("the venue has stopped: %w", err)
	}
	return s.failed
}

// Close ends the log.
func (s *Shard) Close() error {
	s.group.Stop(nil)
	return errors.Join(s.group.Wait(), s.log.Close(), s.buffer.Free())
}
