package mysql

import (
	"context"
	"fmt"
	"hash/fnv"
	"testing"
	"time"

	"github.com/tapeline/tapeline/internal/sqlkit"
	"github.com/tapeline/tapeline/internal/sqlkit/sqltest"
	"github.com/tapeline/tapeline/internal/testenv"
)

// fixture is a database of one test's own.
type fixture struct {
	*sqltest.Database
	connection Connection
}

func newFixture(t testing.TB) *fixture { return newFixtureOf(t, 0) }

// newFixtureOf makes one of several databases of a test.
func newFixtureOf(t testing.TB, n int) *fixture {
	t.Helper()
	dsn := testenv.Server(t, "TAPELINE_TEST_MYSQL")
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(t.Name()))
	name := fmt.Sprintf("t_%x_%d", hash.Sum64(), n)
	admin, err := connect(t.Context(), Connection{ConnectionString: dsn})
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{"DROP DATABASE IF EXISTS ", "CREATE DATABASE "} {
		if _, err := admin.Exec(t.Context(), sql+name); err != nil {
			t.Fatal(err)
		}
	}
	c := Connection{ConnectionString: dsn, Schema: name}
	s, err := connect(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_, _ = admin.Exec(ctx, "DROP DATABASE "+name)
		_ = admin.Close()
	})
	d := &sqltest.Database{
		TB: t, Dialect: sqlkit.MySQL, Connector: Connector(),
		Config: func(part any) any { return config(c, part) },
	}
	return &fixture{d.On(s), c}
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

func TestExactSource(t *testing.T) { sqltest.ExactSource(t, open) }

func TestSink(t *testing.T) { sqltest.Sink(t, open) }

func BenchmarkSink(b *testing.B) { sqltest.BenchmarkSink(b, open) }

func BenchmarkSource(b *testing.B) { sqltest.BenchmarkSource(b, open) }
