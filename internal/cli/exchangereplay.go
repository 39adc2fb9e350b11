package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tapeline/tapeline/internal/exchange"
	"github.com/tapeline/tapeline/internal/exchange/flow"
	"github.com/tapeline/tapeline/internal/vfs"
	"github.com/tapeline/tapeline/internal/wal"
)

// replayFlags are the flags of exchange replay.
type replayFlags struct {
	dir, reports, book string
	depth, group       int
	every              uint64
}

func (s *session) exchangeReplayCommand() *cobra.Command {
	var f replayFlags
	c := &cobra.Command{
		Use:   "replay FLOW",
		Short: "Carry a file of orders through a venue, and write what it reports",
		Long: "FLOW has one JSON object a line, \"-\" is standard input:\n" +
			`  {"op":"new","id":1,"symbol":"X","account":"a","side":"buy","type":"limit","tif":"gtc","price":"12.34","qty":"100"}` + "\n" +
			`  {"op":"replace","id":1,"price":"12.30","qty":"50"}    {"op":"reduce","id":1,"qty":"10"}    {"op":"cancel","id":1}` + "\n" +
			"Types are limit and market, times in force gtc, ioc and fok; post_only refuses an order that would trade at\n" +
			"once. Prices are multiples of 0.01, quantities whole; symbols and accounts are made on first use. Every\n" +
			"command is in the venue's log, durable, before its reports are written.\n\n" +
			"A replay that was stopped goes on: what the log holds of the flow is compared with it and reported again,\n" +
			"so that the reports are the same bytes as without the stop. A finished one reports all again and adds\n" +
			"nothing. A missing folder is made.",
		Example: "  tapeline exchange replay orders.ndjson --data venue --reports reports.ndjson\n" +
			"  tapeline exchange replay orders.ndjson --data venue --book books.ndjson --depth 5 --every 1000",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return s.replay(c.Context(), args[0], f) },
	}
	venueFlag(c, &f.dir)
	c.Flags().StringVar(&f.reports, "reports", "", `file for what the venue reports; "-": standard output`)
	c.Flags().StringVar(&f.book, "book", "", "file for the best prices of all symbols")
	c.Flags().IntVar(&f.depth, "depth", 10, "prices of each side in it")
	c.Flags().Uint64Var(&f.every, "every", 0, "commands between two of them; 0: one at the end")
	c.Flags().IntVar(&f.group, "group", 256, "commands that become durable by one write")
	return c
}

func (s *session) replay(ctx context.Context, name string, f replayFlags) (err error) {
	if f.depth < 1 || f.group < 1 {
		return usage("--depth %d, --group %d: both are at least 1", f.depth, f.group)
	}
	if f.book == "" && f.every > 0 {
		return usage("--every says how often books are written: give --book too")
	}
	in, err := s.input(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	release, err := lockVenue(f.dir, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	slow := s.slow()
	r := flow.Replay{
		FS: vfs.OS{}, Dir: f.dir, Flow: flow.NewReader(name, in), Every: f.every, Depth: f.depth, Group: f.group,
		Progress: func(lines int) { slow.step(fmt.Sprintf("%s lines", count(int64(lines))), 0, 0) },
	}
	for _, to := range []struct {
		name   string
		writer **flow.Writer
	}{{f.reports, &r.Reports}, {f.book, &r.Books}} {
		if to.name == "" {
			continue
		}
		file, err := s.output(to.name)
		if err != nil {
			return err
		}
		writer := flow.NewWriter(file)
		defer func() { err = errors.Join(err, writer.Flush(), file.Close()) }()
		*to.writer = writer
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	result, err := r.Run(ctx)
	slow.end()
	if ctx.Err() != nil && err != nil {
		return &exitError{exitInterrupted, errors.New("interrupted; the same replay goes on where the log ends")}
	}
	if err != nil {
		return err
	}
	if f.reports == "-" && !s.json {
		return nil
	}
	return s.printResult(result, func() string {
		return fmt.Sprintf("%s commands (%s found in the log), %s trades, %s rejected, %s refused before the venue; "+
			"digest %s, %.1f s\n", count(int64(result.Last)), count(int64(result.Recovered)),
			count(int64(result.Trades)), count(int64(result.Rejected)), count(int64(result.Refused)), result.Digest,
			result.Seconds)
	})
}

// venueFlag is the flag that all commands on a venue need.
func venueFlag(c *cobra.Command, dir *string) {
	c.Flags().StringVar(dir, "data", "", "the venue's folder")
	_ = c.MarkFlagRequired("data") // the flag is there
}

// input opens a file, or standard input.
func (s *session) input(name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(s.in), nil
	}
	return os.Open(name)
}

// output makes a file, or writes to standard output.
func (s *session) output(name string) (io.WriteCloser, error) {
	if name == "-" {
		return standard{s.out}, nil
	}
	return os.Create(name)
}

// standard is standard output, which stays open.
type standard struct{ io.Writer }

// Close does nothing.
func (standard) Close() error { return nil }

// lockVenue keeps other processes out of a venue's folder until release. create makes a missing one.
func lockVenue(dir string, create bool) (release func() error, err error) {
	if create {
		err = vfs.OS{}.MkdirAll(dir)
	} else if _, err = os.Stat(exchange.LogDir(dir)); errors.Is(err, os.ErrNotExist) {
		err = fmt.Errorf("%s holds no venue: there is no folder %s in it", dir, filepath.Base(exchange.LogDir(dir)))
	}
	if err != nil {
		return nil, err
	}
	lock, err := vfs.TakeLock(filepath.Join(dir, "venue.lock"), "tapeline exchange")
	if held, ok := errors.AsType[*vfs.HeldError](err); ok {
		return nil, fmt.Errorf("venue %s is in use by %w", dir, held)
	}
	if err != nil {
		return nil, err
	}
	return lock.Release, nil
}

// venueState is what recover and verify print.
type venueState struct {
	Data     string   `json:"data"`
	Last     uint64   `json:"last"` // durable sequence; 0: none
	Digest   string   `json:"digest"`
	Commands uint64   `json:"commands"`
	Lost     []uint64 `json:"lost"` // windowed acknowledgements; durable ones are never lost
	Torn     any      `json:"torn,omitempty"`
	Closed   bool     `json:"closed"`
	Seconds  float64  `json:"seconds"`
}

func (s *session) exchangeRecoverCommand() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "recover",
		Short: "Recover a venue from its log, and say what is there",
		Long: "Reads the whole log, matches every command again and compares the digests that the log states, then begins\n" +
			"a new epoch behind the last record. A last write that a crash tore is cut: none of it was acknowledged.\n" +
			"Damage to what was acknowledged is refused, with its place.",
		Example: "  tapeline exchange recover --data venue --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) (err error) {
			release, err := lockVenue(dir, false)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, release()) }()
			shard, found, err := exchange.Open(vfs.OS{}, dir, exchange.Options{})
			if err != nil {
				return err
			}
			if err := shard.Close(); err != nil {
				return err
			}
			return s.printVenue(dir, found)
		},
	}
	venueFlag(c, &dir)
	return c
}

func (s *session) exchangeVerifyCommand() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "verify",
		Short: "Prove that a venue's log is whole and matches as it states, changing nothing",
		Long: "Reads the whole log, matches every command again and compares the digests that the log states. It changes\n" +
			"nothing; a venue that is at work may end with a write that is not finished.",
		Example: "  tapeline exchange verify --data venue --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			found, err := exchange.Verify(vfs.OS{}, dir)
			if err != nil {
				return err
			}
			return s.printVenue(dir, found)
		},
	}
	venueFlag(c, &dir)
	return c
}

func (s *session) printVenue(dir string, r exchange.Recovery) error {
	state := venueState{
		Data: dir, Last: r.Log.Last, Digest: fmt.Sprintf("%016x", r.Digest), Commands: r.Commands, Lost: []uint64{},
		Closed: r.Log.Closed, Seconds: r.Took.Seconds(),
	}
	torn := ""
	if t := r.Log.Torn; t != nil {
		state.Torn = t
		torn = fmt.Sprintf("the last write was torn by a crash (%s, byte %d: %s): none of it was acknowledged\n",
			t.Segment, t.Offset, t.Reason)
	}
	return s.printResult(state, func() string {
		return torn + fmt.Sprintf("%s: %s commands, last durable sequence %d, digest %s, no acknowledgement lost, %.1f s\n",
			dir, count(int64(r.Commands)), r.Log.Last, state.Digest, state.Seconds)
	})
}

func (s *session) exchangeWALCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "wal",
		Short: "Look at a venue's write-ahead log, or end it before damage",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(s.walInspectCommand(), s.walVerifyCommand(), s.walRepairCommand())
	return c
}

func (s *session) walInspectCommand() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:     "inspect",
		Short:   "List the segments of a log, and where it ends",
		Example: "  tapeline exchange wal inspect --data venue\n  tapeline exchange wal inspect --data venue --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			in, err := wal.Inspect(vfs.OS{}, exchange.LogDir(dir), nil)
			if err != nil {
				return err
			}
			return s.printResult(in, in.Text)
		},
	}
	venueFlag(c, &dir)
	return c
}

func (s *session) walVerifyCommand() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:     "verify",
		Short:   "Read every frame of a log; damage ends with exit code 1",
		Long:    "Reads every frame and compares its checksums; exchange verify proves besides that matching gives the same.",
		Example: "  tapeline exchange wal verify --data venue",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			in, err := wal.Inspect(vfs.OS{}, exchange.LogDir(dir), nil)
			if err != nil {
				return err
			}
			if err := s.printResult(in, in.Text); err != nil {
				return err
			}
			if in.Corrupt != nil {
				return &exitError{exitFailed, in.Corrupt}
			}
			return nil
		},
	}
	venueFlag(c, &dir)
	return c
}

func (s *session) walRepairCommand() *cobra.Command {
	var dir string
	var giveUp bool
	c := &cobra.Command{
		Use:   "repair",
		Short: "End a damaged log before the damage",
		Long: "Records from the damage on are given up, though they were acknowledged: a copy of the folder is better. What\n" +
			"can be read before stays; segments behind are set aside as *.damaged, and the log says for ever that records\n" +
			"were given up. Without --give-up nothing is changed: it says what would be lost. Exit code 1 while damage is there.",
		Example: "  tapeline exchange wal repair --data venue\n  tapeline exchange wal repair --data venue --give-up",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) (err error) {
			release, err := lockVenue(dir, false)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, release()) }()
			if !giveUp {
				in, err := wal.Inspect(vfs.OS{}, exchange.LogDir(dir), nil)
				if err != nil {
					return err
				}
				if in.Corrupt != nil {
					return &exitError{exitFailed, fmt.Errorf("%w (here: --give-up)", in.Corrupt)}
				}
				return s.printResult(in, func() string { return "no damage: nothing is to be repaired\n" })
			}
			r, err := wal.GiveUp(vfs.OS{}, exchange.LogDir(dir), wal.Options{Rules: exchange.Rules})
			if err != nil {
				return err
			}
			return s.printResult(r, func() string {
				if r.Damage == nil {
					return "no damage: nothing was changed\n"
				}
				return fmt.Sprintf("given up: %v\nthe log ends with sequence %d now; set aside: %d segments\n", r.Damage,
					r.Last, len(r.Moved))
			})
		},
	}
	venueFlag(c, &dir)
	c.Flags().BoolVar(&giveUp, "give-up", false, "give up the records from the damage on")
	return c
}
