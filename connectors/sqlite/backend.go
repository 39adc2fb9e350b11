package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	engine "modernc.org/sqlite"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/sqlkit"
)

func backend(path string, write bool) sqlkit.Backend {
	return sqlkit.Backend{
		Dialect: sqlkit.SQLite,
		Connect: func(ctx context.Context) (*sqlkit.Session, error) {
			return connect(ctx, path, write)
		},
		Classify: classify, Describe: describe, DescribeQuery: describeQuery,
		Expression: expression, Insert: insert, NotNull: notNull, Exclusive: true,
		Begin: "BEGIN IMMEDIATE",
	}
}

// connect opens the file; only a sink may create it.
func connect(ctx context.Context, path string, write bool) (*sqlkit.Session, error) {
	if path == "" {
		return nil, &connector.Error{
			Op: "open database", Class: connector.Permanent, Err: errors.New("path: missing"),
		}
	}
	mode := "rw"
	pragmas := []string{"busy_timeout = 10000"}
	if write {
		mode = "rwc"
		// With WAL, synchronous FULL flushes at each commit: an epoch is durable when committed.
		pragmas = append(pragmas, "journal_mode = WAL", "synchronous = FULL", "cache_size = -32768", "foreign_keys = OFF")
	} else {
		pragmas = append(pragmas, "query_only = ON")
	}
	escaped := (&url.URL{Path: path}).EscapedPath()
	conn, err := (&engine.Driver{}).Open("file:" + escaped + "?mode=" + mode)
	if err != nil {
		return nil, classify("open "+path, err)
	}
	session := &sqlkit.Session{Conn: conn}
	for _, pragma := range pragmas {
		if _, err := session.Exec(ctx, "PRAGMA "+pragma); err != nil {
			_ = session.Close()
			return nil, classify("open "+path, err)
		}
	}
	return session, nil
}

// classify gives an error of the library its class.
func classify(op string, err error) error {
	if err == nil {
		return nil
	}
	var done *connector.Error
	if errors.As(err, &done) || errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s: %w", op, err)
	}
	out := &connector.Error{Op: op, Class: connector.Permanent, Err: err}
	var native *engine.Error
	if !errors.As(err, &native) {
		return out
	}
	const (
		codeError, codeBusy, codeLocked, codeReadOnly, codeFull = 1, 5, 6, 8, 13
		codeCantOpen, codeTooBig, codeConstraint, codeMismatch  = 14, 18, 19, 20
		codeCorrupt, codeNotDatabase                            = 11, 26
	)
	switch native.Code() & 0xff {
	case codeBusy, codeLocked:
		out.Class, out.Hint = connector.Transient, "another connection writes to the file"
	case codeError:
		out.Class = connector.Schema
	case codeConstraint, codeMismatch, codeTooBig:
		out.Class = connector.Data
	case codeReadOnly:
		out.Class, out.Hint = connector.Auth, "the file or its folder is read-only"
	case codeCantOpen:
		out.Hint = "check the path and its permissions"
	case codeCorrupt, codeNotDatabase:
		out.Hint = "the file is damaged, or no SQLite database"
	case codeFull:
		out.Hint = "the disk is full: free space"
	}
	return out
}

func notNull(err error) bool {
	const constraintNotNull = 1299
	native, ok := errors.AsType[*engine.Error](err)
	return ok && native.Code() == constraintNotNull
}

// describe returns a table's columns; its key is the rowid or the primary key.
func describe(ctx context.Context, s *sqlkit.Session, name sqlkit.Name) (sqlkit.Table, error) {
	var out sqlkit.Table
	op := "describe table " + name.String()
	schema := name.Schema
	if schema == "" {
		schema = "main"
	}
	rows, err := s.Query(ctx, `SELECT name, type, "notnull", pk, hidden, dflt_value IS NULL
		FROM pragma_table_xinfo(?, ?)`, name.Table, schema)
	if err != nil {
		return out, classify(op, err)
	}
	columns, err := sqlkit.Collect(rows)
	if err != nil {
		return out, classify(op, err)
	}
	used := map[string]bool{}
	keys := map[int64]string{}
	for _, row := range columns {
		column := sqlkit.Column{
			Name: row[0].(string), Declared: row[1].(string), NotNull: row[2] == int64(1),
			Computed: row[4].(int64) > 1,
			Required: row[2] == int64(1) && row[3] == int64(0) && row[5] == int64(1),
		}
		column.Type = typeOf(column.Declared)
		used[strings.ToLower(column.Name)] = true
		if place := row[3].(int64); place > 0 {
			keys[place] = sqlkit.SQLite.Quote(column.Name)
		}
		out.Columns = append(out.Columns, column)
	}
	kind, without, err := tableKind(ctx, s, name.Table, schema)
	if err != nil || kind != "table" {
		return out, err
	}
	if without {
		for place := int64(1); place <= int64(len(keys)); place++ {
			out.Key = append(out.Key, keys[place])
		}
		return out, nil
	}
	for _, alias := range []string{"rowid", "_rowid_", "oid"} {
		if !used[alias] {
			out.Key = []string{alias}
			break
		}
	}
	return out, nil
}

func tableKind(
	ctx context.Context, s *sqlkit.Session, table, schema string,
) (kind string, withoutRowID bool, err error) {
	rows, err := s.Query(ctx, `SELECT type, wr FROM pragma_table_list WHERE schema = ?
		AND lower(name) = lower(?)`, schema, table)
	if err != nil {
		return "", false, classify("describe table "+table, err)
	}
	found, err := sqlkit.Collect(rows)
	if err != nil || len(found) == 0 {
		return "", false, classify("describe table "+table, err)
	}
	return found[0][0].(string), found[0][1] == int64(1), nil
}

// describeQuery takes declared types where the query passes columns through, and the first row's
// values where it computes.
func describeQuery(ctx context.Context, s *sqlkit.Session, query string) (sqlkit.Table, error) {
	var out sqlkit.Table
	query = strings.TrimRight(query, "; \n\t")
	rows, err := s.Query(ctx, "SELECT * FROM ("+query+") LIMIT 1")
	if err != nil {
		return out, classify("read the query's columns", err)
	}
	names := rows.Columns()
	values := make([]driver.Value, len(names))
	_ = rows.Next(values) // without a row the computed columns are text
	typed, _ := rows.(driver.RowsColumnTypeDatabaseTypeName)
	for i, name := range names {
		column := sqlkit.Column{Name: name}
		if typed != nil {
			column.Declared = typed.ColumnTypeDatabaseTypeName(i)
		}
		column.Type = typeOf(column.Declared)
		if column.Declared == "" {
			column.Type = typeOfValue(values[i])
		}
		out.Columns = append(out.Columns, column)
	}
	return out, classify("read the query's columns", rows.Close())
}

func typeOfValue(v driver.Value) batch.Type {
	switch v.(type) {
	case int64:
		return batch.Of(batch.Int64)
	case float64:
		return batch.Of(batch.Float64)
	case []byte:
		return batch.Of(batch.Binary)
	}
	return batch.Of(batch.String)
}

// typeOf reads a declared type.
func typeOf(declared string) batch.Type {
	upper := strings.ToUpper(declared)
	word, arguments, _ := strings.Cut(upper, "(")
	word = strings.TrimSpace(word)
	has := func(parts ...string) bool {
		for _, part := range parts {
			if strings.Contains(word, part) {
				return true
			}
		}
		return false
	}
	switch {
	case has("DECIMAL", "NUMERIC", "NUMBER"):
		return decimalOf(arguments)
	case has("JSON"):
		return batch.Of(batch.JSON)
	case has("BOOL"):
		return batch.Of(batch.Bool)
	case word == "DATE":
		return batch.Of(batch.Date)
	case word == "TIME":
		return batch.Of(batch.Time)
	case word == "TIMESTAMPTZ" || word == "TIMESTAMP WITH TIME ZONE":
		return batch.TimestampOf(batch.Microsecond, "UTC")
	case word == "DATETIME" || word == "TIMESTAMP":
		return batch.Of(batch.Timestamp)
	case has("CHAR", "CLOB", "TEXT"):
		return batch.Of(batch.String)
	case has("INT"):
		return batch.Of(batch.Int64)
	case has("BLOB", "BINARY"):
		return batch.Of(batch.Binary)
	case has("REAL", "FLOA", "DOUB"): //nolint:misspell // as SQLite has it
		return batch.Of(batch.Float64)
	}
	return batch.Of(batch.String)
}

func decimalOf(arguments string) batch.Type {
	first, second, _ := strings.Cut(strings.TrimSuffix(strings.TrimSpace(arguments), ")"), ",")
	precision, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil || precision < 1 || precision > 38 {
		return batch.Of(batch.Float64)
	}
	scale, err := strconv.Atoi(strings.TrimSpace(second))
	if err != nil || scale < 0 || scale > precision {
		scale = 0
	}
	return batch.DecimalOf(precision, scale)
}

// expression strips the declared type, by which the driver would make times of dates and true of 2.
func expression(c sqlkit.Column) string {
	quoted := sqlkit.SQLite.Quote(c.Name)
	switch c.Type.Kind {
	case batch.Date, batch.Timestamp, batch.Time, batch.Bool:
		return "+" + quoted
	}
	return quoted
}

// insert binds many rows a statement: the cost of a step counts more than that of a value.
func insert(ctx context.Context, s *sqlkit.Session, w sqlkit.Rows) error {
	const mostParameters, mostRows = 32766, 64
	width := len(w.Columns)
	each := max(1, min(mostRows, mostParameters/width))
	for from := 0; from < w.Count; {
		n := min(each, w.Count-from)
		statement, err := prepare(ctx, s, w, n)
		if err != nil {
			return err
		}
		args := make([]driver.NamedValue, n*width)
		for i := range args {
			args[i].Ordinal = i + 1
		}
		for ; from+n <= w.Count; from += n {
			for i := range n {
				for k, c := range w.Columns {
					args[i*width+k].Value = sqlkit.SQLite.Bind(c, from+i)
				}
			}
			if _, err = statement.(driver.StmtExecContext).ExecContext(ctx, args); err != nil {
				break
			}
		}
		if closing := statement.Close(); err == nil {
			err = closing
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func prepare(
	ctx context.Context, s *sqlkit.Session, w sqlkit.Rows, rows int,
) (driver.Stmt, error) {
	row := "(" + strings.TrimSuffix(strings.Repeat("?,", len(w.Columns)), ",") + ")"
	sql := w.Prefix + strings.TrimSuffix(strings.Repeat(row+",", rows), ",") + w.Suffix
	return s.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, sql)
}
