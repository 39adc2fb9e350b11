package postgres

import (
	"context"
	"fmt"
	"testing"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/connector/conntest"
)

// sourceCase reads a table of 300 rows of many types; incremental orders it by id.
func (f *fixture) sourceCase(incremental bool) conntest.SourceCase {
	f.exec("CREATE TABLE many AS SELECT n AS id, 'name ' || n AS name, n / 8.0::float8 AS ratio, " +
		"n % 2 = 0 AS even, now() + n * interval '1 hour' AS at, (n * 1.25)::numeric(12,2) AS price, " +
		"nullif(n % 5, 0) AS some, jsonb_build_object('n', n) AS doc FROM generate_series(1, 300) n; " +
		"ALTER TABLE many ADD PRIMARY KEY (id)")
	return conntest.SourceCase{
		Connector: Connector(), MaxPositions: 8,
		Config: func(testing.TB) any {
			config := f.sourceConfig("many")
			if incremental {
				config.Incremental.Column = "id"
			}
			return config
		},
		Blocking: func(testing.TB) any {
			config := f.sourceConfig("")
			config.Query = "SELECT n, pg_sleep(CASE WHEN n > 3 THEN 60 ELSE 0 END)::text " +
				"FROM generate_series(1, 10) n"
			return config
		},
	}
}

func TestTableConforms(t *testing.T) { conntest.Source(t, newFixture(t).sourceCase(false)) }

func TestIncrementalTableConforms(t *testing.T) {
	conntest.Source(t, newFixture(t).sourceCase(true))
}

func TestSinkConforms(t *testing.T) {
	c := newFixture(t).sinkCase()
	// Structs and maps become JSON, durations intervals, and are read back as such.
	c.Without = []batch.Kind{batch.Struct, batch.Map, batch.Duration}
	c.Refused = func(t testing.TB) (*batch.Batch, []int) {
		b := batch.NewBuilder(conntest.Schema(batch.Of(batch.String)))
		for i, text := range []string{"good", "zero\x00byte", "good", "not utf-8 \xff", "good"} {
			b.Column(0).Int(int64(i))
			b.Column(1).Text(text)
		}
		out, err := b.Batch()
		if err != nil {
			t.Fatal(err)
		}
		return out, []int{1, 3}
	}
	c.AllocationTypes = []batch.Type{
		batch.Of(batch.Int64), batch.Of(batch.Float64), batch.Of(batch.String), batch.Of(batch.Bool),
		batch.DecimalOf(12, 2), batch.TimestampOf(batch.Microsecond, "UTC"),
	}
	c.AllocationsPerRow = 0.05
	conntest.Sink(t, c)
}

func (f *fixture) sinkCase() conntest.SinkCase {
	targets := 0
	target := func(t testing.TB, key ...string) conntest.Target {
		targets++ // each has a schema of its own, and so its own epochs
		schema := fmt.Sprintf("%s_%d", f.connection.Schema, targets)
		f.exec("DROP SCHEMA IF EXISTS " + schema + " CASCADE; CREATE SCHEMA " + schema)
		t.Cleanup(func() { _ = f.run(context.Background(), "DROP SCHEMA "+schema+" CASCADE") })
		config := f.sinkConfig("out", key...)
		config.Schema = schema
		return conntest.Target{
			Config:   config,
			ReadBack: func(t testing.TB) [][]any { return f.readBack(t, schema) },
		}
	}
	return conntest.SinkCase{
		Connector: Connector(),
		Target:    func(t testing.TB) conntest.Target { return target(t) },
		Keyed:     func(t testing.TB) conntest.Target { return target(t, "id") },
	}
}

// readBack reads table out of a schema by the connector's own source; none when it is missing.
func (f *fixture) readBack(t testing.TB, schema string) [][]any {
	t.Helper()
	if f.texts("SELECT to_regclass('" + schema + ".out')")[0] == "~" {
		return nil
	}
	config := f.sourceConfig("out")
	config.Schema = schema
	s := f.open(config, 1000, connector.Position(nil))
	chunks, _ := f.readAll(s)
	var rows [][]any
	for _, chunk := range chunks {
		for row := range chunk.Batch.Rows() {
			var values []any
			for _, c := range chunk.Batch.Columns() {
				values = append(values, c.Value(row))
			}
			rows = append(rows, values)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return rows
}
