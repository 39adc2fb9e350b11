package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// ErrFenced says that another process took the lease over; the loser must stop at once.
var ErrFenced = errors.New("the lease was taken over by another process")

// HeldError says who holds the lease of a workflow.
type HeldError struct {
	Workflow string
	Owner    string
	Host     string
	PID      int
	Expires  time.Time
}

// Error names the holder and the remedy.
func (e *HeldError) Error() string {
	return fmt.Sprintf("workflow %s is running: %s, process %d on host %s, holds its lease until %s "+
		"(stop that process, or wait until its lease ends)",
		e.Workflow, e.Owner, e.PID, e.Host, e.Expires.Local().Format(time.DateTime))
}

// Lease is the right to run one workflow, and the only way to write about it. A lease that has
// expired still holds until another process takes it. Safe for concurrent use.
type Lease struct {
	catalog  *Catalog
	workflow string
	token    int64
	ttl      time.Duration
}

// Acquire takes the lease of a workflow for ttl (> 0); the holder calls Renew well within that
// time. A lease that expired, or whose process is known to be dead, is taken over, and runs it
// left running become interrupted. *HeldError: somebody else holds it. Synced.
func (c *Catalog) Acquire(ctx context.Context, workflow, owner string, ttl time.Duration,
) (*Lease, error) {
	l := &Lease{catalog: c, workflow: workflow, ttl: ttl}
	err := c.write(ctx, func(s *session) error {
		now := time.Now()
		held := HeldError{Workflow: workflow}
		var by process
		var token, expires int64
		err := s.row(`SELECT token, owner, host, scope, pid, started, expires
			FROM leases WHERE workflow = ?`, []any{workflow},
			&token, &held.Owner, &by.host, &by.scope, &by.pid, &by.started, &expires)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if expires > now.UnixNano() && !c.process.knowsDead(by) {
			held.Host, held.PID, held.Expires = by.host, by.pid, moment(expires)
			return &held
		}
		l.token = token + 1
		p := c.process
		if _, err := s.exec(`INSERT OR REPLACE INTO leases
			(workflow, token, owner, host, scope, pid, started, expires)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
			workflow, l.token, owner, p.host, p.scope, p.pid, p.started,
			now.Add(ttl).UnixNano()); err != nil {
			return err
		}
		_, err = s.exec(`UPDATE runs SET status = ? WHERE workflow = ? AND status = ?`,
			Interrupted, workflow, Running)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("lease workflow %s: %w", workflow, err)
	}
	return l, nil
}

// Held reports whether a process that may be alive holds the workflow's lease.
func (c *Catalog) Held(ctx context.Context, workflow string) (bool, error) {
	var by process
	var expires int64
	err := c.read(ctx, func(s *session) error {
		return s.row(`SELECT host, scope, pid, started, expires FROM leases WHERE workflow = ?`,
			[]any{workflow}, &by.host, &by.scope, &by.pid, &by.started, &expires)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the lease of %s: %w", workflow, err)
	}
	return expires > time.Now().UnixNano() && !c.process.knowsDead(by), nil
}

// Token returns the fencing token: larger than that of any holder before.
func (l *Lease) Token() int64 { return l.token }

// Renew extends the lease by its ttl from now; one that was released stays so. ErrFenced: it is
// lost. Synced.
func (l *Lease) Renew(ctx context.Context) error {
	return l.setExpiry(ctx, "renew", time.Now().Add(l.ttl))
}

// Release ends the lease. ErrFenced: it was lost before. Synced.
func (l *Lease) Release(ctx context.Context) error {
	return l.setExpiry(ctx, "release", time.Time{})
}

func (l *Lease) setExpiry(ctx context.Context, verb string, at time.Time) error {
	return l.write(ctx, verb+" lease", func(s *session) error {
		_, err := s.exec(`UPDATE leases SET expires = ? WHERE workflow = ? AND expires <> 0`,
			nanos(at), l.workflow)
		return err
	})
}

// write runs change in one transaction, unless the lease is lost. Synced when it returns nil.
// invariant: no write after the lease was taken over
func (l *Lease) write(ctx context.Context, what string, change func(s *session) error) error {
	err := l.catalog.write(ctx, func(s *session) error {
		var token int64
		err := s.row(`SELECT token FROM leases WHERE workflow = ?`, []any{l.workflow}, &token)
		switch {
		case err != nil:
			return err
		case token != l.token:
			return fmt.Errorf("%w (its token is %d, now %d counts)", ErrFenced, l.token, token)
		}
		return change(s)
	})
	if err != nil {
		return fmt.Errorf("%s of workflow %s: %w", what, l.workflow, err)
	}
	return nil
}
