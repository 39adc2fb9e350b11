package flow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/tapeline/tapeline/internal/exchange"
	"github.com/tapeline/tapeline/internal/exchange/order"
	"github.com/tapeline/tapeline/internal/vfs"
)

// Replay carries a flow through the venue of a folder.
type Replay struct {
	FS      vfs.SyncFS
	Dir     string
	Flow    *Reader
	Reports *Writer // nil: nobody reads them
	Books   *Writer // nil: no books
	Every   uint64  // commands between two books of all symbols; 0: one at the end
	Depth   int     // prices of each side of a book
	Group   int     // commands that become durable together; 0: as many as the venue takes
	// Progress is told how many lines were read; nil: nobody looks.
	Progress func(lines int)
	Options  exchange.Options

	shard *exchange.Shard
	group []order.Command
	count Result

	reported uint64 // commands
}

// Result says what was done.
type Result struct {
	Lines     int     `json:"lines"`
	Last      uint64  `json:"last"`      // sequence of the last command, all of them durable
	Recovered uint64  `json:"recovered"` // commands found in the log
	Refused   int     `json:"refused"`   // lines refused before the venue
	Trades    int     `json:"trades"`
	Rejected  int     `json:"rejected"` // by the venue
	Digest    string  `json:"digest"`   // of all events ever
	Seconds   float64 `json:"seconds"`
}

// OtherFlowError is a flow that is not the one of the venue's log.
type OtherFlowError struct {
	Dir, File string
	Line      int // 0: the flow ends before
	Seq       uint64
}

// Error says where they part.
func (e *OtherFlowError) Error() string {
	where := fmt.Sprintf("line %d differs", e.Line)
	if e.Line == 0 {
		where = "it has fewer lines"
	}
	return fmt.Sprintf("the venue in %s was fed by another flow than %s: %s (sequence %d): use another folder, or "+
		"the flow it was begun with", e.Dir, e.File, where, e.Seq)
}

// Run replays the flow: what the venue's log holds of it is reported again, the rest is submitted.
func (r *Replay) Run(ctx context.Context) (res Result, err error) {
	begun := time.Now()
	options := r.Options
	options.Observe = func(s *exchange.Shard, c *order.Command, events []order.Event) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		r.shard = s
		if err := r.compare(c); err != nil {
			return err
		}
		return r.report(c.Seq, events)
	}
	s, found, err := exchange.Open(r.FS, r.Dir, options)
	if err != nil {
		return r.count, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	r.shard = s
	r.count.Recovered = found.Commands
	if r.Group <= 0 || r.Group > s.MostCommands() {
		r.Group = s.MostCommands()
	}
	if err := r.feed(ctx); err != nil {
		return r.count, err
	}
	if r.Books != nil && r.Every == 0 {
		err = r.books(s.Last())
	}
	r.count.Last, r.count.Digest = s.Last(), fmt.Sprintf("%016x", s.Digest())
	r.count.Seconds = time.Since(begun).Seconds()
	return r.count, err
}

// next returns the next line that is a command; those refused before the venue are reported.
func (r *Replay) next() (Entry, error) {
	for {
		e, err := r.Flow.Next()
		if err != nil {
			return e, err
		}
		r.count.Lines++
		if r.Progress != nil && r.count.Lines%1024 == 0 {
			r.Progress(r.count.Lines)
		}
		if e.Reason == order.None {
			return e, nil
		}
		// Behind the reports of all lines before it, which have to be durable first.
		if err := r.submit(); err != nil {
			return e, err
		}
		r.count.Refused++
		if r.Reports != nil {
			if err := r.Reports.Refused(&e); err != nil {
				return e, err
			}
		}
	}
}

// compare holds the next line to a command that the log has.
func (r *Replay) compare(c *order.Command) error {
	e, err := r.next()
	if errors.Is(err, io.EOF) {
		return &OtherFlowError{Dir: r.Dir, File: r.Flow.file, Seq: c.Seq}
	}
	if err != nil {
		return err
	}
	want := e.Command
	want.Seq, want.Time = c.Seq, c.Time
	if e.Symbol != "" && e.Symbol == r.shard.SymbolName(c.Symbol) || e.Symbol == "" && c.Symbol == 0 {
		want.Symbol = c.Symbol
	} else {
		want.Symbol = ^c.Symbol
	}
	if want.Account = c.Account; e.Account != r.shard.AccountName(c.Account) {
		want.Account = ^c.Account
	}
	if want != *c {
		return &OtherFlowError{r.Dir, r.Flow.file, e.Line, c.Seq}
	}
	return nil
}

// feed submits the lines that the log does not have.
func (r *Replay) feed(ctx context.Context) error {
	for {
		e, err := r.next()
		if errors.Is(err, io.EOF) {
			return r.submit()
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return errors.Join(err, r.submit()) // what was read before counts
		}
		if e.Symbol != "" {
			if e.Command.Symbol, err = r.shard.Symbol(e.Symbol); err != nil {
				return errors.Join(r.Flow.wrong("symbol", err), r.submit())
			}
		}
		if e.Command.Account, err = r.shard.Account(e.Account); err != nil {
			return errors.Join(r.Flow.wrong("account", err), r.submit())
		}
		r.group = append(r.group, e.Command)
		if len(r.group) >= r.Group || r.Every > 0 && (r.reported+uint64(len(r.group)))%r.Every == 0 {
			if err := r.submit(); err != nil {
				return err
			}
		}
	}
}

// submit makes the group durable and reports what came of it.
func (r *Replay) submit() error {
	if len(r.group) == 0 {
		return nil
	}
	events, err := r.shard.Submit(r.group)
	if err != nil {
		return err
	}
	for _, c := range r.group {
		n := 0
		for n < len(events) && events[n].Seq == c.Seq {
			n++
		}
		if err := r.report(c.Seq, events[:n]); err != nil {
			return err
		}
		events = events[n:]
	}
	r.group = r.group[:0]
	for _, w := range []*Writer{r.Reports, r.Books} {
		if w == nil {
			continue
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// report writes what came of one command.
func (r *Replay) report(seq uint64, events []order.Event) error {
	for i := range events {
		switch events[i].What {
		case order.Traded:
			r.count.Trades++
		case order.Rejected:
			r.count.Rejected++
		}
		if r.Reports != nil {
			if err := r.Reports.Event(r.shard, &events[i]); err != nil {
				return err
			}
		}
	}
	if r.reported++; r.Books != nil && r.Every > 0 && r.reported%r.Every == 0 {
		return r.books(seq)
	}
	return nil
}

// books writes the books of all symbols.
func (r *Replay) books(seq uint64) error {
	for i := range r.shard.Symbols() {
		number, b := uint32(i), r.shard.Books()
		err := r.Books.Book(seq, r.shard.SymbolName(number),
			b.Levels(number, order.Buy, r.Depth, nil), b.Levels(number, order.Sell, r.Depth, nil))
		if err != nil {
			return err
		}
	}
	return nil
}
