package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// keptReports is how many of the newest reports of a kind stay, whatever their age.
const keptReports = 200

// retention is one rule of what the catalog forgets: the rows of a table that a condition names.
type retention struct {
	table, which string
	args         []any
}

// retentions are the rules at a moment, in an order in which rows may go. What stays says
// docs/format/store.md.
// invariant: the catalog forgets nothing that a readable commit, a cursor or a reader under way needs
func retentions(now time.Time, horizon time.Duration) []retention {
	const (
		expired = `expires <= ?`
		// The first commit stays: its time tells one store from another.
		unread = `time < ? AND seq > 1 AND seq < (SELECT horizon FROM meta)
			AND seq < (SELECT coalesce(min(seq), 9223372036854775807) FROM cursor WHERE expires > ?)
			AND NOT EXISTS (SELECT 1 FROM lease WHERE expires > ?)`
		older = `finished < ? AND id NOT IN (
			SELECT id FROM report AS newer WHERE newer.kind = report.kind ORDER BY id DESC LIMIT ?)`
	)
	old, present := now.Add(-horizon).UnixNano(), now.UnixNano()
	return []retention{
		{"lease", expired, []any{present}},
		{"cursor", expired, []any{present}},
		{"change", `seq IN (SELECT seq FROM journal WHERE ` + unread + `)`, []any{old, present, present}},
		{"journal", unread, []any{old, present, present}},
		{"epoch", `seen < ?`, []any{old}},
		{"report", older, []any{old, keptReports}},
		// A window of a budget begins with its day.
		{
			"budget", `window GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*' AND window < ?`,
			[]any{now.Add(-horizon).UTC().Format(time.DateOnly)},
		},
	}
}

// forget deletes what the retentions name. Committed.
func (w *Writer) forget(ctx context.Context) error {
	rules := retentions(time.Now(), w.store.cfg.Horizon)
	some, err := w.forgettable(ctx, rules)
	if err != nil || !some {
		return err
	}
	err = w.store.catalog.change(ctx, func(ctx context.Context, tx *sql.Conn) error {
		t := &transaction{ctx: ctx, tx: tx}
		t.one(fmt.Errorf("%w: another process has taken the writer lock", ErrFenced),
			`UPDATE meta SET token = token WHERE token = ?`, w.token)
		for _, r := range rules {
			if r.table == "report" {
				t.exec(fmt.Sprintf(keepAsked, r.which), r.args...)
			}
			t.exec(fmt.Sprintf(`DELETE FROM %s WHERE %s`, r.table, r.which), r.args...)
		}
		return t.err
	})
	if err == nil {
		return nil
	}
	// A transaction whose end failed may be committed after all.
	if left, unknown := w.forgettable(ctx, rules); left || unknown != nil {
		return fmt.Errorf("forget what is past the horizon: %w", err)
	}
	return nil
}

// forgettable reports whether there are rows that the rules name.
func (w *Writer) forgettable(ctx context.Context, rules []retention) (some bool, err error) {
	for _, r := range rules {
		query := fmt.Sprintf(`SELECT EXISTS (SELECT 1 FROM %s WHERE %s)`, r.table, r.which)
		err := w.store.catalog.db.QueryRowContext(ctx, query, r.args...).Scan(&some)
		if err != nil {
			return false, fmt.Errorf("look for what the catalog may forget: %w", explain(err))
		}
		if some {
			break
		}
	}
	return some, nil
}

// keepAsked keeps what reports that go were asked, unless a newer one of their kind asked the same over no
// fewer days.
const keepAsked = `INSERT OR IGNORE INTO asked (kind, value) SELECT kind, json -> 'asked' FROM report
	WHERE %s AND json -> 'asked' IS NOT NULL AND NOT EXISTS (
		SELECT 1 FROM report AS later WHERE later.kind = report.kind AND later.id > report.id
			AND json_remove(later.json, '$.asked.from', '$.asked.to') -> 'asked' =
				json_remove(report.json, '$.asked.from', '$.asked.to') -> 'asked'
			AND later.json ->> '$.asked.from' <= report.json ->> '$.asked.from'
			AND later.json ->> '$.asked.to' >= report.json ->> '$.asked.to')
	ORDER BY id`
