package catalog

import (
	"context"
	"sync"
)

// groupCalls bounds how many calls share one turn, and their writes one transaction.
const groupCalls = 500

// queue are calls that wait for the database. Whoever has the turn makes all of them: many workflows
// share syncs, and only few goroutines need the deep stack that SQLite takes.
type queue struct {
	turn chan struct{} // holds one token while the session is used

	mu      sync.Mutex
	waiting []*pending
}

// pending is one call. That of a write may be made twice: within a group that failed, and alone.
type pending struct {
	call   func(s *session) error
	writes bool
	done   bool // by whoever had the turn
	err    error
}

func (q *queue) add(p *pending) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, p)
}

// take returns the calls that waited longest.
func (q *queue) take() []*pending {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(len(q.waiting), groupCalls)
	group := q.waiting[:n:n]
	q.waiting = q.waiting[n:]
	return group
}

// write runs change in a transaction, alone or with other writes; when it fails, nothing of it
// stays, and the others are not touched. Synced when it returns nil.
func (c *Catalog) write(ctx context.Context, change func(s *session) error) error {
	return c.queued(ctx, &pending{call: change, writes: true})
}

// read runs look, which sees what is synced.
func (c *Catalog) read(ctx context.Context, look func(s *session) error) error {
	return c.queued(ctx, &pending{call: look})
}

// queued returns when the call has been made.
func (c *Catalog) queued(ctx context.Context, p *pending) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	c.queue.add(p)
	c.queue.turn <- struct{}{} // not cut short by ctx: another may be making the call
	for !p.done {
		c.serve(c.queue.take())
	}
	<-c.queue.turn
	return explain(p.err)
}

// serve makes the calls: reads one by one, then writes in one transaction; when one of those fails,
// each in its own.
func (c *Catalog) serve(group []*pending) {
	var writes []*pending
	for _, p := range group {
		if p.writes {
			writes = append(writes, p)
			continue
		}
		p.err, p.done = p.call(c.session), true
	}
	if len(writes) == 0 {
		return
	}
	err := c.session.transaction(func(s *session) error {
		for _, p := range writes {
			if err := p.call(s); err != nil {
				return err
			}
		}
		return nil
	})
	for _, p := range writes {
		if p.err = err; err != nil && len(writes) > 1 {
			p.err = c.session.transaction(p.call)
		}
		p.done = true
	}
}
