package postgres

import (
	"testing"

	"github.com/tapeline/tapeline/internal/sqlkit"
	"github.com/tapeline/tapeline/internal/sqlkit/sqltest"
)

// open returns a fixture as the shared tests see it.
func open(t testing.TB) *sqltest.Database {
	t.Helper()
	f := newFixture(t)
	return &sqltest.Database{
		TB: t, Dialect: sqlkit.Postgres, Connector: Connector(),
		Config: func(part any) any {
			switch part := part.(type) {
			case sqlkit.SourceConfig:
				c := f.sourceConfig("")
				c.SourceConfig = part
				return c
			case sqlkit.SinkConfig:
				return &sinkConfig{f.connection, part}
			}
			l := part.(sqlkit.LookupConfig)
			return &lookupConfig{
				Connection: f.connection, Table: l.Table, Key: l.Key, Columns: l.Columns, Numeric: "string",
			}
		},
		Do: func(sql string) error { return f.run(t.Context(), sql) },
		Ask: func(sql string) ([][]any, error) {
			rows, err := f.rows(t.Context(), sql)
			out := make([][]any, len(rows))
			for i, row := range rows {
				out[i] = make([]any, len(row))
				for k, field := range row {
					if field != nil {
						out[i][k] = string(field)
					}
				}
			}
			return out, err
		},
	}
}

func TestSource(t *testing.T) { sqltest.Source(t, open) }

func TestExactSource(t *testing.T) { sqltest.ExactSource(t, open) }

func TestSink(t *testing.T) { sqltest.Sink(t, open) }
