package sqlkit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
)

// prepare returns the target of a table and schema, creating the table when it may.
func (s *Sink) prepare(
	ctx context.Context, table string, schema *batch.Schema,
) (*target, error) {
	known := s.targets[table]
	for _, t := range known {
		if t.schema.Equal(schema) {
			return t, nil
		}
	}
	name, err := Expand(s.config.Table, table)
	if err == nil {
		err = s.backend.Dialect.CheckNames(name, schema)
	}
	if err == nil {
		err = s.config.CheckKey(schema)
	}
	var found Table
	if err == nil {
		if found, err = s.ensure(ctx, name, schema); err != nil {
			return nil, err
		}
	}
	var t *target
	if err == nil {
		t, err = s.match(name, schema, found)
	}
	if err != nil {
		return nil, &connector.Error{
			Op: "write table " + name.String(), Class: connector.Schema, Err: err,
		}
	}
	s.targets[table] = append(known, t)
	return t, nil
}

// ensure creates a missing table, evolves an existing one where Evolve announced the schema, and
// returns its columns.
func (s *Sink) ensure(ctx context.Context, name Name, schema *batch.Schema) (Table, error) {
	if s.data == nil {
		if err := s.beginTransaction(ctx, "write table "+name.String()); err != nil {
			return Table{}, err
		}
	}
	session, err := s.control(ctx)
	if err != nil {
		return Table{}, err
	}
	found, err := s.backend.Describe(ctx, session, name)
	if err != nil {
		return found, err
	}
	if len(found.Columns) > 0 {
		if !slices.ContainsFunc(s.evolved, schema.Equal) {
			return found, nil
		}
		changed, err := s.extend(ctx, session, name, found, schema)
		if err != nil || !changed {
			return found, err
		}
		return s.backend.Describe(ctx, session, name)
	}
	ddl := s.backend.Dialect.CreateTable(name, schema, s.config.Key)
	if !s.config.Create {
		return found, &connector.Error{
			Op: "write table " + name.String(), Class: connector.Schema,
			Err: errors.New("the table does not exist and create is false"), Hint: ddl,
		}
	}
	if _, err := session.Exec(ctx, ddl); err != nil {
		return found, s.backend.Classify("create table "+name.String(), err)
	}
	s.env.Log.Info("table created", "table", name.String(), "ddl", ddl)
	return s.backend.Describe(ctx, session, name)
}

// match pairs the rows' columns with the table's.
func (s *Sink) match(name Name, schema *batch.Schema, found Table) (*target, error) {
	d := s.backend.Dialect
	t := &target{name: name, schema: schema}
	names := make([]string, len(found.Columns))
	byName := make(map[string]Column, len(found.Columns))
	for i, c := range found.Columns {
		names[i] = c.Name
		byName[strings.ToLower(c.Name)] = c
	}
	for _, f := range schema.Fields() {
		c, ok := byName[strings.ToLower(f.Name)]
		switch {
		case !ok:
			return nil, fmt.Errorf("table %s has no column %q (it has %s); "+
				"add it, or leave the column out with a select operator",
				name, f.Name, strings.Join(names, ", "))
		case c.Computed:
			return nil, fmt.Errorf("column %q of table %s is computed; "+
				"leave it out with a select operator", f.Name, name)
		}
		want, ok := accept(f.Type, c.Type)
		if !ok {
			return nil, Conflict(name, f.Name, f.Type, c.Declared)
		}
		t.want, t.found = append(t.want, want), append(t.found, c)
		t.loose = append(t.loose, d == SQLite && want.Text() && want.Kind != batch.Binary && numericAffinity(c.Declared))
	}
	for _, c := range found.Columns {
		given := func(name string) bool { return strings.EqualFold(name, c.Name) }
		if c.Required && !slices.ContainsFunc(schema.Names(), given) {
			t.lacks = append(t.lacks, c.Name)
		}
	}
	t.prefix = "INSERT INTO " + d.QuoteName(name) + " (" + d.QuoteList(schema.Names()) + ") VALUES "
	if s.config.Keyed() {
		t.suffix = d.OnConflict(schema.Names(), s.config.Key)
	}
	return t, nil
}

// numericAffinity reports whether SQLite makes numbers of what looks like one in a column declared so.
func numericAffinity(declared string) bool {
	upper := strings.ToUpper(declared)
	for _, part := range []string{"CHAR", "CLOB", "TEXT", "BLOB"} {
		if strings.Contains(upper, part) {
			return strings.Contains(upper, "INT")
		}
	}
	return declared != ""
}

// accept returns what values are converted to. Columns of these databases have no zone: an instant
// is written in UTC. A finer unit than microseconds is cut.
func accept(have, want batch.Type) (batch.Type, bool) {
	switch {
	case have.Kind == batch.Timestamp && want.Kind == batch.Timestamp:
		zone := ""
		if have.Zone != "" {
			zone = "UTC"
		}
		return batch.TimestampOf(batch.Microsecond, zone), true
	case have.Kind == batch.Duration && want.Integer():
		return batch.Of(batch.Duration), true
	case have.Kind == batch.Uint64 && want.Kind == batch.Decimal && want.Scale == 0:
		return want, true
	}
	return want, Assignable(have, want)
}

// Evolve adds the columns a table lacks. Types are not changed: SQLite needs none, and MySQL's
// change would rewrite the table under its readers. A table that the sink does not know yet, as its
// name comes with its rows, follows when they come.
func (s *Sink) Evolve(ctx context.Context, from, to *batch.Schema) error {
	session, err := s.control(ctx)
	if err != nil {
		return err
	}
	for _, name := range s.evolving(from) {
		found, err := s.backend.Describe(ctx, session, name)
		if err != nil {
			return err
		}
		if len(found.Columns) == 0 {
			continue // the next write creates it
		}
		if _, err := s.extend(ctx, session, name, found, to); err != nil {
			return err
		}
	}
	s.evolved = append(s.evolved, to)
	return nil
}

// extend adds the columns of the schema that a table lacks; changed when there were any.
func (s *Sink) extend(
	ctx context.Context, session *Session, name Name, found Table, to *batch.Schema,
) (changed bool, err error) {
	byName := make(map[string]Column, len(found.Columns))
	for _, c := range found.Columns {
		byName[strings.ToLower(c.Name)] = c
	}
	for _, f := range to.Fields() {
		c, ok := byName[strings.ToLower(f.Name)]
		if ok {
			if _, fits := accept(f.Type, c.Type); !fits {
				return changed, &connector.Error{
					Op: "evolve table " + name.String(), Class: connector.Schema,
					Err: Conflict(name, f.Name, f.Type, c.Declared),
				}
			}
			continue
		}
		if _, err := session.Exec(ctx, s.backend.Dialect.AddColumn(name, f)); err != nil {
			return changed, s.backend.Classify(
				fmt.Sprintf("add column %q to table %s", f.Name, name), err)
		}
		changed = true
	}
	return changed, nil
}

// evolving returns the tables that rows of the schema were written to.
func (s *Sink) evolving(from *batch.Schema) []Name {
	if !strings.Contains(s.config.Table, "{table}") {
		if name, err := ParseName(s.config.Table); err == nil {
			return []Name{name}
		}
	}
	var names []Name
	for _, known := range s.targets {
		for _, t := range known {
			if t.schema.Equal(from) {
				names = append(names, t.name)
				break
			}
		}
	}
	return names
}

// Bind returns a dense column's row as a driver value: integers, floats, bytes or text. SQLite marks
// instants, MySQL would not find them so.
func (d Dialect) Bind(c *batch.Column, row int) any {
	if c.IsNull(row) {
		return nil
	}
	switch c.Type().Kind {
	case batch.Bool:
		if c.Bits().Get(row) {
			return int64(1)
		}
		return int64(0)
	case batch.Int8, batch.Int16, batch.Int32, batch.Int64, batch.Duration:
		return c.Int(row)
	case batch.Uint8, batch.Uint16, batch.Uint32:
		return int64(c.Uint(row))
	case batch.Float32, batch.Float64:
		return c.Float(row)
	case batch.Binary:
		return c.Bytes(row)
	case batch.String, batch.JSON:
		return string(c.Bytes(row))
	case batch.Timestamp:
		suffix := ""
		if d == SQLite {
			suffix = "Z"
		}
		return string(AppendMoment(nil, c, row, suffix))
	}
	return string(batch.AppendText(nil, c, row))
}
