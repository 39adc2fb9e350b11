package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"time"

	"github.com/tapeline/tapeline/internal/vfs"
	"modernc.org/sqlite" // also the database/sql driver "sqlite"
)

// FileName is the database's name within the state folder.
const FileName = "catalog.db"

// keptCheckpoints is how many committed checkpoints of a workflow stay, savepoints not counted.
const keptCheckpoints = 3

// ErrNotFound is wrapped when a run, workflow or savepoint does not exist.
var ErrNotFound = errors.New("not in the catalog")

// ErrCorrupt is wrapped when the file is damaged, or no catalog.
var ErrCorrupt = errors.New("the catalog is damaged")

// Catalog is an open control database. Several processes may have it open. Safe for concurrent
// use.
type Catalog struct {
	db      *sql.DB
	process process
	queue   queue // of writes
}

// Open opens the catalog in a state folder, making both when missing. Synced.
func Open(dir string) (*Catalog, error) {
	if err := (vfs.OS{}).MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("make state folder: %w", err)
	}
	name, err := filepath.Abs(filepath.Join(dir, FileName))
	if err != nil {
		return nil, fmt.Errorf("open catalog %s: %w", dir, err)
	}
	db, err := sql.Open("sqlite", source(name))
	if err != nil {
		return nil, fmt.Errorf("open catalog %s: %w", name, err)
	}
	// One connection: SQLite has one writer anyway, and waiting in the pool costs no polling.
	db.SetMaxOpenConns(1)
	c := &Catalog{
		db: db, process: thisProcess(), queue: queue{turn: make(chan struct{}, 1)},
	}
	err = c.check(context.Background())
	if err == nil {
		err = c.migrate(context.Background())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open catalog %s: %w", name, explain(err)), db.Close())
	}
	if err := (vfs.OS{}).SyncDir(dir); err != nil {
		return nil, errors.Join(fmt.Errorf("open catalog %s: %w", name, err), db.Close())
	}
	return c, nil
}

// source returns the driver's name of the database. Write transactions take the lock when they
// begin: a lock taken later could fail at once, as its snapshot may be outdated.
func source(name string) string {
	query := url.Values{
		"_txlock": {"immediate"},
		"_pragma": {
			"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(ON)",
		},
	}
	address := url.URL{Scheme: "file", Path: name, RawQuery: query.Encode()}
	return address.String()
}

// Close closes the database. Leases that are not released expire.
func (c *Catalog) Close() error { return c.db.Close() }

// check reads the file's structure, so that a damaged one is refused before it is written.
func (c *Catalog) check(ctx context.Context) error {
	var verdict string
	if err := c.db.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return fmt.Errorf("%w: %s%s", ErrCorrupt, verdict, restoreHint)
	}
	return nil
}

const restoreHint = " (restore the state folder from a backup; without one, move it aside: workflows " +
	"then start anew)"

// explain says what can be done about an error of the database.
func explain(err error) error {
	native, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return err
	}
	const codeInputOutput, codeCorrupt, codeFull, codeNotDatabase = 10, 11, 13, 26
	switch native.Code() & 0xff {
	case codeCorrupt, codeNotDatabase:
		return fmt.Errorf("%w: %w%s", ErrCorrupt, err, restoreHint)
	case codeFull, codeInputOutput:
		return fmt.Errorf("%w (is the disk full? nothing is lost: free space and run again)", err)
	}
	return err
}

// ignoreDone drops the error of rolling back what the end of a context rolled back before.
func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// nanos is how times are stored: UTC nanoseconds since 1970, 0 for none.
func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func moment(nanos int64) time.Time {
	if nanos == 0 {
		return time.Time{}
	}
	return time.Unix(0, nanos).UTC()
}
