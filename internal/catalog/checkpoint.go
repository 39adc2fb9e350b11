package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// State is how far a checkpoint came.
type State string

// The states. Prepared becomes Committed or Dropped; Dropped may be prepared anew.
const (
	Prepared  State = "prepared"
	Committed State = "committed"
	Dropped   State = "dropped"
	Kept      State = "kept" // a savepoint that outlived Discard: no run continues from it by itself
)

// ErrState is wrapped when a checkpoint is not in the state that a change needs.
var ErrState = errors.New("checkpoint is in another state")

// Checkpoint is the manifest of one epoch of a run.
type Checkpoint struct {
	Run      string
	Epoch    uint64
	State    State
	Name     string // of a savepoint; empty otherwise
	Manifest []byte
	Created  time.Time // when it was prepared
}

// Prepare records the manifest of an epoch; it does not count yet. Preparing an epoch again
// replaces its manifest. ErrState: it is committed, or another one of the workflow is prepared.
// Synced.
func (l *Lease) Prepare(ctx context.Context, run string, epoch uint64, manifest []byte) error {
	return l.writeEpoch(ctx, "prepare", run, epoch, func(s *session, state State) error {
		if state == Committed || state == Kept {
			return fmt.Errorf("%w: %s", ErrState, state)
		}
		if err := l.refuseSecond(s, run, epoch); err != nil {
			return err
		}
		_, err := s.exec(`INSERT OR REPLACE INTO checkpoints
			(run, epoch, state, manifest, created) VALUES (?, ?, ?, ?, ?)`,
			run, int64(epoch), Prepared, manifest, time.Now().UnixNano())
		return err
	})
}

// refuseSecond fails when an epoch other than this one is prepared.
// invariant: one prepared manifest per workflow
func (l *Lease) refuseSecond(s *session, run string, epoch uint64) error {
	var otherRun string
	var otherEpoch int64
	err := s.row(`SELECT c.run, c.epoch FROM checkpoints c
		JOIN runs r ON r.id = c.run WHERE r.workflow = ? AND c.state = ?
		AND NOT (c.run = ? AND c.epoch = ?)`,
		[]any{l.workflow, Prepared, run, int64(epoch)}, &otherRun, &otherEpoch)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: checkpoint %d of run %s is still prepared, commit or drop it first",
		ErrState, otherEpoch, otherRun)
}

// Commit makes a prepared checkpoint count and removes the oldest ones of the workflow. It may be
// repeated. ErrState: it was not prepared. Committed.
// invariant: a committed manifest was prepared before
func (l *Lease) Commit(ctx context.Context, run string, epoch uint64) error {
	return l.writeEpoch(ctx, "commit", run, epoch, func(s *session, state State) error {
		switch state {
		case Committed:
			return nil
		case Prepared:
		default:
			return fmt.Errorf("%w: %s", ErrState, describe(state))
		}
		if _, err := s.exec(`UPDATE checkpoints SET state = ? WHERE run = ? AND epoch = ?`,
			Committed, run, int64(epoch)); err != nil {
			return err
		}
		return l.trim(s)
	})
}

// Drop discards a prepared checkpoint. It may be repeated. ErrState: it is committed. Synced.
func (l *Lease) Drop(ctx context.Context, run string, epoch uint64) error {
	return l.writeEpoch(ctx, "drop", run, epoch, func(s *session, state State) error {
		if state == Committed || state == Kept {
			return fmt.Errorf("%w: %s", ErrState, state)
		}
		_, err := s.exec(`UPDATE checkpoints SET state = ?, manifest = NULL
			WHERE run = ? AND epoch = ?`, Dropped, run, int64(epoch))
		return err
	})
}

// Keep gives a committed checkpoint a name, which makes it a savepoint that is not removed with
// age. It takes the place of the workflow's savepoint of that name. Synced.
func (l *Lease) Keep(ctx context.Context, run string, epoch uint64, name string) error {
	return l.writeEpoch(ctx, "keep", run, epoch, func(s *session, state State) error {
		if state != Committed {
			return fmt.Errorf("%w: %s", ErrState, describe(state))
		}
		if _, err := s.exec(`UPDATE checkpoints SET name = '' WHERE name = ?
			AND run IN (SELECT id FROM runs WHERE workflow = ?)`, name, l.workflow); err != nil {
			return err
		}
		if _, err := s.exec(`DELETE FROM checkpoints WHERE name = '' AND state = ?`,
			Kept); err != nil {
			return err
		}
		_, err := s.exec(`UPDATE checkpoints SET name = ? WHERE run = ? AND epoch = ?`,
			name, run, int64(epoch))
		return err
	})
}

// Discard removes all checkpoints of the workflow, savepoints too when asked: Latest returns
// nothing after it. Synced.
func (l *Lease) Discard(ctx context.Context, savepoints bool) error {
	return l.write(ctx, "discard checkpoints", func(s *session) error {
		if _, err := s.exec(`DELETE FROM checkpoints WHERE (? OR name = '')
			AND run IN (SELECT id FROM runs WHERE workflow = ?)`, savepoints, l.workflow); err != nil {
			return err
		}
		_, err := s.exec(`UPDATE checkpoints SET state = ?
			WHERE run IN (SELECT id FROM runs WHERE workflow = ?)`, Kept, l.workflow)
		return err
	})
}

// writeEpoch runs change with the state of a checkpoint, empty when there is none, of a run that
// is the lease's.
func (l *Lease) writeEpoch(ctx context.Context, verb, run string, epoch uint64,
	change func(s *session, state State) error,
) error {
	what := fmt.Sprintf("%s checkpoint %d of run %s", verb, epoch, run)
	return l.write(ctx, what, func(s *session) error {
		var state sql.NullString
		err := s.row(`SELECT c.state FROM runs r
			LEFT JOIN checkpoints c ON c.run = r.id AND c.epoch = ?
			WHERE r.id = ? AND r.workflow = ?`, []any{int64(epoch), run, l.workflow}, &state)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		return change(s, State(state.String))
	})
}

func describe(state State) string {
	if state == "" {
		return "missing"
	}
	return string(state)
}

// trim removes what is older than the newest committed checkpoints, but for savepoints.
func (l *Lease) trim(s *session) error {
	_, err := s.exec(`
		WITH aged AS (
			SELECT c.rowid AS place, c.name,
				count(*) FILTER (WHERE c.state = 'committed' AND c.name = '')
					OVER (ORDER BY r.sequence DESC, c.epoch DESC) AS age
			FROM checkpoints c JOIN runs r ON r.id = c.run WHERE r.workflow = ?
		)
		DELETE FROM checkpoints WHERE rowid IN (
			SELECT place FROM aged WHERE name = '' AND age > ?)`,
		l.workflow, keptCheckpoints)
	return err
}

// Latest returns the newest committed checkpoint of a workflow, and the one prepared after it;
// nil where there is none. The decider of the prepared one knows whether it counts.
func (c *Catalog) Latest(ctx context.Context, workflow string,
) (committed, prepared *Checkpoint, err error) {
	found, err := c.checkpoints(ctx, `AND c.state IN ('prepared', 'committed')
		ORDER BY r.sequence DESC, c.epoch DESC LIMIT 2`, workflow)
	if err != nil {
		return nil, nil, fmt.Errorf("read checkpoints of workflow %s: %w", workflow, err)
	}
	for i := range found {
		if found[i].State == Committed {
			return &found[i], prepared, nil
		}
		prepared = &found[i]
	}
	return nil, prepared, nil
}

// Savepoint returns the checkpoint kept under a name. ErrNotFound: there is none.
func (c *Catalog) Savepoint(ctx context.Context, workflow, name string) (Checkpoint, error) {
	found, err := c.checkpoints(ctx, `AND c.name = ?`, workflow, name)
	if err == nil && len(found) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Checkpoint{}, fmt.Errorf("read savepoint %s of workflow %s: %w", name, workflow, err)
	}
	return found[0], nil
}

func (c *Catalog) checkpoints(ctx context.Context, and string, arguments ...any,
) (found []Checkpoint, err error) {
	err = c.read(ctx, func(s *session) (err error) {
		found, err = all(s, scanCheckpoint, `SELECT c.run, c.epoch, c.state, c.name, c.manifest,
			c.created FROM checkpoints c JOIN runs r ON r.id = c.run WHERE r.workflow = ? `+and,
			arguments...)
		return err
	})
	return found, err
}

func scanCheckpoint(row *sql.Rows) (Checkpoint, error) {
	var p Checkpoint
	var epoch, created int64
	err := row.Scan(&p.Run, &epoch, &p.State, &p.Name, &p.Manifest, &created)
	p.Epoch, p.Created = uint64(epoch), moment(created)
	return p, err
}
