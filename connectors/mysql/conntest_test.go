package mysql

import (
	"testing"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector/conntest"
	"github.com/tapeline/tapeline/internal/sqlkit"
)

func TestTableConforms(t *testing.T) {
	f := newFixture(t)
	f.Exec("CREATE TABLE many (id BIGINT PRIMARY KEY, name TEXT, ratio DOUBLE, at DATETIME, " +
		"price DECIMAL(12,2))")
	f.Exec("INSERT INTO many SELECT seq, CONCAT('name ', seq), seq / 8.0, '2024-01-02 03:04:05', " +
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
	targets := 0
	target := func(t testing.TB, key ...string) conntest.Target {
		targets++
		f := newFixtureOf(t, targets)
		return conntest.Target{
			Config:   f.Config(sqlkit.SinkConfig{Table: "out", Key: key, Create: true}),
			ReadBack: func(testing.TB) [][]any { return f.ReadBack("out") },
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
