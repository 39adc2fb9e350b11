package postgres

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/sqlkit"
)

// Names of the columns a stage table has beside the target's.
const (
	stageRow       = "tapeline_row"
	stageOperation = "tapeline_operation"
)

// target is one table as rows of one schema are written to it.
type target struct {
	name    sqlkit.Name
	schema  *batch.Schema
	columns []targetColumn
	binary  bool // every column has a binary form; else COPY goes by text
	keyed   bool
	stage   string // keyed: quoted name of the temporary table
}

// targetColumn is one column of the table that rows fill, in the rows' order.
type targetColumn struct {
	codec
	name     string
	declared string     // the server's spelling of the type
	want     batch.Type // what values are converted to before encoding
	binary   bool
}

// existing is a column as the catalog describes it.
type existing struct {
	name, declared string
	oid, element   uint32
	modifier       int32
	kind           byte // pg_type.typtype
	computed       bool
}

// describeTarget returns the table's columns; nil when there is no such table.
func describeTarget(ctx context.Context, s *session, name sqlkit.Name) ([]existing, error) {
	rows, err := s.rows(ctx, `SELECT a.attname, format_type(a.atttypid, a.atttypmod),
		CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END,
		CASE t.typtype WHEN 'd' THEN t.typtypmod ELSE a.atttypmod END,
		CASE t.typtype WHEN 'd' THEN b.typtype ELSE t.typtype END,
		COALESCE(CASE t.typtype WHEN 'd' THEN b.typelem ELSE t.typelem END, 0),
		a.attgenerated <> '' OR a.attidentity = 'a'
		FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
		LEFT JOIN pg_type b ON b.oid = t.typbasetype
		WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped
		ORDER BY a.attnum`, sqlkit.Postgres.QuoteName(name))
	if err != nil {
		return nil, classify("describe table "+name.String(), err)
	}
	out := make([]existing, len(rows))
	for i, row := range rows {
		oid, _ := strconv.ParseUint(string(row[2]), 10, 32)
		modifier, _ := strconv.ParseInt(string(row[3]), 10, 32)
		element, _ := strconv.ParseUint(string(row[5]), 10, 32)
		out[i] = existing{
			name: string(row[0]), declared: string(row[1]), oid: uint32(oid),
			modifier: int32(modifier), kind: row[4][0], element: uint32(element),
			computed: string(row[6]) == "t",
		}
	}
	return out, nil
}

// newTarget matches the rows' columns with the table's.
func newTarget(
	name sqlkit.Name, schema *batch.Schema, table []existing, keyed bool,
) (*target, error) {
	t := &target{name: name, schema: schema, binary: true, keyed: keyed}
	byName := make(map[string]existing, len(table))
	names := make([]string, len(table))
	for i, column := range table {
		byName[column.name] = column
		names[i] = column.name
	}
	for _, f := range schema.Fields() {
		column, ok := byName[f.Name]
		if !ok {
			return nil, fmt.Errorf("table %s has no column %q (it has %s); "+
				"add it, or leave the column out with a select operator",
				name, f.Name, strings.Join(names, ", "))
		}
		if column.computed {
			return nil, fmt.Errorf("column %q of table %s is computed by the server; "+
				"leave it out with a select operator", f.Name, name)
		}
		c, ok := matchColumn(f, column)
		if !ok {
			return nil, sqlkit.Conflict(name, f.Name, f.Type, column.declared)
		}
		t.binary = t.binary && c.binary
		t.columns = append(t.columns, c)
	}
	return t, nil
}

// matchColumn chooses how values of a field travel to an existing column.
func matchColumn(f batch.Field, column existing) (targetColumn, bool) {
	out := targetColumn{name: f.Name, declared: column.declared}
	c, binary := targetCodec(f.Type, column)
	out.codec, out.want, out.binary = c, c.typ, binary
	if !binary {
		// The server reads these types from text; only text and like types may try.
		out.want = f.Type
		switch f.Type.Kind {
		case batch.String, batch.JSON, batch.Null:
			return out, true
		case batch.Duration:
			return out, column.oid == oidInterval
		case batch.List:
			return out, column.element != 0
		}
		return out, f.Type.Numeric() && column.oid == oidNumeric
	}
	return out, sqlkit.Assignable(f.Type, out.want)
}

// targetCodec returns the binary form of an existing column for values of a type.
func targetCodec(have batch.Type, column existing) (codec, bool) {
	switch {
	case column.kind == 'e':
		return codec{form: formText, typ: batch.Of(batch.String), oid: column.oid},
			have.Kind == batch.String
	case column.oid == oidInterval && have.Kind == batch.Duration:
		return codec{form: formInterval, typ: batch.Of(batch.Duration), oid: column.oid}, true
	case column.oid == oidNumeric && column.modifier < 4:
		switch {
		case have.Kind == batch.Decimal:
			return codec{form: formNumeric, typ: have, oid: column.oid}, true
		case have.Integer() || have.Kind == batch.Null:
			return codec{form: formNumeric, typ: batch.DecimalOf(20, 0), oid: column.oid}, true
		}
		return codec{oid: column.oid}, false
	case column.oid == oidOID:
		return codec{form: formOID, typ: batch.Of(batch.Uint32), oid: column.oid}, true
	}
	if c, ok := codecOf(column.oid, column.modifier, batch.Type{}); ok {
		if column.modifier >= 0 && (c.form == formTime || c.form == formTimestamp) {
			c.coarse, c.digits, c.declared = true, int(column.modifier), column.declared
		}
		return c, true
	}
	if oid, ok := arrayElement(column.oid); ok && have.Kind == batch.List {
		element, ok := targetCodec(have.Fields[0].Type,
			existing{oid: oid, modifier: column.modifier, kind: 'b', declared: column.declared})
		return codec{
			form: formList, typ: batch.ListOf(element.typ), oid: column.oid, element: &element,
		}, ok
	}
	return codec{oid: column.oid}, false
}

// prepare returns the target of a table and schema, creating the table when it may.
func (s *sink) prepare(
	ctx context.Context, table string, schema *batch.Schema,
) (t *target, err error) {
	if t := s.known(table, schema); t != nil {
		return t, nil
	}
	name, err := sqlkit.Expand(s.config.Table, table)
	if err == nil {
		err = sqlkit.Postgres.CheckNames(name, schema)
	}
	if err == nil {
		err = s.config.CheckKey(schema)
	}
	op := "write table " + name.String()
	if err != nil {
		return nil, &connector.Error{Op: op, Class: connector.Schema, Err: err}
	}
	err = s.control(ctx, func(ctx context.Context, admin *session) error {
		// Another worker may have had the turn before, for the same table.
		if t = s.known(table, schema); t != nil {
			return nil
		}
		columns, err := s.ensure(ctx, admin, name, schema)
		if err != nil {
			return err
		}
		if t, err = newTarget(name, schema, columns, s.config.Keyed()); err != nil {
			return &connector.Error{Op: op, Class: connector.Schema, Err: err}
		}
		s.stages++
		t.stage = sqlkit.Postgres.QuoteName(sqlkit.Name{
			Schema: "pg_temp", Table: "tapeline_stage_" + strconv.Itoa(s.stages),
		})
		s.mu.Lock()
		defer s.mu.Unlock()
		s.targets[table] = append(s.targets[table], t)
		return nil
	})
	return t, err
}

// known returns the target prepared before, or nil.
func (s *sink) known(table string, schema *batch.Schema) *target {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.targets[table] {
		if t.schema.Equal(schema) {
			return t
		}
	}
	return nil
}

// ensure creates a missing table, evolves an existing one where Evolve announced the schema, and
// returns its columns.
func (s *sink) ensure(
	ctx context.Context, admin *session, name sqlkit.Name, schema *batch.Schema,
) ([]existing, error) {
	columns, err := describeTarget(ctx, admin, name)
	if err != nil {
		return nil, err
	}
	if len(columns) > 0 {
		if !slices.ContainsFunc(s.evolved, schema.Equal) {
			return columns, nil
		}
		if err := evolveTable(ctx, admin, name, schema); err != nil {
			return nil, err
		}
		s.forget(name)
		return describeTarget(ctx, admin, name)
	}
	ddl := sqlkit.Postgres.CreateTable(name, schema, s.config.Key)
	if !s.config.Create {
		return nil, &connector.Error{
			Op: "write table " + name.String(), Class: connector.Schema,
			Err: fmt.Errorf("the table does not exist and create is false"), Hint: ddl,
		}
	}
	if err := admin.create(ctx, ddl); err != nil {
		return nil, classify("create table "+name.String(), err)
	}
	s.env.Log.Info("table created", "table", name.String(), "ddl", ddl)
	return describeTarget(ctx, admin, name)
}

// create runs CREATE TABLE IF NOT EXISTS under a lock of its own: two sessions that create one
// table at once make the second fail on the catalog's unique index otherwise. The statements of one
// message are one transaction, which a refusal ends.
func (s *session) create(ctx context.Context, ddl string) error {
	const lock = 0x7461_7065 // "tape"
	return s.run(ctx, fmt.Sprintf("SELECT pg_advisory_xact_lock(%d); %s", lock, ddl))
}

// names returns the columns' names.
func (t *target) names() []string {
	out := make([]string, len(t.columns))
	for i, c := range t.columns {
		out[i] = c.name
	}
	return out
}

// statement returns what a write sends before the frames.
func (t *target) statement(key []string, deletes bool) string {
	d := sqlkit.Postgres
	format := "binary"
	if !t.binary {
		format = "text"
	}
	table, columns := d.QuoteName(t.name), d.QuoteList(t.names())
	if !t.keyed {
		return fmt.Sprintf("COPY %s (%s) FROM STDIN (FORMAT %s)", table, columns, format)
	}
	newest := fmt.Sprintf("(SELECT DISTINCT ON (%s) * FROM %s ORDER BY %s, %s DESC) AS s",
		d.QuoteList(key), t.stage, d.QuoteList(key), stageRow)
	parts := []string{
		fmt.Sprintf("CREATE TEMPORARY TABLE IF NOT EXISTS %s ON COMMIT DELETE ROWS AS "+
			"SELECT %s, 0::int4 AS %s, 0::int2 AS %s FROM %s WITH NO DATA",
			t.stage, columns, stageRow, stageOperation, table),
		fmt.Sprintf("COPY %s FROM STDIN (FORMAT %s)", t.stage, format),
	}
	if deletes {
		matches := make([]string, len(key))
		for i, column := range key {
			matches[i] = "t." + d.Quote(column) + " = s." + d.Quote(column)
		}
		parts = append(parts, fmt.Sprintf("DELETE FROM %s AS t USING %s WHERE s.%s = %d AND %s",
			table, newest, stageOperation, batch.Delete, strings.Join(matches, " AND ")))
	}
	parts = append(parts,
		fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM %s WHERE s.%s <> %d%s", table, columns,
			columns, newest, stageOperation, batch.Delete, d.OnConflict(t.names(), key)),
		"TRUNCATE "+t.stage)
	return strings.Join(parts, "; ")
}
