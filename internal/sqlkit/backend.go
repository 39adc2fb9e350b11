package sqlkit

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"

	"github.com/tapeline/tapeline/batch"
)

// Backend is what the row-wise connectors (SQLite, MySQL) tell the common source and sink.
type Backend struct {
	Dialect Dialect
	// Connect opens a connection of the node's own.
	Connect func(ctx context.Context) (*Session, error)
	// Classify gives a driver's error its class; nil stays nil.
	Classify func(op string, err error) error
	// Describe returns a table's columns and key; no columns when there is no such table.
	Describe func(ctx context.Context, s *Session, name Name) (Table, error)
	// DescribeQuery returns the columns of a SELECT.
	DescribeQuery func(ctx context.Context, s *Session, query string) (Table, error)
	// Expression returns the select-list form of a column.
	Expression func(c Column) string
	// Ordering returns what orders a column as its values compare; nil: the column itself.
	Ordering func(c Column) string
	// Insert writes rows of dense columns; the statement ends before VALUES. suffix follows them.
	Insert func(ctx context.Context, s *Session, w Rows) error
	// NotNull reports whether a driver's error says that a column needs a value.
	NotNull func(err error) bool
	// Exclusive: one connection does everything, as a second writer would wait for the first.
	Exclusive bool
	// Contended reports whether another sink of this process writes to the same file; rows then
	// wait in temporary tables, and only Decide takes the writer's lock. nil: never.
	Contended func() bool
	// Open and Close count the sinks of Contended; nil where it is.
	Open, Close func()
	// Begin starts a write transaction.
	Begin string
	// Cancel stops what the session's server-side process does; nil when closing is enough.
	Cancel func(ctx context.Context, s *Session)
}

// Rows is one write of dense columns of equal length.
type Rows struct {
	Prefix  string // INSERT INTO t (c, ...)
	Suffix  string // ON CONFLICT ...
	Columns []*batch.Column
	Count   int
}

// Column is a column of a table or query as the database declares it.
type Column struct {
	Name     string
	Declared string
	Type     batch.Type // what its values become; String for unknown ones
	Coarse   bool       // it keeps Digits digits of a second; without, all six
	Digits   int
	NotNull  bool
	Computed bool
	Required bool // rows must give it a value: not null, and nothing else fills it
}

// Table is a table or query.
type Table struct {
	Columns []Column
	Key     []string // columns (or expressions like _rowid_) that are unique and never null
}

// Session is one driver connection with plain helpers over it.
type Session struct {
	Conn driver.Conn
	ID   int64 // the server's number of the connection; 0 where there is none
}

// Close ends the connection; a nil session has none.
func (s *Session) Close() error {
	if s == nil || s.Conn == nil {
		return nil
	}
	return s.Conn.Close()
}

// Alive reports whether the driver still trusts the connection.
func (s *Session) Alive() bool {
	if s == nil || s.Conn == nil {
		return false
	}
	validator, ok := s.Conn.(driver.Validator)
	return !ok || validator.IsValid()
}

// Exec implements Conn.
func (s *Session) Exec(ctx context.Context, sql string, args ...any) (int64, error) {
	execer, ok := s.Conn.(driver.ExecerContext)
	if !ok {
		return 0, fmt.Errorf("driver %T cannot execute", s.Conn)
	}
	result, err := execer.ExecContext(ctx, sql, named(args))
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// Int implements Conn.
func (s *Session) Int(ctx context.Context, sql string, args ...any) (int64, bool, error) {
	rows, err := s.Query(ctx, sql, args...)
	if err != nil {
		return 0, false, err
	}
	all, err := Collect(rows)
	if err != nil || len(all) == 0 || all[0][0] == nil {
		return 0, false, err
	}
	a := batch.NewAppender(batch.Of(batch.Int64))
	if err := a.Any(all[0][0]); err != nil {
		return 0, false, err
	}
	return a.Column().Int(0), true, nil
}

// Query runs a statement that returns rows. The caller closes them.
func (s *Session) Query(ctx context.Context, sql string, args ...any) (driver.Rows, error) {
	queryer, ok := s.Conn.(driver.QueryerContext)
	if !ok {
		return nil, fmt.Errorf("driver %T cannot query", s.Conn)
	}
	return queryer.QueryContext(ctx, sql, named(args))
}

func named(args []any) []driver.NamedValue {
	out := make([]driver.NamedValue, len(args))
	for i, arg := range args {
		out[i] = driver.NamedValue{Ordinal: i + 1, Value: arg}
	}
	return out
}

// Collect reads all rows of a small result and closes it; bytes become strings.
func Collect(rows driver.Rows) (_ [][]any, err error) {
	defer func() {
		if closing := rows.Close(); err == nil {
			err = closing
		}
	}()
	var out [][]any
	values := make([]driver.Value, len(rows.Columns()))
	for {
		switch err := rows.Next(values); {
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			return nil, err
		}
		row := make([]any, len(values))
		for i, v := range values {
			if text, ok := v.([]byte); ok {
				v = string(text)
			}
			row[i] = v
		}
		out = append(out, row)
	}
}

var _ Conn = (*Session)(nil)
