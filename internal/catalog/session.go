package catalog

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
)

// session is the one connection, with the statements it has parsed. Only who has the turn uses it.
// It takes no context: what runs within a group is not cut short by one caller's end.
type session struct {
	db       *sql.DB
	conn     *sql.Conn
	prepared map[string]*sql.Stmt // by their text
}

// openSession opens the database, making it when missing.
func openSession(name string) (*session, error) {
	query := url.Values{
		"_pragma": {
			"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(ON)",
		},
	}
	address := url.URL{Scheme: "file", Path: name, RawQuery: query.Encode()}
	db, err := sql.Open("sqlite", address.String())
	if err != nil {
		return nil, err
	}
	conn, err := db.Conn(context.Background())
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &session{db: db, conn: conn, prepared: map[string]*sql.Stmt{}}, nil
}

// prepare returns the statement, parsed at most once.
func (s *session) prepare(text string) (*sql.Stmt, error) {
	if found := s.prepared[text]; found != nil {
		return found, nil
	}
	made, err := s.conn.PrepareContext(context.Background(), text)
	if err == nil {
		s.prepared[text] = made
	}
	return made, err
}

func (s *session) exec(text string, arguments ...any) (sql.Result, error) {
	statement, err := s.prepare(text) //nolint:sqlclosecheck // close does, at the end
	if err != nil {
		return nil, err
	}
	return statement.ExecContext(context.Background(), arguments...)
}

// row scans the first row of a query; sql.ErrNoRows when there is none.
func (s *session) row(text string, arguments []any, targets ...any) error {
	statement, err := s.prepare(text) //nolint:sqlclosecheck // close does, at the end
	if err != nil {
		return err
	}
	return statement.QueryRowContext(context.Background(), arguments...).Scan(targets...)
}

// all returns what scan makes of each row of a query.
func all[T any](
	s *session, scan func(rows *sql.Rows) (T, error), text string, arguments ...any,
) (found []T, err error) {
	statement, err := s.prepare(text) //nolint:sqlclosecheck // close does, at the end
	if err != nil {
		return nil, err
	}
	rows, err := statement.QueryContext(context.Background(), arguments...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, err
		}
		found = append(found, one)
	}
	return found, rows.Err()
}

// script runs statements that are needed once.
func (s *session) script(text string) error {
	_, err := s.conn.ExecContext(context.Background(), text)
	return err
}

// transaction runs f in one transaction, all of it or nothing. It takes the lock when it begins: a
// lock taken later could fail at once, as its snapshot may be outdated. Synced when it returns nil.
func (s *session) transaction(f func(s *session) error) error {
	if _, err := s.exec(`BEGIN IMMEDIATE`); err != nil {
		return err
	}
	err := f(s)
	if err == nil {
		_, err = s.exec(`COMMIT`)
	}
	if err != nil {
		// It fails where the database has rolled back by itself, as when the disk is full.
		_, _ = s.exec(`ROLLBACK`)
	}
	return err
}

// close frees the statements, without which SQLite would keep the file open, and the connection.
func (s *session) close() error {
	var errs []error
	for _, statement := range s.prepared {
		errs = append(errs, statement.Close())
	}
	return errors.Join(append(errs, s.conn.Close(), s.db.Close())...)
}
