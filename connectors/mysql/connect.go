package mysql

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	engine "github.com/go-sql-driver/mysql"

	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/sqlkit"
)

func backend(c Connection) sqlkit.Backend {
	return sqlkit.Backend{
		Dialect:  sqlkit.MySQL,
		Connect:  func(ctx context.Context) (*sqlkit.Session, error) { return connect(ctx, c) },
		Classify: classify, Describe: describe, DescribeQuery: describeQuery,
		Expression: expression, Ordering: ordering, Insert: insert, NotNull: notNull,
		Begin:  "START TRANSACTION",
		Cancel: func(ctx context.Context, s *sqlkit.Session) { kill(ctx, c, s.ID) },
	}
}

// connect opens a connection in UTC and strict mode.
func connect(ctx context.Context, c Connection) (*sqlkit.Session, error) {
	config, err := parse(c.ConnectionString)
	if err != nil {
		// The parser's own text may quote the string, so only the place is named.
		return nil, &connector.Error{
			Op: "read connection_string", Class: connector.Permanent,
			Err:  errors.New("neither a mysql:// URL nor user:password@tcp(host:port)/database"),
			Hint: "example: mysql://user:password@host:3306/database",
		}
	}
	if c.Schema != "" {
		config.DBName = c.Schema
	}
	config.ClientFoundRows = true // an UPDATE that changes nothing still matched
	config.InterpolateParams = true
	config.ParseTime = false
	config.MultiStatements = false
	config.Logger = silent{}
	// Text is UTF-8, whatever the string says.
	if err := config.Apply(engine.Charset("utf8mb4", "")); err != nil {
		return nil, classify("connect to "+config.Addr, err)
	}
	if config.Params == nil {
		config.Params = map[string]string{}
	}
	config.Params["time_zone"] = "'+00:00'"
	config.Params["sql_mode"] = "'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'"
	dialer, err := engine.NewConnector(config)
	if err != nil {
		return nil, classify("connect to "+config.Addr, sqlkit.Redact(err, config.Passwd))
	}
	conn, err := dialer.Connect(ctx)
	if err != nil {
		return nil, classify("connect to "+config.Addr, sqlkit.Redact(err, config.Passwd))
	}
	session := &sqlkit.Session{Conn: conn}
	if session.ID, _, err = session.Int(ctx, "SELECT CONNECTION_ID()"); err != nil {
		_ = session.Close()
		return nil, classify("connect to "+config.Addr, err)
	}
	return session, nil
}

// kill ends a connection from another one, as far as that is possible.
func kill(ctx context.Context, c Connection, id int64) {
	session, err := connect(ctx, c)
	if err != nil {
		return
	}
	_, _ = session.Exec(ctx, fmt.Sprintf("KILL %d", id))
	_ = session.Close()
}

// silent drops the driver's own log: every failure is returned too.
type silent struct{}

func (silent) Print(...any) {}

// parse reads a URL or the driver's own form.
func parse(text string) (*engine.Config, error) {
	if !strings.HasPrefix(text, "mysql://") && !strings.HasPrefix(text, "mariadb://") {
		return engine.ParseDSN(text)
	}
	parsed, err := url.Parse(text)
	if err != nil {
		return nil, err
	}
	config, err := engine.ParseDSN("/?" + parsed.RawQuery)
	if err != nil {
		return nil, err
	}
	port := parsed.Port()
	if port == "" {
		port = "3306"
	}
	config.Net, config.Addr = "tcp", net.JoinHostPort(parsed.Hostname(), port)
	config.User = parsed.User.Username()
	config.Passwd, _ = parsed.User.Password()
	config.DBName = strings.TrimPrefix(parsed.Path, "/")
	return config, nil
}

// classify gives an error of the server or the network its class.
func classify(op string, err error) error {
	if err == nil {
		return nil
	}
	var done *connector.Error
	if errors.As(err, &done) || errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s: %w", op, err)
	}
	out := &connector.Error{Op: op, Class: connector.Transient, Err: err}
	var server *engine.MySQLError
	switch {
	case errors.As(err, &server):
		out.Class, out.Hint = classOf(server.Number)
	case errors.Is(err, engine.ErrPktTooLarge):
		out.Class, out.Hint = connector.Data, "raise max_allowed_packet on the server"
	default:
		out.Hint = sqlkit.NetworkHint(err)
	}
	return out
}

func notNull(err error) bool {
	const columnNeedsValue = 1364
	server, ok := errors.AsType[*engine.MySQLError](err)
	return ok && server.Number == columnNeedsValue
}

// classOf maps a server's error number to a class and a remedy.
func classOf(number uint16) (connector.Class, string) {
	switch number {
	case 1044, 1045, 1142, 1143, 1227, 1410, 1698:
		return connector.Auth, "check user, password and grants"
	case 1021, 1114:
		return connector.Permanent, "the server's disk is full: free space there"
	case 1049:
		return connector.Permanent, "create the database or correct connection_string"
	case 1054, 1064, 1072, 1075, 1091, 1136, 1146, 1170, 1364:
		return connector.Schema, ""
	case 1153:
		return connector.Data, "raise max_allowed_packet on the server"
	case 1040, 1203, 1226:
		return connector.Transient, "the server is short of connections"
	case 1205:
		return connector.Transient, "another transaction holds a lock: see innodb_lock_wait_timeout"
	case 1969, 3024:
		return connector.Transient, "the server cancelled the statement: see its statement time limit"
	case 1053, 1158, 1159, 1160, 1161, 1213, 1290, 1317, 1927:
		return connector.Transient, ""
	case 1048, 1062, 1216, 1217, 1264, 1265, 1292, 1300, 1366, 1367, 1406, 1411, 1416, 1451, 1452,
		1586, 1690, 3140, 3819, 4025:
		return connector.Data, ""
	}
	return connector.Permanent, ""
}
