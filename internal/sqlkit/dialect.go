package sqlkit

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/tapeline/tapeline/batch"
)

// Dialect is a family of SQL.
type Dialect uint8

// The dialects. MySQL includes MariaDB.
const (
	Postgres Dialect = iota
	SQLite
	MySQL
)

// String returns the dialect's connector name.
func (d Dialect) String() string { return [...]string{"postgres", "sqlite", "mysql"}[d] }

// Quote returns an identifier in the dialect's quotes.
func (d Dialect) Quote(identifier string) string {
	quote := `"`
	if d == MySQL {
		quote = "`"
	}
	return quote + strings.ReplaceAll(identifier, quote, quote+quote) + quote
}

// QuoteName returns a qualified name in quotes.
func (d Dialect) QuoteName(name Name) string {
	if name.Schema == "" {
		return d.Quote(name.Table)
	}
	return d.Quote(name.Schema) + "." + d.Quote(name.Table)
}

// QuoteList returns quoted identifiers joined by commas.
func (d Dialect) QuoteList(identifiers []string) string {
	quoted := make([]string, len(identifiers))
	for i, identifier := range identifiers {
		quoted[i] = d.Quote(identifier)
	}
	return strings.Join(quoted, ", ")
}

// Literal returns text as a string literal.
func (d Dialect) Literal(text string) string {
	text = strings.ReplaceAll(text, "'", "''")
	if d == MySQL {
		text = strings.ReplaceAll(text, `\`, `\\`)
	}
	return "'" + text + "'"
}

// Placeholder returns the parameter mark of argument i, from 1.
func (d Dialect) Placeholder(i int) string {
	if d == Postgres {
		return "$" + strconv.Itoa(i)
	}
	return "?"
}

// ColumnType returns the type a created table gives a column; key columns of MySQL must be
// bounded.
func (d Dialect) ColumnType(t batch.Type, key bool) string {
	switch d {
	case SQLite:
		return sqliteType(t)
	case MySQL:
		return mysqlType(t, key)
	}
	return postgresType(t)
}

func postgresType(t batch.Type) string {
	switch t.Kind {
	case batch.Bool:
		return "boolean"
	case batch.Int8, batch.Int16, batch.Uint8:
		return "smallint"
	case batch.Int32, batch.Uint16:
		return "integer"
	case batch.Int64, batch.Uint32:
		return "bigint"
	case batch.Uint64:
		return "numeric(20,0)"
	case batch.Float32:
		return "real"
	case batch.Float64:
		return "double precision"
	case batch.Decimal:
		return fmt.Sprintf("numeric(%d,%d)", t.Precision, t.Scale)
	case batch.Binary:
		return "bytea"
	case batch.JSON, batch.Struct, batch.Map:
		return "jsonb"
	case batch.Date:
		return "date"
	case batch.Time:
		return "time"
	case batch.Timestamp:
		if t.Zone != "" {
			return "timestamptz"
		}
		return "timestamp"
	case batch.Duration:
		return "interval"
	case batch.List:
		if element := t.Fields[0].Type; !element.Nested() {
			return postgresType(element) + "[]"
		}
		return "jsonb"
	}
	return "text"
}

// sqliteType chooses declared types by their affinity: "DECIMAL TEXT" and "JSON TEXT" keep the
// text as it is, where DECIMAL and JSON would turn digits into binary floats.
func sqliteType(t batch.Type) string {
	const exactDigits = 15 // of a float64
	switch t.Kind {
	case batch.Bool:
		return "BOOLEAN"
	case batch.Int8, batch.Int16, batch.Int32, batch.Int64,
		batch.Uint8, batch.Uint16, batch.Uint32:
		return "INTEGER"
	case batch.Uint64:
		return "DECIMAL TEXT(20,0)"
	case batch.Float32, batch.Float64:
		return "REAL"
	case batch.Decimal:
		if t.Precision > exactDigits {
			return fmt.Sprintf("DECIMAL TEXT(%d,%d)", t.Precision, t.Scale)
		}
		return fmt.Sprintf("DECIMAL(%d,%d)", t.Precision, t.Scale)
	case batch.Binary:
		return "BLOB"
	case batch.JSON, batch.Struct, batch.Map, batch.List:
		return "JSON TEXT"
	case batch.Date:
		return "DATE"
	case batch.Time:
		return "TIME"
	case batch.Timestamp:
		if t.Zone != "" {
			return "TIMESTAMPTZ"
		}
		return "TIMESTAMP"
	case batch.Duration:
		return "INTEGER"
	}
	return "TEXT"
}

func mysqlType(t batch.Type, key bool) string {
	const maxScale = 30
	switch t.Kind {
	case batch.Bool:
		return "BOOLEAN"
	case batch.Int8:
		return "TINYINT"
	case batch.Int16:
		return "SMALLINT"
	case batch.Int32:
		return "INT"
	case batch.Int64, batch.Duration:
		return "BIGINT"
	case batch.Uint8:
		return "TINYINT UNSIGNED"
	case batch.Uint16:
		return "SMALLINT UNSIGNED"
	case batch.Uint32:
		return "INT UNSIGNED"
	case batch.Uint64:
		return "BIGINT UNSIGNED"
	case batch.Float32:
		return "FLOAT"
	case batch.Float64:
		return "DOUBLE"
	case batch.Decimal:
		if t.Scale <= maxScale {
			return fmt.Sprintf("DECIMAL(%d,%d)", t.Precision, t.Scale)
		}
	case batch.Binary:
		if key {
			return "VARBINARY(255)"
		}
		return "LONGBLOB"
	case batch.JSON, batch.Struct, batch.Map, batch.List:
		return "JSON"
	case batch.Date:
		return "DATE"
	case batch.Time:
		return "TIME(6)"
	case batch.Timestamp:
		return "DATETIME(6)"
	}
	if key {
		return "VARCHAR(255)"
	}
	return "LONGTEXT"
}
