package sqlite

import (
	"testing"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector/conntest"
	"github.com/tapeline/tapeline/internal/sqlkit"
)

func TestTableConforms(t *testing.T) {
	f := newFixture(t)
	f.Exec("CREATE TABLE many (id INTEGER, name TEXT, ratio REAL, at DATETIME, price DECIMAL(12,2))")
	f.Exec("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300) " +
		"INSERT INTO many SELECT i, 'name ' || i, i / 8.0, '2024-01-02 03:04:05', i * 1.25 FROM n")
	for _, column := range []string{"", "id"} {
		conntest.Source(t, conntest.SourceCase{
			Connector: Connector(), MaxPositions: 8,
			Config: func(testing.TB) any {
				return &sourceConfig{Connection{f.path}, sqlkit.SourceConfig{
					Table: "many", Incremental: sqlkit.Incremental{Column: column},
				}}
			},
		})
	}
}

func TestSinkConforms(t *testing.T) {
	target := func(t testing.TB, key ...string) conntest.Target {
		f := newFixture(t)
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
