package mysql

import (
	"context"
	"database/sql/driver"
	"fmt"
	"strconv"
	"strings"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/internal/sqlkit"
)

// describe returns a table's columns and its primary key, or another unique key without NULL.
func describe(ctx context.Context, s *sqlkit.Session, name sqlkit.Name) (sqlkit.Table, error) {
	var out sqlkit.Table
	op := "describe table " + name.String()
	found, err := collect(ctx, s, `SELECT column_name, column_type, is_nullable, extra,
		column_default IS NULL AND is_nullable = 'NO' AND extra NOT LIKE '%auto_increment%'
		FROM information_schema.columns
		WHERE table_schema = COALESCE(NULLIF(?, ''), DATABASE()) AND table_name = ?
		ORDER BY ordinal_position`, name.Schema, name.Table)
	if err != nil {
		return out, classify(op, err)
	}
	nullable, sorts := map[string]bool{}, map[string]string{}
	json := jsonColumns(ctx, s, name)
	for _, row := range found {
		column := sqlkit.Column{
			Name: row[0], Declared: row[1], NotNull: row[2] == "NO",
			Computed: strings.Contains(strings.ToUpper(row[3]), "GENERATED") &&
				!strings.Contains(strings.ToUpper(row[3]), "DEFAULT_GENERATED"),
			Required: row[4] == "1",
		}
		column.Type = typeOf(column.Declared)
		column.Digits, column.Coarse = digitsOf(column.Declared)
		if json[column.Name] {
			column.Type = batch.Of(batch.JSON)
		}
		nullable[column.Name], sorts[column.Name] = !column.NotNull, ordering(column)
		out.Columns = append(out.Columns, column)
	}
	// PRIMARY sorts before other names by the first expression.
	found, err = collect(ctx, s, `SELECT index_name, column_name FROM information_schema.statistics
		WHERE table_schema = COALESCE(NULLIF(?, ''), DATABASE()) AND table_name = ?
		AND non_unique = 0 ORDER BY index_name <> 'PRIMARY', index_name, seq_in_index`,
		name.Schema, name.Table)
	if err != nil {
		return out, classify(op, err)
	}
	out.Key = firstKey(found, nullable)
	for i, column := range out.Key {
		out.Key[i] = sorts[column]
	}
	return out, nil
}

// firstKey returns the columns of the first index whose columns are never NULL.
func firstKey(found [][]string, nullable map[string]bool) []string {
	var key []string
	index, usable := "", false
	for _, row := range found {
		if row[0] != index {
			if usable {
				break
			}
			index, usable, key = row[0], true, nil
		}
		if nullable[row[1]] || row[1] == "" {
			usable = false
		}
		key = append(key, row[1])
	}
	if !usable {
		return nil
	}
	return key
}

// jsonColumns finds MariaDB's JSON columns, which are text with a check. MySQL has no such table
// column and answers with an error, which means none.
func jsonColumns(ctx context.Context, s *sqlkit.Session, name sqlkit.Name) map[string]bool {
	out := map[string]bool{}
	found, err := collect(ctx, s, `SELECT constraint_name, check_clause
		FROM information_schema.check_constraints
		WHERE constraint_schema = COALESCE(NULLIF(?, ''), DATABASE()) AND table_name = ?`,
		name.Schema, name.Table)
	if err != nil {
		return out
	}
	for _, row := range found {
		if row[1] == "json_valid(`"+row[0]+"`)" {
			out[row[0]] = true
		}
	}
	return out
}

func collect(ctx context.Context, s *sqlkit.Session, sql string, args ...any) ([][]string, error) {
	rows, err := s.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	all, err := sqlkit.Collect(rows)
	out := make([][]string, len(all))
	for i, row := range all {
		out[i] = make([]string, len(row))
		for k, v := range row {
			if v != nil {
				out[i][k] = fmt.Sprint(v)
			}
		}
	}
	return out, err
}

// describeQuery asks the server for the columns of a query without its rows.
func describeQuery(ctx context.Context, s *sqlkit.Session, query string) (sqlkit.Table, error) {
	var out sqlkit.Table
	rows, err := s.Query(ctx, "SELECT * FROM ("+strings.TrimRight(query, "; \n\t")+
		") AS query LIMIT 0")
	if err != nil {
		return out, classify("read the query's columns", err)
	}
	typed := rows.(driver.RowsColumnTypeDatabaseTypeName)
	sized := rows.(driver.RowsColumnTypePrecisionScale)
	for i, name := range rows.Columns() {
		declared := strings.ToLower(typed.ColumnTypeDatabaseTypeName(i))
		if unsigned, ok := strings.CutPrefix(declared, "unsigned "); ok {
			declared = unsigned + " unsigned"
		}
		if precision, scale, ok := sized.ColumnTypePrecisionScale(i); ok && declared == "decimal" {
			declared = fmt.Sprintf("decimal(%d,%d)", precision, scale)
		}
		out.Columns = append(out.Columns, sqlkit.Column{
			Name: name, Declared: declared, Type: typeOf(declared),
		})
	}
	return out, classify("read the query's columns", rows.Close())
}

// typeOf reads a column type such as "decimal(10,2) unsigned".
func typeOf(declared string) batch.Type {
	base, rest, _ := strings.Cut(strings.ToLower(declared), "(")
	arguments, _, _ := strings.Cut(rest, ")")
	word, _, _ := strings.Cut(strings.TrimSpace(base), " ")
	unsigned := strings.Contains(declared, "unsigned")
	integer := func(signed, other batch.Kind) batch.Type {
		if unsigned {
			return batch.Of(other)
		}
		return batch.Of(signed)
	}
	switch word {
	case "tinyint":
		if arguments == "1" {
			return batch.Of(batch.Bool)
		}
		return integer(batch.Int8, batch.Uint8)
	case "year":
		return batch.Of(batch.Int16)
	case "smallint":
		return integer(batch.Int16, batch.Uint16)
	case "mediumint", "int", "integer":
		return integer(batch.Int32, batch.Uint32)
	case "bigint":
		return integer(batch.Int64, batch.Uint64)
	case "bit":
		return batch.Of(batch.Uint64)
	case "decimal", "numeric":
		return decimalOf(arguments)
	case "float":
		return batch.Of(batch.Float32)
	case "double", "real":
		return batch.Of(batch.Float64)
	case "date":
		return batch.Of(batch.Date)
	case "time":
		return batch.Of(batch.Time)
	case "datetime":
		return batch.Of(batch.Timestamp)
	case "timestamp":
		return batch.TimestampOf(batch.Microsecond, "UTC")
	case "json":
		return batch.Of(batch.JSON)
	case "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob":
		return batch.Of(batch.Binary)
	}
	return batch.Of(batch.String)
}

// digitsOf returns how many digits of a second a column of times or instants keeps.
func digitsOf(declared string) (digits int, moments bool) {
	base, rest, _ := strings.Cut(strings.ToLower(declared), "(")
	arguments, _, _ := strings.Cut(rest, ")")
	switch strings.TrimSpace(base) {
	case "time", "datetime", "timestamp":
		digits, _ = strconv.Atoi(arguments) // without an argument: none
		return digits, true
	}
	return 0, false
}

func decimalOf(arguments string) batch.Type {
	first, second, _ := strings.Cut(arguments, ",")
	precision, _ := strconv.Atoi(first)
	scale, _ := strconv.Atoi(second)
	if precision < 1 || precision > 38 || scale > precision {
		return batch.Of(batch.String)
	}
	return batch.DecimalOf(precision, scale)
}

// ordering sorts by what comparisons see: an ENUM is sorted by its number and compared by its text, a
// FLOAT is printed with six digits.
func ordering(c sqlkit.Column) string {
	quoted := sqlkit.MySQL.Quote(c.Name)
	word, _, _ := strings.Cut(c.Declared, "(")
	switch word {
	case "enum", "set", "bit":
		return quoted + " + 0"
	case "float", "float unsigned":
		return "CAST(" + quoted + " AS DOUBLE)"
	}
	return quoted
}

// expression makes the server spell values exactly: FLOAT as text is rounded to six digits, BIT and
// geometry are bytes.
func expression(c sqlkit.Column) string {
	quoted := sqlkit.MySQL.Quote(c.Name)
	word, _, _ := strings.Cut(c.Declared, "(")
	switch word {
	case "float", "float unsigned":
		return "CAST(" + quoted + " AS DOUBLE)"
	case "bit":
		return quoted + " + 0"
	case "geometry", "point", "linestring", "polygon", "multipoint", "multilinestring",
		"multipolygon", "geometrycollection":
		return "ST_AsText(" + quoted + ")"
	}
	return quoted
}
