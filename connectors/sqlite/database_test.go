package sqlite

import (
	"path/filepath"
	"testing"

	"github.com/tapeline/tapeline/internal/sqlkit"
	"github.com/tapeline/tapeline/internal/sqlkit/sqltest"
)

// fixture is a database file of one test's own.
type fixture struct {
	*sqltest.Database
	path string
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a b?c%.db")
	s, err := connect(t.Context(), path, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	d := &sqltest.Database{
		TB: t, Dialect: sqlkit.SQLite, Connector: Connector(),
		Config: func(part any) any { return config(Connection{path}, part) },
	}
	return &fixture{d.On(s), path}
}

// config completes a part of a config.
func config(c Connection, part any) any {
	switch part := part.(type) {
	case sqlkit.SourceConfig:
		return &sourceConfig{c, part}
	case sqlkit.SinkConfig:
		return &sinkConfig{c, part}
	}
	return &lookupConfig{c, part.(sqlkit.LookupConfig)}
}

func open(t testing.TB) *sqltest.Database { return newFixture(t).Database }

func TestSource(t *testing.T) { sqltest.Source(t, open) }

func TestSink(t *testing.T) { sqltest.Sink(t, open) }

func BenchmarkSink(b *testing.B) { sqltest.BenchmarkSink(b, open) }

func BenchmarkSource(b *testing.B) { sqltest.BenchmarkSource(b, open) }
