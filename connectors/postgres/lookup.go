package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/sqlkit"
)

type lookupConfig struct {
	Connection `yaml:",inline"`
	Table      string   `yaml:"table" required:"true" doc:"table to look rows up in"`
	Key        []string `yaml:"key" doc:"its key columns, in the order of the keys; default: the keys' names"`
	Columns    []string `yaml:"columns" doc:"columns to return; none: all"`
	Numeric    string   `yaml:"numeric" doc:"type of numeric columns without precision"`
}

// lookup answers keys by one query with the keys as arrays.
type lookup struct {
	env     connector.Env
	config  *lookupConfig
	session *session
	plan    *plan
	types   map[string]string // declared type of each column
	name    sqlkit.Name
}

var _ connector.Lookup = (*lookup)(nil)

func newLookup(env connector.Env, config *lookupConfig) (connector.Lookup, error) {
	name, err := sqlkit.ParseName(config.Table)
	if err != nil {
		return nil, &connector.Error{Op: "read config", Class: connector.Permanent, Err: err}
	}
	return &lookup{env: env, config: config, name: name}, nil
}

// Open reads the table's columns.
func (l *lookup) Open(ctx context.Context) error {
	session, err := connect(ctx, l.config.Connection, l.env.Node)
	if err != nil {
		return err
	}
	l.session = session
	source := &sourceConfig{Numeric: l.config.Numeric, SourceConfig: sqlkit.SourceConfig{
		Table: l.config.Table, Columns: l.config.Columns,
	}}
	if l.plan, err = makePlan(ctx, session, source); err != nil {
		return err
	}
	columns, err := describeTarget(ctx, session, l.name)
	if err != nil {
		return err
	}
	l.types = map[string]string{}
	for _, column := range columns {
		l.types[column.name] = column.declared
	}
	return nil
}

// Lookup returns the first matching row of each key.
func (l *lookup) Lookup(
	ctx context.Context, keys *batch.Batch,
) (*batch.Batch, []int32, error) {
	op := "look up in table " + l.name.String()
	sql, err := l.query(keys)
	if err != nil {
		return nil, nil, &connector.Error{Op: op, Class: connector.Schema, Err: err}
	}
	values := make([][]byte, len(keys.Columns()))
	for i, c := range keys.Columns() {
		dense, _ := c.Typed(nil)
		values[i] = appendElements(nil, dense, 0, dense.Len())
	}
	if l.session.conn.IsClosed() {
		if err := l.Open(ctx); err != nil {
			return nil, nil, err
		}
	}
	result := l.session.conn.ExecParams(ctx, sql, values, nil, nil, []int16{1})
	found, row, err := l.collect(result, keys.Len())
	if _, closing := result.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return nil, nil, classify(op, err)
	}
	return found, row, nil
}

func (l *lookup) query(keys *batch.Batch) (string, error) {
	d := sqlkit.Postgres
	names := l.config.Key
	if len(names) == 0 {
		names = keys.Schema().Names()
	}
	if len(names) != keys.Schema().Len() {
		return "", fmt.Errorf("%d keys for the key columns %v", keys.Schema().Len(), names)
	}
	var arrays, aliases, matches, list []string
	for i, name := range names {
		declared, ok := l.types[name]
		if !ok {
			return "", fmt.Errorf("no key column %q", name)
		}
		alias := "k" + strconv.Itoa(i)
		arrays = append(arrays, fmt.Sprintf("$%d::%s[]", i+1, declared))
		aliases = append(aliases, alias)
		matches = append(matches, "t."+d.Quote(name)+" = k."+alias)
	}
	for _, column := range l.plan.columns {
		list = append(list, "t."+column.expression)
	}
	return fmt.Sprintf("SELECT k.place, %s FROM unnest(%s) WITH ORDINALITY AS k(%s, place) "+
		"JOIN %s AS t ON %s", strings.Join(list, ", "), strings.Join(arrays, ", "),
		strings.Join(aliases, ", "), d.QuoteName(l.name), strings.Join(matches, " AND ")), nil
}

// collect decodes the rows; values arrive as in binary COPY.
func (l *lookup) collect(result *pgconn.ResultReader, n int) (*batch.Batch, []int32, error) {
	answer := make([]int32, n)
	for i := range answer {
		answer[i] = -1
	}
	var rows [][][]byte
	for result.NextRow() {
		values := result.Values()
		place := int(readInt8(values[0])) - 1
		if place < 0 || place >= n || answer[place] >= 0 {
			continue
		}
		answer[place] = int32(len(rows))
		kept := make([][]byte, len(values)-1)
		for i, value := range values[1:] {
			if value != nil {
				kept[i] = append([]byte{}, value...)
			}
		}
		rows = append(rows, kept)
	}
	columns := make([]*batch.Column, len(l.plan.columns))
	for i := range columns {
		var builder columnBuilder
		builder.start(&l.plan.columns[i].codec, len(rows), 16*len(rows))
		for row, values := range rows {
			if values[i] == nil {
				builder.setNull(row)
				continue
			}
			if err := builder.value(row, values[i]); err != nil {
				return nil, nil, &connector.Error{
					Op: "read column " + l.plan.columns[i].name, Class: connector.Data, Err: err,
				}
			}
		}
		columns[i] = builder.column()
	}
	return batch.New(l.plan.schema, columns, len(rows)), answer, nil
}

func readInt8(field []byte) int64 {
	var v int64
	for _, ch := range field {
		v = v<<8 | int64(ch)
	}
	return v
}

// Close ends the connection.
func (l *lookup) Close() error {
	l.session.close()
	return nil
}
