package sqlite

import (
	"path/filepath"
	"testing"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector/conntest"
	"github.com/tapeline/tapeline/internal/sqlkit"
)

func TestTableConforms(t *testing.T) {
	f := newFixture(t)
	f.exec("CREATE TABLE many (id INTEGER, name TEXT, ratio REAL, at DATETIME, price DECIMAL(12,2))")
	f.exec("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300) " +
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
		path := filepath.Join(t.TempDir(), "out.db")
		return conntest.Target{
			Config: &sinkConfig{
				Connection{path}, sqlkit.SinkConfig{Table: "out", Key: key, Create: true},
			},
			ReadBack: func(t testing.TB) [][]any { return readBack(t, path) },
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
func readBack(t testing.TB, path string) [][]any {
	t.Helper()
	f := &fixture{TB: t, path: path}
	session, err := connect(t.Context(), path, true)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = session.Close() }()
	_, found, err := session.Int(t.Context(), "SELECT 1 FROM sqlite_schema WHERE name = 'out'")
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
		t.Fatal(err)
	}
	return rows
}
