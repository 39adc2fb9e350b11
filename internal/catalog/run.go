package catalog

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Status is how far a run came.
type Status string

// The statuses. All but Completed can be resumed.
const (
	Running     Status = "running"
	Completed   Status = "completed"
	Failed      Status = "failed"
	Stopped     Status = "stopped"     // drained on request before its sources ended
	Interrupted Status = "interrupted" // its process went away
)

// Workflow is a document as it was run last.
type Workflow struct {
	Name        string
	Document    string
	Fingerprint string
	Created     time.Time // of the name's first run
}

// Run is one execution of a workflow; resuming continues it.
type Run struct {
	ID       string    `json:"id"`
	Workflow string    `json:"workflow"`
	Attempt  int       `json:"attempt"` // 1, then one more with each Resume
	Status   Status    `json:"status"`
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished,omitzero"` // zero while running
	Result
}

// Result is what a run leaves behind.
type Result struct {
	RowsIn      int64           `json:"rows_in"`
	RowsOut     int64           `json:"rows_out"`
	DeadLetters int64           `json:"dead_letters"`
	Error       string          `json:"error,omitempty"`  // empty when it went well
	Report      json.RawMessage `json:"report,omitempty"` // nil for none
}

// Begin records the document and a new run of it. Synced.
func (l *Lease) Begin(ctx context.Context, document, fingerprint string) (Run, error) {
	r := Run{
		ID: newID(), Workflow: l.workflow, Attempt: 1, Status: Running,
		Started: time.Now().UTC().Round(0),
	}
	err := l.write(ctx, "begin run", func(s *session) error {
		if _, err := s.exec(`INSERT INTO workflows VALUES (?, ?, ?, ?)
			ON CONFLICT (name) DO UPDATE SET document = excluded.document,
			fingerprint = excluded.fingerprint`,
			l.workflow, document, fingerprint, nanos(r.Started)); err != nil {
			return err
		}
		_, err := s.exec(
			`INSERT INTO runs (id, workflow, attempt, status, started) VALUES (?, ?, ?, ?, ?)`,
			r.ID, r.Workflow, r.Attempt, r.Status, nanos(r.Started))
		return err
	})
	return r, err
}

// newID returns 12 random hexadecimal digits, short enough to type and to abbreviate.
func newID() string {
	var raw [6]byte
	_, _ = rand.Read(raw[:]) // never fails
	return hex.EncodeToString(raw[:])
}

// Resume counts another attempt of an unfinished run. ErrNotFound: it does not exist or is
// completed. Synced.
func (l *Lease) Resume(ctx context.Context, id string) (Run, error) {
	var r Run
	err := l.write(ctx, "resume run "+id, func(s *session) error {
		found, err := all(s, scanRun, `UPDATE runs
			SET attempt = attempt + 1, status = ?, finished = 0, error = ''
			WHERE id = ? AND workflow = ? AND status <> ? RETURNING `+runColumns,
			Running, id, l.workflow, Completed)
		if err == nil && len(found) == 0 {
			err = ErrNotFound
		}
		if err != nil {
			return err
		}
		r = found[0]
		return nil
	})
	return r, err
}

// Finish records how a run ended. Synced.
func (l *Lease) Finish(ctx context.Context, id string, status Status, result Result) error {
	var report any // NULL for none
	if result.Report != nil {
		report = []byte(result.Report)
	}
	return l.write(ctx, "finish run "+id, func(s *session) error {
		done, err := s.exec(`UPDATE runs SET status = ?, finished = ?, rows_in = ?,
			rows_out = ?, dead_letters = ?, error = ?, report = ? WHERE id = ? AND workflow = ?`,
			status, time.Now().UnixNano(), result.RowsIn, result.RowsOut, result.DeadLetters,
			result.Error, report, id, l.workflow)
		return oneRow(done, err)
	})
}

// oneRow turns a change of nothing into ErrNotFound.
func oneRow(done sql.Result, err error) error {
	if err != nil {
		return err
	}
	n, err := done.RowsAffected()
	if err == nil && n != 1 {
		err = ErrNotFound
	}
	return err
}

// Workflow returns the document run last under a name. ErrNotFound: it never ran.
func (c *Catalog) Workflow(ctx context.Context, name string) (Workflow, error) {
	w := Workflow{Name: name}
	var created int64
	err := c.read(ctx, func(s *session) error {
		return s.row(`SELECT document, fingerprint, created FROM workflows WHERE name = ?`,
			[]any{name}, &w.Document, &w.Fingerprint, &created)
	})
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return Workflow{}, fmt.Errorf("read workflow %s: %w", name, err)
	}
	w.Created = moment(created)
	return w, nil
}

// History returns at most limit runs, newest first; of all workflows when workflow is empty.
func (c *Catalog) History(ctx context.Context, workflow string, limit int) ([]Run, error) {
	if workflow == "" {
		return c.runs(ctx, `ORDER BY sequence DESC LIMIT ?`, limit)
	}
	return c.runs(ctx, `WHERE workflow = ? ORDER BY sequence DESC LIMIT ?`, workflow, limit)
}

// FindRun returns the run whose id begins with prefix. ErrNotFound: there is none; it is an error
// when there are several.
func (c *Catalog) FindRun(ctx context.Context, prefix string) (Run, error) {
	found, err := c.runs(ctx, `WHERE substr(id, 1, length(?1)) = ?1 ORDER BY sequence DESC LIMIT 2`,
		strings.ToLower(prefix))
	switch {
	case err != nil:
		return Run{}, err
	case len(found) == 0:
		return Run{}, fmt.Errorf("find run %q: %w", prefix, ErrNotFound)
	case len(found) > 1:
		return Run{}, fmt.Errorf("find run %q: several begin so, as %s of %s and %s of %s",
			prefix, found[0].ID, found[0].Workflow, found[1].ID, found[1].Workflow)
	}
	return found[0], nil
}

// runColumns are what scanRun reads.
const runColumns = `id, workflow, attempt, status, started, finished, rows_in, rows_out,
	dead_letters, error, report`

func (c *Catalog) runs(ctx context.Context, where string, arguments ...any) ([]Run, error) {
	var found []Run
	err := c.read(ctx, func(s *session) (err error) {
		found, err = all(s, scanRun, `SELECT `+runColumns+` FROM runs `+where, arguments...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read runs: %w", err)
	}
	return found, nil
}

// scanRun reads one row of runColumns.
func scanRun(row *sql.Rows) (Run, error) {
	var r Run
	var started, finished int64
	var report []byte
	err := row.Scan(&r.ID, &r.Workflow, &r.Attempt, &r.Status, &started, &finished,
		&r.RowsIn, &r.RowsOut, &r.DeadLetters, &r.Error, &report)
	r.Started, r.Finished, r.Report = moment(started), moment(finished), report
	return r, err
}
