package catalog

import (
	"context"
	"errors"
	"fmt"
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
	session *session
	process process
	queue   queue
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
	opened, err := openSession(name)
	if err != nil {
		return nil, fmt.Errorf("open catalog %s: %w", name, explain(err))
	}
	c := &Catalog{
		session: opened, process: thisProcess(), queue: queue{turn: make(chan struct{}, 1)},
	}
	ctx := context.Background()
	err = c.read(ctx, check)
	if err == nil {
		err = c.write(ctx, migrate)
	}
	if err == nil {
		err = (vfs.OS{}).SyncDir(dir)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open catalog %s: %w", name, err), c.Close())
	}
	return c, nil
}

// Close closes the database. Leases that are not released expire.
func (c *Catalog) Close() error {
	c.queue.turn <- struct{}{}
	defer func() { <-c.queue.turn }()
	return c.session.close()
}

// check reads the file's structure, so that a damaged one is refused before it is written.
func check(s *session) error {
	var verdict string
	if err := s.row(`PRAGMA quick_check(1)`, nil, &verdict); err != nil {
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
