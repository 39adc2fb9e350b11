package store

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/market"
	"github.com/tapeline/tapeline/internal/vfs"
)

// Seq numbers commits from 1; 0 is the empty store, and as a wish "the newest".
type Seq int64

// Config says how a store is opened; the zero value is good.
type Config struct {
	// FS holds segments; nil: the operating system's. The catalog is always a file of the system.
	FS vfs.FS
	// MemoryBytes bounds decoded segments kept in memory; 0: 128 MiB.
	MemoryBytes int64
	// Handles bounds open segment files; 0: 256.
	Handles int
	// Horizon is how long what a compaction replaced stays readable as of an earlier commit; 0: 30
	// days. HorizonShare bounds its size as a share of the live bytes; 0: 0.2. Whichever comes first.
	Horizon      time.Duration
	HorizonShare float64
	// TransactionMode is how transactions of the catalog begin: deferred, immediate (the default) or
	// exclusive. What is committed is the same.
	TransactionMode string
	// Existing refuses a folder that holds no store instead of making one.
	Existing bool
	// Driver is the driver of database/sql that opens the catalog, which tests replace; "": sqlite.
	Driver string
	// Log gets one line per recovery and compaction; nil: none.
	Log *slog.Logger

	// fault, in tests, fails the catalog's transactions before or after their commit.
	fault func(stage string) error
	// fileRows, in tests, is from how many rows a segment gets a file; 0: blobRows.
	fileRows int
	// wholeRows, in tests, is up to how many rows a file is decoded as a whole; 0: wholeRows.
	wholeRows int64
}

// Errors a caller branches on. The texts around them name place and remedy.
var (
	ErrLocked  = errors.New("the store is locked by another writer")
	ErrCorrupt = errors.New("the store is damaged")
	ErrHorizon = errors.New("that commit is no longer readable")
	ErrFuture  = errors.New("there is no such commit yet")
	ErrClosed  = errors.New("the store is closed")
	ErrFenced  = errors.New("a later process owns this epoch")
	ErrDataset = errors.New("no such dataset")
	ErrAbsent  = errors.New("no such store")
	ErrUnknown = errors.New("no such symbol")
	ErrForeign = errors.New("the folder is no store's")
)

// LockedError says who holds the writer lock.
type LockedError struct {
	Dir    string
	Holder string // as given to Lock
	PID    int
	Host   string
	Since  time.Time
}

// Error names the holder and the remedy.
func (e *LockedError) Error() string {
	return fmt.Sprintf("store %s is being written by %s (process %d on %s, since %s): wait until it ends, "+
		"or stop that process", e.Dir, e.Holder, e.PID, e.Host, e.Since.Local().Format(time.DateTime))
}

// Unwrap makes errors.Is(err, ErrLocked) hold.
func (e *LockedError) Unwrap() error { return ErrLocked }

// Changes are all of one commit.
type Changes struct {
	Run    string // id of the run that brings them
	Source string // provider of rows whose batch has no column "source"; "" is allowed
	// Puts are rows by dataset, columns matched by name; of equal keys the last counts. Missing
	// nullable columns are NULL.
	Puts map[string][]*batch.Batch
	// Deletes are key columns by dataset; keys that are not stored are ignored.
	Deletes map[string][]*batch.Batch
	// Replace names ranges in which rows that Puts does not bring are deleted.
	Replace []Replace
	// Coverage says what is known after this commit.
	Coverage []Cover
	// Quarantine are rows that were received and refused.
	Quarantine []market.Quarantine
	// Epoch, when set, is advanced by compare-and-set in the same transaction.
	Epoch *Epoch
}

// Replace is a range of one dataset; Symbol "" is all symbols.
type Replace struct {
	Dataset, Symbol string
	market.Interval
}

// Cover is what one unit of work established about an interval. Symbol "" is the whole universe.
// State "" forgets: the interval has to be asked again.
type Cover struct {
	Dataset, Freq, Source, Symbol string
	market.Interval
	State market.State
}

// Epoch identifies one checkpoint of one task of a run.
type Epoch struct {
	Run, Node string
	Task      int
	Before    uint64 // the epoch that must be the newest committed
	Number    uint64
	Fence     uint64 // that of the task's owner
}

// Range limits what is read; the zero value is everything.
type Range struct {
	Symbols []string // nil: all
	// From and To are dates, both included; 0: without bound.
	From, To market.Date
	exact    bool // From and To bound even where they are 0, which is also a date
	// After leaves out rows that were committed at or before it.
	After Seq
}

// Entry is one commit of the journal.
type Entry struct {
	Seq     Seq
	Time    time.Time
	Run     string
	Epoch   uint64
	Changed []DatasetChange
}

// DatasetChange counts what a commit did to one dataset.
type DatasetChange struct {
	Dataset               string
	New, Changed, Deleted int64
}
