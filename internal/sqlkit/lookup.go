package sqlkit

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
)

// LookupConfig is what every SQL lookup accepts.
type LookupConfig struct {
	Table   string   `yaml:"table" required:"true" doc:"table to look rows up in"`
	Key     []string `yaml:"key" doc:"its key columns, in the order of the keys; default: the keys' names"`
	Columns []string `yaml:"columns" doc:"columns to return; none: all"`
}

// Lookup answers keys by SELECT ... WHERE key IN (...).
type Lookup struct {
	source *Source
	config LookupConfig
}

var _ connector.Lookup = (*Lookup)(nil)

// NewLookup returns a lookup over the backend.
func NewLookup(env connector.Env, config LookupConfig, backend Backend) (*Lookup, error) {
	source, err := NewSource(env, SourceConfig{Table: config.Table, Columns: config.Columns}, backend)
	if err != nil {
		return nil, err
	}
	return &Lookup{source: source, config: config}, nil
}

// Open connects and reads the table's columns.
func (l *Lookup) Open(ctx context.Context) error { return l.source.plan(ctx) }

// Close ends the connection.
func (l *Lookup) Close() error { return l.source.Close() }

// keysPerQuery bounds one statement.
const keysPerQuery = 500

// Lookup returns the first matching row of each key. The values themselves are compared by the
// database; each key's place comes back as a constant of the row's VALUES list.
func (l *Lookup) Lookup(
	ctx context.Context, keys *batch.Batch,
) (*batch.Batch, []int32, error) {
	s := l.source
	op := "look up in table " + l.config.Table
	names := l.config.Key
	if len(names) == 0 {
		names = keys.Schema().Names()
	}
	if len(names) != keys.Schema().Len() {
		return nil, nil, &connector.Error{
			Op: op, Class: connector.Schema,
			Err: fmt.Errorf("%d keys for the key columns %v", keys.Schema().Len(), names),
		}
	}
	columns := make([]*batch.Column, len(names))
	for i := range names {
		columns[i], _ = keys.Column(i).Typed(nil)
	}
	answer := make([]int32, keys.Len())
	for i := range answer {
		answer[i] = -1
	}
	b := batch.NewBuilder(s.schema)
	if !s.session.Alive() {
		if err := s.plan(ctx); err != nil {
			return nil, nil, err
		}
	}
	for from := 0; from < keys.Len(); from += keysPerQuery {
		to := min(from+keysPerQuery, keys.Len())
		if err := l.ask(ctx, b, answer, lookupPart{names, columns, from, to}); err != nil {
			return nil, nil, s.backend.Classify(op, err)
		}
	}
	found, err := b.Batch()
	return found, answer, err
}

// lookupPart is a range of keys for one statement.
type lookupPart struct {
	names    []string
	columns  []*batch.Column
	from, to int
}

func (l *Lookup) ask(
	ctx context.Context, b *batch.Builder, answer []int32, part lookupPart,
) (err error) {
	s := l.source
	sql, args := l.query(part)
	rows, err := s.session.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	defer func() {
		if closing := rows.Close(); err == nil {
			err = closing
		}
	}()
	values := make([]driver.Value, len(rows.Columns()))
	for {
		switch err := rows.Next(values); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		place, err := strconv.Atoi(asText(values[0]))
		if err != nil || place < 0 || place >= len(answer) || answer[place] >= 0 {
			continue
		}
		answer[place] = int32(b.Len())
		s.values = values[1:]
		if bad, _ := s.appendRow(b, b.Len()); len(bad) > 0 {
			return &connector.Error{Op: "read column " + bad[0].Column, Class: connector.Data, Err: errors.New(bad[0].Reason)}
		}
	}
}

func asText(v driver.Value) string {
	if text, ok := v.([]byte); ok {
		return string(text)
	}
	return fmt.Sprint(v)
}

// query joins the table with its keys as a derived table.
func (l *Lookup) query(part lookupPart) (sql string, args []any) {
	s := l.source
	d := s.backend.Dialect
	var selects, list, matches []string
	for row := part.from; row < part.to; row++ {
		fields := []string{strconv.Itoa(row)}
		if row == part.from {
			fields[0] += " AS place"
		}
		for i, c := range part.columns {
			field := "?"
			if row == part.from {
				field += " AS k" + strconv.Itoa(i)
			}
			fields = append(fields, field)
			args = append(args, d.Bind(c, row))
		}
		selects = append(selects, "SELECT "+strings.Join(fields, ", "))
	}
	for i, name := range part.names {
		matches = append(matches, "t."+d.Quote(name)+" = k.k"+strconv.Itoa(i))
	}
	for _, c := range s.table.Columns {
		list = append(list, strings.ReplaceAll(s.backend.Expression(c),
			d.Quote(c.Name), "t."+d.Quote(c.Name)))
	}
	name, _ := ParseName(l.config.Table) // parsed by plan
	return "SELECT k.place, " + strings.Join(list, ", ") + " FROM (" +
		strings.Join(selects, " UNION ALL ") + ") AS k JOIN " + d.QuoteName(name) + " AS t ON " +
		strings.Join(matches, " AND "), slices.Clip(args)
}
