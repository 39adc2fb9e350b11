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
	_ "modernc.org/sqlite" // the database/sql driver "sqlite"
)

// FileName is the database's name within the state folder.
const FileName = "catalog.db"

// keptCheckpoints is how many committed checkpoints of a workflow stay, savepoints not counted.
const keptCheckpoints = 3

// ErrNotFound is wrapped when a run, workflow or savepoint does not exist.
var ErrNotFound = errors.New("not in the catalog")

// Catalog is an open control database. Several processes may have it open. Safe for concurrent
// use.
type Catalog struct {
	db      *sql.DB
	process process
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
	c := &Catalog{db: db, process: thisProcess()}
	if err := c.migrate(context.Background()); err != nil {
		return nil, errors.Join(fmt.Errorf("open catalog %s: %w", name, err), db.Close())
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

// write runs change in one transaction. Synced when it returns nil.
func (c *Catalog) write(ctx context.Context, change func(tx *sql.Tx) error) error {
	tx, err := c.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := change(tx); err != nil {
		return errors.Join(err, ignoreDone(tx.Rollback()))
	}
	return tx.Commit()
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
