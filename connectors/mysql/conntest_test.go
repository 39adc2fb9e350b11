package mysql

import (
	"fmt"
	"testing"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector/conntest"
	"github.com/tapeline/tapeline/internal/sqlkit"
)

func TestTableConforms(t *testing.T) {
	f := newFixture(t)
	f.exec("CREATE TABLE many (id BIGINT PRIMARY KEY, name TEXT, ratio DOUBLE, at DATETIME, " +
		"price DECIMAL(12,2))")
	f.exec("INSERT INTO many SELECT seq, CONCAT('name ', seq), seq / 8.0, '2024-01-02 03:04:05', " +
		"seq * 1.25 FROM seq_1_to_300")
	for _, column := range []string{"", "name"} {
		conntest.Source(t, conntest.SourceCase{
			Connector: Connector(), MaxPositions: 8,
			Config: func(testing.TB) any {
				return &sourceConfig{f.connection, sqlkit.SourceConfig{
					Table: "many", Incremental: sqlkit.Incremental{Column: column},
				}}
			},
			Blocking: func(testing.TB) any {
				return &sourceConfig{f.connection, sqlkit.SourceConfig{
					// The server hands rows over by 16 KiB.
					Query: "SELECT id, REPEAT('x', 20000), IF(id > 50, SLEEP(600), 0) FROM many ORDER BY id",
				}}
			},
		})
	}
}

func TestSinkConforms(t *testing.T) {
	f := newFixture(t)
	targets := 0
	target := func(t testing.TB, key ...string) conntest.Target {
		targets++
		c := f.connection
		c.Schema = fmt.Sprintf("%s_%d", f.connection.Schema, targets)
		f.exec("DROP DATABASE IF EXISTS " + c.Schema)
		f.exec("CREATE DATABASE " + c.Schema)
		t.Cleanup(func() { f.exec("DROP DATABASE " + c.Schema) })
		return conntest.Target{
			Config: &sinkConfig{c, sqlkit.SinkConfig{Table: "out", Key: key, Create: true}},
			ReadBack: func(t testing.TB) [][]any {
				return (&fixture{TB: t, connection: c, Session: f.Session}).readBack()
			},
		}
	}
	conntest.Sink(t, conntest.SinkCase{
		Connector: Connector(),
		Target:    func(t testing.TB) conntest.Target { return target(t) },
		Keyed:     func(t testing.TB) conntest.Target { return target(t, "id") },
		// Nested types become JSON and are read back as its text.
		Without: []batch.Kind{batch.List, batch.Struct, batch.Map},
	})
}

// readBack reads the table out by the connector's own source; none when it is missing.
func (f *fixture) readBack() [][]any {
	f.Helper()
	_, found, err := f.Int(f.Context(), "SELECT 1 FROM information_schema.tables "+
		"WHERE table_schema = ? AND table_name = 'out'", f.connection.Schema)
	if err != nil || !found {
		return nil
	}
	s := f.open(sourceConfig{SourceConfig: sqlkit.SourceConfig{Table: "out"}}, 1000, nil)
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
		f.Fatal(err)
	}
	return rows
}
