package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/sqlkit"
)

// Evolve adds the columns a table lacks and widens types that cannot hold the new values. It looks
// at the tables as they are, so repeating it changes nothing. A table that the sink does not know
// yet, as its name comes with its rows, follows when they come.
func (s *sink) Evolve(ctx context.Context, from, to *batch.Schema) error {
	names, err := s.evolving(from)
	if err != nil {
		return &connector.Error{Op: "evolve schema", Class: connector.Schema, Err: err}
	}
	return s.control(ctx, func(ctx context.Context, admin *session) error {
		for _, name := range names {
			if err := evolveTable(ctx, admin, name, to); err != nil {
				return err
			}
			s.forget(name)
		}
		s.evolved = append(s.evolved, to)
		return nil
	})
}

// forget drops the targets of a table whose columns changed.
func (s *sink) forget(name sqlkit.Name) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for table, known := range s.targets {
		s.targets[table] = slices.DeleteFunc(known, func(t *target) bool { return t.name == name })
	}
}

// evolving returns the tables that rows of the schema were written to.
func (s *sink) evolving(from *batch.Schema) ([]sqlkit.Name, error) {
	if !strings.Contains(s.config.Table, "{table}") {
		name, err := sqlkit.ParseName(s.config.Table)
		return []sqlkit.Name{name}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []sqlkit.Name
	for _, known := range s.targets {
		for _, t := range known {
			if t.schema.Equal(from) {
				names = append(names, t.name)
				break
			}
		}
	}
	return names, nil
}

func evolveTable(ctx context.Context, s *session, name sqlkit.Name, to *batch.Schema) error {
	columns, err := describeTarget(ctx, s, name)
	if err != nil || len(columns) == 0 {
		return err // a missing table is created by the next write
	}
	byName := make(map[string]existing, len(columns))
	for _, column := range columns {
		byName[column.name] = column
	}
	d := sqlkit.Postgres
	for _, f := range to.Fields() {
		column, ok := byName[f.Name]
		if !ok {
			if err := s.alter(ctx, d.AddColumn(name, f)); err != nil {
				return classify(fmt.Sprintf("add column %q to table %s", f.Name, name), err)
			}
			continue
		}
		wider, ok := widened(f.Type, column)
		if !ok {
			return &connector.Error{
				Op: "evolve table " + name.String(), Class: connector.Schema,
				Err: sqlkit.Conflict(name, f.Name, f.Type, column.declared),
			}
		}
		if wider == "" {
			continue
		}
		quoted := d.Quote(f.Name)
		sql := fmt.Sprintf("ALTER TABLE %s ALTER COLUMN %s TYPE %s USING %s::%s",
			d.QuoteName(name), quoted, wider, quoted, wider)
		if err := s.alter(ctx, sql); err != nil {
			return classify(fmt.Sprintf("widen column %q of table %s to %s", f.Name, name, wider), err)
		}
	}
	return nil
}

// alter runs ALTER TABLE, which would wait for ever for a transaction that this process holds open.
// The statements of one message are one transaction.
func (s *session) alter(ctx context.Context, ddl string) error {
	return s.run(ctx, "SET LOCAL lock_timeout = '30s'; "+ddl)
}

// widened returns the type an existing column must get for values of a type: "" when it holds them
// already; false when no widening keeps the old values.
func widened(have batch.Type, column existing) (string, bool) {
	c, binary := targetCodec(have, column)
	_, matches := matchColumn(batch.Field{Type: have}, column)
	if !binary {
		return "", matches
	}
	declared := sqlkit.Postgres.ColumnType(have, false)
	want := c.typ
	switch {
	case have.Equal(want) || want.Kind == batch.String || want.Kind == batch.JSON:
		return "", true
	case have.Integer() && want.Integer():
		if integerBits(have) <= integerBits(want) {
			return "", true
		}
		return declared, true
	case have.Kind == batch.Float64 && (want.Kind == batch.Float32 || want.Integer()):
		return declared, true
	case have.Kind == batch.Decimal && want.Integer():
		whole := max(int(have.Precision)-int(have.Scale), 19)
		return fmt.Sprintf("numeric(%d,%d)", whole+int(have.Scale), have.Scale), true
	case have.Kind == batch.Decimal && want.Kind == batch.Decimal:
		whole := max(have.Precision-have.Scale, want.Precision-want.Scale)
		scale := max(have.Scale, want.Scale)
		if whole+scale == want.Precision && scale == want.Scale {
			return "", true
		}
		return fmt.Sprintf("numeric(%d,%d)", whole+scale, scale), true
	case matches:
		return "", true
	}
	// Text holds any value.
	return "text", have.Kind == batch.String
}

// integerBits is the width of the smallest signed type that holds the values.
func integerBits(t batch.Type) int {
	bits := 8 * t.Width()
	if t.Kind >= batch.Uint8 {
		return bits + 1
	}
	return bits
}
