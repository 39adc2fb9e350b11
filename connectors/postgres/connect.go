package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/sqlkit"
)

// Connection is what every node of this connector needs to reach the server.
type Connection struct {
	ConnectionString string `yaml:"connection_string" required:"true" secret:"true" doc:"postgres:// URL or key=value text; the usual PG* variables fill what it leaves out" example:"postgres://user@host/db"`
	Schema           string `yaml:"schema" doc:"schema of unqualified tables; default: the server's search_path"`
}

// session is one connection with plain helpers over it.
type session struct {
	conn   *pgconn.PgConn
	secret string
}

// connect opens a connection with the settings COPY in order and exact text forms need.
func connect(ctx context.Context, c Connection, node string) (*session, error) {
	config, err := pgconn.ParseConfig(c.ConnectionString)
	if err != nil {
		// The parser's own text may quote the string, so only the place is named.
		return nil, &connector.Error{
			Op: "read connection_string", Class: connector.Permanent,
			Err:  errors.New("not a postgres:// URL or key=value text"),
			Hint: "example: postgres://user:password@host:5432/database, or host=h user=u password='with blanks'",
		}
	}
	settings := map[string]string{
		"application_name":                "tapeline " + node,
		"client_min_messages":             "error", // a notice per row would fill the socket
		"client_encoding":                 "UTF8",  // else the database's own
		"standard_conforming_strings":     "on",    // a backslash in a literal is one
		"datestyle":                       "ISO",
		"intervalstyle":                   "postgres",
		"extra_float_digits":              "1",
		"timezone":                        "UTC", // of times whose text has no offset
		"synchronize_seqscans":            "off", // positions rely on physical order
		"max_parallel_workers_per_gather": "0",
	}
	for key, value := range settings {
		if _, ok := config.RuntimeParams[key]; !ok || key != "application_name" {
			config.RuntimeParams[key] = value
		}
	}
	if c.Schema != "" {
		config.RuntimeParams["search_path"] = sqlkit.Postgres.Quote(c.Schema)
	}
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return nil, classify(fmt.Sprintf("connect to %s:%d", config.Host, config.Port),
			sqlkit.Redact(dialError(err), config.Password))
	}
	return &session{conn: conn, secret: config.Password}, nil
}

// dialErrors are the failures of all attempts to connect: one an address, with and without TLS.
type dialErrors struct {
	texts []string
	error
}

func (e *dialErrors) Error() string { return strings.Join(e.texts, "; ") }

func (e *dialErrors) Unwrap() error { return e.error }

// dialError says once what several attempts met; the operation names user and server already.
func dialError(err error) error {
	failed, ok := errors.AsType[*pgconn.ConnectError](err)
	if !ok {
		return err
	}
	out := &dialErrors{error: err}
	attempts := []error{failed.Unwrap()}
	if several, ok := attempts[0].(interface{ Unwrap() []error }); ok {
		attempts = several.Unwrap()
	}
	for _, attempt := range attempts {
		text := attempt.Error()
		if network, ok := errors.AsType[*net.OpError](attempt); ok && network.Op == "dial" {
			text = network.Error()
		} else if name, ok := errors.AsType[*net.DNSError](attempt); ok {
			text = name.Error()
		}
		if !slices.Contains(out.texts, text) {
			out.texts = append(out.texts, text)
		}
	}
	return out
}

func (s *session) close() {
	if s == nil || s.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_ = s.conn.Close(ctx)
}

// run executes statements without parameters.
func (s *session) run(ctx context.Context, sql string) error {
	_, err := s.conn.Exec(ctx, sql).ReadAll()
	return err
}

// rows returns a query's rows as text; nil is NULL.
func (s *session) rows(ctx context.Context, sql string, args ...any) ([][][]byte, error) {
	values := make([][]byte, len(args))
	for i, arg := range args {
		values[i] = []byte(fmt.Sprint(arg))
	}
	result := s.conn.ExecParams(ctx, sql, values, nil, nil, nil).Read()
	return result.Rows, result.Err
}

// Exec implements sqlkit.Conn.
func (s *session) Exec(ctx context.Context, sql string, args ...any) (int64, error) {
	values := make([][]byte, len(args))
	for i, arg := range args {
		values[i] = []byte(fmt.Sprint(arg))
	}
	result := s.conn.ExecParams(ctx, sql, values, nil, nil, nil).Read()
	return result.CommandTag.RowsAffected(), result.Err
}

// Int implements sqlkit.Conn.
func (s *session) Int(ctx context.Context, sql string, args ...any) (int64, bool, error) {
	rows, err := s.rows(ctx, sql, args...)
	if err != nil || len(rows) == 0 || rows[0][0] == nil {
		return 0, false, err
	}
	v, err := strconv.ParseInt(string(rows[0][0]), 10, 64)
	return v, err == nil, err
}

var _ sqlkit.Conn = (*session)(nil)

// classify gives an error of the server or the network its class; nil stays nil and an error that
// has a class keeps it.
func classify(op string, err error) error {
	if err == nil {
		return nil
	}
	var done *connector.Error
	if errors.As(err, &done) || errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s: %w", op, err)
	}
	out := &connector.Error{Op: op, Class: connector.Transient, Err: err}
	if server, ok := errors.AsType[*pgconn.PgError](err); ok {
		out.Class, out.Hint = classOf(server.Code)
		out.Err = serverError{server}
	} else {
		out.Hint = sqlkit.NetworkHint(err)
	}
	return out
}

// serverError prints the detail too: it names the key or the value.
type serverError struct{ *pgconn.PgError }

func (e serverError) Error() string {
	text := e.Message
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	if e.ColumnName != "" && !strings.Contains(text, e.ColumnName) {
		text += ", column " + e.ColumnName
	}
	if e.Where != "" {
		where, _, _ := strings.Cut(e.Where, "\n")
		text += ", at " + where
	}
	return text + " (SQLSTATE " + e.Code + ")"
}

func (e serverError) Unwrap() error { return e.PgError }

// classOf maps a SQLSTATE to a class and a remedy.
func classOf(code string) (connector.Class, string) {
	switch code {
	case "53100":
		return connector.Permanent, "the server's disk is full: free space there"
	case "42501":
		return connector.Auth, "grant the user the right"
	case "42P10":
		return connector.Schema, "create a unique index on exactly the key columns"
	case "3D000":
		return connector.Permanent, "create the database or correct connection_string"
	case "3F000":
		return connector.Schema, "create the schema"
	case "40001", "40P01", "55006", "25P03":
		return connector.Transient, ""
	case "55P03":
		return connector.Transient, "another transaction holds a lock: see lock_timeout"
	case "57014":
		return connector.Transient, "the server cancelled the statement: see statement_timeout"
	}
	switch code[:min(2, len(code))] {
	case "08", "57", "58":
		return connector.Transient, ""
	case "53":
		return connector.Transient, "the server is short of connections or memory"
	case "28":
		return connector.Auth, "check user, password and pg_hba.conf"
	case "42":
		return connector.Schema, ""
	case "22", "23", "44":
		return connector.Data, ""
	}
	return connector.Permanent, ""
}
