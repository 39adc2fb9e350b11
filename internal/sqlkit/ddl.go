package sqlkit

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tapeline/tapeline/batch"
)

// CreateTable returns CREATE TABLE IF NOT EXISTS for the schema; key columns become the primary
// key.
func (d Dialect) CreateTable(name Name, schema *batch.Schema, key []string) string {
	lines := make([]string, 0, schema.Len()+1)
	for _, f := range schema.Fields() {
		lines = append(lines, "  "+d.columnDefinition(f, contains(key, f.Name)))
	}
	if len(key) > 0 {
		lines = append(lines, "  PRIMARY KEY ("+d.QuoteList(key)+")")
	}
	return "CREATE TABLE IF NOT EXISTS " + d.QuoteName(name) + " (\n" +
		strings.Join(lines, ",\n") + "\n)"
}

func (d Dialect) columnDefinition(f batch.Field, key bool) string {
	text := d.Quote(f.Name) + " " + d.ColumnType(f.Type, key)
	if !f.Nullable || key {
		text += " NOT NULL"
	}
	return text
}

// AddColumn returns ALTER TABLE ... ADD COLUMN. The column is nullable: rows there have no value.
func (d Dialect) AddColumn(name Name, f batch.Field) string {
	f.Nullable = true
	return "ALTER TABLE " + d.QuoteName(name) + " ADD COLUMN " + d.columnDefinition(f, false)
}

// CheckNames refuses what no table can have: no columns, one name twice, or a name that the server
// would cut. MySQL and SQLite compare names without case.
func (d Dialect) CheckNames(table Name, schema *batch.Schema) error {
	if schema.Len() == 0 {
		return fmt.Errorf("the rows have no columns")
	}
	if err := d.checkLength("table", table.Table); err != nil {
		return fmt.Errorf("%w: choose a shorter one", err)
	}
	seen := map[string]string{}
	for _, f := range schema.Fields() {
		folded := f.Name
		if d != Postgres {
			folded = strings.ToLower(folded)
		}
		if first, ok := seen[folded]; ok {
			return fmt.Errorf("columns %q and %q have one name; rename one with a select", first, f.Name)
		}
		if f.Name == "" {
			return fmt.Errorf("a column has no name; name it with a select")
		}
		if err := d.checkLength("column", f.Name); err != nil {
			return fmt.Errorf("%w: rename it with a select", err)
		}
		seen[folded] = f.Name
	}
	return nil
}

// checkLength: PostgreSQL cuts longer names without a word, so that two may become one.
func (d Dialect) checkLength(what, name string) error {
	n, most, unit := len(name), 63, "bytes"
	if d == MySQL {
		n, most, unit = utf8.RuneCountInString(name), 64, "characters"
	}
	if d == SQLite || n <= most {
		return nil
	}
	return fmt.Errorf("the name of %s %.20q... has %d %s, %s allows %d", what, name, n, unit, d, most)
}

// Missing returns the reason why rows cannot be written that lack columns which need a value, with
// the remedy.
func Missing(table Name, columns []string) error {
	return fmt.Errorf("column %s of table %s is NOT NULL without a default, and the rows do not have it; "+
		"add it with a compute operator, or give it a default",
		`"`+strings.Join(columns, `", "`)+`"`, table)
}

func contains(names []string, name string) bool {
	return slices.Contains(names, name)
}

// OnConflict returns the clause that makes an INSERT of the columns replace rows of equal key.
func (d Dialect) OnConflict(columns, key []string) string {
	var sets []string
	for _, column := range columns {
		if contains(key, column) {
			continue
		}
		quoted := d.Quote(column)
		if d == MySQL {
			sets = append(sets, quoted+" = VALUES("+quoted+")")
		} else {
			sets = append(sets, quoted+" = excluded."+quoted)
		}
	}
	switch {
	case d == MySQL && len(sets) == 0:
		first := d.Quote(key[0])
		return " ON DUPLICATE KEY UPDATE " + first + " = " + first
	case d == MySQL:
		return " ON DUPLICATE KEY UPDATE " + strings.Join(sets, ", ")
	case len(sets) == 0:
		return " ON CONFLICT (" + d.QuoteList(key) + ") DO NOTHING"
	}
	return " ON CONFLICT (" + d.QuoteList(key) + ") DO UPDATE SET " + strings.Join(sets, ", ")
}
