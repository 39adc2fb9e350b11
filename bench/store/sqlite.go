package main

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	_ "modernc.org/sqlite" // the driver

	"github.com/tapeline/tapeline/batch"
)

// columns of a bar in the other engines, behind the instrument's number and the date.
func columns() []string {
	return []string{
		"open", "high", "low", "close", "preclose", "volume", "amount", "turn", "trade_status", "is_st", "final",
	}
}

// sqlite is a table with the key as its order, and an index by date; integers for decimals.
type sqlite struct {
	path string
	db   *sql.DB
	bars *bars
}

func openSQLite(ctx context.Context, path string) (engine, error) {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(wal)&_pragma=synchronous(full)&_pragma=cache_size(-131072)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	_, err = db.ExecContext(ctx, "CREATE TABLE bar (id INTEGER, date INTEGER, "+
		strings.Join(columns(), " INTEGER, ")+" INTEGER, PRIMARY KEY (id, date)) WITHOUT ROWID")
	return &sqlite{path: path, db: db}, err
}

func (*sqlite) name() string { return "sqlite" }

func (s *sqlite) fill(ctx context.Context, b *bars, dates int) error {
	s.bars = b
	const step = 41
	for first := 0; first < b.symbols; first += step {
		rows, err := b.block(first, min(first+step, b.symbols), 0, dates)
		if err == nil {
			err = s.insert(ctx, rows)
		}
		if err != nil {
			return err
		}
	}
	_, err := s.db.ExecContext(ctx, "CREATE INDEX bar_date ON bar (date)")
	if err == nil {
		_, err = s.db.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
	}
	return err
}

// numberOf is the reverse of symbolOf.
func numberOf(symbol []byte) int64 {
	var n int64
	for _, digit := range symbol[:6] {
		n = n*10 + int64(digit-'0')
	}
	if n >= 600000 {
		return (n - 600000) * 2
	}
	return (n-1)*2 + 1
}

// insert writes a batch in one transaction. Committed.
func (s *sqlite) insert(ctx context.Context, rows *batch.Batch) (err error) {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, tx.Rollback())
		}
	}()
	q, err := tx.PrepareContext(ctx, "INSERT OR REPLACE INTO bar VALUES (?, ?"+strings.Repeat(", ?", len(columns()))+")")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	args := make([]any, 2+len(columns()))
	for row := range rows.Len() {
		args[0], args[1] = numberOf(rows.Column(rows.Schema().Index("symbol")).Bytes(row)),
			rows.Column(rows.Schema().Index("date")).Int(row)
		for i, name := range columns() {
			args[2+i] = cell(rows.Column(rows.Schema().Index(name)), row)
		}
		if _, err := q.ExecContext(ctx, args...); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// cell returns a value as an integer, decimals unscaled.
func cell(c *batch.Column, row int) any {
	switch {
	case c.IsNull(row):
		return nil
	case c.Type().Kind == batch.Bool:
		if c.Bits().Get(row) {
			return int64(1)
		}
		return int64(0)
	case c.Type().Kind == batch.Decimal:
		return int64(batch.Values[decimal128.Num](c)[row].LowBits())
	}
	return c.Int(row)
}

func (s *sqlite) grow(ctx context.Context, b *bars, from, to int) error {
	days, err := b.days(from, to)
	for _, rows := range days {
		if err == nil {
			err = s.insert(ctx, rows)
		}
	}
	return err
}

func (s *sqlite) bytes() (int64, error) {
	info, err := os.Stat(s.path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// query reads all rows of an answer into integers.
func (s *sqlite) query(ctx context.Context, query string, args ...any) (count int, first int64, err error) {
	rows, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	names, err := rows.Columns()
	if err != nil {
		return 0, 0, err
	}
	values, into := make([]sql.NullInt64, len(names)), make([]any, len(names))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return 0, 0, err
		}
		count, first = count+1, values[0].Int64
	}
	return count, first, rows.Err()
}

func (s *sqlite) point(ctx context.Context, symbol int) (int, error) {
	n, _, err := s.query(ctx, "SELECT * FROM bar WHERE id = ? ORDER BY date", symbol)
	return n, err
}

func (s *sqlite) latest(ctx context.Context, symbol int) (int, error) {
	n, _, err := s.query(ctx, "SELECT * FROM bar WHERE id = ? ORDER BY date DESC LIMIT 1", symbol)
	return n, err
}

func (s *sqlite) cross(ctx context.Context, date int) (int, error) {
	n, _, err := s.query(ctx, "SELECT id, open, close, volume FROM bar WHERE date = ?", int64(s.bars.dates[date]))
	return n, err
}

func (s *sqlite) scan(ctx context.Context, all bool) (int, error) {
	list := []string{"date", "close", "volume"}
	if all {
		list = append([]string{"id", "date"}, columns()...)
	}
	// total() does not overflow where sum() of integers would.
	_, n, err := s.query(ctx, "SELECT count(*), total("+strings.Join(list, ") > 0, total(")+") > 0 FROM bar")
	return int(n), err
}

func (s *sqlite) commit(ctx context.Context, rows *batch.Batch) (int, error) {
	return rows.Len(), s.insert(ctx, rows)
}

func (*sqlite) cpu() time.Duration { return ownCPU() }

func (s *sqlite) close() error { return s.db.Close() }
