package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/tapeline/tapeline/internal/market"
)

// Journal returns the commits after a sequence, oldest first, at most limit of them (0: all). Those that
// nobody can read any more are forgotten in time, but for the first.
func (s *Store) Journal(ctx context.Context, after Seq, limit int) ([]Entry, error) {
	if limit == 0 {
		limit = -1
	}
	var out []Entry
	at := map[Seq]int{}
	err := s.snapshot(ctx, func(tx *sql.Tx) error {
		err := each(ctx, tx, func(rows *sql.Rows) error {
			var e Entry
			var made, epoch int64
			err := rows.Scan(&e.Seq, &made, &e.Run, &epoch)
			e.Time, e.Epoch = time.Unix(0, made).UTC(), uint64(epoch)
			at[e.Seq] = len(out)
			out = append(out, e)
			return err
		}, `SELECT seq, time, run, epoch FROM journal WHERE seq > ? ORDER BY seq LIMIT ?`, int64(after), limit)
		if err != nil || len(out) == 0 {
			return err
		}
		return each(ctx, tx, func(rows *sql.Rows) error {
			var seq Seq
			var c DatasetChange
			if err := rows.Scan(&seq, &c.Dataset, &c.New, &c.Changed, &c.Deleted); err != nil {
				return err
			}
			e := &out[at[seq]]
			e.Changed = append(e.Changed, c)
			return nil
		}, `SELECT seq, dataset, new, changed, deleted FROM change WHERE seq BETWEEN ? AND ?
			ORDER BY seq, dataset`, int64(out[0].Seq), int64(out[len(out)-1].Seq))
	})
	return out, err
}

// Report is what a run says of itself.
type Report struct {
	Run, Kind, Status string
	Started, Finished time.Time
	JSON              []byte
}

// SaveReport keeps the report of a run, replacing an earlier one of that run. Synced.
func (s *Store) SaveReport(ctx context.Context, r Report) error {
	return s.catalog.change(ctx, func(ctx context.Context, tx *sql.Conn) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO report (run, kind, status, started, finished, json)
			VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (run) DO UPDATE SET kind = excluded.kind,
			status = excluded.status, started = excluded.started, finished = excluded.finished,
			json = excluded.json`,
			r.Run, r.Kind, r.Status, nanos(r.Started), nanos(r.Finished), string(r.JSON))
		return err
	})
}

// Reports returns the newest reports of a kind ("" is any), newest first, at most limit (0: all).
func (s *Store) Reports(ctx context.Context, kind string, limit int) ([]Report, error) {
	if limit == 0 {
		limit = -1
	}
	var out []Report
	err := each(ctx, s.catalog.db, func(rows *sql.Rows) error {
		var r Report
		var started, finished int64
		var text string
		err := rows.Scan(&r.Run, &r.Kind, &r.Status, &started, &finished, &text)
		r.Started, r.Finished, r.JSON = moment(started), moment(finished), []byte(text)
		out = append(out, r)
		return err
	}, `SELECT run, kind, status, started, finished, json FROM report WHERE ? IN ('', kind)
		ORDER BY id DESC LIMIT ?`, kind, limit)
	return out, err
}

// Asked returns the different values of field asked in the reports of a kind, as JSON, that of the newest
// report first, and behind them those of reports that are gone.
func (s *Store) Asked(ctx context.Context, kind string) (values [][]byte, err error) {
	err = each(ctx, s.catalog.db, func(rows *sql.Rows) error {
		var text string
		err := rows.Scan(&text)
		values = append(values, []byte(text))
		return err
	}, `SELECT value FROM (SELECT 1 AS there, id, json -> 'asked' AS value FROM report WHERE kind = ?1
			UNION ALL SELECT 0, id, value FROM asked WHERE kind = ?1)
		WHERE value IS NOT NULL GROUP BY value ORDER BY max(there) DESC, max(id) DESC`, kind)
	return values, err
}

// Cursor is the progress of one reader of the journal: what is newer stays readable until it expires.
type Cursor struct {
	Name    string
	Seq     Seq
	Expires time.Time
}

// SetCursor registers a reader's progress. Synced.
func (s *Store) SetCursor(ctx context.Context, c Cursor) error {
	return s.catalog.change(ctx, func(ctx context.Context, tx *sql.Conn) error {
		var horizon int64
		if err := tx.QueryRowContext(ctx, `SELECT floor FROM meta`).Scan(&horizon); err != nil {
			return err
		}
		if c.Seq < Seq(horizon) {
			return fmt.Errorf("%w: cursor %s at commit %d, deletes are kept from commit %d on: start from a "+
				"snapshot", ErrHorizon, c.Name, c.Seq, horizon)
		}
		_, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO cursor (name, seq, expires) VALUES (?, ?, ?)`,
			c.Name, int64(c.Seq), nanos(c.Expires))
		return err
	})
}

// Cursors returns the cursors that have not expired.
func (s *Store) Cursors(ctx context.Context) ([]Cursor, error) {
	var out []Cursor
	err := each(ctx, s.catalog.db, func(rows *sql.Rows) error {
		var c Cursor
		var expires int64
		err := rows.Scan(&c.Name, &c.Seq, &expires)
		c.Expires = moment(expires)
		out = append(out, c)
		return err
	}, `SELECT name, seq, expires FROM cursor WHERE expires > ? ORDER BY name`, time.Now().UnixNano())
	return out, err
}

// DropCursor forgets a cursor. Synced.
func (s *Store) DropCursor(ctx context.Context, name string) error {
	return s.catalog.change(ctx, func(ctx context.Context, tx *sql.Conn) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM cursor WHERE name = ?`, name)
		return err
	})
}

// Take spends n requests of a provider's window (such as "2024-01-02"), and returns what is used then;
// false, spending nothing: more than limit would be used (0: no limit), or the provider is banned. Synced.
func (s *Store) Take(ctx context.Context, provider, window string, n, limit int64) (used int64, taken bool, err error) {
	err = s.catalog.change(ctx, func(ctx context.Context, tx *sql.Conn) (err error) {
		taken = false // the transaction may be repeated
		var until time.Time
		used, until, err = budget(ctx, tx, provider, window)
		if err != nil || until.After(time.Now()) || limit > 0 && used+n > limit {
			return err
		}
		used, taken = used+n, true
		_, err = tx.ExecContext(ctx, `INSERT OR REPLACE INTO budget (provider, window, used) VALUES (?, ?, ?)`,
			provider, window, used)
		return err
	})
	return used, taken && err == nil, err
}

// Ban closes a provider until the given time; the zero time opens it. Synced.
func (s *Store) Ban(ctx context.Context, provider string, until time.Time) error {
	return s.catalog.change(ctx, func(ctx context.Context, tx *sql.Conn) error {
		_, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO ban (provider, until) VALUES (?, ?)`,
			provider, nanos(until))
		return err
	})
}

// Budget returns what is used of a window, and until when the provider is banned (zero: it is not).
func (s *Store) Budget(ctx context.Context, provider, window string) (int64, time.Time, error) {
	used, until, err := budget(ctx, s.catalog.db, provider, window)
	return used, until, explain(err)
}

func budget(ctx context.Context, q querier, provider, window string) (int64, time.Time, error) {
	var used, until int64
	err := q.QueryRowContext(ctx, `SELECT coalesce((SELECT used FROM budget WHERE provider = ? AND window = ?), 0),
		coalesce((SELECT until FROM ban WHERE provider = ?), 0)`, provider, window, provider).Scan(&used, &until)
	return used, moment(until), err
}

// Alias lets a code name the instrument of symbol on the dates of an interval; rows are read back
// under symbol. A code that has rows of its own is refused. Committed.
func (w *Writer) Alias(ctx context.Context, symbol, code string, valid market.Interval) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.store
	if err := w.beginCode(ctx, code); err != nil {
		return err
	}
	id := s.symbols.find(symbol, 0)
	if id == 0 {
		return fmt.Errorf("alias %s: %w: %s", code, ErrUnknown, symbol)
	}
	if valid.Empty() {
		return fmt.Errorf("alias %s of %s: empty interval", code, symbol)
	}
	if s.symbols.taken(code, valid) {
		return fmt.Errorf("alias %s of %s: the code names an instrument on these dates already", code, symbol)
	}
	return w.endCode(ctx, func(t *transaction) {
		t.exec(`INSERT INTO alias (symbol, valid_from, valid_to, instrument) VALUES (?, ?, ?, ?)`,
			code, valid.From, valid.To, id)
	})
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
