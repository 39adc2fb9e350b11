package catalog

import (
	"context"
	"database/sql"
	"errors"
	"sync"
)

// groupWrites bounds how many writes share one transaction.
const groupWrites = 500

// queue are writes that wait for the next transaction. Whoever has the turn runs all of them, so that
// many workflows share syncs.
type queue struct {
	turn chan struct{} // holds one token while a transaction runs

	mu      sync.Mutex
	waiting []*pending
}

// pending is one write. Its change may run twice: within a group that failed, and alone.
type pending struct {
	change func(tx *sql.Tx) error
	done   bool // by whoever had the turn
	err    error
}

func (q *queue) add(p *pending) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, p)
}

// take returns the writes that waited longest.
func (q *queue) take() []*pending {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(len(q.waiting), groupWrites)
	group := q.waiting[:n:n]
	q.waiting = q.waiting[n:]
	return group
}

// write runs change in a transaction, alone or with other writes; when it fails, nothing of it
// stays, and the others are not touched. Synced when it returns nil.
func (c *Catalog) write(ctx context.Context, change func(tx *sql.Tx) error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	p := &pending{change: change}
	c.queue.add(p)
	c.queue.turn <- struct{}{} // not cut short by ctx: another may be writing the change
	for !p.done {
		c.writeGroup(c.queue.take())
	}
	<-c.queue.turn
	return explain(p.err)
}

// writeGroup runs the writes in one transaction; when one fails, each in its own.
func (c *Catalog) writeGroup(group []*pending) {
	err := c.transaction(func(tx *sql.Tx) error {
		for _, p := range group {
			if err := p.change(tx); err != nil {
				return err
			}
		}
		return nil
	})
	for _, p := range group {
		if p.err = err; err != nil && len(group) > 1 {
			p.err = c.transaction(p.change)
		}
		p.done = true
	}
}

// transaction runs f in one transaction, which one caller's end does not cut short for the others.
func (c *Catalog) transaction(f func(tx *sql.Tx) error) error {
	tx, err := c.db.BeginTx(context.Background(), nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return errors.Join(err, ignoreDone(tx.Rollback()))
	}
	return tx.Commit()
}
