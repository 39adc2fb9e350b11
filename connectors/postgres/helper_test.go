package postgres

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/tapeline/tapeline/batch"
	"github.com/tapeline/tapeline/connector"
	"github.com/tapeline/tapeline/internal/sqlkit"
	"github.com/tapeline/tapeline/internal/sqlkit/sqltest"
	"github.com/tapeline/tapeline/internal/testenv"
)

// fixture is a schema of one test's own.
type fixture struct {
	testing.TB
	connection Connection
	*session
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	dsn := testenv.Server(t, "TAPELINE_TEST_POSTGRES")
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(t.Name()))
	schema := fmt.Sprintf("t_%x", hash.Sum64())
	c := Connection{ConnectionString: dsn, Schema: schema}
	s, err := connect(t.Context(), c, "test")
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{TB: t, connection: c, session: s}
	f.exec("SET lock_timeout = '5s'; DROP SCHEMA IF EXISTS " + schema + " CASCADE; CREATE SCHEMA " + schema)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = s.run(ctx, "DROP SCHEMA IF EXISTS "+schema+" CASCADE")
		s.close()
	})
	return f
}

func (f *fixture) exec(sql string) {
	f.Helper()
	if err := f.run(f.Context(), sql); err != nil {
		f.Fatalf("%s: %v", sql, err)
	}
}

// texts returns a query's rows, fields joined by |, NULL as ~.
func (f *fixture) texts(sql string) []string {
	f.Helper()
	rows, err := f.rows(f.Context(), sql)
	if err != nil {
		f.Fatalf("%s: %v", sql, err)
	}
	out := make([]string, len(rows))
	for i, row := range rows {
		fields := make([]string, len(row))
		for k, field := range row {
			fields[k] = string(field)
			if field == nil {
				fields[k] = "~"
			}
		}
		out[i] = strings.Join(fields, "|")
	}
	return out
}

func (f *fixture) sourceConfig(table string) *sourceConfig {
	return &sourceConfig{
		Connection: f.connection, Numeric: "decimal(38,10)", NonFinite: "reject", Pushdown: true,
		SourceConfig: sqlkit.SourceConfig{Table: table},
	}
}

func (f *fixture) sinkConfig(table string, key ...string) *sinkConfig {
	return &sinkConfig{
		Connection: f.connection,
		SinkConfig: sqlkit.SinkConfig{Table: table, Key: key, Create: true},
	}
}

// open returns an opened source.
func (f *fixture) open(config *sourceConfig, rows int, at connector.Position) *source {
	f.Helper()
	made, err := newSource(sqltest.Env(rows), config)
	if err != nil {
		f.Fatal(err)
	}
	if err := made.Open(f.Context(), connector.Partition{}, at); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = made.Close() })
	return made.(*source)
}

// readAll decodes all chunks of a source and returns the end position.
func (f *fixture) readAll(s *source) ([]connector.Chunk, connector.Position) {
	f.Helper()
	decode := s.NewDecode()
	var out []connector.Chunk
	for {
		chunk, err := s.Read(f.Context())
		if errors.Is(err, io.EOF) {
			return out, chunk.Position
		}
		if err != nil {
			f.Fatal(err)
		}
		chunk, err = decode(chunk)
		if err != nil {
			f.Fatal(err)
		}
		chunk.Release()
		out = append(out, chunk)
	}
}

func (f *fixture) openSink(config *sinkConfig, task connector.Task) *sink {
	f.Helper()
	made, err := newSink(sqltest.Env(1000), config)
	if err != nil {
		f.Fatal(err)
	}
	if task.Run == "" {
		task.Run = "run"
	}
	if task.Node == "" {
		task.Node = "node"
	}
	task.Count = max(task.Count, 1)
	f.Cleanup(func() { _ = made.Close() })
	if err := made.Open(f.Context(), task); err != nil {
		f.Fatal(err)
	}
	return made.(*sink)
}

func (f *fixture) write(s *sink, b *batch.Batch) {
	f.Helper()
	chunk, err := s.NewEncode()(connector.Chunk{Batch: b})
	if err != nil {
		f.Fatal(err)
	}
	if err := s.Write(f.Context(), chunk); err != nil {
		f.Fatal(err)
	}
	chunk.Release()
}

func (f *fixture) commit(s *sink, epoch uint64) {
	f.Helper()
	if _, err := s.Prepare(f.Context(), connector.Epoch{Number: epoch}); err != nil {
		f.Fatal(err)
	}
	if err := s.Decide(f.Context(), connector.Epoch{Number: epoch}); err != nil {
		f.Fatal(err)
	}
	if err := s.Commit(f.Context(), connector.Epoch{Number: epoch}, nil); err != nil {
		f.Fatal(err)
	}
}
