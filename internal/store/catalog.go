package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"sync"
	"sync/atomic"

	"modernc.org/sqlite" // also the database/sql driver "sqlite"

	"github.com/tapeline/tapeline/internal/vfs"
)

// CatalogName is the catalog's name within the store's folder.
const CatalogName = "store.db"

// catalog is the SQLite file: one connection writes, others read.
type catalog struct {
	name string
	db   *counted

	mu    sync.Mutex // of the two connections
	write *sql.Conn
	watch *sql.Conn // asks for data_version, which counts for one connection
	fault func(stage string) error
	mode  string // BEGIN's, in lower case
}

// counted is the database with a count of what it was asked: queries and transactions.
type counted struct {
	*sql.DB

	queries atomic.Int64
}

func (c *counted) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	c.queries.Add(1)
	return c.DB.QueryContext(ctx, query, args...)
}

func (c *counted) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	c.queries.Add(1)
	return c.DB.QueryRowContext(ctx, query, args...)
}

func (c *counted) BeginTx(ctx context.Context, options *sql.TxOptions) (*sql.Tx, error) {
	c.queries.Add(1)
	return c.DB.BeginTx(ctx, options)
}

// querier is what reads need of a connection or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// openCatalog opens the file, making it when missing, and brings its tables to this version. driver "" is
// sqlite.
func openCatalog(ctx context.Context, dir, driver string) (*catalog, error) {
	if err := (vfs.OS{}).MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("make the store's folder: %w", err)
	}
	name, err := filepath.Abs(filepath.Join(dir, CatalogName))
	if err != nil {
		return nil, err
	}
	query := url.Values{"_pragma": {
		"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(ON)",
	}}
	address := url.URL{Scheme: "file", Path: name, RawQuery: query.Encode()}
	db, err := sql.Open(cmp.Or(driver, "sqlite"), address.String())
	if err != nil {
		return nil, err
	}
	c := &catalog{name: name, db: &counted{DB: db}, mode: "immediate"}
	if c.write, err = db.Conn(ctx); err == nil {
		c.watch, err = db.Conn(ctx)
	}
	if err == nil {
		err = c.change(ctx, migrate)
	}
	if err == nil {
		err = (vfs.OS{}).SyncDir(dir)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open catalog %s: %w", name, explain(err)), c.close())
	}
	return c, nil
}

// migrate brings the tables to this program's version, or refuses newer ones.
func migrate(ctx context.Context, tx *sql.Conn) error {
	steps := migrations()
	var version int
	if err := tx.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&version); err != nil {
		return err
	}
	if version > len(steps) {
		return fmt.Errorf("its format is %d, this program knows %d: use a newer tapeline",
			version, len(steps))
	}
	if version == len(steps) {
		return nil
	}
	var tables int
	if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_master`).Scan(&tables); err != nil {
		return err
	}
	if version == 0 && tables > 0 {
		return fmt.Errorf("%w: its %s is the database of another program", ErrForeign, CatalogName)
	}
	for i := version; i < len(steps); i++ {
		if _, err := tx.ExecContext(ctx, steps[i]); err != nil {
			return fmt.Errorf("migrate to format %d: %w", i+1, err)
		}
	}
	_, err := tx.ExecContext(ctx, fmt.Sprintf(`PRAGMA user_version = %d`, len(steps)))
	return err
}

func (c *catalog) close() error {
	var errs []error
	for _, conn := range []*sql.Conn{c.write, c.watch} {
		if conn != nil {
			errs = append(errs, conn.Close())
		}
	}
	return errors.Join(append(errs, c.db.Close())...)
}

// change runs f in one transaction, all of it or nothing. Synced when it returns nil. It is not cut
// short by the context's end, since a commit cut short has no known outcome. f may run twice.
func (c *catalog) change(ctx context.Context, f func(ctx context.Context, tx *sql.Conn) error) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.transaction(ctx, c.mode, f)
	if native, ok := errors.AsType[*sqlite.Error](err); ok && native.Code() == codeBusySnapshot {
		// A deferred transaction read before another process wrote, so that it cannot write any more.
		err = c.transaction(ctx, "immediate", f)
	}
	if err != nil {
		return explain(err)
	}
	return c.injected("committed")
}

// codeBusySnapshot is SQLITE_BUSY_SNAPSHOT.
const codeBusySnapshot = 517

// transaction runs f in a transaction of a mode. Needs mu.
func (c *catalog) transaction(ctx context.Context, mode string, f func(ctx context.Context, tx *sql.Conn) error) error {
	c.db.queries.Add(1)
	if _, err := c.write.ExecContext(ctx, "BEGIN "+mode); err != nil {
		return err
	}
	err := f(ctx, c.write)
	if err == nil {
		err = c.injected("commit")
	}
	if err == nil {
		_, err = c.write.ExecContext(ctx, `COMMIT`)
	}
	if err != nil {
		// It fails where the database has rolled back by itself, as when the disk is full.
		_, _ = c.write.ExecContext(ctx, `ROLLBACK`)
	}
	return err
}

func (c *catalog) injected(stage string) error {
	if c.fault == nil {
		return nil
	}
	return c.fault(stage)
}

// version changes whenever another connection has changed the file.
func (c *catalog) version(ctx context.Context) (int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.db.queries.Add(1)
	var v int64
	err := c.watch.QueryRowContext(ctx, `PRAGMA data_version`).Scan(&v)
	return v, explain(err)
}

// each calls scan for every row of a query.
func each(
	ctx context.Context, q querier, scan func(rows *sql.Rows) error, query string, args ...any,
) (err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return explain(err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return explain(rows.Err())
}

// explain says what can be done about an error of the database.
func explain(err error) error {
	native, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return err
	}
	const codeInputOutput, codeCorrupt, codeFull, codeNotDatabase = 10, 11, 13, 26
	switch native.Code() & 0xff {
	case codeCorrupt, codeNotDatabase:
		return fmt.Errorf("%w: %w (restore the store's folder from a backup or a snapshot)", ErrCorrupt, err)
	case codeFull, codeInputOutput:
		return fmt.Errorf("%w (is the disk full? nothing is lost: free space and run again)", err)
	}
	return err
}
